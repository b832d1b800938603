//! How far a restore has safely got. Persisted, as JSON.

use backup::Cursor;
use base64::{Engine, prelude::BASE64_STANDARD};
use item::{Key, ShardId};
use jobs::Failure;
use serde::{Deserialize, Serialize};

/// Items up to a key of a shard are durable, and all of the shards before; or all there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) is_done: bool,
    pub(crate) items: u64,
    shard: u16,
    /// The key's encoded components, in base64.
    after: Option<(String, String)>,
}

impl Progress {
    pub(crate) fn new(cursor: &Cursor, items: u64, is_done: bool) -> Progress {
        let text = |key: &Key| (BASE64_STANDARD.encode(&key.partition), BASE64_STANDARD.encode(&key.sort));
        Progress { is_done, items, shard: cursor.shard.0, after: cursor.after.as_ref().map(text) }
    }

    pub(crate) fn cursor(&self) -> Result<Cursor, Failure> {
        let bytes = |text: &String| {
            let bytes = BASE64_STANDARD.decode(text).map_err(|error| Failure::new("InternalError", error));
            bytes.map(item_bytes)
        };
        let key = |(partition, sort): &(String, String)| {
            Ok::<Key, Failure>(Key { partition: bytes(partition)?, sort: bytes(sort)? })
        };
        Ok(Cursor { shard: ShardId(self.shard), after: self.after.as_ref().map(key).transpose()? })
    }
}

fn item_bytes<T: From<Vec<u8>>>(bytes: Vec<u8>) -> T {
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_again() {
        let after = Key { partition: vec![1, 0, 255].into(), sort: "s".into() };
        for cursor in [Cursor::default(), Cursor { shard: ShardId(3), after: Some(after) }] {
            let text = serde_json::to_string(&Progress::new(&cursor, 7, false)).unwrap();
            let progress: Progress = serde_json::from_str(&text).unwrap();
            assert_eq!((progress.cursor(), progress.items, progress.is_done), (Ok(cursor), 7, false));
        }
        let broken = r#"{"is_done":false,"items":0,"shard":0,"after":["!","" ]}"#;
        assert!(serde_json::from_str::<Progress>(broken).unwrap().cursor().is_err());
    }
}
