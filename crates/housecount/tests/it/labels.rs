//! Labels of sessions: where they come from, who wins, and their limits. The log tells which labels
//! a session got.

use futures_util::{SinkExt, StreamExt};
use housecount_access::auth::{Payload, jwt};
use housecount_backend::clock::wall_clock;
use housecount_backend::log::{Log, Position};
use housecount_core::event::EventKind;
use housecount_core::fold::HandleKey;
use housecount_core::limits::{
    LABEL_VALUE_BYTES_MAX, LABEL_VALUES_ALL_MAX, LABEL_VALUES_MAX, VIEWER_LABEL_SETS_MAX,
};
use housecount_core::record::{self, RecordEntry};
use housecount_metrics::LabelKeyLabel;
use housecount_test::timed_test;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::auth::SECRET;
use crate::auth::raw::ask_at;
use crate::inside::Inside;
use crate::support::eventually;
use crate::support::faulty::FaultyLog;
use crate::support::node::housecount;

const KEYS: (&str, &str) = ("labels", "plan,device,country");
/// A proxy on this machine that sets the country and the device.
const BEHIND_A_PROXY: [(&str, &str); 4] = [
    KEYS,
    ("labels_from.country", "CloudFront-Viewer-Country"),
    ("labels_from.device", "x-device"),
    ("proxies", "127.0.0.1"),
];

async fn node(settings: &[(&str, &str)]) -> Inside {
    let inside = Inside::ready(FaultyLog::default(), settings).await;
    inside.node.auth.load().unwrap();
    inside
}

/// Sends a heartbeat with header lines; returns its status and code.
fn beat(inside: &Inside, headers: &[&str], body: Value) -> (u16, Value) {
    let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
    let (_, answer) = ask_at(&inside.address, "POST /v1/heartbeat", &headers, &body.to_string());
    answer
}

/// Labels that each beat has in the log, as `viewer: key=value ...`, in the log's order.
async fn logged(inside: &Inside) -> Vec<String> {
    let (mut lines, mut after) = (Vec::new(), Position::START);
    loop {
        let read = inside.log.log.read(0, after, HandleKey::default()).await.unwrap();
        for (position, bytes) in &read.records {
            after = *position;
            for entry in record::decode(bytes).unwrap() {
                let RecordEntry::Full(event) = entry else { continue };
                if event.kind == EventKind::Beat {
                    let pairs = event.labels.pairs().filter(|(_, value)| !value.is_empty());
                    let pairs: Vec<String> =
                        pairs.map(|(key, value)| format!("{key}={value}")).collect();
                    lines.push(format!("{}: {}", event.ids.viewer, pairs.join(" ")));
                }
            }
        }
        if !read.more {
            return lines;
        }
    }
}

fn token(more: &[&str]) -> String {
    let keys = format!("auth.viewer_keys=secret:{SECRET}");
    let own = ["token", "--viewer", "ann", "--stage", "s", "--set", &keys];
    let output = housecount().args(own).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

#[timed_test(flavor = "multi_thread")]
async fn a_token_wins_over_a_header_and_a_header_over_the_body() {
    let keys = format!("secret:{SECRET}");
    let own = [("auth.viewer", "required"), ("auth.viewer_keys", &keys)];
    let inside = node(&[&BEHIND_A_PROXY[..], &own].concat()).await;
    // A key that is not configured does not matter in a token.
    let token = token(&["--label", "plan=gold", "--label", "colour=red"]);
    let bearer = format!("authorization: Bearer {token}");
    let body = json!({
        "stage": "s", "viewer": "ann",
        "labels": { "plan": "free", "country": "SE", "device": "tv" },
    });
    let country = "cloudfront-viewer-country: NO";
    assert_eq!(beat(&inside, &[&bearer, country], body.clone()).0, 200);
    // The session keeps them, whatever a later beat says.
    let later = json!({ "stage": "s", "viewer": "ann", "labels": { "device": "phone" } });
    assert_eq!(beat(&inside, &[&bearer], later).0, 200);
    // A token in the body counts the same.
    let mut beacon = body;
    (beacon["session"], beacon["token"]) = (json!("tab"), json!(token));
    assert_eq!(beat(&inside, &["x-device: phone"], beacon).0, 200);
    let lines = logged(&inside).await;
    assert_eq!(lines[0], "ann: country=NO device=tv plan=gold");
    assert_eq!(lines.last().unwrap(), "ann: country=SE device=phone plan=gold");
    assert!(!lines.iter().any(|line| line == "ann: device=phone"), "{lines:?}");
}

#[timed_test(flavor = "multi_thread")]
async fn a_header_counts_only_from_a_trusted_proxy() {
    let mut settings = BEHIND_A_PROXY;
    settings[3] = ("proxies", "10.0.0.0/8");
    let inside = node(&settings).await;
    let headers = ["cloudfront-viewer-country: NO", "x-device: tv", "x-forwarded-for: 10.1.1.1"];
    let body = json!({ "stage": "s", "viewer": "ann", "labels": { "device": "phone" } });
    assert_eq!(beat(&inside, &headers, body).0, 200);
    assert_eq!(beat(&inside, &headers, json!({ "stage": "s", "viewer": "bob" })).0, 200);
    assert_eq!(logged(&inside).await, ["ann: device=phone", "bob: "]);
    assert!(open(&inside, &["cloudfront-viewer-country: NO"]).await.is_ok());
}

/// The header of such a call is that of its own sender, not of the viewers.
#[timed_test(flavor = "multi_thread")]
async fn in_a_batch_each_heartbeat_has_its_own() {
    let inside = node(&BEHIND_A_PROXY).await;
    let beats = json!([
        { "stage": "s", "viewer": "ann", "labels": { "device": "tv", "country": null } },
        { "stage": "s", "viewer": "bob", "labels": { "colour": "red" } },
        { "stage": "s", "viewer": "cy", "labels": { "device": 7 } },
        { "stage": "s", "viewer": "dee" },
        { "stage": "s", "viewer": "eve", "labels": ["tv"] },
    ]);
    let headers = ["cloudfront-viewer-country: NO".to_string()];
    let (_, (status, body)) =
        ask_at(&inside.address, "POST /v1/heartbeats", &headers, &beats.to_string());
    assert_eq!((status, &body["accepted"]), (200, &json!(2)), "{body}");
    let rejected: Vec<_> = body["rejected"].as_array().unwrap().iter().collect();
    let detail = |n: usize| rejected[n]["detail"].as_str().unwrap();
    assert!(rejected.iter().all(|rejected| rejected["code"] == "invalid_labels"), "{body}");
    assert_eq!(
        detail(0),
        "labels: `colour` is not one of this node's labels (country, device, plan)"
    );
    assert_eq!(detail(1), "labels: `device`: invalid type: integer `7`, expected a string");
    assert_eq!(detail(2), "labels: invalid type: sequence, expected an object of strings");
    assert_eq!(logged(&inside).await, ["ann: device=tv", "dee: "]);
}

/// Claims of ann for an hour.
fn payload(labels: Value) -> Payload {
    Payload {
        sub: "ann".to_string(),
        stage: Some("s".to_string()),
        stage_prefix: None,
        session: None,
        streams: None,
        labels: Some(labels),
        exp: wall_clock().0 as f64 / 1_000.0 + 3_600.0,
        nbf: None,
        aud: None,
    }
}

#[timed_test(flavor = "multi_thread")]
async fn labels_that_are_wrong_are_refused_with_their_key() {
    let inside = node(&[]).await;
    let of = |labels: Value| json!({ "stage": "s", "viewer": "ann", "labels": labels });
    let (status, body) = beat(&inside, &[], of(json!({ "device": "tv" })));
    assert_eq!((status, &body["code"]), (400, &json!("invalid_labels")));
    assert_eq!(body["detail"], "labels: `device` is not one of this node's labels (none)");
    for none in [json!({}), Value::Null] {
        assert_eq!(beat(&inside, &[], of(none)).0, 200);
    }
    let leave = of(json!({ "device": 7 })).to_string();
    let (_, (status, _)) = ask_at(&inside.address, "POST /v1/leave", &[], &leave);
    assert_eq!(status, 400, "also in a leave, which has no use for them");

    let keys = format!("secret:{SECRET}");
    let own = [KEYS, ("auth.viewer", "optional"), ("auth.viewer_keys", &keys)];
    let inside = node(&own).await;
    let long = "x".repeat(LABEL_VALUE_BYTES_MAX + 1);
    for (value, why) in [
        (json!(long), "at most 32 bytes"),
        (json!("a\u{7}"), "no control characters"),
        (json!(true), "expected a string"),
    ] {
        let (status, body) = beat(&inside, &[], of(json!({ "device": value })));
        assert_eq!((status, &body["code"]), (400, &json!("invalid_labels")));
        assert!(body["detail"].as_str().unwrap().contains(why), "{body}");
    }
    for claim in [json!({ "device": long }), json!({ "device": 7 }), json!(["device"])] {
        let token = jwt::sign(&payload(claim.clone()), &keys, None).unwrap();
        let bearer = format!("authorization: Bearer {token}");
        let (status, body) = beat(&inside, &[&bearer], json!({ "stage": "s", "viewer": "ann" }));
        assert_eq!((status, &body["code"]), (401, &json!("token_invalid")), "{claim}: {body}");
        assert!(body["detail"].as_str().unwrap().contains("labels"), "{body}");
    }
    assert_eq!(logged(&inside).await, [""; 0]);
}

/// Sends heartbeats as one batch, which the log has afterwards.
fn send(inside: &Inside, beats: Vec<Value>) {
    let (count, beats) = (beats.len(), Value::from(beats));
    let (_, (status, body)) =
        ask_at(&inside.address, "POST /v1/heartbeats", &[], &beats.to_string());
    assert_eq!((status, &body["accepted"]), (200, &json!(count)), "{body}");
}

/// Number of values of a key that were replaced by `other`.
fn replaced(inside: &Inside, key: &str) -> u64 {
    let counter = &inside.node.engine.metrics.labels_other;
    counter.get_or_create(&LabelKeyLabel { key: key.to_string() }).get()
}

#[timed_test(flavor = "multi_thread")]
async fn label_values_max_and_then_other() {
    let inside = node(&[KEYS, ("limits.session_beats", "0")]).await;
    let of = |stage: &str, viewer: usize, device: usize| {
        json!({
            "stage": stage, "viewer": format!("viewer-{viewer}"),
            "labels": { "device": format!("device-{device}"), "country": "NO" },
        })
    };
    send(&inside, (0..=LABEL_VALUES_MAX).map(|n| of("s", n, n)).collect());
    let lines = logged(&inside).await;
    let last = lines.iter().find(|line| line.starts_with("viewer-1000:")).unwrap();
    assert_eq!(last, "viewer-1000: country=NO device=other");
    assert_eq!(lines.iter().filter(|line| line.contains("=other")).count(), 1);
    assert_eq!((replaced(&inside, "device"), replaced(&inside, "country")), (1, 0));
    // So does a later one. A value that the stage has stays, and another stage has its own.
    send(&inside, vec![of("s", 2_000, LABEL_VALUES_MAX)]);
    send(&inside, vec![of("s", 2_001, 7)]);
    send(&inside, vec![of("t", 2_002, LABEL_VALUES_MAX)]);
    assert_eq!((replaced(&inside, "device"), replaced(&inside, "country")), (2, 0));
    let lines = logged(&inside).await;
    let devices = lines.iter().map(|line| line.split_once("device=").unwrap().1);
    let devices: Vec<&str> = devices.skip(LABEL_VALUES_MAX + 1).collect();
    assert_eq!(devices, ["other", "device-7", "device-1000"]);
}

#[timed_test(flavor = "multi_thread")]
async fn label_values_all_max_on_all_stages_and_then_other() {
    let inside = node(&[KEYS, ("limits.new_stages_per_minute", "0")]).await;
    let of = |n: usize| {
        json!({
            "stage": format!("stage-{}", n / 900), "viewer": format!("viewer-{n}"),
            "labels": { "device": format!("device-{n}") },
        })
    };
    send(&inside, (0..LABEL_VALUES_ALL_MAX).map(of).collect());
    assert_eq!(replaced(&inside, "device"), 0);
    let more = |n: usize, device: usize| {
        let mut more = of(LABEL_VALUES_ALL_MAX + n);
        more["labels"]["device"] = format!("device-{device}").into();
        more
    };
    send(&inside, vec![more(0, LABEL_VALUES_ALL_MAX), more(1, 7)]);
    assert_eq!(replaced(&inside, "device"), 1);
    let lines = logged(&inside).await;
    let devices = lines[LABEL_VALUES_ALL_MAX..].iter().map(|line| line.split_once(": ").unwrap().1);
    let mut devices: Vec<&str> = devices.collect();
    devices.sort_unstable();
    assert_eq!(devices, ["device=device-7", "device=other"]);
}

#[timed_test(flavor = "multi_thread")]
async fn viewer_label_sets_max_on_a_stage_and_then_other() {
    let inside = node(&[KEYS]).await;
    let of = |stage: &str, session: usize, device: usize| {
        json!({
            "stage": stage, "viewer": "ann", "session": format!("tab-{session}"),
            "labels": { "device": format!("device-{device}"), "country": "NO" },
        })
    };
    // All sessions come at once: those on their way to the log count, too.
    send(&inside, (0..=VIEWER_LABEL_SETS_MAX).map(|n| of("s", n, n)).collect());
    assert_eq!((replaced(&inside, "device"), replaced(&inside, "country")), (1, 1));
    // A known set stays, and another stage has its own.
    send(&inside, vec![of("s", 10, 7)]);
    send(&inside, vec![of("t", 11, VIEWER_LABEL_SETS_MAX)]);
    send(&inside, vec![of("s", 12, VIEWER_LABEL_SETS_MAX)]);
    assert_eq!((replaced(&inside, "device"), replaced(&inside, "country")), (2, 2));
    let lines = logged(&inside).await;
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_start_matches("ann: ")).collect();
    let other = "country=other device=other";
    assert_eq!(lines.iter().filter(|line| **line == other).count(), 2);
    let last = ["country=NO device=device-7", "country=NO device=device-8", other];
    assert_eq!(lines[VIEWER_LABEL_SETS_MAX + 1..], last);
}

async fn open(inside: &Inside, headers: &[&str]) -> Result<WebSocketStream<TcpStream>, String> {
    let authority = inside.address.trim_start_matches("http://");
    let stream = TcpStream::connect(authority).await.map_err(|e| e.to_string())?;
    let mut request = format!("ws://{authority}/v1/ws").into_client_request().unwrap();
    for (name, value) in headers.iter().filter_map(|line| line.split_once(": ")) {
        let name: hyper::header::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let opened = tokio_tungstenite::client_async(request, stream).await;
    opened.map(|(socket, _)| socket).map_err(|e| e.to_string())
}

async fn say(socket: &mut WebSocketStream<TcpStream>, text: Value) -> Value {
    socket.send(Message::text(text.to_string())).await.unwrap();
    serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap()
}

/// A beat without ids repeats the labels as well, which matters once the session has ended.
#[timed_test(flavor = "multi_thread")]
async fn a_websocket_has_those_of_its_upgrade_and_of_its_messages() {
    let fast = [("interval", "100ms"), ("ttl", "300ms"), ("leave_grace", "50ms")];
    let inside = node(&[&BEHIND_A_PROXY[..], &fast].concat()).await;
    let mut socket = open(&inside, &["cloudfront-viewer-country: NO"]).await.unwrap();
    let labels = json!({ "device": "tv", "country": "SE" });
    let ann = json!({ "stage": "s", "viewer": "ann", "labels": labels });
    assert_eq!(say(&mut socket, ann).await["viewers"], 1);
    let wrong = json!({ "stage": "s", "viewer": "ann", "labels": { "colour": "red" } });
    assert_eq!(say(&mut socket, wrong).await["code"], "invalid_labels");
    let leave = json!({ "leave": true, "labels": { "colour": "red" } });
    assert_eq!(say(&mut socket, leave).await["left"], true);
    eventually("the session has ended", async || {
        inside.node.engine.hub.count("s").value.viewers == 0
    })
    .await;
    assert_eq!(say(&mut socket, json!({})).await["viewers"], 1);
    let lines = logged(&inside).await;
    assert_eq!(lines, ["ann: country=NO device=tv"; 2]);
}

#[test]
fn a_tokens_labels_are_checked_by_the_command() {
    for (labels, why) in [
        (&["--label", "country"][..], "write it as KEY=VALUE"),
        (&["--label", "Country=NO"], "lower-case letters"),
        (&["--label", "a=1", "--label", "a=2"], "--label: `a` is given twice"),
        (
            &["--label=a=1", "--label=b=1", "--label=c=1", "--label=d=1", "--label=e=1"],
            "at most 4 labels",
        ),
    ] {
        let own = ["token", "--viewer", "ann", "--stage", "s", "--set"];
        let keys = format!("auth.viewer_keys=secret:{SECRET}");
        let output = housecount().args(own).arg(keys).args(labels).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(why), "{error}");
    }
}
