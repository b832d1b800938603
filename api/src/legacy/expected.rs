//! `Expected`: what must hold of attributes for a write to happen.
//!
//! Each attribute has one of two forms: an operator with its arguments, or, from before there were operators, the value that it
//! has or the word that it is not there.

use std::collections::BTreeMap;

use item::expression::{AttributeCondition, ComparisonOperator, Condition};

use super::conditions::{operator_of, values};
use crate::{Error, json::request, validate::Violations, values::WireValue};

request! {
    /// What must hold of one attribute.
    struct WireExpectation {
        operator: String = "ComparisonOperator",
        arguments: Vec<WireValue> = "AttributeValueList",
        value: WireValue = "Value",
        exists: bool = "Exists",
    }
}

/// What must hold, by attribute.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct WireExpected(BTreeMap<String, WireExpectation>);

impl WireExpected {
    /// Notes operators that are none.
    pub(crate) fn check_members(&self, violations: &mut Violations) {
        for (name, expectation) in &self.0 {
            let place = format_args!("expected.{name}.member.comparisonOperator");
            violations.one_of(place, expectation.operator.as_ref(), &ComparisonOperator::names());
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A condition: each must hold, or one of them if `any`.
    pub(crate) fn condition(self, any: bool) -> Result<Option<Condition>, Error> {
        let checked = |(name, expectation): (String, WireExpectation)| {
            let condition = expectation.checked(&name)?;
            Ok((name, condition))
        };
        let conditions = self.0.into_iter().map(checked).collect::<Result<_, Error>>()?;
        Ok(Condition::of_attributes(conditions, any)?)
    }
}

impl WireExpectation {
    fn checked(self, name: &str) -> Result<AttributeCondition, Error> {
        let refuse = |fault: &str| Err(Error::parameter(format_args!("{fault} for Attribute: {name}")));
        if self.arguments.is_some() && self.value.is_some() {
            return refuse("Value and AttributeValueList cannot be used together");
        }
        if let Some(word) = &self.operator {
            if self.exists.is_some() {
                return refuse("Exists and ComparisonOperator cannot be used together");
            }
            let needs_none = matches!(word.as_str(), "NULL" | "NOT_NULL");
            if !needs_none && self.arguments.is_none() && self.value.is_none() {
                return refuse(&format!("Value or AttributeValueList must be used with ComparisonOperator: {word}"));
            }
            let arguments = self.arguments.unwrap_or_default().into_iter().chain(self.value).collect();
            return Ok(AttributeCondition::new(operator_of(Some(word))?, values(arguments)?)?);
        }
        match (self.arguments, self.exists, self.value) {
            (Some(_), ..) => refuse("AttributeValueList can only be used with a ComparisonOperator"),
            (None, Some(false), None) => Ok(AttributeCondition::not_exists()),
            (None, Some(false), Some(_)) => refuse("Value cannot be used when Exists is false"),
            (None, Some(true), None) => refuse("Value must be provided when Exists is true"),
            (None, None, None) => refuse("Value must be provided when Exists is null"),
            (None, _, Some(WireValue(value))) => Ok(AttributeCondition::equal(value?)),
        }
    }
}
