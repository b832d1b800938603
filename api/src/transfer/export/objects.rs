//! The objects of an export: the items of a base as lines of JSON, or in columns.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, BufWriter, Write},
    sync::Arc,
};

use backup::{Base, Cursor, Rows};
use flate2::{Compression, write::GzEncoder};
use item::{CodecError, ShardId, Table};
use jobs::Stopped;
use serde::Serialize;
use store::{
    Store,
    env::{Disk, remove_if_present},
    files::{ColumnTypes, FileId, FileWriter, NewFile},
    manifest::{self, RUNS_DIR},
};

use super::{Format, Place, manifest::Object};
use crate::{
    transfer::{bucket_failure, pieces::Out},
    values::ItemOut,
};

/// Items of one object, in bytes as DynamoDB counts them, about.
const OBJECT_BYTES: u64 = 256 << 20;
/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;
/// Memory of a writer of columns.
const COLUMNS_BYTES: usize = 8 << 20;

/// An object that is done, if there was anything for one, and where to go on.
pub(super) struct Step {
    pub(super) object: Option<Object>,
    pub(super) next: Cursor,
}

/// An object under way.
enum Open {
    Lines(Box<Lines>),
    Columns(Box<Columns>),
}

/// One line.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    item: ItemOut,
}

/// Writes the items of `base` after `from`, by shard and key. As DynamoDB has it, there is an object of lines for every shard.
pub(super) fn write(
    store: &Store,
    base: &Base,
    place: &Place,
    format: Format,
    from: Cursor,
    out: &Out<Step>,
) -> Result<(), Stopped> {
    let rows = base.rows()?;
    let tree: Arc<dyn Disk> = Arc::new(base.tree());
    let types = match format {
        // Lines have none.
        Format::DynamodbJson => Arc::new(ColumnTypes::of_table(&base.table)),
        Format::Parquet => types(base, &rows, out)?,
    };
    let mut cursor = from;
    let mut open: Option<Open> = None;
    let (mut items, mut bytes) = (0, 0);
    while let Some((found, next)) = rows.next(&cursor)? {
        out.check()?;
        // Columns are written beside the base first, and a bucket may be on the same disk.
        super::check_room(store)?;
        for row in found {
            let Some(image) = &row.image else { continue };
            let item = image.decode().map_err(|error| corrupt(base, &error))?;
            items += 1;
            bytes += item.size() as u64;
            let open = match &mut open {
                Some(open) => open,
                none => none.insert(match format {
                    Format::DynamodbJson => Open::Lines(Box::new(Lines::create(place)?)),
                    Format::Parquet => {
                        Open::Columns(Box::new(Columns::create(&tree, &base.table, cursor.shard, &types)?))
                    }
                }),
            };
            match open {
                Open::Lines(lines) => lines.add(ItemOut(item))?,
                Open::Columns(columns) => columns.writer.write_image(&row)?,
            }
        }
        if next.shard != cursor.shard || bytes >= OBJECT_BYTES {
            let written = match (open.take(), format) {
                (None, Format::DynamodbJson) if next.shard != cursor.shard => Some(Lines::create(place)?.finish()?),
                (None, _) => None,
                (Some(Open::Lines(lines)), _) => Some(lines.finish()?),
                (Some(Open::Columns(columns)), _) => Some(columns.finish(&tree, place, cursor.shard, out)?),
            };
            let object = written.map(|(key, digest)| Object { key, items, bytes, digest });
            (items, bytes) = (0, 0);
            let data = place.data();
            if object.is_some() {
                place.bucket.sync(&data).map_err(|error| failed(&data, &error))?;
            }
            out.leave(Step { object, next: next.clone() })?;
        }
        cursor = next;
    }
    Ok(())
}

/// The types of all columns of a base: all its objects have the same.
fn types(base: &Base, rows: &Rows, out: &Out<Step>) -> Result<Arc<ColumnTypes>, Stopped> {
    let mut types = Arc::new(base.manifest()?.types_of(&base.table));
    let mut cursor = Cursor::default();
    while let Some((found, next)) = rows.next(&cursor)? {
        out.check()?;
        for image in found.iter().filter_map(|row| row.image.as_ref()) {
            types.widen_image(image).map_err(|error| corrupt(base, &error))?;
        }
        cursor = next;
    }
    Ok(types)
}

fn corrupt(base: &Base, error: &CodecError) -> store::Error {
    let path = format!("{}: table {}", base.dir(), base.table.name);
    store::Error::Corrupt { path, offset: error.offset as u64, what: error.what.to_owned() }
}

/// An object of lines, compressed by gzip.
struct Lines {
    key: String,
    lines: GzEncoder<BufWriter<Digested>>,
}

impl Lines {
    fn create(place: &Place) -> Result<Lines, Stopped> {
        let key = format!("{}/{}.json.gz", place.data(), random_name());
        let file = place.bucket.create(&key).map_err(|error| failed(&key, &error))?;
        Ok(Lines { key, lines: GzEncoder::new(BufWriter::new(Digested::new(file)), Compression::fast()) })
    }

    fn add(&mut self, item: ItemOut) -> Result<(), Stopped> {
        let written = serde_json::to_writer(&mut self.lines, &Line { item }).map_err(io::Error::from);
        written.and_then(|()| self.lines.write_all(b"\n")).map_err(|error| failed(&self.key, &error))
    }

    /// Syncs it; answers its key and MD5.
    fn finish(self) -> Result<(String, [u8; 16]), Stopped> {
        let Lines { key, lines } = self;
        let ended = || lines.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.finish();
        let digest = ended().map_err(|error| failed(&key, &error))?;
        Ok((key, digest))
    }
}

/// An object of columns. It is written beside the base first, which has all that a writer of columns needs, and then copied.
struct Columns {
    writer: FileWriter,
}

impl Columns {
    fn create(
        tree: &Arc<dyn Disk>,
        table: &Arc<Table>,
        shard: ShardId,
        types: &Arc<ColumnTypes>,
    ) -> Result<Columns, Stopped> {
        tree.create_dir(RUNS_DIR).map_err(store::Error::io("create directory", RUNS_DIR))?;
        let new = NewFile {
            // No file of a base has it: numbers begin at 1.
            id: FileId(0),
            table: Arc::clone(table),
            shard,
            place: manifest::Place::Run,
            types: Arc::clone(types),
            with_removed: false,
            now_us: 0,
            buffer_bytes_max: COLUMNS_BYTES,
        };
        // An attempt that did not end may have left one.
        let path = format!("{RUNS_DIR}/{}-{:05}-{:020}.parquet", table.id.0, shard.0, new.id.0);
        remove_if_present(tree.as_ref(), &path).map_err(store::Error::io("remove", path))?;
        Ok(Columns { writer: FileWriter::create(tree.as_ref(), new)? })
    }

    /// Copies it to the bucket, and syncs it there; answers its key and MD5.
    fn finish(
        self,
        tree: &Arc<dyn Disk>,
        place: &Place,
        shard: ShardId,
        out: &Out<Step>,
    ) -> Result<(String, [u8; 16]), Stopped> {
        let path = self.writer.path().to_owned();
        let entry = self.writer.finish()?;
        let key = format!("{}/{:05}-{}.parquet", place.data(), shard.0, random_name());
        let file = tree.open(&path).map_err(store::Error::io("open", path.as_str()))?;
        let mut copy = Digested::new(place.bucket.create(&key).map_err(|error| failed(&key, &error))?);
        let mut buffer = vec![0; COPY_BYTES];
        let mut offset = 0;
        while offset < entry.bytes {
            out.check()?;
            let length = usize::try_from(entry.bytes - offset).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
            let part = &mut buffer[..length];
            file.read_at(offset, part).map_err(store::Error::io("read", path.as_str()))?;
            copy.write_all(part).map_err(|error| failed(&key, &error))?;
            offset += length as u64;
        }
        let digest = copy.finish().map_err(|error| failed(&key, &error))?;
        remove_if_present(tree.as_ref(), &path).map_err(store::Error::io("remove", path))?;
        Ok((key, digest))
    }
}

/// A file, and the MD5 of what is written to it.
struct Digested {
    file: File,
    digest: md5::Context,
}

impl Digested {
    fn new(file: File) -> Digested {
        Digested { file, digest: md5::Context::new() }
    }

    /// Syncs the file.
    fn finish(self) -> io::Result<[u8; 16]> {
        self.file.sync_all()?;
        Ok(self.digest.compute().0)
    }
}

impl Write for Digested {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.consume(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn failed(key: &str, error: &io::Error) -> Stopped {
    bucket_failure(&format!("object {key} cannot be written"), error)
}

/// 26 characters that no other object has.
fn random_name() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digits = |part: u8| {
        let number = RandomState::new().hash_one(part);
        (0..13).map(move |place| char::from(ALPHABET[(number >> (5 * place) & 31) as usize]))
    };
    (0..2).flat_map(digits).collect()
}
