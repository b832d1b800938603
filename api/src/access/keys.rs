//! All access keys: items of a system table, and a picture of them in memory that every request looks at.
//!
//! Only this process writes them, so a change counts from the moment at which it is answered. The picture is loaded when it
//! is first needed; until that works nobody is let in. With the first key a row is made that stays when the last key is
//! revoked, so that the server does not open again.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use item::{Actor, Item, Key, Table, Value, key::SLOTS, table::system};
use ring::rand::{SecureRandom, SystemRandom};
use store::{
    PageLimit, Patience, Store,
    write::{Action, Write},
};
use tokio::sync::{Mutex, OnceCell, watch};

use super::{AccessKey, Permission};
use crate::{Credentials, Error};

/// So many keys at most; each is held in memory.
const KEYS_MAX: usize = 10_000;
/// So many permissions of one key at most.
const PERMISSIONS_MAX: usize = 100;
/// What names of keys begin with.
const NAME_PREFIX: &str = "THAL";
/// Sessions may last as long as AWS's do: 15 minutes to 36 hours.
const SESSION_S: std::ops::RangeInclusive<u64> = 900..=36 * 3600;

/// The row that says that there was a key.
const THERE_WAS_ONE: &str = "-";
/// `kind` of the rows that are access keys.
const KIND: &str = "key";

/// The access keys of a server.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    store: Store,
    /// The owner of the data directory; is in no table, and does not turn checking on.
    owner: Option<Arc<AccessKey>>,
    loaded: OnceCell<()>,
    /// Was a key ever made?
    checking: watch::Sender<bool>,
    keys: RwLock<BTreeMap<String, Arc<AccessKey>>>,
    /// Held while a key is made or revoked.
    change: Mutex<()>,
}

/// A key to be made.
pub(crate) struct Wanted {
    pub(crate) permissions: Vec<Permission>,
    /// For how long, in seconds; without an end if none.
    pub(crate) session_s: Option<u64>,
}

/// A session's length, if it is one.
pub(crate) fn session_seconds(seconds: u64) -> Result<u64, Error> {
    if SESSION_S.contains(&seconds) {
        return Ok(seconds);
    }
    Err(Error::Validation(format!("a session lasts from {} to {} seconds", SESSION_S.start(), SESSION_S.end())))
}

impl Keys {
    /// The keys that `store` holds. `owner` may do everything once keys exist, beside them.
    pub fn new(store: Store, owner: Option<Credentials>) -> Keys {
        let owner = owner.map(|owner| Arc::new(AccessKey::new(owner, None, vec![Permission::all()], 0)));
        Keys(Arc::new(Inner {
            store,
            owner,
            loaded: OnceCell::new(),
            checking: watch::Sender::new(false),
            keys: RwLock::default(),
            change: Mutex::new(()),
        }))
    }

    /// Credentials that nobody else has.
    pub fn random() -> Result<Credentials, Error> {
        let access_key = format!("{NAME_PREFIX}{}", name_of(&random::<10>()?));
        Ok(Credentials { access_key, secret_key: STANDARD.encode(random::<30>()?), session_token: None })
    }

    /// Must requests be signed? So it is once a key was made.
    pub async fn checking(&self) -> Result<bool, Error> {
        self.0.loaded.get_or_try_init(|| self.load()).await?;
        Ok(*self.0.checking.borrow())
    }

    /// Refuses whoever may not ask any more: `by` was revoked, or who was let in without a key is not let in now.
    pub(crate) fn check(&self, by: Option<&AccessKey>) -> Result<(), Error> {
        match by {
            Some(key) => key.check_good(),
            None if *self.0.checking.borrow() => Err(Error::MissingAuthentication),
            None => Ok(()),
        }
    }

    /// Returns when requests must be signed.
    pub(crate) async fn closed(&self) {
        // The sender lives as long as this.
        let _ = self.0.checking.subscribe().wait_for(|checking| *checking).await;
    }

    /// The key of that name, if it may be used.
    pub(super) fn get(&self, access_key: &str) -> Option<Arc<AccessKey>> {
        if let Some(owner) = self.0.owner.as_ref().filter(|owner| owner.credentials.access_key == access_key) {
            return Some(Arc::clone(owner));
        }
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(access_key).filter(|key| key.check_good().is_ok()).cloned()
    }

    /// All keys, by name.
    pub(crate) fn list(&self) -> Vec<Arc<AccessKey>> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Makes a key, as `by` asks; from now on requests must be signed.
    pub(crate) async fn create(
        &self,
        by: Option<Arc<AccessKey>>,
        wanted: Wanted,
        patience: Patience,
    ) -> Result<Arc<AccessKey>, Error> {
        if wanted.permissions.is_empty() || wanted.permissions.len() > PERMISSIONS_MAX {
            return Err(Error::Validation(format!("a key has from 1 to {PERMISSIONS_MAX} permissions")));
        }
        wanted.permissions.iter().try_for_each(Permission::check)?;
        let now_us = self.0.store.clock().now_us();
        let mut credentials = Keys::random()?;
        let until_us = match wanted.session_s {
            Some(seconds) => {
                credentials.session_token = Some(STANDARD.encode(random::<96>()?));
                Some(now_us + seconds * 1_000_000)
            }
            None => None,
        };
        let key = Arc::new(AccessKey::new(credentials, until_us, wanted.permissions, now_us));
        let keys = self.clone();
        finish(async move {
            let _alone = keys.0.change.lock().await;
            keys.check(by.as_deref())?;
            keys.forget_ended(now_us, patience).await?;
            if keys.list().len() >= KEYS_MAX {
                return Err(Error::Validation(format!("there are {KEYS_MAX} keys already: revoke some first")));
            }
            let access_key = &key.credentials.access_key;
            let was_one = (THERE_WAS_ONE, Action::Put(marker(THERE_WAS_ONE)));
            let written = keys.write(vec![(access_key, Action::Put(row(&key))), was_one], patience).await;
            match &written {
                Ok(()) => tracing::info!(access_key, "an access key was made"),
                // It may be stored. So it counts from now on as it may after a restart: it is listed, and can be revoked.
                Err(Error::Internal(cause)) => tracing::error!(access_key, cause, "an access key may have been made"),
                Err(_) => return written.map(|()| key),
            }
            keys.edit(|all| _ = all.insert(access_key.clone(), Arc::clone(&key)));
            keys.0.checking.send_replace(true);
            written.map(|()| key)
        })
        .await
    }

    /// Ends a key, as `by` asks.
    pub(crate) async fn revoke(
        &self,
        by: Option<Arc<AccessKey>>,
        access_key: &str,
        patience: Patience,
    ) -> Result<(), Error> {
        let (keys, access_key) = (self.clone(), access_key.to_owned());
        finish(async move {
            let _alone = keys.0.change.lock().await;
            keys.check(by.as_deref())?;
            let key = keys.0.keys.read().unwrap_or_else(PoisonError::into_inner).get(&access_key).cloned();
            let key = key.ok_or_else(|| Error::NotFound(format!("there is no access key {access_key}")))?;
            keys.remove(&key, patience).await?;
            tracing::info!(access_key, "an access key was revoked");
            Ok(())
        })
        .await
    }

    /// Removes the rows of sessions that are over.
    async fn forget_ended(&self, now_us: u64, patience: Patience) -> Result<(), Error> {
        for key in self.list().iter().filter(|key| key.until_us.is_some_and(|until_us| until_us <= now_us)) {
            self.remove(key, patience).await?;
        }
        Ok(())
    }

    /// Ends a key: at once for requests, and in the store. Should that fail it is still listed, to be revoked again.
    async fn remove(&self, key: &AccessKey, patience: Patience) -> Result<(), Error> {
        let name = &key.credentials.access_key;
        key.revoke();
        self.write(vec![(name, Action::Remove)], patience).await?;
        self.edit(|all| _ = all.remove(name));
        Ok(())
    }

    async fn load(&self) -> Result<(), Error> {
        let table = self.table();
        let mut after = None;
        loop {
            let page = self.0.store.scan(&table, 0..SLOTS, after.as_ref(), PageLimit::default()).await?;
            for item in page.items.iter().filter(|item| text(item, "kind") == Some(KIND)) {
                // Also a row that says no more than that there was a key.
                self.0.checking.send_replace(true);
                if let Some(key) = key_of(item) {
                    self.edit(|all| _ = all.insert(key.credentials.access_key.clone(), Arc::new(key)));
                }
            }
            after = page.last_key;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn edit(&self, edit: impl FnOnce(&mut BTreeMap<String, Arc<AccessKey>>)) {
        edit(&mut self.0.keys.write().unwrap_or_else(PoisonError::into_inner));
    }

    async fn write(&self, rows: Vec<(&str, Action)>, patience: Patience) -> Result<(), Error> {
        let table = self.table();
        let write = |(name, action)| {
            let key = Key::of_item(&table, &marker(name)).expect("names of keys are short and not empty");
            Write { table: table.clone(), key, action, condition: None, return_old: false, actor: Actor::System }
        };
        for answer in self.0.store.write_within(rows.into_iter().map(write).collect(), patience).await? {
            answer?;
        }
        // Whatever the durability of readings: who has lost a key, or has one again that was revoked, is worse off.
        let log = Arc::clone(self.0.store.log());
        let synced = tokio::task::spawn_blocking(move || log.sync()).await;
        synced.map_err(|error| Error::Internal(error.to_string()))?.map_err(Error::from)
    }

    fn table(&self) -> Arc<Table> {
        self.0.store.catalog().by_id(system::PRINCIPALS).expect("system tables are in every catalogue").clone()
    }
}

/// Carries a change to its end, also if whoever asked for it goes away.
async fn finish<T: Send + 'static>(
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::spawn(change).await {
        Ok(result) => result,
        Err(join) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Unavailable("the server is going down".into())),
        },
    }
}

/// A row with nothing but its key.
fn marker(name: &str) -> Item {
    let text = |text: &str| Value::String(text.to_owned());
    Item([("kind".to_owned(), text(KIND)), ("name".to_owned(), text(name))].into())
}

fn row(key: &AccessKey) -> Item {
    let text = |text: &str| Value::String(text.to_owned());
    let permission = |permission: &Permission| {
        let Permission { action, table, device } = permission;
        let members = [("action", action), ("table", table), ("device", device)];
        Value::Map(members.into_iter().map(|(name, pattern)| (name.to_owned(), text(pattern))).collect())
    };
    let mut item = marker(&key.credentials.access_key);
    item.insert("secret", text(&key.credentials.secret_key));
    item.insert("created_at_us", Value::Number(key.created_at_us.into()));
    item.insert("permissions", Value::List(key.permissions.iter().map(permission).collect()));
    if let (Some(token), Some(until_us)) = (&key.credentials.session_token, key.until_us) {
        item.insert("session_token", text(token));
        item.insert("until_us", Value::Number(until_us.into()));
    }
    item
}

/// The key that a row holds, if it holds a whole one.
fn key_of(item: &Item) -> Option<AccessKey> {
    let number = |name: &str| match item.get(name) {
        Some(Value::Number(number)) => number.to_string().parse::<u64>().ok(),
        _ => None,
    };
    let credentials = Credentials {
        access_key: text(item, "name")?.to_owned(),
        secret_key: text(item, "secret")?.to_owned(),
        session_token: text(item, "session_token").map(str::to_owned),
    };
    let Some(Value::List(permissions)) = item.get("permissions") else { return None };
    let permission = |value: &Value| {
        let Value::Map(members) = value else { return None };
        let member = |name: &str| match members.get(name) {
            Some(Value::String(pattern)) => Some(pattern.clone()),
            _ => None,
        };
        Some(Permission { action: member("action")?, table: member("table")?, device: member("device")? })
    };
    let permissions = permissions.iter().map(permission).collect::<Option<Vec<_>>>()?;
    let until_us = number("until_us");
    if credentials.session_token.is_some() != until_us.is_some() {
        return None;
    }
    Some(AccessKey::new(credentials, until_us, permissions, number("created_at_us")?))
}

fn text<'i>(item: &'i Item, name: &str) -> Option<&'i str> {
    match item.get(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Error::Internal("the system has no random numbers".into()))?;
    Ok(bytes)
}

/// Sixteen capital letters and digits.
fn name_of(bytes: &[u8; 10]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = bytes.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    (0..16).rev().map(|place| char::from(ALPHABET[(bits >> (5 * place) & 31) as usize])).collect()
}
