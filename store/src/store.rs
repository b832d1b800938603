//! The handle that everyone else holds.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use item::{Image, Item, Key, ShardId, Table, TableId};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::timeout,
};

use crate::{
    Catalog, Config, Direction, Error, Page, PageLimit, SortRange, Target,
    batch::Reply,
    cache::Cache,
    claim::Claim,
    core::{Ask, Core, Refusal, TableAnswer, Wanted},
    drive,
    env::{Clock, Disk, Space},
    files::{ColdFile, Row},
    inbox::{Inbox, Signal},
    log::{FrameNumber, Log},
    manifest::{CurrentManifest, Edit, Manifest},
    memtable::State,
    park::{Fetch, Fetched},
    read::{self, Reader},
    recover,
    request::Request,
    room::{self, Room, RoomLimits, RoomWatch},
    snapshot::Snapshot,
    stepper::Stepper,
    transaction::{Transacted, Transaction, TransactionRequest},
    view::{CurrentView, View, shard_of_key},
    write::{Answers, TableWrite, Write},
};

/// For so long a refused frame counts: only another write can tell that there is room again.
const REFUSAL_US: u64 = 60_000_000;

/// How long a caller waits for the store.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until planning begins: what has waited so long is taken back.
    pub admission: Duration,
    /// For the answer to what can no longer be taken back.
    pub answer: Duration,
}

/// Something handed in: whose it is, and where its answer comes.
type HandedIn<T> = (Claim, oneshot::Receiver<Result<T, Error>>);

impl Patience {
    /// The answer to what `hand_in` hands in.
    async fn answer<T>(self, hand_in: impl Future<Output = Result<HandedIn<T>, Error>>) -> Result<T, Error> {
        let mut handed_in = None;
        let answered = async {
            let (_, answer) = handed_in.insert(hand_in.await?);
            answer.await.unwrap_or(Err(Error::Closed))
        };
        if let Ok(answer) = timeout(self.admission, answered).await {
            return answer;
        }
        match handed_in {
            Some((claim, answer)) if !claim.take() => timeout(self.answer, answer)
                .await
                .map_or(Err(Error::Unanswered), |answer| answer.unwrap_or(Err(Error::Closed))),
            _ => Err(Error::Busy),
        }
    }
}

/// An open store. Cloning shares it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    /// The core's thread, until it is joined.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the handle, the threads and the look-ups share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) cache: Cache,
    pub(crate) view: Arc<CurrentView>,
    pub(crate) inbox: Arc<Inbox>,
    manifest: CurrentManifest,
    room: RoomWatch,
    tail: watch::Receiver<FrameNumber>,
    refusal: watch::Receiver<Option<Refusal>>,
    admission: Arc<Semaphore>,
    admission_bytes_max: usize,
}

impl Store {
    /// Opens or makes the data directory `disk`, replays the log, and starts the thread that plans, logs and applies. Look-ups run on
    /// the calling tokio runtime.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, config: Config, cache: Cache) -> Result<Store, Error> {
        let (core, shared) = Self::recover(disk, clock, &config, cache)?;
        let thread = drive::start(core, shared.clone(), Handle::current())?;
        let store = Store(Arc::new(Inner { shared, thread: Mutex::new(Some(thread)) }));
        store.check_room();
        Ok(store)
    }

    /// Opens like [`Store::open`], but nothing happens on its own: the caller drives every step. For the simulator.
    pub fn open_stepped(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, config: Config) -> Result<(Store, Stepper), Error> {
        let (core, shared) = Self::recover(disk, clock, &config, Cache::Off)?;
        let stepper = Stepper::new(core, shared.clone());
        Ok((Store(Arc::new(Inner { shared, thread: Mutex::new(None) })), stepper))
    }

    fn recover(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        config: &Config,
        cache: Cache,
    ) -> Result<(Core, Arc<Shared>), Error> {
        let began_us = clock.now_us();
        let recovered = recover::recover(&disk, clock.as_ref(), config)?;
        let took_us = clock.now_us().saturating_sub(began_us);
        metrics::gauge!("thalweg_store_recovery_seconds").set(took_us as f64 / 1e6);
        let (flushed, applied) = (recovered.manifest.flushed.0, recovered.applied.frame.0);
        tracing::info!(flushed, replayed = applied - flushed, took_ms = took_us / 1000, "recovered");
        let view = Arc::new(recovered.view);
        let (tail_sender, tail) = watch::channel(FrameNumber(recovered.applied.frame.0 + 1));
        let (refusal_sender, refusal) = watch::channel(None);
        let last_us = recovered.last_committed_at_us;
        let core = Core::new(recovered.applied, last_us, view.clone(), tail_sender, refusal_sender, config);
        let shared = Arc::new(Shared {
            disk,
            clock,
            log: recovered.log,
            cache,
            view,
            inbox: Arc::default(),
            manifest: CurrentManifest::new(recovered.manifest),
            room: RoomWatch::new(RoomLimits::new(config)),
            tail,
            refusal,
            admission: Arc::new(Semaphore::new(config.admission_bytes_max)),
            admission_bytes_max: config.admission_bytes_max,
        });
        Ok((core, shared))
    }

    /// Plans, logs, syncs and applies `batch`; each write is on its own. Waits while too much is admitted.
    /// An error means that nothing of it may be assumed: it may or may not have been stored.
    pub async fn write(&self, batch: Vec<Write>) -> Result<Answers, Error> {
        let (_, answers) = self.hand_in(batch).await?;
        answers.await.unwrap_or(Err(Error::Closed))
    }

    /// Like [`Store::write`], but waits only so long: [`Error::Busy`] if nothing of it was planned and nothing will be,
    /// [`Error::Unanswered`] if it was.
    pub async fn write_within(&self, batch: Vec<Write>, patience: Patience) -> Result<Answers, Error> {
        patience.answer(self.hand_in(batch)).await
    }

    /// Hands `batch` in once there is room for it.
    async fn hand_in(&self, batch: Vec<Write>) -> Result<HandedIn<Answers>, Error> {
        let requests: Vec<Request> = batch.into_iter().map(Request::new).collect();
        self.0.shared.room.check(|| room::grow(&requests))?;
        let permit = self.admit(requests.iter().map(Request::bytes).sum()).await?;
        let (sender, answers) = oneshot::channel();
        let claim = self.ask(Wanted::Write(requests, Reply { sender, permit: Some(permit) }))?;
        Ok((claim, answers))
    }

    /// Does all of `transaction` in one frame, or nothing of it. Waits, and answers errors, as [`Store::write`] does.
    pub async fn transact(&self, transaction: Transaction) -> Result<Transacted, Error> {
        let (_, answers) = self.hand_in_transaction(transaction).await?;
        only(answers.await.unwrap_or(Err(Error::Closed)))
    }

    /// Like [`Store::transact`], but waits only so long, as [`Store::write_within`] does.
    pub async fn transact_within(&self, transaction: Transaction, patience: Patience) -> Result<Transacted, Error> {
        only(patience.answer(self.hand_in_transaction(transaction)).await)
    }

    async fn hand_in_transaction(&self, transaction: Transaction) -> Result<HandedIn<Vec<Transacted>>, Error> {
        let transaction = TransactionRequest::new(transaction);
        self.0.shared.room.check(|| room::grow(&transaction.requests))?;
        let permit = self.admit(transaction.bytes()).await?;
        let (sender, answer) = oneshot::channel();
        let claim = self.ask(Wanted::Transaction(transaction, Reply { sender, permit: Some(permit) }))?;
        Ok((claim, answer))
    }

    /// Hands a transaction in without waiting for room or its answer, which is the only one of its list. For the simulator.
    pub fn submit_transaction(
        &self,
        transaction: Transaction,
    ) -> Result<oneshot::Receiver<Result<Vec<Transacted>, Error>>, Error> {
        let (sender, answer) = oneshot::channel();
        let transaction = TransactionRequest::new(transaction);
        self.0.shared.room.check(|| room::grow(&transaction.requests))?;
        self.ask(Wanted::Transaction(transaction, Reply { sender, permit: None }))?;
        Ok(answer)
    }

    /// Waits until so much more may be admitted.
    async fn admit(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let shared = &self.0.shared;
        let permits = u32::try_from(bytes.clamp(1, shared.admission_bytes_max)).unwrap_or(u32::MAX);
        shared.admission.clone().acquire_many_owned(permits).await.map_err(|_| Error::Closed)
    }

    fn ask(&self, wanted: Wanted) -> Result<Claim, Error> {
        let claim = Claim::default();
        self.0.shared.inbox.ask(Ask { wanted, claim: claim.clone() })?;
        Ok(claim)
    }

    /// Hands `batch` in without waiting for room or answers. For the simulator, which drives the steps itself.
    pub fn submit(&self, batch: Vec<Write>) -> Result<oneshot::Receiver<Result<Answers, Error>>, Error> {
        let (sender, answers) = oneshot::channel();
        let requests: Vec<Request> = batch.into_iter().map(Request::new).collect();
        self.0.shared.room.check(|| room::grow(&requests))?;
        self.ask(Wanted::Write(requests, Reply { sender, permit: None }))?;
        Ok(answers)
    }

    /// Makes, changes or removes a table, durably; answers its schema as it is (or was, if removed).
    pub async fn change_table(&self, change: TableWrite) -> Result<TableAnswer, Error> {
        self.submit_table(change)?.await.unwrap_or(Err(Error::Closed))
    }

    /// Like [`Store::change_table`], but waits only so long, as [`Store::write_within`] does.
    pub async fn change_table_within(&self, change: TableWrite, patience: Patience) -> Result<TableAnswer, Error> {
        patience.answer(async { self.hand_in_table(change) }).await
    }

    /// Hands a table change in without waiting for its answer. For the simulator.
    pub fn submit_table(&self, change: TableWrite) -> Result<oneshot::Receiver<Result<TableAnswer, Error>>, Error> {
        self.hand_in_table(change).map(|(_, answer)| answer)
    }

    fn hand_in_table(&self, change: TableWrite) -> Result<HandedIn<TableAnswer>, Error> {
        let grows = || match &change {
            TableWrite::Create(_) | TableWrite::AddIndex(..) => true,
            TableWrite::Update(_, update) => update.add_index.is_some(),
            _ => false,
        };
        self.0.shared.room.check(grows)?;
        let (sender, answer) = oneshot::channel();
        let claim = self.ask(Wanted::Table(Box::new(change), sender))?;
        Ok((claim, answer))
    }

    /// Asks the disk how much room is left; what is taken from now on, and what the compactor does, follows that. To be called
    /// a few times a second. Blocks on the disk.
    pub fn check_room(&self) -> Room {
        let shared = &self.0.shared;
        match shared.disk.space() {
            Ok(space) => shared.room.tell(space),
            Err(error) => {
                tracing::debug!(%error, "the disk does not tell how much room is left");
                shared.room.get().0
            }
        }
    }

    /// How much room was left on the disk when it was last asked; in bytes, if it told.
    pub fn room(&self) -> (Room, Option<Space>) {
        self.0.shared.room.get()
    }

    /// Returns once the disk is not full, as far as it was told.
    pub async fn wait_for_room(&self) {
        self.0.shared.room.wait().await;
    }

    /// The error of what the room that was last told does not allow.
    pub fn full(&self) -> Error {
        self.0.shared.room.error()
    }

    /// How many bytes may be taken without touching the reserve, as last told; none if the disk does not tell.
    pub fn spare_bytes(&self) -> Option<u64> {
        self.0.shared.room.spare_bytes()
    }

    /// Would a write be taken now? If not, why: the disk is full, the log has failed, or there was no room for its last frame (which is told
    /// until a frame is stored, or for a minute), memory waits for the compactor, or the store is closing.
    pub async fn health(&self, patience: Patience) -> Result<(), Error> {
        let shared = &self.0.shared;
        shared.room.check(|| true)?;
        let refusal = shared.refusal.borrow().clone();
        if let Some(Refusal { error, at_us }) = refusal
            && (matches!(error, Error::Poisoned { .. }) || shared.clock.now_us().saturating_sub(at_us) < REFUSAL_US)
        {
            return Err(error);
        }
        self.write_within(Vec::new(), patience).await.map(drop)
    }

    /// The tables, as applied.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.view().catalog.clone()
    }

    /// The item of `key`; linearizable.
    pub async fn get(&self, table: &Table, key: &Key) -> Result<Option<Item>, Error> {
        let view = self.view();
        let row = self.0.shared.look_up(&view, table.id, key).await?;
        if let Some(row) = &row {
            self.0.shared.view.wait_for(shard_of_key(key, view.shards()), row.sequence);
        }
        let image = row.and_then(|row| row.image).filter(|_| self.is_there(table.id));
        image.map(|image| image.decode().map_err(|error| read::corrupt(table, &error))).transpose()
    }

    /// Is there still a table or an index of that number? When one goes, its rows in memory go at once, those in files later:
    /// what was read meanwhile may be neither the one nor the other.
    fn is_there(&self, id: TableId) -> bool {
        self.view().catalog.rows_of(id).is_some()
    }

    /// The items of `keys` as of one frame, to be read one by one: no transaction shows in part.
    pub fn snapshot(&self, keys: Vec<(Arc<Table>, Key)>) -> Snapshot {
        Snapshot::take(&self.0.shared.view, &self.0.shared.cache, keys)
    }

    /// Items of one partition whose sort key is in `range`, after `after` (exclusive) if given; none of what is no more.
    pub async fn query<'a>(
        &self,
        target: impl Into<Target<'a>>,
        partition: &[u8],
        range: &SortRange,
        direction: Direction,
        after: Option<&Key>,
        limit: PageLimit,
    ) -> Result<Page, Error> {
        let target = target.into();
        self.query_images(target, partition, range, direction, after, limit).await?.decode(target.schema())
    }

    /// As [`Store::query`], without decoding the items.
    pub async fn query_images(
        &self,
        target: Target<'_>,
        partition: &[u8],
        range: &SortRange,
        direction: Direction,
        after: Option<&Key>,
        limit: PageLimit,
    ) -> Result<Page<Image>, Error> {
        let page = self.0.shared.reader(&self.view()).query(target, partition, range, direction, after, limit).await?;
        self.0.shared.view.wait_for_frame();
        Ok(if self.is_there(target.id()) { page } else { Page::default() })
    }

    /// Items whose slot is in `slots`, by shard, then key, after `after` (exclusive) if given.
    pub async fn scan<'a>(
        &self,
        target: impl Into<Target<'a>>,
        slots: Range<u16>,
        after: Option<&Key>,
        limit: PageLimit,
    ) -> Result<Page, Error> {
        let target = target.into();
        self.scan_images(target, slots, after, limit).await?.decode(target.schema())
    }

    /// As [`Store::scan`], without decoding the items.
    pub async fn scan_images(
        &self,
        target: Target<'_>,
        slots: Range<u16>,
        after: Option<&Key>,
        limit: PageLimit,
    ) -> Result<Page<Image>, Error> {
        let page = self.0.shared.reader(&self.view()).scan(target, slots, after, limit).await?;
        self.0.shared.view.wait_for_frame();
        Ok(if self.is_there(target.id()) { page } else { Page::default() })
    }

    /// The newest rows of what `id` numbers in one shard, by key, after `after` (exclusive), removed keys included; fewer than
    /// `rows_max` only at the end.
    pub async fn rows(&self, id: TableId, shard: ShardId, after: &Key, rows_max: usize) -> Result<Vec<Row>, Error> {
        let rows = self.0.shared.reader(&self.view()).rows(id, shard, Some(after), rows_max).await?;
        self.0.shared.view.wait_for_frame();
        Ok(if self.is_there(id) { rows } else { Vec::new() })
    }

    /// Live rows and their bytes, approximately: superseded and removed rows count until they are merged.
    pub fn approximate_size(&self, table: &Table) -> (u64, u64) {
        self.view().approximate_size(table)
    }

    /// Bytes of the items that share the partition key of `key`, and of their entries in local indexes, as DynamoDB counts
    /// them, at most. Reads nothing.
    pub fn collection_bytes_max(&self, table: &Table, key: &Key) -> u64 {
        self.view().collection_bytes_max(table, key)
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.view().shards()
    }

    /// The log, for readers. Frames at or past [`Store::applied`] are not to be shown yet.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.0.shared.log
    }

    /// The first frame that is not yet applied; changes as writes are applied.
    pub fn applied(&self) -> watch::Receiver<FrameNumber> {
        self.0.shared.tail.clone()
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.shared.clock
    }

    /// Bytes of writes that are admitted and not answered.
    pub fn admitted_bytes(&self) -> usize {
        let shared = &self.0.shared;
        shared.admission_bytes_max.saturating_sub(shared.admission.available_permits())
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.0.shared.disk
    }

    /// The cache of cold pages.
    pub fn cache(&self) -> &Cache {
        &self.0.shared.cache
    }

    /// Where to look for rows, as of now.
    pub fn view(&self) -> Arc<View> {
        self.0.shared.view.get()
    }

    /// What is flushed, as of now: does not wait for a commit under way.
    pub fn manifest(&self) -> Arc<Manifest> {
        self.0.shared.manifest.get()
    }

    /// Seals the active memtables at a frame: after `true` every write answered before is in a sealed set or in files. `false`:
    /// as many sets as may wait are waiting, so flush one first.
    pub async fn seal(&self) -> Result<bool, Error> {
        self.submit_seal().await.map_err(|_| Error::Closed)
    }

    /// Asks for a seal without waiting for it. For the simulator.
    pub fn submit_seal(&self) -> oneshot::Receiver<bool> {
        let (sender, done) = oneshot::channel();
        self.0.shared.inbox.signal(Signal::Seal(sender));
        done
    }

    /// Publishes the manifest after `edit`, then lets readers see it: `added` are the opened files that it adds; sealed
    /// sets that it flushed go. Blocks on the disk. One at a time.
    pub fn commit(&self, edit: &Edit, added: Vec<Arc<ColdFile>>) -> Result<(), Error> {
        let shared = &self.0.shared;
        if edit.flushed.is_some() {
            // A log that ends before a flushed frame is refused at open; without a sync at every frame it might.
            shared.log.sync()?;
        }
        shared.manifest.commit(shared.disk.as_ref(), edit, |next| {
            shared.view.change(|view| {
                view.files = Arc::new(view.files.edited(next, added));
                view.sealed.retain(|sealed| sealed.through > next.flushed);
            });
        })?;
        shared.inbox.signal(Signal::Committed);
        Ok(())
    }

    /// Stops taking writes, waits for those taken, and records the tail.
    pub async fn close(&self) -> Result<(), Error> {
        self.0.shared.inbox.close();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
            if !matches!(joined, Ok(true)) {
                return Err(Error::Poisoned { cause: "the core thread panicked".to_owned() });
            }
        }
        self.0.shared.log.close()
    }
}

/// The answer of a batch of one.
fn only(answers: Result<Vec<Transacted>, Error>) -> Result<Transacted, Error> {
    Ok(answers?.pop().expect("a transaction has one answer"))
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever forgot to close must not leave threads behind.
        self.shared.inbox.close();
    }
}

impl Shared {
    /// What planning parked for: the key's item, and how far its partition goes, in a view of this moment.
    pub(crate) async fn fetch(&self, fetch: &Fetch) -> Result<Fetched, Error> {
        let view = self.view.get();
        let reader = self.reader(&view);
        let row = self.look_up(&view, fetch.table, &fetch.key).await?;
        // A late reading: more will lie beside it. What cannot be learned is looked up again.
        if row.is_none()
            && let Err(error) = reader.learn(fetch.table, &fetch.key).await
        {
            tracing::debug!(%error, "keys around a late reading could not be read");
        }
        let high = if fetch.wants_high { reader.greatest_sort(fetch.table, &fetch.key).await? } else { None };
        Ok(Fetched { fetch: fetch.clone(), image: row.and_then(|row| row.image), high })
    }

    /// The newest row of a key, which may be newer than `view`, and is kept for those who ask again.
    async fn look_up(&self, view: &View, table: TableId, key: &Key) -> Result<Option<Row>, Error> {
        let reader = self.reader(view);
        if let Some(row) = reader.get_hot(table, key) {
            return Ok(Some(row));
        }
        let row_of = |State { sequence, image }| Row { key: key.clone(), sequence, image };
        if let Some(state) = view.rows.get(table, key) {
            return Ok(Some(row_of(state)));
        }
        let row = reader.get_cold(table, key).await?;
        let found = row.as_ref().map(|row| State { sequence: row.sequence, image: row.image.clone() });
        view.rows.keep(table, key, found, view, &self.view);
        Ok(row)
    }

    fn reader<'a>(&'a self, view: &'a View) -> Reader<'a> {
        Reader { view, cache: &self.cache }
    }
}
