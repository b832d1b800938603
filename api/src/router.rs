//! From a request to its answer: who may ask, which route, which operation.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Body,
    header::{self, HeaderValue},
    http::request::Parts,
};
use store::Patience;
use tokio::time::Instant;

use crate::{
    Error, Service,
    access::{Access, Caller},
    admin, body,
    budget::{Room, SMALL_ANSWER_BYTES},
    cors, follow, guard, json, observe, operations, parameters, rows,
    watched::{self, Watched},
    wire::{self, Payload, Wishes},
};

/// A server that makes a write wait for longer than this is not ready.
const READY_PATIENCE: Patience = Patience { admission: Duration::from_secs(2), answer: Duration::from_secs(2) };

/// A request's route and how its answer is counted.
struct Answered {
    operation: &'static str,
    outcome: &'static str,
    response: Response<Payload>,
}

impl Service {
    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Payload>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let began = Instant::now();
        let (head, mut body) = request.into_parts();
        let origin = self.app.origins.allowed(&head.headers);
        let ended = AtomicBool::new(body.is_end_stream());
        let mut answered = self.admit(&head, Watched { body: &mut body, ended: &ended }, origin.is_some()).await;
        // Who waits to be asked for the body need not send it.
        let is_unasked = head.headers.contains_key(header::EXPECT);
        if !ended.load(Ordering::Relaxed) && (is_unasked || !watched::finish(&mut body).await) {
            // What is left of the body is not read.
            answered.response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(origin) = origin {
            cors::allow(answered.response.headers_mut(), origin);
        }
        self.meter.answered(answered.operation, answered.outcome, began.elapsed());
        answered.response
    }

    /// Lets in who may ask: this machine as long as no key was ever made, and then who signs, which the routes check.
    async fn admit<B>(&self, head: &Parts, body: B, is_origin_allowed: bool) -> Answered
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let checking = match self.app.keys.checking().await {
            Ok(checking) => checking,
            Err(error) => return self.dynamodb_answer("refused", Wishes::none(), Err(error)),
        };
        if !checking && let Some(reason) = guard::refusal(&head.uri, &head.headers, is_origin_allowed) {
            tracing::warn!(%reason, "request refused");
            return self.dynamodb_answer("refused", Wishes::none(), Err(Error::AccessDenied(reason)));
        }
        if head.method == Method::OPTIONS && is_origin_allowed {
            return Answered::plain("options", cors::preflight(&self.next_request_id(), head));
        }
        self.route(head, body, checking).await
    }

    async fn route<B>(&self, head: &Parts, body: B, checking: bool) -> Answered
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        const READ: &[Method] = &[Method::GET, Method::HEAD];
        const POST: &[Method] = &[Method::POST];
        let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
        let (operation, methods) = match path.as_slice() {
            [""] if head.method == Method::POST => return self.dynamodb(head, body, checking).await,
            [""] if READ.contains(&head.method) => return Answered::plain("health", self.health()),
            [""] => return Answered::plain("unknown", wire::no_request(&self.next_request_id())),
            ["health", "live"] => ("live", READ),
            ["health", "ready"] => ("ready", READ),
            ["metrics"] => ("metrics", READ),
            ["streams", _] => ("follow", &[Method::GET][..]),
            ["ingest", _] => ("rows", POST),
            ["admin", "status"] => ("status", READ),
            ["admin", "compact"] => ("compact", POST),
            ["admin", "reload"] => ("reload", POST),
            ["admin", "keys"] => ("keys", &[Method::GET, Method::HEAD, Method::POST][..]),
            ["admin", "keys", _, "revoke"] => ("keys", POST),
            ["admin", "quarantine"] => ("quarantine", READ),
            ["admin", "quarantine", "replay"] | ["admin", "quarantine", _, "replay"] => ("replay", POST),
            ["admin", "quarantine", _] => ("entry", READ),
            _ => {
                let text = "there is nothing at this path";
                return Answered::plain("unknown", wire::refusal(StatusCode::NOT_FOUND, text));
            }
        };
        if head.method == Method::OPTIONS {
            return Answered::plain(
                "options",
                allowing(wire::plain(StatusCode::NO_CONTENT, "text/plain", ""), methods),
            );
        }
        if !methods.contains(&head.method) {
            let refusal = wire::refusal(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method");
            return Answered::plain(operation, allowing(refusal, methods));
        }
        let caller = match self.caller(head, checking) {
            // Whether it lives is anyone's to know.
            _ if path[0] == "health" => Caller::Anyone,
            Ok(caller) => caller,
            Err(error) => return Answered::plain(operation, wire::failure(&error)),
        };
        let query = head.uri.query();
        let result = async {
            let decoded = |table: &str| parameters::decode(table).map_err(Error::Validation);
            // What is asked for in the body's place is checked there.
            let access = match path.as_slice() {
                ["health", _] => None,
                ["ingest", table] => return Ok(rows::answer(self, &caller, table, head, body).await),
                ["streams", table] => Some(Access::table("thalweg:Follow", &decoded(table)?)),
                ["metrics"] => Some(Access::server("thalweg:Metrics")),
                ["admin", "status"] => Some(Access::server("thalweg:Status")),
                ["admin", "compact"] => Some(Access::server("thalweg:Compact")),
                ["admin", "reload"] => Some(Access::server("thalweg:Reload")),
                ["admin", "quarantine", .., "replay"] => Some(Access::server("thalweg:Replay")),
                ["admin", "quarantine", ..] => Some(Access::server("thalweg:Quarantine")),
                _ => Some(Access::server("thalweg:Keys")),
            };
            let mut given = None;
            if let Some(access) = access {
                // The signature is of the body too, if there is one.
                if caller.key().is_some() || matches!(path[..], ["admin", "keys"]) {
                    given = Some(body::read(self, &caller, head, body).await?);
                }
                caller.require(&access)?;
            }
            let given = given.as_ref().map(|whole| whole.bytes.as_ref()).unwrap_or_default();
            Ok(self.plain(head, &path, &caller, query, given).await)
        };
        let response = result.await.unwrap_or_else(|error: Error| wire::failure(&error));
        Answered::plain(operation, self.held(response).await)
    }

    /// Who asks; the signature is not yet checked.
    fn caller<'r>(&'r self, head: &'r Parts, checking: bool) -> Result<Caller<'r>, Error> {
        let keys = &self.app.keys;
        if checking { Caller::of(keys, head, self.now_us()) } else { Ok(Caller::Unsigned(keys)) }
    }

    /// The routes beside the DynamoDB protocol, for who may.
    async fn plain(
        &self,
        head: &Parts,
        path: &[&str],
        caller: &Caller<'_>,
        query: Option<&str>,
        body: &[u8],
    ) -> Response<Payload> {
        match path {
            ["health", "live"] => wire::json(StatusCode::OK, &serde_json::json!({ "live": true })),
            ["health", "ready"] => self.ready().await,
            ["metrics"] => {
                observe::observe(&self.app);
                wire::plain(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.app.metrics.render())
            }
            ["streams", table] => match parameters::decode(table) {
                Ok(table) => follow::answer(self, caller.key(), &table, query).await,
                Err(text) => wire::refusal(StatusCode::BAD_REQUEST, &text),
            },
            ["admin", "status"] => admin::status(self).await,
            ["admin", "compact"] => admin::compact(self, query).await,
            ["admin", "reload"] => admin::reload(self).await,
            ["admin", "keys"] if head.method == Method::POST => {
                admin::keys::create(self, caller.key().cloned(), body).await
            }
            ["admin", "keys"] => admin::keys::list(self),
            ["admin", "keys", name, "revoke"] => admin::keys::revoke(self, caller.key().cloned(), name).await,
            ["admin", "quarantine"] => admin::quarantine(self, query).await,
            ["admin", "quarantine", "replay"] => admin::replay(self, None).await,
            ["admin", "quarantine", id, "replay"] => admin::replay(self, Some(id)).await,
            ["admin", "quarantine", id] => admin::entry(self, id).await,
            _ => wire::refusal(StatusCode::NOT_FOUND, "there is nothing at this path"),
        }
    }

    /// A line that says that something is here.
    fn health(&self) -> Response<Payload> {
        let text = "healthy: thalweg\n";
        wire::numbered(&self.next_request_id(), StatusCode::OK, "text/plain; charset=utf-8", text)
    }

    /// Counts an answer of the routes beside the DynamoDB protocol, if it is large.
    async fn held(&self, response: Response<Payload>) -> Response<Payload> {
        let bytes = response.body().size_hint().exact().map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let mut room = Room::none(&self.answers);
        if bytes > SMALL_ANSWER_BYTES
            && let Err(error) = room.reserve(bytes).await
        {
            return wire::failure(&error);
        }
        room.hold(response)
    }

    /// Would a write be taken? Whoever asks gets the cause if not.
    async fn ready(&self) -> Response<Payload> {
        let cause = if *self.shutdown.borrow() {
            Some("shutting down".to_owned())
        } else {
            self.app.store.health(READY_PATIENCE).await.err().map(|error| error.to_string())
        };
        match cause {
            None => wire::json(StatusCode::OK, &serde_json::json!({ "ready": true })),
            Some(cause) => {
                wire::json(StatusCode::SERVICE_UNAVAILABLE, &serde_json::json!({ "ready": false, "cause": cause }))
            }
        }
    }

    /// The DynamoDB and Streams protocols: POST to `/`, the operation in a header.
    async fn dynamodb<B>(&self, head: &Parts, body: B, checking: bool) -> Answered
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let Some(wishes) = Wishes::of(&head.headers, body.size_hint().exact() != Some(0)) else {
            return Answered::plain("unknown", wire::no_request(&self.next_request_id()));
        };
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let Some(operation) = operations::known(target) else {
            let read = async {
                // Of what nobody may have signed no more is read than must be.
                if !checking {
                    json::check(&body::read(self, &Caller::Anyone, head, body).await?.bytes)?;
                }
                Err(operations::unknown(target))
            };
            return self.dynamodb_answer("unknown", wishes, read.await);
        };
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let mut room = Room::none(&self.answers);
        let result = async {
            let caller = self.caller(head, checking)?;
            let body = body::read(self, &caller, head, body).await?;
            self.meter.read(body.bytes.len());
            caller.require_operation(&self.app, operation, &body.bytes)?;
            operations::run(&self.app, operation, &body.bytes, host, &mut room).await
        };
        let result = result.await;
        let answered = self.dynamodb_answer(operation, wishes, result);
        Answered { response: room.hold(answered.response), ..answered }
    }

    fn dynamodb_answer(&self, operation: &'static str, wishes: Wishes, result: Result<Vec<u8>, Error>) -> Answered {
        let outcome = result.as_ref().err().map_or("200", Error::name);
        Answered { operation, outcome, response: wishes.answer(&self.next_request_id(), result) }
    }
}

impl Answered {
    fn plain(operation: &'static str, response: Response<Payload>) -> Answered {
        let outcome = match response.status().as_u16() {
            200..300 => "200",
            404 => "404",
            405 => "405",
            400..500 => "400",
            503 => "503",
            _ => "500",
        };
        Answered { operation, outcome, response }
    }
}

/// Says which methods a path takes.
fn allowing(mut response: Response<Payload>, methods: &[Method]) -> Response<Payload> {
    let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if let Ok(methods) = methods.join(", ").try_into() {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}
