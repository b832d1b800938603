//! A refusal carries the item that failed the condition only if that was asked for: a batch of very many refused writes to
//! one large item held it decoded as often, gigabytes for one message.

mod support;

use std::{collections::BTreeMap, sync::Arc};

use item::{
    Value,
    expression::{Condition, Kind, Substitutions},
};
use store::{
    Config,
    write::{Action, Rejection, Write},
};
use support::{create, open, put, reading, readings, write};

#[tokio::test]
async fn a_failed_condition_answers_the_item_only_if_asked() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("plants", false)).await;
    let item = || reading("pump", 1, &[("v", Value::from("x".repeat(1000)))]);
    store.write(vec![put(&table, item())]).await.unwrap();

    let names = BTreeMap::from([("#k".to_owned(), "device".to_owned())]);
    let mut substitutions = Substitutions { names, ..Substitutions::default() };
    let absent = Condition::parse(Kind::Condition, "attribute_not_exists(#k)", &mut substitutions).unwrap();
    let absent = Some(Arc::new(absent));
    let refused = |return_old| Write {
        condition: absent.clone(),
        return_old,
        ..write(&table, reading("pump", 1, &[]), Action::Merge)
    };
    let answers = store.write(vec![refused(false), refused(true)]).await.unwrap();
    assert_eq!(answers[0].clone().unwrap_err(), Rejection::ConditionFailed { old: None });
    assert_eq!(answers[1].clone().unwrap_err(), Rejection::ConditionFailed { old: Some(item()) });
    store.close().await.unwrap();
}
