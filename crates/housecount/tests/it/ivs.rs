//! `housecount ivs reconcile` against a CloudWatch on loopback that speaks the SDK's protocol, RPC
//! v2 CBOR.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ciborium::Value as Cbor;
use housecount_backend::clock::wall_clock;
use housecount_backend::log::MemoryLog;
use housecount_core::event::EventKind;
use housecount_core::span::Span;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::aws_profiles::{Profiles, says_what_to_use_instead};
use crate::ledger::stage::{HOUR_MS, LoggedEvent, MINUTE_MS, Stage, TTL_MS, WINDOW_MS};
use crate::support::cold::FaultyCold;
use crate::support::node::housecount;

const WATCHED: &str = "arn:aws:ivs:us-west-2:123456789012:stage/WatchedAaBb";
const FORGOTTEN: &str = "arn:aws:ivs:eu-central-1:123456789012:stage/ForgottenCc";
/// A stage without any event in the ledger.
const UNKNOWN: &str = "arn:aws:ivs:eu-central-1:123456789012:stage/UnknownDdEe";

/// A CloudWatch that knows IVS stages by the last part of their ARNs. Their numbers of subscribers
/// and publishers never change.
struct CloudWatch {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A query that arrived.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    namespace: String,
    metric: String,
    dimension: (String, String),
    period_s: i64,
    stat: String,
    region: String,
}

impl CloudWatch {
    async fn start(stages: &[(&str, f64, f64)], is_forbidden: bool) -> CloudWatch {
        let stages: BTreeMap<String, (f64, f64)> = stages
            .iter()
            .map(|(id, subscribers, publishers)| (id.to_string(), (*subscribers, *publishers)))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn({
            let (asked, stages) = (asked.clone(), Arc::new(stages));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (asked, stages) = (asked.clone(), stages.clone());
                    tokio::spawn(async move {
                        let service = service_fn(move |request| {
                            answer(request, asked.clone(), stages.clone(), is_forbidden)
                        });
                        let http = hyper::server::conn::http1::Builder::new();
                        let _ = http.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            }
        });
        CloudWatch { url, asked }
    }
}

fn field<'a>(map: &'a Cbor, name: &str) -> Option<&'a Cbor> {
    map.as_map()?.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
}

fn text(map: &Cbor, name: &str) -> String {
    field(map, name).and_then(Cbor::as_text).unwrap_or_default().to_string()
}

/// Seconds of a timestamp, which has CBOR tag 1.
fn seconds(map: &Cbor, name: &str) -> i64 {
    match field(map, name) {
        Some(Cbor::Tag(1, seconds)) => match &**seconds {
            Cbor::Float(seconds) => *seconds as i64,
            other => i64::try_from(other.as_integer().unwrap()).unwrap(),
        },
        other => panic!("{name} is {other:?}"),
    }
}

fn map(fields: Vec<(&str, Cbor)>) -> Cbor {
    Cbor::Map(fields.into_iter().map(|(name, value)| (Cbor::from(name), value)).collect())
}

async fn answer(
    request: Request<Incoming>,
    asked: Arc<Mutex<Vec<Asked>>>,
    stages: Arc<BTreeMap<String, (f64, f64)>>,
    is_forbidden: bool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| {
        request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_string()
    };
    assert_eq!(
        request.uri().path(),
        "/service/GraniteServiceVersion20100801/operation/GetMetricData"
    );
    assert_eq!(
        (header("smithy-protocol"), header("content-type")),
        ("rpc-v2-cbor".into(), "application/cbor".into())
    );
    let region = header("authorization").split('/').nth(2).unwrap_or_default().to_string();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let call: Cbor = ciborium::from_reader(&body[..]).unwrap();
    if is_forbidden {
        let error = map(vec![
            ("__type", Cbor::from("com.amazonaws.cloudwatch#AccessDenied")),
            ("message", Cbor::from("not authorized to perform: cloudwatch:GetMetricData")),
        ]);
        return Ok(cbor(403, &error));
    }
    let (from, to) = (seconds(&call, "StartTime"), seconds(&call, "EndTime"));
    // Two pages: the earlier half of the time, then the later.
    let is_second = field(&call, "NextToken").is_some();
    let middle = from + (to - from) / 2;
    let queries = field(&call, "MetricDataQueries").and_then(Cbor::as_array).unwrap();
    let results = queries.iter().map(|query| {
        let stat = field(query, "MetricStat").unwrap();
        let metric = field(stat, "Metric").unwrap();
        let dimension = &field(metric, "Dimensions").and_then(Cbor::as_array).unwrap()[0];
        let period_s =
            i64::try_from(field(stat, "Period").and_then(Cbor::as_integer).unwrap()).unwrap();
        let asked_for = Asked {
            namespace: text(metric, "Namespace"),
            metric: text(metric, "MetricName"),
            dimension: (text(dimension, "Name"), text(dimension, "Value")),
            period_s,
            stat: text(stat, "Stat"),
            region: region.clone(),
        };
        let known = stages.get(&asked_for.dimension.1);
        let value =
            known.map(|known| if asked_for.metric == "Subscribers" { known.0 } else { known.1 });
        let times = (from..to).step_by(period_s as usize).filter(|at| (*at >= middle) == is_second);
        let times: Vec<i64> = if value.is_some() { times.collect() } else { Vec::new() };
        asked.lock().push(asked_for);
        map(vec![
            ("Id", Cbor::from(text(query, "Id"))),
            ("Label", Cbor::from("a label")),
            (
                "Timestamps",
                times
                    .iter()
                    .map(|at| Cbor::Tag(1, Box::new(Cbor::from(*at as f64))))
                    .collect::<Vec<_>>()
                    .into(),
            ),
            ("Values", times.iter().map(|_| Cbor::from(value.unwrap())).collect::<Vec<_>>().into()),
            ("StatusCode", Cbor::from(if is_second { "Complete" } else { "PartialData" })),
        ])
    });
    let mut fields = vec![("MetricDataResults", Cbor::Array(results.collect()))];
    if !is_second {
        fields.push(("NextToken", Cbor::from("the later half")));
    }
    Ok(cbor(200, &map(fields)))
}

fn cbor(status: u16, body: &Cbor) -> Response<Full<Bytes>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(body, &mut bytes).unwrap();
    let response = Response::builder().status(status).header("content-type", "application/cbor");
    response.header("smithy-protocol", "rpc-v2-cbor").body(Full::from(bytes)).unwrap()
}

/// A ledger of an hour yesterday. Ten viewers are on one stage, four on another, and seven on a
/// stage outside IVS.
async fn an_hour(folder: &Path) -> Span {
    let from = wall_clock().minus(24 * HOUR_MS).aligned(HOUR_MS);
    let viewers = [(WATCHED, 10), (FORGOTTEN, 4), ("plain", 7)];
    let mut sent = Vec::new();
    for (stage, viewers) in viewers {
        for viewer in 0..viewers {
            sent.extend((0..=HOUR_MS + 2 * MINUTE_MS).step_by(30_000).map(|ms| LoggedEvent {
                at: from.plus(ms),
                logged: from.plus(ms + 1_000),
                kind: EventKind::Beat,
                stage: stage.to_string(),
                viewer: format!("viewer-{viewer}"),
                session: String::new(),
            }));
        }
    }
    sent.sort_by_key(|event| event.logged);
    let cold = Arc::new(FaultyCold::over(SqliteCold::open(folder).unwrap()));
    let log = Arc::new(MemoryLog::default());
    let stage = Stage { events: sent, cold, log, labels_of: None };
    let mut node = stage.node().await;
    for n in 1..=HOUR_MS / WINDOW_MS {
        let now = from.plus(n * WINDOW_MS + TTL_MS + 1_000);
        stage.hear(&mut node, now).await;
        node.commit(now).await.unwrap();
    }
    Span::new(from, from.plus(HOUR_MS))
}

/// Runs the command; returns its exit code, its output and its complaints.
async fn reconcile(
    folder: &Path,
    range: Span,
    endpoint: &str,
    more: &[&str],
) -> (Option<i32>, String, String) {
    let mut command = housecount();
    command.args(["ivs", "reconcile", "--cold", &format!("embedded:{}", folder.display())]);
    command.args([
        "--from",
        &range.from.0.to_string(),
        "--to",
        &range.to.0.to_string(),
        "--endpoint",
        endpoint,
    ]);
    command.args(more);
    output_of(command).await
}

async fn output_of(mut command: std::process::Command) -> (Option<i32>, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[timed_test(flavor = "multi_thread")]
async fn a_profile_of_iam_identity_center_is_reported_as_unusable() {
    let folder = tempfile::tempdir().unwrap();
    let range = an_hour(folder.path()).await;
    let profiles = Profiles::new();
    let mut command = profiles.housecount("centre");
    command.args(["ivs", "reconcile", "--cold", &format!("embedded:{}", folder.path().display())]);
    command.args(["--from", &range.from.0.to_string(), "--to", &range.to.0.to_string()]);
    let (code, _, complaint) = output_of(command).await;
    assert_ne!(code, Some(0));
    assert!(complaint.contains("asking CloudWatch in "), "{complaint}");
    says_what_to_use_instead(&complaint, "IAM Identity Center (sso)");
}

#[timed_test(flavor = "multi_thread")]
async fn stages_that_drift_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let range = an_hour(folder.path()).await;
    let ivs =
        CloudWatch::start(&[("WatchedAaBb", 10.1, 2.0), ("ForgottenCc", 8.0, 1.0)], false).await;

    let (code, out, err) = reconcile(folder.path(), range, &ivs.url, &["--json"]).await;
    assert_eq!(code, Some(1), "{out}{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&found["otherStages"], found["stages"].as_array().unwrap().len()),
        (&1.into(), 2),
        "{found}"
    );
    let of = |arn: &str| {
        found["stages"].as_array().unwrap().iter().find(|of| of["stage"] == arn).unwrap()
    };
    assert_eq!(
        (&of(WATCHED)["drifts"], &of(FORGOTTEN)["drifts"]),
        (&false.into(), &true.into()),
        "{found}"
    );
    assert_eq!(
        (&of(WATCHED)["viewerHours"], &of(FORGOTTEN)["viewerHours"]),
        (&10.0.into(), &4.0.into()),
        "{found}"
    );
    let hours = of(FORGOTTEN)["subscriberHours"].as_f64().unwrap();
    assert!((hours - 8.0).abs() < 1e-9, "the node reads both pages: {found}");
    assert_eq!(of(FORGOTTEN)["drift"], -0.5, "{found}");
    let steps = of(FORGOTTEN)["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 12, "{found}");
    let expected = serde_json::json!({
        "at": range.from.0, "viewers": 4.0, "subscribers": 8.0, "publishers": 1.0, "drift": -0.5,
    });
    assert_eq!(steps[0], expected);

    let of_forgotten = Asked {
        namespace: "AWS/IVSRealTime".to_string(),
        metric: "Subscribers".to_string(),
        dimension: ("Stage".to_string(), "ForgottenCc".to_string()),
        period_s: 300,
        stat: "Average".to_string(),
        region: "eu-central-1".to_string(),
    };
    let asked = ivs.asked.lock().clone();
    assert!(asked.contains(&of_forgotten), "the node asks the stage's own region: {asked:?}");
    assert_eq!(
        asked.len(),
        8,
        "the node asks for two metrics of two stages, in two pages each: {asked:?}"
    );

    // The table for people begins with the stage that drifts.
    let (code, out, _) = reconcile(folder.path(), range, &ivs.url, &[]).await;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(code, Some(1));
    assert!(lines[1].starts_with(FORGOTTEN) && lines[1].ends_with("-50.0%  DRIFTS"), "{out}");
    assert!(out.contains("7 more steps; --json lists all"), "{out}");

    for (more, expected) in [
        (vec!["--drift-max", "50%"], 0),
        (vec!["--stage", WATCHED], 0),
        (vec!["--stage", WATCHED, "--drift-max", "0.5%"], 1),
        (vec!["--stage", FORGOTTEN], 1),
    ] {
        let (code, out, err) = reconcile(folder.path(), range, &ivs.url, &more).await;
        assert_eq!(code, Some(expected), "{more:?}: {out}{err}");
    }
    // All queries go to one region if a flag names it.
    ivs.asked.lock().clear();
    reconcile(folder.path(), range, &ivs.url, &["--region", "us-east-1"]).await;
    assert!(ivs.asked.lock().iter().all(|asked| asked.region == "us-east-1"));
}

#[timed_test(flavor = "multi_thread")]
async fn an_unknown_stage_is_all_drift() {
    let folder = tempfile::tempdir().unwrap();
    let range = an_hour(folder.path()).await;
    let ivs = CloudWatch::start(&[("UnknownDdEe", 3.0, 1.0)], false).await;
    let (code, out, err) =
        reconcile(folder.path(), range, &ivs.url, &["--stage", UNKNOWN, "--json"]).await;
    assert_eq!(code, Some(1), "{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&found["stages"][0]["drift"], &found["stages"][0]["viewerHours"]),
        (&(-1.0).into(), &0.0.into())
    );
    // The other way round, IVS has no data about a stage that was watched.
    let (code, out, _) =
        reconcile(folder.path(), range, &ivs.url, &["--stage", WATCHED, "--json"]).await;
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found["stages"][0]["drift"]), (Some(1), &1.0.into()));
    assert_eq!(found["stages"][0]["steps"][0]["subscribers"], Value::Null);
}

#[timed_test(flavor = "multi_thread")]
async fn what_can_not_be_found_out_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let range = an_hour(folder.path()).await;
    let ivs = CloudWatch::start(&[], true).await;
    for (more, named) in [
        (vec![], "cloudwatch:GetMetricData"),
        (vec!["--stage", "my-stage"], "--stage my-stage"),
        (vec!["--step", "30s"], "--step 30s"),
        (vec!["--step", "2h"], "no complete step"),
        (vec!["--drift-max", "lots"], "`lots`"),
    ] {
        let (code, out, err) = reconcile(folder.path(), range, &ivs.url, &more).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{more:?}: {err}");
        assert!(err.contains(named), "{more:?}: {err}");
    }
}
