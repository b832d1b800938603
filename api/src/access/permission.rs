//! The one form of permissions: an action, a table, a device.

use item::Value;
use serde::{Deserialize, Serialize};

use super::glob;
use crate::{Error, operations};

/// What `read` stands for.
const READ: &[&str] = &[
    "dynamodb:BatchGet*",
    "dynamodb:ConditionCheckItem",
    "dynamodb:Describe*",
    "dynamodb:Get*",
    "dynamodb:List*",
    "dynamodb:PartiQLSelect",
    "dynamodb:Query",
    "dynamodb:Scan",
    "thalweg:Follow",
];
/// What `write` stands for.
const WRITE: &[&str] = &[
    "dynamodb:BatchWriteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "thalweg:Ingest",
];
/// Actions beside the operations of DynamoDB.
const OTHERS: &[&str] = &[
    "dynamodb:ConditionCheckItem",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLSelect",
    "dynamodb:PartiQLUpdate",
    "thalweg:Compact",
    "thalweg:Follow",
    "thalweg:Ingest",
    "thalweg:Keys",
    "thalweg:Metrics",
    "thalweg:Quarantine",
    "thalweg:Reload",
    "thalweg:Replay",
    "thalweg:Status",
];
/// Patterns are no longer than this.
const PATTERN_BYTES_MAX: usize = 2048;

/// What a key allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Permission {
    /// `read`, `write`, `admin` (everything), or a pattern of actions, such as `dynamodb:*Item`.
    pub(crate) action: String,
    /// A pattern of table names.
    #[serde(default = "everything")]
    pub(crate) table: String,
    /// A pattern of partition keys.
    #[serde(default = "everything")]
    pub(crate) device: String,
}

fn everything() -> String {
    "*".to_owned()
}

/// One thing that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Such as `dynamodb:PutItem`.
    pub(crate) action: String,
    pub(crate) table: Scope,
    pub(crate) device: Scope,
}

/// How much of what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The one of this name.
    One(String),
    /// All of them.
    Every,
    /// None in particular.
    Any,
}

impl Access {
    /// Something of the whole server.
    pub(crate) fn server(action: &str) -> Access {
        Access { action: action.to_owned(), table: Scope::Every, device: Scope::Every }
    }

    /// Something of a whole table.
    pub(crate) fn table(action: &str, table: &str) -> Access {
        Access { action: action.to_owned(), table: Scope::One(table.to_owned()), device: Scope::Every }
    }
}

impl Scope {
    fn is_within(&self, pattern: &str) -> bool {
        match self {
            Scope::One(name) => glob::matches(pattern, name),
            Scope::Every => is_everything(pattern),
            Scope::Any => true,
        }
    }

    /// A device by its partition key's value: text as it is, numbers as they are shown, bytes in base64.
    pub(crate) fn device(value: &Value) -> Scope {
        match value {
            Value::String(text) => Scope::One(text.clone()),
            Value::Number(number) => Scope::One(number.to_string()),
            Value::Binary(bytes) => {
                use base64::{Engine, engine::general_purpose::STANDARD};
                Scope::One(STANDARD.encode(bytes))
            }
            _ => Scope::Every,
        }
    }
}

fn is_everything(pattern: &str) -> bool {
    !pattern.is_empty() && pattern.bytes().all(|byte| byte == b'*')
}

impl Permission {
    /// Everything.
    pub(crate) fn all() -> Permission {
        Permission { action: "admin".to_owned(), table: everything(), device: everything() }
    }

    /// Refuses patterns that nothing could fit.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for pattern in [&self.action, &self.table, &self.device] {
            if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
                return Err(Error::Validation(format!(
                    "a pattern must have from 1 to {PATTERN_BYTES_MAX} bytes, `{pattern}` has {}",
                    pattern.len()
                )));
            }
        }
        let known = operations::names().map(|name| format!("dynamodb:{name}"));
        let mut known = known.chain(OTHERS.iter().map(|name| (*name).to_owned()));
        if !known.any(|action| self.allows_action(&action)) {
            return Err(Error::Validation(format!(
                "`{}` allows nothing: an action is read, write, admin, or a pattern such as dynamodb:*Item or \
                 thalweg:Metrics",
                self.action
            )));
        }
        Ok(())
    }

    pub(crate) fn allows(&self, access: &Access) -> bool {
        self.allows_action(&access.action)
            && access.table.is_within(&self.table)
            && access.device.is_within(&self.device)
    }

    /// Does it allow whatever there is? Then nobody need find out what is asked for.
    pub(crate) fn is_all(&self) -> bool {
        let is_every_action = self.action == "admin" || is_everything(&self.action);
        is_every_action && is_everything(&self.table) && is_everything(&self.device)
    }

    fn allows_action(&self, action: &str) -> bool {
        let of_list = |patterns: &[&str]| patterns.iter().any(|pattern| glob::matches(pattern, action));
        match self.action.as_str() {
            "read" => of_list(READ),
            "write" => of_list(WRITE),
            "admin" => true,
            pattern => glob::matches(pattern, action),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(action: &str, asked: &str) -> bool {
        let permission = Permission { action: action.to_owned(), ..Permission::all() };
        permission.check().is_ok() && permission.allows(&Access::server(asked))
    }

    #[test]
    fn words_stand_for_actions() {
        for (action, asked) in [
            ("read", "dynamodb:GetItem"),
            ("read", "dynamodb:GetRecords"),
            ("read", "dynamodb:DescribeTable"),
            ("read", "thalweg:Follow"),
            ("write", "dynamodb:UpdateItem"),
            ("write", "thalweg:Ingest"),
            ("admin", "thalweg:Keys"),
            ("dynamodb:*", "dynamodb:DeleteTable"),
            ("*", "thalweg:Keys"),
        ] {
            assert!(allows(action, asked), "{action} {asked}");
        }
        for (action, asked) in [
            ("read", "dynamodb:PutItem"),
            ("read", "thalweg:Keys"),
            ("read", "thalweg:Metrics"),
            ("write", "dynamodb:GetItem"),
            ("write", "dynamodb:DeleteTable"),
            ("write", "thalweg:Compact"),
            ("dynamodb:*", "thalweg:Keys"),
            ("thalweg:Metrics", "thalweg:Status"),
        ] {
            assert!(!allows(action, asked), "{action} {asked}");
        }
    }

    #[test]
    fn all_of_something_needs_all_of_it() {
        let some = Permission { table: "plant-*".into(), device: "pump-?".into(), ..Permission::all() };
        let access = |table: Scope, device: Scope| Access { action: "dynamodb:GetItem".into(), table, device };
        let one = |name: &str| Scope::One(name.to_owned());
        assert!(some.allows(&access(one("plant-1"), one("pump-1"))));
        assert!(some.allows(&access(one("plant-1"), Scope::Any)));
        for (table, device) in [
            (one("plant"), one("pump-1")),
            (one("plant-1"), one("pump-10")),
            (one("plant-1"), Scope::Every),
            (Scope::Every, Scope::Any),
        ] {
            assert!(!some.allows(&access(table, device)));
        }
        assert!(Permission::all().is_all() && !some.is_all());
    }

    #[test]
    fn what_allows_nothing_is_refused() {
        for action in ["reed", "", "GetItem", "dynamodb:Nothing*", "Admin"] {
            assert!(Permission { action: action.into(), ..Permission::all() }.check().is_err(), "{action}");
        }
        assert!(Permission { table: String::new(), ..Permission::all() }.check().is_err());
        assert!(Permission { device: "x".repeat(2049), ..Permission::all() }.check().is_err());
    }
}
