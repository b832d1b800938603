//! Routes, checked and ready: which mapping a received topic takes.
//!
//! Configured routes come first, in their order; then the built-in ones: `demo/...` goes to table `demo_readings`, any
//! other topic that does not begin with `$` to table `readings`.

use std::{collections::BTreeMap, sync::Arc};

use item::table::check_name;
use jiff::tz::TimeZone;

use crate::{
    Config, Entrance, Error,
    config::{OnCollision, Route},
    format::Format,
    template::{Path, Template},
    topic::{Captures, Pattern, Separator},
};

/// How a payload becomes items.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mapping {
    /// The table.
    pub(crate) table: String,
    /// Its partition key attribute.
    pub(crate) device_key: String,
    /// Its sort key attribute.
    pub(crate) time_key: String,
    /// How the payload is read.
    pub(crate) format: Format,
    /// The device; none: the payload's own field of the key's name, else the topic.
    pub(crate) device: Option<Template>,
    /// Where the time may be, in order.
    pub(crate) times: Vec<Path>,
    /// Are they rows of a file? Each must be an object with a time of its own, so that an import repeats itself.
    pub(crate) rows: bool,
    /// Where local times are.
    pub(crate) zone: TimeZone,
    /// The capture that names what the topic measures.
    pub(crate) metric: bool,
    /// Attributes made from the topic or payload.
    pub(crate) attributes: Vec<(String, Template)>,
    /// What to do when a stored value would change.
    pub(crate) on_collision: OnCollision,
}

impl Mapping {
    /// The built-in rules for `table`.
    pub(crate) fn built_in(table: &str, zone: TimeZone) -> Mapping {
        Mapping {
            table: table.to_owned(),
            device_key: "device_id".to_owned(),
            time_key: "ts".to_owned(),
            format: Format::Auto,
            device: None,
            times: default_times("ts"),
            rows: false,
            zone,
            metric: false,
            attributes: Vec::new(),
            on_collision: OnCollision::Overwrite,
        }
    }
}

fn default_times(time_key: &str) -> Vec<Path> {
    [time_key, "timestamp", "time"].map(Path::name).to_vec()
}

/// The routes of a configuration, and the built-in ones.
#[derive(Debug)]
pub(crate) struct Routes(Vec<Compiled>);

#[derive(Debug)]
struct Compiled {
    pattern: Pattern,
    source: Option<String>,
    mapping: Arc<Mapping>,
}

impl Routes {
    /// Checks and compiles the routes of `config`.
    pub(crate) fn new(config: &Config) -> Result<Routes, Error> {
        let mut routes = Vec::new();
        let built_in = || ("device_id".to_owned(), "ts".to_owned());
        let mut keys = BTreeMap::from(["readings", "demo_readings"].map(|table| (table.to_owned(), built_in())));
        for (index, route) in config.routes.iter().enumerate() {
            let wrong =
                |what: String| Error::Config { what: format!("route {} (`{}`): {what}", index + 1, route.topic) };
            if let Some(name) = &route.source
                && !config.sources.iter().any(|source| source.name == *name)
            {
                return Err(wrong(format!("there is no source `{name}`")));
            }
            let mapping = compile(route, config).map_err(wrong)?;
            let names = (mapping.device_key.clone(), mapping.time_key.clone());
            let known = keys.entry(mapping.table.clone()).or_insert_with(|| names.clone());
            if *known != names {
                return Err(wrong(format!(
                    "table `{}` has keys ({}, {}) by another route, here they are ({}, {})",
                    mapping.table, known.0, known.1, names.0, names.1
                )));
            }
            routes.push(Compiled {
                pattern: route.topic.clone(),
                source: route.source.clone(),
                mapping: Arc::new(mapping),
            });
        }
        for (pattern, table) in [("demo/#", "demo_readings"), ("#", "readings")] {
            let pattern = Pattern::parse(pattern).expect("a built-in pattern is well formed");
            let mapping = Arc::new(Mapping::built_in(table, config.settings.zone.0.clone()));
            routes.push(Compiled { pattern, source: None, mapping });
        }
        Ok(Routes(routes))
    }

    /// The mapping for a topic, and what its pattern captured; none only for a topic that begins with `$`.
    pub(crate) fn find<'a>(&'a self, entrance: &Entrance, topic: &'a str) -> Option<(&'a Arc<Mapping>, Captures<'a>)> {
        let (source, separator) = match entrance {
            Entrance::NatsSource(name) => (Some(name), Separator::Dot),
            Entrance::MqttSource(name) => (Some(name), Separator::Slash),
            Entrance::Listener | Entrance::Http | Entrance::Import => (None, Separator::Slash),
        };
        self.0.iter().find_map(|route| {
            if route.source.is_some() && route.source.as_deref() != source.map(|name| &**name) {
                return None;
            }
            Some((&route.mapping, route.pattern.matches(topic, separator)?))
        })
    }
}

fn compile(route: &Route, config: &Config) -> Result<Mapping, String> {
    let captures: Vec<&str> = route.topic.captures().collect();
    let zone = route.zone.as_ref().unwrap_or(&config.settings.zone).0.clone();
    let mut mapping = Mapping::built_in(route.table.as_deref().unwrap_or("readings"), zone);
    check_name(&mapping.table).map_err(|error| error.to_string())?;
    if let Some(name) = &route.device_key {
        mapping.device_key.clone_from(name);
    }
    if let Some(name) = &route.time_key {
        mapping.time_key.clone_from(name);
    }
    for name in [&mapping.device_key, &mapping.time_key] {
        if !(1..=255).contains(&name.len()) {
            return Err("a key attribute's name has 1 to 255 bytes".into());
        }
    }
    if mapping.device_key == mapping.time_key {
        return Err(format!("`{}` cannot be both the device and the time", mapping.time_key));
    }
    mapping.format = route.format;
    mapping.on_collision = route.on_collision;
    mapping.metric = captures.contains(&"metric");
    mapping.times = match &route.time {
        Some(times) => times.0.clone(),
        None => default_times(&mapping.time_key),
    };
    mapping.device = match &route.device {
        Some(device) => Some(device.clone()),
        None => captures.contains(&"device").then(|| Template::capture("device")),
    };
    for (name, template) in &route.attributes {
        if name.is_empty() || *name == mapping.device_key || *name == mapping.time_key {
            return Err(format!("attribute `{name}`: the name is empty or a key's"));
        }
        mapping.attributes.push((name.clone(), template.clone()));
    }
    let templates = || mapping.device.iter().chain(mapping.attributes.iter().map(|(_, template)| template));
    let used: Vec<&str> = templates().flat_map(Template::captures).collect();
    if let Some(unknown) = used.iter().find(|name| !captures.contains(name)) {
        return Err(format!(
            "`{{{unknown}}}` is not captured by the topic (a payload's value is `{{payload.{unknown}}}`)"
        ));
    }
    check_levels(route, &mapping, &captures, &used)?;
    Ok(mapping)
}

/// Two topics that differ only in a level which nothing keeps would overwrite each other's scalars.
fn check_levels(route: &Route, mapping: &Mapping, captures: &[&str], used: &[&str]) -> Result<(), String> {
    let Some(device) = &mapping.device else {
        return Ok(());
    };
    let keeps_topic = device.has_topic() || mapping.attributes.iter().any(|(_, template)| template.has_topic());
    // A device that comes from the payload has no scalars.
    if keeps_topic || device.has_payload() || mapping.format == Format::Json {
        return Ok(());
    }
    if route.topic.has_unnamed() {
        return Err("a level that `+` or `#` matches would be dropped: name it and use it in `device`, `{metric}` or \
                    `attributes`, or say format = \"json\""
            .into());
    }
    match captures.iter().find(|name| **name != "metric" && !used.contains(name)) {
        Some(dropped) => Err(format!(
            "the level `{{{dropped}}}` would be dropped: use it in `device` or `attributes`, or say format = \"json\""
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
