//! What a SELECT reads: the partitions that its WHERE names, one query after the other, or else a scan.

use std::collections::BTreeSet;

use item::{
    Image, Index, IndexKind, Key, Table,
    expression::{KeyCondition, KeyTerms, Projection},
    key::SLOTS,
};
use store::{Direction, PageLimit, SortRange, Target};

use super::{
    index_read::{self, Asked as AskedOfIndex, IndexRead, MeteredRead},
    next_token::{self, NextToken},
    page::{Showing, Shown, Told, page_limit, page_room},
    query::check_start,
};
use crate::{
    App, Error,
    budget::Room,
    capacity::{ConsumedCapacity, Detail},
    json::Integer,
    partiql::{Order, Plan, Select},
    validate,
    values::ItemOut,
};

/// Items of one page that is read from several partitions.
const SEVERAL_PARTITIONS_ITEMS_MAX: usize = 10;

/// What a request says beside its statement.
pub(super) struct Asked {
    /// Stands for the statement and its parameters.
    pub(super) statement: [u8; 16],
    pub(super) next_token: Option<String>,
    pub(super) limit: Option<Integer>,
    pub(super) consistent: bool,
    pub(super) capacity: Detail,
}

/// One page of it.
pub(super) struct Selected {
    pub(super) items: Shown,
    pub(super) next_token: Option<String>,
    pub(super) last_key: Option<ItemOut>,
    pub(super) consumed_capacity: Option<ConsumedCapacity>,
}

/// Reads a page.
pub(super) async fn select(app: &App, select: Select, asked: Asked, room: &mut Room<'_>) -> Result<Selected, Error> {
    let start = asked.next_token.as_ref().map(|token| NextToken::decode(token, asked.statement)).transpose()?;
    let given_name = select.source.table;
    let name = validate::table_name(Some(given_name.clone()))?;
    let table = super::table(app, &name)?;
    let index = select.source.index.as_ref().map(|name| index(&table, name)).transpose()?;
    let entries = index.map(|index| index.entries(&table));
    let has_where = !select.conditions.is_empty();
    let Plan { partitions, filter } = Plan::of(entries.as_ref().unwrap_or(&table), select.conditions)?;
    let projection = select.columns.map(Projection::of_columns);
    if let (Some(index), Some(filter), true) = (index, &filter, partitions.is_some()) {
        check_projected(index, &table, &filter.attributes())?;
    }
    // Without a key, what an index does not hold is as good as absent.
    let of_index =
        AskedOfIndex { consistent: asked.consistent, select: None, filter: None, projection: projection.as_ref() };
    let read = index.map(|index| IndexRead::of(&table, &index.name, &of_index)).transpose()?;
    let (schema, target) = index_read::target(&table, read.as_ref());
    let ordered = Ordered::of(&select.order, schema, has_where, partitions.as_ref().map(Vec::len))?;
    let held = read.as_ref().and_then(IndexRead::held);
    let told = Told::new(given_name.clone(), asked.capacity, asked.consistent);
    let showing = Showing { filter, projection, held, count_only: false, told };
    showing.check_scalar_keys(&table)?;
    let limit = page_limit(asked.limit);
    let metered = MeteredRead::admit(app, &table, read.as_ref(), asked.consistent)?;
    let reading = Reading { app, target, schema, sort: ordered.sort };
    let page = match partitions {
        Some(partitions) => {
            let bound = partitions.into_iter().map(|terms: KeyTerms| terms.bind(schema)).collect::<Result<_, _>>()?;
            reading.partitions(&ordered.arrange(bound), start, limit, room).await?
        }
        None => reading.everything(start, limit, room).await?,
    };
    let usage = metered.settle(&page.read)?;
    let last_key = page.next.iter().find_map(|(_, key)| key.as_ref()).map(|key| key.to_item(schema)).transpose();
    let last_key = last_key.map_err(|error| Error::Internal(error.to_string()))?.map(ItemOut);
    let token = |(partition, after)| NextToken { statement: asked.statement, partition, after }.encode();
    Ok(Selected {
        items: showing.items(&table, page.read.items)?,
        next_token: page.next.map(token),
        last_key,
        consumed_capacity: asked.capacity.consumed(&given_name, usage),
    })
}

/// What was read of a page.
#[derive(Default)]
struct Page {
    read: store::Page<Image>,
    /// The partition to go on in, by its place, and the key to go on after.
    next: Option<(u16, Option<Key>)>,
}

/// How to read a page.
struct Reading<'a> {
    app: &'a App,
    target: Target<'a>,
    /// Of the keys of what is read.
    schema: &'a Table,
    sort: Direction,
}

impl Reading<'_> {
    /// Reads one partition after the other.
    async fn partitions(
        &self,
        partitions: &[KeyCondition],
        start: Option<NextToken>,
        mut limit: PageLimit,
        room: &mut Room<'_>,
    ) -> Result<Page, Error> {
        if partitions.len() > 1 {
            limit.items = limit.items.min(SEVERAL_PARTITIONS_ITEMS_MAX);
        }
        let (first, mut after) = start.map_or((0, None), |start| (usize::from(start.partition), start.after));
        if let Some(after) = &after {
            check_key(after, self.schema)?;
            check_start(after, partitions.get(first).ok_or_else(next_token::invalid)?)?;
        }
        room.reserve(page_room(limit)).await?;
        let mut page = Page::default();
        for (place, condition) in (0_u16..).zip(partitions).skip(first) {
            let left = PageLimit { items: limit.items - page.read.items.len(), bytes: limit.bytes - page.read.bytes };
            let range = SortRange { from: condition.from.clone(), until: condition.until.clone() };
            let (store, after) = (&self.app.store, after.take());
            let read =
                store.query_images(self.target, &condition.partition, &range, self.sort, after.as_ref(), left).await?;
            page.read.bytes += read.bytes;
            page.read.items.extend(read.items);
            if read.last_key.is_some() {
                page.next = Some((place, read.last_key));
                break;
            }
            let is_full = page.read.items.len() >= limit.items || page.read.bytes >= limit.bytes;
            if is_full && usize::from(place) + 1 < partitions.len() {
                page.next = Some((place + 1, None));
                break;
            }
        }
        Ok(page)
    }

    /// Scans.
    async fn everything(&self, start: Option<NextToken>, limit: PageLimit, room: &mut Room<'_>) -> Result<Page, Error> {
        let after = start.and_then(|start| start.after);
        if let Some(after) = &after {
            check_key(after, self.schema)?;
        }
        room.reserve(page_room(limit)).await?;
        let mut read = self.app.store.scan_images(self.target, 0..SLOTS, after.as_ref(), limit).await?;
        let next = read.last_key.take().map(|key| (0, Some(key)));
        Ok(Page { read, next })
    }
}

/// What an ORDER BY asks for.
struct Ordered {
    /// The order of partitions: as they are named, if none.
    partitions: Option<Direction>,
    /// The order within a partition.
    sort: Direction,
}

impl Ordered {
    /// Only reads of partitions that are named can be in order; `partitions` says how many there are.
    fn of(order: &[Order], schema: &Table, has_where: bool, partitions: Option<usize>) -> Result<Ordered, Error> {
        let mut ordered = Ordered { partitions: None, sort: Direction::Forward };
        let Some(first) = order.first() else { return Ok(ordered) };
        if !has_where {
            return Err(Error::validation("Must have WHERE clause in the statement when using ORDER BY clause."));
        }
        let Some(partitions) = partitions else {
            return Err(Error::validation(
                "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
            ));
        };
        for Order { attribute, descending } in order {
            let direction = if *descending { Direction::Backward } else { Direction::Forward };
            if *attribute == schema.partition_key.name {
                ordered.partitions = Some(direction);
            } else if schema.sort_key.as_ref().is_some_and(|key| key.name == *attribute) {
                ordered.sort = direction;
            } else {
                return Err(Error::Validation(format!(
                    "Variable reference {attribute} in ORDER BY clause must be part of the primary key"
                )));
            }
        }
        if partitions > 1 && first.attribute != schema.partition_key.name {
            return Err(Error::Validation(format!(
                "The partition key {} must come first in the ORDER BY clause when the WHERE clause names several of its \
                 values",
                schema.partition_key.name
            )));
        }
        Ok(ordered)
    }

    fn arrange(&self, mut conditions: Vec<KeyCondition>) -> Vec<KeyCondition> {
        match self.partitions {
            None => {}
            Some(Direction::Forward) => conditions.sort_by(|one, other| one.partition.cmp(&other.partition)),
            Some(Direction::Backward) => conditions.sort_by(|one, other| other.partition.cmp(&one.partition)),
        }
        conditions
    }
}

fn index<'t>(table: &'t Table, name: &str) -> Result<&'t Index, Error> {
    table.index(name).ok_or_else(|| Error::validation("The table does not have the specified index"))
}

/// Refuses to filter what is read by key on attributes that the index does not hold.
fn check_projected(index: &Index, table: &Table, attributes: &BTreeSet<&str>) -> Result<(), Error> {
    let missing: Vec<&str> = attributes.iter().copied().filter(|name| !index.projects(table, name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let kind = match index.kind {
        IndexKind::Global => "Global",
        IndexKind::Local | IndexKind::Expiry => "Local",
    };
    let (name, missing) = (&index.name, missing.join(", "));
    Err(Error::parameter(format_args!("{kind} secondary index {name} does not project [{missing}]")))
}

/// A key out of a token must at least be one.
fn check_key(key: &Key, schema: &Table) -> Result<(), Error> {
    let item = key.to_item(schema).map_err(|_| next_token::invalid())?;
    match Key::of_item(schema, &item) {
        Ok(again) if again == *key => Ok(()),
        _ => Err(next_token::invalid()),
    }
}
