//! HTTP/1.1 as a load generator needs it: one request at a time on a kept connection, ready-made bytes out, and of the answer
//! only what counts. A general client would cost about as much as the server that is measured.

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An answer's head may be so long.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// So much is read at once.
const READ_BYTES: usize = 64 << 10;
/// An answer's body may be so long.
const BODY_BYTES_MAX: usize = 64 << 20;

/// The head of a DynamoDB request whose body has `body_bytes`. It is what an SDK sends; the signature is of nothing, because
/// Thalweg and its peers here check none.
pub(super) fn post(host: &str, operation: &str, body_bytes: usize) -> Vec<u8> {
    format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-amz-json-1.0\r\n\
         X-Amz-Target: DynamoDB_20120810.{operation}\r\nX-Amz-Date: 20260101T000000Z\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=any/20260101/local/dynamodb/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-target, Signature={:064}\r\nContent-Length: {body_bytes}\r\n\r\n",
        0
    )
    .into_bytes()
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    host: String,
    /// What has arrived; the last answer is at its start.
    input: Vec<u8>,
    /// The last answer's body, if it came in chunks.
    joined: Vec<u8>,
    /// Bytes of `input` that the last answer took.
    used: usize,
}

impl Connection {
    /// Connects to `host`, a name or address with a port.
    pub(super) async fn open(host: &str) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(host).await.with_context(|| format!("connecting to {host}"))?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        Ok(Connection { stream, host: host.to_owned(), input: Vec::new(), joined: Vec::new(), used: 0 })
    }

    /// Sends a whole request and waits for its answer.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await.with_context(|| format!("sending to {}", self.host))?;
        let head = self.head().await?;
        match head.framing {
            Framing::Length(length) if length > BODY_BYTES_MAX => bail!("{} answers {length} bytes", self.host),
            Framing::Length(length) => {
                while self.input.len() < head.bytes + length {
                    self.read().await?;
                }
                self.used = head.bytes + length;
                Ok(Answer { status: head.status, body: &self.input[head.bytes..self.used] })
            }
            Framing::Chunked => {
                let mut chunks = Chunks::default();
                self.joined.clear();
                self.used = head.bytes;
                loop {
                    self.used += chunks.take(&self.input[self.used..], &mut self.joined)?;
                    if chunks.ended() {
                        return Ok(Answer { status: head.status, body: &self.joined });
                    }
                    if self.joined.len() > BODY_BYTES_MAX {
                        bail!("{} answers more than {BODY_BYTES_MAX} bytes", self.host);
                    }
                    self.read().await?;
                }
            }
        }
    }

    /// Sends a DynamoDB request made for this once.
    pub(super) async fn ask(&mut self, operation: &str, body: &str) -> anyhow::Result<Answer<'_>> {
        let mut request = post(&self.host, operation, body.len());
        request.extend_from_slice(body.as_bytes());
        self.exchange(&request).await
    }

    /// Asks for an answer that does not end, and hands it over as it comes.
    pub(super) async fn follow(mut self, path: &str) -> anyhow::Result<Followed> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.stream.write_all(request.as_bytes()).await.with_context(|| format!("sending to {}", self.host))?;
        let head = self.head().await?;
        if head.status != 200 || head.framing != Framing::Chunked {
            bail!("{} answers {path} with {}", self.host, head.status);
        }
        self.used = head.bytes;
        Ok(Followed { connection: self, chunks: Chunks::default() })
    }

    async fn head(&mut self) -> anyhow::Result<Head> {
        self.input.drain(..self.used);
        self.used = 0;
        loop {
            if let Some(head) = Head::read(&self.input)? {
                return Ok(head);
            }
            if self.input.len() > HEAD_BYTES_MAX {
                bail!("{} answers with an endless head", self.host);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        self.input.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) => bail!("{} has closed the connection", self.host),
            Ok(_) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("the connection to {} broke", self.host)),
        }
    }
}

/// An answer that does not end.
pub(super) struct Followed {
    connection: Connection,
    chunks: Chunks,
}

impl Followed {
    /// Waits for more of the body and appends it to `body`; false at its end.
    pub(super) async fn more(&mut self, body: &mut Vec<u8>) -> anyhow::Result<bool> {
        let connection = &mut self.connection;
        let before = body.len();
        loop {
            let taken = self.chunks.take(&connection.input[connection.used..], body)?;
            connection.used += taken;
            connection.input.drain(..std::mem::take(&mut connection.used));
            if body.len() > before || self.chunks.ended() {
                return Ok(!self.chunks.ended());
            }
            connection.read().await?;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    framing: Framing,
    bytes: usize,
}

impl Head {
    /// The head at the start of `input`; none if it is not all there.
    fn read(input: &[u8]) -> anyhow::Result<Option<Head>> {
        let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&input[..end]).context("an answer's head is not text")?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let status = status.with_context(|| format!("not an HTTP/1.1 answer: {text}"))?;
        let mut framing = Framing::Length(0);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                framing = Framing::Length(value.parse().with_context(|| format!("content-length {value}"))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                framing = Framing::Chunked;
                break;
            }
        }
        Ok(Some(Head { status, framing, bytes: end + 4 }))
    }
}

/// A body in chunks: a line with the length in hexadecimal, so many bytes, a line's end; a length of zero ends it.
#[derive(Clone, Copy, Debug, Default)]
struct Chunks {
    state: ChunkState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Length,
    Data(usize),
    /// The line's end behind a chunk.
    Behind,
    /// The line's end behind the chunk of length zero.
    Last,
    Ended,
}

impl Chunks {
    /// Appends to `body` what of it `input` holds; answers how many bytes of `input` are done with.
    fn take(&mut self, input: &[u8], body: &mut Vec<u8>) -> anyhow::Result<usize> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.state {
                ChunkState::Ended => return Ok(at),
                ChunkState::Data(left) => {
                    let now = left.min(rest.len());
                    body.extend_from_slice(&rest[..now]);
                    at += now;
                    self.state = if now == left { ChunkState::Behind } else { ChunkState::Data(left - now) };
                    if now == 0 && left > 0 {
                        return Ok(at);
                    }
                }
                ChunkState::Length | ChunkState::Behind | ChunkState::Last => {
                    let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(at) };
                    self.state = match self.state {
                        ChunkState::Behind => ChunkState::Length,
                        ChunkState::Last => ChunkState::Ended,
                        _ => match length(&rest[..end])? {
                            0 => ChunkState::Last,
                            length => ChunkState::Data(length),
                        },
                    };
                    at += end + 2;
                }
            }
        }
    }

    fn ended(&self) -> bool {
        self.state == ChunkState::Ended
    }
}

fn length(line: &[u8]) -> anyhow::Result<usize> {
    let text = std::str::from_utf8(line).context("a chunk's length is not text")?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(digits, 16).with_context(|| format!("a chunk's length is `{digits}`"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers every request on one connection with these bytes, a few at a time.
    async fn answering(answers: Vec<&'static [u8]>, piece: usize) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut input = vec![0; 4096];
            for answer in answers {
                let _ = stream.read(&mut input).await.unwrap();
                for piece in answer.chunks(piece) {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        Connection::open(&address).await.unwrap()
    }

    #[tokio::test]
    async fn answers_with_a_length_and_in_chunks_follow_each_other() {
        let answers: Vec<&[u8]> = vec![
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00b;x=y\r\nde\r\nfghijkl\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: now\r\n\r\n",
        ];
        for piece in [1, 3, 7, 4096] {
            let mut connection = answering(answers.clone(), piece).await;
            assert_eq!(connection.exchange(b"x").await.unwrap(), Answer { status: 200, body: b"{}" });
            assert_eq!(connection.exchange(b"x").await.unwrap(), Answer { status: 400, body: b"abcde\r\nfghijkl" });
            assert_eq!(connection.ask("PutItem", "{}").await.unwrap(), Answer { status: 200, body: b"" });
        }
    }

    #[tokio::test]
    async fn an_endless_answer_is_handed_over_as_it_comes() {
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n";
        let mut followed = answering(vec![answer], 2).await.follow("/streams/x").await.unwrap();
        let mut body = Vec::new();
        while followed.more(&mut body).await.unwrap() {}
        assert_eq!(body, b"one\ntwo\n");
    }

    #[tokio::test]
    async fn what_is_not_an_answer_is_an_error() {
        assert!(answering(vec![b"SSH-2.0-x\r\n\r\n"], 99).await.exchange(b"x").await.is_err());
        assert!(answering(vec![b"HTTP/1.1 200 OK\r\n"], 99).await.exchange(b"x").await.is_err());
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
        assert!(answering(vec![answer], 99).await.exchange(b"x").await.is_err());
    }
}
