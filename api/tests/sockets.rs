//! The server on real sockets: what it does with clients that are slow, large, foreign or leaving.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{io::Write, net::SocketAddr, time::Duration};

use api::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

async fn start(config: Config) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let app = support::app(directory.path(), config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = watch::Sender::new(false);
    let task = tokio::spawn(api::serve(listener, app, stop.subscribe()));
    Server { address, stop, task, _directory: directory }
}

impl Server {
    /// Sends `head` and `body` on a new connection and reads all that comes until the server closes.
    async fn exchange(&self, head: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server may have answered and closed before it has read everything.
        let _sent = stream.write_all(body).await.is_ok();
        read_all(&mut stream).await
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let _ended = stream.read_to_end(&mut answer).await.is_ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(operation: &str, headers: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amz-target: DynamoDB_20120810.{operation}\r\n{headers}\r\n"
    )
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8], bare: bool) -> Vec<u8> {
    let best = flate2::Compression::best();
    if bare {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), best);
        encoder.write_all(bytes).unwrap();
        return encoder.finish().unwrap();
    }
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), best);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn an_uncompressed_answer_carries_its_length() {
    let server = start(Config::default()).await;
    let answer = server.exchange(&post("ListTables", "content-length: 2\r\n"), b"{}").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-length: 17\r\n") && answer.ends_with(r#"{"TableNames":[]}"#), "{answer}");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off() {
    let server = start(Config { head_timeout: Duration::from_millis(100), ..Config::default() }).await;
    let answer = server.exchange("POST / HTTP/1.1\r\nhost: localhost\r\n", b"x-slow: ").await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start(Config { head_timeout: Duration::from_millis(100), ..Config::default() }).await;
    let answer = server.exchange("GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n", b"").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let server = start(Config { body_timeout: Duration::from_millis(100), ..Config::default() }).await;
    let answer = server.exchange(&post("ListTables", "content-length: 200\r\n"), b"{").await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("RequestTimeoutException"), "{answer}");
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_unread() {
    let server = start(Config::default()).await;
    let answer = server.exchange(&post("PutItem", "content-length: 99999999999\r\n"), b"{").await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("RequestEntityTooLargeException"), "{answer}");
    let server = start(Config { body_bytes_max: 1000, ..Config::default() }).await;
    let chunked = format!("7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2000));
    let answer = server.exchange(&post("PutItem", "transfer-encoding: chunked\r\n"), chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn compressed_bodies_are_bounded_after_inflation() {
    let server = start(Config::default()).await;
    let exchange = async |body: Vec<u8>| {
        let head = post("ListTables", &format!("content-encoding: gzip\r\ncontent-length: {}\r\n", body.len()));
        server.exchange(&head, &body).await
    };
    let answer = exchange(gzip(b"{}")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = exchange(gzip(&vec![b' '; 64 << 20])).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let answer = exchange([gzip(b"{"), gzip(b""), gzip(b"}")].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "several members are one text: {answer}");
    let answer = exchange([gzip(b"{}"), gzip(&vec![b' '; 16 << 20])].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let whole = gzip(br#"{"Limit": 1, "ExclusiveStartTableName": "abc"}"#);
    let (mut flipped, middle) = (whole.clone(), whole.len() / 2);
    flipped[middle] ^= 0x55;
    let cut = whole[..whole.len() - 5].to_vec();
    for broken in [b"not gzip".to_vec(), Vec::new(), cut, flipped, [gzip(b"{}"), b"rest".to_vec()].concat()] {
        let answer = exchange(broken).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("SerializationException"), "{answer}");
    }
    // The same of the other coding, with its wrapping and without.
    for bare in [false, true] {
        let deflated = |bytes: &[u8]| deflate(bytes, bare);
        for (body, told) in [
            (deflated(b"{}"), "HTTP/1.1 200"),
            (deflated(&vec![b' '; 64 << 20]), "HTTP/1.1 413"),
            (deflated(br#"{"Limit": 1, "ExclusiveStartTableName": "abc"}"#)[..20].to_vec(), "SerializationException"),
        ] {
            let headers = format!("content-encoding: deflate\r\ncontent-length: {}\r\n", body.len());
            let answer = server.exchange(&post("ListTables", &headers), &body).await;
            assert!(answer.contains(told), "{bare} {answer}");
        }
    }
    let head = post("ListTables", "content-encoding: br\r\ncontent-length: 2\r\n");
    let answer = server.exchange(&head, b"{}").await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_server_goes_on() {
    let server = start(Config { body_timeout: Duration::from_millis(300), ..Config::default() }).await;
    let sized = |bytes: usize| format!("content-length: {bytes}\r\n");
    let many = (0..200).map(|at| format!("x-{at}: y\r\n")).collect::<String>();
    let long = format!("x: {}\r\n", "y".repeat(200 << 10));
    let deep = format!("{}{}", r#"{"a":"#.repeat(50_000), "}".repeat(50_000));
    let arrays = format!(r#"{{"Limit":{}"#, "[".repeat(100_000));
    let nested = format!(r#"{{"TableName":"abc","Item":{}"#, r#"{"a":{"M":"#.repeat(20_000));
    for (head, body, told) in [
        (post("ListTables", &many), "", "HTTP/1.1 431"),
        (post("ListTables", &long), "", "HTTP/1.1 431"),
        (format!("POST /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(100 << 10)), "", "HTTP/1.1 414"),
        ("nonsense\r\n\r\n".to_owned(), "", "HTTP/1.1 400"),
        ("GET / HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(), "", "HTTP/1.1 400"),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), "", "HTTP/1.1 400"),
        (post("ListTables", "content-length: -1\r\n"), "{}", "HTTP/1.1 400"),
        (post("ListTables", "content-length: 2\r\ncontent-length: 3\r\n"), "{}", "HTTP/1.1 400"),
        (post("ListTables", "transfer-encoding: chunked\r\n"), "zz\r\n{}\r\n0\r\n\r\n", "RequestTimeoutException"),
        (post("ListTables", "transfer-encoding: chunked\r\n"), "ffffffffffffffffff\r\n", "RequestTimeoutException"),
        (post("ListTables", "transfer-encoding: gzip\r\n"), "{}", "HTTP/1.1 400"),
        (post("ListTables", &sized(deep.len())), deep.as_str(), "SerializationException"),
        (post("ListTables", &sized(arrays.len())), arrays.as_str(), "SerializationException"),
        (post("PutItem", &sized(nested.len())), nested.as_str(), "SerializationException"),
        (post("ListTables", &sized(4)), "{} x", "SerializationException"),
        (post("ListTables", &sized(5)), "{\"a\"}", "SerializationException"),
        (post("ListTables", &sized(0)), "", "SerializationException"),
        (post("ListTables\u{fc}", &sized(2)), "{}", "UnknownOperationException"),
        (post("ListTables", &sized(21)), r#"{"Limit":0,"Limit":1}"#, "HTTP/1.1 200"),
    ] {
        let answer = server.exchange(&head, body.as_bytes()).await;
        let shown: String = head.chars().take(200).collect();
        assert!(answer.contains(told), "{shown}: {answer}");
    }
    let invalid = server.exchange(&post("ListTables", &sized(15)), b"{\"TableName\":\"\xff").await;
    assert!(invalid.contains("SerializationException"), "{invalid}");
    let two = format!(
        "{}{{}}GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        post("ListTables", &sized(2))
    )
    .replacen("connection: close\r\n", "", 1);
    let answers = server.exchange(&two, b"").await;
    assert!(answers.matches("HTTP/1.1 200").count() == 2, "one behind the other: {answers}");
}

#[tokio::test]
async fn a_connection_on_which_a_body_is_left_says_that_it_ends() {
    let server = start(Config::default()).await;
    let open = |head: String| head.replacen("connection: close\r\n", "", 1);
    let sized = "content-length: 200000\r\n";
    let foreign = post("ListTables", sized).replacen("x-amz-json-1.0", "x-other", 1);
    let elsewhere = |headers: &str| post("ListTables", headers).replacen("POST /", "POST /nowhere", 1);
    for head in [foreign, elsewhere(sized), post("ListTables", sized).replacen("localhost", "example.com", 1)] {
        let answer = server.exchange(&open(head.clone()), &vec![b' '; 200_000]).await;
        assert!(answer.contains("connection: close\r\n"), "{head}: {answer}");
    }
    // Who waits to be asked for the body is not asked, and one that does not come is not waited for.
    for expect in ["expect: 100-continue\r\n", ""] {
        let head = open(elsewhere(&format!("{expect}content-length: 20\r\n")));
        let answer = server.exchange(&head, b"").await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("connection: close\r\n"), "{answer}");
    }
    // A small one that nobody wants is read, and the connection goes on.
    for headers in ["content-length: 2000\r\n", "transfer-encoding: chunked\r\n"] {
        let body = if headers.starts_with('c') {
            " ".repeat(2000)
        } else {
            format!("7d0\r\n{}\r\n0\r\n\r\n", " ".repeat(2000))
        };
        let two = [open(elsewhere(headers)), body, post("ListTables", "content-length: 2\r\n")];
        let answers = server.exchange(&two.concat(), b"{}").await;
        assert!(answers.contains("HTTP/1.1 404") && answers.contains("HTTP/1.1 200"), "{answers}");
    }
    // What was read does not end it, whatever is wrong with it.
    let two =
        [open(post("Nothing", sized)), " ".repeat(199_998), "{}".into(), post("ListTables", "content-length: 2\r\n")];
    let answers = server.exchange(&two.concat(), b"{}").await;
    assert!(answers.contains("HTTP/1.1 400") && answers.contains("HTTP/1.1 200"), "{answers}");
}

#[tokio::test]
async fn other_hosts_and_origins_are_refused() {
    let server = start(Config::default()).await;
    for head in [
        "GET / HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\norigin: https://example.com\r\nconnection: close\r\n\r\n",
        "GET http://example.com/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let answer = server.exchange(head, b"").await;
        assert!(answer.contains(" 403 ") && answer.contains("AccessDeniedException"), "{head}: {answer}");
    }
}

#[tokio::test]
async fn more_connections_than_places_wait_for_one() {
    let server = start(Config { connections_max: 1, ..Config::default() }).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(50), second.read_exact(&mut byte)).await;
    assert!(waited.is_err(), "the second connection was served beside the first");
    drop(first);
    assert!(read_all(&mut second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_followers() {
    let server = start(Config::default()).await;
    let table = r#"{"TableName":"Rivers","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],
        "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST",
        "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}"#;
    let head = post("CreateTable", &format!("content-length: {}\r\n", table.len()));
    assert!(server.exchange(&head, table.as_bytes()).await.starts_with("HTTP/1.1 200"));
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut follower = TcpStream::connect(server.address).await.unwrap();
    follower.write_all(b"GET /streams/Rivers HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut start_of_answer = [0; 12];
    for stream in [&mut idle, &mut follower] {
        stream.read_exact(&mut start_of_answer).await.unwrap();
        assert_eq!(&start_of_answer, b"HTTP/1.1 200");
    }
    server.stop.send_replace(true);
    server.task.await.unwrap();
    read_all(&mut idle).await;
    assert!(read_all(&mut follower).await.ends_with("0\r\n\r\n"));
    assert!(TcpStream::connect(server.address).await.is_err());
}
