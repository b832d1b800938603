//! Recovery: the manifest, then the log after it.

use std::sync::Arc;

use item::{Event, SequenceNumber, TableId};

use crate::{
    Catalog, Config, Error,
    apply::Applied,
    env::{Clock, DirectoryId, Disk, read_format},
    files::FileSet,
    log::{FrameNumber, LocalLog, Log, LogConfig},
    manifest::Manifest,
    memtable::Memtable,
    rows::RowCache,
    view::{CurrentView, View},
};

/// An opened directory: everything up to the log's tail is applied.
pub(crate) struct Recovered {
    pub(crate) manifest: Manifest,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) view: CurrentView,
    pub(crate) applied: Applied,
    pub(crate) last_committed_at_us: u64,
}

/// Bytes of frames read at a time while replaying.
const REPLAY_BYTES: usize = 8 << 20;

pub(crate) fn recover(disk: &Arc<dyn Disk>, clock: &dyn Clock, config: &Config) -> Result<Recovered, Error> {
    let manifest = match Manifest::load(disk.as_ref())? {
        Some(manifest) => {
            // A process that died while publishing it may not have made its name durable; what is done next rests on it.
            Manifest::settle(disk.as_ref())?;
            manifest
        }
        None => first_manifest(disk.as_ref(), config)?,
    };
    let files = FileSet::open(disk.as_ref(), &manifest)?.keeping_keys(config.row_cache_bytes / 2);
    let shards = u16::try_from(manifest.flushed_sequences.len()).expect("checked when the manifest was loaded");
    let directory = directory_of(disk.as_ref())?;
    let log_config = LogConfig { shards, ..LogConfig::new(config, directory) };
    let log = LocalLog::open(disk.clone(), log_config, manifest.flushed)?;
    let mut catalog = manifest.catalog.clone();
    add_system_tables(&mut catalog);
    let view = CurrentView::new(View {
        active: Arc::new((0..shards).map(|_| Memtable::default()).collect()),
        sealed: Vec::new(),
        files: Arc::new(files),
        catalog: Arc::new(catalog),
        rows: RowCache::new(config.row_cache_bytes / 2),
    });
    let mut applied = Applied {
        frame: manifest.flushed,
        next_sequences: manifest.flushed_sequences.iter().map(|last| SequenceNumber(last.0 + 1)).collect(),
        next_table: manifest.next_table.max(TableId::FIRST_USER.0),
        sealed_through: manifest.flushed,
    };
    let mut last_committed_at_us = 0;
    loop {
        let frames = log.read(applied.frame.next(), REPLAY_BYTES)?;
        if frames.is_empty() {
            break;
        }
        for frame in frames {
            if frame.first_sequences != applied.next_sequences {
                let what = format!("frame {} does not follow what is flushed before it", frame.number.0);
                return Err(Error::Corrupt { path: "log".to_owned(), offset: 0, what });
            }
            let events = Event::decode_all(&frame.body).map_err(|error| Error::Corrupt {
                path: "log".to_owned(),
                offset: error.offset as u64,
                what: format!("frame {}: {}", frame.number.0, error.what),
            })?;
            applied.apply(&view, frame.number, &events);
            last_committed_at_us = frame.committed_at_us;
            let bytes: usize = view.get().active.iter().map(Memtable::bytes).sum();
            if bytes >= config.memtable_bytes_max {
                applied.seal(&view, clock.now_us());
            }
        }
    }
    Ok(Recovered { manifest, log: Arc::new(log), view, applied, last_committed_at_us })
}

/// The manifest of a new directory: no frames, and the shards of its configuration for ever after.
fn first_manifest(disk: &dyn Disk, config: &Config) -> Result<Manifest, Error> {
    let mut catalog = Catalog::default();
    add_system_tables(&mut catalog);
    let manifest = Manifest {
        number: 1,
        flushed: FrameNumber(0),
        flushed_sequences: vec![SequenceNumber(0); usize::from(config.shards.clamp(1, 64))],
        catalog,
        next_table: TableId::FIRST_USER.0,
        next_file: 1,
        ..Manifest::default()
    };
    manifest.publish(disk)?;
    Ok(manifest)
}

/// Which directory this is. Whoever makes a disk gives it its `FORMAT`.
fn directory_of(disk: &dyn Disk) -> Result<DirectoryId, Error> {
    let missing = || Error::Corrupt { path: "FORMAT".to_owned(), offset: 0, what: "it is missing".to_owned() };
    read_format(disk)?.ok_or_else(missing)
}

fn add_system_tables(catalog: &mut Catalog) {
    for table in item::table::system::tables() {
        if catalog.by_id(table.id).is_none() {
            catalog.put(Arc::new(table));
        }
    }
}
