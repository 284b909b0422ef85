//! Lists in an order that the caller chooses: of watch times, and of stages.

use std::sync::Arc;
use std::time::Duration;

use housecount_backend::cold::Cold;
use housecount_core::ids::StageId;
use housecount_core::limits::{CONFIG_LIST_MS_MAX, STAGES_SORTED_MAX};
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_engine::internals::ConfigList;
use housecount_engine::internals::StageStore;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::node::Node;

const QUICK: [&str; 5] =
    ["interval=1s", "ttl=3s", "window=1s", "leave_grace=50ms", "limits.session_beats=0"];
/// Well below the ttl, so that a busy machine leaves no gap in a proof.
const BEAT_EVERY: Duration = Duration::from_millis(150);

async fn beat(node: &Node, stage: &str, viewer: &str) {
    let body = json!({ "stage": stage, "viewer": viewer });
    let (status, body) = node.call(Method::POST, "/v1/heartbeat", body).await;
    assert_eq!(status, 200, "{body}");
}

/// All pages of a list: the field `id` of each row.
async fn ids(node: &Node, path: &str, rows: &str, id: &str, limit: usize) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = node.get(&format!("{path}&limit={limit}{cursor}")).await;
        let rows = page[rows].as_array().unwrap();
        assert!(rows.len() <= limit);
        found.extend(rows.iter().map(|row| row[id].as_str().unwrap().to_string()));
        let Some(last) = page["cursor"].as_str() else { return found };
        cursor = format!("&cursor={last}");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn watch_times_are_sorted_as_asked_over_all_pages() {
    let node = Node::ready(&QUICK).await;
    let start = node.beat("s", "once").await["asOf"].as_u64().unwrap();
    // Each viewer comes later than the one before, and stays to the end.
    let viewers = ["c", "a", "b1", "b2"];
    let mut ticks = tokio::time::interval(BEAT_EVERY);
    for present in (1..=viewers.len()).flat_map(|count| [count; 4]) {
        ticks.tick().await;
        for viewer in &viewers[..present] {
            beat(&node, "s", viewer).await;
        }
    }
    beat(&node, "t", "c").await;
    ticks.tick().await;
    beat(&node, "t", "c").await;
    let range = format!("from={}&to={}", start - 1_000, start + 3_600_000);
    let list = async |query: &str, limit| {
        let path = format!("/v1/stages/s/watch?{range}{query}");
        ids(&node, &path, "watch", "viewer", limit).await
    };
    for limit in [1, 3, 100] {
        assert_eq!(list("", limit).await, ["a", "b1", "b2", "c"]);
        assert_eq!(list("&sort=watchMs", limit).await, viewers);
        assert_eq!(list("&sort=watchMs&order=asc", limit).await, ["b2", "b1", "a", "c"]);
        assert_eq!(list("&sort=viewer&order=desc", limit).await, ["c", "b2", "b1", "a"]);
        assert_eq!(list("&viewer=b", limit).await, ["b1", "b2"]);
        assert_eq!(list("&viewer=b&sort=watchMs", limit).await, ["b1", "b2"]);
        let path = format!("/v1/viewers/c/watch?{range}&sort=watchMs");
        assert_eq!(ids(&node, &path, "watch", "stage", limit).await, ["s", "t"]);
        let path = format!("/v1/viewer/watch?viewer=c&{range}&sort=lastAt");
        assert_eq!(ids(&node, &path, "watch", "stage", limit).await, ["t", "s"]);
    }
    let sorted = node.get(&format!("/v1/stages/s/watch?{range}&sort=watchMs")).await;
    let plain = node.get(&format!("/v1/stages/s/watch?{range}")).await;
    let row = |page: &Value, viewer: &str| {
        let rows = page["watch"].as_array().unwrap();
        rows.iter().find(|row| row["viewer"] == viewer).cloned().unwrap()
    };
    viewers.iter().for_each(|viewer| assert_eq!(row(&sorted, viewer), row(&plain, viewer)));
    for (query, part) in [
        ("sort=stage", "sort=stage: this list has one stage"),
        ("sort=size", "sort"),
        ("order=up", "order"),
        ("sort=watchMs&cursor=ann", "unknown cursor"),
        ("sort=watchMs&intervals=true", "intervals=true needs the default order"),
    ] {
        let path = format!("/v1/stages/s/watch?{query}");
        let (status, body) = node.call(Method::GET, &path, Value::Null).await;
        assert_eq!((status, &body["code"]), (400, &json!("invalid_query")), "{query}");
        assert!(body["detail"].as_str().unwrap().contains(part), "{query}: {body}");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn stages_are_sorted_and_filtered_over_all_pages() {
    let node = Node::ready(&["limits.session_beats=0"]).await;
    for (stage, name, customer, sport) in [
        ("a", "Final", "ACME", "tennis"),
        ("b", "final replay", "ACME", "chess"),
        ("c", "Other", "Umbrella", "tennis"),
    ] {
        let body = json!({
            "stage": stage, "name": name, "customer": customer, "tags": { "sport": sport },
        });
        assert_eq!(node.call(Method::POST, "/v1/stages", body).await.0, 201);
    }
    for (stage, viewers) in [("b", 3), ("c", 1), ("d", 2)] {
        node.beat_many(stage, 0, viewers).await;
    }
    let list = async |query: &str, limit| {
        ids(&node, &format!("/v1/stages?{query}"), "stages", "stage", limit).await
    };
    for limit in [1, 2, 100] {
        assert_eq!(list("sort=stage", limit).await, ["a", "b", "c", "d"]);
        assert_eq!(list("order=desc", limit).await, ["d", "c", "b", "a"]);
        assert_eq!(list("sort=viewers", limit).await, ["b", "d", "c", "a"]);
        assert_eq!(list("sort=peak&order=asc", limit).await, ["a", "c", "d", "b"]);
        assert_eq!(list("customer=ACME&sort=viewers", limit).await, ["b", "a"]);
        assert_eq!(list("tag=sport:tennis", limit).await, ["a", "c"]);
        assert_eq!(list("q=FINAL", limit).await, ["a", "b"]);
        assert_eq!(list("q=d", limit).await, ["d"]);
        assert_eq!(list("customer=Other%20Inc", limit).await, [""; 0]);
    }
    let times = list("sort=createdAt", 100).await;
    assert_eq!(times, ["c", "b", "a", "d"], "the last configured one is first");
    // A change on this node is seen at once.
    let change = json!({ "customer": "Umbrella" });
    assert_eq!(node.call(Method::PATCH, "/v1/stages/a", change).await.0, 200);
    assert_eq!(list("customer=ACME", 100).await, ["b"]);
    for (query, part) in [("tag=sport", "tag=sport is not KEY:VALUE"), ("sort=name", "sort")] {
        let (status, body) =
            node.call(Method::GET, &format!("/v1/stages?{query}"), Value::Null).await;
        assert_eq!((status, &body["code"]), (400, &json!("invalid_query")), "{query}");
        assert!(body["detail"].as_str().unwrap().contains(part), "{query}: {body}");
    }
}

async fn configured(stages: &StageStore, id: &str) {
    let (stage, at) = (StageId::parse(id).unwrap(), UnixMs(1_790_000_000_000));
    let config = StageConfig { stage: id.to_string(), created_at: at, ..StageConfig::default() };
    stages.create(config, at).await.unwrap();
    assert!(stages.get(&stage).await.unwrap().is_some());
}

/// Uses a small number and a short time for the test. In service they are [`STAGES_SORTED_MAX`] and
/// [`CONFIG_LIST_MS_MAX`].
#[timed_test]
async fn stages_sorted_max_and_config_list_ms_max_bound_what_a_node_keeps() {
    assert_eq!((STAGES_SORTED_MAX, CONFIG_LIST_MS_MAX), (100_000, 10_000));
    let cold: Arc<dyn Cold> = Arc::new(SqliteCold::memory().unwrap());
    let stages = StageStore::new(Some(cold), true, 300_000);
    let list = ConfigList::new(2, 200);
    let count = async || list.get(&stages).await.map(|configs| configs.len());
    configured(&stages, "a").await;
    assert_eq!(count().await.unwrap(), 1);
    configured(&stages, "b").await;
    eventually("the list is read again", async || count().await.unwrap() == 2).await;
    configured(&stages, "c").await;
    list.forget().await;
    let error = count().await.unwrap_err().to_string();
    assert!(error.contains("too many stages are configured"), "{error}");
}

/// The stages of `/metrics` and their viewers.
async fn stages_of_metrics(node: &Node) -> Vec<String> {
    let (_, text) = node.client.call(Method::GET, "/metrics", "").await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("housecount_stage_viewers"));
    let mut lines: Vec<String> = lines.map(str::to_string).collect();
    lines.sort();
    lines
}

#[timed_test(flavor = "multi_thread")]
async fn metrics_stages_max_bounds_the_stages_of_metrics() {
    assert_eq!(housecount_core::limits::METRICS_STAGES_MAX, 1_000);
    let node = Node::ready(&["metrics_stages=2", "limits.session_beats=0"]).await;
    let bare = Node::ready(&["limits.session_beats=0"]).await;
    for (stage, viewers) in [("a", 1), ("b\"c", 3), ("d", 2)] {
        node.beat_many(stage, 0, viewers).await;
        bare.beat_many(stage, 0, viewers).await;
    }
    let expected = ["{stage=\"b\\\"c\"} 3", "{stage=\"d\"} 2"];
    assert_eq!(stages_of_metrics(&node).await, expected);
    assert_eq!(stages_of_metrics(&bare).await, [""; 0]);
    node.beat_many("a", 0, 4).await;
    let expected = ["{stage=\"a\"} 4", "{stage=\"b\\\"c\"} 3"];
    assert_eq!(stages_of_metrics(&node).await, expected, "a stage that is overtaken goes");
}
