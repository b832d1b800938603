//! Items: named attribute values, their size, and how two of them merge.

use std::collections::{BTreeMap, btree_map};

use crate::{KeyError, Value};

/// A set of named attribute values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item(pub BTreeMap<String, Value>);

/// A merge that would have changed a stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collision {
    /// The attribute whose value differs.
    pub attribute: String,
}

/// Why an item cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// Over [`Item::SIZE_MAX`].
    #[error("item has {bytes} bytes, over the limit of {bytes_max}")]
    TooLarge {
        /// Its size as DynamoDB counts it.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Lists and maps nested deeper than [`Value::DEPTH_MAX`].
    #[error("attribute {attribute} nests deeper than {depth_max} levels")]
    TooDeep {
        /// The top-level attribute.
        attribute: String,
        /// The limit.
        depth_max: usize,
    },
    /// A set without elements, somewhere in the attribute.
    #[error("attribute {attribute} holds an empty set")]
    EmptySet {
        /// The top-level attribute.
        attribute: String,
    },
    /// An attribute name without characters, or over 65535 bytes.
    #[error("an attribute name has {bytes} bytes, not 1 to 65535")]
    NameLength {
        /// The length of the name, at the top or within a map.
        bytes: usize,
    },
    /// A value that no key of a secondary index may have.
    #[error("{error} of index {index}")]
    IndexKey {
        /// The index.
        index: String,
        /// What is wrong with the value.
        error: KeyError,
    },
}

impl Item {
    /// The largest size of an item, in bytes as DynamoDB counts them.
    pub const SIZE_MAX: usize = 400 * 1024;
    /// The longest attribute name in bytes.
    pub const NAME_BYTES_MAX: usize = 65_535;

    /// An item without attributes.
    pub fn new() -> Item {
        Item::default()
    }

    /// The value of a top-level attribute.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Sets a top-level attribute; answers its former value.
    pub fn insert(&mut self, name: impl Into<String>, value: Value) -> Option<Value> {
        self.0.insert(name.into(), value)
    }

    /// Takes a top-level attribute out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// How many top-level attributes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Are there no attributes?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The top-level attributes, by name.
    pub fn iter(&self) -> btree_map::Iter<'_, String, Value> {
        self.0.iter()
    }

    /// The size in bytes as DynamoDB counts it (names as UTF-8, plus values by type).
    pub fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.size()).sum()
    }

    /// Refuses what no user's table may store: a wrong shape, or a size over the limit.
    pub fn check(&self) -> Result<(), ItemError> {
        self.check_shape()?;
        match self.size() {
            bytes if bytes > Item::SIZE_MAX => Err(ItemError::TooLarge { bytes, bytes_max: Item::SIZE_MAX }),
            _ => Ok(()),
        }
    }

    /// Refuses what no table at all may store: too deep nesting, empty sets, names of a wrong length. Whatever becomes
    /// an [`crate::Image`] must pass here first, for an image that nests too deep does not decode.
    pub fn check_shape(&self) -> Result<(), ItemError> {
        self.0.iter().try_for_each(|(name, value)| check_attribute(name, value))
    }

    /// Unites top-level attributes with those of `newer`, whose values win; answers which stored values changed.
    pub fn merge(&mut self, newer: Item) -> Vec<Collision> {
        let mut collisions = Vec::new();
        for (name, value) in newer.0 {
            match self.0.entry(name) {
                btree_map::Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                btree_map::Entry::Occupied(mut entry) => {
                    if *entry.get() != value {
                        collisions.push(Collision { attribute: entry.key().clone() });
                        entry.insert(value);
                    }
                }
            }
        }
        collisions
    }
}

/// Refuses an attribute that no table may store.
pub(crate) fn check_attribute(name: &str, value: &Value) -> Result<(), ItemError> {
    // First the depth, because the other checks recurse.
    if value.depth_exceeds(Value::DEPTH_MAX) {
        return Err(ItemError::TooDeep { attribute: name.to_owned(), depth_max: Value::DEPTH_MAX });
    }
    check_name(name)?;
    check_value(name, value)
}

fn check_name(name: &str) -> Result<(), ItemError> {
    if (1..=Item::NAME_BYTES_MAX).contains(&name.len()) {
        Ok(())
    } else {
        Err(ItemError::NameLength { bytes: name.len() })
    }
}

fn check_value(attribute: &str, value: &Value) -> Result<(), ItemError> {
    let set_is_empty = match value {
        Value::StringSet(set) => set.is_empty(),
        Value::NumberSet(set) => set.is_empty(),
        Value::BinarySet(set) => set.is_empty(),
        Value::List(values) => return values.iter().try_for_each(|value| check_value(attribute, value)),
        Value::Map(values) => {
            return values.iter().try_for_each(|(name, value)| {
                check_name(name)?;
                check_value(attribute, value)
            });
        }
        _ => false,
    };
    if set_is_empty { Err(ItemError::EmptySet { attribute: attribute.to_owned() }) } else { Ok(()) }
}

impl<Name: Into<String>> FromIterator<(Name, Value)> for Item {
    fn from_iter<I: IntoIterator<Item = (Name, Value)>>(attributes: I) -> Item {
        Item(attributes.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl<Name: Into<String>, const N: usize> From<[(Name, Value); N]> for Item {
    fn from(attributes: [(Name, Value); N]) -> Item {
        attributes.into_iter().collect()
    }
}

impl IntoIterator for Item {
    type Item = (String, Value);
    type IntoIter = btree_map::IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Item {
    type Item = (&'a String, &'a Value);
    type IntoIter = btree_map::Iter<'a, String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests;
