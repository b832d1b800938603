//! `KeyConditions`, `QueryFilter` and `ScanFilter`: for each attribute an operator and its arguments.

use std::collections::BTreeMap;

use item::{
    Value,
    expression::{AttributeCondition, ComparisonOperator, Condition, KeyTerms},
};

use crate::{
    Error,
    json::request,
    validate::Violations,
    values::{Fault, WireValue},
};

request! {
    /// What must hold of one attribute.
    struct WireCondition {
        operator: String = "ComparisonOperator",
        arguments: Vec<WireValue> = "AttributeValueList",
    }
}

/// What must hold, by attribute.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct WireConditions(BTreeMap<String, WireCondition>);

impl WireConditions {
    /// Notes operators of the member at `place` that are missing or none.
    pub(crate) fn check_members(&self, violations: &mut Violations, place: &str) {
        for (name, condition) in &self.0 {
            let place = format!("{place}.{name}.member.comparisonOperator");
            violations.required(&place, condition.operator.as_ref());
            violations.one_of(&place, condition.operator.as_ref(), &ComparisonOperator::names());
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A filter: each must hold, or one of them if `any`.
    pub(crate) fn filter(self, any: bool) -> Result<Option<Condition>, Error> {
        Ok(Condition::of_attributes(self.checked()?, any)?)
    }

    /// A key condition.
    pub(crate) fn key_terms(self) -> Result<KeyTerms, Error> {
        Ok(KeyTerms::of_attributes(self.checked()?)?)
    }

    fn checked(self) -> Result<BTreeMap<String, AttributeCondition>, Error> {
        let checked = |(name, WireCondition { operator, arguments })| {
            let operator = operator_of(operator.as_deref())?;
            Ok((name, AttributeCondition::new(operator, values(arguments.unwrap_or_default())?)?))
        };
        self.0.into_iter().map(checked).collect()
    }
}

/// The operator of a word that has passed validation.
pub(super) fn operator_of(word: Option<&str>) -> Result<ComparisonOperator, Error> {
    let operator = word.and_then(ComparisonOperator::of_name);
    operator.ok_or_else(|| Error::Internal("a comparison operator was not validated".into()))
}

/// Arguments, if they follow the rules of values.
pub(super) fn values(arguments: Vec<WireValue>) -> Result<Vec<Value>, Error> {
    arguments.into_iter().map(|WireValue(value)| value).collect::<Result<_, Fault>>().map_err(Error::from)
}
