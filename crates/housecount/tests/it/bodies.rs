//! Request bodies as clients send them. They are compressed, have a byte-order mark or any content
//! type, have wrong fields or bytes, or come with a call that needs none. The answer names the
//! error, and the connection stays open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::GzEncoder;
use housecount_core::limits::{BEAT_BODY_BYTES_MAX, BODY_BYTES_MAX, UNREAD_BODY_BYTES_MAX};
use housecount_test::timed_test;
use serde_json::{Value, json};

use crate::support::node::Node;

const ONE: [&str; 3] = ["log=memory:", "cold=none", "limits.session_beats=0"];
const JSON: &str = "content-type: application/json";
const NDJSON: &str = "content-type: application/x-ndjson";
const TEXT: &str = "content-type: text/plain;charset=UTF-8";
const GZIP: &str = "content-encoding: gzip";
const CHUNKED: &str = "transfer-encoding: chunked";
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A connection that stays open between requests.
struct Connection(BufReader<TcpStream>);

struct Answer {
    status: u16,
    /// Status line and headers, in lower case.
    head: String,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let name = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(name.as_str()))
    }

    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }

    fn ends_the_connection(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

impl Connection {
    fn open(node: &Node) -> Connection {
        Connection(BufReader::new(
            TcpStream::connect(node.address.trim_start_matches("http://")).unwrap(),
        ))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a whole request; its body is one chunk if a header says chunked.
    fn ask(&mut self, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        let is_chunked = headers.contains(&CHUNKED);
        let length =
            if is_chunked { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        self.send(
            format!("{line} HTTP/1.1\r\nhost: localhost\r\n{headers}{length}\r\n").as_bytes(),
        );
        if is_chunked {
            let chunk = if body.is_empty() {
                Vec::new()
            } else {
                [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
            };
            self.send(&[&chunk[..], b"0\r\n\r\n"].concat());
        } else {
            self.send(body);
        }
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "closed unanswered, behind {head:?}");
        }
        let head = head.to_lowercase();
        let answer = Answer {
            status: head.split_whitespace().nth(1).unwrap().parse().unwrap(),
            head,
            body: Value::Null,
        };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        Answer { body: serde_json::from_slice(&body).unwrap_or_default(), ..answer }
    }
}

fn post(node: &Node, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    Connection::open(node).ask(&format!("POST {path}"), headers, body)
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn beat(viewer: &str) -> Value {
    json!({ "stage": "s", "viewer": viewer, "session": "tab" })
}

/// Each call with a body: its method and path, a good body, and the status of its answer.
fn calls() -> [(&'static str, Value, u16); 7] {
    let drop_in = json!({ "userId": "ann", "stageArn": "s", "participantId": "tab" });
    [
        ("POST /v1/heartbeat", beat("ann"), 200),
        ("POST /v1/heartbeats", json!([beat("ann")]), 200),
        ("POST /v1/leave", beat("ann"), 204),
        ("POST /api/viewer/rejoin", drop_in.clone(), 200),
        ("POST /api/viewer/heartbeat", drop_in, 200),
        ("POST /v1/stages", json!({ "stage": "named", "name": "Named" }), 201),
        ("PATCH /v1/stages/named", json!({ "name": "Renamed" }), 200),
    ]
}

#[timed_test(flavor = "multi_thread")]
async fn every_json_body_may_be_packed_and_marked() {
    let node = Node::ready(&["log=memory:", "limits.session_beats=0"]).await;
    let mut connection = Connection::open(&node);
    for (line, body, status) in calls() {
        let text = body.to_string();
        let marked = [BOM, text.as_bytes()].concat();
        let mut ask = |headers: &[&str], body: &[u8]| {
            let answer = connection.ask(line, &[&[JSON], headers].concat(), body);
            (answer.status, answer.header("accept-encoding").map(str::to_string), answer.body)
        };
        for (headers, sent) in [
            (vec![], marked.clone()),
            (vec![GZIP], pack(text.as_bytes())),
            (vec![GZIP], pack(&marked)),
            (vec![GZIP, CHUNKED], pack(text.as_bytes())),
            (vec!["content-encoding: identity"], text.clone().into_bytes()),
        ] {
            let (got, _, body) = ask(&headers, &sent);
            // A stage can be created only once.
            assert!(
                got == status || line.ends_with("stages") && got == 409,
                "{line} {headers:?}: {got} {body}"
            );
        }
        assert_eq!(
            ask(&[], &[BOM, &marked].concat()).0,
            400,
            "{line}: only one byte order mark is skipped"
        );
        assert_eq!(ask(&[GZIP], text.as_bytes()).0, 400, "{line}: the body is not compressed");
        assert_eq!(
            ask(&[], &pack(text.as_bytes())).0,
            400,
            "{line}: the header of a compressed body is missing"
        );
        for coding in ["br", "deflate", "gzip, gzip"] {
            let (got, accepted, body) =
                ask(&[&format!("content-encoding: {coding}")], text.as_bytes());
            assert_eq!((got, accepted.as_deref()), (415, Some("gzip")), "{line} {coding}: {body}");
        }
        let (got, accepted, _) = {
            let answer = connection.ask(line, &["content-type: text/xml"], text.as_bytes());
            (answer.status, answer.header("accept-encoding").map(str::to_string), ())
        };
        assert_eq!((got, accepted), (415, None), "{line}: the error is not about the coding");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn gzip_ratio_max_and_both_sizes_bound_what_is_unpacked() {
    let node = Node::ready(&ONE).await;
    let large = |bytes: usize| format!("[{}]", " ".repeat(bytes - 2));
    for (path, body) in [
        ("/v1/heartbeat", pack(format!("{}{{}}", " ".repeat(BEAT_BODY_BYTES_MAX)).as_bytes())),
        ("/v1/heartbeats", pack(large(BODY_BYTES_MAX + 1).as_bytes())),
        ("/v1/heartbeats", pack(large(BODY_BYTES_MAX).as_bytes())),
    ] {
        let answer = post(&node, path, &[JSON, GZIP], &body);
        assert_eq!((answer.status, answer.code()), (413, "body_too_large"), "{}", answer.body);
    }
    let many = Value::from_iter((0..9_000).map(|n| beat(&format!("viewer-{n}")))).to_string();
    let answer = post(&node, "/v1/heartbeats", &[JSON, GZIP], &pack(many.as_bytes()));
    assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(9_000)));
}

#[timed_test(flavor = "multi_thread")]
async fn a_content_type_says_what_form_many_heartbeats_have() {
    let node = Node::ready(&ONE).await;
    let (one, array) = (beat("ann").to_string(), json!([beat("ann"), beat("bob")]).to_string());
    let lines = format!("{}\r\n\n{}\n", beat("ann"), beat("bob"));
    for (kind, body, accepted) in [
        (JSON, &array, Some(2)),
        (JSON, &one, Some(1)),
        (JSON, &lines, None),
        (TEXT, &array, Some(2)),
        (TEXT, &lines, Some(2)),
        (TEXT, &one, Some(1)),
        (NDJSON, &lines, Some(2)),
        (NDJSON, &one, Some(1)),
        (NDJSON, &array, None),
        (JSON, &String::new(), None),
        (NDJSON, &String::new(), None),
        (JSON, &"7".to_string(), None),
    ] {
        let answer = post(&node, "/v1/heartbeats", &[kind], body.as_bytes());
        match accepted {
            Some(accepted) => {
                assert_eq!(
                    (answer.status, &answer.body["accepted"]),
                    (200, &json!(accepted)),
                    "{kind}"
                )
            }
            None => assert_eq!(
                (answer.status, answer.code()),
                (400, "invalid_body"),
                "{kind} {body}: {}",
                answer.body
            ),
        }
    }
    let hinted = post(&node, "/v1/heartbeats", &[JSON], lines.as_bytes());
    assert!(hinted.detail().contains("application/x-ndjson"), "{}", hinted.body);
    let marked = [BOM, lines.as_bytes()].concat();
    assert_eq!(post(&node, "/v1/heartbeats", &[NDJSON], &marked).body["accepted"], 2);
}

#[timed_test(flavor = "multi_thread")]
async fn a_batch_of_which_nothing_can_be_taken_is_400() {
    let node = Node::ready(&[&ONE[..], &["limits.viewers_per_stage=1"]].concat()).await;
    let send = |beats: Value| post(&node, "/v1/heartbeats", &[JSON], beats.to_string().as_bytes());
    let bad = json!({ "stage": "s", "viewer": 12345 });
    let answer = send(json!([bad, { "stage": "s", "viewer": "" }]));
    assert_eq!(
        (answer.status, answer.code(), answer.header("content-type")),
        (400, "invalid_viewer", Some("application/problem+json"))
    );
    assert_eq!(
        (&answer.body["rejected"][0]["index"], &answer.body["rejected"][1]["index"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(answer.body["rejected"][0]["code"], "invalid_viewer");
    assert!(
        answer.detail().contains("all 2 heartbeats were rejected; at index 0: viewer is a number"),
        "{}",
        answer.detail()
    );
    let mixed = send(json!([bad, { "viewer": "ann" }]));
    assert_eq!((mixed.status, mixed.code()), (400, "invalid_body"));
    assert_eq!(
        post(&node, "/v1/heartbeats", &[JSON], bad.to_string().as_bytes()).code(),
        "invalid_viewer"
    );
    let lines = post(&node, "/v1/heartbeats", &[NDJSON], b"\n{}\nnonsense\n");
    assert_eq!(
        (lines.status, &lines.body["rejected"][1]["index"]),
        (400, &json!(2)),
        "{}",
        lines.body
    );
    // Heartbeats that were accepted stay accepted. Heartbeats that a limit rejects may be accepted
    // later, so neither of these batches is a 400.
    let taken = send(json!([bad, beat("ann")]));
    assert_eq!((taken.status, &taken.body["accepted"]), (200, &json!(1)));
    let limited = send(json!([bad, beat("bob")]));
    assert_eq!((limited.status, &limited.body["accepted"]), (200, &json!(0)), "{}", limited.body);
    assert_eq!(limited.body["rejected"][1]["code"], "stage_full");
    assert_eq!(send(json!([])).body, json!({ "accepted": 0, "rejected": [] }));
    let rejected = node.metric("housecount_rejected_total{code=\"invalid_viewer\"}").await;
    assert_eq!(rejected, 6.0, "each rejection is counted once");
}

#[timed_test(flavor = "multi_thread")]
async fn a_byte_that_is_not_utf8_refuses_its_own_heartbeat() {
    let node = Node::ready(&ONE).await;
    let bad = b"{\"stage\":\"s\",\"viewer\":\"Zo\xeb\"}".to_vec();
    let beats =
        [beat("ann").to_string().into_bytes(), bad.clone(), beat("bob").to_string().into_bytes()];
    let array = [b"[", &beats.join(&b","[..])[..], b"]"].concat();
    for (kind, body) in [(JSON, array), (NDJSON, beats.join(&b'\n'))] {
        let answer = post(&node, "/v1/heartbeats", &[kind], &body);
        assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(2)), "{}", answer.body);
        let rejected = &answer.body["rejected"][0];
        assert_eq!((&rejected["index"], &rejected["code"]), (&json!(1), &json!("invalid_body")));
        assert!(rejected["detail"].as_str().unwrap().contains("UTF-8"), "{rejected}");
    }
    assert_eq!(post(&node, "/v1/heartbeat", &[JSON], &bad).code(), "invalid_body");
}

#[timed_test(flavor = "multi_thread")]
async fn a_field_of_another_type_is_named_with_what_is_wanted() {
    let node = Node::ready(&ONE).await;
    let fields =
        [("stage", "invalid_stage"), ("viewer", "invalid_viewer"), ("session", "invalid_session")];
    for (field, code) in fields {
        for (value, found) in [(json!(12345), "a number"), (json!(["ann"]), "an array")] {
            let mut sent = beat("ann");
            sent[field] = value;
            let expected = format!("{field} is {found}; send a string");
            for path in ["/v1/heartbeat", "/v1/leave"] {
                let answer = post(&node, path, &[JSON], sent.to_string().as_bytes());
                assert_eq!(
                    (answer.status, answer.code(), answer.detail()),
                    (400, code, expected.as_str()),
                    "{path}"
                );
            }
            let answer = post(
                &node,
                "/v1/heartbeats",
                &[JSON],
                json!([beat("bob"), sent]).to_string().as_bytes(),
            );
            let rejected = &answer.body["rejected"][0];
            assert_eq!((&rejected["code"], &rejected["detail"]), (&json!(code), &json!(expected)));
        }
    }
}

/// A wrong token matters only on a node that checks tokens.
#[timed_test(flavor = "multi_thread")]
async fn a_token_of_another_type_matters_only_where_tokens_do() {
    let mut sent = beat("ann");
    sent["token"] = json!({ "any": "thing" });
    let secret = format!("auth.viewer_keys=secret:{}", "opensesame".repeat(4));
    for (policy, expected) in [
        ("off", (200, "")),
        ("optional", (401, "token_invalid")),
        ("required", (401, "token_invalid")),
    ] {
        let node =
            Node::ready(&[&ONE[..], &[&secret, &format!("auth.viewer={policy}")]].concat()).await;
        let answer = post(&node, "/v1/heartbeat", &[JSON], sent.to_string().as_bytes());
        assert_eq!((answer.status, answer.code()), expected, "{policy}: {}", answer.body);
    }
}

/// A client writes its whole request before it reads. The answer must not look like a broken
/// connection to it.
#[timed_test(flavor = "multi_thread")]
async fn unread_body_bytes_max_is_read_and_the_connection_goes_on() {
    let node = Node::ready(&[
        "log=memory:",
        "cold=none",
        "limits.address_per_second=1000",
        "limits.address_burst=40",
    ])
    .await;
    let form = "content-type: multipart/form-data; boundary=x";
    let large = vec![b'x'; 3 * BEAT_BODY_BYTES_MAX];
    let mut connection = Connection::open(&node);
    for headers in [vec![form], vec![form, CHUNKED]] {
        for (line, status) in [
            ("POST /v1/heartbeat", 415),
            ("POST /v1/leave", 415),
            ("POST /v1/heartbeats", 415),
            ("POST /v1/stages", 401),
            ("POST /api/viewer/rejoin", 415),
            ("POST /api/nowhere", 404),
            ("POST /nowhere", 404),
            ("POST /v1/stats", 405),
            ("GET /healthz", 200),
            ("OPTIONS /v1/heartbeat", 405),
        ] {
            let answer = connection.ask(line, &headers, &large);
            // Without operator keys, operators' calls are for this machine, so the answer is 415.
            let expected = if line == "POST /v1/stages" { 415 } else { status };
            assert_eq!(answer.status, expected, "{line} {headers:?}: {}", answer.body);
            assert!(!answer.ends_the_connection(), "{line} {headers:?}");
        }
        let answer =
            connection.ask("POST /v1/heartbeat", &[&[JSON], &headers[1..]].concat(), &large);
        assert_eq!((answer.status, answer.code()), (413, "body_too_large"));
        assert!(!answer.ends_the_connection());
    }
    // An address over its limit is refused before any other check.
    let refused = (0..)
        .map(|_| connection.ask("POST /v1/heartbeat", &[JSON], &large))
        .find(|answer| answer.status == 429);
    assert!(!refused.unwrap().ends_the_connection());
    assert_eq!(connection.ask("GET /healthz", &[], b"").status, 200);
}

#[timed_test(flavor = "multi_thread")]
async fn a_body_that_is_not_read_ends_the_connection_and_the_answer_says_so() {
    let node = Node::ready(&ONE).await;
    let form = "content-type: multipart/form-data; boundary=x";
    // The body is announced but never sent, and still the answer comes.
    for path in ["/v1/heartbeat", "/v1/heartbeats", "/nowhere"] {
        let mut connection = Connection::open(&node);
        let length = UNREAD_BODY_BYTES_MAX + 1;
        connection.send(
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{form}\r\ncontent-length: {length}\r\n\r\n")
                .as_bytes(),
        );
        let answer = connection.answer();
        assert!(answer.status >= 400 && answer.ends_the_connection(), "{path}: {}", answer.head);
        let mut rest = Vec::new();
        assert_eq!(connection.0.read_to_end(&mut rest).unwrap(), 0);
    }
    // A client that waits for `100 Continue` before its body gets the answer, and nothing else.
    let mut connection = Connection::open(&node);
    connection.send(format!("POST /v1/heartbeat HTTP/1.1\r\nhost: localhost\r\n{form}\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n").as_bytes());
    let answer = connection.answer();
    assert_eq!((answer.status, answer.ends_the_connection()), (415, true));
}

/// Chunked requests and HTTP/2 show an empty body only at its end.
#[timed_test(flavor = "multi_thread")]
async fn operator_calls_without_a_body_work_with_any_length_header() {
    let node = Node::ready(&["log=memory:"]).await;
    for path in ["/v1/admin/snapshot", "/v1/admin/restore"] {
        let plain = post(&node, path, &[], b"");
        for headers in [
            vec![CHUNKED],
            vec![CHUNKED, JSON],
            vec![CHUNKED, "content-type: application/x-www-form-urlencoded"],
        ] {
            let answer = post(&node, path, &headers, b"");
            assert_eq!(
                (answer.status, plain.status),
                (plain.status, 200),
                "{path} {headers:?}: {}",
                answer.body
            );
        }
        let answer = post(&node, path, &[CHUNKED], b"{}");
        assert_eq!((answer.status, answer.code()), (415, "unsupported_media_type"), "{path}");
    }
    let answer = post(&node, "/v1/stages", &[CHUNKED], b"");
    assert_eq!(
        (answer.status, answer.code()),
        (400, "invalid_body"),
        "an empty chunked body is an empty body"
    );
}
