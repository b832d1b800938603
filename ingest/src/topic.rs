//! Topic patterns: MQTT filters whose levels may be captured by name.
//!
//! `home/{device}/{metric}` matches three levels and names two of them; `+` matches one level, `#` (last) any rest,
//! `{name#}` (last) captures a rest of at least one level. As in MQTT, a pattern that begins with a wildcard or capture
//! does not match a topic that begins with `$`.
//!
//! A NATS subject is matched by the same patterns: its `.` stands where a pattern has `/`. What is captured is verbatim.

use std::fmt;

use serde::Deserialize;

/// A parsed topic pattern.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    text: String,
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Literal(String),
    Any,
    Rest,
    Capture(String),
    CaptureRest(String),
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("topic pattern `{pattern}`: {what}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub what: String,
}

/// What separates the levels of a received topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// MQTT: `/`.
    Slash,
    /// NATS: `.`.
    Dot,
}

impl Separator {
    fn byte(self) -> u8 {
        match self {
            Separator::Slash => b'/',
            Separator::Dot => b'.',
        }
    }
}

/// The captured levels of one match, in the pattern's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Captures<'a> {
    /// The text that `name` captured.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(captured, _)| *captured == name).map(|(_, text)| *text)
    }
}

impl Pattern {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let wrong = |what: String| PatternError { pattern: text.to_owned(), what };
        if text.is_empty() || text.len() > 65_535 || text.contains('\0') {
            return Err(wrong("must have 1 to 65535 bytes and no NUL".into()));
        }
        let mut levels = Vec::new();
        let mut names = Vec::new();
        let count = text.split('/').count();
        for (index, level) in text.split('/').enumerate() {
            let parsed = parse_level(level).map_err(wrong)?;
            let last = index + 1 == count;
            if matches!(parsed, Level::Rest | Level::CaptureRest(_)) && !last {
                return Err(wrong(format!("`{level}` must be the last level")));
            }
            if let Level::Capture(name) | Level::CaptureRest(name) = &parsed {
                if names.contains(name) {
                    return Err(wrong(format!("`{name}` is captured twice")));
                }
                names.push(name.clone());
            }
            levels.push(parsed);
        }
        Ok(Pattern { text: text.to_owned(), levels })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The captures' names, in order.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(|level| match level {
            Level::Capture(name) | Level::CaptureRest(name) => Some(name.as_str()),
            Level::Literal(_) | Level::Any | Level::Rest => None,
        })
    }

    /// Does it have levels that vary and have no name?
    pub fn has_unnamed(&self) -> bool {
        self.levels.iter().any(|level| matches!(level, Level::Any | Level::Rest))
    }

    /// Matches a topic, level by level.
    pub fn matches<'a>(&'a self, topic: &'a str, separator: Separator) -> Option<Captures<'a>> {
        if topic.starts_with('$') && !matches!(self.levels[0], Level::Literal(_)) {
            return None;
        }
        let mut captures = Captures::default();
        // The rest of the topic that is not yet matched; none once its last level is.
        let mut rest = Some(topic);
        for level in &self.levels {
            match level {
                Level::Rest => return Some(captures),
                Level::CaptureRest(name) => {
                    captures.0.push((name, rest?));
                    return Some(captures);
                }
                Level::Literal(_) | Level::Any | Level::Capture(_) => {
                    let text = rest?;
                    let end = text.as_bytes().iter().position(|byte| *byte == separator.byte());
                    let (head, tail) = match end {
                        Some(end) => (&text[..end], Some(&text[end + 1..])),
                        None => (text, None),
                    };
                    rest = tail;
                    match level {
                        Level::Literal(literal) if literal != head => return None,
                        Level::Capture(name) => captures.0.push((name, head)),
                        _ => {}
                    }
                }
            }
        }
        rest.is_none().then_some(captures)
    }
}

fn parse_level(level: &str) -> Result<Level, String> {
    match level {
        "+" => return Ok(Level::Any),
        "#" => return Ok(Level::Rest),
        _ => {}
    }
    if let Some(inner) = level.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let (name, takes_rest) = match inner.strip_suffix('#') {
            Some(name) => (name, true),
            None => (inner, false),
        };
        let legal = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !legal {
            return Err(format!("`{level}`: a capture's name has letters, digits and `_` only"));
        }
        if name == "topic" || name == "payload" {
            return Err(format!("`{level}`: the name `{name}` is taken"));
        }
        return Ok(if takes_rest { Level::CaptureRest(name.into()) } else { Level::Capture(name.into()) });
    }
    if level.contains(['+', '#', '{', '}']) {
        return Err(format!("`{level}`: a wildcard or capture must be a whole level (levels are separated by `/`)"));
    }
    Ok(Level::Literal(level.to_owned()))
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Pattern, PatternError> {
        Pattern::parse(&text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
