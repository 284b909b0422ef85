//! Sends random and mutated requests to a real server.
//!
//! It checks that no answer is a 5xx, that every well-formed request is answered, and that memory
//! doesn't grow. All requests come from one seed (`HOUSECOUNT_SEED`), so a failure can be
//! reproduced.
//!
//! Slow clients are tested elsewhere. `api` covers headers and bodies that take their time, and
//! `overload::connections` covers clients that read nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use housecount_test::timed_test;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::node::Node;

/// Connections that send at once.
const CONNECTIONS: usize = 32;
/// Memory that one stage may take, in KiB.
const STAGE_KIB_MAX: u64 = 2;
/// Memory that the allocator and the stores may still gain after the second tenth of the requests.
const RESIDENT_MIB_SLACK: u64 = 20;
/// Longest wait for an answer. No request takes longer, so a client that waits this long got none.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

#[timed_test(flavor = "multi_thread")]
async fn twenty_thousand_requests() {
    run(20_000).await;
}

/// Sends a million requests. docs/PROOFS.md has the command; `HOUSECOUNT_REQUESTS` sets another
/// number.
#[timed_test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn a_million_requests() {
    run(from_environment("HOUSECOUNT_REQUESTS").unwrap_or(1_000_000)).await;
}

#[allow(clippy::disallowed_methods)] // the test's own parameters, not settings
fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Number of answers by status. Status 0 stands for a connection that ended without an answer.
type Statuses = BTreeMap<u16, u64>;

async fn run(requests: usize) {
    let seed: u64 = from_environment("HOUSECOUNT_SEED").unwrap_or(1);
    // Times are short, so that entries with a limited life expire during the run. Entries that are
    // kept for good are on disk, so the memory is the server's own. Proxies and the one page of
    // another site may make operators' calls, or most of the node's routes would only answer 401.
    let settings = [
        "interval=500ms",
        "ttl=2s",
        "window=10s",
        "lateness_max=10s",
        "leave_grace=100ms",
        "linger=1ms",
        "insecure=true",
        "cors.operator_origins=https://a.example",
    ];
    // The allocator keeps the peak of each of its arenas. With the fewest arenas, growth shows more
    // clearly.
    let node = Node::ready_after("export MALLOC_ARENA_MAX=2", &settings).await;
    let mut statuses = Statuses::new();
    let mut resident = Vec::new();
    for tenth in 0..10 {
        let some = send(&node, seed * 1_000 + tenth, requests / 10).await;
        some.into_iter().for_each(|(status, count)| *statuses.entry(status).or_default() += count);
        resident.push((node.own_bytes() >> 20, stages(&node).await));
    }
    println!(
        "{requests} requests, seed {seed}: {statuses:?}; MiB in memory and stages known after each tenth: {resident:?}"
    );
    let sent: u64 = statuses.values().sum();
    assert_eq!(sent, requests as u64);
    assert!(statuses.keys().all(|status| *status < 500), "{statuses:?}");
    // The server does its work instead of only refusing requests.
    assert!(
        statuses[&200] > sent / 10 && statuses[&204] > sent / 100 && statuses[&400] > sent / 20,
        "{statuses:?}"
    );
    // A mutated name is a new stage, and the node knows a stage for an hour. Besides, the allocator
    // keeps the peak of memory in use, and the embedded stores keep pages.
    let ((early, early_stages), (late, late_stages)) = (resident[1], resident[9]);
    let named = late_stages.saturating_sub(early_stages) * STAGE_KIB_MAX / 1_024;
    assert!(late <= early + named + RESIDENT_MIB_SLACK, "memory grows: {resident:?}");
    assert_eq!(node.status("/readyz").await, 200);
    node.beat("s", "still-there").await;
}

/// Number of stages that the node knows.
async fn stages(node: &Node) -> u64 {
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let page = node.get(&format!("/v1/stages?limit=1000{cursor}")).await;
        count += page["stages"].as_array().unwrap().len() as u64;
        let Some(last) = page["cursor"].as_str() else { return count };
        let encoded: String = last.bytes().map(|byte| format!("%{byte:02x}")).collect();
        cursor = format!("&cursor={encoded}");
    }
}

/// Sends the given number of requests over [`CONNECTIONS`] connections at once.
async fn send(node: &Node, seed: u64, requests: usize) -> Statuses {
    let address = node.address.trim_start_matches("http://").to_string();
    let mut senders = tokio::task::JoinSet::new();
    for n in 0..CONNECTIONS {
        let count = requests / CONNECTIONS + usize::from(n < requests % CONNECTIONS);
        let rng = SmallRng::seed_from_u64(seed * CONNECTIONS as u64 + n as u64);
        senders.spawn(Sender { address: address.clone(), rng, open: None }.send(count));
    }
    let mut all = Statuses::new();
    while let Some(statuses) = senders.join_next().await {
        statuses
            .unwrap()
            .into_iter()
            .for_each(|(status, count)| *all.entry(status).or_default() += count);
    }
    all
}

struct Sender {
    address: String,
    rng: SmallRng,
    open: Option<TcpStream>,
}

/// A request in its parts.
#[derive(Clone, Debug)]
struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n",
            self.method,
            self.path,
            self.body.len()
        );
        self.headers
            .iter()
            .for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

impl Sender {
    async fn send(mut self, count: usize) -> Statuses {
        let mut statuses = Statuses::new();
        for _ in 0..count {
            let status = match self.rng.random_range(0..100) {
                0..2 => self.websocket().await,
                2..6 => {
                    let request = self.request();
                    self.broken(request).await
                }
                6..50 => {
                    let request = self.mutated();
                    self.whole(&request).await
                }
                _ => {
                    let request = self.request();
                    self.whole(&request).await
                }
            };
            *statuses.entry(status).or_default() += 1;
        }
        statuses
    }

    fn id(&mut self) -> String {
        // Half of the requests use `id-0`, so one viewer sends far more than the others.
        let n = self.rng.random_range(0..600);
        format!("id-{}", if n < 300 { n } else { 0 })
    }

    /// Start of the time range of a ledger query. One in ten has none and so covers the whole
    /// ledger. A viewer here comes and goes a hundred times per second, so that is much to read.
    fn since(&mut self) -> String {
        if self.rng.random_ratio(1, 10) {
            return String::new();
        }
        format!(
            "&from={}",
            housecount_backend::clock::wall_clock().0 - self.rng.random_range(1_000..60_000)
        )
    }

    fn beat(&mut self) -> String {
        let (stage, viewer, session) =
            (self.rng.random_range(0..5), self.id(), self.rng.random_range(0..3));
        format!(r#"{{"stage":"arn:stage/{stage}","viewer":"{viewer}","session":"{session}"}}"#)
    }

    /// A good request for a random route. Routes that read or write the cold tier are rarer.
    fn request(&mut self) -> Request {
        let (beat, id) = (self.beat(), self.id());
        let many =
            |open: &str, between: &str, close: &str| format!("{open}{beat}{between}{beat}{close}");
        let old = format!(r#"{{"userId":"{id}","stageArn":"arn:stage/1","participantId":"p"}}"#);
        let stage = "arn%3Astage%2F1".to_string();
        let (method, path, body) = match self.rng.random_range(0..60) {
            0..20 => ("POST", "/v1/heartbeat".to_string(), beat),
            20..26 => ("POST", "/v1/leave".to_string(), beat),
            26 => ("POST", "/v1/heartbeats".to_string(), many("[", ",", "]")),
            27 => ("POST", "/v1/heartbeats".to_string(), many("", "\n", "\n")),
            28 => ("GET", "/v1/stats".to_string(), String::new()),
            29 => ("GET", "/v1/stages?limit=5".to_string(), String::new()),
            30 if self.rng.random_ratio(1, 4) => (
                "POST",
                "/v1/stages".to_string(),
                format!(r#"{{"stage":"{id}","name":"n","tags":{{"a":"b"}}}}"#),
            ),
            31 if self.rng.random_ratio(1, 4) => (
                "PATCH",
                format!("/v1/stages/{id}"),
                r#"{"name":null,"tags":{"a":"c"}}"#.to_string(),
            ),
            32 if self.rng.random_ratio(1, 4) => {
                ("DELETE", format!("/v1/stages/{id}"), String::new())
            }
            33 => ("GET", format!("/v1/stages/{stage}"), String::new()),
            34 => {
                ("GET", format!("/v1/stages/{stage}/viewers?limit=10&cursor={id}"), String::new())
            }
            35 if self.rng.random_ratio(1, 20) => (
                "GET",
                format!("/v1/stages/{stage}/snapshots?from=2001-01-01&to=2026-12-01"),
                String::new(),
            ),
            36 if self.rng.random_ratio(1, 20) => (
                "GET",
                format!("/v1/stages/{stage}/watch?limit=3&intervals=true{}", self.since()),
                String::new(),
            ),
            37 if self.rng.random_ratio(1, 20) => (
                "GET",
                format!("/v1/stages/{stage}/history?step=1m&from=1790000000000&to=1790000600000"),
                String::new(),
            ),
            38 => ("GET", format!("/v1/viewers/{id}"), String::new()),
            39 if self.rng.random_ratio(1, 20) => (
                "GET",
                format!("/v1/viewers/{id}/watch?intervals=false{}", self.since()),
                String::new(),
            ),
            40 => ("GET", "/metrics".to_string(), String::new()),
            41 => ("GET", "/readyz".to_string(), String::new()),
            42 => ("GET", "/".to_string(), String::new()),
            43 => ("GET", "/openapi.json".to_string(), String::new()),
            44 => ("GET", "/v1/ws".to_string(), String::new()),
            45 => ("OPTIONS", "/v1/heartbeat".to_string(), String::new()),
            46 => ("HEAD", "/v1/stats".to_string(), String::new()),
            47 => ("POST", "/api/viewer/heartbeat".to_string(), old),
            48 => ("POST", "/api/viewer/rejoin".to_string(), old),
            49 if self.rng.random_ratio(1, 3) => {
                ("GET", format!("/api/viewer/history/{id}?limit=2"), String::new())
            }
            49 if self.rng.random_ratio(1, 2) => {
                ("GET", format!("/api/viewer/stats/{stage}"), String::new())
            }
            49 => ("GET", format!("/api/viewer/list/{stage}"), String::new()),
            50 => (
                "GET",
                format!("/api/viewer/duration?userId={id}&stageArn=arn:stage/1"),
                String::new(),
            ),
            51 => ("GET", "/v1/live?stage=arn:stage/1".to_string(), String::new()),
            52 => ("GET", "/v1/cost".to_string(), String::new()),
            53 if self.rng.random_ratio(1, 50) => {
                ("POST", "/v1/admin/snapshot".to_string(), String::new())
            }
            54 if self.rng.random_ratio(1, 50) => {
                ("POST", "/v1/admin/restore".to_string(), String::new())
            }
            _ => ("POST", "/v1/heartbeat".to_string(), beat),
        };
        let mut headers = Vec::new();
        if path.starts_with("/v1/stages") && !body.is_empty() {
            headers.push(("content-type".to_string(), "application/json".to_string()));
        }
        let some = [
            ("origin", "https://a.example"),
            ("access-control-request-method", "POST"),
            ("authorization", "Bearer abc.def.ghi"),
            ("x-forwarded-for", "203.0.113.7, 10.0.0.1"),
            ("content-type", "application/json"),
            ("content-type", "text/plain;charset=UTF-8"),
            ("accept-encoding", "gzip"),
            ("expect", "100-continue"),
        ];
        for _ in 0..self.rng.random_range(0..3) {
            if let Some((name, value)) = some.choose(&mut self.rng) {
                headers.push((name.to_string(), value.to_string()));
            }
        }
        Request { method: method.to_string(), path, headers, body: body.into_bytes() }
    }

    /// A request with changed parts that is still one request, so the server must answer it.
    fn mutated(&mut self) -> Request {
        let mut request = self.request();
        for _ in 0..self.rng.random_range(1..4) {
            match self.rng.random_range(0..10) {
                0 => {
                    let methods =
                        ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];
                    request.method = methods.choose(&mut self.rng).unwrap_or(&"GET").to_string();
                }
                1..4 => {
                    let mut path = std::mem::take(&mut request.path).into_bytes();
                    self.mutate(&mut path);
                    path.retain(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(byte));
                    let path = String::from_utf8_lossy(&path).into_owned();
                    request.path = format!("/{}", path.trim_start_matches('/'));
                }
                4 => {
                    let (name, mut value) =
                        ("x-any".to_string(), vec![b'v'; self.rng.random_range(0..200)]);
                    self.mutate(&mut value);
                    value.retain(u8::is_ascii_graphic);
                    request.headers.push((name, String::from_utf8_lossy(&value).into_owned()));
                }
                _ => self.mutate(&mut request.body),
            }
        }
        request
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.rng.random_range(0..=bytes.len());
        match self.rng.random_range(0..7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.rng.random()),
            2 if at < bytes.len() => bytes[at] ^= 1 << self.rng.random_range(0..8),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => {
                let piece = bytes[at..(at + 20).min(bytes.len())].to_vec();
                for _ in 0..self.rng.random_range(1..30) {
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
            5 => {
                let odd: [&[u8]; 8] = [
                    b"\\u0000",
                    b"null",
                    b"[[[[[[",
                    b"1e999",
                    b"%00",
                    b"%F0%9F",
                    b"\xf0\x9f\x92\xa9",
                    b"..%2F",
                ];
                let odd = odd.choose(&mut self.rng).copied().unwrap_or_default();
                bytes.splice(at..at, odd.iter().copied());
            }
            _ => bytes.extend(std::iter::repeat_n(b'a', self.rng.random_range(0..2_000))),
        }
    }

    async fn connection(&mut self) -> TcpStream {
        match self.open.take() {
            Some(open) => open,
            None => TcpStream::connect(&self.address).await.unwrap(),
        }
    }

    /// Sends a request that must be answered, on a connection that stays open.
    async fn whole(&mut self, request: &Request) -> u16 {
        let mut stream = self.connection().await;
        let bytes = request.bytes();
        let answered = async {
            // A request that is refused by its head may be answered before it is written.
            let _ = stream.write_all(&bytes).await;
            answer(&mut stream, request.method == "HEAD").await
        };
        let answered = tokio::time::timeout(ANSWER_WITHIN, answered).await;
        let shown = || String::from_utf8_lossy(&bytes).into_owned();
        let (status, goes_on) =
            answered.unwrap_or(None).unwrap_or_else(|| panic!("no answer to {}", shown()));
        assert!(status < 500, "{status} for {}", shown());
        self.open = goes_on.then_some(stream);
        status
    }

    /// Sends bytes that need not make sense, then closes its side of the connection.
    async fn broken(&mut self, request: Request) -> u16 {
        let mut bytes = request.bytes();
        (0..self.rng.random_range(1..6)).for_each(|_| self.mutate(&mut bytes));
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let answered = tokio::time::timeout(ANSWER_WITHIN, answer(&mut stream, false)).await;
        answered.ok().flatten().map_or(0, |(status, _)| status)
    }

    /// Sends frames, good and broken, and hangs up.
    async fn websocket(&mut self) -> u16 {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = "GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let (status, _) = answer(&mut stream, true).await.unwrap();
        assert_eq!(status, 101);
        for _ in 0..self.rng.random_range(1..8) {
            let mut payload = match self.rng.random_range(0..4) {
                0 => "{}".to_string(),
                1 => r#"{"leave":true}"#.to_string(),
                _ => self.beat(),
            }
            .into_bytes();
            if self.rng.random_ratio(1, 3) {
                self.mutate(&mut payload);
            }
            let mut frame = frame(&payload);
            if self.rng.random_ratio(1, 6) {
                self.mutate(&mut frame);
            }
            if stream.write_all(&frame).await.is_err() {
                break;
            }
        }
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(ANSWER_WITHIN, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "a WebSocket stays open after its client has gone");
        status
    }
}

/// A masked text frame, as RFC 6455 demands of clients. The mask is all zeros.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        short @ 0..126 => vec![0x80 | short as u8],
        long => [&[0x80 | 126][..], &(long as u16).to_be_bytes()].concat(),
    };
    [&[0x81][..], &length, &[0; 4], payload].concat()
}

/// Reads an answer to its end; returns its status and whether the connection stays open. Returns
/// `None` if the answer breaks off.
async fn answer(stream: &mut TcpStream, has_no_body: bool) -> Option<(u16, bool)> {
    let mut received = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut received).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
        let status: u16 = head.split_whitespace().nth(1)?.parse().ok()?;
        if status == 100 {
            received.drain(..end);
            continue;
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let goes_on = !head.contains("connection: close");
        if has_no_body || matches!(status, 101 | 204 | 304) {
            return Some((status, goes_on));
        }
        // An answer without a length, such as a stream of events, counts as answered when it
        // begins.
        let Some(length) = length else { return Some((status, false)) };
        while received.len() < end + length {
            if stream.read_buf(&mut received).await.ok()? == 0 {
                return None;
            }
        }
        return Some((status, goes_on && received.len() == end + length));
    }
}
