//! What the operations that change one item have in common: a condition, and what they are asked to tell.

use std::sync::Arc;

use item::{
    Key, Table,
    expression::{Condition, Kind, Update},
};
use store::write::{Rejection, Write, Written};

use super::{
    ITEM_ROOM_BYTES,
    metered::{Metered, handed_in},
};
use crate::{
    App, Error,
    budget::Room,
    capacity::{ConsumedCapacity, Detail},
    expressions::{Expressions, Names, Values, check_scalar_keys},
    item_collection::ItemCollectionMetrics,
    validate::{
        RETURN_CONSUMED_CAPACITY, RETURN_ITEM_COLLECTION_METRICS, RETURN_ON_FAILURE, RETURN_VALUES, Violations,
    },
    values::ItemOut,
};

/// What a request wants to be told beside success.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    return_values: Option<String>,
    old_on_failure: bool,
    /// Is the size of the item's collection wanted?
    collection: bool,
    pub(crate) capacity: Detail,
}

impl Asked {
    /// Takes the words of a request, noting those that are none.
    pub(crate) fn of(
        violations: &mut Violations,
        return_values: Option<String>,
        return_capacity: Option<String>,
        return_metrics: Option<String>,
        return_on_failure: Option<String>,
    ) -> Asked {
        violations.one_of("returnConsumedCapacity", return_capacity.as_ref(), RETURN_CONSUMED_CAPACITY);
        violations.one_of("returnItemCollectionMetrics", return_metrics.as_ref(), RETURN_ITEM_COLLECTION_METRICS);
        violations.one_of("returnValues", return_values.as_ref(), RETURN_VALUES);
        violations.one_of("returnValuesOnConditionCheckFailure", return_on_failure.as_ref(), RETURN_ON_FAILURE);
        Asked {
            return_values,
            old_on_failure: return_on_failure.as_deref() == Some("ALL_OLD"),
            collection: return_metrics.as_deref() == Some("SIZE"),
            capacity: Detail::of(return_capacity.as_deref()),
        }
    }

    /// A put or delete can only tell the item as it was.
    pub(crate) fn check(self) -> Result<Asked, Error> {
        match self.return_values.as_deref() {
            None | Some("NONE" | "ALL_OLD") => Ok(self),
            Some(_) => Err(Error::validation("ReturnValues can only be ALL_OLD or NONE")),
        }
    }

    /// Must the store look up the item as it was?
    pub(crate) fn needs_old(&self) -> bool {
        self.old_on_failure || matches!(self.wanted(), "ALL_OLD" | "UPDATED_OLD")
    }

    /// Must the store answer the item as it is after an update?
    pub(crate) fn needs_new(&self) -> bool {
        matches!(self.wanted(), "ALL_NEW" | "UPDATED_NEW")
    }

    /// Which attributes are to be answered, in DynamoDB's word.
    fn wanted(&self) -> &str {
        self.return_values.as_deref().unwrap_or("NONE")
    }

    /// Parses the condition with its substitutions.
    pub(crate) fn condition(
        &self,
        names: Option<Names>,
        values: Option<Values>,
        condition: Option<String>,
    ) -> Result<Option<Arc<Condition>>, Error> {
        let mut expressions = Expressions::new(names, values, &[(Kind::Condition, condition.is_some())])?;
        let condition = expressions.condition(Kind::Condition, condition.as_ref())?;
        expressions.finish()?;
        Ok(condition.map(Arc::new))
    }

    /// Hands a write to the table that was given as `given_name` to the store; answers what it did and, if asked for, used.
    pub(crate) async fn write(
        &self,
        app: &App,
        given_name: &str,
        mut write: Write,
        room: &mut Room<'_>,
    ) -> Result<(Written, Option<ConsumedCapacity>), Error> {
        let mut metered = Metered::admit(app, &mut write, self.capacity, 1.0)?;
        if self.wanted() != "NONE" || write.return_old {
            room.reserve(ITEM_ROOM_BYTES).await?;
        }
        let answers = handed_in(metered.iter_mut(), app.store.write_within(vec![write], app.config.patience)).await?;
        let answer = answers.into_iter().next().ok_or_else(|| Error::Internal("the store answered nothing".into()))?;
        let usage = metered.map(|metered| metered.settle(answer.as_ref()));
        let written = answer.map_err(|rejection| match rejection {
            Rejection::ConditionFailed { old } => Error::ConditionFailed(old.filter(|_| self.old_on_failure)),
            other => other.into(),
        })?;
        Ok((written, usage.and_then(|usage| self.capacity.consumed(given_name, usage))))
    }

    /// The item collection that the key is in, if that was asked for and the table has any.
    pub(crate) fn collection(
        &self,
        app: &App,
        table: &Table,
        key: &Key,
    ) -> Result<Option<ItemCollectionMetrics>, Error> {
        if self.collection { ItemCollectionMetrics::of(app, table, key) } else { Ok(None) }
    }

    /// The attributes that were asked for, if there are any; what an update leaves alone is not among the updated ones.
    pub(crate) fn attributes(&self, written: Written, update: &Update) -> Option<ItemOut> {
        let item = match self.wanted() {
            "ALL_OLD" => written.old,
            "ALL_NEW" => written.new,
            "UPDATED_OLD" => written.old.map(|old| update.touched(&old)),
            "UPDATED_NEW" => written.new.map(|new| update.made(&new)),
            _ => None,
        };
        item.filter(|item| !item.is_empty()).map(ItemOut)
    }
}

/// Refuses a condition that looks into the key.
pub(crate) fn check_condition(table: &Table, condition: Option<&Condition>) -> Result<(), Error> {
    condition.map_or(Ok(()), |condition| check_scalar_keys(table, &condition.nested_attributes()))
}
