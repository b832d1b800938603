//! Damage is found and named; a sound directory has none.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::{Path, PathBuf};

use compactor::{Config, Step, Task, Verified, verify};
use store::env::OsDisk;
use support::{Database, START_US, copy, reading};

/// A directory with a published generation of 200 rows, one run with a removed key, and a log.
async fn example(dir: &Path) {
    let database = Database::open_with(dir, Config::default(), START_US);
    let table = database.create("readings").await;
    database.put(&table, (0..200).map(|at| reading(at % 7, at, "1.5")).collect()).await;
    database.compactor.compact(None).await.unwrap();
    database.remove(&table, vec![reading(1, 1, "0")]).await;
    assert!(database.store.seal().await.unwrap());
    let mut job = database.compactor.start(&Task::Flush);
    while job.step().unwrap() == Step::More {}
    database.put(&table, vec![reading(2, 2000, "2")]).await;
    database.close().await;
}

fn check(dir: &Path) -> Verified {
    verify(&OsDisk::open(dir).unwrap()).unwrap()
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_directory_has_no_problems_and_is_not_changed() {
    let root = tempfile::tempdir().unwrap();
    example(root.path()).await;
    let verified = check(root.path());
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
    assert!(verified.notes.is_empty(), "{:?}", verified.notes);
    assert_eq!(verified.rows, 201);
    assert!(verified.files >= 2);
    // A table event in each of 3 shards; 202 writes.
    assert_eq!(verified.log.events, 3 + 202);
    let again = check(root.path());
    assert_eq!(verified.log, again.log);
    assert_eq!(Database::open(root.path()).compactor.compact(None).await.unwrap()[0].total.rows, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_directory_is_sound() {
    let root = tempfile::tempdir().unwrap();
    let verified = check(root.path());
    assert!(verified.problems.is_empty());
    assert_eq!(verified.manifest, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_damage_is_found_with_its_file() {
    let root = tempfile::tempdir().unwrap();
    let whole = root.path().join("whole");
    example(&whole).await;
    let problem = |name: &str, damage: &dyn Fn(&Path)| {
        let dir = root.path().join(name);
        copy(&whole, &dir);
        damage(&dir);
        let problems = check(&dir).problems;
        assert_eq!(problems.len(), 1, "{name}: {problems:?}");
        problems[0].to_string()
    };
    let generation = |dir: &Path| files_under(&files_under(&dir.join("cold/generations"))[0])[0].clone();
    let flip = |path: PathBuf, at: usize| {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };

    let text = problem("flipped", &|dir| flip(generation(dir), 20));
    assert!(text.contains("cold/generations/") && text.contains("checksum"), "{text}");
    let text = problem("cut", &|dir| {
        let run = files_under(&dir.join("cold/runs"))[0].clone();
        let bytes = std::fs::read(&run).unwrap();
        std::fs::write(run, &bytes[..bytes.len() / 2]).unwrap();
    });
    assert!(text.contains("cold/runs/") && text.contains("the manifest says"), "{text}");
    let text = problem("missing", &|dir| std::fs::remove_file(generation(dir)).unwrap());
    assert!(text.contains("it is missing"), "{text}");
    let text = problem("manifest", &|dir| flip(files_under(&dir.join("manifest")).pop().unwrap(), 300));
    assert!(text.contains("manifest/"), "{text}");
    let text = problem("log", &|dir| flip(files_under(&dir.join("log"))[0].clone(), 5000));
    assert!(text.contains("log/"), "{text}");
    let text = problem("link", &|dir| {
        let link = dir.join("cold/tables/readings");
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("../generations/77-1", link).unwrap();
    });
    assert!(text.contains("cold/tables/readings") && text.contains("77-1"), "{text}");
    let text = problem("stranger", &|dir| std::fs::write(generation(dir).with_file_name("x.parquet"), "").unwrap());
    assert!(text.contains("x.parquet"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_open_will_tidy_is_no_problem() {
    let root = tempfile::tempdir().unwrap();
    example(root.path()).await;
    std::fs::write(root.path().join("cold/runs/left"), "").unwrap();
    std::fs::remove_file(root.path().join("cold/tables/readings")).unwrap();
    let verified = check(root.path());
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
    assert_eq!(verified.notes, ["cold/tables/readings is not linked", "cold/runs/left is left over"]);
    Database::open(root.path()).close().await;
    assert_eq!(check(root.path()).notes, [] as [String; 0]);
}
