//! Parameters from before there were expressions. They become what expressions are parsed into, so that an item is looked at
//! in one way only; here are their forms on the wire, and what must not be given together.

mod conditions;
mod expected;

use item::expression::Projection;

use crate::{Error, validate::Violations};

pub(crate) use conditions::WireConditions;
pub(crate) use expected::WireExpected;

/// Words of `ConditionalOperator`.
const CONDITIONAL_OPERATORS: &[&str] = &["OR", "AND"];

/// Refuses parameters from before there were expressions beside expressions. Both are told in the order given here.
pub(crate) fn check_unmixed(
    legacy: &[(&'static str, bool)],
    expressions: &[(&'static str, bool)],
) -> Result<(), Error> {
    let given = |list: &[(&'static str, bool)]| {
        list.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    };
    let (legacy, expressions) = (given(legacy), given(expressions));
    if legacy.is_empty() || expressions.is_empty() {
        return Ok(());
    }
    Err(Error::Validation(format!(
        "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: \
         {{{legacy}}} Expression parameters: {{{expressions}}}"
    )))
}

/// Notes a `ConditionalOperator` that is none.
pub(crate) fn check_operator(violations: &mut Violations, operator: Option<&String>) {
    violations.one_of("conditionalOperator", operator, CONDITIONAL_OPERATORS);
}

/// Is one of `count` conditions enough? A `ConditionalOperator` needs conditions to join.
pub(crate) fn is_any(operator: Option<&String>, count: usize) -> Result<bool, Error> {
    match (operator, count) {
        (None, _) => Ok(false),
        (Some(_), 0) => Err(Error::validation("ConditionalOperator cannot be used without Filter or Expected")),
        (Some(_), 1) => Err(Error::validation(
            "ConditionalOperator can only be used when Filter or Expected has two or more elements",
        )),
        (Some(operator), _) => Ok(operator == "OR"),
    }
}

/// Notes it if `AttributesToGet`, the member at `place`, names nothing.
pub(crate) fn check_names(violations: &mut Violations, place: &str, names: Option<&Vec<String>>) {
    if names.is_some_and(Vec::is_empty) {
        violations.add(place, "[]", "Member must have length greater than or equal to 1");
    }
}

/// What `AttributesToGet` shows of an item.
pub(crate) fn projection(names: Option<Vec<String>>) -> Result<Option<Projection>, Error> {
    Ok(names.map(Projection::of_attributes).transpose()?)
}
