//! Bytes on their way to a file that is being written.

use std::{io::Write, mem, sync::Arc};

use crate::{Error, env::DiskFile, manifest::FileEntry};

/// What Parquet's writers write to: bytes wait here until they are put on the disk, and are counted and summed up then.
pub(super) struct Sink {
    bytes: Vec<u8>,
    offset: u64,
    checksum: crc_fast::Digest,
}

impl Sink {
    pub(super) fn new() -> Sink {
        let checksum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        Sink { bytes: Vec::new(), offset: 0, checksum }
    }

    /// Writes what waits to `file`, at `path`.
    pub(super) fn drain(&mut self, file: &dyn DiskFile, path: &str) -> Result<(), Error> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let bytes = mem::take(&mut self.bytes);
        file.write_at(self.offset, &bytes).map_err(Error::io("write", path))?;
        self.checksum.update(&bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// The entry, with the length and the checksum of what was written.
    pub(super) fn measured(&self, entry: FileEntry) -> FileEntry {
        let crc32c = u32::try_from(self.checksum.clone().finalize()).expect("a CRC-32C has 32 bits");
        FileEntry { bytes: self.offset, crc32c, ..entry }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Encoding into memory has no reason to fail; if it does, the file is not made.
pub(super) fn cannot_encode(path: &str, error: impl std::fmt::Display) -> Error {
    Error::Io { operation: "encode", path: path.to_owned(), source: Arc::new(std::io::Error::other(error.to_string())) }
}
