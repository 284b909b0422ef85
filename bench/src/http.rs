//! The part of HTTP/1.1 that a load needs. Requests are bytes made beforehand, and answers are read
//! by their length.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// Time limit for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Maximum length of an answer's head, and of its body.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Returns the bytes of a POST request with a JSON body.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    post_with(path, body, "")
}

/// Returns the bytes of a POST request with a bearer token.
pub fn post_as(path: &str, body: &str, token: &str) -> Vec<u8> {
    post_with(path, body, &format!("authorization: Bearer {token}\r\n"))
}

fn post_with(path: &str, body: &str, headers: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Returns the bytes of a GET request.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// The first answer in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Length of the head, which is where the body begins.
    pub head_bytes: usize,
    /// Length of the whole answer, which is where the next one begins.
    pub bytes: usize,
}

/// Parses the first answer in a buffer. Returns `None` while the answer is incomplete.
pub fn answer(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        ensure!(bytes.len() < ANSWER_BYTES_MAX, "an answer's head without an end");
        return Ok(None);
    };
    let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default())
        .context("a head that is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status: u16 = status.with_context(|| format!("not an HTTP answer: {head}"))?;
    let mut length = if status == 204 { Some(0) } else { None };
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse::<usize>().context("content-length")?);
        }
    }
    let Some(length) = length else {
        bail!("an answer without content-length can't be measured: {head}")
    };
    ensure!(length < ANSWER_BYTES_MAX, "an answer of {length} bytes");
    let head_bytes = end + 4;
    let answer = Answer { status, head_bytes, bytes: head_bytes + length };
    Ok((bytes.len() >= answer.bytes).then_some(answer))
}

/// A keep-alive connection that carries one request at a time.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: TcpStream,
}

impl Client {
    /// Connects to a server.
    pub fn connect(address: SocketAddr) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(address).with_context(|| {
            format!(
                "connecting to {address}; if there are too many open files, run it by bench/run, or raise `ulimit -n`"
            )
        })?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        stream.set_read_timeout(Some(ANSWER_WAIT)).context("a read's time limit")?;
        stream.set_write_timeout(Some(ANSWER_WAIT)).context("a write's time limit")?;
        Ok(Client { address, stream })
    }

    /// Replaces a connection whose answer did not arrive by a new one.
    pub fn reconnect(&mut self) -> anyhow::Result<()> {
        *self = Client::connect(self.address)?;
        Ok(())
    }

    /// Sends a request, and returns the status and the body.
    pub fn send(&mut self, request: &[u8]) -> anyhow::Result<(u16, String)> {
        self.stream.write_all(request).context("sending a request")?;
        let mut bytes = Vec::with_capacity(1024);
        let mut buffer = [0; 4096];
        loop {
            let read = self.stream.read(&mut buffer).context("waiting for an answer")?;
            ensure!(read > 0, "the server closed a connection instead of answering");
            bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if let Some(answer) = answer(&bytes)? {
                let body = bytes.get(answer.head_bytes..answer.bytes).unwrap_or_default();
                return Ok((answer.status, String::from_utf8_lossy(body).into_owned()));
            }
        }
    }

    /// Sends a request, and returns the body of the answer. Any status other than 2xx is an error.
    pub fn expect(&mut self, request: &[u8]) -> anyhow::Result<String> {
        let (status, body) = self.send(request)?;
        ensure!((200..300).contains(&status), "answered {status}: {body}");
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP";
        assert_eq!(
            answer(whole).unwrap().unwrap(),
            Answer { status: 200, head_bytes: 38, bytes: 40 }
        );
        assert_eq!(answer(&whole[..39]).unwrap(), None);
        assert_eq!(answer(&whole[..20]).unwrap(), None);
        assert!(answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
