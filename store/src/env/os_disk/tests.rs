//! The real disk against a temporary directory.

use super::*;

#[test]
fn a_second_opener_is_told_that_the_directory_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let held = OsDisk::open(dir.path()).unwrap();
    assert!(matches!(OsDisk::open(dir.path()), Err(Error::InUse { path }) if path == dir.path().display().to_string()));
    drop(held);
    OsDisk::open(dir.path()).unwrap();
}

#[test]
fn a_new_directory_keeps_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let first = OsDisk::open(&path).unwrap().directory();
    assert_ne!(first, OsDisk::open(dir.path().join("c")).unwrap().directory());
    assert_eq!(OsDisk::open(&path).unwrap().directory(), first);
}

/// As the umask of most systems is, others could read the log, and with it the secrets of keys.
#[test]
fn what_is_made_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let disk = OsDisk::open(dir.path().join("a/b")).unwrap();
    disk.create_dir("c/d").unwrap();
    disk.create("c/d/e").unwrap();
    for (path, expected) in
        [("a", 0o700), ("a/b", 0o700), ("a/b/c/d", 0o700), ("a/b/c/d/e", 0o600), ("a/b/LOCK", 0o600)]
    {
        let mode = fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{path}");
    }
}

#[test]
fn a_newer_or_unreadable_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let format = dir.path().join("FORMAT");
    fs::write(&format, r#"{"format":2,"unheard":"of"}"#).unwrap();
    let refused = OsDisk::open(dir.path());
    assert!(matches!(refused, Err(Error::NewerFormat { found: 2, supported: 1, .. })), "{refused:?}");
    for unreadable in
        ["", "{\"format\":1}", "{\"format\":1,\"directory\":\"12\"}", "{\"format\":\"x\"}", "\u{0}\u{0}\u{0}"]
    {
        fs::write(&format, unreadable).unwrap();
        let refused = OsDisk::open(dir.path());
        assert!(
            matches!(&refused, Err(Error::Corrupt { path, .. }) if path == "FORMAT"),
            "{unreadable:?}: {refused:?}"
        );
    }
    fs::remove_file(&format).unwrap();
    fs::create_dir(dir.path().join("log")).unwrap();
    fs::write(dir.path().join("log/1"), "x").unwrap();
    assert!(matches!(OsDisk::open(dir.path()), Err(Error::Corrupt { .. })));
}

#[test]
fn files_and_names_behave_as_the_trait_says() {
    let dir = tempfile::tempdir().unwrap();
    let disk = OsDisk::open(dir.path()).unwrap();
    crate::env::conformance::names_and_bytes(&disk);
}

#[test]
fn block_writes_and_others_meet_in_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let disk = OsDisk::open(dir.path()).unwrap();
    crate::env::conformance::block_writes(&disk);
}
