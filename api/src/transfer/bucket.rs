//! Buckets: what `S3Bucket` names in a request, mapped to a directory by the operator.
//!
//! A request can name a bucket and keys in it, never a path. A key's parts between `/` are the names of directories and of a
//! file; a part is refused if it is empty, `.` or `..`, or has a NUL. Directories are opened one below the other and no
//! symbolic link is followed, so that nothing outside the bucket's directory is read or written, whoever makes links in it.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString},
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use super::is_bucket_name;

/// Objects that one listing names at most: DynamoDB imports as many.
pub(crate) const OBJECTS_MAX: usize = 50_000;
/// Directories below each other at most.
const DEPTH_MAX: usize = 64;

/// The buckets that there are.
#[derive(Clone, Debug, Default)]
pub struct Buckets(Arc<BTreeMap<String, PathBuf>>);

impl Buckets {
    /// Buckets by name, each with its directory. The error says which of them cannot be one.
    pub fn new(buckets: BTreeMap<String, PathBuf>) -> Result<Buckets, String> {
        for (name, directory) in &buckets {
            if !is_bucket_name(name) {
                return Err(format!(
                    "`{name}` is no name of a bucket: letters, digits, `.`, `-` and `_`, beginning and ending with a letter or a \
                     digit, 255 at most"
                ));
            }
            if !directory.is_absolute() {
                return Err(format!("the directory of bucket `{name}`, {}, is not absolute", directory.display()));
            }
        }
        Ok(Buckets(Arc::new(buckets)))
    }

    /// The bucket of that name.
    pub(crate) fn get(&self, name: &str) -> Option<Bucket> {
        self.0.get(name).map(|directory| Bucket { directory: directory.clone() })
    }
}

/// One bucket. Its calls block on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    directory: PathBuf,
}

/// An object's key and length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) bytes: u64,
}

/// Is this a key, as far as a directory has such?
pub(crate) fn is_key(key: &str) -> bool {
    key.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
}

impl Bucket {
    /// The objects whose keys begin with `prefix`, by key; more than [`OBJECTS_MAX`] is an error. Names that are no UTF-8 and what is neither a file
    /// nor a directory are passed over.
    pub(crate) fn list(&self, prefix: &str) -> io::Result<Vec<Object>> {
        let mut objects = Vec::new();
        // Only what may begin with the prefix is looked into.
        let (parent, _) = prefix.rsplit_once('/').unwrap_or_default();
        if !parent.is_empty() && !is_key(parent) {
            return Ok(objects);
        }
        let directory = match self.open_directory(parent, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !parent.is_empty() => {
                // The bucket itself must be there.
                self.root()?;
                return Ok(objects);
            }
            opened => opened?,
        };
        let at = if parent.is_empty() { String::new() } else { format!("{parent}/") };
        list_below(&directory, &at, prefix, 0, &mut objects)?;
        objects.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(objects)
    }

    /// Opens an object to be read.
    pub(crate) fn open(&self, key: &str) -> io::Result<File> {
        let (parent, name) = self.place(key)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::openat(&parent, name.as_c_str(), flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
    }

    /// Makes an object that must not exist, with the directories that lead to it.
    pub(crate) fn create(&self, key: &str) -> io::Result<File> {
        let (directory, name) = split(key)?;
        let parent = self.open_directory(directory, true)?;
        create_in(&parent, &c_string(name)?)
    }

    /// Makes `content` the object at `key`, durably: after a crash it is whole, or as before.
    pub(crate) fn put(&self, key: &str, content: &[u8]) -> io::Result<()> {
        let (directory, name) = split(key)?;
        let parent = self.open_directory(directory, true)?;
        let (staged, name) = (c_string(&format!("{name}.new"))?, c_string(name)?);
        remove_in(&parent, &staged, AtFlags::empty())?;
        let mut file = create_in(&parent, &staged)?;
        file.write_all(content)?;
        file.sync_all()?;
        rustix::fs::renameat(&parent, staged.as_c_str(), &parent, name.as_c_str())?;
        rustix::fs::fsync(&parent)?;
        Ok(())
    }

    /// Makes the names in `directory`, and of the directories that lead to it, durable.
    pub(crate) fn sync(&self, directory: &str) -> io::Result<()> {
        let mut at = self.root()?;
        rustix::fs::fsync(&at)?;
        for part in directory.split('/') {
            at = open_below(&at, &c_string(part)?)?;
            rustix::fs::fsync(&at)?;
        }
        Ok(())
    }

    /// Removes the files of a directory but those of these names; there may be none.
    pub(crate) fn clear(&self, directory: &str, but: &[&str]) -> io::Result<()> {
        let parent = match self.open_directory(directory, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        for entry in Dir::read_from(&parent)? {
            let entry = entry?;
            let is_kept = entry.file_name().to_str().is_ok_and(|name| but.contains(&name));
            if !is_kept && kind(&parent, &entry) == FileType::RegularFile {
                remove_in(&parent, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    fn root(&self) -> io::Result<OwnedFd> {
        open_root(&self.directory)
    }

    /// Opens `directory` in the bucket, making it if it is to be made.
    fn open_directory(&self, directory: &str, make: bool) -> io::Result<OwnedFd> {
        let mut at = self.root()?;
        for part in directory.split('/').filter(|_| !directory.is_empty()) {
            let name = c_string(part)?;
            if make {
                match rustix::fs::mkdirat(&at, name.as_c_str(), Mode::from_raw_mode(0o777)) {
                    Err(error) if error != rustix::io::Errno::EXIST => return Err(error.into()),
                    _ => {}
                }
            }
            at = open_below(&at, &name)?;
        }
        Ok(at)
    }

    fn place(&self, key: &str) -> io::Result<(OwnedFd, CString)> {
        let (directory, name) = split(key)?;
        Ok((self.open_directory(directory, false)?, c_string(name)?))
    }
}

/// The directory of a key, and the name in it.
fn split(key: &str) -> io::Result<(&str, &str)> {
    if !is_key(key) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{key}` is no key of an object")));
    }
    Ok(key.rsplit_once('/').unwrap_or(("", key)))
}

fn c_string(name: &str) -> io::Result<CString> {
    if matches!(name, "" | "." | "..") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is no part of a key")));
    }
    CString::new(name).map_err(io::Error::from)
}

/// The operator's own path may have symbolic links.
fn open_root(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory, flags, Mode::empty())?)
}

fn open_below(parent: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

fn create_in(parent: &OwnedFd, name: &CStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o666))?))
}

/// Removes a name that may be missing already.
fn remove_in(parent: &OwnedFd, name: &CStr, flags: AtFlags) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, flags) {
        Err(error) if error != rustix::io::Errno::NOENT => Err(error.into()),
        _ => Ok(()),
    }
}

/// What kind of thing a directory's entry is; some file systems do not tell with its name.
fn kind(parent: &OwnedFd, entry: &rustix::fs::DirEntry) -> FileType {
    match entry.file_type() {
        FileType::Unknown => rustix::fs::statat(parent, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
            .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
        known => known,
    }
}

/// Adds what lies in `directory`, whose keys begin with `at`, if its key begins with `prefix`.
fn list_below(directory: &OwnedFd, at: &str, prefix: &str, depth: usize, objects: &mut Vec<Object>) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if matches!(name, "." | "..") {
            continue;
        }
        let key = format!("{at}{name}");
        match kind(directory, &entry) {
            FileType::RegularFile if key.starts_with(prefix) => {
                let stat = rustix::fs::statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                if objects.len() >= OBJECTS_MAX {
                    return Err(io::Error::other(format!("there are more than {OBJECTS_MAX} objects")));
                }
                objects.push(Object { key, bytes: u64::try_from(stat.st_size).unwrap_or_default() });
            }
            FileType::Directory => {
                let below = format!("{key}/");
                if !below.starts_with(prefix) && !prefix.starts_with(&below) {
                    continue;
                }
                if depth >= DEPTH_MAX {
                    return Err(io::Error::other(format!("`{key}` lies in more than {DEPTH_MAX} directories")));
                }
                let opened = open_below(directory, entry.file_name())?;
                list_below(&opened, &below, prefix, depth + 1, objects)?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn bucket() -> (tempfile::TempDir, Bucket) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("bucket");
        std::fs::create_dir(&root).unwrap();
        (directory, Bucket { directory: root })
    }

    fn keys(bucket: &Bucket, prefix: &str) -> Vec<String> {
        bucket.list(prefix).unwrap().into_iter().map(|object| object.key).collect()
    }

    #[test]
    fn a_prefix_names_what_begins_with_it() {
        let (_directory, bucket) = bucket();
        for key in ["a/b/1", "a/b/2", "a/bc", "ab/1", "z"] {
            bucket.put(key, b"x").unwrap();
        }
        assert_eq!(keys(&bucket, ""), ["a/b/1", "a/b/2", "a/bc", "ab/1", "z"]);
        assert_eq!(keys(&bucket, "a"), ["a/b/1", "a/b/2", "a/bc", "ab/1"]);
        assert_eq!(keys(&bucket, "a/b"), ["a/b/1", "a/b/2", "a/bc"]);
        assert_eq!(keys(&bucket, "a/b/"), ["a/b/1", "a/b/2"]);
        assert_eq!(keys(&bucket, "a/b/2"), ["a/b/2"]);
        assert!(keys(&bucket, "no/such").is_empty());
        let gone = Bucket { directory: "/nonexistent/bucket".into() };
        assert_eq!(gone.list("a/b").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_object_is_replaced_whole_and_a_directory_cleared() {
        let (_directory, bucket) = bucket();
        bucket.put("a/data/1", b"old").unwrap();
        bucket.put("a/data/1", b"new").unwrap();
        let mut text = String::new();
        bucket.open("a/data/1").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "new");
        assert_eq!(bucket.create("a/data/1").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        bucket.put("a/data/2", b"kept").unwrap();
        bucket.clear("a/data", &["2"]).unwrap();
        bucket.clear("nowhere", &[]).unwrap();
        bucket.sync("a/data").unwrap();
        assert_eq!(keys(&bucket, ""), ["a/data/2"]);
    }

    #[test]
    fn nothing_outside_is_reached() {
        let (directory, bucket) = bucket();
        let secret = directory.path().join("secret");
        std::fs::create_dir(&secret).unwrap();
        std::fs::write(secret.join("file"), "secret").unwrap();
        std::os::unix::fs::symlink(&secret, bucket.directory.join("link")).unwrap();
        std::os::unix::fs::symlink(secret.join("file"), bucket.directory.join("file")).unwrap();
        for key in
            ["../secret/file", "/etc/passwd", "a/../../secret/file", "link/file", "file", "./x", "a//b", "", "x\0"]
        {
            assert!(bucket.open(key).is_err(), "{key:?} was read");
            assert!(bucket.create(key).is_err(), "{key:?} was made");
            assert!(bucket.put(key, b"x").is_err() || key == "file", "{key:?} was written");
        }
        assert_eq!(std::fs::read(secret.join("file")).unwrap(), b"secret");
        assert!(keys(&bucket, "../").is_empty() && keys(&bucket, "../secret/").is_empty());
        assert!(bucket.list("link/").is_err() && keys(&bucket, "l").is_empty());
        assert!(bucket.clear("link", &[]).is_err());
    }
}
