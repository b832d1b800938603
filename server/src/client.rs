//! The commands' way to a running server: HTTP, inside TLS where its address begins with `https://`.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use api::Credentials;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, Uri, body::Incoming, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use store::env::{Clock, OsClock};
use tls::ClientConfig;

use crate::{cli::ServerArguments, owner};

/// A line of a followed stream may be so long; an item is at most 400 KB, and JSON at most six times its text, twice.
const LINE_BYTES_MAX: usize = 16 << 20;

const TRUST: &str = "--ca FILE or THALWEG_CA name the authority of its certificate";

/// Everything but what needs no escape in a path or a query.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A server, by its address.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    address: String,
    host: String,
    credentials: Option<Credentials>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Set if it is asked inside TLS.
    tls: Option<Arc<ClientConfig>>,
}

/// The server answered, but not with what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{}", if message.is_empty() { format!("the server answered {status}") } else { message.clone() })]
pub(crate) struct Refused {
    /// The status.
    pub(crate) status: StatusCode,
    /// What the server said.
    pub(crate) message: String,
}

impl Server {
    /// The server that a command is told to ask.
    pub(crate) fn of(arguments: &ServerArguments) -> anyhow::Result<Server> {
        Server::new(&arguments.http, arguments.ca.as_deref())
    }

    /// The server at `address`: `host:port`, perhaps after `http://`, or after `https://`. Then its certificate must be of an
    /// authority in the PEM file `ca`, by default `AWS_CA_BUNDLE`, else of one that the system trusts.
    pub(crate) fn new(address: &str, ca: Option<&Path>) -> anyhow::Result<Server> {
        let (address, is_secured) = match address.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => (address.strip_prefix("http://").unwrap_or(address), false),
        };
        let address = address.trim_end_matches('/').to_owned();
        let uri: Uri = format!("http://{address}/").parse().with_context(|| format!("--http {address}"))?;
        if uri.port_u16().is_none() {
            bail!("--http {address}: a host and a port are needed, such as 127.0.0.1:8000");
        }
        let host = uri.host().unwrap_or_default();
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let tls = if is_secured { Some(trusted(ca)?) } else { None };
        let config = tls.clone().unwrap_or_else(tls::trusting_nobody);
        let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
        Ok(Server {
            host: host.trim_matches(['[', ']']).to_owned(),
            credentials: credentials(is_loopback(host)),
            client: Client::builder(TokioExecutor::new()).build(builder.wrap_connector(connector)),
            tls: tls.map(Arc::new),
            address,
        })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The name or address of its machine.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The address as commands take it: with a scheme if it is asked inside TLS.
    pub(crate) fn shown(&self) -> String {
        if self.is_secured() { self.url() } else { self.address.clone() }
    }

    /// The address with its scheme.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.address)
    }

    /// How it is trusted, if it is asked inside TLS.
    pub(crate) fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
    }

    /// Is it asked inside TLS?
    pub(crate) fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    fn scheme(&self) -> &'static str {
        if self.is_secured() { "https" } else { "http" }
    }

    /// Asks for a JSON answer.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.json(Method::GET, path, Bytes::new()).await
    }

    /// Sends `body` and asks for a JSON answer.
    pub(crate) async fn post(&self, path: &str, body: Bytes) -> anyhow::Result<Value> {
        self.json(Method::POST, path, body).await
    }

    /// Opens an answer of JSON lines that may never end.
    pub(crate) async fn lines(&self, path: &str) -> anyhow::Result<Lines> {
        let body = self.send(Request::get(self.uri(path)).body(Bytes::new()).context("request")?).await?;
        Ok(Lines { body, partial: Vec::new(), ready: VecDeque::new() })
    }

    async fn json(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(self.uri(path))
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(body)
            .context("request")?;
        whole(self.send(request).await?).await
    }

    fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.url())
    }

    /// Signs the request if there is something to sign it with.
    fn signed(&self, request: Request<Bytes>) -> anyhow::Result<Request<Full<Bytes>>> {
        let (mut head, body) = request.into_parts();
        head.headers.insert(header::HOST, self.address.parse().context("host")?);
        if let Some(credentials) = &self.credentials {
            credentials.sign(&head.method, &head.uri, &mut head.headers, &body, OsClock.now_us());
        }
        Ok(Request::from_parts(head, Full::new(body)))
    }

    /// The body of a good answer.
    async fn send(&self, request: Request<Bytes>) -> anyhow::Result<Incoming> {
        let request = self.signed(request)?;
        let response = self.client.request(request).await.map_err(|error| {
            if let Some(failure) = tls::failure(&error) {
                anyhow!("the server at {} cannot be trusted: {failure}; {TRUST}", self.url())
            } else if error.is_connect() {
                anyhow!(error).context(format!(
                    "no thalweg server answers at {}: start one with `thalweg serve`, or name its address with --http",
                    self.address
                ))
            } else {
                anyhow!(error).context(format!("the connection to {} broke", self.address))
            }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let body = response.into_body().collect().await.context("the server's refusal")?.to_bytes();
        Err(Refused { status, message: message_of(&body) }.into())
    }
}

/// Whom to believe.
fn trusted(ca: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let of_aws = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from);
    tls::trusted(ca.or(of_aws.as_deref())).with_context(|| format!("certificate authorities: {TRUST}"))
}

/// Is it this machine that is asked?
fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// What to sign with: what the environment says, else, `here`, the key that a server leaves for its own user. A server
/// elsewhere could use what that key has signed against the one here.
fn credentials(here: bool) -> Option<Credentials> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let pair = |access: &str, secret: &str, session: Option<&str>| {
        let (access_key, secret_key) = (variable(access)?, variable(secret)?);
        Some(Credentials { access_key, secret_key, session_token: session.and_then(variable) })
    };
    let ours = pair("THALWEG_ACCESS_KEY", "THALWEG_SECRET_KEY", None);
    let of_aws = || pair("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", Some("AWS_SESSION_TOKEN"));
    let data_dir = || variable("THALWEG_DATA_DIR").unwrap_or_else(|| "./thalweg-data".to_owned());
    ours.or_else(of_aws).or_else(|| if here { owner::read(data_dir().as_ref()) } else { None })
}

/// `text` as one segment of a path, or one value of a query.
pub(crate) fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

async fn whole(body: Incoming) -> anyhow::Result<Value> {
    let bytes = body.collect().await.context("the server's answer")?.to_bytes();
    serde_json::from_slice(&bytes).context("the server's answer is not JSON")
}

/// The sentence in a refusal: `message` or `error` of a JSON object, else the text itself.
fn message_of(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Value>(body).ok();
    let said = said
        .as_ref()
        .and_then(|said| ["message", "Message", "error"].iter().find_map(|name| said.get(*name)?.as_str()));
    said.map_or_else(|| String::from_utf8_lossy(body).trim().to_owned(), str::to_owned)
}

/// Lines of an answer, as they arrive.
pub(crate) struct Lines {
    body: Incoming,
    partial: Vec<u8>,
    ready: VecDeque<String>,
}

impl Lines {
    /// The next line without its end; none when the server has ended the answer.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let Ok(data) = frame.context("the stream broke")?.into_data() else { continue };
            self.take(&data)?;
        }
    }

    fn take(&mut self, data: &[u8]) -> anyhow::Result<()> {
        let mut pieces = data.split(|byte| *byte == b'\n');
        if let Some(first) = pieces.next() {
            self.partial.extend_from_slice(first);
        }
        for piece in pieces {
            let line = std::mem::replace(&mut self.partial, piece.to_vec());
            let line = String::from_utf8(line).context("a line of the stream is not UTF-8")?;
            if !line.trim().is_empty() {
                self.ready.push_back(line);
            }
        }
        if self.partial.len() > LINE_BYTES_MAX {
            bail!("a line of the stream is longer than {LINE_BYTES_MAX} bytes");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_in_the_servers_words() {
        assert_eq!(message_of(br#"{"__type":"X","message":"table not found"}"#), "table not found");
        assert_eq!(message_of(b" plain words\n"), "plain words");
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escape("a/b c?&=%"), "a%2Fb%20c%3F%26%3D%25");
        assert_eq!(escape("readings-1_x.y"), "readings-1_x.y");
    }

    #[test]
    fn an_address_needs_a_port() {
        assert!(Server::new("localhost", None).is_err());
        let server = Server::new("http://127.0.0.1:8000/", None).unwrap();
        assert_eq!((server.address(), server.url().as_str()), ("127.0.0.1:8000", "http://127.0.0.1:8000"));
    }
}
