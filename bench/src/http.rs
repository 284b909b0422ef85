//! As much of HTTP/1.1 as a load needs: requests as bytes made beforehand, answers read by their
//! length.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// The longest head and body of an answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A POST of JSON as it goes over the wire.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    post_with(path, body, "")
}

/// The same, of somebody who has a token.
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

/// A GET as it goes over the wire.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// The first answer in some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 is well.
    pub status: u16,
    /// Where its body begins.
    pub head_bytes: usize,
    /// Where the next answer begins.
    pub bytes: usize,
}

/// None while it isn't there as a whole.
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

/// A keep-alive connection, one request at a time.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: TcpStream,
}

impl Client {
    /// Connects.
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

    /// Leaves a connection whose answer did not come, for another one.
    pub fn reconnect(&mut self) -> anyhow::Result<()> {
        *self = Client::connect(self.address)?;
        Ok(())
    }

    /// Sends a request, and returns status and body.
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

    /// Sends a request that must be answered with a success.
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
