//! From the shape of an expression to its meaning: substitutions put in, operands checked.
//!
//! Checks run in DynamoDB's order: over the whole expression function names, misplaced functions, reserved words; then
//! test by test undefined substitutions, numbers of operands, operand types.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ExpressionError, IN_OPERANDS_MAX, Kind, Path, Step, Substitutions,
    parse::{Call, Comparator, Element, Operand as Written, Postfix, Test as WrittenTest, misused},
    reserved::is_reserved,
};
use crate::{Number, Value};

/// Something that has a value once an item is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// What a path leads to.
    Path(Path),
    /// `size(path)`.
    Size(Path),
    /// Itself.
    Value(Arc<Value>),
}

/// Something that is true or false once an item is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The first compares so with the second.
    Compare(Operand, Comparator, Operand),
    /// The first is not less than the second, nor greater than the third.
    Between(Operand, Operand, Operand),
    /// It is one of these.
    In(Operand, Vec<Operand>),
    /// The path's value is one of these, which have one type and ascend: there may be many.
    OneOf(Path, Vec<Value>),
    /// The path leads to something.
    Exists(Path),
    /// The path leads to nothing.
    NotExists(Path),
    /// The path's value has the type of this name.
    HasType(Path, String),
    /// The first begins with the second.
    BeginsWith(Operand, Operand),
    /// The first has the second in it.
    Contains(Operand, Operand),
}

impl Comparator {
    fn is_ordering(self) -> bool {
        !matches!(self, Comparator::Equal | Comparator::NotEqual)
    }
}

/// Functions of conditions.
pub(super) const FUNCTIONS: [&str; 6] =
    ["attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains", "size"];

/// Type names that `attribute_type` takes.
const TYPE_NAMES: [&str; 10] = ["B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M"];

/// Resolves a whole condition.
pub(super) fn condition(
    kind: Kind,
    written: Vec<Postfix<WrittenTest<'_>>>,
    substitutions: &mut Substitutions,
) -> Result<Vec<Postfix<Test>>, ExpressionError> {
    check_words(kind, &written)?;
    let mut resolver = Resolver::new(kind, substitutions);
    written
        .into_iter()
        .map(|step| {
            Ok(match step {
                Postfix::Test(written) => Postfix::Test(resolver.test(written)?),
                Postfix::Not => Postfix::Not,
                Postfix::And => Postfix::And,
                Postfix::Or => Postfix::Or,
            })
        })
        .collect()
}

/// Resolves the paths of a projection.
pub(super) fn projection(
    kind: Kind,
    written: Vec<Vec<Element<'_>>>,
    substitutions: &mut Substitutions,
) -> Result<Vec<Path>, ExpressionError> {
    if let Some(word) = written.iter().flatten().find_map(reserved_word) {
        return Err(kind.refuse(reserved(word)));
    }
    let mut resolver = Resolver::new(kind, substitutions);
    written.into_iter().map(|elements| resolver.path(elements)).collect()
}

/// The first fault of each class that is looked for in the whole expression.
#[derive(Default)]
struct Words<'a> {
    unknown: Option<&'a str>,
    misused: Option<&'a str>,
    reserved: Option<&'a str>,
}

fn check_words(kind: Kind, written: &[Postfix<WrittenTest<'_>>]) -> Result<(), ExpressionError> {
    let mut words = Words::default();
    for step in written {
        let Postfix::Test(test) = step else { continue };
        match test {
            WrittenTest::Compare(left, _, right) => [left, right].into_iter().for_each(|o| words.visit(o)),
            WrittenTest::Between(value, low, high) => [value, low, high].into_iter().for_each(|o| words.visit(o)),
            WrittenTest::In(value, list) => [value].into_iter().chain(list).for_each(|o| words.visit(o)),
            WrittenTest::Call(call) => words.visit_call(call, |function| function == "size"),
        }
    }
    if let Some(function) = words.unknown {
        return Err(kind.refuse(format_args!("Invalid function name; function: {function}")));
    }
    if let Some(function) = words.misused {
        return Err(kind.refuse(misused(function)));
    }
    words.reserved.map_or(Ok(()), |word| Err(kind.refuse(reserved(word))))
}

impl<'a> Words<'a> {
    fn visit(&mut self, operand: &Written<'a>) {
        match operand {
            Written::Path(elements) => {
                self.reserved = self.reserved.or_else(|| elements.iter().find_map(reserved_word));
            }
            Written::Value(_) => {}
            Written::Call(call) => self.visit_call(call, |function| function != "size"),
        }
    }

    fn visit_call(&mut self, call: &Call<'a>, is_misused: impl Fn(&str) -> bool) {
        if !FUNCTIONS.contains(&call.function) {
            self.unknown.get_or_insert(call.function);
        } else if is_misused(call.function) {
            self.misused.get_or_insert(call.function);
        }
        call.arguments.iter().for_each(|argument| self.visit(argument));
    }
}

pub(super) fn reserved_word<'a>(element: &Element<'a>) -> Option<&'a str> {
    match element {
        Element::Word(word) if is_reserved(word) => Some(word),
        _ => None,
    }
}

pub(super) fn reserved(word: &str) -> String {
    format!("Attribute name is a reserved keyword; reserved keyword: {word}")
}

/// A path leads no deeper than items nest.
const PATH_ELEMENTS_MAX: usize = 32;

/// Puts names and values in the place of tokens.
pub(super) struct Resolver<'s> {
    kind: Kind,
    substitutions: &'s mut Substitutions,
    /// Copied once each: a value may be large, and an expression can have it in hundreds of places.
    values: BTreeMap<String, Arc<Value>>,
}

impl<'s> Resolver<'s> {
    pub(super) fn new(kind: Kind, substitutions: &'s mut Substitutions) -> Resolver<'s> {
        Resolver { kind, substitutions, values: BTreeMap::new() }
    }

    /// The size of the values put in so far, each counted once.
    pub(super) fn size(&self) -> usize {
        self.values.values().map(|value| value.size()).sum()
    }

    fn test(&mut self, written: WrittenTest<'_>) -> Result<Test, ExpressionError> {
        let test = match written {
            WrittenTest::Compare(left, comparator, right) => {
                Test::Compare(self.operand(left)?, comparator, self.operand(right)?)
            }
            WrittenTest::Between(value, low, high) => {
                Test::Between(self.operand(value)?, self.operand(low)?, self.operand(high)?)
            }
            WrittenTest::In(value, list) => {
                let value = self.operand(value)?;
                Test::In(value, list.into_iter().map(|operand| self.operand(operand)).collect::<Result<_, _>>()?)
            }
            WrittenTest::Call(call) => self.call(call)?,
        };
        self.check(&test)?;
        Ok(test)
    }

    /// Refuses operands that the test can never be true of.
    pub(super) fn check(&self, test: &Test) -> Result<(), ExpressionError> {
        match test {
            Test::Compare(left, comparator, right) => {
                self.check_distinct(comparator.symbol(), left, right)?;
                if comparator.is_ordering() {
                    self.check_orderable(comparator.symbol(), &[left, right])?;
                }
                Ok(())
            }
            Test::Between(value, low, high) => {
                self.check_orderable("BETWEEN", &[value, low, high])?;
                self.check_bounds(low, high)
            }
            Test::In(_, list) if list.len() > IN_OPERANDS_MAX => Err(self.kind.refuse(format_args!(
                "The IN operator is provided with too many operands; number of operands: {}",
                list.len()
            ))),
            Test::BeginsWith(text, prefix) => {
                self.check_distinct("begins_with", text, prefix)?;
                let mut names = [text, prefix].into_iter().filter_map(type_name);
                let wrong = names.find(|name| !matches!(*name, "S" | "B"));
                wrong.map_or(Ok(()), |name| Err(self.wrong_type("begins_with", name)))
            }
            Test::Contains(whole, part) => self.check_distinct("contains", whole, part),
            Test::HasType(_, name) => self.check_type_name(name),
            Test::In(..) | Test::OneOf(..) | Test::Exists(_) | Test::NotExists(_) => Ok(()),
        }
    }

    fn check_type_name(&self, name: &str) -> Result<(), ExpressionError> {
        if TYPE_NAMES.contains(&name) {
            return Ok(());
        }
        Err(self.kind.refuse(format_args!(
            "Invalid attribute type name found; type: {name}, valid types: {{{}}}",
            TYPE_NAMES.join(",")
        )))
    }

    /// A function that is a test; which one it is was checked before.
    fn call(&mut self, call: Call<'_>) -> Result<Test, ExpressionError> {
        let function = call.function;
        let arguments = call.arguments.into_iter().map(|a| self.operand(a)).collect::<Result<Vec<_>, _>>()?;
        let expected = if matches!(function, "attribute_exists" | "attribute_not_exists") { 1 } else { 2 };
        self.check_count(function, arguments.len(), expected)?;
        let mut arguments = arguments.into_iter();
        let (Some(first), second) = (arguments.next(), arguments.next()) else {
            return Err(self.count(function, 0));
        };
        let Some(second) = second else {
            let path = self.as_path(function, first)?;
            let exists = function == "attribute_exists";
            return Ok(if exists { Test::Exists(path) } else { Test::NotExists(path) });
        };
        match function {
            "attribute_type" => {
                self.check_distinct(function, &first, &second)?;
                self.has_type(first, second)
            }
            "begins_with" => Ok(Test::BeginsWith(first, second)),
            _ => Ok(Test::Contains(first, second)),
        }
    }

    fn has_type(&self, first: Operand, second: Operand) -> Result<Test, ExpressionError> {
        let wrong_type = |type_name: &str| Err(self.wrong_type("attribute_type", type_name));
        let name = match &second {
            Operand::Value(value) => match value.as_ref() {
                Value::String(name) => name.clone(),
                other => return wrong_type(other.type_name()),
            },
            Operand::Path(_) => return wrong_type(&format!("{{{}}}", TYPE_NAMES.join(","))),
            Operand::Size(_) => return wrong_type("N"),
        };
        self.check_type_name(&name)?;
        Ok(Test::HasType(self.as_path("attribute_type", first)?, name))
    }

    fn operand(&mut self, written: Written<'_>) -> Result<Operand, ExpressionError> {
        match written {
            Written::Path(elements) => Ok(Operand::Path(self.path(elements)?)),
            Written::Value(token) => self.value(token).map(Operand::Value),
            Written::Call(call) => {
                let arguments = call.arguments.into_iter().map(|a| self.operand(a)).collect::<Result<Vec<_>, _>>()?;
                self.check_count(call.function, arguments.len(), 1)?;
                match arguments.into_iter().next() {
                    Some(Operand::Path(path)) => Ok(Operand::Size(path)),
                    Some(Operand::Value(value)) => match size(&value) {
                        Some(size) => Ok(Operand::Value(Arc::new(Value::Number(size)))),
                        None => Err(self.wrong_type(call.function, value.type_name())),
                    },
                    _ => Err(self.wrong_type(call.function, "N")),
                }
            }
        }
    }

    pub(super) fn value(&mut self, token: &str) -> Result<Arc<Value>, ExpressionError> {
        if let Some(value) = self.values.get(token) {
            return Ok(Arc::clone(value));
        }
        let Some(value) = self.substitutions.value(token) else {
            return Err(self.kind.refuse(format_args!(
                "An expression attribute value used in expression is not defined; attribute value: {token}"
            )));
        };
        let value = Arc::new(value.clone());
        self.values.insert(token.to_owned(), Arc::clone(&value));
        Ok(value)
    }

    pub(super) fn path(&mut self, elements: Vec<Element<'_>>) -> Result<Path, ExpressionError> {
        let mut names = elements.into_iter().map(|element| match element {
            Element::Word(word) => Ok(Step::Name(word.to_owned())),
            Element::Index(index) => Ok(Step::Index(index)),
            Element::Name(token) => match self.substitutions.name(token) {
                Some(name) => Ok(Step::Name(name.to_owned())),
                None => Err(self.kind.refuse(format_args!(
                    "An expression attribute name used in the document path is not defined; attribute name: {token}"
                ))),
            },
        });
        let attribute = match names.next().transpose()? {
            Some(Step::Name(name)) => name,
            Some(Step::Index(_)) | None => String::new(), // The parser begins every path with a name.
        };
        let steps = names.collect::<Result<Vec<_>, _>>()?;
        if steps.len() >= PATH_ELEMENTS_MAX {
            return Err(self.kind.refuse(format_args!(
                "The document path has too many nesting elements; nesting elements: {}",
                steps.len() + 1
            )));
        }
        Ok(Path::new(attribute, steps))
    }

    fn as_path(&self, function: &str, operand: Operand) -> Result<Path, ExpressionError> {
        match operand {
            Operand::Path(path) => Ok(path),
            Operand::Size(_) | Operand::Value(_) => Err(self.no_path(function)),
        }
    }

    pub(super) fn no_path(&self, function: &str) -> ExpressionError {
        self.kind
            .refuse(format_args!("Operator or function requires a document path; operator or function: {function}"))
    }

    fn check_count(&self, function: &str, count: usize, expected: usize) -> Result<(), ExpressionError> {
        if count == expected { Ok(()) } else { Err(self.count(function, count)) }
    }

    pub(super) fn count(&self, function: &str, count: usize) -> ExpressionError {
        self.kind.refuse(format_args!(
            "Incorrect number of operands for operator or function; operator or function: {function}, \
             number of operands: {count}"
        ))
    }

    pub(super) fn wrong_type(&self, function: &str, type_name: &str) -> ExpressionError {
        self.kind.refuse(format_args!(
            "Incorrect operand type for operator or function; operator or function: {function}, \
             operand type: {type_name}"
        ))
    }

    fn check_distinct(&self, operator: &str, first: &Operand, second: &Operand) -> Result<(), ExpressionError> {
        match (first, second) {
            (Operand::Path(one), Operand::Path(other)) if one == other => Err(self.kind.refuse(format_args!(
                "The first operand must be distinct from the remaining operands for this operator or function; \
                 operator: {operator}, first operand: {one}"
            ))),
            _ => Ok(()),
        }
    }

    fn check_orderable(&self, operator: &str, operands: &[&Operand]) -> Result<(), ExpressionError> {
        let wrong = operands.iter().filter_map(|o| type_name(o)).find(|name| !matches!(*name, "S" | "N" | "B"));
        wrong.map_or(Ok(()), |name| Err(self.wrong_type(operator, name)))
    }

    fn check_bounds(&self, low: &Operand, high: &Operand) -> Result<(), ExpressionError> {
        let (Operand::Value(low), Operand::Value(high)) = (low, high) else { return Ok(()) };
        let fault = if low.type_name() != high.type_name() {
            "requires same data type for lower and upper bounds"
        } else if super::evaluate::order(low, high).is_some_and(|order| order.is_gt()) {
            "requires upper bound to be greater than or equal to lower bound"
        } else {
            return Ok(());
        };
        Err(self.kind.refuse(format_args!(
            "The BETWEEN operator {fault}; lower bound operand: {}, upper bound operand: {}",
            bound(low),
            bound(high)
        )))
    }
}

/// The type that an operand has whatever the item.
fn type_name(operand: &Operand) -> Option<&'static str> {
    match operand {
        Operand::Path(_) => None,
        Operand::Size(_) => Some("N"),
        Operand::Value(value) => Some(value.type_name()),
    }
}

/// A bound as refusals show it.
fn bound(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Binary(bytes) => format!("{} bytes", bytes.len()),
        _ => "...".to_owned(),
    };
    format!("AttributeValue: {{{}:{text}}}", value.type_name())
}

/// What `size` says: UTF-16 units of text, bytes of binary, elements of everything that has elements; none for the other types.
pub(super) fn size(value: &Value) -> Option<Number> {
    let size = match value {
        Value::String(text) => text.encode_utf16().count(),
        Value::Binary(bytes) => bytes.len(),
        Value::List(values) => values.len(),
        Value::Map(values) => values.len(),
        Value::StringSet(texts) => texts.len(),
        Value::NumberSet(numbers) => numbers.len(),
        Value::BinarySet(blobs) => blobs.len(),
        Value::Number(_) | Value::Bool(_) | Value::Null => return None,
    };
    Some(Number::from(size as u64))
}
