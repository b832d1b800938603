//! Bounds of the HTTP server.

use std::time::Duration;

use store::Patience;

/// Bounds of the HTTP server, none of which a client can exceed.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Connections at most; more wait in the system's queue. Default 4096.
    pub connections_max: usize,
    /// Clients that follow streams, each on a connection of its own. Default 1024.
    pub followers_max: usize,
    /// A request body at most, before and after inflation. Default 16 MiB, DynamoDB's own limit.
    pub body_bytes_max: usize,
    /// All request bodies held at once; more requests wait. A quarter is for those of which it is not sure yet that who
    /// sends them knows a key. Default 256 MiB.
    pub bodies_bytes_max: usize,
    /// What all request bodies become when they are parsed, held at once; more requests wait. Default 256 MiB.
    pub parsed_bytes_max: usize,
    /// All answers that are being made or that their clients have not taken yet; more requests wait. Default 256 MiB.
    pub answers_bytes_max: usize,
    /// A request that gets no share of this memory for so long is refused, with a retryable error. Default 10 s.
    pub memory_timeout: Duration,
    /// A TLS handshake must be done so long after the connection was made. Default 10 s.
    pub handshake_timeout: Duration,
    /// A request's head must be whole this long after the answer before it, so this is also how long a connection may
    /// idle. Default 60 s.
    pub head_timeout: Duration,
    /// A request's body must be whole this long after its head. Default 60 s.
    pub body_timeout: Duration,
    /// A client that takes no byte of an answer for this long is cut off. Default 60 s.
    pub write_timeout: Duration,
    /// A client that takes an answer more slowly than this, and after `write_timeout` has not taken all of it, is cut off:
    /// what it has not taken is in memory. Followers of a stream may be as slow as they like. Default 64 KiB.
    pub answer_bytes_per_s_min: u32,
    /// How long a write waits while the store takes none. Default: 10 s until it is refused with a retryable error, and
    /// 30 s more for one that was planned, whose outcome is unknown then.
    pub patience: Patience,
    /// Requests under way when the server stops get this long to end. Default 10 s.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            connections_max: 4096,
            followers_max: 1024,
            body_bytes_max: 16 << 20,
            bodies_bytes_max: 256 << 20,
            parsed_bytes_max: 256 << 20,
            answers_bytes_max: 256 << 20,
            memory_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            answer_bytes_per_s_min: 64 << 10,
            patience: Patience { admission: Duration::from_secs(10), answer: Duration::from_secs(30) },
            drain_timeout: Duration::from_secs(10),
        }
    }
}
