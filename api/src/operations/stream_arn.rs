//! Names of streams: a stream is called by its table and the moment when it was enabled.

use item::StreamView;
use jiff::{Timestamp, tz::Offset};

use super::table_description::table_arn;

/// The label of a stream enabled at `enabled_at_us`: that moment, UTC, to the millisecond.
pub(crate) fn label(enabled_at_us: u64) -> String {
    let moment = i64::try_from(enabled_at_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    let moment = Offset::UTC.to_datetime(moment.unwrap_or(Timestamp::MAX));
    moment.strftime("%Y-%m-%dT%H:%M:%S.%3f").to_string()
}

/// The ARN of a table's stream.
pub(crate) fn arn(table: &str, label: &str) -> String {
    format!("{}/stream/{label}", table_arn(table))
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
    fn a_label_is_the_moment_to_the_millisecond() {
        assert_eq!(label(1_431_379_293_291_999), "2015-05-11T21:21:33.291");
        assert_eq!(label(0), "1970-01-01T00:00:00.000");
        label(u64::MAX);
    }
}
