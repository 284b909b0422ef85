//! `/metrics` in both of Prometheus's text formats.

use housecount_test::timed_test;

use super::{FAST, ask};
use crate::operate::promtool;
use crate::support::node::Node;

/// The `Accept` header of Prometheus 2.55 (its configuration reference, `scrape_protocols`).
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

#[timed_test(flavor = "multi_thread")]
async fn open_metrics_is_for_clients_that_ask_for_it() {
    let node = Node::ready(&FAST).await;
    node.beat("s", "ann").await;
    let text = "text/plain; version=0.0.4; charset=utf-8";
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    for (accept, expected) in [
        (None, text),
        (Some("*/*"), text),
        (Some("text/html,*/*;q=0.8"), text),
        (Some("text/plain"), text),
        (Some("application/openmetrics-text;q=0.3,text/plain;q=0.4"), text),
        (Some("application/openmetrics-text"), open_metrics),
        (Some("application/openmetrics-text;q=0.4,text/plain;q=0.3"), open_metrics),
        (Some(PROMETHEUS), open_metrics),
    ] {
        let headers: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
        let answer = ask(&node, "GET", "/metrics", &headers, "");
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(expected)),
            "{accept:?}"
        );
        assert_eq!(answer.header("vary"), Some("accept"));
        let is_open = expected == open_metrics;
        assert_eq!(answer.body.ends_with("# EOF\n"), is_open, "{accept:?}");
        assert_eq!(answer.body.contains("\n# UNIT "), is_open, "{accept:?}");
        let family = if is_open { "housecount_events" } else { "housecount_events_total" };
        for line in [
            format!("# TYPE {family} counter"),
            "housecount_events_total{kind=\"beat\"} 1".to_string(),
        ] {
            assert!(
                answer.body.lines().any(|l| l == line),
                "{accept:?}: {line} is missing in\n{}",
                answer.body
            );
        }
    }
    // In two headers, as a proxy may send it.
    let two = [("accept", "text/html"), ("accept", "application/openmetrics-text;q=0.5")];
    assert_eq!(ask(&node, "GET", "/metrics", &two, "").header("content-type"), Some(open_metrics));
    // As `curl | promtool check metrics` asks for it.
    promtool(&["check", "metrics"], &ask(&node, "GET", "/metrics", &[("accept", "*/*")], "").body);
}
