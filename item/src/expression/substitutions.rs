//! The `#name` and `:value` substitutions of one request.

use std::collections::{BTreeMap, BTreeSet};

use super::ExpressionError;
use crate::{Item, Value};

/// Longest `#name` or `:value` token, in bytes.
const TOKEN_BYTES_MAX: usize = 255;

/// The substitutions of one request, and which of them its expressions used.
#[derive(Debug, Default)]
pub struct Substitutions {
    /// `#name` to attribute name.
    pub names: BTreeMap<String, String>,
    /// `:value` to value.
    pub values: BTreeMap<String, Value>,
    /// Tokens that some expression used.
    pub used: BTreeSet<String>,
}

impl Substitutions {
    /// Takes a request's ExpressionAttributeNames and ExpressionAttributeValues, none where it has none. Empty maps,
    /// malformed tokens and tokens over 255 bytes are refused.
    pub fn new(
        names: Option<BTreeMap<String, String>>,
        values: Option<BTreeMap<String, Value>>,
    ) -> Result<Substitutions, ExpressionError> {
        check_tokens("ExpressionAttributeNames", '#', names.as_ref().map(BTreeMap::keys))?;
        let is_illegal = |name: &String| !(1..=Item::NAME_BYTES_MAX).contains(&name.len());
        if let Some((token, _)) = names.iter().flatten().find(|(_, name)| is_illegal(name)) {
            return Err(ExpressionError(format!(
                "ExpressionAttributeNames contains invalid value: An attribute name has 1 to {} bytes; \
                 key: \"{token}\"",
                Item::NAME_BYTES_MAX
            )));
        }
        check_tokens("ExpressionAttributeValues", ':', values.as_ref().map(BTreeMap::keys))?;
        Ok(Substitutions {
            names: names.unwrap_or_default(),
            values: values.unwrap_or_default(),
            used: BTreeSet::new(),
        })
    }

    /// Refuses what cannot stand for a value.
    pub fn check_value_tokens<'a>(tokens: impl ExactSizeIterator<Item = &'a String>) -> Result<(), ExpressionError> {
        check_tokens("ExpressionAttributeValues", ':', Some(tokens))
    }

    /// The attribute name behind `#name`; it counts as used.
    pub(super) fn name(&mut self, token: &str) -> Option<&str> {
        let name = self.names.get(token)?;
        note(&mut self.used, token);
        Some(name)
    }

    /// The value behind `:value`; it counts as used.
    pub(super) fn value(&mut self, token: &str) -> Option<&Value> {
        let value = self.values.get(token)?;
        note(&mut self.used, token);
        Some(value)
    }

    /// Refuses substitutions that no expression used. Call it after the request's last expression was parsed.
    pub fn finish(&self) -> Result<(), ExpressionError> {
        self.check_used("ExpressionAttributeNames", self.names.keys())?;
        self.check_used("ExpressionAttributeValues", self.values.keys())
    }

    fn check_used<'a>(&self, parameter: &str, tokens: impl Iterator<Item = &'a String>) -> Result<(), ExpressionError> {
        let unused: Vec<&str> = tokens.filter(|token| !self.used.contains(*token)).map(String::as_str).collect();
        if unused.is_empty() {
            return Ok(());
        }
        let keys = unused.join(", ");
        Err(ExpressionError(format!("Value provided in {parameter} unused in expressions: keys: {{{keys}}}")))
    }
}

fn note(used: &mut BTreeSet<String>, token: &str) {
    if !used.contains(token) {
        used.insert(token.to_owned());
    }
}

fn check_tokens<'a>(
    parameter: &str,
    sigil: char,
    tokens: Option<impl ExactSizeIterator<Item = &'a String>>,
) -> Result<(), ExpressionError> {
    let Some(tokens) = tokens else { return Ok(()) };
    if tokens.len() == 0 {
        return Err(ExpressionError(format!("{parameter} must not be empty")));
    }
    for token in tokens {
        let rest = token.strip_prefix(sigil).unwrap_or_default();
        if rest.is_empty() || !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(ExpressionError(format!("{parameter} contains invalid key: Syntax error; key: \"{token}\"")));
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(ExpressionError(format!(
                "{parameter} contains invalid key: Over {TOKEN_BYTES_MAX} bytes; key: \"{token}\""
            )));
        }
    }
    Ok(())
}
