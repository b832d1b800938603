use super::*;

fn routes(toml: &str) -> Result<Routes, Error> {
    Routes::new(&toml::from_str::<Config>(toml).unwrap())
}

fn table(routes: &Routes, entrance: &Entrance, topic: &str) -> Option<String> {
    routes.find(entrance, topic).map(|(mapping, _)| mapping.table.clone())
}

#[test]
fn built_in_routes_take_everything_but_dollar_topics() {
    let routes = routes("").unwrap();
    for (topic, expected) in [
        ("demo/truck-1", Some("demo_readings")),
        ("demo", Some("demo_readings")),
        ("demos/x", Some("readings")),
        ("a", Some("readings")),
        ("/", Some("readings")),
        ("$SYS/broker/uptime", None),
    ] {
        assert_eq!(table(&routes, &Entrance::Listener, topic).as_deref(), expected, "{topic}");
    }
    let nats = Entrance::NatsSource("n".into());
    assert_eq!(table(&routes, &nats, "demo.truck-1").as_deref(), Some("demo_readings"));
    assert_eq!(table(&routes, &nats, "plant.press").as_deref(), Some("readings"));
}

#[test]
fn the_first_route_that_matches_wins() {
    let routes = routes(
        "[[source]]\nname = 'plant'\nurl = 'mqtt://localhost'\n\
         [[route]]\ntopic = 'a/#'\nsource = 'plant'\ntable = 'from_plant'\n\
         [[route]]\ntopic = 'a/b'\ntable = 'first'\n\
         [[route]]\ntopic = 'a/#'\ntable = 'second'\n\
         [[route]]\ntopic = '$SYS/#'\ntable = 'broker'\n",
    )
    .unwrap();
    assert_eq!(table(&routes, &Entrance::MqttSource("plant".into()), "a/b").as_deref(), Some("from_plant"));
    assert_eq!(table(&routes, &Entrance::MqttSource("other".into()), "a/b").as_deref(), Some("first"));
    assert_eq!(table(&routes, &Entrance::Listener, "a/b").as_deref(), Some("first"));
    assert_eq!(table(&routes, &Entrance::Listener, "a/c").as_deref(), Some("second"));
    assert_eq!(table(&routes, &Entrance::Listener, "$SYS/x").as_deref(), Some("broker"));
    assert_eq!(table(&routes, &Entrance::Listener, "c").as_deref(), Some("readings"));
}

#[test]
fn refused_routes_say_what_is_wrong() {
    for (route, part) in [
        ("topic = 'a/+'\ndevice = 'x'", "would be dropped"),
        ("topic = 'a/{device}/{room}'", "`{room}` would be dropped"),
        ("topic = 'a/{device}/+'", "would be dropped"),
        ("topic = 'a'\ndevice = '{b}'", "`{b}` is not captured"),
        ("topic = 'a'\nattributes = { b = '{c}' }", "`{c}` is not captured"),
        ("topic = 'a'\ntable = 'a'", "3 to 255"),
        ("topic = 'a'\ntable = '$quarantine'", "character '$'"),
        ("topic = 'a'\nsource = 'none'", "no source `none`"),
        ("topic = 'a'\ndevice_key = 'ts'", "both"),
        ("topic = 'a'\ndevice_key = ''", "1 to 255"),
        ("topic = 'a'\ntime_key = 'at'", "keys (device_id, ts)"),
        ("topic = 'a'\nattributes = { ts = 'x' }", "a key's"),
    ] {
        let error = routes(&format!("[[route]]\n{route}")).unwrap_err().to_string();
        assert!(error.starts_with("route 1 (`a") && error.contains(part), "{route}: {error}");
    }
}

#[test]
fn levels_may_vary_where_nothing_is_lost() {
    for route in [
        "topic = 'a/+'",
        "topic = 'a/{device}/{metric}'",
        "topic = 'a/{site}/{device}'\nattributes = { site = '{site}' }",
        "topic = 'a/{site}/{unit}'\ndevice = '{site}-{unit}'",
        "topic = 'a/{device}/+'\nformat = 'json'",
        "topic = 'a/+/up'\ndevice = '{payload.id}'",
        "topic = 'a/{device}/#'\nattributes = { path = '{topic}' }",
    ] {
        routes(&format!("[[route]]\n{route}")).unwrap();
    }
}
