use super::*;

/// The captures of `topic`, or none if it does not match.
fn captured(pattern: &str, topic: &str, separator: Separator) -> Option<Vec<(String, String)>> {
    let pattern = Pattern::parse(pattern).unwrap();
    let captures = pattern.matches(topic, separator)?;
    Some(captures.0.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect())
}

fn pairs(expected: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    Some(expected.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect())
}

#[test]
fn levels_match_as_in_mqtt() {
    let cases = [
        ("a/b", "a/b", true),
        ("a/b", "a/b/", false),
        ("a/b", "a", false),
        ("a/+", "a/", true),
        ("a/+", "a", false),
        ("+/+", "/", true),
        ("+", "/", false),
        ("#", "a/b/c", true),
        ("a/#", "a", true),
        ("a/#", "a/b/c", true),
        ("a/#", "ab", false),
        ("/finance", "/finance", true),
        ("/finance", "finance", false),
        ("#", "$SYS/x", false),
        ("+/x", "$SYS/x", false),
        ("{a}/x", "$SYS/x", false),
        ("$SYS/#", "$SYS/x", true),
        ("a", "A", false),
    ];
    for (pattern, topic, expected) in cases {
        assert_eq!(captured(pattern, topic, Separator::Slash).is_some(), expected, "{pattern} {topic}");
    }
}

#[test]
fn captures_are_verbatim() {
    assert_eq!(
        captured("home/{room}/{metric}", "home/Bad Küche/t°", Separator::Slash),
        pairs(&[("room", "Bad Küche"), ("metric", "t°")])
    );
    assert_eq!(captured("a/{x}/b", "a//b", Separator::Slash), pairs(&[("x", "")]));
    assert_eq!(captured("z/{name#}", "z/a/b//", Separator::Slash), pairs(&[("name", "a/b//")]));
    assert_eq!(captured("z/{name#}", "z/", Separator::Slash), pairs(&[("name", "")]));
    assert_eq!(captured("z/{name#}", "z", Separator::Slash), None, "a captured rest has at least one level");
}

#[test]
fn nats_subjects_match_the_same_patterns() {
    assert_eq!(captured("home/{room}/+", "home.kitchen.temp", Separator::Dot), pairs(&[("room", "kitchen")]));
    assert_eq!(captured("home/{rest#}", "home.a.b", Separator::Dot), pairs(&[("rest", "a.b")]));
    assert_eq!(captured("home/{room}", "home/kitchen", Separator::Dot), None);
}

#[test]
fn refused_patterns_say_what_is_wrong() {
    for (pattern, part) in [
        ("", "1 to 65535"),
        ("a/#/b", "must be the last level"),
        ("a/{r#}/b", "must be the last level"),
        ("a#", "a whole level"),
        ("home.{device}", "a whole level"),
        ("a/{}", "letters, digits"),
        ("a/{x y}", "letters, digits"),
        ("{x}/{x}", "captured twice"),
        ("{topic}", "is taken"),
        ("a\0", "no NUL"),
    ] {
        let error = Pattern::parse(pattern).unwrap_err().to_string();
        assert!(error.contains(part), "{pattern}: {error}");
    }
}
