//! The key of whoever owns the data directory: made anew at each start, good for everything while the server runs, and
//! readable by its user only. So the last key can be revoked without locking out who could read the keys' secrets anyway.

use std::{fs, io::Write, path::Path};

use anyhow::Context;
use api::{Credentials, Keys};
use serde::{Deserialize, Serialize};

/// Its name in the data directory.
const FILE: &str = "owner-key.json";

#[derive(Serialize, Deserialize)]
struct Stored {
    access_key: String,
    secret_key: String,
}

/// Makes a key and leaves it in the data directory. Without one, as on a full disk, the server serves all the same.
pub(crate) fn make(data_dir: &Path) -> Option<Credentials> {
    let made = Keys::random().map_err(anyhow::Error::from).and_then(|key| write(data_dir, &key).map(|()| key));
    made.inspect_err(
        |error| tracing::warn!(error = %format!("{error:#}"), "there is no key of the data directory's owner"),
    )
    .ok()
}

fn write(data_dir: &Path, key: &Credentials) -> anyhow::Result<()> {
    let stored = Stored { access_key: key.access_key.clone(), secret_key: key.secret_key.clone() };
    // Made for its owner only, and never half written under its name.
    let mut file = tempfile::NamedTempFile::new_in(data_dir).context(FILE)?;
    file.write_all(&serde_json::to_vec(&stored)?).context(FILE)?;
    file.persist(data_dir.join(FILE)).context(FILE)?;
    Ok(())
}

/// The key that the server of a data directory left there; none if there is no such server, or it is not ours to read.
pub(crate) fn read(data_dir: &Path) -> Option<Credentials> {
    let stored: Stored = serde_json::from_slice(&fs::read(data_dir.join(FILE)).ok()?).ok()?;
    Some(Credentials { access_key: stored.access_key, secret_key: stored.secret_key, session_token: None })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path()).is_none());
        let (first, second) = (make(directory.path()).unwrap(), make(directory.path()).unwrap());
        assert_ne!(first.secret_key, second.secret_key);
        assert_eq!(read(directory.path()).unwrap().access_key, second.access_key);
        let mode = fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(make(&directory.path().join("none")).is_none());
    }
}
