//! What the simulated disk keeps and loses.

use std::collections::BTreeSet;

use store::env::{conformance, read_file};

use super::*;

fn disk(seed: u64) -> SimDisk {
    SimDisk::new(Random::new(seed))
}

fn put(disk: &SimDisk, path: &str, bytes: &[u8]) -> Box<dyn DiskFile> {
    let file = disk.create(path).unwrap();
    file.write_at(0, bytes).unwrap();
    file
}

#[test]
fn behaves_like_a_disk_while_it_has_power() {
    conformance::names_and_bytes(&disk(1));
    conformance::block_writes(&disk(2));
}

#[test]
fn what_is_synced_survives() {
    for seed in 0..50 {
        let disk = disk(seed);
        disk.create_dir("a").unwrap();
        disk.sync_dir("").unwrap();
        put(&disk, "a/file", b"bytes").sync().unwrap();
        disk.sync_dir("a").unwrap();
        disk.cut_power();
        assert_eq!(read_file(&disk, "a/file").unwrap().unwrap(), b"bytes");
    }
}

#[test]
fn what_is_not_synced_is_lost_kept_or_torn() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let disk = disk(seed);
        put(&disk, "file", &[0; 1024]).sync().unwrap();
        disk.sync_dir("").unwrap();
        let file = disk.open("file").unwrap();
        file.write_at(0, &[1; 1024]).unwrap();
        disk.cut_power();
        let content = read_file(&disk, "file").unwrap().unwrap();
        seen.insert((content[0], content[511], content[512], content[1023]));
        assert!(file.sync().is_err(), "a file opened before the crash is dead");
    }
    assert_eq!(seen, [(0, 0, 0, 0), (0, 0, 1, 1), (1, 1, 0, 0), (1, 1, 1, 1)].into());
}

#[test]
fn names_that_are_not_synced_may_be_lost() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let disk = disk(seed);
        put(&disk, "before", b"1").sync().unwrap();
        disk.sync_dir("").unwrap();
        put(&disk, "new", b"2").sync().unwrap();
        disk.rename("before", "after").unwrap();
        disk.cut_power();
        seen.insert(disk.list("").unwrap());
    }
    let all = [vec!["after"], vec!["after", "new"], vec!["before"], vec!["before", "new"]];
    assert_eq!(seen, all.map(|names| names.into_iter().map(str::to_owned).collect()).into());
}

#[test]
fn a_kill_loses_nothing_but_keeps_it_unsynced() {
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let disk = disk(seed);
        put(&disk, "file", b"bytes");
        disk.kill();
        assert_eq!(read_file(&disk, "file").unwrap().unwrap(), b"bytes");
        disk.cut_power();
        seen.insert(read_file(&disk, "file").unwrap().map(|bytes| bytes.len()));
    }
    assert!(seen.contains(&None));
}

#[test]
fn after_a_crash_every_call_fails_until_the_next_boot() {
    let disk = disk(3);
    disk.crash(Crash::At(3));
    let file = disk.create("a").unwrap();
    file.write_at(0, b"1").unwrap();
    assert!(file.sync().is_err());
    assert!(disk.is_down() && file.write_at(0, b"2").is_err() && disk.list("").is_err());
    disk.kill();
    assert_eq!(disk.list("").unwrap(), ["a"]);
}

#[test]
fn paths_go_through_symlinks() {
    let disk = disk(4);
    disk.create_dir("cold/generations/7-1").unwrap();
    disk.create_dir("cold/tables").unwrap();
    put(&disk, "cold/generations/7-1/file", b"x");
    disk.symlink("../generations/7-1", "cold/tables/name").unwrap();
    assert_eq!(disk.list("cold/tables/name").unwrap(), ["file"]);
    assert_eq!(read_file(&disk, "cold/tables/name/file").unwrap().unwrap(), b"x");
}
