//! Conditions that keep stored values: for arrivals that must be new, and for tables where nothing is overwritten.

use std::{collections::BTreeSet, sync::Arc};

use item::{
    Item, Table,
    expression::{Condition, Kind, Substitutions},
};

/// Attributes that one condition can speak of, well within the bounds of an expression.
const ATTRIBUTES_MAX: usize = 50;

/// The item must not exist.
pub(crate) fn absent(table: &Table) -> Arc<Condition> {
    let names = [("#k".to_owned(), table.partition_key.name.clone())];
    let mut substitutions = Substitutions { names: names.into(), ..Substitutions::default() };
    let condition = Condition::parse(Kind::Condition, "attribute_not_exists(#k)", &mut substitutions);
    Arc::new(condition.expect("the expression is well formed"))
}

/// Cuts an item into parts that a condition can speak of, each with its keys. Only attributes in `only` are taken.
pub(crate) fn parts(table: &Table, item: Item, only: Option<&BTreeSet<String>>) -> Vec<Item> {
    let (keys, attributes): (Vec<_>, Vec<_>) = item.0.into_iter().partition(|(name, _)| table.is_key(name));
    let mut attributes =
        attributes.into_iter().filter(|(name, _)| only.is_none_or(|only| only.contains(name))).peekable();
    let mut parts = Vec::new();
    while parts.is_empty() || attributes.peek().is_some() {
        let part = attributes.by_ref().take(ATTRIBUTES_MAX);
        parts.push(Item(keys.iter().cloned().chain(part).collect()));
    }
    parts
}

/// No attribute of `part` may be stored with another value; none if it has only its keys.
pub(crate) fn unchanged(table: &Table, part: &Item) -> Option<Arc<Condition>> {
    let mut substitutions = Substitutions::default();
    let mut terms = Vec::new();
    for (index, (name, value)) in part.iter().filter(|(name, _)| !table.is_key(name)).enumerate() {
        terms.push(format!("(attribute_not_exists(#{index}) OR #{index} = :{index})"));
        substitutions.names.insert(format!("#{index}"), name.clone());
        substitutions.values.insert(format!(":{index}"), value.clone());
    }
    if terms.is_empty() {
        return None;
    }
    let condition = Condition::parse(Kind::Condition, &terms.join(" AND "), &mut substitutions);
    Some(Arc::new(condition.expect("the expression is well formed and within the bounds")))
}

/// Those of `names` that are stored with another value than `new` has.
pub(crate) fn between(old: &Item, new: &Item, names: &BTreeSet<String>) -> Vec<String> {
    let differs = |name: &&String| old.get(name).is_some_and(|stored| new.get(name) != Some(stored));
    names.iter().filter(differs).cloned().collect()
}

#[cfg(test)]
mod tests {
    use item::{Value, table::system};

    use super::*;

    fn item(pairs: &[(&str, u64)]) -> Item {
        let mut item: Item =
            Item(pairs.iter().map(|(name, value)| (name.to_string(), Value::Number((*value).into()))).collect());
        item.insert("client", "c".into());
        item.insert("id", "1".into());
        item
    }

    #[test]
    fn a_part_may_add_and_repeat_but_not_change() {
        let table = system::quarantine();
        let condition = unchanged(&table, &item(&[("a", 1), ("b", 2)])).unwrap();
        assert!(condition.matches(&Item::new()));
        assert!(condition.matches(&item(&[("a", 1), ("c", 9)])));
        assert!(!condition.matches(&item(&[("a", 2)])));
        assert_eq!(unchanged(&table, &item(&[])), None);
        assert!(!absent(&table).matches(&item(&[])));
        assert!(absent(&table).matches(&Item::new()));
    }

    #[test]
    fn wide_items_are_cut_into_parts_that_all_have_their_keys() {
        let table = system::quarantine();
        let names: Vec<String> = (0..120).map(|number| format!("a{number:03}")).collect();
        let wide = item(&names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>());
        let cut = parts(&table, wide.clone(), None);
        assert_eq!(cut.iter().map(Item::len).collect::<Vec<_>>(), [52, 52, 22]);
        for part in &cut {
            assert!(unchanged(&table, part).is_some());
        }
        let only = BTreeSet::from(["a001".to_owned()]);
        assert_eq!(parts(&table, wide, Some(&only)).iter().map(Item::len).collect::<Vec<_>>(), [3]);
        assert_eq!(parts(&table, item(&[]), None).len(), 1, "an item of keys only is a part");
    }

    #[test]
    fn collisions_are_named() {
        let names = BTreeSet::from(["a".to_owned(), "b".to_owned(), "c".to_owned()]);
        let found = between(&item(&[("a", 1), ("b", 2)]), &item(&[("a", 1), ("b", 3), ("c", 4)]), &names);
        assert_eq!(found, ["b"]);
    }
}
