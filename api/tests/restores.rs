//! Tables come back as they were: from backups, and to times in between, whatever happens to source, backup and server meanwhile.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use api::{App, Config};
use futures::FutureExt;
use jobs::Runner;
use serde_json::{Value, json};
use store::{Error, env::OsDisk};
use support::{Served, app, serve_app};
use tokio::{sync::watch, task::JoinHandle};

/// A server's part that does jobs.
struct Background {
    stop: watch::Sender<bool>,
    runner: JoinHandle<()>,
}

impl Background {
    async fn of(app: &App) -> Background {
        restore::tidy(&app.jobs, app.compactor.backups()).await.unwrap();
        api::tidy_transfers(&app.jobs, app.compactor.backups()).await.unwrap();
        let stop = watch::Sender::new(false);
        let backups = app.compactor.backups().clone();
        let runner =
            Runner::new(app.jobs.clone()).with(restore::KIND, move |work| restore::attempt(work, backups.clone()));
        let runner = api::with_transfers(runner, &app.buckets, &app.compactor);
        let runner = tokio::spawn(runner.run(stop.subscribe()));
        Background { stop, runner }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.runner.await.unwrap();
    }
}

/// The answer to an operation that succeeds.
async fn ask(served: &Served, operation: &str, body: Value) -> Value {
    let answer = served.call(operation, body.to_string()).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status.as_u16(), 200, "{operation} {body}: {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

async fn make_table(served: &Served) {
    let body = json!({
        "TableName": "fleet",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    ask(served, "CreateTable", body).await;
}

async fn put(served: &Served, keys: std::ops::Range<u32>, value: &str) {
    for first in keys.clone().step_by(25) {
        let items: Vec<Value> = (first..keys.end.min(first + 25))
            .map(|key| json!({"PutRequest": {"Item": {"pk": {"S": format!("key-{key}")}, "state": {"S": value}}}}))
            .collect();
        ask(served, "BatchWriteItem", json!({"RequestItems": {"fleet": items}})).await;
    }
}

async fn items(served: &Served, table: &str) -> BTreeMap<String, Value> {
    let (mut items, mut start) = (BTreeMap::new(), Value::Null);
    loop {
        let page = ask(served, "Scan", json!({"TableName": table, "ExclusiveStartKey": start})).await;
        for item in page["Items"].as_array().unwrap() {
            items.insert(item["pk"]["S"].as_str().unwrap().to_owned(), item.clone());
        }
        start = page["LastEvaluatedKey"].clone();
        if start.is_null() {
            return items;
        }
    }
}

async fn status(served: &Served, table: &str) -> String {
    let described = ask(served, "DescribeTable", json!({"TableName": table})).await;
    described["Table"]["TableStatus"].as_str().unwrap().to_owned()
}

async fn wait_until_active(served: &Served, table: &str) {
    let began = Instant::now();
    while status(served, table).await != "ACTIVE" {
        assert!(began.elapsed() < Duration::from_secs(120), "{table} is not restored");
        tokio::task::yield_now().await;
    }
}

/// What was cut off ends a step on the disk, and holds the directory until then.
async fn wait_until_free(directory: &Path) {
    let began = Instant::now();
    while matches!(OsDisk::open(directory), Err(Error::InUse { .. })) {
        assert!(began.elapsed() < Duration::from_secs(120), "somebody holds {}", directory.display());
        tokio::task::yield_now().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the server under test has the system's clock")]
fn now_us() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_after_its_table_and_itself_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let app = app(directory.path(), Config::default());
    let served = serve_app(app.clone());
    make_table(&served).await;
    put(&served, 0..3000, "before").await;
    let before = items(&served, "fleet").await;
    let made = ask(&served, "CreateBackup", json!({"TableName": "fleet", "BackupName": "before"})).await;
    let arn = &made["BackupDetails"]["BackupArn"];
    put(&served, 0..100, "after").await;
    ask(&served, "DeleteTable", json!({"TableName": "fleet"})).await;
    ask(&served, "RestoreTableFromBackup", json!({"TargetTableName": "again", "BackupArn": arn})).await;
    ask(&served, "DeleteBackup", json!({"BackupArn": arn})).await;
    assert_eq!(status(&served, "again").await, "CREATING");
    let background = Background::of(&app).await;
    wait_until_active(&served, "again").await;
    assert_eq!(items(&served, "again").await, before);
    background.end().await;
    assert!(app.compactor.backups().scratches().unwrap().is_empty());
}

/// The request ended where it waited, after the base was linked and before the job that would need it: nobody knew of the base, nor
/// removed it, until a restart.
#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_leaves_nothing_but_the_restore() {
    let directory = tempfile::tempdir().unwrap();
    let app = app(directory.path(), Config::default());
    let served = serve_app(app.clone());
    make_table(&served).await;
    put(&served, 0..500, "before").await;
    ask(&served, "UpdateContinuousBackups", on()).await;
    let before = items(&served, "fleet").await;
    let made = ask(&served, "CreateBackup", json!({"TableName": "fleet", "BackupName": "before"})).await;
    let background = Background::of(&app).await;
    let arn = &made["BackupDetails"]["BackupArn"];
    for (operation, target, body) in [
        ("RestoreTableFromBackup", "one", json!({"TargetTableName": "one", "BackupArn": arn})),
        (
            "RestoreTableToPointInTime",
            "other",
            json!({"SourceTableName": "fleet", "TargetTableName": "other", "UseLatestRestorableTime": true}),
        ),
    ] {
        let request = Box::pin(served.call(operation, body.to_string()));
        // As far as it gets without waiting.
        assert!(request.now_or_never().is_none(), "{operation} waits for nothing");
        let began = Instant::now();
        while app.store.catalog().by_name(target).is_none() {
            assert!(began.elapsed() < Duration::from_secs(60), "{operation} was cut off");
            tokio::task::yield_now().await;
        }
        wait_until_active(&served, target).await;
        assert_eq!(items(&served, target).await, before);
    }
    let began = Instant::now();
    while !app.compactor.backups().scratches().unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "a base is left");
        tokio::task::yield_now().await;
    }
    background.end().await;
}

/// The base of an export whose attempt ended by a panic was never removed.
#[tokio::test(flavor = "multi_thread")]
async fn bases_that_no_job_needs_go_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let app = app(directory.path(), Config::default());
    let served = serve_app(app.clone());
    make_table(&served).await;
    ask(&served, "UpdateContinuousBackups", on()).await;
    let made = ask(&served, "CreateBackup", json!({"TableName": "fleet", "BackupName": "before"})).await;
    let arn = made["BackupDetails"]["BackupArn"].as_str().unwrap();
    let table_arn = arn.split("/backup/").next().unwrap();
    let wanted = json!({"TableArn": table_arn, "S3Bucket": "bucket"});
    let export = ask(&served, "ExportTableToPointInTime", wanted).await;
    let export = export["ExportDescription"]["ExportArn"].as_str().unwrap().to_owned();
    let id = export.rsplit('/').next().unwrap();
    let backups = app.compactor.backups();
    let backup = backups.list().remove(0);
    let needed = format!("export-{id}");
    for name in ["export-0", "restore-0", "other-0", &needed] {
        backups.copy(&backup, name).unwrap();
    }
    restore::tidy(&app.jobs, backups).await.unwrap();
    api::tidy_transfers(&app.jobs, backups).await.unwrap();
    let mut left = backups.scratches().unwrap();
    left.sort();
    assert_eq!(left, [needed, "other-0".to_owned()]);
    // Its bucket is not there: it fails, and takes its base along.
    let background = Background::of(&app).await;
    let began = Instant::now();
    while backups.scratches().unwrap().len() > 1 {
        assert!(began.elapsed() < Duration::from_secs(60), "the base is left");
        tokio::task::yield_now().await;
    }
    background.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_on_wherever_it_was_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let mut app = app(directory.path(), Config::default());
    let mut served = serve_app(app.clone());
    make_table(&served).await;
    put(&served, 0..4000, &"x".repeat(3000)).await;
    ask(&served, "UpdateContinuousBackups", on()).await;
    put(&served, 1000..2000, "later").await;
    let before = items(&served, "fleet").await;
    let body = json!({"SourceTableName": "fleet", "TargetTableName": "again", "UseLatestRestorableTime": true});
    ask(&served, "RestoreTableToPointInTime", body).await;
    put(&served, 0..500, "too late").await;
    let mut attempts = 0;
    while status(&served, "again").await != "ACTIVE" {
        attempts += 1;
        assert!(attempts < 200, "no attempt gets further than the one before it");
        let background = Background::of(&app).await;
        // Longer and longer, so that in the end it is done however slow this machine is.
        let cut = Instant::now() + Duration::from_millis(10 * attempts);
        while Instant::now() < cut {
            tokio::task::yield_now().await;
        }
        background.end().await;
        if attempts % 3 == 0 {
            // All of it begins anew, as after a restart.
            app.store.close().await.unwrap();
            drop((app, served));
            wait_until_free(directory.path()).await;
            app = support::app(directory.path(), Config::default());
            served = serve_app(app.clone());
        }
    }
    assert!(attempts > 1, "it was never cut off");
    let again = items(&served, "again").await;
    assert!(again == before, "{} items, not {}", again.len(), before.len());
    let background = Background::of(&app).await;
    background.end().await;
    assert!(app.compactor.backups().scratches().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_between_two_writes_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let app = app(directory.path(), Config::default());
    let served = serve_app(app.clone());
    let background = Background::of(&app).await;
    make_table(&served).await;
    put(&served, 0..50, "first").await;
    let on = ask(&served, "UpdateContinuousBackups", on()).await;
    let window = &on["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
    let earliest = window["EarliestRestorableDateTime"].as_f64().unwrap();
    while (now_us() as f64) < earliest * 1e6 {
        tokio::task::yield_now().await;
    }
    put(&served, 20..80, "second").await;
    let second = items(&served, "fleet").await;
    let at_s = now_us() / 1_000_000 + 1;
    while now_us() <= at_s * 1_000_000 + 1_000 {
        tokio::task::yield_now().await;
    }
    put(&served, 0..90, "third").await;
    ask(&served, "DeleteItem", json!({"TableName": "fleet", "Key": {"pk": {"S": "key-89"}}})).await;
    let body = json!({"SourceTableName": "fleet", "TargetTableName": "then", "RestoreDateTime": at_s as u64});
    ask(&served, "RestoreTableToPointInTime", body).await;
    wait_until_active(&served, "then").await;
    assert_eq!(items(&served, "then").await, second);
    let third = items(&served, "fleet").await;
    ask(&served, "DeleteTable", json!({"TableName": "fleet"})).await;
    let stop = watch::Sender::new(false);
    let (compactor, until) = (app.compactor.clone(), stop.subscribe());
    let compacting = tokio::spawn(async move { compactor.run(until).await });
    let began = Instant::now();
    let kept = loop {
        let listed = ask(&served, "ListBackups", json!({"BackupType": "SYSTEM"})).await;
        if let Some(kept) = listed["BackupSummaries"].get(0) {
            break kept.clone();
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the deleted table has left no backup");
        tokio::task::yield_now().await;
    };
    stop.send_replace(true);
    compacting.await.unwrap();
    assert_eq!(kept["BackupName"], "fleet$DeletedTableBackup");
    let body = json!({"TargetTableName": "fleet", "BackupArn": kept["BackupArn"]});
    ask(&served, "RestoreTableFromBackup", body).await;
    wait_until_active(&served, "fleet").await;
    assert_eq!(items(&served, "fleet").await, third);
    background.end().await;
}

fn on() -> Value {
    json!({"TableName": "fleet", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true}})
}
