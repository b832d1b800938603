//! The data model: attribute values, 38-digit numbers, keys and their order-preserving encoding, table schema,
//! expressions, events and their codec.
//!
//! Everything here is a pure function of its arguments. This crate must not know disks, sockets, clocks, or the JSON of
//! any protocol.
//!
//! ```
//! use item::{Image, Item, Key, Value, table::system};
//!
//! let item = Item::from([("topic", Value::from("room/1")), ("reading", Value::Number("21.50".parse()?))]);
//! let key = Key::of_item(&system::retained(), &item)?;
//! assert_eq!(key.to_item(&system::retained())?, Item::from([("topic", Value::from("room/1"))]));
//! assert_eq!(Image::encode(&item).decode()?, item);
//! assert_eq!(item.get("reading").map(Value::type_name), Some("N"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
mod codec;
mod encoded;
pub mod event;
pub mod expression;
mod image;
mod item;
pub mod key;
mod number;
pub mod table;
mod value;

pub use codec::CodecError;
pub use encoded::{EncodedItem, ItemEncoder};
pub use event::{Actor, Change, Event, Old, SequenceNumber, ShardId};
pub use image::{Attributes, Image, ValueRef};
pub use item::{Collision, Item, ItemError};
pub use key::{Key, KeyError, Slot};
pub use number::{Number, NumberError, NumberText};
pub use table::{
    FurtherKeys, Index, IndexKind, IndexStatus, KeyAttribute, KeyType, Stream, StreamView, Table, TableError, TableId,
};
pub use value::Value;
