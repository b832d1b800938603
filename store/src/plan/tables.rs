//! Changes of the catalogue: tables, streams and indexes.

use std::sync::Arc;

use item::{Actor, Change, Index, IndexKind, IndexStatus, ShardId, Table, TableId};

use super::{Planner, Planning};
use crate::write::{TAGS_MAX, TableRejection, TableUpdate, TableWrite};

impl Planner {
    /// Plans a change of the catalogue: one event in every shard.
    pub(crate) fn table(&mut self, change: TableWrite, now_us: u64) -> Planning<Result<Arc<Table>, TableRejection>> {
        match self.change_table(change, now_us) {
            Ok((table, change)) => {
                if let Some(change) = change {
                    for shard in 0..self.next_sequences.len() {
                        let shard = ShardId(u16::try_from(shard).expect("shards are at most 64"));
                        self.push(shard, Actor::User, &table, change.clone());
                    }
                }
                Planning { answer: Ok(table), after: self.newest_planned() }
            }
            // A refusal may rest on a table that is planned and not yet durable.
            Err(rejection) => Planning { answer: Err(rejection), after: self.newest_planned() },
        }
    }

    fn change_table(
        &mut self,
        change: TableWrite,
        now_us: u64,
    ) -> Result<(Arc<Table>, Option<Change>), TableRejection> {
        match change {
            TableWrite::Create(mut table) => {
                if let Some(existing) = self.catalog.by_name(&table.name) {
                    return Err(TableRejection::Exists(existing.clone()));
                }
                table.id = self.new_number();
                table.version = 1;
                table.created_at_us = now_us;
                table.indexes.iter_mut().for_each(|index| index.id = self.new_number());
                table.check()?;
                if let Some(stream) = &mut table.stream {
                    stream.enabled_at_us = now_us;
                }
                let table = Arc::new(table);
                self.catalog.put(table.clone());
                Ok((table.clone(), Some(Change::PutTable(table))))
            }
            TableWrite::Delete(name) => {
                let table = self.user_table(&name)?;
                if table.deletion_protection {
                    return Err(TableRejection::Protected);
                }
                self.catalog.remove(table.id);
                Ok((table, Some(Change::DeleteTable)))
            }
            TableWrite::SetStream(name, stream) => self.alter(&name, |table| table.change_stream(stream, now_us)),
            TableWrite::Update(name, update) => self.update_table(&name, *update, now_us),
            TableWrite::AddIndex(name, index) => {
                if self.user_table(&name)?.index(&index.name).is_some() {
                    return Err(TableRejection::IndexExists);
                }
                self.add_index(&name, index)
            }
            TableWrite::DropIndex(name, index) => {
                if self.user_table(&name)?.index(&index).is_none() {
                    return Err(TableRejection::IndexNotFound);
                }
                self.alter(&name, |table| table.indexes.retain(|other| other.name != index))
            }
            TableWrite::SetExpiry(name, attribute) => match (self.user_table(&name)?.expiry(), attribute) {
                (Some(_), Some(_)) => Err(TableRejection::IndexExists),
                (None, None) => Err(TableRejection::IndexNotFound),
                (None, Some(attribute)) => self.add_index(&name, Index::expiry(attribute)),
                (Some(_), None) => {
                    self.alter(&name, |table| table.indexes.retain(|index| index.kind != IndexKind::Expiry))
                }
            },
            TableWrite::Tag(name, tags) => {
                let table = self.user_table(&name)?;
                let new = tags.keys().filter(|key| !table.tags.contains_key(*key)).count();
                if table.tags.len() + new > TAGS_MAX {
                    return Err(TableRejection::TooManyTags);
                }
                self.alter(&name, |table| table.tags.extend(tags))
            }
            TableWrite::Untag(name, keys) => self.alter(&name, |table| table.tags.retain(|key, _| !keys.contains(key))),
            TableWrite::SetRecovery(name, period_days) => {
                self.alter(&name, |table| table.change_recovery(period_days, now_us))
            }
            TableWrite::ActivateIndex(id) => {
                let (table, _) = self.catalog.index(id).ok_or(TableRejection::IndexNotFound)?;
                self.replace(table.clone(), |table| {
                    let filled = table.indexes.iter_mut().filter(|index| index.id == id);
                    filled.for_each(|index| index.status = IndexStatus::Active);
                })
            }
            TableWrite::Open(id) => {
                let table = self.catalog.by_id(id).ok_or(TableRejection::NotFound)?;
                self.replace(table.clone(), |table| table.settings.is_filling = false)
            }
            TableWrite::Discard(id) => {
                let table = self.catalog.by_id(id).filter(|table| table.settings.is_filling);
                let table = table.cloned().ok_or(TableRejection::NotFound)?;
                self.catalog.remove(id);
                Ok((table, Some(Change::DeleteTable)))
            }
        }
    }

    /// Makes several changes of a table as one, if it is as they were checked against.
    fn update_table(
        &mut self,
        name: &str,
        update: TableUpdate,
        now_us: u64,
    ) -> Result<(Arc<Table>, Option<Change>), TableRejection> {
        let table = self.user_table(name)?;
        if (table.id, table.version) != (update.table, update.version) {
            return Err(TableRejection::Changed);
        }
        let added = update.add_index.map(|index| self.unfilled(index));
        self.alter(name, |table| {
            table.change_capacity(&update.capacity, now_us);
            if let Some(stream) = update.stream {
                table.change_stream(stream, now_us);
            }
            table.deletion_protection = update.deletion_protection.unwrap_or(table.deletion_protection);
            table.indexes.retain(|index| Some(&index.name) != update.drop_index.as_ref());
            if let Some(index) = added {
                insert_index(table, index);
            }
        })
    }

    /// Adds an index that is still to be filled.
    fn add_index(&mut self, name: &str, index: Index) -> Result<(Arc<Table>, Option<Change>), TableRejection> {
        let index = self.unfilled(index);
        self.alter(name, |table| insert_index(table, index))
    }

    /// An index as a new one is.
    fn unfilled(&mut self, index: Index) -> Index {
        Index { id: self.new_number(), status: IndexStatus::Filling, ..index }
    }

    /// A number for a table or for an index's entries.
    fn new_number(&mut self) -> TableId {
        self.next_table += 1;
        TableId(self.next_table - 1)
    }

    fn alter(
        &mut self,
        name: &str,
        alter: impl FnOnce(&mut Table),
    ) -> Result<(Arc<Table>, Option<Change>), TableRejection> {
        let old = self.user_table(name)?;
        self.replace(old, alter)
    }

    /// Makes of a table its next version.
    fn replace(
        &mut self,
        old: Arc<Table>,
        alter: impl FnOnce(&mut Table),
    ) -> Result<(Arc<Table>, Option<Change>), TableRejection> {
        let mut table = Table::clone(&old);
        alter(&mut table);
        if table == *old {
            return Ok((old, None));
        }
        // What was checked against an older schema may not fit this one, and what is no table could not be replayed.
        table.check()?;
        table.version += 1;
        let table = Arc::new(table);
        self.catalog.put(table.clone());
        Ok((table.clone(), Some(Change::PutTable(table))))
    }

    /// The table that a user may change.
    fn user_table(&self, name: &str) -> Result<Arc<Table>, TableRejection> {
        let table = self.catalog.by_name(name).filter(|table| !table.id.is_system()).ok_or(TableRejection::NotFound)?;
        if table.settings.is_filling { Err(TableRejection::Filling) } else { Ok(table.clone()) }
    }
}

/// Puts an index where its name belongs.
fn insert_index(table: &mut Table, index: Index) {
    let at = table.indexes.partition_point(|other| other.name < index.name);
    table.indexes.insert(at, index);
}
