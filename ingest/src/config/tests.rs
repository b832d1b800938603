use super::*;

#[test]
fn an_example_with_every_key() {
    let config = Config::from_toml(
        r#"
        [ingest]
        zone = "Europe/Berlin"
        limits = { max_packet_size = 65536, inflight_max = 100 }
        quarantine = { bytes_max = 8388608, entries_max = 1000 }

        [[source]]
        name = "plant"
        url = "mqtt://broker.example:1883"
        username = "thalweg"
        password = "secret"
        topics = ["plant/#"]
        client_id = "thalweg-1"

        [[source]]
        name = "bus"
        url = "nats://localhost:4222"
        stream = "TELEMETRY"
        subjects = ["plant.>"]
        durable = "thalweg"

        [[route]]
        topic = "plant/{site}/{device}/{metric}"
        source = "plant"
        table = "plant"
        attributes = { site = "{site}" }
        time = "at"
        zone = "UTC"
        on_collision = "quarantine"
        device_key = "machine"
        time_key = "at"

        [[route]]
        topic = "x/{id}"
        format = "json"
        device = "{id}"
        time = ["when", "rx.time"]
        "#,
    )
    .unwrap();
    assert_eq!(config.sources[1].kind().unwrap(), SourceKind::Nats);
    assert_eq!(config.routes[1].time, Some(Times(vec![Path::parse("when"), Path::parse("rx.time")])));
    assert_eq!(config.settings.limits.max_packet_size, 65536);
    assert!(!format!("{config:?}").contains("\"secret\""), "a password is not shown");
}

#[test]
fn refusals_name_the_line_or_the_part() {
    for (toml, parts) in [
        ("[[route]]\ntopic = 'a'\ncolour = 1", &["line 3", "colour"][..]),
        ("[[source]]\nname = 'a'\nurl = 'mqtt://x'\nqos = 2", &["line 4", "qos"]),
        ("[ingest]\nspeed = 1", &["line 2", "speed"]),
        ("[[route]]\ntopic = 'a/#/b'", &["line 2", "must be the last level"]),
        ("[[route]]\ntopic = 'a'\ndevice = '{'", &["line 3", "`{` without `}`"]),
        ("[[route]]\ntopic = 'a'\nzone = 'Mars/Olympus'", &["line 3", "no time zone `Mars/Olympus`"]),
        ("[[route]]\ntopic = 'a'\non_collision = 'keep-both'", &["line 3", "`overwrite` or `quarantine`"]),
        ("[[route]]\ntopic = 'a'\ntime = 5", &["line 3", "a path or a list of paths"]),
        ("[[source]]\nname = 'a'\nurl = 'http://x'", &["source `a`", "mqtt:// or nats://"]),
        ("[[source]]\nname = 'a'\nurl = 'nats://x'", &["source `a`", "needs `stream`"]),
        ("[[source]]\nname = 'a'\nurl = 'mqtt://x'\nstream = 's'", &["source `a`", "are for nats:// sources"]),
        ("[ingest.quarantine]\nbytes_max = 5", &["at least 4 MiB"]),
        ("[ingest.limits]\nmax_packet_size = 0", &["max_packet_size"]),
    ] {
        let error = Config::from_toml(toml).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{toml}\n{error}");
        }
    }
    let twice = "[[source]]\nname = 'a'\nurl = 'mqtt://x'\n".repeat(2);
    assert!(Config::from_toml(&twice).unwrap_err().to_string().contains("another source has this name"));
}

#[test]
fn the_documented_configuration_works() {
    let page = include_str!("../../../docs/ingest.md");
    let examples: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 1);
    let config = Config::from_toml(examples[0]).unwrap();
    assert_eq!((config.sources.len(), config.routes.len()), (2, 3));
    assert_eq!(config.settings.limits, Limits::default());
    assert_eq!(config.settings.quarantine, QuarantineLimits::default());
}
