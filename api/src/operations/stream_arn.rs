//! Names of streams on the wire: `TABLE-ARN/stream/LABEL`.

use item::StreamView;
use streams::StreamName;

use super::table_description::table_arn;
use crate::{
    Error,
    validate::{self, Violations},
};

/// The ARN of a stream.
pub(crate) fn arn(name: &StreamName) -> String {
    format!("{}/stream/{}", table_arn(&name.table), name.label)
}

/// The stream that a request's member `place` names.
pub(crate) fn required(place: &'static str, given: Option<&String>) -> Result<StreamName, Error> {
    let mut violations = Violations::default();
    violations.required(place, given);
    violations.length(place, given, 37, 1024);
    violations.finish()?;
    let arn = given.map(String::as_str).unwrap_or_default();
    let name = arn.split_once("/stream/").and_then(|(table, label)| {
        let table = validate::table_name(Some(table.to_owned())).ok().filter(|_| table.starts_with("arn:"))?;
        Some(StreamName { table, label: label.to_owned() })
    });
    name.ok_or_else(|| Error::Validation(format!("Invalid StreamArn: {arn}")))
}

/// A failure to read the stream that a request named `arn`.
pub(crate) fn told(error: streams::Error, arn: Option<&String>) -> Error {
    match (error, arn) {
        (streams::Error::StreamNotFound { .. }, Some(arn)) => {
            Error::NotFound(format!("Requested resource not found: Stream: {arn} not found"))
        }
        (other, _) => other.into(),
    }
}

/// What a stream shows, as the wire says it.
pub(crate) fn view_word(view: StreamView) -> &'static str {
    match view {
        StreamView::KeysOnly => "KEYS_ONLY",
        StreamView::NewImage => "NEW_IMAGE",
        StreamView::OldImage => "OLD_IMAGE",
        StreamView::NewAndOldImages => "NEW_AND_OLD_IMAGES",
    }
}

/// What the wire's word means.
pub(crate) fn view_of_word(word: &str) -> Option<StreamView> {
    [StreamView::KeysOnly, StreamView::NewImage, StreamView::OldImage, StreamView::NewAndOldImages]
        .into_iter()
        .find(|view| view_word(*view) == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_its_stream() {
        let name = StreamName { table: "a.stream-1".into(), label: "2015-05-11T21:21:33.291".into() };
        assert_eq!(required("streamArn", Some(&arn(&name))), Ok(name));
        for text in ["", "x", "table/a/stream/2015-05-11T21:21:33.291-and-more-of-it", &"a".repeat(2000)] {
            assert!(matches!(required("streamArn", Some(&text.to_owned())), Err(Error::Validation(_))), "{text}");
        }
    }
}
