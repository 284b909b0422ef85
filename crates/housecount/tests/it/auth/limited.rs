//! Keys limited to a customer or stages, and share links: what they read, and what they don't.

use housecount_access::auth::ShareLink;
use housecount_access::auth::operators::{NewKey, SCOPES, new_share_secret, share_link};
use housecount_core::ids::StageId;
use housecount_core::limits::SHARE_MS_MAX;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::raw::{all, ask};
use super::{in_s, refused};
use crate::support::eventually;
use crate::support::node::{Node, housecount};
use crate::support::sse::Events;

/// A node with stages of two customers, and keys of each kind.
struct Platform {
    node: Node,
    file: NamedTempFile,
    /// A key without a limit.
    whole: String,
    /// A key of the customer ACME.
    acme: String,
    /// A key of the customer BETA.
    beta: String,
    /// A key for `match-*`.
    matches: String,
    /// A link to `match-own`.
    link: String,
}

const SETTINGS: [&str; 7] = [
    "log=memory:",
    "interval=1s",
    "ttl=3s",
    "leave_grace=200ms",
    "window=2s",
    "snapshot_interval=1s",
    "auth.viewer=required",
];

impl Platform {
    /// Starts the node. ACME has `match-own`, BETA has `match-beta` and `news-beta`, and no
    /// customer has `plain`. The viewer `own` watches all of them, each other one.
    async fn start() -> Platform {
        let file = NamedTempFile::new().unwrap();
        let patterns = ["match-*".to_string()];
        let key = |customer: Option<&str>, stages: &[String]| {
            NewKey { name: "any", scopes: &SCOPES, customer, stages }.create().unwrap()
        };
        let made =
            [key(None, &[]), key(Some("ACME"), &[]), key(Some("BETA"), &[]), key(None, &patterns)];
        let entries: Vec<&str> = made.iter().map(|(_, entry)| entry.as_str()).collect();
        let text = format!("{}\n{}", new_share_secret(), entries.join("\n"));
        std::fs::write(file.path(), text).unwrap();
        let [whole, acme, beta, matches] = made.map(|(key, _)| key);
        let operators = format!("auth.operator_keys={}", file.path().display());
        let viewers = format!("auth.viewer_keys=secret:{}", super::SECRET);
        let node = Node::ready(&[&SETTINGS[..], &[&operators, &viewers]].concat()).await;
        let link = link_to(&file, "match-own", 3_600.0);
        let platform = Platform { node, file, whole, acme, beta, matches, link };
        for (stage, customer) in
            [("match-own", "ACME"), ("match-beta", "BETA"), ("news-beta", "BETA")]
        {
            let body = json!({ "stage": stage, "customer": customer, "tags": { "of": customer } });
            let (status, body) =
                platform.call(&platform.whole, Method::POST, "/v1/stages", body).await;
            assert_eq!(status, 201, "{body}");
        }
        platform.watch(1_000).await;
        platform
    }

    /// Sends beats of all viewers until so much of their time is proven, and a snapshot is there.
    async fn watch(&self, watch_ms: u64) {
        let seats = [
            ("match-own", "own"),
            ("match-own", "fan-of-own"),
            ("match-beta", "own"),
            ("match-beta", "fan-of-match"),
            ("news-beta", "own"),
            ("news-beta", "fan-of-news"),
            ("plain", "own"),
            ("plain", "fan-of-plain"),
        ];
        let beats = seats.map(|(stage, viewer)| json!({ "stage": stage, "viewer": viewer }));
        eventually("time is proven on each stage", async || {
            let (status, _) =
                self.call(&self.whole, Method::POST, "/v1/heartbeats", json!(beats)).await;
            assert_eq!(status, 200);
            let watch = self.get(&self.whole, "/v1/watch").await;
            let all = watch["watch"].as_array().unwrap();
            let snapshots = self.get(&self.whole, "/v1/stage/snapshots?stage=match-own").await;
            all.len() == 4
                && all.iter().all(|row| row["watchMs"].as_u64().unwrap() > watch_ms)
                && !snapshots["snapshots"].as_array().unwrap().is_empty()
        })
        .await;
    }

    async fn call(&self, key: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, body) = self.node.client.call_as(key, method, path, body).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn get(&self, key: &str, path: &str) -> Value {
        let (status, body) = self.call(key, Method::GET, path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Returns the whole answer to a call, as text.
    fn text(&self, key: &str, line: &str) -> (u16, String) {
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
        );
        let answer = all(&self.node, &request);
        let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or(0), answer)
    }
}

fn link_to(file: &NamedTempFile, stage: &str, seconds: f64) -> String {
    let ends = housecount_core::time::UnixMs((in_s(seconds) * 1_000.0) as u64);
    share_link(file.path(), &StageId::parse(stage).unwrap(), ends).unwrap()
}

/// Answer of an operator's route to a limited key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limited {
    /// The answer has the key's stages only.
    Filtered(&'static str),
    /// The call names a stage, which must be the key's.
    OfStage(&'static str),
    /// The call changes a stage, or sends heartbeats. Other tests have its bodies.
    Changes,
    /// 403: the call covers all stages.
    Refused,
    /// The call needs no key, or a viewer's token.
    NoKey,
}

/// Every operation, with the query that it needs. A new route must be added here, and to the table
/// in docs/SECURITY.md.
const ROUTES: &[(&str, Limited)] = &[
    ("GET /api/health", Limited::NoKey),
    ("GET /api/stats", Limited::Refused),
    ("GET /api/stats/stages", Limited::OfStage("?arn={stage}")),
    ("GET /api/stats/viewers", Limited::Refused),
    ("GET /api/viewer/duration", Limited::OfStage("?userId=own&stageArn={stage}")),
    ("POST /api/viewer/heartbeat", Limited::Changes),
    ("GET /api/viewer/history/{userId}", Limited::Filtered("")),
    ("POST /api/viewer/leave", Limited::Changes),
    ("GET /api/viewer/list/{stageArn}", Limited::OfStage("")),
    ("POST /api/viewer/rejoin", Limited::Changes),
    ("GET /api/viewer/stats/{stageArn}", Limited::OfStage("")),
    ("GET /health", Limited::NoKey),
    ("GET /healthz", Limited::NoKey),
    ("GET /metrics", Limited::Refused),
    ("GET /readyz", Limited::NoKey),
    ("POST /v1/admin/restore", Limited::Refused),
    ("POST /v1/admin/snapshot", Limited::Refused),
    (
        "GET /v1/compare",
        Limited::OfStage("?a={stage}@2001-02-02..2100-01-01&b=match-own@2001-02-02..2100-01-01"),
    ),
    ("GET /v1/cost", Limited::Refused),
    ("GET /v1/events", Limited::Refused),
    ("GET /v1/webhooks", Limited::Refused),
    ("POST /v1/heartbeat", Limited::NoKey),
    ("POST /v1/heartbeats", Limited::Changes),
    ("GET /v1/history", Limited::Filtered("")),
    ("POST /v1/leave", Limited::NoKey),
    // Its stream is in a test of its own.
    ("GET /v1/live", Limited::NoKey),
    ("GET /v1/public/count", Limited::NoKey),
    ("GET /v1/report", Limited::Filtered("")),
    ("GET /v1/stage", Limited::OfStage("?stage={stage}")),
    ("PATCH /v1/stage", Limited::Changes),
    ("DELETE /v1/stage", Limited::Changes),
    ("GET /v1/stage/broadcasts", Limited::OfStage("?stage={stage}")),
    ("GET /v1/stage/history", Limited::OfStage("?stage={stage}")),
    ("GET /v1/stage/report", Limited::OfStage("?stage={stage}")),
    ("GET /v1/stage/snapshots", Limited::OfStage("?stage={stage}")),
    ("GET /v1/stage/viewers", Limited::OfStage("?stage={stage}")),
    ("GET /v1/stage/watch", Limited::OfStage("?stage={stage}")),
    ("GET /v1/stages", Limited::Filtered("")),
    ("POST /v1/stages", Limited::Changes),
    ("GET /v1/stages/{stage}", Limited::OfStage("")),
    ("PATCH /v1/stages/{stage}", Limited::Changes),
    ("DELETE /v1/stages/{stage}", Limited::Changes),
    ("GET /v1/stages/{stage}/broadcasts", Limited::OfStage("")),
    ("GET /v1/stages/{stage}/history", Limited::OfStage("?step=1m")),
    ("GET /v1/stages/{stage}/report", Limited::OfStage("")),
    ("GET /v1/stages/{stage}/snapshots", Limited::OfStage("")),
    ("GET /v1/stages/{stage}/viewers", Limited::OfStage("")),
    ("GET /v1/stages/{stage}/watch", Limited::OfStage("?sort=watchMs")),
    ("GET /v1/stats", Limited::Refused),
    ("GET /v1/usage", Limited::Filtered("")),
    ("GET /v1/viewer", Limited::Filtered("?viewer=own")),
    ("GET /v1/viewer/watch", Limited::Filtered("?viewer=own&sort=watchMs")),
    ("GET /v1/viewers/{viewer}", Limited::Filtered("")),
    ("GET /v1/viewers/{viewer}/watch", Limited::Filtered("?intervals=true")),
    ("GET /v1/watch", Limited::Filtered("?step=1h&limit=10")),
    ("GET /v1/ws", Limited::NoKey),
    ("GET /ws", Limited::Refused),
];

fn with_ids(line: &str, stage: &str) -> String {
    let line = line.replace("{stage}", stage).replace("{stageArn}", stage);
    line.replace("{viewer}", "own").replace("{userId}", "own")
}

/// Calls every operation of /openapi.json with each limited key. A new route fails here until it
/// is in the table above, and it is only then called with a key.
#[timed_test(flavor = "multi_thread")]
async fn no_route_shows_a_limited_key_what_is_outside() {
    let platform = Platform::start().await;
    let api = platform.node.get("/openapi.json").await;
    let mut lines: Vec<String> = Vec::new();
    for (path, operations) in api["paths"].as_object().unwrap() {
        let methods = operations.as_object().unwrap().keys();
        lines.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let security = include_str!("../../../../../docs/SECURITY.md");
    let of_customer = ["beta", "fan-of-match", "fan-of-news", "plain"];
    let of_patterns = ["news-beta", "fan-of-news", "plain"];
    let keys: [(&str, &String, &[&str], &str); 3] = [
        ("customer", &platform.acme, &of_customer, "match-beta"),
        ("stages", &platform.matches, &of_patterns, "news-beta"),
        ("link", &platform.link, &of_customer, "match-beta"),
    ];
    for line in lines {
        let Some((_, limited)) = ROUTES.iter().find(|(known, _)| *known == line) else {
            panic!("`{line}` is not in this test: what does a limited key get?");
        };
        for (name, key, foreign, outside) in keys {
            let check = |line: &str, status: u16| {
                let (found, text) = platform.text(key, line);
                assert_eq!(found, status, "{name}: {line}: {text}");
                let shown = text.to_lowercase();
                for word in foreign {
                    assert!(!shown.contains(word), "{name}: {line} shows {word}: {text}");
                }
            };
            match limited {
                Limited::Filtered(query) => {
                    check(&with_ids(&format!("{line}{query}"), "match-own"), 200)
                }
                Limited::OfStage(query) => {
                    let line = format!("{line}{query}");
                    check(&with_ids(&line, "match-own"), 200);
                    // A stage that exists and one that doesn't are answered the same.
                    let [there, absent] = [outside, "none-such"].map(|stage| {
                        let (status, text) = platform.text(key, &with_ids(&line, stage));
                        assert_eq!(status, 403, "{name}: {line}: {text}");
                        let (_, body) = text.split_once("\r\n\r\n").unwrap();
                        let mut body: Value = serde_json::from_str(body).unwrap();
                        body["timestamp"] = Value::Null;
                        body.to_string().replace(stage, "STAGE")
                    });
                    assert_eq!(there, absent, "{name}: {line}");
                }
                Limited::Refused => check(&with_ids(&line, "match-own"), 403),
                Limited::Changes if name == "link" => check(&with_ids(&line, "match-own"), 403),
                Limited::Changes | Limited::NoKey => {}
            }
        }
        let path = line.split_once(' ').unwrap().1;
        let is_by_query = path.starts_with("/v1/stage/") || path.starts_with("/v1/viewer/");
        if *limited != Limited::NoKey && !is_by_query {
            assert!(security.contains(path), "{path} is not in docs/SECURITY.md");
        }
    }
}

#[timed_test(flavor = "multi_thread")]
async fn limited_keys_read_their_part_exactly_and_history_keeps_its_customer() {
    let platform = Platform::start().await;
    // ACME buys a stage of BETA. The windows before stay BETA's.
    platform.watch(4_500).await;
    let body = json!({ "customer": "ACME" });
    let moved = "/v1/stages/match-beta";
    let moved = platform.call(&platform.whole, Method::PATCH, moved, body).await;
    assert_eq!(moved.0, 200, "{moved:?}");
    let from = moved.1["effectiveFrom"].as_u64().unwrap();
    eventually("time after the change is proven", async || {
        platform.watch(0).await;
        let path = format!("/v1/stages/match-beta/watch?from={from}");
        let watch = platform.get(&platform.whole, &path).await;
        watch["watch"][0]["watchMs"].as_u64().unwrap_or(0) > 6_000
    })
    .await;
    // A fixed range, in which no more time is proven.
    let to = platform.get(&platform.whole, "/v1/stats").await["asOf"].as_u64().unwrap();
    let begin = from - 60_000;
    let range = format!("from={begin}&to={}", to - 3_000);
    eventually("the range is committed", async || {
        platform.get(&platform.whole, &format!("/v1/watch?{range}")).await["complete"] == true
    })
    .await;
    let get = async |key: &str, path: &str| platform.get(key, &format!("{path}{range}")).await;
    let stage_sum = |watch: &Value, stage: &str| {
        let rows = watch["watch"].as_array().unwrap().iter();
        rows.filter(|row| row["stage"] == stage)
            .map(|row| row["watchMs"].as_u64().unwrap())
            .sum::<u64>()
    };
    let [whole, acme, beta] = [
        get(&platform.whole, "/v1/watch?").await,
        get(&platform.acme, "/v1/watch?").await,
        get(&platform.beta, "/v1/watch?").await,
    ];
    for (stage, acmes, betas) in
        [("match-own", true, false), ("match-beta", true, true), ("news-beta", false, true)]
    {
        let sums = [&acme, &beta].map(|watch| stage_sum(watch, stage));
        assert_eq!(sums.iter().sum::<u64>(), stage_sum(&whole, stage), "{stage}");
        assert_eq!(sums.map(|sum| sum > 0), [acmes, betas], "{stage}");
    }
    assert_eq!(stage_sum(&acme, "plain") + stage_sum(&beta, "plain"), 0);
    // The other ways to the same time.
    for (key, watch) in [(&platform.acme, &acme), (&platform.beta, &beta)] {
        let all: u64 = watch["watch"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["watchMs"].as_u64().unwrap())
            .sum();
        let report = get(key, "/v1/report?").await;
        assert_eq!(report["watchMs"], all, "{report}");
        let usage = get(key, "/v1/usage?").await;
        assert_eq!(
            (usage["usage"][0]["watchMs"].as_u64(), usage["usage"].as_array().unwrap().len()),
            (Some(all), 1)
        );
        let history = get(key, "/v1/history?step=1s&").await;
        let integral: f64 = steps(&history, to - 3_000);
        assert!((integral - all as f64).abs() < 1.0, "{integral} {all}");
        let moved = stage_sum(watch, "match-beta");
        let of_stage = get(key, "/v1/stages/match-beta/report?").await;
        assert_eq!(of_stage["watchMs"], moved, "{of_stage}");
        let rows = get(key, "/v1/stages/match-beta/watch?").await;
        let sum = |rows: &Value| {
            rows["watch"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["watchMs"].as_u64().unwrap())
                .sum::<u64>()
        };
        assert_eq!(sum(&rows), moved);
        let sorted = get(key, "/v1/stages/match-beta/watch?sort=watchMs&").await;
        assert_eq!(sum(&sorted), moved);
        let own = get(key, "/v1/viewers/own/watch?").await;
        let row = own["watch"].as_array().unwrap().iter().find(|row| row["stage"] == "match-beta");
        let of_viewer = rows["watch"].as_array().unwrap().iter().find(|row| row["viewer"] == "own");
        assert_eq!(row.unwrap()["watchMs"], of_viewer.unwrap()["watchMs"]);
        let usage = platform.call(key, Method::GET, "/v1/usage?customer=OTHER", Value::Null).await;
        assert_eq!(refused(&usage), (403, "outside_key"));
    }
    // Snapshots are each customer's until or from the change.
    let path = "/v1/stages/match-beta/snapshots?";
    let times = |found: &Value| {
        let all = found["snapshots"].as_array().unwrap().iter();
        all.map(|snapshot| snapshot["timestamp"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let [after, before] = [get(&platform.acme, path).await, get(&platform.beta, path).await]
        .map(|found| times(&found));
    assert!(after.iter().all(|at| *at >= from) && before.iter().all(|at| *at < from));
    assert!(!after.is_empty() && !before.is_empty());
    let both: Vec<u64> = before.into_iter().chain(after).collect();
    assert_eq!(both, times(&get(&platform.whole, path).await));
    // Present reads go by the present customer, ten seconds later at most.
    let now = async |key: &str| {
        platform.call(key, Method::GET, "/v1/stages/match-beta", Value::Null).await
    };
    eventually("the stage is ACME's", async || {
        now(&platform.acme).await.0 == 200 && now(&platform.beta).await.0 == 403
    })
    .await;
    let stages = platform.get(&platform.acme, "/v1/stages?sort=viewers").await;
    assert_eq!(stages["stages"].as_array().unwrap().len(), 2, "{stages}");
}

/// Viewer-milliseconds of a history with steps of a second.
fn steps(history: &Value, to: u64) -> f64 {
    let step_ms = history["stepMs"].as_u64().unwrap();
    let from = history["from"].as_u64().unwrap();
    let each = history["history"].as_array().unwrap().iter().map(|step| {
        let at = step["at"].as_u64().unwrap().max(from);
        let until = ((at / step_ms + 1) * step_ms).min(to);
        step["avg"].as_f64().unwrap() * (until - at) as f64
    });
    each.sum()
}

#[timed_test(flavor = "multi_thread")]
async fn changes_and_beats_stay_within_the_key() {
    let platform = Platform::start().await;
    let Platform { acme, matches, .. } = &platform;
    let call = async |key: &str, method: Method, path: &str, body: Value| {
        let answer = platform.call(key, method, path, body).await;
        let (status, code) = refused(&answer);
        (status, code.to_string())
    };
    let outside = (403, "outside_key".to_string());
    let stages = "/v1/stages";
    for (key, body) in [
        // A key of a customer could take any stage that is not configured.
        (acme, json!({ "stage": "new", "customer": "ACME" })),
        (acme, json!({ "stage": "plain" })),
        (matches, json!({ "stage": "new" })),
    ] {
        assert_eq!(call(key, Method::POST, stages, body.clone()).await, outside, "{body}");
    }
    assert_eq!(call(matches, Method::POST, stages, json!({ "stage": "match-new" })).await.0, 201);
    for (key, path, body) in [
        (acme, "/v1/stages/match-beta", json!({ "name": "x" })),
        (acme, "/v1/stages/none-such", json!({ "name": "x" })),
        (acme, "/v1/stages/match-own", json!({ "customer": "BETA" })),
        (acme, "/v1/stages/match-own", json!({ "customer": null })),
        (matches, "/v1/stages/news-beta", json!({ "name": "x" })),
    ] {
        assert_eq!(call(key, Method::PATCH, path, body.clone()).await, outside, "{path} {body}");
    }
    for body in [json!({ "name": "x" }), json!({ "customer": "ACME" })] {
        assert_eq!(call(acme, Method::PATCH, "/v1/stages/match-own", body).await.0, 200);
    }
    for (key, stage) in [(acme, "match-beta"), (acme, "none-such"), (matches, "news-beta")] {
        let path = format!("/v1/stages/{stage}");
        assert_eq!(call(key, Method::DELETE, &path, Value::Null).await, outside, "{stage}");
    }
    let beats = ["match-own", "match-beta", "plain"]
        .map(|stage| json!({ "stage": stage, "viewer": "late" }));
    let batch = platform.call(acme, Method::POST, "/v1/heartbeats", json!(beats)).await;
    assert_eq!((batch.0, &batch.1["accepted"]), (200, &json!(1)), "{batch:?}");
    let rejected = batch.1["rejected"].as_array().unwrap();
    assert!(rejected.len() == 2 && rejected.iter().all(|each| each["code"] == "outside_key"));
    for action in ["rejoin", "heartbeat", "leave"] {
        let line = format!("POST /api/viewer/{action}");
        let headers = [format!("x-api-key: {acme}"), "content-type: application/json".to_string()];
        let of = |stage: &str| {
            json!({ "userId": "own", "stageArn": stage, "participantId": "p" }).to_string()
        };
        assert_eq!(ask(&platform.node, &line, &headers, &of("match-own")).1.0, 200, "{action}");
        let answer = ask(&platform.node, &line, &headers, &of("plain")).1;
        assert_eq!(refused(&answer), (403, "forbidden"), "{action}: {answer:?}");
    }
    assert_eq!(call(acme, Method::DELETE, "/v1/stages/match-own", Value::Null).await.0, 200);
    assert_eq!(call(acme, Method::GET, "/v1/stages/match-own", Value::Null).await, outside);
}

#[timed_test(flavor = "multi_thread")]
async fn a_stream_has_named_stages_of_the_key_and_ends_with_them() {
    let platform = Platform::start().await;
    let Platform { acme, matches, link, .. } = &platform;
    for (key, query, expected) in [
        (acme, "", "key_limited"),
        (acme, "?totals=true", "key_limited"),
        (link, "?stage=match-own&totals=true", "key_limited"),
        (acme, "?stage=match-own&stage=match-beta", "outside_key"),
        (matches, "?stage=none-such", "outside_key"),
        (link, "?stage=match-beta", "outside_key"),
    ] {
        let path = format!("/v1/live{query}");
        let answer = platform.call(key, Method::GET, &path, Value::Null).await;
        assert_eq!(refused(&answer), (403, expected), "{query}");
    }
    let open = async |key: &str, stage: &str| {
        let header = ("authorization", format!("Bearer {key}"));
        let path = format!("/v1/live?stage={stage}");
        Events::open_with(&platform.node.address, &path, &[header]).await
    };
    let (of_customer, mut of_patterns) =
        (open(acme, "match-own").await, open(matches, "match-own").await);
    let short = link_to(&platform.file, "match-own", 3.0);
    let mut of_link = open(&short, "match-own").await;
    assert_eq!(of_link.next().await.unwrap().data["viewers"], 2);
    let ending = async |mut events: Events| {
        let mut last = None;
        while let Some(event) = events.next().await {
            last = Some(event);
        }
        let last = last.unwrap();
        assert_eq!(last.name, "end", "{last:?}");
        last.data["code"].as_str().unwrap().to_string()
    };
    assert_eq!(ending(of_link).await, "link_expired");
    let again = platform.call(&short, Method::GET, "/v1/stages/match-own", Value::Null).await;
    assert_eq!(refused(&again), (401, "link_expired"));
    let body = json!({ "customer": "BETA" });
    let path = "/v1/stages/match-own";
    assert_eq!(platform.call(&platform.whole, Method::PATCH, path, body).await.0, 200);
    assert_eq!(ending(of_customer).await, "outside_key");
    of_patterns.next().await.unwrap();
    // Another secret ends all links, and other limits end what was opened with the old ones.
    let of_link = open(link, "match-own").await;
    let text = std::fs::read_to_string(platform.file.path()).unwrap();
    let (_, entries) = text.split_once('\n').unwrap();
    let text = format!("{}\n{}", new_share_secret(), entries.replace("match-*", "news-*"));
    std::fs::write(platform.file.path(), text).unwrap();
    assert_eq!(ending(of_link).await, "key_removed");
    assert_eq!(ending(of_patterns).await, "key_removed");
    let answer = platform.call(link, Method::GET, path, Value::Null).await;
    assert_eq!(refused(&answer), (401, "unauthorized"));
}

#[test]
fn share_ms_max_bounds_a_link_and_the_commands_say_what_is_wrong() {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), new_share_secret()).unwrap();
    let keys = file.path().display().to_string();
    let run = |args: &[&str]| {
        let output = housecount().args(args).output().unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.success(), out.trim().to_string(), err)
    };
    let share = |more: &[&str]| {
        run(&[&["key", "share", "--stage", "match-1", "--keys", &keys], more].concat())
    };
    let (days, more) = (SHARE_MS_MAX / 86_400_000, SHARE_MS_MAX / 86_400_000 + 1);
    let now = || housecount_backend::clock::wall_clock();
    for (ttl, ms) in [(None, 7 * 86_400_000), (Some(format!("{days}d")), SHARE_MS_MAX)] {
        let ttl = ttl.map(|ttl| ["--ttl".to_string(), ttl]);
        let (ok, link, err) = share(&ttl.iter().flatten().map(String::as_str).collect::<Vec<_>>());
        assert!(ok, "{err}");
        let link = ShareLink::parse(&link).unwrap();
        assert_eq!(link.stage().as_str(), "match-1");
        let left_ms = link.ends().since(now());
        assert!((ms - 60_000..=ms).contains(&left_ms), "{left_ms} of {ms}");
    }
    let (_, url, _) = share(&["--server", "https://count.example.com/"]);
    assert!(url.starts_with("https://count.example.com/#share=hcs_"), "{url}");
    for (args, named) in [
        (vec!["--ttl", &*format!("{more}d")], "--ttl: not between 1s and 90d"),
        (vec!["--ttl", "10ms"], "--ttl: not between 1s and 90d"),
        (vec!["--server", "count.example.com"], "--server: not an address"),
    ] {
        let (ok, out, err) = share(&args);
        assert!(!ok && out.is_empty() && err.contains(named), "{args:?}: {err}");
    }
    let (_, _, err) = run(&["key", "share", "--stage", "s"]);
    assert!(err.contains("no file of keys; give one with --keys FILE"), "{err}");
    std::fs::write(file.path(), "").unwrap();
    assert!(share(&[]).2.contains("add this line at the top: share_secret = "));
    let new = ["key", "new", "--name", "acme", "--scope", "read"];
    let limits = ["--customer", "ACME", "--stages", "match-*,cup"];
    let (_, entry, _) = run(&[&new[..], &limits].concat());
    let entry: toml::Table = entry.parse().unwrap();
    assert_eq!(entry["key"][0]["customer"], toml::Value::from("ACME"));
    assert_eq!(entry["key"][0]["stages"], toml::Value::from(vec!["match-*", "cup"]));
    let (ok, _, err) = run(&[&new[..], &["--stages", "a b"]].concat());
    assert!(!ok && err.contains("--stages: `a b`"), "{err}");
}
