//! Texts made from a reading: paths into a payload, and templates with `{...}`.

use item::Value;
use serde::Deserialize;

use crate::{format::Fields, topic::Captures};

/// Where in a payload a value is: names separated by dots, or one name that has dots in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Path {
    text: String,
    steps: Vec<String>,
}

impl Path {
    /// Parses a dotted path.
    pub fn parse(text: &str) -> Path {
        Path { text: text.to_owned(), steps: text.split('.').map(str::to_owned).collect() }
    }

    /// The path of one top-level name, whatever it has in it.
    pub fn name(name: &str) -> Path {
        Path { text: name.to_owned(), steps: vec![name.to_owned()] }
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value there. A top-level name that is the whole path comes first.
    pub(crate) fn find<'a>(&self, fields: &'a Fields) -> Option<&'a Value> {
        if let Some(value) = fields.get(&self.text) {
            return Some(value);
        }
        let (last, parents) = self.steps.split_last()?;
        let mut map = fields;
        for step in parents {
            match map.get(step)? {
                Value::Map(inner) => map = inner,
                _ => return None,
            }
        }
        map.get(last)
    }
}

impl From<String> for Path {
    fn from(text: String) -> Path {
        Path::parse(&text)
    }
}

/// Text with parts that are filled in: `{name}` is a capture of the topic, `{topic}` the topic, `{payload.a.b}` a value
/// of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Capture(String),
    Topic,
    Payload(Path),
}

/// Why a template is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template `{template}`: {what}")]
pub struct TemplateError {
    /// As written.
    pub template: String,
    /// What is wrong.
    pub what: &'static str,
}

/// Why a template could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfilled {
    #[error("the payload has no `{0}`")]
    Missing(String),
    #[error("`{0}` of the payload is not one text, number or truth value")]
    NotScalar(String),
}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let wrong = |what| TemplateError { template: text.to_owned(), what };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            if !rest[open..].starts_with('{') {
                return Err(wrong("`}` without `{`"));
            }
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let close = rest.find('}').filter(|close| *close > open).ok_or_else(|| wrong("`{` without `}`"))?;
            parts.push(match &rest[open + 1..close] {
                "" => return Err(wrong("`{}` names nothing")),
                "topic" => Part::Topic,
                name => match name.strip_prefix("payload.") {
                    Some(path) => Part::Payload(Path::parse(path)),
                    None => Part::Capture(name.to_owned()),
                },
            });
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template(parts))
    }

    /// The template that is one capture.
    pub(crate) fn capture(name: &str) -> Template {
        Template(vec![Part::Capture(name.to_owned())])
    }

    /// The template that is one top-level value of the payload.
    pub(crate) fn payload(name: &str) -> Template {
        Template(vec![Part::Payload(Path::name(name))])
    }

    /// The template that is always `text`, braces and all.
    pub(crate) fn text(text: &str) -> Template {
        Template(vec![Part::Text(text.to_owned())])
    }

    /// The captures that it needs.
    pub(crate) fn captures(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Capture(name) => Some(name.as_str()),
            Part::Text(_) | Part::Topic | Part::Payload(_) => None,
        })
    }

    /// Does the whole topic go in?
    pub(crate) fn has_topic(&self) -> bool {
        self.0.contains(&Part::Topic)
    }

    /// Does it need something of the payload?
    pub(crate) fn has_payload(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Payload(_)))
    }

    /// Fills it in. A capture that the pattern does not have is refused when a route is made.
    pub(crate) fn fill(&self, topic: &str, captures: &Captures<'_>, fields: &Fields) -> Result<String, Unfilled> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Capture(name) => text.push_str(captures.get(name).unwrap_or_default()),
                Part::Topic => text.push_str(topic),
                Part::Payload(path) => match path.find(fields) {
                    None => return Err(Unfilled::Missing(path.as_str().to_owned())),
                    Some(value) => match scalar_text(value) {
                        Some(part) => text.push_str(&part),
                        None => return Err(Unfilled::NotScalar(path.as_str().to_owned())),
                    },
                },
            }
        }
        Ok(text)
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Template, TemplateError> {
        Template::parse(&text)
    }
}

/// The text of a value that is one text, number or truth value.
pub(crate) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Pattern, Separator};

    fn fields() -> Fields {
        let map =
            |pairs: &[(&str, Value)]| pairs.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        let inner: Fields = map(&[("eui", "0101".into()), ("port", Value::Number(7u64.into()))]);
        map(&[("info", Value::Map(inner)), ("a.b", "dotted".into()), ("gone", Value::Null)])
    }

    #[test]
    fn paths_lead_into_maps() {
        let fields = fields();
        assert_eq!(Path::parse("info.eui").find(&fields), Some(&"0101".into()));
        assert_eq!(Path::parse("a.b").find(&fields), Some(&"dotted".into()), "a name with a dot comes first");
        assert_eq!(Path::parse("info.none").find(&fields), None);
        assert_eq!(Path::parse("gone.x").find(&fields), None);
        assert_eq!(Path::name("info.eui").find(&fields), None);
    }

    #[test]
    fn templates_fill_in() {
        let pattern = Pattern::parse("x/{site}").unwrap();
        let captures = pattern.matches("x/north", Separator::Slash).unwrap();
        let filled = |text| Template::parse(text).unwrap().fill("x/north", &captures, &fields());
        assert_eq!(filled("{site}-{payload.info.eui}:{payload.info.port}").unwrap(), "north-0101:7");
        assert_eq!(filled("{topic}").unwrap(), "x/north");
        assert_eq!(filled("plain").unwrap(), "plain");
        assert_eq!(filled("{payload.nothing}").unwrap_err().to_string(), "the payload has no `nothing`");
        assert_eq!(
            filled("{payload.info}").unwrap_err().to_string(),
            "`info` of the payload is not one text, number or truth value"
        );
    }

    #[test]
    fn refused_templates_say_what_is_wrong() {
        for (template, what) in [("{a", "`{` without `}`"), ("a}", "`}` without `{`"), ("{}", "names nothing")] {
            let error = Template::parse(template).unwrap_err().to_string();
            assert!(error.contains(what), "{template}: {error}");
        }
    }
}
