//! BatchWriteItem: up to 25 puts and deletes, each on its own. Those for which a provisioned table has no units are left
//! unprocessed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use item::{Actor, EncodedItem, Item, Key, Table, TableId};
use serde::Serialize;
use store::write::{Action, Write};

use super::metered::{Metered, handed_in};
use crate::{
    App, Error,
    budget::Room,
    capacity::{ConsumedCapacity, Detail, Usage},
    item_collection::{self, ItemCollectionMetrics},
    json::{Members, request},
    validate::{self, RETURN_CONSUMED_CAPACITY, RETURN_ITEM_COLLECTION_METRICS, Violations},
    values::{Fault, ItemOut, WireEncoded, WireItem},
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

/// What BatchWriteItem answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    unprocessed_items: BTreeMap<String, Vec<Unprocessed>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Vec<ConsumedCapacity>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_collection_metrics: Option<item_collection::ByTable>,
}

/// A request to make again.
#[derive(Debug, Serialize)]
enum Unprocessed {
    PutRequest {
        #[serde(rename = "Item")]
        item: ItemOut,
    },
    DeleteRequest {
        #[serde(rename = "Key")]
        key: ItemOut,
    },
}

/// A request whose values follow the rules.
enum Wanted {
    Put(EncodedItem),
    Delete(Item),
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
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
            let table = table.clone();
            writes.push(Write { table, key, action, condition: None, return_old: false, actor: Actor::User });
            given_names.push(Arc::clone(&given_name));
        }
    }
    // One item more than once, before anything is written.
    let keys: BTreeSet<(TableId, &Key)> = writes.iter().map(|write| (write.table.id, &write.key)).collect();
    if keys.len() < writes.len() {
        return Err(Error::validation("Provided list of item keys contains duplicates"));
    }
    let mut unprocessed_items: BTreeMap<String, Vec<Unprocessed>> = BTreeMap::new();
    let mut admitted = Vec::new();
    let mut counted = Vec::new();
    for (mut write, given_name) in writes.into_iter().zip(given_names) {
        match Metered::admit(app, &mut write, capacity, 1.0) {
            Ok(metered) => {
                admitted.push(write);
                counted.push((given_name, metered));
            }
            Err(Error::ThroughputExceeded { .. }) => {
                unprocessed_items.entry(given_name.to_string()).or_default().push(Unprocessed::of(write)?);
            }
            Err(other) => return Err(other),
        }
    }
    if admitted.is_empty() {
        return Err(Error::ThroughputExceeded { index: false });
    }
    let written: Vec<(Arc<str>, Arc<Table>, Key)> = match request.return_metrics.as_deref() {
        Some("SIZE") => {
            let admitted = counted.iter().zip(&admitted);
            admitted.map(|((name, _), write)| (name.clone(), write.table.clone(), write.key.clone())).collect()
        }
        _ => Vec::new(),
    };
    let mut units: Vec<(Arc<str>, Usage)> = Vec::new();
    let returned = admitted.iter().filter(|write| write.return_old).count();
    if returned > 0 {
        // Units are counted by the items that there were, as they are stored and decoded.
        room.reserve(2 * returned * Item::SIZE_MAX).await?;
    }
    let written_within = app.store.write_within(admitted, app.config.patience);
    let answers = handed_in(counted.iter_mut().filter_map(|(_, metered)| metered.as_mut()), written_within).await?;
    for (answer, (given_name, metered)) in answers.into_iter().zip(counted) {
        let usage = metered.map(|metered| metered.settle(answer.as_ref()));
        answer?;
        match (usage, units.last_mut()) {
            (None, _) => {}
            (Some(usage), Some((name, sum))) if *name == given_name => sum.add(usage),
            (Some(usage), _) => units.push((given_name, usage)),
        }
    }
    let consumed: Vec<ConsumedCapacity> =
        units.into_iter().filter_map(|(name, units)| capacity.consumed(&name, units)).collect();
    let consumed_capacity = (capacity != Detail::None).then_some(consumed);
    let keys = written.iter().map(|(name, table, key)| (name.as_ref(), table.as_ref(), key));
    let item_collection_metrics = ItemCollectionMetrics::by_table(app, keys)?;
    Ok(Answer { unprocessed_items, consumed_capacity, item_collection_metrics })
}

impl Unprocessed {
    fn of(write: Write) -> Result<Unprocessed, Error> {
        let Write { table, key, action, .. } = write;
        Ok(match action {
            Action::PutEncoded(item) => Unprocessed::PutRequest { item: ItemOut(item.decode()) },
            _ => {
                let key = key.to_item(&table).map_err(|error| Error::Internal(error.to_string()))?;
                Unprocessed::DeleteRequest { key: ItemOut(key) }
            }
        })
    }
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
