//! `/admin/keys`: access keys are made, listed and revoked.

use std::sync::Arc;

use hyper::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Error, Service,
    access::{AccessKey, Permission, Wanted, session_seconds},
    parameters,
    wire::Payload,
};

/// What is asked for with a new key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default = "all")]
    permissions: Vec<Permission>,
    session_seconds: Option<u64>,
}

fn all() -> Vec<Permission> {
    vec![Permission::all()]
}

/// `POST /admin/keys` with `{"permissions": [{"action", "table", "device"}], "session_seconds"}`: a new key, whose secret is
/// told this once. Without permissions it may do everything.
pub(crate) async fn create(service: &Service, by: Option<Arc<AccessKey>>, body: &[u8]) -> Response<Payload> {
    let result = async {
        let body = if body.is_empty() { b"{}" } else { body };
        let request: Request = serde_json::from_slice(body).map_err(|error| Error::Validation(error.to_string()))?;
        let session_s = request.session_seconds.map(session_seconds).transpose()?;
        let wanted = Wanted { permissions: request.permissions, session_s };
        let key = service.app.keys.create(by, wanted, service.app.config.patience).await?;
        let credentials = &key.credentials;
        let mut told = json!({ "access_key": credentials.access_key, "secret_key": credentials.secret_key });
        if let (Some(token), Some(until_us)) = (&credentials.session_token, key.until_us) {
            told["session_token"] = json!(token);
            told["expires_at"] = json!(time(until_us));
        }
        Ok(told)
    };
    super::answer(result.await)
}

/// `GET /admin/keys`: all keys and what they allow, without their secrets.
pub(crate) fn list(service: &Service) -> Response<Payload> {
    let described: Vec<Value> = service.app.keys.list().iter().map(|key| describe(key)).collect();
    super::answer(Ok(json!({ "keys": described })))
}

/// `POST /admin/keys/<access key>/revoke`: nobody can use it any more.
pub(crate) async fn revoke(service: &Service, by: Option<Arc<AccessKey>>, access_key: &str) -> Response<Payload> {
    let result = async {
        let access_key = parameters::decode(access_key).map_err(Error::Validation)?;
        service.app.keys.revoke(by, &access_key, service.app.config.patience).await?;
        Ok(json!({ "revoked": access_key }))
    };
    super::answer(result.await)
}

fn describe(key: &AccessKey) -> Value {
    let mut told = json!({
        "access_key": key.credentials.access_key,
        "created_at": time(key.created_at_us),
        "permissions": key.permissions,
    });
    if let Some(until_us) = key.until_us {
        told["expires_at"] = json!(time(until_us));
    }
    told
}

/// As RFC 3339 writes it.
fn time(us: u64) -> String {
    let time = i64::try_from(us / 1_000_000).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}
