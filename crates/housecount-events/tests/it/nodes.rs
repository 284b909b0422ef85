//! Nodes that take turns: whatever node dies and whatever call of the cold tier fails, each event
//! is stored once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount_backend::tasks::PeriodicTask;
use housecount_core::limits::{EVENT_BATCHES_READ_MAX, EVENT_STATE_EVENTS_MAX, EVENT_STATE_MS_MAX};
use housecount_events::chain::EventChain;
use housecount_events::event::EventType;
use housecount_test::timed_test;
use housecount_test_support::cold::FaultyCold;
use proptest::prelude::*;

use crate::world::{EventNode, START, expected, line, stored};

const STAGES: [&str; 3] = ["a", "b", "c"];

/// One second of a run.
#[derive(Clone, Debug)]
struct Second {
    /// A stage's new number of viewers.
    change: Option<(usize, u64)>,
    fault: Fault,
}

#[derive(Clone, Debug)]
enum Fault {
    None,
    /// A node is killed, and another one starts in its place.
    Restart(usize),
    /// A node is stopped in order, and another one starts in its place.
    Replace(usize),
    /// A node does nothing for some seconds.
    Pause(usize, u64),
    /// A call of the cold tier fails, or only its answer is lost.
    Call(i64, bool),
    /// The cold tier is away for some seconds.
    Away(u64),
}

fn second() -> impl Strategy<Value = Second> {
    let viewers = prop_oneof![Just(0u64), 1u64..6, 5u64..30];
    let change = prop::option::weighted(0.4, (0usize..3, viewers));
    let fault = prop_oneof![
        20 => Just(Fault::None),
        1 => (0usize..2).prop_map(Fault::Restart),
        1 => (0usize..2).prop_map(Fault::Replace),
        1 => (0usize..2, 6u64..90).prop_map(|(node, seconds)| Fault::Pause(node, seconds)),
        2 => (0i64..6, any::<bool>()).prop_map(|(calls, lies)| Fault::Call(calls, lies)),
        1 => (1u64..60).prop_map(Fault::Away),
    ];
    (change, fault).prop_map(|(change, fault)| Second { change, fault })
}

/// Runs three nodes, of which the last neither dies nor pauses.
async fn run(seconds: &[Second]) -> (Vec<String>, Vec<String>) {
    let cold = Arc::new(FaultyCold::new().await);
    let mut names = 0..;
    let mut start = |place: usize| {
        let name = format!("{:08x}", names.next().unwrap());
        EventNode::new(cold.clone(), name, place as u64 * 200)
    };
    let mut nodes: Vec<EventNode> = (0..3).map(&mut start).collect();
    let (mut counts, mut truth) = (BTreeMap::new(), Vec::new());
    let (mut paused, mut away_to) = ([0; 3], 0);
    let calm = |seconds| (0..seconds).map(|_| Second { change: None, fault: Fault::None });
    // Events begin when the first node writes. A node that takes over needs the time of a drop
    // before. In the end all leases of dead nodes have expired.
    let seconds: Vec<Second> = calm(40).chain(seconds.iter().cloned()).chain(calm(200)).collect();
    let calm_from = seconds.len() as u64 - 200;
    for (now, second) in (0..).zip(seconds) {
        if let Some((stage, viewers)) = second.change {
            counts.insert(STAGES[stage], viewers);
        }
        truth.push(counts.clone());
        match second.fault {
            Fault::None => {}
            Fault::Restart(node) => nodes[node] = start(node),
            Fault::Replace(node) => {
                let _ = nodes[node].writer.on_shutdown().await;
                nodes[node] = start(node);
            }
            Fault::Pause(node, seconds) => paused[node] = now + seconds,
            Fault::Call(calls, lies) => {
                cold.lies.store(lies, Ordering::SeqCst);
                cold.fails_in.store(calls, Ordering::SeqCst);
            }
            Fault::Away(seconds) => away_to = now + seconds,
        }
        cold.away.store(now < away_to && now < calm_from, Ordering::SeqCst);
        // Another order each second.
        for place in 0..3 {
            let node = (place + now as usize) % 3;
            if paused[node] <= now {
                nodes[node].sample(now, &counts);
                nodes[node].tick().await;
            }
        }
    }
    (stored(&cold).await.iter().map(line).collect(), expected(&truth))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn no_event_is_missed_or_stored_twice_whatever_node_dies(
        seconds in prop::collection::vec(second(), 1..150),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (found, expected) = runtime.block_on(run(&seconds));
        prop_assert_eq!(found, expected);
    }
}

fn counts(viewers: u64) -> BTreeMap<&'static str, u64> {
    [("a", viewers)].into()
}

#[timed_test]
async fn without_any_node_there_is_one_pair_and_then_the_changes() {
    let cold = Arc::new(FaultyCold::new().await);
    let mut node = EventNode::new(cold.clone(), "1".into(), 0);
    for second in 0..5 {
        node.sample(second, &counts(12));
        node.tick().await;
    }
    node.writer.on_shutdown().await.unwrap();
    let mut node = EventNode::new(cold.clone(), "2".into(), 0);
    for second in 100..160 {
        node.sample(second, &counts(3));
        node.tick().await;
    }
    let lines: Vec<String> = stored(&cold).await.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "1 0 Opened(\"a\") Some(12)",
            "2 0 Threshold { stage: \"a\", threshold: 10, is_up: true } Some(12)",
            "3 4 CountIncomplete { is_recovering: false } None",
            "4 100 CountComplete Some(3)",
            "5 100 Threshold { stage: \"a\", threshold: 10, is_up: false } Some(3)",
        ]
    );
}

/// The node that takes over has no complete counts.
#[timed_test]
async fn a_node_without_complete_counts_that_takes_over_says_so() {
    let cold = Arc::new(FaultyCold::new().await);
    let mut first = EventNode::new(cold.clone(), "1".into(), 0);
    let mut second = EventNode::new(cold.clone(), "2".into(), 0);
    for now in 0..5 {
        first.sample(now, &counts(3));
        second.sample_loss(now);
        first.tick().await;
        second.tick().await;
    }
    drop(first);
    for now in 5..120 {
        second.sample_loss(now);
        second.tick().await;
    }
    let kinds = async || stored(&cold).await.iter().map(|event| event.kind()).collect::<Vec<_>>();
    assert_eq!(kinds().await, [EventType::StageOpened, EventType::CountIncomplete]);
    // Without complete counts it had left the lease to others.
    for now in 121..180 {
        second.sample(now, &counts(3));
        second.tick().await;
    }
    assert_eq!(kinds().await[2..], [EventType::CountComplete]);
}

/// A node alone whose counts have one gap after another, as with a log that often does not answer.
#[timed_test]
async fn many_gaps_delay_events_no_longer_than_one() {
    let cold = Arc::new(FaultyCold::new().await);
    let mut node = EventNode::new(cold.clone(), "1".into(), 0);
    let (gaps, calm_from) = (40, 800);
    // The lease is left to others for 45 s. Looks, and the next sample, take a few more.
    let until = calm_from + 55;
    for second in 0..until {
        let is_gap = second < calm_from && second % 20 >= 10;
        if !is_gap {
            node.sample(second, &counts(3));
        }
        node.tick().await;
    }
    let found = stored(&cold).await;
    let kinds: Vec<EventType> = found.iter().map(|event| event.kind()).collect();
    let pairs = kinds[1..].chunks(2);
    assert_eq!((kinds[0], pairs.len()), (EventType::StageOpened, gaps));
    for pair in pairs {
        assert_eq!(pair, [EventType::CountIncomplete, EventType::CountComplete]);
    }
}

/// A node that takes over reads a state and few events, however many there were.
#[timed_test]
async fn event_state_events_max_bounds_what_a_node_reads_that_takes_over() {
    let cold = Arc::new(FaultyCold::new().await);
    let mut node = EventNode::new(cold.clone(), "1".into(), 0);
    let seconds = EVENT_STATE_EVENTS_MAX + 400;
    for second in 0..seconds {
        node.sample(second, &counts(if second % 2 == 0 { 1 } else { 0 }));
        node.tick().await;
    }
    let chain = EventChain::new(cold.clone());
    let loaded = chain.load().await.unwrap();
    assert_eq!(loaded.state.next, seconds + 1);
    let unread = loaded.state.next - loaded.stored_next;
    assert!(unread < EVENT_STATE_EVENTS_MAX, "{unread}");
    assert!(unread > EVENT_BATCHES_READ_MAX as u64, "several reads are needed");
    // After a day, any event is reason enough to store the state.
    let day = EVENT_STATE_MS_MAX / 1_000;
    for second in [seconds].into_iter().chain(seconds + day..=seconds + day + 60) {
        node.sample(second, &counts(0));
        node.tick().await;
    }
    let loaded = chain.load().await.unwrap();
    assert_eq!(loaded.stored_next, loaded.state.next);
    assert!(loaded.stored_to >= START.plus((seconds + day) * 1_000));
}
