//! Webhooks against real receivers: good, slow, dead, redirecting and private ones.

use housecount_test::timed_test;
use serde_json::Value;

use super::receiver::{Receiver, SECRET};
use super::{QUICK, brief, events, leave, until};
use crate::support::node::Node;
use crate::support::{eventually, free_port};

fn settings(webhooks: &[String]) -> Vec<String> {
    let mut settings: Vec<String> = QUICK.iter().map(ToString::to_string).collect();
    settings.push(format!("webhooks=[{}]", webhooks.join(", ")));
    settings
}

async fn start(webhooks: &[String]) -> Node {
    let settings = settings(webhooks);
    Node::ready(&settings.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// The state of a webhook.
async fn webhook(node: &Node, name: &str) -> Value {
    let all = node.get("/v1/webhooks").await;
    let found = all["webhooks"].as_array().unwrap().iter().find(|webhook| webhook["name"] == name);
    found.unwrap().clone()
}

async fn until_delivered(node: &Node, receiver: &Receiver, count: usize) {
    eventually("all events are delivered", async || {
        receiver.accepted().len() >= count && events(node, "").await.len() >= count
    })
    .await;
}

#[timed_test(flavor = "multi_thread")]
async fn events_are_delivered_signed_and_in_the_order_of_their_stage() {
    let (all, some) = (Receiver::start(204).await, Receiver::start(200).await);
    let filter = ", events = [\"stage.opened\"], stages = [\"match-*\"]";
    let node = start(&[all.webhook("all", ""), some.webhook("some", filter)]).await;
    for stage in ["match-1", "other"] {
        node.beat_many(stage, 0, 3).await;
        until(&node, "stage.opened", stage).await;
    }
    for viewer in 0..3 {
        leave(&node, "match-1", &format!("viewer-{viewer}")).await;
    }
    until(&node, "stage.emptied", "match-1").await;
    until(&node, "stage.emptied", "other").await;
    let expected = events(&node, "").await;
    until_delivered(&node, &all, expected.len()).await;
    let delivered = all.accepted();
    for stage in ["match-1", "other"] {
        let of_stage = |event: &&Value| event["stage"] == stage;
        let data: Vec<Value> =
            delivered.iter().map(|delivery| delivery.body["data"].clone()).collect();
        let found: Vec<&Value> = data.iter().filter(of_stage).collect();
        assert_eq!(found, expected.iter().filter(of_stage).collect::<Vec<_>>());
    }
    for delivery in &delivered {
        let data = &delivery.body["data"];
        assert_eq!(
            (data["id"].as_str(), &delivery.body["type"]),
            (Some(&*delivery.id), &data["type"])
        );
    }
    let lines: Vec<String> =
        some.accepted().iter().map(|delivery| brief(&delivery.body["data"])).collect();
    assert_eq!(lines, ["stage.opened match-1 3"]);
    eventually("the state is stored", async || {
        let state = webhook(&node, "all").await;
        state["state"] == "working" && state["delivered"] == expected.len()
    })
    .await;
    let accepted = "housecount_webhook_deliveries_total{webhook=\"all\",outcome=\"accepted\"}";
    assert_eq!(node.metric(accepted).await, expected.len() as f64);
}

/// None of the others holds the good one.
#[timed_test(flavor = "multi_thread")]
async fn a_slow_a_dead_a_redirecting_and_a_private_target_fail_as_written() {
    let (good, slow) = (Receiver::start(200).await, Receiver::start(0).await);
    let location = format!("http://127.0.0.1:{}/elsewhere", good.port);
    let redirecting = Receiver::start_at(0, 302, &location).await;
    let dead_port = free_port();
    let dead = format!(
        "{{ name = \"dead\", url = \"http://127.0.0.1:{dead_port}/T0PSECRET\", private = true, \
         secret = \"{SECRET}\" }}"
    );
    let private = format!(
        "{{ name = \"private\", url = \"https://localhost:{}/\", secret = \"{SECRET}\" }}",
        good.port
    );
    let only_opened = ", events = [\"stage.opened\"]";
    let node = start(&[
        good.webhook("good", only_opened),
        slow.webhook("slow", only_opened),
        redirecting.webhook("redirecting", only_opened),
        dead,
        private,
    ])
    .await;
    node.beat("s", "ann").await;
    until(&node, "stage.opened", "s").await;
    for (name, error) in [
        ("redirecting", "it answers 302, and redirects are refused"),
        ("dead", "refused"),
        ("private", "is not public"),
        // WEBHOOK_ANSWER_MS_MAX
        ("slow", "no answer within 15 s"),
    ] {
        eventually(name, async || {
            let state = webhook(&node, name).await;
            let text = state["error"].as_str().unwrap_or_default();
            state["state"] == "failing"
                && text.contains(error)
                && !state.to_string().contains("SECRET")
        })
        .await;
        let failing = format!("housecount_webhook_failing{{webhook=\"{name}\"}}");
        assert_eq!(node.metric(&failing).await, 1.0, "{name}");
    }
    let lines: Vec<String> =
        good.accepted().iter().map(|delivery| brief(&delivery.body["data"])).collect();
    assert_eq!(lines, ["stage.opened s 1"], "no redirect and no name leads here");
    // The dead one comes to life, and gets all events of the stage in their order.
    until(&node, "stage.emptied", "s").await;
    let alive = Receiver::start_at(dead_port, 200, "").await;
    eventually("what has waited is delivered", async || alive.accepted().len() >= 2).await;
    let lines: Vec<String> =
        alive.accepted().iter().map(|delivery| brief(&delivery.body["data"])).collect();
    assert_eq!(lines[..2], ["stage.opened s 1", "stage.emptied s 0"]);
    eventually("it works", async || webhook(&node, "dead").await["state"] == "working").await;
}

/// The event that failed is sent again by the node that starts later, and the ones before are not.
#[timed_test(flavor = "multi_thread")]
async fn a_restarted_node_continues_where_deliveries_were() {
    let receiver = Receiver::start(200).await;
    let mut node = start(&[receiver.webhook("hook", ", events = [\"stage.opened\"]")]).await;
    node.beat("a", "ann").await;
    until_delivered(&node, &receiver, 1).await;
    receiver.answer(500);
    node.beat("b", "ann").await;
    until(&node, "stage.opened", "b").await;
    eventually("it fails", async || webhook(&node, "hook").await["state"] == "failing").await;
    assert!(node.stop().success());
    receiver.answer(200);
    node.restart();
    node.until_ready().await;
    until_delivered(&node, &receiver, 2).await;
    let lines: Vec<String> =
        receiver.accepted().iter().map(|delivery| brief(&delivery.body["data"])).collect();
    assert_eq!(lines[..2], ["stage.opened a 1", "stage.opened b 1"]);
    assert_eq!(webhook(&node, "hook").await["givenUp"], 0);
}
