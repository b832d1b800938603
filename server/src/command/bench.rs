//! `thalweg bench`: load on an entrance of a server, and what the server made of it.
//!
//! [`reading`] makes the load, [`pace`] says when each request may begin, [`load`] lets workers of one mode ([`write`], [`read`],
//! [`publish`], [`follow`]) take turns, and [`measure`] says what it took. The load runs on one thread with connections of
//! its own making ([`http`], [`packet`]): on a small machine the server must be what is slow.

mod arguments;
mod audience;
mod disk;
mod follow;
mod histogram;
mod http;
mod load;
mod measure;
mod memtable;
mod own_log;
mod pace;
mod packet;
mod process;
mod publish;
mod read;
mod reading;
mod target;
mod write;

use anyhow::{Context, anyhow, bail};
use serde_json::{Map, Value, json};
use store::env::{Clock, OsClock};
use tokio::{sync::oneshot, task::LocalSet};

pub(crate) use self::arguments::BenchArguments;
use self::{
    arguments::{LoadArguments, Mode},
    measure::Measured,
    reading::{Readings, Template},
    target::Target,
};
use super::Output;
use crate::shutdown::Signals;

/// Loads until the end is reached, or until it is asked to stop; its own server, if it has one, goes with it.
pub(crate) async fn run(arguments: BenchArguments, output: Output) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let (stop, stopped) = oneshot::channel();
    let bench = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, answer(arguments.mode, stopped))
    });
    tokio::pin!(bench);
    let answer = tokio::select! {
        answer = &mut bench => answer,
        () = signals.requested() => {
            // Nobody hears it if the bench has just ended.
            let _ = stop.send(());
            bench.await
        }
    };
    output.print(&answer.context("the bench's thread")??);
    Ok(())
}

async fn answer(mode: Mode, stopped: oneshot::Receiver<()>) -> anyhow::Result<Value> {
    if let Mode::Disk(arguments) = &mode {
        return Ok(told(&mode, Map::new(), disk::run(arguments)?));
    }
    if let Mode::Memtable(arguments) = &mode {
        return Ok(told(&mode, Map::new(), memtable::run(arguments)?));
    }
    let load = mode.load().context("a mode that loads a server says how")?;
    let tag = Readings::tag_of(OsClock.now_us(), std::process::id());
    let readings = Readings::new(&tag, load.devices, load.seed, load.late);
    let target = Target::find_or_start(&load.target).await?;
    let measured = tokio::select! {
        measured = measured(&mode, &target, &readings) => measured,
        _ = stopped => Err(anyhow!("stopped")),
    };
    // Whatever became of the load, nothing of the bench's own is left.
    target.end().await?;
    let (measured, more) = measured?;
    if let Some(why) = measured.failed_altogether() {
        bail!("every request was refused: {why}");
    }
    let mut fields = asked(load, &readings);
    fields.extend(measured.to_json());
    Ok(told(&mode, fields, more))
}

/// Loads the server; answers also what only this mode tells.
async fn measured(mode: &Mode, target: &Target, readings: &Readings) -> anyhow::Result<(Measured, Value)> {
    Ok(match mode {
        Mode::PutItem(load) => (write::run(target, load, readings, Template::put_item).await?, Value::Null),
        Mode::BatchWriteItem(load) => {
            (write::run(target, load, readings, Template::batch_write_item).await?, Value::Null)
        }
        Mode::GetItem(read) => {
            (read::get(target, read, readings).await?, json!({ "items": read.items, "cold": read.cold }))
        }
        Mode::UpdateItem(read) => {
            (read::update(target, read, readings).await?, json!({ "items": read.items, "cold": read.cold }))
        }
        Mode::Query(query) => {
            let more = json!({
                "items": query.read.items,
                "cold": query.read.cold,
                "newest": query.newest,
                "span": query.span,
            });
            (read::query(target, query, readings).await?, more)
        }
        Mode::Mqtt(mqtt) => {
            let (measured, audience) = publish::run(target, mqtt, readings).await?;
            (measured, json!({ "qos": mqtt.qos, "in_flight": mqtt.in_flight, "subscribers": audience }))
        }
        Mode::Followers(followers) => {
            let (measured, audience) = follow::run(target, followers, readings).await?;
            (measured, json!({ "followers": audience }))
        }
        Mode::Disk(_) | Mode::Memtable(_) => bail!("this is no server"),
    })
}

/// What was asked for, so that an answer can be understood without its command line.
fn asked(load: &LoadArguments, readings: &Readings) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("devices_prefix".to_owned(), readings.prefix().into());
    fields.insert("connections".to_owned(), load.connections.into());
    fields.insert("rate".to_owned(), load.rate.into());
    fields.insert("devices".to_owned(), load.devices.into());
    fields.insert("seed".to_owned(), load.seed.into());
    fields.insert("before".to_owned(), load.before.into());
    fields.insert("late".to_owned(), load.late.into());
    fields
}

/// One answer: the mode, and all that is known of it.
fn told(mode: &Mode, mut fields: Map<String, Value>, more: Value) -> Value {
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    fields.insert("mode".to_owned(), mode.name().into());
    Value::Object(fields)
}
