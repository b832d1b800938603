//! From the shape of an update to its meaning: substitutions put in, paths and operands checked.
//!
//! Checks run in DynamoDB's order, each over the whole expression before the next: reserved words, function names, sections,
//! undefined names, undefined values, paths that meet, operands of ADD and DELETE, operands of functions and operators.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    AttributeUpdate,
    parse::{Action as Written, Change as WrittenChange, Section, Value as WrittenValue},
};
use crate::{
    Value,
    expression::{
        ExpressionError, Kind, Path, Substitutions,
        parse::{Element, Operand},
        path::check_apart,
        resolve::{FUNCTIONS, Resolver, reserved, reserved_word},
    },
};

/// A path, and what happens to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Action {
    pub(super) path: Path,
    pub(super) change: Change,
}

/// What happens to the value at a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It becomes this.
    Set(Term),
    /// It goes.
    Remove,
    /// A number to add, or a set to unite with.
    Add(Arc<Value>),
    /// A set to take away.
    Delete(Arc<Value>),
}

/// Something that has a value once an item is given. Nested no deeper than the parser lets functions be.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// What a path leads to.
    Path(Path),
    /// Itself.
    Value(Arc<Value>),
    /// What the path leads to; the other if that is nothing.
    IfNotExists(Path, Box<Term>),
    /// Two lists as one.
    ListAppend(Box<Term>, Box<Term>),
    /// The first and the second.
    Sum(Box<Term>, Box<Term>),
    /// The first without the second.
    Difference(Box<Term>, Box<Term>),
}

const IF_NOT_EXISTS: &str = "if_not_exists";
const LIST_APPEND: &str = "list_append";

/// Resolves a whole update; answers the size of its values too.
pub(super) fn update(
    sections: Vec<Section<'_>>,
    substitutions: &mut Substitutions,
) -> Result<(Vec<Action>, usize), ExpressionError> {
    let kind = Kind::Update;
    check_words(kind, &sections, substitutions)?;
    let written: Vec<Written<'_>> = sections.into_iter().flat_map(|section| section.actions).collect();
    let mut resolver = Resolver::new(kind, substitutions);
    let paths = written.iter().map(|action| resolver.path(action.path.clone())).collect::<Result<Vec<_>, _>>()?;
    check_apart(kind, &paths)?;
    for action in &written {
        match action.change {
            WrittenChange::Add(token) => check_operand(kind, "ADD", resolver.value(token)?.as_ref())?,
            WrittenChange::Delete(token) => check_operand(kind, "DELETE", resolver.value(token)?.as_ref())?,
            WrittenChange::Set(_) | WrittenChange::Remove => {}
        }
    }
    let changes: Vec<_> = written.into_iter().map(|action| change(&mut resolver, action.change)).collect();
    let actions = paths.into_iter().zip(changes).map(|(path, change)| Ok(Action { path, change: change? }));
    let actions = actions.collect::<Result<_, ExpressionError>>()?;
    Ok((actions, resolver.size()))
}

/// What an update given by attribute does to the one at `path`.
pub(super) fn attribute(path: &Path, wanted: AttributeUpdate) -> Result<Change, ExpressionError> {
    let unsupported = |what: &str, value: &Value| {
        Err(ExpressionError(format!(
            "One or more parameter values were invalid: {what} is not supported for the type {}",
            value.type_name()
        )))
    };
    Ok(match wanted {
        AttributeUpdate::Put(value) => Change::Set(Term::Value(Arc::new(value))),
        AttributeUpdate::Delete(None) => Change::Remove,
        AttributeUpdate::Delete(Some(value @ (Value::StringSet(_) | Value::NumberSet(_) | Value::BinarySet(_)))) => {
            Change::Delete(Arc::new(value))
        }
        AttributeUpdate::Delete(Some(value)) => return unsupported("DELETE action with value", &value),
        AttributeUpdate::Add(value @ Value::List(_)) => {
            let none = Box::new(Term::Value(Arc::new(Value::List(Vec::new()))));
            let old = Box::new(Term::IfNotExists(path.clone(), none));
            Change::Set(Term::ListAppend(old, Box::new(Term::Value(Arc::new(value)))))
        }
        AttributeUpdate::Add(
            value @ (Value::Number(_) | Value::StringSet(_) | Value::NumberSet(_) | Value::BinarySet(_)),
        ) => Change::Add(Arc::new(value)),
        AttributeUpdate::Add(value) => return unsupported("ADD action", &value),
    })
}

/// What an expression is written with, in its order.
#[derive(Default)]
struct Words<'a, 'w> {
    elements: Vec<&'w Element<'a>>,
    functions: Vec<&'a str>,
    values: Vec<&'a str>,
}

impl<'a, 'w> Words<'a, 'w> {
    fn visit(&mut self, operand: &'w Operand<'a>) {
        match operand {
            Operand::Path(elements) => self.elements.extend(elements),
            Operand::Value(token) => self.values.push(token),
            Operand::Call(call) => {
                self.functions.push(call.function);
                call.arguments.iter().for_each(|argument| self.visit(argument));
            }
        }
    }
}

fn check_words(kind: Kind, sections: &[Section<'_>], substitutions: &Substitutions) -> Result<(), ExpressionError> {
    let mut words = Words::default();
    for action in sections.iter().flat_map(|section| &section.actions) {
        words.elements.extend(&action.path);
        match &action.change {
            WrittenChange::Set(WrittenValue::Operand(operand)) => words.visit(operand),
            WrittenChange::Set(WrittenValue::Sum(left, right) | WrittenValue::Difference(left, right)) => {
                words.visit(left);
                words.visit(right);
            }
            WrittenChange::Add(token) | WrittenChange::Delete(token) => words.values.push(token),
            WrittenChange::Remove => {}
        }
    }
    if let Some(word) = words.elements.iter().find_map(|element| reserved_word(element)) {
        return Err(kind.refuse(reserved(word)));
    }
    if let Some(function) = words.functions.iter().find(|function| ![IF_NOT_EXISTS, LIST_APPEND].contains(function)) {
        return Err(kind.refuse(if FUNCTIONS.contains(function) {
            format!("The function is not allowed in an update expression; function: {function}")
        } else {
            format!("Invalid function name; function: {function}")
        }));
    }
    let mut seen = BTreeSet::new();
    if let Some(section) = sections.iter().find(|section| !seen.insert(section.keyword)) {
        return Err(kind.refuse(format_args!(
            "The \"{}\" section can only be used once in an update expression;",
            section.keyword
        )));
    }
    let undefined = words.elements.iter().find_map(|element| match element {
        Element::Name(token) if !substitutions.names.contains_key(*token) => Some(token),
        _ => None,
    });
    if let Some(token) = undefined {
        return Err(kind.refuse(format_args!(
            "An expression attribute name used in the document path is not defined; attribute name: {token}"
        )));
    }
    match words.values.iter().find(|token| !substitutions.values.contains_key(**token)) {
        Some(token) => Err(kind.refuse(format_args!(
            "An expression attribute value used in expression is not defined; attribute value: {token}"
        ))),
        None => Ok(()),
    }
}

/// ADD takes numbers and sets, DELETE sets.
fn check_operand(kind: Kind, operator: &str, value: &Value) -> Result<(), ExpressionError> {
    let type_name = match value {
        Value::StringSet(_) | Value::NumberSet(_) | Value::BinarySet(_) => return Ok(()),
        Value::Number(_) if operator == "ADD" => return Ok(()),
        Value::Number(_) => "NUMBER",
        Value::String(_) => "STRING",
        Value::Binary(_) => "BINARY",
        Value::Bool(_) => "BOOLEAN",
        Value::Null => "NULL",
        Value::List(_) => "LIST",
        Value::Map(_) => "MAP",
    };
    Err(kind.refuse(format_args!(
        "Incorrect operand type for operator or function; operator: {operator}, operand type: {type_name}, \
         typeSet: ALLOWED_FOR_{operator}_OPERAND"
    )))
}

fn change(resolver: &mut Resolver<'_>, written: WrittenChange<'_>) -> Result<Change, ExpressionError> {
    Ok(match written {
        WrittenChange::Remove => Change::Remove,
        WrittenChange::Add(token) => Change::Add(resolver.value(token)?),
        WrittenChange::Delete(token) => Change::Delete(resolver.value(token)?),
        WrittenChange::Set(WrittenValue::Operand(operand)) => Change::Set(term(resolver, operand)?),
        WrittenChange::Set(WrittenValue::Sum(left, right)) => {
            let (left, right) = pair(resolver, "+", "N", left, right)?;
            Change::Set(Term::Sum(left, right))
        }
        WrittenChange::Set(WrittenValue::Difference(left, right)) => {
            let (left, right) = pair(resolver, "-", "N", left, right)?;
            Change::Set(Term::Difference(left, right))
        }
    })
}

/// Two operands that must have one type, as far as that shows without an item.
fn pair(
    resolver: &mut Resolver<'_>,
    operator: &str,
    type_name: &str,
    left: Operand<'_>,
    right: Operand<'_>,
) -> Result<(Box<Term>, Box<Term>), ExpressionError> {
    let (left, right) = (term(resolver, left)?, term(resolver, right)?);
    check_pair(resolver, operator, type_name, &left, &right)?;
    Ok((Box::new(left), Box::new(right)))
}

fn check_pair(
    resolver: &Resolver<'_>,
    operator: &str,
    type_name: &str,
    left: &Term,
    right: &Term,
) -> Result<(), ExpressionError> {
    for operand in [left, right] {
        if let Term::Value(value) = operand
            && value.type_name() != type_name
        {
            return Err(resolver.wrong_type(operator, value.type_name()));
        }
    }
    Ok(())
}

/// Checks actions that were never expression text; answers the size of their values.
pub(super) fn check(actions: &[Action]) -> Result<usize, ExpressionError> {
    let kind = Kind::Statement;
    let mut none = Substitutions::default();
    let resolver = Resolver::new(kind, &mut none);
    let paths: Vec<Path> = actions.iter().map(|action| action.path.clone()).collect();
    check_apart(kind, &paths)?;
    let mut size = 0;
    for action in actions {
        size += match &action.change {
            Change::Set(term) => check_term(&resolver, term)?,
            Change::Remove => 0,
            Change::Add(value) => {
                check_operand(kind, "ADD", value)?;
                value.size()
            }
            Change::Delete(value) => {
                check_operand(kind, "DELETE", value)?;
                value.size()
            }
        };
    }
    Ok(size)
}

/// Recurses as deep as the term is nested, which who composed it has bounded.
fn check_term(resolver: &Resolver<'_>, term: &Term) -> Result<usize, ExpressionError> {
    let (operator, type_name, left, right) = match term {
        Term::Path(_) => return Ok(0),
        Term::Value(value) => return Ok(value.size()),
        Term::IfNotExists(_, otherwise) => return check_term(resolver, otherwise),
        Term::ListAppend(first, second) => (LIST_APPEND, "L", first, second),
        Term::Sum(left, right) => ("+", "N", left, right),
        Term::Difference(left, right) => ("-", "N", left, right),
    };
    check_pair(resolver, operator, type_name, left, right)?;
    Ok(check_term(resolver, left)? + check_term(resolver, right)?)
}

fn term(resolver: &mut Resolver<'_>, written: Operand<'_>) -> Result<Term, ExpressionError> {
    let call = match written {
        Operand::Path(elements) => return Ok(Term::Path(resolver.path(elements)?)),
        Operand::Value(token) => return Ok(Term::Value(resolver.value(token)?)),
        Operand::Call(call) => call,
    };
    let [first, second] = <[Operand<'_>; 2]>::try_from(call.arguments)
        .map_err(|arguments| resolver.count(call.function, arguments.len()))?;
    if call.function == LIST_APPEND {
        let (first, second) = pair(resolver, LIST_APPEND, "L", first, second)?;
        return Ok(Term::ListAppend(first, second));
    }
    match term(resolver, first)? {
        Term::Path(path) => Ok(Term::IfNotExists(path, Box::new(term(resolver, second)?))),
        _ => Err(resolver.no_path(IF_NOT_EXISTS)),
    }
}
