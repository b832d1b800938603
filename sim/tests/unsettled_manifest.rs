//! A process died while it published a manifest: the name was there, and not durable yet. The next start read it and removed
//! the files that it no longer names; then the power went, and the name with it. The manifest before named files that were
//! gone, and the directory did not open any more. The simulation found this (seed 774); now a start makes the name of the
//! newest manifest durable before anything rests on it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use compactor::{Compactor, Step, Task};
use futures::FutureExt;
use item::{Actor, Item, Key, KeyAttribute, KeyType, Table, TableId, Value, table::Billing};
use sim::{
    clock::SimClock,
    disk::{Crash, SimDisk},
    random::Random,
};
use store::{
    Config, Stepper, Store,
    env::{DirectoryId, open_format},
    log::Preparation,
    manifest::Manifest,
    write::{Action, TableWrite, Write},
};

fn open(disk: &SimDisk) -> Result<(Store, Stepper, Compactor), compactor::Error> {
    open_format(disk, || Ok(DirectoryId(1)))?;
    let config =
        Config { shards: 1, segment_bytes: 48 << 10, log_preparation: Preparation::Inline, ..Config::default() };
    let (store, stepper) = Store::open_stepped(Arc::new(disk.clone()), Arc::new(SimClock::new(1)), config)?;
    let compactor = Compactor::open(store.clone(), compactor::Config::default())?;
    Ok((store, stepper, compactor))
}

fn finish(compactor: &Compactor, task: &Task) -> Result<(), store::Error> {
    let mut job = compactor.start(task);
    while job.step()? == Step::More {}
    Ok(())
}

fn item() -> Item {
    Item([("device".to_owned(), Value::from("pump"))].into())
}

/// A directory of one flushed item. The process died at the given operation of the merge that followed; answers also the
/// manifest's number before.
fn interrupted_merge(seed: u64, operation: u64) -> (SimDisk, u64) {
    let disk = SimDisk::new(Random::new(seed));
    let (store, mut stepper, compactor) = open(&disk).unwrap();
    let table = Table {
        id: TableId(0),
        name: "plants".to_owned(),
        version: 0,
        partition_key: KeyAttribute::new("device", KeyType::S),
        sort_key: None,
        sort_key_is_time: false,
        item_key: Vec::new(),
        further_keys: Default::default(),
        settings: Default::default(),
        indexes: Vec::new(),
        stream: None,
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: false,
        tags: Default::default(),
    };
    let mut made = store.submit_table(TableWrite::Create(table)).unwrap();
    stepper.run();
    let table = made.try_recv().unwrap().unwrap().unwrap();
    let (key, action) = (Key::of_item(&table, &item()).unwrap(), Action::Put(item()));
    let write = Write { table: table.clone(), key, action, condition: None, return_old: false, actor: Actor::User };
    let _answers = store.submit(vec![write]).unwrap();
    stepper.run();
    let _sealed = store.submit_seal();
    stepper.run();
    finish(&compactor, &Task::Flush).unwrap();

    disk.crash(Crash::At(disk.operations() + operation));
    finish(&compactor, &Task::Merge(table.id)).unwrap_err();
    disk.kill();
    (disk, store.manifest().number)
}

fn newest_manifest(disk: &SimDisk) -> u64 {
    Manifest::load(disk).unwrap().unwrap().number
}

#[test]
fn a_manifest_that_a_start_has_read_stays() {
    for seed in 0..20 {
        let is_visible = |operation: &u64| {
            let (disk, before) = interrupted_merge(seed, *operation);
            newest_manifest(&disk) > before
        };
        let linked = (1..100).find(is_visible).unwrap();
        let mut operation = 0;
        let mut opened = false;
        while !opened {
            operation += 1;
            let (disk, before) = interrupted_merge(seed, linked);
            disk.crash(Crash::At(disk.operations() + operation));
            opened = open(&disk).is_ok();
            disk.cut_power();

            let context = format!("seed {seed}, the power went at operation {operation} of the start");
            let (store, ..) = open(&disk).expect(&context);
            assert!(!opened || store.manifest().number > before, "{context}");
            let sound = compactor::verify(&disk).expect(&context);
            assert!(sound.problems.is_empty(), "{context}: {:?}", sound.problems);
            let table = store.catalog().by_name("plants").cloned().expect(&context);
            let key = Key::of_item(&table, &item()).unwrap();
            assert_eq!(store.get(&table, &key).now_or_never().unwrap().unwrap(), Some(item()), "{context}");
        }
    }
}
