//! Who may ask while no keys exist: only programs and pages of this machine.
//!
//! The server listens on loopback, but a web page from anywhere can make a browser send requests there, by a name that
//! resolves to loopback (so `Host` is checked) or straight to it (so `Origin` is checked).

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::{HeaderMap, Uri, header};

/// Why a request is refused, if it is. Pages whose origin is allowed may ask from anywhere.
pub(crate) fn refusal(uri: &Uri, headers: &HeaderMap, is_origin_allowed: bool) -> Option<String> {
    if let Some(authority) = uri.authority()
        && !is_loopback(authority.as_str())
    {
        return Some(format!("host {authority} is not a loopback name"));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next().map(|host| host.to_str()), hosts.next()) {
        (Some(Ok(host)), None) if is_loopback(host) => {}
        (Some(Ok(host)), None) => return Some(format!("host {host} is not a loopback name")),
        _ => return Some("exactly one host header with a loopback name is wanted".into()),
    }
    if is_origin_allowed {
        return None;
    }
    for origin in headers.get_all(header::ORIGIN) {
        let authority =
            origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
        if !authority.is_some_and(is_loopback) {
            return Some("pages of other origins may not ask".into());
        }
    }
    None
}

/// Is `authority` (a name or address, perhaps with a port) this machine's loopback?
fn is_loopback(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return is_port(port) && address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    let (name, port) = authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon));
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    is_port(port)
        && (name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback()))
}

/// Nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(host: Option<&str>, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        host.map(|host| headers.insert(header::HOST, host.parse().unwrap()));
        origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
        refusal(&Uri::from_static("/"), &headers, false).is_some()
    }

    #[test]
    fn loopback_names_pass() {
        for host in [
            "localhost",
            "LocalHost:8000",
            "localhost.:1",
            "db.localhost:8000",
            "127.0.0.1:8000",
            "127.9.9.9",
            "[::1]",
            "[::1]:80",
        ] {
            assert!(!refused(Some(host), None), "{host}");
            assert!(!refused(Some("localhost"), Some(&format!("http://{host}"))), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "notlocalhost",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "[::2]",
            "[::1",
            "[::1]x",
            "localhost:80x",
            "localhost@example.com",
            "127.0.0.1:80:80",
            ".localhost.evil",
        ] {
            assert!(refused(Some(host), None), "{host}");
            assert!(refused(Some("localhost"), Some(&format!("http://{host}"))), "{host}");
        }
        assert!(refused(None, None));
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        headers.insert(header::ORIGIN, "https://example.com".parse().unwrap());
        assert!(refusal(&Uri::from_static("/"), &headers, true).is_none(), "an allowed origin");
        headers.insert(header::HOST, "example.com".parse().unwrap());
        assert!(refusal(&Uri::from_static("/"), &headers, true).is_some(), "by a name of somebody else");
        for origin in ["null", "file", "", "https://example.com:443"] {
            assert!(refused(Some("localhost"), Some(origin)), "{origin}");
        }
    }

    #[test]
    fn the_request_line_counts_too() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        assert!(refusal(&Uri::from_static("http://example.com/"), &headers, false).is_some());
        headers.append(header::HOST, "localhost".parse().unwrap());
        assert!(refusal(&Uri::from_static("/"), &headers, false).is_some());
    }
}
