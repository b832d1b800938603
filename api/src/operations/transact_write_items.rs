//! TransactWriteItems: up to 100 puts, updates, deletes and checks, each of another item: all of them, or none.

use std::sync::Arc;

use item::{Actor, Item, Key, Table, Value, expression::Kind};
use serde::Serialize;
use store::{
    transaction::Token,
    write::{Action, Write},
};

use super::{
    commit::{Prepared, commit},
    conditional::check_condition,
    transaction::{check_count, digest},
};
use crate::{
    App, Error,
    budget::Room,
    cancellation::key_reason,
    capacity::{ConsumedCapacity, Detail},
    expressions::{Expressions, Names, Values, check_scalar_keys},
    item_collection::{self, ItemCollectionMetrics},
    json::request,
    validate::{self, RETURN_CONSUMED_CAPACITY, RETURN_ITEM_COLLECTION_METRICS, RETURN_ON_FAILURE, Violations},
    values::{WireItem, WireValue},
};

request! {
    /// What TransactWriteItems takes.
    struct Request {
        items: Vec<AnyAction> = "TransactItems",
        token: String = "ClientRequestToken",
        return_capacity: String = "ReturnConsumedCapacity",
        return_metrics: String = "ReturnItemCollectionMetrics",
    }
}

request! {
    /// One of these.
    struct AnyAction {
        check: Asked = "ConditionCheck",
        put: Asked = "Put",
        delete: Asked = "Delete",
        update: Asked = "Update",
    }
}

request! {
    /// What is asked of one item; which members must be there depends on the action.
    struct Asked {
        table_name: String = "TableName",
        item: WireItem = "Item",
        key: WireItem = "Key",
        update: String = "UpdateExpression",
        condition: String = "ConditionExpression",
        names: Names = "ExpressionAttributeNames",
        values: Values = "ExpressionAttributeValues",
        return_on_failure: String = "ReturnValuesOnConditionCheckFailure",
    }
}

/// What TransactWriteItems answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Vec<ConsumedCapacity>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_collection_metrics: Option<item_collection::ByTable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Check,
    Put,
    Delete,
    Update,
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    check_count(&mut violations, "transactItems", request.items.as_ref());
    violations.length("clientRequestToken", request.token.as_ref(), 1, 36);
    violations.one_of("returnConsumedCapacity", request.return_capacity.as_ref(), RETURN_CONSUMED_CAPACITY);
    violations.one_of("returnItemCollectionMetrics", request.return_metrics.as_ref(), RETURN_ITEM_COLLECTION_METRICS);
    let items = request.items.unwrap_or_default();
    for (place, action) in (1..).zip(&items) {
        action.check_members(&mut violations, place);
    }
    violations.finish()?;
    let capacity = Detail::of(request.return_capacity.as_deref());
    let actions = items.into_iter().map(AnyAction::only).collect::<Result<Vec<_>, _>>()?;
    let token = request.token.map(|name| {
        let request = digest(actions.iter().map(|(verb, asked)| asked.describe(*verb)));
        Token { name, request: request.to_vec().into() }
    });
    let prepare = |(verb, asked)| prepare(app, verb, asked);
    let actions = actions.into_iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
    let collections = match request.return_metrics.as_deref() {
        Some("SIZE") => changed(&actions),
        _ => Vec::new(),
    };
    let consumed_capacity = commit(app, actions, token, capacity, room).await?;
    let keys = collections.iter().map(|(name, table, key)| (name.as_str(), table.as_ref(), key));
    Ok(Answer { consumed_capacity, item_collection_metrics: ItemCollectionMetrics::by_table(app, keys)? })
}

/// Which items are to change, and by which names of their tables.
fn changed(actions: &[Prepared]) -> Vec<(String, Arc<Table>, Key)> {
    let writes = actions.iter().filter_map(|action| Some((&action.given_name, action.write.as_ref().ok()?)));
    let changing = writes.filter(|(_, write)| !matches!(write.action, Action::Check));
    changing.map(|(name, write)| (name.clone(), write.table.clone(), write.key.clone())).collect()
}

/// Prepares one action, or says what is wrong with the whole request.
fn prepare(app: &App, verb: Verb, asked: Asked) -> Result<Prepared, Error> {
    let given_name = asked.table_name.clone().unwrap_or_default();
    let name = validate::table_name(asked.table_name)?;
    let old_on_failure = asked.return_on_failure.as_deref() == Some("ALL_OLD");
    let none = || WireItem(Ok(Item::default()));
    let given = match verb {
        Verb::Put => validate::item(asked.item.unwrap_or_else(none))?,
        _ => validate::values(asked.key.unwrap_or_else(none))?,
    };
    let mut kinds = vec![(Kind::Condition, asked.condition.is_some())];
    if verb == Verb::Update {
        kinds.insert(0, (Kind::Update, asked.update.is_some()));
    }
    let mut expressions = Expressions::new(asked.names, asked.values, &kinds)?;
    let update = expressions.update(asked.update.as_ref().filter(|_| verb == Verb::Update))?.map(Arc::new);
    let condition = expressions.condition(Kind::Condition, asked.condition.as_ref())?.map(Arc::new);
    expressions.finish()?;
    let table = super::table(app, &name)?;
    check_condition(&table, condition.as_deref())?;
    let key = match verb {
        Verb::Put => validate::item_key(&table, &given),
        _ => validate::request_key(&table, &given),
    };
    let key = key_reason(&table, &given, key)?;
    if let Some(update) = &update {
        update.check_key(&table)?;
        check_scalar_keys(&table, &update.nested_attributes())?;
    }
    let size = if verb == Verb::Put { given.size() } else { 0 };
    let action = match (verb, update) {
        (Verb::Put, _) => Action::Put(given),
        (Verb::Delete, _) => Action::Remove,
        (Verb::Update, Some(update)) => Action::Update { update, return_new: false },
        (Verb::Check | Verb::Update, _) => Action::Check,
    };
    let return_old = old_on_failure;
    let write = key.map(|key| Write { table, key, action, condition, return_old, actor: Actor::User });
    Ok(Prepared { given_name, write, old_on_failure, size, inserts: false })
}

impl AnyAction {
    /// What is given, each with its name on the wire.
    fn given(&self) -> impl Iterator<Item = (Verb, &'static str, &Asked)> {
        let all = [
            (Verb::Check, "conditionCheck", &self.check),
            (Verb::Put, "put", &self.put),
            (Verb::Delete, "delete", &self.delete),
            (Verb::Update, "update", &self.update),
        ];
        all.into_iter().filter_map(|(verb, name, asked)| Some((verb, name, asked.as_ref()?)))
    }

    /// Notes what is missing and what is none of the words.
    fn check_members(&self, violations: &mut Violations, place: usize) {
        for (verb, name, asked) in self.given() {
            let member = |member: &str| format!("transactItems.{place}.member.{name}.{member}");
            violations.required(member("tableName"), asked.table_name.as_ref());
            match verb {
                Verb::Put => violations.required(member("item"), asked.item.as_ref()),
                _ => violations.required(member("key"), asked.key.as_ref()),
            }
            match verb {
                Verb::Check => violations.required(member("conditionExpression"), asked.condition.as_ref()),
                Verb::Update => violations.required(member("updateExpression"), asked.update.as_ref()),
                Verb::Put | Verb::Delete => {}
            }
            let on_failure = asked.return_on_failure.as_ref();
            violations.one_of(member("returnValuesOnConditionCheckFailure"), on_failure, RETURN_ON_FAILURE);
        }
    }

    /// The one that is given.
    fn only(self) -> Result<(Verb, Asked), Error> {
        let AnyAction { check, put, delete, update } = self;
        let all = [(Verb::Check, check), (Verb::Put, put), (Verb::Delete, delete), (Verb::Update, update)];
        let mut given = all.into_iter().filter_map(|(verb, asked)| Some((verb, asked?)));
        match (given.next(), given.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(Error::validation("TransactItems can only contain one of Check, Put, Update or Delete")),
        }
    }
}

impl Asked {
    /// Everything that is asked, as an item: equal for equal requests. What breaks a rule is refused elsewhere.
    fn describe(&self, verb: Verb) -> Item {
        let texts = [
            ("table", &self.table_name),
            ("update", &self.update),
            ("condition", &self.condition),
            ("return", &self.return_on_failure),
        ];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, Value::String(text.clone()?))));
        let maps = [("item", &self.item), ("key", &self.key)].into_iter().filter_map(|(name, given)| {
            let Item(attributes) = given.as_ref()?.0.as_ref().ok()?;
            Some((name, Value::Map(attributes.clone())))
        });
        let names = self.names.iter().map(|names| {
            let names = names.iter().map(|(token, name)| (token.clone(), Value::String(name.clone())));
            ("names", Value::Map(names.collect()))
        });
        let values = self.values.iter().map(|values| {
            let good = |(token, WireValue(value)): (&String, &WireValue)| Some((token.clone(), value.clone().ok()?));
            ("values", Value::Map(values.iter().filter_map(good).collect()))
        });
        let verb = [("verb", Value::String(format!("{verb:?}")))];
        let all = verb.into_iter().chain(texts).chain(maps).chain(names).chain(values);
        Item(all.map(|(name, value)| (name.to_owned(), value)).collect())
    }
}
