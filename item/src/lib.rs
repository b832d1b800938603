//! The data model: attribute values, 38-digit numbers, keys and their order-preserving encoding, table schema,
//! expressions, events and their codec.
//!
//! Everything here is a pure function of its arguments. This crate must not know disks, sockets, clocks, or the JSON of
//! any protocol.

#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
mod codec;
pub mod event;
pub mod expression;
mod image;
mod item;
pub mod key;
mod number;
pub mod table;
mod value;

pub use codec::CodecError;
pub use event::{Actor, Change, Event, Old, SequenceNumber, ShardId};
pub use image::Image;
pub use item::{Collision, Item, ItemError};
pub use key::{Key, KeyError, Slot};
pub use number::{Number, NumberError};
pub use table::{KeyAttribute, KeyType, Stream, StreamView, Table, TableError, TableId};
pub use value::Value;
