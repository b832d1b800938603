//! All backups and pasts of a data directory.
//!
//! Whoever holds the compactor's work makes and drops them, one thing at a time, so that no file goes while it is linked.
//! Everyone may look.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use item::TableId;
use store::{Error, Store, env::Disk, log::FrameNumber, manifest::Manifest};

use crate::{
    AsOf, Base, Kind, Past,
    base::Opened,
    draft,
    past::{self, PASTS_DIR},
    recorder,
};

/// Where backups lie, each under its id.
pub(crate) const BACKUPS_DIR: &str = "backups";
/// Where bases lie that somebody reads for a while.
pub(crate) const SCRATCH_DIR: &str = "restores";

/// All backups and pasts. Cloning shares them.
#[derive(Clone)]
pub struct Backups(Arc<Inner>);

struct Inner {
    store: Store,
    state: Mutex<State>,
    /// The backups of deleted tables that are being made.
    preserving: Mutex<BTreeMap<TableId, Preserving>>,
}

#[derive(Default)]
struct State {
    /// By id.
    backups: BTreeMap<String, Arc<Base>>,
    pasts: BTreeMap<TableId, Past>,
    /// Counts backups that were begun.
    begun: u32,
    /// Tables of which something failed, and when that was: others are not to wait for them.
    failed: BTreeMap<TableId, u64>,
}

/// A backup of a deleted table under way. Its directory stays the same however often it is begun, so failures do not pile up.
struct Preserving {
    dir: String,
    as_of: Option<AsOf>,
}

/// So long, microseconds, nothing is tried again of a table of which something failed.
const BACK_OFF_US: u64 = 60_000_000;

/// What is to be done for pasts and backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Record what is flushed.
    Record,
    /// Begin the past of a table.
    Begin(TableId),
    /// Make another base of a table.
    Base(TableId),
    /// Remove bases that no restore needs any more.
    Trim(TableId),
    /// Make a backup of a deleted table of what its past holds.
    Preserve(TableId),
    /// Remove a past.
    Forget(TableId),
    /// Remove the backups whose time is over.
    Expire,
}

impl Backups {
    /// Finds what there is, and removes what a crash left unfinished. Blocks on the disk.
    pub fn open(store: Store) -> Result<Backups, Error> {
        let disk = Arc::clone(store.disk());
        let mut state = State::default();
        for base in bases(&disk, BACKUPS_DIR)? {
            state.backups.insert(base.id().to_owned(), Arc::new(base));
        }
        // The log let go of nothing that was not recorded; so what it does not have is not needed.
        let trimmed = FrameNumber(store.log().trim_point().0.saturating_sub(1));
        for table in past::tables(disk.as_ref())? {
            if let Some(mut past) = Past::open(&disk, table)? {
                past.recorded = past.recorded.max(trimmed);
                state.pasts.insert(table, past);
            }
        }
        Ok(Backups(Arc::new(Inner { store, state: Mutex::new(state), preserving: Mutex::default() })))
    }

    /// Sets the gauges.
    pub fn observe(&self) {
        let flushed = self.0.store.manifest().flushed;
        let state = self.state();
        let history = state.pasts.values().flat_map(|past| &past.history);
        let unrecorded = state.pasts.values().map(|past| flushed.0.saturating_sub(past.recorded.0)).max();
        metrics::gauge!("thalweg_backup_backups").set(state.backups.len() as f64);
        metrics::gauge!("thalweg_backup_tables").set(state.pasts.len() as f64);
        metrics::gauge!("thalweg_backup_history_bytes").set(history.map(|file| file.bytes).sum::<u64>() as f64);
        metrics::gauge!("thalweg_backup_unrecorded_frames").set(unrecorded.unwrap_or_default() as f64);
    }

    /// All backups, by the time when they were made.
    pub fn list(&self) -> Vec<Arc<Base>> {
        self.state().backups.values().cloned().collect()
    }

    /// The backup of that id.
    pub fn get(&self, id: &str) -> Option<Arc<Base>> {
        self.state().backups.get(id).cloned()
    }

    /// Removes a backup; answers what it was. Blocks on the disk.
    pub fn delete(&self, id: &str) -> Result<Option<Arc<Base>>, Error> {
        let Some(base) = self.get(id) else { return Ok(None) };
        base.remove()?;
        self.sync(BACKUPS_DIR)?;
        // Last: what could not be removed can be asked for again.
        self.state().backups.remove(id);
        Ok(Some(base))
    }

    /// The past of a table, if it has one.
    pub fn past(&self, table: TableId) -> Option<Past> {
        self.state().pasts.get(&table).cloned()
    }

    /// The base `name` that was made for a restore or an export; none if there is none that is whole. Blocks on the disk.
    pub fn scratch(&self, name: &str) -> Result<Option<Base>, Error> {
        Base::open(self.0.store.disk(), &scratch_dir(name))
    }

    /// Removes that base, and what was to become it. Blocks on the disk.
    pub fn remove_scratch(&self, name: &str) -> Result<(), Error> {
        draft::remove(self.0.store.disk(), &scratch_dir(name))
    }

    /// The names of the bases that were made for restores and exports, also of those that are not whole.
    pub fn scratches(&self) -> Result<Vec<String>, Error> {
        self.0.store.disk().list(SCRATCH_DIR).map_err(Error::io("list", SCRATCH_DIR))
    }

    /// The first frame that the log must keep, for what is not recorded yet; none if it is not needed.
    pub fn log_needed_from(&self) -> Option<FrameNumber> {
        self.state().pasts.values().map(|past| past.recorded.next()).min()
    }

    /// What is most urgent, if anything is due as of `manifest`, the one in force. A table of which something failed has no needs for a
    /// minute, but to be recorded.
    pub fn need(&self, manifest: &Manifest, now_us: u64) -> Option<Need> {
        let state = self.state();
        // The clock may have been set back since.
        let waits = |table: TableId| state.failed.get(&table).is_some_and(|at_us| at_us.abs_diff(now_us) < BACK_OFF_US);
        if state.pasts.values().any(|past| past.recorded < manifest.flushed) {
            return Some(Need::Record);
        }
        for past in state.pasts.values().filter(|past| !waits(past.table)) {
            let Some(table) = manifest.catalog.by_id(past.table) else {
                let is_preserved = state.backups.values().any(|base| is_of_deleted(base, past.table));
                return Some(if is_preserved { Need::Forget(past.table) } else { Need::Preserve(past.table) });
            };
            match table.settings.recovery {
                Some(period) if past.since_us() == Some(period.since_us) => {
                    if past.is_base_due(now_us) {
                        return Some(Need::Base(past.table));
                    }
                    if past.bases_over(period, now_us) > 0 {
                        return Some(Need::Trim(past.table));
                    }
                }
                // Off, or on again since.
                _ => return Some(Need::Forget(past.table)),
            }
        }
        let without = |table: TableId| !state.pasts.contains_key(&table) && !waits(table);
        let mut continuous = manifest.catalog.user_tables().filter(|table| table.settings.recovery.is_some());
        if let Some(table) = continuous.find(|table| without(table.id)) {
            return Some(Need::Begin(table.id));
        }
        state.backups.values().any(|base| is_over(base, now_us)).then_some(Need::Expire)
    }

    /// Does what [`Backups::need`] says, or a part of it: what is left is needed still. Answers false if nothing is needed. Only for
    /// whoever holds the compactor's work. Blocks on the disk.
    pub fn meet_need(&self) -> Result<bool, Error> {
        let now_us = self.0.store.clock().now_us();
        let manifest = self.0.store.manifest();
        let Some(need) = self.need(&manifest, now_us) else { return Ok(false) };
        self.meet(need, &manifest, now_us)?;
        Ok(true)
    }

    /// Begins or ends the pasts of tables whose continuous backups were turned on or off, as the manifest in force has them; bases,
    /// and backups of deleted tables, are left to [`Backups::meet_need`]. A table that fails does not keep the others from it; the
    /// first error is answered. Only for whoever holds the compactor's work. Blocks on the disk.
    pub fn switch(&self) -> Result<(), Error> {
        let now_us = self.0.store.clock().now_us();
        let manifest = self.0.store.manifest();
        let since_us = |table: TableId| {
            let recovery = manifest.catalog.by_id(table).and_then(|table| table.settings.recovery);
            recovery.map(|recovery| recovery.since_us)
        };
        let mut outcome = Ok(());
        let pasts: Vec<(TableId, Option<u64>)> =
            self.state().pasts.values().map(|past| (past.table, past.since_us())).collect();
        for (table, past_since_us) in pasts {
            if manifest.catalog.by_id(table).is_some() && since_us(table) != past_since_us {
                outcome = outcome.and(self.meet(Need::Forget(table), &manifest, now_us));
            }
        }
        for table in manifest.catalog.user_tables().filter(|table| table.settings.recovery.is_some()) {
            if self.past(table.id).is_none() {
                outcome = outcome.and(self.meet(Need::Begin(table.id), &manifest, now_us));
            }
        }
        outcome
    }

    fn meet(&self, need: Need, manifest: &Manifest, now_us: u64) -> Result<(), Error> {
        let met = self.try_to_meet(need, manifest, now_us);
        if let Some(table) = need.table() {
            match &met {
                Ok(()) => _ = self.state().failed.remove(&table),
                Err(_) => _ = self.state().failed.insert(table, now_us),
            }
        }
        met
    }

    fn try_to_meet(&self, need: Need, manifest: &Manifest, now_us: u64) -> Result<(), Error> {
        let disk = self.0.store.disk();
        match need {
            Need::Record => self.record(manifest)?,
            Need::Begin(table) => {
                let times = (now_us, self.time_of(manifest.flushed, now_us)?);
                if let Some(past) = Past::begin(disk, manifest, table, times)? {
                    metrics::counter!("thalweg_backup_bases_total").increment(1);
                    self.state().pasts.insert(table, past);
                }
            }
            Need::Base(table) => {
                if let Some(mut past) = self.past(table) {
                    past.add_base(disk, manifest, (now_us, self.time_of(manifest.flushed, now_us)?))?;
                    metrics::counter!("thalweg_backup_bases_total").increment(1);
                    self.state().pasts.insert(table, past);
                }
            }
            Need::Trim(table) => {
                let period = manifest.catalog.by_id(table).and_then(|table| table.settings.recovery);
                if let (Some(mut past), Some(period)) = (self.past(table), period) {
                    past.drop_bases(disk, past.bases_over(period, now_us))?;
                    self.state().pasts.insert(table, past);
                }
            }
            Need::Preserve(table) => self.preserve(table, now_us)?,
            Need::Forget(table) => {
                past::remove(disk, table)?;
                self.sync(PASTS_DIR)?;
                self.state().pasts.remove(&table);
            }
            Need::Expire => {
                for base in self.list().into_iter().filter(|base| is_over(base, now_us)) {
                    self.delete(base.id())?;
                }
            }
        }
        Ok(())
    }

    /// Now, or when `frame` was committed if the clock was set back since: the log's times never go back. What is later than that
    /// but before the first frame that is kept is as good.
    fn time_of(&self, frame: FrameNumber, now_us: u64) -> Result<u64, Error> {
        let log = self.0.store.log();
        let frames = log.read(frame.max(log.trim_point()), 1)?;
        Ok(frames.first().map_or(now_us, |frame| frame.committed_at_us.max(now_us)))
    }

    /// Does a little of the backup of a deleted table.
    fn preserve(&self, table: TableId, now_us: u64) -> Result<(), Error> {
        let mut preserving = self.0.preserving.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = preserving
            .entry(table)
            .or_insert_with(|| Preserving { dir: format!("{BACKUPS_DIR}/{}", self.new_id()), as_of: None });
        match self.preserve_in(under_way, table, now_us) {
            Ok(false) => {}
            Ok(true) => _ = preserving.remove(&table),
            // It goes on where it is.
            Err(error @ Error::Full { .. }) => return Err(error),
            Err(error) => {
                under_way.as_of = None;
                draft::tidy(self.0.store.disk(), &under_way.dir);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Answers whether it is done.
    fn preserve_in(&self, under_way: &mut Preserving, table: TableId, now_us: u64) -> Result<bool, Error> {
        if under_way.as_of.is_none() {
            let Some(past) = self.past(table) else { return Ok(true) };
            let what = (format!("{}$DeletedTableBackup", past.schema().name), Kind::System);
            let times = (now_us, self.time_of(past.recorded, now_us)?);
            under_way.as_of = AsOf::begin(&self.0.store, &past, None, &under_way.dir, what, times)?;
        }
        let as_of = under_way.as_of.as_mut().expect("a past has a base");
        let Some(base) = as_of.step()? else { return Ok(false) };
        self.add(base);
        Ok(true)
    }

    /// Makes a backup of a table as the manifest in force has it; none if it has no such table. Only for whoever holds the
    /// compactor's work. Blocks on the disk.
    pub fn create(&self, table: TableId, name: &str) -> Result<Option<Arc<Base>>, Error> {
        let store = &self.0.store;
        let now_us = store.clock().now_us();
        let dir = format!("{BACKUPS_DIR}/{}", self.new_id());
        let manifest = store.manifest();
        let times = (now_us, self.time_of(manifest.flushed, now_us)?);
        let base = Base::make(store.disk(), &dir, &manifest, table, name.to_owned(), Kind::User, times)?;
        let Some(base) = base else { return Ok(None) };
        self.add(base.clone());
        Ok(Some(Arc::new(base)))
    }

    /// Begins a base, for a restore or an export to read, of a table at a time, or as it is by now as far as that is recorded. None
    /// if its past does not go back so far. Only for whoever holds the compactor's work. Blocks on the disk.
    pub fn as_of(&self, table: TableId, at_us: Option<u64>, name: &str) -> Result<Option<AsOf>, Error> {
        let Some(past) = self.past(table) else { return Ok(None) };
        let now_us = self.0.store.clock().now_us();
        let what = (name.to_owned(), Kind::Scratch);
        let times = (now_us, self.time_of(past.recorded, now_us)?);
        AsOf::begin(&self.0.store, &past, at_us, &scratch_dir(name), what, times)
    }

    /// Goes on with what [`Backups::as_of`] began; none if it is done, or nothing was begun. Blocks on the disk.
    pub fn resume(&self, name: &str) -> Result<Option<AsOf>, Error> {
        AsOf::resume(&self.0.store, &scratch_dir(name))
    }

    /// Makes a base, for a restore or an export to read, of a backup: that may go then. Blocks on the disk.
    pub fn copy(&self, backup: &Base, name: &str) -> Result<Base, Error> {
        let disk = self.0.store.disk();
        let manifest = backup.manifest()?;
        let mut draft = draft::Draft::begin(disk, &scratch_dir(name))?;
        draft.link(backup.dir(), &manifest)?;
        let note = crate::Note { name: name.to_owned(), kind: Kind::Scratch, ..backup.note.clone() };
        draft.finish(&manifest, note)
    }

    fn record(&self, manifest: &Manifest) -> Result<(), Error> {
        let store = &self.0.store;
        let positions = self.state().pasts.iter().map(|(table, past)| (*table, past.position())).collect();
        let log = store.log().as_ref();
        let recorded = recorder::record(store.disk(), log, store.shards(), &positions, manifest.flushed)?;
        let bytes = recorded.files.values().map(|file| file.bytes).sum();
        metrics::counter!("thalweg_backup_history_bytes_total").increment(bytes);
        let mut state = self.state();
        for table in positions.keys().filter(|table| recorded.error.is_none() || recorded.files.contains_key(table)) {
            if let Some(past) = state.pasts.get_mut(table) {
                past.recorded = past.recorded.max(recorded.through);
                past.history.extend(recorded.files.get(table));
            }
        }
        recorded.error.map_or(Ok(()), Err)
    }

    fn add(&self, base: Base) {
        metrics::counter!("thalweg_backup_bases_total").increment(1);
        self.state().backups.insert(base.id().to_owned(), Arc::new(base));
    }

    /// An id that no backup has had: the time in milliseconds, and eight digits that tell those of one of them apart.
    pub fn new_id(&self) -> String {
        let now_us = self.0.store.clock().now_us();
        let mut state = self.state();
        let last = state.backups.keys().next_back().cloned().unwrap_or_default();
        state.begun = state.begun.wrapping_add(1);
        // Whatever the clock says, a later backup has a greater id.
        let last_millis = last.split('-').next().and_then(|digits| digits.parse::<u64>().ok());
        let millis = (now_us / 1000).max(last_millis.map_or(0, |last| last + 1));
        format!("{millis:014}-{:08x}", state.begun)
    }

    fn sync(&self, dir: &str) -> Result<(), Error> {
        self.0.store.disk().sync_dir(dir).map_err(Error::io("sync directory", dir))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bases under `dir`. What was to become one goes; what is not named like one is not ours.
fn bases(disk: &Arc<dyn Disk>, dir: &str) -> Result<Vec<Base>, Error> {
    let mut bases = Vec::new();
    for name in disk.list(dir).map_err(Error::io("list", dir))? {
        let path = format!("{dir}/{name}");
        if !is_id(&name) {
            tracing::warn!(path, "what is no backup is passed over");
            continue;
        }
        match Base::open_or_tell(disk, &path)? {
            Opened::Whole(base) => bases.push(base),
            Opened::Damaged | Opened::Stranger => {}
            Opened::Unfinished => {
                tracing::info!(path, "removing an unfinished backup");
                draft::tidy(disk, &path);
            }
        }
    }
    Ok(bases)
}

/// Is it an id, as [`Backups::new_id`] makes them?
pub(crate) fn is_id(name: &str) -> bool {
    let is_hexadecimal = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    name.split_once('-').is_some_and(|(millis, count)| {
        let is_number = millis.len() >= 14 && millis.bytes().all(|byte| byte.is_ascii_digit());
        is_number && count.len() == 8 && is_hexadecimal(count)
    })
}

impl Need {
    /// The table that it is about, if it is one.
    fn table(self) -> Option<TableId> {
        match self {
            Need::Begin(table)
            | Need::Base(table)
            | Need::Trim(table)
            | Need::Preserve(table)
            | Need::Forget(table) => Some(table),
            Need::Record | Need::Expire => None,
        }
    }
}

fn is_of_deleted(base: &Base, table: TableId) -> bool {
    base.note.kind == Kind::System && base.note.table == table.0
}

fn is_over(base: &Base, now_us: u64) -> bool {
    base.note.expires_at_us.is_some_and(|at_us| at_us <= now_us)
}

fn scratch_dir(name: &str) -> String {
    format!("{SCRATCH_DIR}/{name}")
}
