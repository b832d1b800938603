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
mod own_log;
mod pace;
mod packet;
mod process;
mod publish;
mod read;
mod reading;
mod target;
mod write;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use store::env::{Clock, OsClock};
use tokio::task::LocalSet;

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
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let bench = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = async {
            tokio::select! {
                answer = answer(arguments.mode) => answer,
                _ = stopped => bail!("stopped"),
            }
        };
        LocalSet::new().block_on(&runtime, work)
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

async fn answer(mode: Mode) -> anyhow::Result<Value> {
    let name = mode.name();
    let load = match mode.load() {
        Some(load) => load.clone(),
        None => {
            let Mode::Disk(arguments) = mode else { bail!("{name} is not a load") };
            return Ok(told(name, Map::new(), disk::run(&arguments)?));
        }
    };
    let target = Target::find_or_start(&load.target).await?;
    let tag = Readings::tag_of(OsClock.now_us(), std::process::id());
    let readings = Readings::new(&tag, load.devices, load.seed);
    let (measured, more): (Measured, Value) = match &mode {
        Mode::PutItem(load) => (write::run(&target, load, &readings, Template::put_item).await?, json!({})),
        Mode::BatchWriteItem(load) => {
            (write::run(&target, load, &readings, Template::batch_write_item).await?, json!({}))
        }
        Mode::GetItem(arguments) => (
            read::get(&target, arguments, &readings).await?,
            json!({ "items": arguments.items, "cold": arguments.cold }),
        ),
        Mode::Query(arguments) => {
            let measured = read::query(&target, arguments, &readings).await?;
            (
                measured,
                json!({ "items": arguments.read.items, "cold": arguments.read.cold, "newest": arguments.newest, "span": arguments.span }),
            )
        }
        Mode::Mqtt(arguments) => {
            let (measured, audience) = publish::run(&target, arguments, &readings).await?;
            (measured, json!({ "qos": arguments.qos, "in_flight": arguments.in_flight, "subscribers": audience }))
        }
        Mode::Followers(arguments) => {
            let (measured, audience) = follow::run(&target, arguments, &readings).await?;
            (measured, json!({ "followers": audience }))
        }
        Mode::Disk(_) => bail!("answered above"),
    };
    target.end().await?;
    if let Some(why) = measured.failed_altogether() {
        bail!("every request was refused: {why}");
    }
    let mut fields = asked(&load, &readings);
    fields.extend(measured.to_json());
    Ok(told(name, fields, more))
}

/// What was asked for, so that an answer can be understood without its command line.
fn asked(load: &LoadArguments, readings: &Readings) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("devices_prefix".to_owned(), readings.prefix().into());
    fields.insert("connections".to_owned(), load.connections.into());
    fields.insert("rate".to_owned(), load.rate.into());
    fields.insert("devices".to_owned(), load.devices.into());
    fields.insert("seed".to_owned(), load.seed.into());
    fields
}

/// One answer: the mode, and all that is known of it.
fn told(mode: &str, mut fields: Map<String, Value>, more: Value) -> Value {
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    fields.insert("mode".to_owned(), mode.into());
    Value::Object(fields)
}
