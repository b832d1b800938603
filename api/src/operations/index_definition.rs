//! Secondary indexes as CreateTable and UpdateTable are told them.

use std::fmt::Display;

use item::{Index, IndexKind, IndexStatus, Table, TableId, table::Billing, table::Projection};

use super::{
    key_schema::{self, AttributeDefinition, KeySchemaElement},
    throughput::Throughput,
};
use crate::{
    Error,
    json::{Present, request},
    validate::Violations,
};

/// Attributes that all indexes of a table may include by name at most.
const INCLUDED_MAX: usize = 100;
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
        on_demand_throughput: Present = "OnDemandThroughput",
        warm_throughput: Present = "WarmThroughput",
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
    pub(crate) fn constraints(&self, violations: &mut Violations, at: &str) {
        index_name(violations, at, self.name.as_ref());
        key_schema::schema_constraints(violations, &format!("{at}.keySchema"), self.key_schema.as_ref());
        violations.required(format_args!("{at}.projection"), self.projection.as_ref());
        if let Some(projection) = &self.projection {
            let words = &["ALL", "INCLUDE", "KEYS_ONLY"];
            violations.one_of(format_args!("{at}.projection.projectionType"), projection.kind.as_ref(), words);
            for (place, name) in projection.names.iter().flatten().enumerate() {
                let at = format!("{at}.projection.nonKeyAttributes.{}.member", place + 1);
                violations.length(at, Some(name), 1, 255);
            }
        }
        if let Some(throughput) = &self.throughput {
            throughput.constraints(violations, &format!("{at}.provisionedThroughput"));
        }
    }

    /// The index of `table` that it defines.
    pub(crate) fn to_index(
        &self,
        kind: IndexKind,
        table: &Table,
        attributes: &[AttributeDefinition],
    ) -> Result<Index, Error> {
        let name = self.name.clone().unwrap_or_default();
        for (given, what) in
            [(self.on_demand_throughput, "OnDemandThroughput"), (self.warm_throughput, "WarmThroughput")]
        {
            if given.is_some() {
                return Err(Error::parameter(format_args!("{what} is not supported by Thalweg yet")));
            }
        }
        let schema = self.key_schema.as_deref().unwrap_or_default();
        let undefined = || {
            Error::parameter(format_args!(
                "Some index key attributes are not defined in AttributeDefinitions. Keys: {}, AttributeDefinitions: {}",
                key_schema::listed(schema.iter().filter_map(|element| element.name.as_deref())),
                key_schema::defined(attributes),
            ))
        };
        let (partition_key, sort_key) = key_schema::key(schema, attributes, undefined)?;
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
        Ok(Index {
            // The store assigns the id.
            id: TableId(0),
            kind,
            partition_key,
            sort_key,
            projection: self.projected()?,
            status: IndexStatus::Active,
            billing: self.billing(kind, table, &name)?,
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
            (Some(_), Some(names)) => Ok(Projection::Include(names.iter().cloned().collect())),
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
