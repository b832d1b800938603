//! What the two operations on transactions have in common.

use item::{Image, Item, Value};
use store::transaction::Transaction;

use crate::validate::Violations;

/// Actions of one transaction.
const ACTIONS_MAX: usize = Transaction::WRITES_MAX;

/// Notes it if there are none at `place`, or too many.
pub(crate) fn check_count<T>(violations: &mut Violations, place: &str, actions: Option<&Vec<T>>) {
    violations.required(place, actions);
    match actions.map_or(1, Vec::len) {
        0 => violations.add(place, "[]", "Member must have length greater than or equal to 1"),
        1..=ACTIONS_MAX => {}
        count => violations.add(
            place,
            format_args!("[{count} actions]"),
            format_args!("Member must have length less than or equal to {ACTIONS_MAX}"),
        ),
    }
}

/// Stands for what a transaction asks for, whatever the order of members and of sets. It is no secret, and protects
/// nobody but its owner: a checksum and the length are enough.
pub(crate) fn digest(actions: impl Iterator<Item = Item>) -> [u8; 16] {
    let numbered = actions.enumerate().map(|(at, Item(action))| (format!("{at:03}"), Value::Map(action)));
    let image = Image::encode(&Item(numbered.collect()));
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, image.bytes());
    let mut digest = [0; 16];
    digest[..8].copy_from_slice(&checksum.to_be_bytes());
    digest[8..].copy_from_slice(&(image.bytes().len() as u64).to_be_bytes());
    digest
}
