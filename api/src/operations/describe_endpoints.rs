//! DescribeEndpoints: the address that the client already uses.

use serde::Serialize;

/// What DescribeEndpoints answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    endpoints: [Endpoint; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    address: String,
    cache_period_in_minutes: u64,
}

/// `host` is what the request was addressed to.
pub(crate) fn run(host: &str) -> Answer {
    Answer { endpoints: [Endpoint { address: host.to_owned(), cache_period_in_minutes: 1440 }] }
}
