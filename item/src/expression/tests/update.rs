//! Update expressions: what they make of items, what they refuse and in which words, and that no text harms.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{item, list, map, number, substitutions, texts};
use crate::{
    Item, KeyAttribute, KeyType, NumberError, Value, arbitrary,
    expression::{AttributeUpdate, Substitutions, Update, UpdateError},
};

fn set(texts: &[&str]) -> Value {
    Value::StringSet(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn with_values(values: &[(&str, Value)]) -> Substitutions {
    substitutions(&[("#a", "a"), ("#c", "c"), ("#d", "[3]")], values)
}

fn parse(text: &str, values: &[(&str, Value)]) -> Result<Update, String> {
    Update::parse(text, &mut with_values(values)).map_err(|error| error.0)
}

fn apply(text: &str, values: &[(&str, Value)], item: &Item) -> Result<Item, UpdateError> {
    parse(text, values).unwrap().apply(item.clone())
}

fn refusal(text: &str, value: Value) -> String {
    let refusal = parse(text, &[(":v", value)]).expect_err(text);
    refusal.strip_prefix("Invalid UpdateExpression: ").expect("a refused update").to_owned()
}

#[test]
fn each_action_does_what_it_says() {
    let old =
        item(&[("n", number(5)), ("l", list(&[number(1), number(2)])), ("s", set(&["x", "y"])), ("t", "q".into())]);
    for (text, value, name, expected) in [
        ("SET t = :v", number(1), "t", Some(number(1))),
        ("SET u = t", Value::Null, "u", Some("q".into())),
        ("set n = n + :v", number(-7), "n", Some(number(-2))),
        ("SET n = :v - n", number(7), "n", Some(number(2))),
        ("SET n = (n) - (n)", Value::Null, "n", Some(number(0))),
        ("SET n = (n + :v)", number(1), "n", Some(number(6))),
        ("SET n = ((n)+(l[1]))", Value::Null, "n", Some(number(7))),
        ("SET n = if_not_exists(n, :v)", number(1), "n", Some(number(5))),
        ("SET m = if_not_exists(m, :v) + :v", number(1), "m", Some(number(2))),
        ("SET m = if_not_exists(m, if_not_exists(o, :v))", number(3), "m", Some(number(3))),
        ("SET l = list_append(l, :v)", list(&[number(3)]), "l", Some(list(&[number(1), number(2), number(3)]))),
        ("SET l = list_append(:v, l)", list(&[number(3)]), "l", Some(list(&[number(3), number(1), number(2)]))),
        ("SET m = list_append(if_not_exists(m, :v), l)", list(&[]), "m", Some(list(&[number(1), number(2)]))),
        ("SET l[0] = :v", "a".into(), "l", Some(list(&["a".into(), number(2)]))),
        ("SET l[7] = :v", "a".into(), "l", Some(list(&[number(1), number(2), "a".into()]))),
        ("REMOVE n", Value::Null, "n", None),
        ("REMOVE nothing", Value::Null, "nothing", None),
        ("REMOVE l[0]", Value::Null, "l", Some(list(&[number(2)]))),
        ("REMOVE l[0], l[1]", Value::Null, "l", Some(list(&[]))),
        ("REMOVE l[2]", Value::Null, "l", Some(list(&[number(1), number(2)]))),
        ("ADD n :v", number(-5), "n", Some(number(0))),
        ("ADD m :v", number(4), "m", Some(number(4))),
        ("ADD l[1] :v", number(4), "l", Some(list(&[number(1), number(6)]))),
        ("ADD s :v", set(&["y", "z"]), "s", Some(set(&["x", "y", "z"]))),
        ("ADD m :v", set(&["y"]), "m", Some(set(&["y"]))),
        ("DELETE s :v", set(&["y", "z"]), "s", Some(set(&["x"]))),
        ("DELETE s :v", set(&["y", "x"]), "s", None),
        ("DELETE m :v", set(&["y"]), "m", None),
    ] {
        let new = apply(text, &[(":v", value)], &old).expect(text);
        assert_eq!(new.get(name), expected.as_ref(), "{text}");
        for other in old.0.keys().filter(|other| *other != name) {
            assert_eq!(new.get(other), old.get(other), "{text}");
        }
    }
}

#[test]
fn every_action_sees_the_item_as_it_was() {
    let old = item(&[("a", number(1)), ("b", number(2))]);
    assert_eq!(apply("SET a = b, b = a", &[], &old), Ok(item(&[("a", number(2)), ("b", number(1))])), "they swap");
    let moved = apply("REMOVE a SET c = a ADD b :v", &[(":v", number(1))], &old);
    assert_eq!(moved, Ok(item(&[("b", number(3)), ("c", number(1))])));

    let old = item(&[("l", list(&[number(0), number(1), number(2), number(3)]))]);
    let new = apply("REMOVE l[1], l[3] SET l[9] = :v, l[2] = l[3], l[6] = l[0]", &[(":v", number(9))], &old);
    assert_eq!(
        new,
        Ok(item(&[("l", list(&[number(0), number(3), number(0), number(9)]))])),
        "indexes are those of the old list, and what is past its end comes in the order of its indexes"
    );
    assert_eq!(apply("SET l[4].x = l", &[], &old), Err(UpdateError::NoPath));
}

#[test]
fn nested_values_change_and_their_neighbours_stay() {
    let inner = map(&[("a", number(1)), ("b", number(2)), ("c", number(3))]);
    let old = item(&[("a", "key".into()), ("b", inner), ("c", list(&[number(1), number(3)]))]);
    let values = [(":a", number(2)), (":b", set(&["a"]))];
    let text = "set b.c=((c[1])+(b.a)),b.a = a,c[1] = a, c[4] = b.a - b.b, c[2] = b.c add c[8] :b, c[6] :a";
    let update = parse(text, &values).unwrap();
    let new = update.apply(old.clone()).unwrap();
    let inner = map(&[("a", "key".into()), ("b", number(2)), ("c", number(4))]);
    let elements = list(&[number(1), "key".into(), number(3), number(-1), number(2), set(&["a"])]);
    assert_eq!(new, item(&[("a", "key".into()), ("b", inner), ("c", elements)]));
    let touched = |item: &Item| update.touched(item);
    let b = map(&[("a", "key".into()), ("c", number(4))]);
    assert_eq!(touched(&new), item(&[("b", b), ("c", list(&["key".into(), number(3), number(2)]))]));
    let b = map(&[("a", number(1)), ("c", number(3))]);
    assert_eq!(touched(&old), item(&[("b", b), ("c", list(&[number(3)]))]));
}

#[test]
fn what_does_not_fit_the_item_is_refused() {
    let old = item(&[
        ("a", "text".into()),
        ("b", map(&[("a", set(&["1"]))])),
        ("c", number(1)),
        ("d", list(&["a".into(), "b".into()])),
        ("s", set(&["1"])),
        ("huge", Value::Number("9E125".parse().unwrap())),
        ("fine", Value::Number("1E-130".parse().unwrap())),
    ]);
    let one = || number(1);
    for (text, value, error) in [
        ("DELETE s :v", Value::NumberSet(BTreeSet::from([1_i64.into()])), UpdateError::WrongType),
        ("DELETE b :v", set(&["1"]), UpdateError::WrongType),
        ("DELETE b.a :v", Value::BinarySet(BTreeSet::from([vec![1].into()])), UpdateError::WrongType),
        ("DELETE c :v", set(&["1"]), UpdateError::WrongType),
        ("ADD b :v", set(&["1"]), UpdateError::WrongType),
        ("ADD s :v", one(), UpdateError::WrongType),
        ("SET e = a + :v", one(), UpdateError::WrongType),
        ("SET e = :v - b", one(), UpdateError::WrongType),
        ("SET e = list_append(s, if_not_exists(f, :v))", list(&[]), UpdateError::WrongType),
        ("SET e = f", one(), UpdateError::NoAttribute),
        ("SET e = f + :v", one(), UpdateError::NoAttribute),
        ("SET e = d[2]", one(), UpdateError::NoAttribute),
        ("SET e = list_append(d, f)", one(), UpdateError::NoAttribute),
        ("SET e = if_not_exists(f, g)", one(), UpdateError::NoAttribute),
        ("SET a.b = :v", one(), UpdateError::NoPath),
        ("SET a[1] = :v", one(), UpdateError::NoPath),
        ("SET y.a = :v", one(), UpdateError::NoPath),
        ("SET b[1] = :v", one(), UpdateError::NoPath),
        ("SET d.a = :v", one(), UpdateError::NoPath),
        ("SET b.x.y = :v", one(), UpdateError::NoPath),
        ("SET d[5][0] = :v", one(), UpdateError::NoPath),
        ("REMOVE a.b", one(), UpdateError::NoPath),
        ("REMOVE y[1]", one(), UpdateError::NoPath),
        ("DELETE y.a :v", set(&["1"]), UpdateError::NoPath),
        ("DELETE d.a :v", set(&["1"]), UpdateError::NoPath),
        ("ADD y.a :v", one(), UpdateError::NoPath),
        ("ADD huge :v", Value::Number("1E125".parse().unwrap()), UpdateError::Number(NumberError::Overflow)),
        ("ADD fine :v", one(), UpdateError::Number(NumberError::TooPrecise)),
    ] {
        assert_eq!(apply(text, &[(":v", value)], &old), Err(error), "{text}");
    }
    assert_eq!(apply("REMOVE b.nothing, d[7]", &[], &old), Ok(old.clone()), "only the last step may lead nowhere");
}

#[test]
fn texts_that_are_no_updates_are_refused() {
    for text in [
        "whatever",
        "set a",
        "add a",
        "delete a",
        "set a=set",
        "remove a = b",
        "add a = b",
        "delete a b",
        "delete a if_not_exist(b)",
        "add abort b",
        "remove a b",
        "set a b",
        "set :a = b",
        "add :a b",
        "remove :a",
        "set a = b / c",
        "set a[1] = \"eight\"",
        "set a[1] = 1",
        "SET a = if_not_exist(a, 100)",
        "SET if_not_exist(a, b) = a",
        "set (a = (b + c))",
        "set a = (b.c).d + e",
        "set a = (b.c)[0] + e",
        "set a = b + c + d",
        "set a = (b + c) + d",
        "set a = b +",
        "set a = (b",
        "set a = b)",
        "set a = :v,",
        "set a = :v remove",
        "remove a, b,",
        "set a = list_append(b + c, d)",
        "add a (:v)",
        "set a = :v; remove b",
    ] {
        let refusal = refusal(text, Value::Null);
        assert!(refusal.starts_with("Syntax error; token: "), "{text}: {refusal}");
    }
    assert_eq!(
        refusal("INVALID SYNTAX HERE", Value::Null),
        "Syntax error; token: \"INVALID\", near: \"INVALID SYNTAX\""
    );
    assert_eq!(refusal(" ", Value::Null), "The expression can not be empty;");
    assert_eq!(refusal("SET a = ((b + c))", Value::Null), "The expression has redundant parentheses;");
}

/// In the order in which they are looked for.
#[test]
fn refusals_read_as_dynamodbs_do() {
    let meet = |fault: &str, one: &str, two: &str| {
        format!(
            "Two document paths {fault} with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
        )
    };
    for (text, expected) in [
        (" set #x = whatever(:x) set abOrt = :x ", "Attribute name is a reserved keyword; reserved keyword: abOrt"),
        ("remove a.and", "Attribute name is a reserved keyword; reserved keyword: and"),
        ("set #x = if_not_exist(:x) set c = d", "Invalid function name; function: if_not_exist"),
        ("set c = size(d)", "The function is not allowed in an update expression; function: size"),
        ("set a = #x set c = :x", "The \"SET\" section can only be used once in an update expression;"),
        ("delete #x :x SET a = b Delete c :x", "The \"DELETE\" section can only be used once in an update expression;"),
        (
            "set a = :x, #x = if_not_exists(:x)",
            "An expression attribute name used in the document path is not defined; attribute name: #x",
        ),
        (
            "set #a = if_not_exists(:x), a = b",
            "An expression attribute value used in expression is not defined; attribute value: :x",
        ),
        ("add a.b :v set c[1].a = a, #c = if_not_exists(a)", &meet("overlap", "[c, [1], a]", "[c]")),
        ("set #c[3].#d = a, #c[3] = a", &meet("overlap", "[c, [3], [3]]", "[c, [3]]")),
        ("set a = b remove #a", &meet("overlap", "[a]", "[a]")),
        ("set #c[3].#d = a, #c.#d[3] = if_not_exists(a)", &meet("conflict", "[c, [3], [3]]", "[c, [3], [3]]")),
        ("remove a.#c set a[1] = #d", &meet("conflict", "[a, c]", "[a, [1]]")),
        (
            "set b = list_append(:v, a), c = if_not_exists(a) add a.b :v",
            "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND",
        ),
        (
            "delete a.b :v",
            "Incorrect operand type for operator or function; operator: DELETE, operand type: STRING, typeSet: ALLOWED_FOR_DELETE_OPERAND",
        ),
        (
            "set a = if_not_exists(c)",
            "Incorrect number of operands for operator or function; operator or function: if_not_exists, number of operands: 1",
        ),
        (
            "set a = list_append(c, c, c)",
            "Incorrect number of operands for operator or function; operator or function: list_append, number of operands: 3",
        ),
        (
            "set a = if_not_exists(:v, c)",
            "Operator or function requires a document path; operator or function: if_not_exists",
        ),
        (
            "set a = if_not_exists(if_not_exists(a, b), c)",
            "Operator or function requires a document path; operator or function: if_not_exists",
        ),
        (
            "set a = list_append(a, :v)",
            "Incorrect operand type for operator or function; operator or function: list_append, operand type: S",
        ),
        ("set a = a + :v", "Incorrect operand type for operator or function; operator or function: +, operand type: S"),
        ("set a = :v - a", "Incorrect operand type for operator or function; operator or function: -, operand type: S"),
    ] {
        assert_eq!(refusal(text, "x".into()), expected, "{text}");
    }
    let kinds = [(number(1), "NUMBER"), (list(&[]), "LIST"), (map(&[]), "MAP"), (Value::Null, "NULL")];
    for (value, name) in kinds.into_iter().chain([(true.into(), "BOOLEAN"), (Value::Binary(vec![].into()), "BINARY")]) {
        assert!(refusal("delete a :v", value).contains(&format!("operand type: {name},")));
    }

    let mut unused = substitutions(&[("#a", "a"), ("#b", "b")], &[(":v", number(1)), (":w", number(1))]);
    Update::parse("SET #a = :v", &mut unused).unwrap();
    assert!(unused.finish().unwrap_err().0.contains("ExpressionAttributeNames unused in expressions: keys: {#b}"));
    Update::parse("ADD #b :v", &mut unused).unwrap();
    assert!(unused.finish().unwrap_err().0.contains("ExpressionAttributeValues unused in expressions: keys: {:w}"));
}

#[test]
fn operators_nesting_and_bytes_are_bounded() {
    let sums = |count: usize| (0..count).map(|at| format!("a{at}=b-c")).collect::<Vec<_>>().join(",");
    assert_eq!(parse(&format!("SET {}", sums(300)), &[]).map(drop), Ok(()));
    assert_eq!(
        refusal(&format!("SET {}", sums(301)), Value::Null),
        "The expression contains too many operators; operator count: 301"
    );
    let nested = |depth: usize| format!("SET a = {}b{}", "if_not_exists(c,".repeat(depth), ",b)".repeat(depth));
    assert!(refusal(&nested(200), Value::Null).contains("function: if_not_exists"));
    let nested = |depth: usize| format!("SET a = {}:l{}", "list_append(:l,".repeat(depth), ")".repeat(depth));
    let new = apply(&nested(64), &[(":l", list(&[number(1)]))], &Item::default()).unwrap();
    assert_eq!(new.get("a"), Some(&list(&vec![number(1); 65])));
    assert!(refusal(&format!("SET a = {}", "f(".repeat(2000)), Value::Null).contains("function: f"));
    for sign in ["(", "((a)+", "[", ".a"] {
        let _ = refusal(&format!("SET a = {}", sign.repeat(4000 / sign.len())), Value::Null);
        let _ = refusal(&format!("REMOVE a{} = b", sign.repeat(4000 / sign.len())), Value::Null);
    }
    let deep = format!("SET a{} = :v", ".a".repeat(31));
    assert_eq!(apply(&deep, &[(":v", number(1))], &item(&[("a", map(&[]))])), Err(UpdateError::NoPath));
    let padded = |bytes: usize| format!("REMOVE a{}", " ".repeat(bytes - 8));
    assert_eq!(parse(&padded(4096), &[]).map(drop), Ok(()));
    assert!(refusal(&padded(4097), Value::Null).ends_with("expression size: 4097"));
}

/// A short text could ask for hundreds of copies of a large value.
#[test]
fn an_item_that_would_become_far_too_large_is_not_made() {
    let large = list(&vec![Value::Null; 100_000]);
    let names: Vec<String> = (0..500).map(|at| format!("a{at:03}")).collect();
    let old = item(&[("l", large.clone())]);
    for term in [":v", "l", "list_append(l,:v)"] {
        let mut text = String::from("SET ");
        for name in &names {
            if text.len() + term.len() < 4000 {
                text += &format!("{name}={term},");
            }
        }
        let update = parse(text.trim_end_matches(','), &[(":v", large.clone())]).unwrap();
        assert!(matches!(update.apply(old.clone()), Err(UpdateError::Unfit(_))), "{term}");
        assert!(update.size() <= large.size(), "each value counts once");
    }
    let doubled = (0..60).fold("l".to_owned(), |list, _| format!("list_append({list},l)"));
    assert!(matches!(apply(&format!("SET a = {doubled}"), &[], &old), Err(UpdateError::Unfit(_))));
}

#[test]
fn keys_do_not_change_and_are_not_looked_into() {
    let mut table = crate::table::system::retained();
    table.partition_key = KeyAttribute::new("pk", KeyType::S);
    table.sort_key = Some(KeyAttribute::new("sk", KeyType::N));
    let check = |text: &str| parse(text, &[(":v", number(1))]).unwrap().check_key(&table).map_err(|e| e.to_string());
    assert_eq!(check("SET a = pk, b = sk + :v REMOVE c"), Ok(()));
    assert_eq!(check("ADD sk :v").unwrap_err(), "Cannot update attribute sk. This attribute is part of the key");
    assert_eq!(check("REMOVE pk").unwrap_err(), "Cannot update attribute pk. This attribute is part of the key");
    let update = parse("SET a = pk.x, b.c = if_not_exists(d[0], e) REMOVE f[1]", &[]).unwrap();
    assert_eq!(Vec::from_iter(update.nested_attributes()), ["b", "d", "f", "pk"]);
}

#[test]
fn an_update_by_attribute_does_the_same_as_an_expression() {
    use AttributeUpdate::{Add, Delete, Put};
    let update = |name: &str, wanted| Update::of_attributes([(name.to_owned(), wanted)].into());
    let old = item(&[("n", number(5)), ("l", list(&[number(1)])), ("s", set(&["x", "y"]))]);
    for (name, wanted, expected) in [
        ("n", Put("a".into()), Some("a".into())),
        ("n", Add(number(-7)), Some(number(-2))),
        ("m", Add(number(1)), Some(number(1))),
        ("l", Add(list(&[number(2)])), Some(list(&[number(1), number(2)]))),
        ("m", Add(list(&[number(2)])), Some(list(&[number(2)]))),
        ("s", Add(set(&["z"])), Some(set(&["x", "y", "z"]))),
        ("s", Delete(Some(set(&["x"]))), Some(set(&["y"]))),
        ("s", Delete(Some(set(&["x", "y"]))), None),
        ("l", Delete(None), None),
        ("m", Delete(None), None),
    ] {
        let update = update(name, wanted.clone()).unwrap();
        assert_eq!(update.apply(old.clone()).unwrap().get(name), expected.as_ref(), "{name} {wanted:?}");
        assert_eq!(update.makes_item(), !matches!(wanted, Delete(_)));
    }
    for (name, wanted) in [("s", Add(number(1))), ("n", Add(list(&[]))), ("n", Delete(Some(set(&["x"]))))] {
        assert_eq!(update(name, wanted).unwrap().apply(old.clone()), Err(UpdateError::Mismatch));
    }
    let refusal = |wanted| update("n", wanted).unwrap_err().0;
    let invalid = "One or more parameter values were invalid:";
    assert_eq!(refusal(Add("a".into())), format!("{invalid} ADD action is not supported for the type S"));
    let expected = format!("{invalid} DELETE action with value is not supported for the type N");
    assert_eq!(refusal(Delete(Some(number(1)))), expected);
}

#[test]
fn only_what_gives_something_makes_an_item() {
    let makes = |text: &str| parse(text, &[(":v", set(&["x"]))]).unwrap().makes_item();
    assert!(makes("SET a = :v REMOVE b") && makes("ADD a :v") && Update::default().makes_item());
    assert!(!makes("REMOVE a, b DELETE c :v") && !makes("REMOVE a"));
}

/// Updates that parse, with paths that often meet those of [`arbitrary::items`].
fn updates() -> impl Strategy<Value = String> {
    let path = "[a-c](\\.[a-c]|\\[[0-3]\\]){0,2}";
    let operand = prop_oneof![
        2 => path.prop_map(|path: String| path),
        2 => "(:v|:w|:n)",
        1 => (path, "(:v|:w)").prop_map(|(path, value)| format!("if_not_exists({path},{value})")),
        1 => (path, path).prop_map(|(one, other)| format!("list_append({one},{other})")),
    ];
    let value = prop_oneof![3 => operand.clone(), 1 => (operand.clone(), "[+-]", operand).prop_map(|(l, o, r)| format!("{l}{o}{r}"))];
    let sets = prop::collection::vec((path, value), 0..4);
    let section = |words: &'static str| prop::collection::vec(words, 0..3);
    let removes = section("[a-c](\\.[a-c]|\\[[0-3]\\]){0,2}");
    let adds = section("[a-c](\\.[a-c]|\\[[0-3]\\]){0,1} :(n|s)");
    let deletes = section("[a-c](\\.[a-c]|\\[[0-3]\\]){0,1} :s");
    (sets, removes, adds, deletes).prop_map(|(sets, removes, adds, deletes)| {
        let sets = sets.into_iter().map(|(path, value)| format!("{path} = {value}")).collect();
        [("SET", sets), ("REMOVE", removes), ("ADD", adds), ("DELETE", deletes)]
            .into_iter()
            .filter(|(_, actions): &(_, Vec<String>)| !actions.is_empty())
            .map(|(keyword, actions)| format!("{keyword} {}", actions.join(", ")))
            .collect::<Vec<_>>()
            .join(" ")
    })
}

proptest! {
    #[test]
    fn no_update_panics_and_what_it_leaves_alone_stays(
        text in updates(), old in arbitrary::items(), v in arbitrary::values(), w in arbitrary::values(),
        n in arbitrary::numbers(), s in prop::collection::btree_set(arbitrary::texts(), 1..3),
    ) {
        let values = [(":v", v), (":w", w), (":n", n.into()), (":s", Value::StringSet(s))];
        if let Ok(update) = parse(&text, &values)
            && let Ok(new) = update.apply(old.clone())
        {
            let touched = |item: &Item| update.touched(item).0.into_keys().collect::<BTreeSet<_>>();
            let names: BTreeSet<_> = touched(&old).into_iter().chain(touched(&new)).collect();
            for name in old.0.keys().chain(new.0.keys()).filter(|name| !names.contains(*name)) {
                // What was appended to a list past its end is at no path of the update.
                let is_list = matches!(new.get(name), Some(Value::List(_) | Value::Map(_)));
                prop_assert!(is_list || old.get(name) == new.get(name), "{}: {}", text, name);
            }
            new.check_shape().or_else(|error| matches!(error, crate::ItemError::TooDeep { .. }).then_some(()).ok_or(error)).unwrap();
        }
    }

    #[test]
    fn no_noise_panics(noise in texts(), keyword in "(SET|REMOVE|ADD|DELETE) (a = )?") {
        for text in [noise.clone(), format!("{keyword}{noise}")] {
            if let Ok(update) = parse(&text, &[(":v", number(1))]) {
                let _ = update.apply(item(&[("a", list(&[number(1)]))]));
                update.nested_attributes();
            }
        }
    }

    #[test]
    fn add_and_delete_are_union_and_difference(
        old in prop::collection::btree_set(arbitrary::numbers(), 0..5),
        other in prop::collection::btree_set(arbitrary::numbers(), 1..5),
    ) {
        let of = |set: &BTreeSet<_>| if set.is_empty() {
            Item::default()
        } else {
            item(&[("s", Value::NumberSet(set.clone()))])
        };
        let values = [(":v", Value::NumberSet(other.clone()))];
        let added = apply("ADD s :v", &values, &of(&old)).unwrap();
        prop_assert_eq!(&added, &of(&(&old | &other)));
        prop_assert_eq!(apply("DELETE s :v", &values, &of(&old)).unwrap(), of(&(&old - &other)));
        prop_assert_eq!(apply("DELETE s :v", &values, &added).unwrap(), of(&(&old - &other)));
        prop_assert_eq!(apply("ADD s :v", &values, &added).unwrap(), added);
    }

    #[test]
    fn a_sum_is_undone_by_its_difference(one in -1_000_000..1_000_000_i64, other in -1_000_000..1_000_000_i64) {
        let values = [(":v", number(other))];
        let old = item(&[("n", number(one))]);
        let new = apply("ADD n :v", &values, &old).unwrap();
        prop_assert_eq!(&new, &item(&[("n", number(one + other))]));
        prop_assert_eq!(&apply("SET n = n + :v", &values, &old).unwrap(), &new);
        prop_assert_eq!(apply("SET n = n - :v", &values, &new).unwrap(), old);
    }

    #[test]
    fn what_is_set_and_then_removed_leaves_no_trace(
        old in arbitrary::items(), inner in prop::collection::btree_map("[a-c]", arbitrary::values(), 0..3),
        elements in prop::collection::vec(arbitrary::values(), 0..3), value in arbitrary::values(), at in 0..5_usize,
    ) {
        let mut old = old;
        old.insert("m", Value::Map(inner));
        old.insert("l", Value::List(elements.clone()));
        for path in ["fresh".to_owned(), "m.fresh".to_owned(), format!("l[{}]", elements.len() + at)] {
            let new = apply(&format!("SET {path} = :v"), &[(":v", value.clone())], &old).unwrap();
            let removed = path.replace(&format!("[{}]", elements.len() + at), &format!("[{}]", elements.len()));
            prop_assert_ne!(&new, &old);
            prop_assert_eq!(&apply(&format!("REMOVE {removed}"), &[], &new).unwrap(), &old, "{}", path);
        }
    }
}
