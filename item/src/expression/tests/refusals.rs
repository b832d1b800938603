//! Refusals, word for word.

use std::collections::BTreeMap;

use super::{item, list, map, number, project, substitutions};
use crate::{
    Item, Value,
    expression::{Condition, Kind, Substitutions},
};

fn refusal(text: &str, value: Value) -> String {
    let mut substitutions = substitutions(&[("#a", "a")], &[(":v", value)]);
    match Condition::parse(Kind::Condition, text, &mut substitutions) {
        Ok(_) => format!("{text} was not refused"),
        Err(error) => error.0.strip_prefix("Invalid ConditionExpression: ").unwrap_or(&error.0).to_owned(),
    }
}

#[test]
fn the_kind_of_expression_is_named() {
    for kind in [Kind::Condition, Kind::Filter, Kind::KeyCondition] {
        let refusal = Condition::parse(kind, " ", &mut Substitutions::default()).unwrap_err().0;
        assert_eq!(refusal, format!("Invalid {kind}: The expression can not be empty;"));
    }
    let refusal = project("", &Item::default()).unwrap_err().0;
    assert_eq!(refusal, "Invalid ProjectionExpression: The expression can not be empty;");
}

#[test]
fn syntax_errors_show_the_token_and_its_neighbours() {
    for (text, token, near) in [
        ("a x b", "x", "a x b"),
        ("a > 4", "4", "> 4"),
        ("a =", "<EOF>", "="),
        ("!! a", "!", "!!"),
        ("attribute_exists(Pictures-RearView)", "-", "Pictures-RearView"),
        ("attribute_exists(\"a\")", "\"", "(\"a"),
        ("attribute_exists(a..b)", ".", "..b"),
        ("attribute_exists()", ")", "()"),
        ("a in b, c", "b", "in b,"),
        ("a in (b,c,)", ")", ",)"),
        ("a > between", "between", "> between"),
        ("(a)between(b.(c.d))and(c)", "(", ".(c"),
        ("(a)between(b.c.d)and((c)", "<EOF>", ")"),
        ("(a = b", "<EOF>", "b"),
        ("a = b)", ")", "b)"),
        ("b[:v] > a", ":v", "[:v]"),
        ("b[4.5] > a", ".", "4.5"),
        ("b[4294967296] > a", "4294967296", "[4294967296]"),
        ("ü > a", "ü", "ü >"),
        ("#$.b > a", "#", "#$"),
        ("size(a).b > a", ".", ").b"),
        ("a = b AND", "<EOF>", "AND"),
        ("a AND b = c", "AND", "a AND b"),
        ("a =  \n b  c", "c", "b  c"),
    ] {
        let expected = format!("Syntax error; token: \"{token}\", near: \"{near}\"");
        assert_eq!(refusal(text, Value::Null), expected, "{text}");
    }
    for text in ["whatever(a)", ":a", "a,", "a,,b", "a[b]", "(a)", "a-b", "a b"] {
        let refusal = project(text, &Item::default()).unwrap_err().0;
        assert!(refusal.starts_with("Invalid ProjectionExpression: Syntax error; token: "), "{text}: {refusal}");
    }
}

#[test]
fn redundant_parentheses_are_refused_and_others_are_not() {
    for text in [
        "((a = b))",
        "a = b and a > ((c))",
        "(a)between(((b.c)).d)and(c)",
        "a = b AND ((a = b AND a = b)) AND a = b",
        "NOT ((a = b))",
        "whatever((:v), ((a)))",
    ] {
        assert_eq!(refusal(text, Value::Null), "The expression has redundant parentheses;", "{text}");
    }
    let whole = item(&[("a", number(1)), ("b", number(1)), ("c", number(2))]);
    for text in [
        "(a = b)",
        "(a) = b",
        "((a) = b)",
        "((a = b) AND (c > b))",
        "(NOT (c = b))",
        "(a = b OR (c = b))",
        "attribute_exists((a))",
        "a in ((b), c)",
        "(a) between (b) and (c)",
        "(size(a)) > :v or (a = b)",
    ] {
        let mut substitutions = substitutions(&[], &[(":v", number(1))]);
        assert!(Condition::parse(Kind::Filter, text, &mut substitutions).unwrap().matches(&whole), "{text}");
    }
}

#[test]
fn functions_names_and_values_must_be_known() {
    for (text, expected) in [
        ("a = b and whatever((:v)) > a", "Invalid function name; function: whatever"),
        ("attRIbute_exIsts((views), #zz)", "Invalid function name; function: attRIbute_exIsts"),
        (
            "attribute_exists(a) > b",
            "The function is not allowed to be used this way in an expression; function: attribute_exists",
        ),
        (
            "size(contains(a, b)) > a",
            "The function is not allowed to be used this way in an expression; function: contains",
        ),
        ("size(views)", "The function is not allowed to be used this way in an expression; function: size"),
        ("attribute_exists(views, #zz)", "Attribute name is a reserved keyword; reserved keyword: views"),
        (":zz < abOrT", "Attribute name is a reserved keyword; reserved keyword: abOrT"),
        ("a.b.Name = :v", "Attribute name is a reserved keyword; reserved keyword: Name"),
        (
            "attribute_exists(#zz.b, :x)",
            "An expression attribute name used in the document path is not defined; attribute name: #zz",
        ),
        (
            "begins_with(:zz, #zz, #x)",
            "An expression attribute value used in expression is not defined; attribute value: :zz",
        ),
    ] {
        assert_eq!(refusal(text, "x".into()), expected, "{text}");
    }
}

#[test]
fn functions_take_their_number_of_operands() {
    for (text, function, count) in [
        ("attribute_exists(a, b)", "attribute_exists", 2),
        ("attribute_not_exists(a, b)", "attribute_not_exists", 2),
        ("attribute_type(a)", "attribute_type", 1),
        ("begins_with(a)", "begins_with", 1),
        ("begins_with(a, size(b), c)", "begins_with", 3),
        ("contains(a)", "contains", 1),
        ("size(a, b) > c", "size", 2),
    ] {
        let expected = format!(
            "Incorrect number of operands for operator or function; operator or function: {function}, number of operands: {count}"
        );
        assert_eq!(refusal(text, Value::Null), expected, "{text}");
    }
}

#[test]
fn operands_must_have_a_fitting_type() {
    let set = || Value::StringSet(["x".to_owned()].into());
    for (text, value, operator, type_name) in [
        ("a < :v", Value::Bool(true), "<", "BOOL"),
        (":v >= a", Value::Null, ">=", "NULL"),
        ("a > :v", set(), ">", "SS"),
        ("a between :v and b", list(&[]), "BETWEEN", "L"),
        ("begins_with(a, :v)", number(1), "begins_with", "N"),
        ("begins_with(:v, a)", map(&[]), "begins_with", "M"),
        ("begins_with(a, size(b))", Value::Null, "begins_with", "N"),
        ("attribute_type(a, :v)", number(1), "attribute_type", "N"),
        ("attribute_type(a, size(b))", Value::Null, "attribute_type", "N"),
        ("attribute_type(a, b)", Value::Null, "attribute_type", "{B,NULL,SS,BOOL,L,BS,N,NS,S,M}"),
        ("size(:v) > a", Value::Bool(true), "size", "BOOL"),
        ("size(size(a)) > b", Value::Null, "size", "N"),
        ("attribute_not_exists(size(:v))", number(1), "size", "N"),
    ] {
        let expected = format!(
            "Incorrect operand type for operator or function; operator or function: {operator}, operand type: {type_name}"
        );
        assert_eq!(refusal(text, value), expected, "{text}");
    }
    assert_eq!(
        refusal("attribute_type(a, :v)", "X".into()),
        "Invalid attribute type name found; type: X, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"
    );
    for (text, function) in [
        ("attribute_exists(:v)", "attribute_exists"),
        ("attribute_not_exists(size(:v))", "attribute_not_exists"),
        ("attribute_type(size(a), :v)", "attribute_type"),
    ] {
        let expected = format!("Operator or function requires a document path; operator or function: {function}");
        assert_eq!(refusal(text, "S".into()), expected, "{text}");
    }
}

#[test]
fn an_operand_is_not_compared_with_itself() {
    for (text, operator, path) in [
        ("a = #a", "=", "[a]"),
        ("a.b[1].c <> #a.b[1].c", "<>", "[a, b, [1], c]"),
        ("contains(a, #a)", "contains", "[a]"),
    ] {
        let expected = format!(
            "The first operand must be distinct from the remaining operands for this operator or function; operator: {operator}, first operand: {path}"
        );
        assert_eq!(refusal(text, Value::Null), expected, "{text}");
    }
}

#[test]
fn bounds_must_be_in_order_and_of_one_type() {
    let refusal = |low: Value, high: Value| {
        let mut substitutions = substitutions(&[], &[(":b", low), (":c", high)]);
        Condition::parse(Kind::Filter, "a between :b and :c", &mut substitutions).map(drop).map_err(|error| error.0)
    };
    assert_eq!(
        refusal(number(10), number(9)).unwrap_err(),
        "Invalid FilterExpression: The BETWEEN operator requires upper bound to be greater than or equal to lower \
         bound; lower bound operand: AttributeValue: {N:10}, upper bound operand: AttributeValue: {N:9}"
    );
    assert_eq!(
        refusal(number(1), "a".into()).unwrap_err(),
        "Invalid FilterExpression: The BETWEEN operator requires same data type for lower and upper bounds; lower \
         bound operand: AttributeValue: {N:1}, upper bound operand: AttributeValue: {S:a}"
    );
    assert_eq!(refusal(number(9), number(10)), Ok(()), "numerically, not as text");
    assert_eq!(refusal("a".into(), "a".into()), Ok(()));
}

#[test]
fn paths_of_a_projection_may_not_overlap_or_conflict() {
    for (text, fault, one, two) in [
        ("a, b, #a", "overlap", "[a]", "[a]"),
        ("b[1], b.a, #a.b, a", "overlap", "[a, b]", "[a]"),
        ("a, #a[1]", "overlap", "[a]", "[a, [1]]"),
        ("a.b[1], #a[1], b", "conflict", "[a, b, [1]]", "[a, [1]]"),
    ] {
        let expected = format!(
            "Invalid ProjectionExpression: Two document paths {fault} with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
        );
        assert_eq!(project(text, &Item::default()).unwrap_err().0, expected, "{text}");
    }
    assert!(project("a.b, a.c, a.bc, aa", &Item::default()).is_ok());
}

#[test]
fn substitutions_must_be_well_formed_and_used() {
    let names = |token: &str| Some(BTreeMap::from([(token.to_owned(), "a".to_owned())]));
    let values = |token: &str| Some(BTreeMap::from([(token.to_owned(), Value::Null)]));
    let refusal = |names, values| Substitutions::new(names, values).unwrap_err().0;
    for token in ["a", "#", "", ":a", "#a-b", "##a", "#a.b", "#ü"] {
        let expected = format!("ExpressionAttributeNames contains invalid key: Syntax error; key: \"{token}\"");
        assert_eq!(refusal(names(token), None), expected);
    }
    assert_eq!(refusal(None, values("v")), "ExpressionAttributeValues contains invalid key: Syntax error; key: \"v\"");
    assert_eq!(refusal(Some(BTreeMap::new()), None), "ExpressionAttributeNames must not be empty");
    assert_eq!(refusal(None, Some(BTreeMap::new())), "ExpressionAttributeValues must not be empty");
    assert!(refusal(names(&format!("#{}", "a".repeat(255))), None).contains("Over 255 bytes"));
    assert!(Substitutions::new(names(&format!("#{}", "a".repeat(254))), values(":_0")).is_ok());

    let mut some =
        substitutions(&[("#a", "a"), ("#b", "b")], &[(":v", number(1)), (":w", number(1)), (":x", number(1))]);
    Condition::parse(Kind::Filter, "#a = :v", &mut some).unwrap();
    assert_eq!(
        some.finish().unwrap_err().0,
        "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}"
    );
    Condition::parse(Kind::Filter, "#b = :v", &mut some).unwrap();
    assert_eq!(
        some.finish().unwrap_err().0,
        "Value provided in ExpressionAttributeValues unused in expressions: keys: {:w, :x}"
    );
    Condition::parse(Kind::Filter, ":w = #b OR #b <> :x", &mut some).unwrap();
    assert_eq!(some.finish(), Ok(()));
}
