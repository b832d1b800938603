//! What every `Disk` must do when nothing crashes.

use std::io::ErrorKind;

use super::{BLOCK_BYTES, BlockBuffer, Disk, read_file, replace_file};

/// Walks through every call on an empty directory.
pub fn names_and_bytes(disk: &dyn Disk) {
    let kind = |result: std::io::Result<()>| result.map_err(|error| error.kind());
    assert_eq!(disk.list("a/b").expect("list"), Vec::<String>::new());
    disk.create_dir("a/b").expect("create_dir");
    disk.create_dir("a/b").expect("create_dir again");
    assert_eq!(disk.list("a").expect("list"), ["b"]);

    let file = disk.create("a/b/2").expect("create");
    assert!(matches!(disk.create("a/b/2").map(drop), Err(error) if error.kind() == ErrorKind::AlreadyExists));
    assert!(matches!(disk.open("a/b/3").map(drop), Err(error) if error.kind() == ErrorKind::NotFound));
    assert!(matches!(disk.create("a/c/3").map(drop), Err(error) if error.kind() == ErrorKind::NotFound));
    file.write_at(3, b"def").expect("write");
    file.write_at(0, b"abc").expect("write");
    file.sync().expect("sync");
    assert_eq!(file.len().expect("len"), 6);
    let mut bytes = [0; 4];
    disk.open("a/b/2").expect("open").read_at(1, &mut bytes).expect("read");
    assert_eq!(&bytes, b"bcde");
    assert_eq!(kind(file.read_at(3, &mut bytes)), Err(ErrorKind::UnexpectedEof));

    disk.hard_link("a/b/2", "a/b/1").expect("hard_link");
    assert_eq!(kind(disk.hard_link("a/b/2", "a/b/1")), Err(ErrorKind::AlreadyExists));
    assert_eq!(disk.list("a/b").expect("list"), ["1", "2"]);
    disk.remove("a/b/2").expect("remove");
    assert_eq!(kind(disk.remove("a/b/2")), Err(ErrorKind::NotFound));
    assert_eq!(read_file(disk, "a/b/1").expect("read").expect("is there"), b"abcdef");
    assert_eq!(read_file(disk, "a/b/2").expect("read"), None);
    assert_eq!(file.len().expect("an unlinked file stays readable"), 6);
    assert_eq!(kind(disk.remove_dir("a/b")), Err(ErrorKind::DirectoryNotEmpty));

    disk.symlink("b", "a/link").expect("symlink");
    assert_eq!(kind(disk.symlink("c", "a/link")), Err(ErrorKind::AlreadyExists));
    disk.symlink("c", "a/link.new").expect("symlink");
    disk.rename("a/link.new", "a/link").expect("rename");
    assert_eq!(disk.read_link("a/link").expect("read_link").as_deref(), Some("c"));
    assert_eq!(disk.read_link("a/none").expect("read_link"), None);
    assert_eq!(disk.read_link("a/b/1").expect("read_link"), None);
    disk.remove("a/link").expect("remove");
    disk.sync_dir("a").expect("sync_dir");

    replace_file(disk, "", "small", b"one").expect("replace");
    replace_file(disk, "", "small", b"two").expect("replace");
    assert_eq!(read_file(disk, "small").expect("read").expect("is there"), b"two");
    disk.remove("small").expect("remove");
    disk.remove("a/b/1").expect("remove");
    disk.remove_dir("a/b").expect("remove_dir");
    disk.remove_dir("a").expect("remove_dir");
    assert_eq!(kind(disk.sync_dir("a")), Err(ErrorKind::NotFound));
}

/// Writes in blocks and others to one file, read through the same and through another handle.
pub fn block_writes(disk: &dyn Disk) {
    let file = disk.create("blocks").expect("create");
    file.write_at(0, &vec![1; 4 * BLOCK_BYTES as usize]).expect("write");
    file.sync().expect("sync");
    let file = disk.open_for_blocks("blocks").expect("open_for_blocks");
    let mut buffer = BlockBuffer::default();
    buffer.reset(2 * BLOCK_BYTES as usize).fill(2);
    file.write_at(BLOCK_BYTES, buffer.bytes()).expect("write blocks");
    file.write_at(3 * BLOCK_BYTES - 1, b"33").expect("write others");
    file.sync().expect("sync");
    for reader in [file, disk.open("blocks").expect("open")] {
        let mut bytes = vec![0; 4 * BLOCK_BYTES as usize];
        reader.read_at(0, &mut bytes).expect("read");
        let block = BLOCK_BYTES as usize;
        let is = |from: usize, to: usize, byte: u8| bytes[from..to].iter().all(|found| *found == byte);
        assert!(is(0, block, 1) && is(block, 3 * block - 1, 2) && is(3 * block - 1, 3 * block + 1, b'3'));
        assert!(is(3 * block + 1, 4 * block, 1));
        assert_eq!(reader.len().expect("len"), 4 * BLOCK_BYTES);
    }
    assert!(matches!(disk.open_for_blocks("none").map(drop), Err(error) if error.kind() == ErrorKind::NotFound));
    disk.remove("blocks").expect("remove");
}
