//! Statements seen from outside: what they ask for, what is refused and in which words, and that no text harms.

use item::{
    Item, KeyAttribute, KeyType, Number, Table, TableId, Value,
    expression::{Condition, Projection, Update as ItemUpdate},
    table::Billing,
};
use proptest::prelude::*;

use super::{Plan, Returning, Select, Statement, item_key, parse};

fn table() -> Table {
    Table {
        id: TableId(100),
        name: "fleet".into(),
        version: 1,
        partition_key: KeyAttribute::new("pk", KeyType::S),
        sort_key: Some(KeyAttribute::new("sk", KeyType::N)),
        sort_key_is_time: false,
        item_key: Vec::new(),
        further_keys: Default::default(),
        settings: Default::default(),
        tags: Default::default(),
        indexes: Vec::new(),
        stream: None,
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: false,
    }
}

fn number(number: i64) -> Value {
    Number::from(number).into()
}

fn refusal(text: &str) -> String {
    parse(text, Vec::new()).unwrap_err().to_string()
}

fn select(text: &str, parameters: Vec<Value>) -> Select {
    match parse(text, parameters) {
        Ok(Statement::Select(select)) => select,
        other => panic!("{text}: {other:?}"),
    }
}

/// The item that a statement would insert.
fn inserted(value: &str, parameters: Vec<Value>) -> Item {
    match parse(&format!("INSERT INTO t VALUE {value}"), parameters) {
        Ok(Statement::Insert(insert)) => insert.item,
        other => panic!("{value}: {other:?}"),
    }
}

/// Does a WHERE hold of an item?
fn holds(condition: &str, item: &Item) -> bool {
    let select = select(&format!("SELECT * FROM t WHERE {condition}"), Vec::new());
    select.conditions.into_iter().reduce(Condition::and).unwrap().matches(item)
}

#[test]
fn literals_are_values_of_every_type() {
    let item = inserted(
        "{'s':'it''s', 'n':-1.5e1, 'more': +7, 't':TRUE, 'f':false, 'z':Null, 'l':[1,[],'a',?], 'm':{'a':{}, '':1}, \
         'ss':<<'a','b'>>, 'ns':<<1, 2.5>>, 'bs':<<?>>}",
        vec![Value::Binary("b".into()), Value::Binary("c".into())],
    );
    let list = vec![number(1), Value::List(Vec::new()), "a".into(), Value::Binary("b".into())];
    let expected = Item::from([
        ("s", "it's".into()),
        ("n", number(-15)),
        ("more", number(7)),
        ("t", true.into()),
        ("f", false.into()),
        ("z", Value::Null),
        ("l", Value::List(list)),
        ("m", Value::Map([("a".to_owned(), Value::Map([].into())), (String::new(), number(1))].into())),
        ("ss", Value::StringSet(["a".to_owned(), "b".to_owned()].into())),
        ("ns", Value::NumberSet([Number::from(1_u64), "2.5".parse().unwrap()].into())),
        ("bs", Value::BinarySet(["c".into()].into())),
    ]);
    assert_eq!(item, expected);
    let whole = Value::Map([("pk".to_owned(), "a".into())].into());
    assert_eq!(inserted("?", vec![whole]), Item::from([("pk", "a".into())]));
}

#[test]
fn conditions_mean_what_they_say() {
    let inner = Value::Map([("b".to_owned(), Value::List(vec![number(7), "x".into()]))].into());
    let item = Item::from([
        ("a", inner),
        ("n", number(5)),
        ("s", "hello".into()),
        ("z", Value::Null),
        ("some name", true.into()),
        ("tags", Value::StringSet(["x".to_owned()].into())),
    ]);
    for condition in [
        "n = 5",
        "5 = n",
        "n<>4 and n != 4 And n>=5 AND n <= 5 AND n>4 AND n<6",
        "n = 4 OR n = 5",
        "NOT n = 4",
        "NOT (n = 4 OR s = 'x')",
        "n = 4 OR n = 5 AND s = 'hello'",
        "(n) = (5)",
        "((n = 5) AND (s = 'hello'))",
        "n IN [1, 5]",
        "n IN (1, 5)",
        "n NOT IN [1, 2]",
        "n BETWEEN 5 AND 6",
        "n NOT BETWEEN 6 AND 7",
        "a.b[0] = 7 AND \"a\".\"b\"[1] = 'x' AND a['b'][0] = 7",
        "\"some name\" = true",
        "nothing IS MISSING AND a.c IS MISSING",
        "n IS NOT MISSING",
        "z IS NULL AND n IS NOT NULL AND z = NULL",
        "begins_with(s, 'he') AND NOT Begins_With(s, 'lo')",
        "contains(s, 'ell') AND CONTAINS(tags, 'x')",
        "size(s) = 5 AND SIZE(a.b) > 1",
        "attribute_type(s, 'S') AND ATTRIBUTE_TYPE(a, 'M')",
        "n = 5 -- the rest is a comment",
        "n /* so is this */ = 5",
    ] {
        assert!(holds(condition, &item), "{condition}");
        assert!(!holds(&format!("NOT ({}\n)", condition), &item), "not {condition}");
    }
}

#[test]
fn a_select_says_what_where_and_in_which_order() {
    let all = select("select * from \"fleet\".\"by name\" where pk = 'a' order by pk, sk desc;", Vec::new());
    assert_eq!((all.source.table.as_str(), all.source.index.as_deref()), ("fleet", Some("by name")));
    assert_eq!(all.columns, None);
    let order: Vec<_> = all.order.iter().map(|order| (order.attribute.as_str(), order.descending)).collect();
    assert_eq!(order, [("pk", false), ("sk", true)]);
    let some = select("SELECT a.b[1], \"c\"\"d\" FROM fleet", Vec::new());
    let item = Item::from([
        ("a", Value::Map([("b".to_owned(), Value::List(vec![number(1), number(2)]))].into())),
        ("c\"d", number(3)),
        ("e", number(4)),
    ]);
    let shown = Projection::of_columns(some.columns.unwrap()).apply(&item);
    assert_eq!(shown, Item::from([("b[1]", number(2)), ("c\"d", number(3))]));
}

#[test]
fn an_update_changes_what_it_names() {
    let text = "UPDATE fleet SET n = n + 10 - 1 SET l = list_append(l, [?]), m.x = 'new' REMOVE gone REMOVE m.y \
                SET ss = set_add(ss, <<'b'>>) SET ns = SET_DELETE(ns, <<1>>) WHERE pk = 'a' AND sk = 1 \
                RETURNING MODIFIED NEW *";
    let Ok(Statement::Update(update)) = parse(text, vec![true.into()]) else { panic!("no update") };
    assert_eq!(update.returning, Some(Returning::ModifiedNew));
    let map = |x: &str| Value::Map([("x".to_owned(), x.into()), ("z".to_owned(), Value::Null)].into());
    let mut old = Item::from([
        ("n", number(1)),
        ("l", Value::List(vec![number(0)])),
        ("gone", Value::Null),
        ("m", map("old")),
        ("ss", Value::StringSet(["a".to_owned()].into())),
        ("ns", Value::NumberSet([Number::from(1_u64), Number::from(2_u64)].into())),
    ]);
    let Some(Value::Map(inner)) = old.0.get_mut("m") else { panic!("no map") };
    inner.insert("y".to_owned(), number(2));
    let expected = Item::from([
        ("n", number(10)),
        ("l", Value::List(vec![number(0), true.into()])),
        ("m", map("new")),
        ("ss", Value::StringSet(["a".to_owned(), "b".to_owned()].into())),
        ("ns", Value::NumberSet([Number::from(2_u64)].into())),
    ]);
    assert_eq!(ItemUpdate::of_changes(update.changes).unwrap().apply(old), Ok(expected));
}

#[test]
fn a_key_is_found_in_a_where_and_the_rest_is_a_condition() {
    let key = |condition: &str| {
        let select = select(&format!("SELECT * FROM t WHERE {condition}"), Vec::new());
        item_key(&table(), select.conditions)
    };
    let whole = Item::from([("pk", "a".into()), ("sk", number(1))]);
    assert_eq!(key("pk = 'a' AND 1 = sk"), Some((whole.clone(), None)));
    let (found, rest) = key("n > 2 AND (sk = 1 AND (pk = 'a'))").unwrap();
    assert_eq!(found, whole);
    assert!(rest.unwrap().matches(&Item::from([("n", number(3))])));
    for incomplete in ["pk = 'a'", "pk = 'a' AND sk > 1", "pk = 'a' OR sk = 1", "NOT (pk = 'a' AND sk = 1)"] {
        assert_eq!(key(incomplete), None, "{incomplete}");
    }
}

#[test]
fn a_select_reads_the_partitions_that_it_names() {
    let plan = |condition: &str| {
        let select = select(&format!("SELECT * FROM t WHERE {condition}"), Vec::new());
        let Plan { partitions, filter } = Plan::of(&table(), select.conditions).unwrap();
        let bound =
            partitions.map(|all| all.into_iter().map(|terms| terms.bind(&table()).unwrap()).collect::<Vec<_>>());
        (bound, filter.is_some())
    };
    let (all, filtered) = plan("n = 1 AND sk = 2");
    assert!(all.is_none() && filtered);
    for (condition, count, filters) in [
        ("pk = 'a'", 1, false),
        ("pk = 'a' AND n = 1", 1, true),
        ("pk IN ['a', 'b', 'a']", 2, false),
        ("pk = 'a' OR pk IN ('b', 'c')", 3, false),
        ("sk > 3 AND pk = 'a'", 1, false),
        ("pk = 'a' AND pk = 'b'", 1, true),
        ("pk = 'a' AND sk > 3 AND sk < 5", 1, true),
        ("pk = 'a' AND sk <> 3", 1, true),
    ] {
        let (partitions, filtered) = plan(condition);
        assert_eq!((partitions.unwrap().len(), filtered), (count, filters), "{condition}");
    }
    let (ranged, _) = plan("pk = 'a' AND sk BETWEEN 1 AND 2");
    assert!(ranged.unwrap()[0].until.is_some());
    for scanned in ["pk > 'a'", "pk = 'a' OR n = 1", "NOT pk = 'a'", "pk.x = 'a'", "pk = other"] {
        assert!(plan(scanned).0.is_none(), "{scanned}");
    }
    let many: Vec<String> = (0..51).map(|at| format!("'{at}'")).collect();
    let select = select(&format!("SELECT * FROM t WHERE pk IN [{}]", many.join(",")), Vec::new());
    assert!(Plan::of(&table(), select.conditions).is_err());
}

#[test]
fn what_is_no_statement_is_refused() {
    let malformed = "Statement wasn't well formed, can't be processed: ";
    for (text, detail) in [
        ("", "Expected data manipulation"),
        ("SELECTT * FROMM t", "Expected data manipulation"),
        ("UPDATE my-table SET a = 1", "Expected data manipulation"),
        ("SELECT key FROM t", "Unexpected keyword"),
        ("SELECT * FROM t WHERE", "Unexpected end of statement"),
        ("SELECT * FROM t WHERE a", "Unexpected end of statement"),
        ("SELECT * FROM t WHERE (a = 1", "Unexpected end of statement"),
        ("SELECT * FROM t WHERE a = 1)", "Unexpected token"),
        ("SELECT * FROM t WHERE a = 'x", "Invalid character"),
        ("SELECT * FROM t WHERE a[-1] = 1", "A path has a part that is no name and no place in a list"),
        ("SELECT a.* FROM t", "A path has a part that is no name and no place in a list"),
        ("SELECT * FROM t WHERE a IN []", "Unexpected token"),
        ("SELECT * FROM t WHERE a = 0x1F", "Invalid number"),
        ("SELECT * FROM t; SELECT * FROM t", "Unexpected keyword"),
        ("SELECT * FROM t, u", "FROM clause may only contain a single table name"),
        ("INSERT INTO t.i VALUE {}", "FROM clause may only contain a single table name"),
        ("INSERT INTO t VALUE {\"a\":1}", "Unexpected token"),
    ] {
        assert_eq!(refusal(text), format!("{malformed}{detail}"), "{text}");
    }
    for (text, expected) in [
        ("SELECT * FROM t LIMIT 1", "Unsupported clause: LIMIT"),
        ("SELECT * FROM t GROUP BY a", "Unsupported clause: GROUP"),
        ("UPDATE t.i SET a = 1", "An index can only be read"),
        ("DELETE FROM t.i", "An index can only be read"),
        ("SELECT * FROM t WHERE a = ?", "Number of parameters in request and statement don't match."),
        ("SELECT * FROM t WHERE f(a)", "Invalid function name; function: f"),
        (
            "DELETE FROM t WHERE pk = 'a' RETURNING MODIFIED OLD *",
            "Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
        ),
        (
            "SELECT * FROM t WHERE a < [1]",
            "Incorrect operand type for operator or function; operator or function: <, operand type: L",
        ),
        ("INSERT INTO t VALUE {'a':<<1,1.0>>}", "Input collection contains duplicates"),
        (
            "INSERT INTO t VALUE {'a':1e999}",
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
    ] {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

/// A peer was once killed by the stack that such texts need.
#[test]
fn deep_nesting_is_refused_or_harmless() {
    let nested = |open: &str, middle: &str, close: &str| format!("{}{middle}{}", open.repeat(4000), close.repeat(4000));
    assert!(parse(&format!("SELECT * FROM t WHERE {}", nested("(", "a = 1", ")")), Vec::new()).is_ok());
    for text in [
        format!("SELECT * FROM t WHERE {}", nested("NOT ", "a = 1", "")),
        format!("SELECT * FROM t WHERE a = {}", nested("[", "", "]")),
        format!("INSERT INTO t VALUE {{'a':{}}}", nested("{'a':", "1", "}")),
        format!("UPDATE t SET a = {}", nested("(", "1", ")")),
        format!("UPDATE t SET a = {}", nested("list_append(a,", "[]", ")")),
        format!("UPDATE t SET a = {}", nested("", "1", "+1")),
        format!("EXISTS{}", nested("(", "", ")")),
    ] {
        assert!(parse(&text, Vec::new()).is_err(), "{}", &text[..60]);
    }
}

/// A value as a literal, with its binaries as parameters.
fn literal(value: &Value, parameters: &mut Vec<Value>) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let listed = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::String(text) => quoted(text),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => "NULL".to_owned(),
        Value::Binary(_) | Value::BinarySet(_) => {
            parameters.push(value.clone());
            "?".to_owned()
        }
        Value::List(values) => {
            format!("[{}]", listed(values.iter().map(|value| literal(value, parameters)).collect()))
        }
        Value::Map(values) => {
            let member = |(name, value): (&String, &Value)| format!("{}: {}", quoted(name), literal(value, parameters));
            format!("{{{}}}", listed(values.iter().map(member).collect()))
        }
        Value::StringSet(texts) => format!("<<{}>>", listed(texts.iter().map(|text| quoted(text)).collect())),
        Value::NumberSet(numbers) => format!("<<{}>>", listed(numbers.iter().map(Number::to_string).collect())),
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}", count in 0..3_usize) {
        let _ = parse(&text, vec![Value::Null; count]);
    }

    /// Texts of the language's own words get further than random ones.
    #[test]
    fn no_mix_of_words_makes_the_parser_panic(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "SELECT", "*", "FROM", "t", "\"t\"", "WHERE", "a", "a.b[0]", "=", "<", "<>", "!=", "AND", "OR", "NOT", "(",
                ")", "IN", "[", "]", ",", "BETWEEN", "IS", "MISSING", "NULL", "'x'", "1", "-1", "?", "size(", "contains(",
                "begins_with(", "attribute_type(", "UPDATE", "SET", "REMOVE", "DELETE", "INSERT INTO", "VALUE", "{", "}",
                ":", "<<", ">>", "+", "-", "list_append(", "set_add(", "RETURNING", "ALL", "OLD", "ORDER BY", "DESC",
                "EXISTS(", ";", "--", "/*", "*/", "'",
            ]),
            0..40,
        ),
        lead in proptest::sample::select(vec![
            "", "SELECT * FROM t WHERE", "UPDATE t SET a =", "INSERT INTO t VALUE", "DELETE FROM t WHERE",
        ]),
        count in 0..3_usize,
    ) {
        let text = format!("{lead} {}", words.join(" "));
        if let Ok(Statement::Select(select)) = parse(&text, vec![number(1); count]) {
            let _ = Plan::of(&table(), select.conditions.clone());
            let _ = item_key(&table(), select.conditions.clone());
            if let Some(condition) = select.conditions.into_iter().reduce(Condition::and) {
                condition.matches(&Item::from([("a", number(1))]));
            }
        }
    }

    #[test]
    fn an_item_written_as_a_literal_is_that_item(item in item::arbitrary::items()) {
        let mut parameters = Vec::new();
        let text = literal(&Value::Map(item.0.clone()), &mut parameters);
        prop_assert_eq!(inserted(&text, parameters), item);
    }
}
