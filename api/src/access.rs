//! Who may do what: access keys, what they allow, and what a request asks for.
//!
//! As long as no key was ever made, everyone on this machine may do everything, and nothing here is looked at but one
//! flag. From the first key on a request is a [`Caller`]'s: its signature is checked against the body as it came
//! ([`Caller::verify`]), then what it asks for ([`needs`]) against what the key allows ([`Permission`]).

mod caller;
mod glob;
mod key;
mod keys;
mod needs;
mod permission;

pub(crate) use caller::Caller;
pub(crate) use key::AccessKey;
pub use keys::Keys;
pub(crate) use keys::{Wanted, session_seconds};
pub(crate) use needs::needs;
pub(crate) use permission::{Access, Permission, Scope};
