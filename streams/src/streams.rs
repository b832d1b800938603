//! The asynchronous shell: the same as [`Reader`], for callers that must not block.

use item::TableId;
use store::Store;

use crate::{
    Error, FollowFrom, Follower, IteratorStart, Reader, RecordsPage, StreamDescription, StreamName, StreamPage,
};

/// The change streams of a store. Cloning shares it. The log is read on threads that may block.
#[derive(Clone)]
pub struct Streams {
    reader: Reader,
}

impl Streams {
    /// The streams of `store`.
    pub fn new(store: &Store) -> Streams {
        Streams { reader: Reader::new(store) }
    }

    /// Streams that are on, of one table or of all users' tables, after `after` (exclusive), at most `limit`.
    pub fn list(&self, table: Option<&str>, after: Option<&StreamName>, limit: usize) -> StreamPage {
        self.reader.list(table, after, limit)
    }

    /// See [`Reader::describe`].
    pub async fn describe(
        &self,
        name: &StreamName,
        after_shard: Option<&str>,
        limit: usize,
    ) -> Result<StreamDescription, Error> {
        let (reader, name, after) = (self.reader.clone(), name.clone(), after_shard.map(str::to_owned));
        blocking(move || reader.describe(&name, after.as_deref(), limit)).await
    }

    /// See [`Reader::iterator`].
    pub async fn iterator(&self, name: &StreamName, shard: &str, start: IteratorStart) -> Result<String, Error> {
        let (reader, name, shard) = (self.reader.clone(), name.clone(), shard.to_owned());
        blocking(move || reader.iterator(&name, &shard, start)).await
    }

    /// See [`Reader::records`].
    pub async fn records(&self, iterator: &str, limit: usize) -> Result<RecordsPage, Error> {
        let (reader, iterator) = (self.reader.clone(), iterator.to_owned());
        blocking(move || reader.records(&iterator, limit)).await
    }

    /// The table that an iterator reads: whoever may not read it must not use the iterator.
    pub fn table_of_iterator(&self, iterator: &str) -> Result<TableId, Error> {
        self.reader.table_of_iterator(iterator)
    }

    /// Follows the stream of the table called `table` over all its shards.
    pub async fn follow(&self, table: &str, from: FollowFrom) -> Result<Follower, Error> {
        let (reader, table) = (self.reader.clone(), table.to_owned());
        let walk = blocking(move || reader.walk(&table, &from)).await?;
        Ok(Follower::new(walk, self.reader.applied()))
    }
}

/// Runs `read` on a thread that may block on the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(read).await {
        Ok(result) => result,
        Err(join) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down.
            Err(_) => Err(Error::Store(store::Error::Closed)),
        },
    }
}
