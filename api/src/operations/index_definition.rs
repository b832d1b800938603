//! Secondary indexes as CreateTable and UpdateTable are told them.

use std::{collections::BTreeSet, fmt::Display};

use item::{Index, IndexKind, IndexStatus, Table, TableId, table::Billing, table::Projection};

use super::{
    key_schema::{self, AttributeDefinition, KeyAttributes, KeySchemaElement},
    throughput::{OnDemandThroughput, Throughput, Wanted, Warm},
};
use crate::{Error, json::request, validate::Violations};

/// Attributes that all indexes of a table may include by name at most.
const INCLUDED_MAX: usize = 100;
/// Attributes that one index may include by name at most.
const NAMES_MAX: usize = 20;
/// Indexes of a table at most.
const GLOBAL_MAX: usize = 20;
const LOCAL_MAX: usize = 5;

request! {
    /// One index.
    struct IndexDefinition {
        name: String = "IndexName",
        key_schema: Vec<KeySchemaElement> = "KeySchema",
        projection: ProjectionDefinition = "Projection",
        throughput: Throughput = "ProvisionedThroughput",
        on_demand_throughput: OnDemandThroughput = "OnDemandThroughput",
        warm_throughput: Warm = "WarmThroughput",
    }
}

request! {
    /// Which attributes the entries hold.
    struct ProjectionDefinition {
        kind: String = "ProjectionType",
        names: Vec<String> = "NonKeyAttributes",
    }
}

impl IndexDefinition {
    /// What it must be by itself; `at` is its place in the request.
    pub(crate) fn constraints(&self, violations: &mut Violations, at: &str, kind: IndexKind) {
        index_name(violations, at, self.name.as_ref());
        let most = if kind == IndexKind::Global { key_schema::GLOBAL_KEY_MAX } else { key_schema::KEY_MAX };
        key_schema::schema_constraints(violations, &format!("{at}.keySchema"), self.key_schema.as_ref(), most);
        violations.required(format_args!("{at}.projection"), self.projection.as_ref());
        if let Some(projection) = &self.projection {
            let words = &["ALL", "INCLUDE", "KEYS_ONLY"];
            violations.one_of(format_args!("{at}.projection.projectionType"), projection.kind.as_ref(), words);
            if let Some(names) = projection.names.as_ref().filter(|names| names.len() > NAMES_MAX) {
                let at = format!("{at}.projection.nonKeyAttributes");
                let constraint = format_args!("Member must have length less than or equal to {NAMES_MAX}");
                violations.add(at, key_schema::listed(names.iter().map(String::as_str)), constraint);
            }
            for (place, name) in projection.names.iter().flatten().enumerate() {
                let at = format!("{at}.projection.nonKeyAttributes.{}.member", place + 1);
                violations.length(at, Some(name), 1, 255);
            }
        }
        if kind == IndexKind::Global {
            self.wanted().constraints(violations, &format!("{at}."));
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            provisioned: self.throughput.as_ref(),
            on_demand: self.on_demand_throughput.as_ref(),
            warm: self.warm_throughput.as_ref(),
        }
    }

    /// The index of `table` that it defines; `undefined` makes the refusal of attributes without a definition.
    pub(crate) fn to_index(
        &self,
        kind: IndexKind,
        table: &Table,
        attributes: &[AttributeDefinition],
        undefined: impl Fn(&[KeySchemaElement]) -> Error,
    ) -> Result<Index, Error> {
        let name = self.name.clone().unwrap_or_default();
        let schema = self.key_schema.as_deref().unwrap_or_default();
        let is_global = kind == IndexKind::Global;
        let key = key_schema::key(schema, is_global, attributes, || undefined(schema))?;
        let KeyAttributes { partition_key, sort_key, further_keys } = key;
        if kind == IndexKind::Local {
            if sort_key.is_none() {
                return refuse(format_args!("Index KeySchema does not have a range key for index: {name}"));
            }
            if partition_key != table.partition_key {
                return refuse(format_args!(
                    "Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}. \
                     index hash key: {}, table hash key: {}",
                    partition_key.name, table.partition_key.name
                ));
            }
        }
        let billing = self.billing(kind, table, &name)?;
        let mut throughput = item::table::Throughput::default();
        if is_global {
            let change = self.wanted().change(&format!("index {name}"), billing, &throughput)?;
            throughput.read_units_max = change.read_units_max.flatten();
            throughput.write_units_max = change.write_units_max.flatten();
            throughput.warm = change.warm;
        }
        Ok(Index {
            // The store assigns the id.
            id: TableId(0),
            kind,
            partition_key,
            sort_key,
            further_keys,
            projection: self.projected()?,
            status: IndexStatus::Active,
            billing,
            throughput,
            name,
        })
    }

    fn projected(&self) -> Result<Projection, Error> {
        let projection = self.projection.as_ref();
        let kind = projection.and_then(|projection| projection.kind.as_deref());
        let names = projection.and_then(|projection| projection.names.as_ref());
        match (kind, names) {
            (None, _) => refuse("Unknown ProjectionType: null"),
            (Some("ALL"), None) => Ok(Projection::All),
            (Some("KEYS_ONLY"), None) => Ok(Projection::KeysOnly),
            (Some(kind @ ("ALL" | "KEYS_ONLY")), Some(_)) => {
                refuse(format_args!("ProjectionType is {kind}, but NonKeyAttributes is specified"))
            }
            (Some(_), None) => refuse("ProjectionType is INCLUDE, but NonKeyAttributes is not specified"),
            (Some(_), Some(names)) if names.is_empty() => refuse("NonKeyAttributes must not be empty"),
            (Some(_), Some(names)) => {
                let mut included = BTreeSet::new();
                match names.iter().find(|name| !included.insert((*name).clone())) {
                    Some(twice) => refuse(format_args!("Duplicate element in NonKeyAttributes: {twice}")),
                    None => Ok(Projection::Include(included)),
                }
            }
        }
    }

    fn billing(&self, kind: IndexKind, table: &Table, name: &str) -> Result<Billing, Error> {
        match (kind, table.billing, &self.throughput) {
            (IndexKind::Local | IndexKind::Expiry, ..) | (IndexKind::Global, Billing::OnDemand, None) => {
                Ok(Billing::OnDemand)
            }
            (IndexKind::Global, Billing::OnDemand, Some(_)) => refuse(format_args!(
                "ProvisionedThroughput should not be specified for index: {name} when BillingMode is PAY_PER_REQUEST"
            )),
            (IndexKind::Global, Billing::Provisioned { .. }, None) => {
                refuse(format_args!("ProvisionedThroughput is not specified for index: {name}"))
            }
            (IndexKind::Global, Billing::Provisioned { .. }, Some(throughput)) => throughput.billing(),
        }
    }
}

/// What CreateTable says of index keys without a definition.
pub(crate) fn undefined_keys(schema: &[KeySchemaElement], attributes: &[AttributeDefinition]) -> Error {
    Error::parameter(format_args!(
        "Some index key attributes are not defined in AttributeDefinitions. Keys: {}, AttributeDefinitions: {}",
        key_schema::listed(schema.iter().filter_map(|element| element.name.as_deref())),
        key_schema::defined(attributes),
    ))
}

/// What the name of an index, of the member at `at`, must be.
pub(crate) fn index_name(violations: &mut Violations, at: &str, name: Option<&String>) {
    violations.required(format_args!("{at}.indexName"), name);
    violations.length(format_args!("{at}.indexName"), name, 3, 255);
    if let Some(name) = name.filter(|name| !crate::validate::is_table_name(name)) {
        let pattern = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
        violations.add(format!("{at}.indexName"), name, pattern);
    }
}

/// Adds an index to a table that is to be; refuses what goes beyond DynamoDB's bounds.
pub(crate) fn add(table: &mut Table, index: Index) -> Result<(), Error> {
    if table.index(&index.name).is_some() {
        return refuse(format_args!("Duplicate index name: {}", index.name));
    }
    let at = table.indexes.partition_point(|other| other.name < index.name);
    table.indexes.insert(at, index);
    let count = |kind: IndexKind| table.indexes.iter().filter(|index| index.kind == kind).count();
    if count(IndexKind::Global) > GLOBAL_MAX {
        return refuse(format_args!("GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_MAX}"));
    }
    if count(IndexKind::Local) > LOCAL_MAX {
        return refuse(format_args!("Number of LocalSecondaryIndexes exceeds per-table limit of {LOCAL_MAX}"));
    }
    let included = table.indexes.iter().map(|index| match &index.projection {
        Projection::Include(names) => names.len(),
        Projection::KeysOnly | Projection::All => 0,
    });
    let included: usize = included.sum();
    if included > INCLUDED_MAX {
        return refuse(format_args!(
            "The sum of attribute names included in all indexes is {included}, over the limit of {INCLUDED_MAX}"
        ));
    }
    Ok(())
}

fn refuse<T>(what: impl Display) -> Result<T, Error> {
    Err(Error::parameter(what))
}
