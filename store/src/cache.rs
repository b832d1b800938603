//! The cache of cold pages: memory first, SSD second. Its keys name immutable bytes, so nothing is ever invalidated.

use bytes::Bytes;

use crate::{Error, files::FileId};

/// Bytes of immutable files, by (file, offset).
#[derive(Clone, Debug)]
pub enum Cache {
    /// Every read goes to the disk, on the calling thread. For the simulator and for tools.
    Off,
}

impl Cache {
    /// The bytes of `file` at `offset`, from memory, SSD, or `read`.
    pub async fn get_or_read(
        &self,
        file: FileId,
        offset: u64,
        read: impl FnOnce() -> Result<Bytes, Error> + Send + 'static,
    ) -> Result<Bytes, Error> {
        let _ = (file, offset);
        match self {
            Cache::Off => read(),
        }
    }
}
