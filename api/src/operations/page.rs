//! What Query and Scan have in common: which attributes to show, filtering, and the page's answer.

use item::{
    Image, Index, Item, Table,
    expression::{Condition, Projection},
};
use serde::{Serialize, Serializer};
use store::{Page, PageLimit};

use super::{ITEM_ROOM_BYTES, READING_FACTOR};
use crate::{
    Error,
    capacity::{ConsumedCapacity, Detail, Usage},
    expressions::check_scalar_keys,
    json::Integer,
    validate::{RETURN_CONSUMED_CAPACITY, SELECT, Violations, is_table_name},
    values::{ImageOut, ItemOut},
};

/// One page of items.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Shown>,
    count: usize,
    scanned_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_key: Option<ItemOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

/// The items of a page as they are shown.
#[derive(Debug)]
pub(super) enum Shown {
    /// All that was read, as it lies in the store.
    Whole(Vec<Image>),
    /// Parts of it.
    Parts(Vec<ItemOut>),
}

impl Shown {
    fn len(&self) -> usize {
        match self {
            Shown::Whole(images) => images.len(),
            Shown::Parts(items) => items.len(),
        }
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Shown::Whole(images) => serializer.collect_seq(images.iter().map(ImageOut)),
            Shown::Parts(items) => items.serialize(serializer),
        }
    }
}

/// How to show the items of a page.
#[derive(Debug)]
pub(crate) struct Showing {
    pub(crate) filter: Option<Condition>,
    pub(crate) projection: Option<Projection>,
    /// Items were read whole for the filter's sake: of these, what the entries of this index hold is shown.
    pub(crate) held: Option<Index>,
    pub(crate) count_only: bool,
    pub(crate) told: Told,
}

/// What the answer tells beside items, and of which table.
#[derive(Debug)]
pub(crate) struct Told {
    given_name: String,
    capacity: Detail,
    pub(crate) consistent: bool,
}

impl Told {
    /// Takes the words that Query and Scan have in common, noting those that are none.
    pub(crate) fn of(
        violations: &mut Violations,
        given_name: String,
        select: Option<&String>,
        index_name: Option<&String>,
        return_capacity: Option<&String>,
        consistent: Option<bool>,
    ) -> Told {
        violations.one_of("select", select, SELECT);
        violations.one_of("returnConsumedCapacity", return_capacity, RETURN_CONSUMED_CAPACITY);
        if let Some(name) = index_name.filter(|name| !is_table_name(name)) {
            violations.add("indexName", name, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
        }
        violations.length("indexName", index_name, 3, 255);
        let capacity = Detail::of(return_capacity.map(String::as_str));
        Told { given_name, capacity, consistent: consistent.unwrap_or(false) }
    }

    /// For a read whose words were taken before its table was known.
    pub(crate) fn new(given_name: String, capacity: Detail, consistent: bool) -> Told {
        Told { given_name, capacity, consistent }
    }
}

impl Showing {
    /// Refuses to look into the key.
    pub(crate) fn check_scalar_keys(&self, table: &Table) -> Result<(), Error> {
        if let Some(filter) = &self.filter {
            check_scalar_keys(table, &filter.nested_attributes())?;
        }
        self.projection.as_ref().map_or(Ok(()), |p| check_scalar_keys(table, &p.nested_attributes()))
    }

    /// Filters and projects items of `table`. Only what is looked into is decoded.
    pub(crate) fn items(&self, table: &Table, mut images: Vec<Image>) -> Result<Shown, Error> {
        if let Some(filter) = &self.filter {
            let mut matching = Vec::with_capacity(images.len());
            for image in images {
                if filter.matches(&decode(&image)?) {
                    matching.push(image);
                }
            }
            images = matching;
        }
        let part: &dyn Fn(&Item) -> Item = match (&self.projection, &self.held) {
            (Some(projection), _) => &|item| projection.apply(item),
            (None, Some(index)) if !self.count_only => &|item| index.project(item, table),
            (None, _) => return Ok(Shown::Whole(images)),
        };
        let parts: Result<_, Error> = images.iter().map(|image| Ok(ItemOut(part(&decode(image)?)))).collect();
        Ok(Shown::Parts(parts?))
    }

    /// Filters and projects a page that the store gave for `usage`, and whose keys are of `schema`.
    pub(crate) fn answer(
        self,
        table: &Table,
        schema: &Table,
        page: Page<Image>,
        usage: Usage,
    ) -> Result<Answer, Error> {
        let scanned_count = page.items.len();
        let items = self.items(table, page.items)?;
        let count = items.len();
        let items = (!self.count_only).then_some(items);
        let last_evaluated_key = page.last_key.map(|key| key.to_item(schema)).transpose();
        let last_evaluated_key = last_evaluated_key.map_err(|error| Error::Internal(error.to_string()))?.map(ItemOut);
        let consumed_capacity = self.told.capacity.consumed(&self.told.given_name, usage);
        Ok(Answer { items, count, scanned_count, last_evaluated_key, consumed_capacity })
    }
}

/// Decodes what the store holds.
pub(super) fn decode(image: &Image) -> Result<Item, Error> {
    image.decode().map_err(|error| Error::Internal(error.to_string()))
}

/// Checks `Select` against the parameter that names attributes, if there is one, and the index; answers whether only the count is
/// wanted. Query introduces what it refuses as `preface` says.
pub(crate) fn check_select(
    select: Option<&str>,
    projection: Option<&str>,
    index: bool,
    preface: &str,
) -> Result<bool, Error> {
    let refuse = |fault: std::fmt::Arguments<'_>| Err(Error::Validation(format!("{preface}{fault}")));
    match (select, projection) {
        (Some("ALL_PROJECTED_ATTRIBUTES"), _) if !index => {
            refuse(format_args!("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"))
        }
        (Some("SPECIFIC_ATTRIBUTES"), None) => refuse(format_args!(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
        )),
        (Some("COUNT"), Some(parameter)) => {
            refuse(format_args!("Cannot specify the {parameter} when choosing to get only the Count"))
        }
        (Some(all @ ("ALL_ATTRIBUTES" | "ALL_PROJECTED_ATTRIBUTES")), Some(parameter)) => {
            refuse(format_args!("Cannot specify the {parameter} when choosing to get {all}"))
        }
        (select, _) => Ok(select == Some("COUNT")),
    }
}

/// The parameter that names attributes, if one is given.
pub(crate) fn naming(projection: Option<&String>, attributes_to_get: Option<&Vec<String>>) -> Option<&'static str> {
    let by_attribute = attributes_to_get.map(|_| "AttributesToGet");
    projection.map(|_| "ProjectionExpression").or(by_attribute)
}

/// The page's bounds; `limit` has passed validation.
pub(crate) fn page_limit(limit: Option<Integer>) -> PageLimit {
    let items = limit.and_then(|Integer(limit)| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    PageLimit { items, ..PageLimit::default() }
}

/// What a page of `limit` may take in memory.
pub(crate) fn page_room(limit: PageLimit) -> usize {
    (READING_FACTOR * limit.bytes).min(limit.items.saturating_mul(ITEM_ROOM_BYTES))
}
