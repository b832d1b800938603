//! From a request to its answer: who may ask, which route, which operation.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request, Response, StatusCode, body::Body, header, http::request::Parts};
use store::Patience;
use tokio::time::Instant;

use crate::{
    Error, Service, admin, body,
    budget::{Room, SMALL_ANSWER_BYTES},
    follow, guard, observe, operations, rows,
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
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let began = Instant::now();
        let (head, body) = request.into_parts();
        let answered = match guard::refusal(&head.uri, &head.headers) {
            Some(reason) => {
                tracing::warn!(%reason, "request refused");
                self.dynamodb_answer("refused", Wishes::none(), Err(Error::AccessDenied(reason)))
            }
            None => self.route(&head, body).await,
        };
        self.meter.answered(answered.operation, answered.outcome, began.elapsed());
        answered.response
    }

    async fn route<B>(&self, head: &Parts, body: B) -> Answered
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        const READ: &[Method] = &[Method::GET, Method::HEAD];
        const POST: &[Method] = &[Method::POST];
        let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
        let (operation, methods) = match path.as_slice() {
            [""] => ("dynamodb", &[Method::GET, Method::HEAD, Method::POST][..]),
            ["health", "live"] => ("live", READ),
            ["health", "ready"] => ("ready", READ),
            ["metrics"] => ("metrics", READ),
            ["streams", _] => ("follow", &[Method::GET][..]),
            ["ingest", _] => ("rows", POST),
            ["admin", "status"] => ("status", READ),
            ["admin", "compact"] => ("compact", POST),
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
        let query = head.uri.query();
        let response = match path.as_slice() {
            [""] if head.method == Method::POST => return self.dynamodb(head, body).await,
            ["health", "live"] => wire::json(StatusCode::OK, &serde_json::json!({ "live": true })),
            ["health", "ready"] => self.ready().await,
            ["metrics"] => {
                observe::observe(&self.app);
                wire::plain(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.app.metrics.render())
            }
            ["streams", table] => follow::answer(self, table, query).await,
            ["ingest", table] => rows::answer(self, table, head, body).await,
            ["admin", "status"] => admin::status(self).await,
            ["admin", "compact"] => admin::compact(self, query).await,
            ["admin", "quarantine"] => admin::quarantine(self, query).await,
            ["admin", "quarantine", "replay"] => admin::replay(self, None).await,
            ["admin", "quarantine", id, "replay"] => admin::replay(self, Some(id)).await,
            ["admin", "quarantine", id] => admin::entry(self, id).await,
            _ => wire::plain(StatusCode::OK, "text/plain; charset=utf-8", "healthy: thalweg\n"),
        };
        Answered::plain(operation, self.held(response).await)
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
    async fn dynamodb<B>(&self, head: &Parts, body: B) -> Answered
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let Some(wishes) = Wishes::of(&head.headers) else {
            let text = "content-type must be application/x-amz-json-1.0";
            return self.dynamodb_answer("unknown", Wishes::none(), Err(Error::UnknownOperation(text.into())));
        };
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let Some(operation) = operations::known(target) else {
            return self.dynamodb_answer("unknown", wishes, Err(operations::unknown(target)));
        };
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let mut room = Room::none(&self.answers);
        let result = async {
            let body = body::read(self, &head.headers, body).await?;
            self.meter.read(body.bytes.len());
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
