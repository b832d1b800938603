//! Updates as clients ask for them, and what they mean to the model, which does not read expressions.

use std::collections::{BTreeMap, BTreeSet};

use item::{
    Item, Number, Value,
    expression::{Substitutions, Update},
};

/// What becomes of one attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// It gets this value.
    Set(Value),
    /// It gets this value if it has none.
    Default(Value),
    /// This number is added; nothing counts as zero.
    Count(Number),
    /// This number is subtracted from one that must be there.
    Subtract(Number),
    /// These elements come into the set.
    Unite(BTreeSet<String>),
    /// These elements leave the set.
    Without(BTreeSet<String>),
    /// It goes.
    Remove,
}

/// An update: edits by attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits(pub BTreeMap<&'static str, Edit>);

impl Edits {
    /// The item afterwards, made from `key` if there is none; none if there still is none.
    pub fn apply(&self, key: &Item, old: Option<&Item>) -> Result<Option<Item>, Refused> {
        let mut item = old.unwrap_or(key).clone();
        for (name, edit) in &self.0 {
            let value = match (edit, item.0.remove(*name)) {
                (Edit::Set(value), _) | (Edit::Default(value), None) => Some(value.clone()),
                (Edit::Default(_), old) => old,
                (Edit::Count(number), None) => Some(Value::Number(*number)),
                (Edit::Count(number), Some(Value::Number(old))) => Some(sum(old, *number)?),
                (Edit::Subtract(number), Some(Value::Number(old))) => Some(sum(old, -*number)?),
                (Edit::Unite(more), None) => Some(Value::StringSet(more.clone())),
                (Edit::Unite(more), Some(Value::StringSet(old))) => Some(Value::StringSet(&old | more)),
                (Edit::Without(_), None) => None,
                (Edit::Without(less), Some(Value::StringSet(old))) => {
                    Some(&old - less).filter(|left| !left.is_empty()).map(Value::StringSet)
                }
                (Edit::Remove, _) => None,
                (Edit::Count(_) | Edit::Subtract(_) | Edit::Unite(_) | Edit::Without(_), _) => return Err(Refused),
            };
            item.0.extend(value.map(|value| ((*name).to_owned(), value)));
        }
        let only_takes = |edit: &Edit| matches!(edit, Edit::Remove | Edit::Without(_));
        let makes_nothing = old.is_none() && !self.0.is_empty() && self.0.values().all(only_takes);
        Ok(if makes_nothing { None } else { Some(item) })
    }

    /// The same as an expression.
    pub fn expression(&self) -> Update {
        let mut names = BTreeMap::new();
        let mut values = BTreeMap::new();
        let mut sections: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (at, (name, edit)) in self.0.iter().enumerate() {
            names.insert(format!("#n{at}"), (*name).to_owned());
            let (section, action, value) = match edit {
                Edit::Set(value) => ("SET", "#n = :v", Some(value.clone())),
                Edit::Default(value) => ("SET", "#n = if_not_exists(#n, :v)", Some(value.clone())),
                Edit::Count(number) => ("ADD", "#n :v", Some(Value::Number(*number))),
                Edit::Subtract(number) => ("SET", "#n = #n - :v", Some(Value::Number(*number))),
                Edit::Unite(set) => ("ADD", "#n :v", Some(Value::StringSet(set.clone()))),
                Edit::Without(set) => ("DELETE", "#n :v", Some(Value::StringSet(set.clone()))),
                Edit::Remove => ("REMOVE", "#n", None),
            };
            values.extend(value.map(|value| (format!(":v{at}"), value)));
            let action = action.replace("#n", &format!("#n{at}")).replace(":v", &format!(":v{at}"));
            sections.entry(section).or_default().push(action);
        }
        if sections.is_empty() {
            return Update::default();
        }
        let sections = sections.into_iter().map(|(section, actions)| format!("{section} {}", actions.join(", ")));
        let text = sections.collect::<Vec<_>>().join(" ");
        let values = Some(values).filter(|values| !values.is_empty());
        let mut substitutions = Substitutions::new(Some(names), values).expect("well-formed tokens");
        Update::parse(&text, &mut substitutions).expect("a well-formed update")
    }
}

/// The update does not fit the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

fn sum(one: Number, other: Number) -> Result<Value, Refused> {
    one.checked_add(other).map(Value::Number).map_err(|_| Refused)
}
