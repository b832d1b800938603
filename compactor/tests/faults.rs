//! Any one operation on the disk fails, once. The answers stay; trying again publishes everything and leaves nothing
//! unnamed. Only where nobody can know whether a manifest is in force does it take a restart.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use compactor::{Config, Error};
use item::Item;
use store::{
    cache::Cache,
    env::{Disk, DiskFile, OsDisk},
};
use support::{Database, START_US, copy, files_in, published, reading};

/// Fails one operation on cold files or manifests.
struct FaultyDisk {
    disk: OsDisk,
    left: Arc<AtomicI64>,
}

struct FaultyFile {
    file: Box<dyn DiskFile>,
    left: Option<Arc<AtomicI64>>,
}

fn pass(left: &AtomicI64) -> io::Result<()> {
    match left.fetch_sub(1, Ordering::Relaxed) {
        1 => Err(io::Error::from(io::ErrorKind::StorageFull)),
        _ => Ok(()),
    }
}

impl FaultyDisk {
    fn is_counted(path: &str) -> bool {
        path.starts_with("cold") || path.starts_with("manifest")
    }

    fn pass(&self, path: &str) -> io::Result<()> {
        if FaultyDisk::is_counted(path) { pass(&self.left) } else { Ok(()) }
    }

    fn file(&self, path: &str, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { file, left: FaultyDisk::is_counted(path).then(|| self.left.clone()) })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.pass(path)?;
        Ok(self.file(path, self.disk.create(path)?))
    }
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.pass(path)?;
        Ok(self.file(path, self.disk.open(path)?))
    }
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.pass(dir)?;
        self.disk.list(dir)
    }
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.pass(dir)?;
        self.disk.create_dir(dir)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.pass(from)?;
        self.disk.rename(from, to)
    }
    fn hard_link(&self, existing: &str, path: &str) -> io::Result<()> {
        self.pass(path)?;
        self.disk.hard_link(existing, path)
    }
    fn symlink(&self, target: &str, path: &str) -> io::Result<()> {
        self.pass(path)?;
        self.disk.symlink(target, path)
    }
    fn read_link(&self, path: &str) -> io::Result<Option<String>> {
        self.pass(path)?;
        self.disk.read_link(path)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.pass(path)?;
        self.disk.remove(path)
    }
    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.pass(dir)?;
        self.disk.remove_dir(dir)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.pass(dir)?;
        self.disk.sync_dir(dir)
    }
}

impl FaultyFile {
    fn pass(&self) -> io::Result<()> {
        self.left.as_deref().map_or(Ok(()), pass)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.pass()?;
        self.file.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.pass()?;
        self.file.write_at(offset, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.pass()?;
        self.file.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.pass()?;
        self.file.len()
    }
}

/// A directory with a generation, and writes that are only in the log.
async fn prepare(dir: &Path) -> Vec<Item> {
    let database = Database::open(dir);
    let table = database.create("readings").await;
    database.put(&table, (0..60).map(|at| reading(at % 5, at, "1.5")).collect()).await;
    database.compactor.compact(None).await.unwrap();
    database.put(&table, (50..80).map(|at| reading(at % 5, at, "2.25")).collect()).await;
    database.remove(&table, (0..10).map(|at| reading(at % 5, at, "0")).collect()).await;
    let items = database.scan(&table).await.into_values().collect();
    database.close().await;
    items
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failed_operation_costs_at_most_another_try_or_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let base = root.path().join("base");
    let expected = prepare(&base).await;
    let (mut retried, mut restarted) = (0, 0);
    for operation in 1.. {
        let dir = root.path().join(operation.to_string());
        copy(&base, &dir);
        let left = Arc::new(AtomicI64::new(0));
        let disk = Arc::new(FaultyDisk { disk: OsDisk::open(&dir).unwrap(), left: left.clone() });
        let mut database = Database::open_on(disk, Cache::Off, Config::default(), START_US);
        let table = database.store.catalog().by_name("readings").unwrap().clone();
        left.store(operation, Ordering::Relaxed);
        let first = database.compactor.compact(None).await;
        let was_hit = left.swap(0, Ordering::Relaxed) <= 0;
        assert_eq!(Vec::from_iter(database.scan(&table).await.into_values()), expected, "operation {operation}");
        let again = match first {
            Ok(_) => database.compactor.compact(None).await,
            Err(error) => {
                assert!(was_hit, "{error}");
                retried += 1;
                database.compactor.compact(None).await
            }
        };
        if let Err(error) = again {
            assert!(matches!(error, Error::Store(store::Error::Unpublished { .. })), "operation {operation}: {error}");
            restarted += 1;
            database.close().await;
            database = Database::open(&dir);
            database.compactor.compact(None).await.unwrap();
        }
        assert_eq!(Vec::from_iter(database.scan(&table).await.into_values()), expected, "operation {operation}");
        check_tidy(&dir, &database);
        assert!(!published(&dir, "readings").is_empty());
        database.close().await;
        std::fs::remove_dir_all(&dir).unwrap();
        if !was_hit {
            break;
        }
    }
    assert!(retried > 30 && (1..10).contains(&restarted), "{retried} {restarted}");
}

fn check_tidy(dir: &Path, database: &Database) {
    let manifest = database.store.manifest();
    let named = |path: &Path| manifest.files.values().any(|entry| dir.join(entry.path()) == path);
    for (id, cold) in &manifest.cold_tables {
        let generation = dir.join(format!("cold/generations/{}-{}", id.0, cold.generation));
        for file in files_in(&generation) {
            assert!(named(&generation.join(file)));
        }
    }
    for run in std::fs::read_dir(dir.join("cold/runs")).unwrap() {
        let path = run.unwrap().path();
        assert!(named(&path), "{} is left over", path.display());
    }
}
