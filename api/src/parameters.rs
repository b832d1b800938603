//! Paths and query parameters of the routes beside the DynamoDB protocol.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// The parameters of a query, decoded. Each may be given once, and only if it is among `known`. Those of its signature are
/// left out.
pub(crate) fn parse(query: Option<&str>, known: &[&str]) -> Result<BTreeMap<String, String>, String> {
    let mut parameters = BTreeMap::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(&name.replace('+', " "))?;
        if name.starts_with("X-Amz-") {
            continue;
        }
        if !known.contains(&name.as_str()) {
            return Err(format!("unknown parameter {name}: this path takes {}", known.join(", ")));
        }
        let value = decode(&value.replace('+', " "))?;
        if let Some(first) = parameters.insert(name.clone(), value) {
            return Err(format!("parameter {name} is given twice, first as {first}"));
        }
    }
    Ok(parameters)
}

/// A segment of a path, decoded.
pub(crate) fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| format!("{text} is not UTF-8 when decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_checked() {
        let parsed = parse(Some("from=a%20b+c%2F&x"), &["from", "x"]).unwrap();
        assert_eq!(parsed["from"], "a b c/");
        assert_eq!(parsed["x"], "");
        assert!(parse(None, &[]).unwrap().is_empty());
        assert!(parse(Some("X-Amz-Signature=1&X-Amz-Date=2"), &[]).unwrap().is_empty());
        for query in ["form=1", "from=%ff", "from=1&from=2", "%ff=1"] {
            assert!(parse(Some(query), &["from"]).is_err(), "{query}");
        }
    }
}
