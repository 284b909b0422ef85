//! A reader of Server-Sent Events that works as browsers do.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: Value,
}

/// An open stream of events.
pub struct Events {
    body: Incoming,
    text: BytesMut,
    pub headers: HeaderMap,
}

impl Events {
    /// Opens a stream, with the id of the last received event if there is one.
    pub async fn open(address: &str, path: &str, last: Option<&str>) -> Events {
        let last = last.map(|last| ("last-event-id", last.to_string()));
        Events::open_with(address, path, last.as_slice()).await
    }

    /// Opens a stream with these headers.
    pub async fn open_with(address: &str, path: &str, headers: &[(&str, String)]) -> Events {
        let host = address.trim_start_matches("http://");
        let stream = TcpStream::connect(host).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let mut request =
            Request::get(path).header("host", host).header("accept", "text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        Events { body: response.into_body(), text: BytesMut::new(), headers }
    }

    /// Returns the next event; `None` once the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let message = self.text.split_to(end);
                self.text.advance(2);
                match parse(std::str::from_utf8(&message).unwrap()) {
                    Some(event) => return Some(event),
                    None => continue, // a comment
                }
            }
            // The bound catches tests that hang; it doesn't measure speed.
            let frame = timeout(Duration::from_secs(60), self.body.frame())
                .await
                .expect("an event or the end of the stream");
            let frame = frame?.ok()?;
            self.text.extend_from_slice(&frame.into_data().unwrap());
        }
    }
}

fn parse(message: &str) -> Option<Event> {
    let field = |name: &str| {
        message
            .lines()
            .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_string()))
    };
    let data = serde_json::from_str(&field("data")?).unwrap();
    Some(Event { id: field("id").unwrap_or_default(), name: field("event").unwrap(), data })
}
