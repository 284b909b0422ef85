//! Every stored format, as released versions have written it. Later versions must read the same.
//!
//! `tests/stored/VERSION` has the two databases of a node that had an audience, and `expected.txt`
//! describes all that is in them. The databases of a released version never change. Write those of
//! the present one with:
//! `cargo test -p housecount --features full --test it -- --ignored stored::write`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use housecount_backend::clock::wall_clock;
use housecount_backend::cold::Cold;
use housecount_backend::cold::bulk::Bulk;
use housecount_backend::log::Position;
use housecount_core::event::{EventKind, Ids};
use housecount_core::fold::{Count, HandleKey};
use housecount_core::ids::StageId;
use housecount_core::item::{Attr, Item};
use housecount_core::public_count::PublicCount;
use housecount_core::record::{self, RecordEntry};
use housecount_core::snapshot::Snapshot;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_core::version::ConfigVersion;
use housecount_engine::internals::{LastRoster, history, last_roster, snapshots_read};
use housecount_events::chain::EventChain;
use housecount_stores::cold::SqliteCold;
use housecount_stores::log::LogTarget;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::node::{Node, housecount};

/// The version whose folder is written by this tree.
const PRESENT: &str = "0.1";
/// The databases of a data folder.
const FILES: [&str; 2] = ["cold/items.sqlite", "log/log.sqlite"];
const STAGES: [&str; 3] = ["match-1", "match-2", "lobby"];
const WINDOW: &str = "window=10s";
const UUID: &str = "6f1c0d5e-3a4b-4c7d-9e8f-0123456789ab";

fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored")
}

/// Copies the databases of a data folder.
fn copy(from: &Path, to: &Path) {
    for file in FILES {
        std::fs::create_dir_all(to.join(file).parent().unwrap()).unwrap();
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

#[timed_test(flavor = "multi_thread")]
async fn every_version_is_read() {
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir(stored()).unwrap().map(|entry| entry.unwrap().path()).collect();
    versions.sort();
    assert!(versions.iter().any(|version| version.ends_with(PRESENT)));
    for version in versions {
        let data = tempfile::tempdir().unwrap();
        copy(&version, data.path());
        let (found, expected) = (contents(data.path()).await, expected(&version));
        for (n, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "{} line {}", version.display(), n + 1);
        }
        assert_eq!(found.lines().count(), expected.lines().count(), "{}", version.display());
        starts_on(data.path()).await;
    }
}

fn expected(version: &Path) -> String {
    std::fs::read_to_string(version.join("expected.txt")).unwrap()
}

/// A node starts on the folder, and answers from its ledger.
async fn starts_on(data: &Path) {
    let lines = std::fs::File::create(data.join("lines")).unwrap();
    let data = format!("data={}", data.display());
    let node = Node::start_logging(lines, &[&data, "labels=country,device", WINDOW]);
    node.until_ready().await;
    let watch = node.get("/v1/stages/match-1/watch?from=2020-01-01&to=2100-01-01").await;
    let viewers: Vec<&str> = watch["watch"].as_array().unwrap().iter().map(name).collect();
    assert_eq!(viewers, [UUID, "ann", "bob"]);
}

fn name(row: &Value) -> &str {
    row["viewer"].as_str().unwrap()
}

/// Describes all that is in the databases.
async fn contents(data: &Path) -> String {
    let mut text = String::new();
    let cold: Arc<dyn Bulk> = Arc::new(SqliteCold::open_to_read(&data.join("cold")).unwrap());
    let last = items(&*cold, &mut text).await;
    let tier: Arc<dyn Cold> = cold.clone();
    let _ = writeln!(text, "\n# Roster");
    let LastRoster::Last(at, roster) = last_roster(&*tier, last).await.unwrap() else {
        panic!("no roster at {last}");
    };
    let _ = writeln!(text, "{at} {}", count(roster.total));
    for view in roster.stages {
        let _ = writeln!(text, "{} {} peak {}", view.stage, count(view.count), view.peak);
    }
    for stage in STAGES {
        let _ = writeln!(text, "\n# Snapshots of {stage}");
        let id = StageId::parse(stage).unwrap();
        let all = snapshots_read::list(&*tier, &id, UnixMs::ZERO, UnixMs::MAX, 100, last);
        for Snapshot { at, count: n, peak, recovering, .. } in all.await.unwrap() {
            let _ = writeln!(text, "{at} {} peak {peak} recovering {recovering}", count(n));
        }
        let _ = writeln!(text, "\n# Configurations of {stage}");
        for version in history::read(&*tier, stage).await.unwrap().versions() {
            let ConfigVersion { number, changed_at, effective_from, config, .. } = version;
            let _ = writeln!(text, "{number} {changed_at} {effective_from} {}", of(config));
        }
    }
    let _ = writeln!(text, "\n# Events");
    for event in EventChain::new(tier).read(0, 1_000, last, |_| true).await.unwrap().events {
        let _ = writeln!(text, "{}", serde_json::to_string(&event.body()).unwrap());
    }
    drop(cold);
    for (title, arguments) in [
        ("Watch time", &["export", "--partial", "--intervals"][..]),
        ("Billed time by country", &["export", "--partial", "--group", "customer,country"]),
        ("Billed time by device", &["export", "--partial", "--group", "customer,device"]),
        ("Archive", &["export", "--raw"]),
    ] {
        let _ = writeln!(text, "\n# {title}\n{}", run(data, arguments, &["--out", "-"]));
    }
    let _ = writeln!(text, "\n# Log");
    log(&data.join("log"), &mut text).await;
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn count(count: Count) -> String {
    format!("viewers {} sessions {}", count.viewers, count.sessions)
}

fn of(config: &Option<StageConfig>) -> String {
    let Some(StageConfig { name, customer, tags, public_count, created_at, .. }) = config else {
        return "deleted".to_string();
    };
    let public = public_count.map(PublicCount::name);
    json!([name, customer, tags, public, created_at.0]).to_string()
}

fn described(entry: &RecordEntry<'_>) -> String {
    match entry {
        RecordEntry::Full(event) => {
            let (Ids { stage, viewer, session }, labels) = (event.ids, event.labels);
            let pairs: Vec<String> =
                labels.pairs().map(|(key, value)| format!("{key}={value}")).collect();
            let kind = match event.kind {
                EventKind::Beat => "beat",
                EventKind::Leave => "leave",
                EventKind::Displace => "displace",
            };
            let (pairs, age) = (pairs.join(","), labels.age_ms());
            format!("{} {kind} {stage} {viewer} {session:?} {pairs} {age}", event.at)
        }
        RecordEntry::ByHandle { at, handle } => {
            format!("{at} beat by {}", hex(&handle.bytes()))
        }
    }
}

/// Runs a command over all of the ledger.
fn run(data: &Path, command: &[&str], more: &[&str]) -> String {
    let cold = format!("embedded:{}", data.join("cold").display());
    let range = ["--from", "2026-01-01", "--to", "2100-01-01", "--cold", &cold];
    let output = housecount().args(command).args(range).args(more).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() != Some(2), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Describes every item. Returns the time of the last snapshot.
async fn items(cold: &dyn Bulk, text: &mut String) -> UnixMs {
    let (mut after, mut last) = (None, 0);
    let _ = writeln!(text, "# Items");
    loop {
        let page = cold.scan(after).await.unwrap();
        assert!(page.foreign.is_empty(), "{:?}", page.foreign);
        for row in page.rows {
            let _ = writeln!(text, "{} | {} |{}", row.pk, row.sk, attributes(&row.item));
            if let Some(at) = row.sk.strip_prefix("SNAPSHOT#") {
                last = last.max(at.parse().unwrap_or(0));
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return UnixMs(last),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(item: &Item) -> String {
    let mut text = String::new();
    for (name, value) in item {
        let _ = match value {
            Attr::B(bytes) => {
                write!(text, " {name}={}", hex(bytes))
            }
            other => write!(text, " {name}={other:?}"),
        };
    }
    text
}

/// Describes every entry of the log.
async fn log(folder: &Path, text: &mut String) {
    let url = format!("file:{}", folder.display());
    let log = LogTarget::parse(&url).unwrap().open("").await.unwrap();
    let (key, mut after) = (HandleKey::default(), Position::START);
    loop {
        let read = log.read(0, after, key).await.unwrap();
        for (position, bytes) in &read.records {
            after = *position;
            for entry in record::decode(bytes).unwrap() {
                let _ = writeln!(text, "{position} {}", described(&entry));
            }
        }
        if !read.more {
            return;
        }
    }
}

/// Runs a node with an audience, and keeps its databases as those of the present version.
#[timed_test(flavor = "multi_thread")]
#[ignore = "writes the fixtures of the present version, and takes a minute"]
async fn write() {
    let settings = [
        "interval=1s",
        "ttl=3s",
        WINDOW,
        "lateness_max=10s",
        "snapshot_interval=10s",
        "archive=packed",
        "archive_flush=1s",
        "events=true",
        "events_thresholds=2",
        "labels=country,device",
        "limits.session_beats=0",
    ];
    let mut node = Node::ready(&settings).await;
    configure(&node).await;
    for round in 0..25 {
        play(&node, round).await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let last = wall_clock();
    eventually("the ledger has the last beat", async || {
        let watch = node.get("/v1/stages/match-2/watch?from=2020-01-01&to=2100-01-01").await;
        watch["committedTo"].as_u64() > Some(last.0)
    })
    .await;
    node.beat("lobby", "still-open").await;
    assert!(node.stop().success());
    let to = stored().join(PRESENT);
    for file in FILES {
        let database = rusqlite::Connection::open(node.data().join(file)).unwrap();
        database.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    }
    copy(node.data(), &to);
    let text = contents(node.data()).await;
    std::fs::write(to.join("expected.txt"), text).unwrap();
}

async fn configure(node: &Node) {
    for (n, customer) in ["ACME", "Bolt"].into_iter().enumerate() {
        let stage = json!({
            "stage": STAGES[n], "name": format!("Match {n}"), "customer": customer,
            "tags": { "sport": "chess" }, "publicCount": "rounded",
        });
        let (status, body) = node.call(Method::POST, "/v1/stages", stage).await;
        assert!(status < 300, "{body}");
    }
}

/// One second of the audience.
async fn play(node: &Node, round: usize) {
    let beat = |stage: &str, viewer: &str, session: &str, labels: Value| {
        let mut beat = json!({ "stage": stage, "viewer": viewer, "session": session });
        beat["labels"] = labels;
        beat
    };
    let mut beats = Vec::new();
    if round < 15 {
        beats.push(beat("match-1", "ann", "phone", json!({ "country": "NO", "device": "phone" })));
        beats.push(beat("match-1", "bob", "", json!({})));
        beats.push(beat("match-1", UUID, UUID, json!({ "country": "SE" })));
    }
    if (5..12).contains(&round) {
        beats.push(beat("match-1", "ann", "tv", json!({ "country": "NO", "device": "tv" })));
    }
    if round % 6 < 2 {
        beats.push(beat("match-1", "eve", &format!("tab-{round}"), json!({ "device": "tablet" })));
    }
    beats.push(beat("match-2", if round < 20 { "cat" } else { "late" }, "", json!({})));
    let (status, body) =
        node.call(Method::POST, "/v1/heartbeats", Value::from(beats.clone())).await;
    assert_eq!((status, body["accepted"].as_u64()), (200, Some(beats.len() as u64)), "{body}");
    if round == 13 {
        let leave = json!({ "stage": "match-1", "viewer": "ann", "session": "phone" });
        assert!(node.call(Method::POST, "/v1/leave", leave).await.0 < 300);
    }
}
