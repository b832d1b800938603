//! An attempt of a restore.

use backup::{AsOf, Backups, Base, Cursor, Rows};
use item::Actor;
use jobs::{Stopped, Work};
use store::{
    files::Row,
    room::Room,
    write::{Action, Write},
};

use crate::{Spec, progress::Progress};

/// So many batches of items are written between two checkpoints: what is written again after a crash.
const BATCHES: u32 = 8;

/// Restores what the job asks for, from its checkpoint on.
pub async fn attempt(mut work: Work, backups: Backups) -> Result<(), Stopped> {
    let Spec { base: name } = work.spec()?;
    let progress: Option<Progress> = work.progress()?;
    if progress.as_ref().is_none_or(|progress| !progress.is_done) {
        let restored = restore(&mut work, &backups, &name, progress).await;
        if restored.as_ref().is_err_and(Stopped::is_final) {
            remove(&backups, &name).await?;
        }
        restored?;
    }
    remove(&backups, &name).await
}

async fn restore(work: &mut Work, backups: &Backups, name: &str, progress: Option<Progress>) -> Result<(), Stopped> {
    let table = work.table()?;
    let base = base(work, backups, name).await?;
    let mut rows = blocking(move || base.rows()).await?;
    let mut items = progress.as_ref().map_or(0, |progress| progress.items);
    let mut cursor = progress.map_or(Ok(Cursor::default()), |progress| progress.cursor())?;
    let mut batches = 0;
    loop {
        let (read, next) = next(rows, cursor).await?;
        rows = read;
        let Some((some, next)) = next else { break };
        items += some.len() as u64;
        let write = |row: Row| {
            let image = row.image?;
            let (table, key) = (table.clone(), row.key);
            let action = Action::Restore(image);
            Some(Write { table, key, action, condition: None, return_old: false, actor: Actor::System })
        };
        let batch: Vec<Write> = some.into_iter().filter_map(write).collect();
        if !batch.is_empty() {
            for answer in work.store().write(batch).await? {
                answer.map_err(|rejection| Stopped::failed("InternalError", rejection))?;
            }
            batches += 1;
        }
        cursor = next;
        if batches >= BATCHES {
            work.checkpoint(&Progress::new(&cursor, items, false)).await?;
            batches = 0;
        }
    }
    work.checkpoint(&Progress::new(&Cursor::default(), items, true)).await
}

/// The base of that name, made a little at a time if it is not one yet.
async fn base(work: &Work, backups: &Backups, name: &str) -> Result<Base, Stopped> {
    let (found, wanted) = (backups.clone(), name.to_owned());
    let begun = move || match found.scratch(&wanted)? {
        Some(base) => Ok((Some(base), None)),
        None => Ok((None, found.resume(&wanted)?)),
    };
    let mut as_of: AsOf = match blocking(begun).await? {
        (Some(base), _) => return Ok(base),
        (None, Some(as_of)) => as_of,
        (None, None) => return Err(Stopped::failed("InternalError", "what was to be restored is gone")),
    };
    loop {
        // It may be large, and the reserve is for what makes room.
        if work.store().room().0 == Room::Full {
            return Err(work.store().full().into());
        }
        let (done, rest) = blocking(move || as_of.step().map(|done| (done, as_of))).await?;
        if let Some(base) = done {
            return Ok(base);
        }
        as_of = rest;
    }
}

type Next = Option<(Vec<Row>, Cursor)>;

async fn next(rows: Rows, from: Cursor) -> Result<(Rows, Next), Stopped> {
    Ok(blocking(move || rows.next(&from).map(|next| (rows, next))).await?)
}

async fn remove(backups: &Backups, name: &str) -> Result<(), Stopped> {
    let (backups, name) = (backups.clone(), name.to_owned());
    Ok(blocking(move || backups.remove_scratch(&name)).await?)
}

/// Off the runtime's threads. Each call is short: an attempt that is dropped waits for it at most.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, store::Error> + Send + 'static,
) -> Result<T, store::Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| store::Error::Closed)?
}
