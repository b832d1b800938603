//! BatchWriteItem: up to 25 puts and deletes, each on its own.

use std::{collections::BTreeSet, sync::Arc};

use item::{Actor, EncodedItem, Item, Key, Table, TableId};
use serde::Serialize;
use store::write::{Action, Write};

use crate::{
    App, Error,
    capacity::{ConsumedCapacity, Detail, write_units},
    item_collection::{self, ItemCollectionMetrics},
    json::{Members, request},
    validate::{self, RETURN_CONSUMED_CAPACITY, RETURN_ITEM_COLLECTION_METRICS, Violations},
    values::{Fault, WireEncoded, WireItem},
};

/// DynamoDB's own bound.
const REQUESTS_MAX: usize = 25;

request! {
    /// What BatchWriteItem takes.
    struct Request {
        items: Members<Vec<WriteRequest>> = "RequestItems",
        return_capacity: String = "ReturnConsumedCapacity",
        return_metrics: String = "ReturnItemCollectionMetrics",
    }
}

request! {
    /// One put or delete.
    struct WriteRequest {
        put: PutRequest = "PutRequest",
        delete: DeleteRequest = "DeleteRequest",
    }
}

request! {
    /// An item to store.
    struct PutRequest { item: WireEncoded = "Item", }
}

request! {
    /// A key to remove.
    struct DeleteRequest { key: WireItem = "Key", }
}

/// What BatchWriteItem answers. Every request is processed, or the whole call fails.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    unprocessed_items: Nothing,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Vec<ConsumedCapacity>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_collection_metrics: Option<item_collection::ByTable>,
}

/// An empty object.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// A request whose values follow the rules.
enum Wanted {
    Put(EncodedItem),
    Delete(Item),
}

pub(crate) async fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    violations.required("requestItems", request.items.as_ref());
    violations.one_of("returnConsumedCapacity", request.return_capacity.as_ref(), RETURN_CONSUMED_CAPACITY);
    violations.one_of("returnItemCollectionMetrics", request.return_metrics.as_ref(), RETURN_ITEM_COLLECTION_METRICS);
    let tables = request.items.map_or_else(Vec::new, |Members(tables)| tables);
    for (name, requests) in &tables {
        if requests.is_empty() || requests.len() > REQUESTS_MAX {
            violations.add(
                "requestItems",
                format_args!("{{{name}=[{} requests]}}", requests.len()),
                "Map value must satisfy constraint: [Member must have length less than or equal to 25, \
                 Member must have length greater than or equal to 1]",
            );
        }
    }
    violations.finish()?;
    if tables.is_empty() {
        return Err(Error::validation("The requestItems parameter is required for BatchWriteItem"));
    }
    if tables.iter().map(|(_, requests)| requests.len()).sum::<usize>() > REQUESTS_MAX {
        return Err(Error::validation("Too many items requested for the BatchWriteItem call"));
    }
    let mut wanted = Vec::new();
    for (given_name, requests) in tables {
        let name = validate::table_name(Some(given_name.clone()))?;
        let requests: Vec<Wanted> = requests.into_iter().map(Wanted::of).collect::<Result<_, _>>()?;
        wanted.push((Arc::<str>::from(given_name), name, requests));
    }
    let capacity = Detail::of(request.return_capacity.as_deref());
    let mut writes = Vec::new();
    let mut given_names = Vec::new();
    for (given_name, name, requests) in wanted {
        let table = super::table(app, &name)?;
        for request in requests {
            let (key, action) = match request {
                Wanted::Put(item) => (validate::batched_item_key(&table, &item)?, Action::PutEncoded(item)),
                Wanted::Delete(key) => (validate::request_key(&table, &key)?, Action::Remove),
            };
            let return_old = capacity != Detail::None;
            writes.push(Write { table: table.clone(), key, action, condition: None, return_old, actor: Actor::User });
            given_names.push(Arc::clone(&given_name));
        }
    }
    // One item more than once, before anything is written.
    let keys: BTreeSet<(TableId, &Key)> = writes.iter().map(|write| (write.table.id, &write.key)).collect();
    if keys.len() < writes.len() {
        return Err(Error::validation("Provided list of item keys contains duplicates"));
    }
    let new_size = |write: &Write| match &write.action {
        Action::PutEncoded(item) if capacity != Detail::None => item.size(),
        _ => 0,
    };
    let new_sizes: Vec<usize> = writes.iter().map(new_size).collect();
    let wants_collections = request.return_metrics.as_deref() == Some("SIZE");
    let written: Vec<(Arc<str>, Arc<Table>, Key)> = match wants_collections {
        true => {
            given_names.iter().zip(&writes).map(|(name, w)| (name.clone(), w.table.clone(), w.key.clone())).collect()
        }
        false => Vec::new(),
    };
    let mut units: Vec<(Arc<str>, f64)> = Vec::new();
    let answers = app.store.write_within(writes, app.config.patience).await?;
    for ((answer, given_name), new_size) in answers.into_iter().zip(given_names).zip(new_sizes) {
        let answer = answer?;
        if capacity == Detail::None {
            continue;
        }
        let old_size = answer.old.as_ref().map_or(0, Item::size);
        let write_units = write_units(new_size.max(old_size));
        match units.last_mut() {
            Some((name, sum)) if *name == given_name => *sum += write_units,
            _ => units.push((given_name, write_units)),
        }
    }
    let consumed: Vec<ConsumedCapacity> =
        units.iter().filter_map(|(name, units)| capacity.consumed(name, *units)).collect();
    let consumed_capacity = (capacity != Detail::None).then_some(consumed);
    let keys = written.iter().map(|(name, table, key)| (name.as_ref(), table.as_ref(), key));
    let item_collection_metrics = ItemCollectionMetrics::by_table(app, keys)?;
    Ok(Answer { unprocessed_items: Nothing {}, consumed_capacity, item_collection_metrics })
}

impl Wanted {
    fn of(request: WriteRequest) -> Result<Wanted, Error> {
        let missing = |place| {
            let mut violations = Violations::default();
            violations.required::<()>(format_args!("requestItems.member.{place}"), None);
            violations.finish().err().unwrap_or_else(|| Error::Internal("a violation was lost".into()))
        };
        match (request.put, request.delete) {
            (Some(put), None) => {
                let item = put.item.ok_or_else(|| missing("putRequest.item"))?;
                Ok(Wanted::Put(validate::encoded_item(item)?))
            }
            (None, Some(delete)) => {
                let key = delete.key.ok_or_else(|| missing("deleteRequest.key"))?;
                Ok(Wanted::Delete(validate::values(key)?))
            }
            (Some(_), Some(_)) | (None, None) => Err(Fault::SEVERAL.into()),
        }
    }
}
