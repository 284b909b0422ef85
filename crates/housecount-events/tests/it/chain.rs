//! The stored chain: pages, expired batches, and two writers.

use std::sync::Arc;

use housecount_backend::cold::{Cold, Purpose};
use housecount_core::fold::Count;
use housecount_core::limits::{EVENT_BATCHES_READ_MAX, EVENTS_KEPT_MS};
use housecount_core::time::UnixMs;
use housecount_events::batch::EventBatch;
use housecount_events::chain::{AppendOutcome, EventChain};
use housecount_events::event::{AudienceChange, AudienceEvent};
use housecount_events::state::{AudienceState, OpenStage};
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;

use crate::world::START;

fn event(seq: u64) -> AudienceEvent {
    let stage = if seq.is_multiple_of(2) { "even" } else { "odd" };
    let count = Some(Count { viewers: seq, sessions: seq });
    AudienceEvent { seq, at: START.plus(seq), change: AudienceChange::Opened(stage.into()), count }
}

fn batch(first: u64, events: u64) -> EventBatch {
    let events: Vec<AudienceEvent> = (first..first + events).map(event).collect();
    EventBatch { first, to: events.last().unwrap().at, events }
}

/// A chain of batches of three events.
async fn chain(batches: u64) -> (Arc<SqliteCold>, EventChain) {
    let cold = Arc::new(SqliteCold::memory().unwrap());
    let chain = EventChain::new(cold.clone());
    for n in 0..batches {
        assert_eq!(chain.append(&batch(1 + 3 * n, 3)).await.unwrap(), AppendOutcome::Stored);
    }
    (cold, chain)
}

async fn seqs(chain: &EventChain, after: u64, limit: usize) -> (Vec<u64>, u64, u64) {
    let page = chain.read(after, limit, START, |_| true).await.unwrap();
    (page.events.iter().map(|event| event.seq).collect(), page.reached, page.last)
}

#[timed_test]
async fn pages_continue_anywhere_in_a_batch() {
    let (_, chain) = chain(4).await;
    assert_eq!(seqs(&chain, 0, 5).await, (vec![1, 2, 3, 4, 5], 5, 12));
    assert_eq!(seqs(&chain, 5, 5).await, (vec![6, 7, 8, 9, 10], 10, 12));
    assert_eq!(seqs(&chain, 10, 5).await, (vec![11, 12], 12, 12));
    assert_eq!(seqs(&chain, 12, 5).await, (vec![], 12, 12));
    assert_eq!(seqs(&chain, 99, 5).await, (vec![], 99, 12));
    assert_eq!(chain.last().await.unwrap(), 12);
    let page = chain.read(0, 3, START, |event| event.seq % 2 == 0).await.unwrap();
    let found: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
    assert_eq!((found, page.reached), (vec![2, 4, 6], 6));
}

#[timed_test]
async fn event_batches_read_max_bounds_a_call() {
    let (_, chain) = chain(EVENT_BATCHES_READ_MAX as u64 + 2).await;
    let looked_at = 3 * EVENT_BATCHES_READ_MAX as u64;
    let page = chain.read(0, 1_000, START, |_| false).await.unwrap();
    assert_eq!((page.events.len(), page.reached, page.last), (0, looked_at, looked_at + 6));
    assert_eq!(seqs(&chain, looked_at, 9).await.1, looked_at + 6);
}

/// A caller that polls at the end of the events pays for one read.
#[timed_test]
async fn a_poll_at_the_end_is_one_read() {
    let (cold, chain) = chain(40).await;
    let units = || cold.meter().units(Purpose::Events).read_halves;
    let before = units();
    assert_eq!(seqs(&chain, 120, 5).await, (vec![], 120, 120));
    assert_eq!(units() - before, 2, "a consistent read of a small item");
}

#[timed_test]
async fn events_kept_ms_after_its_last_event_a_batch_is_gone() {
    let (_, chain) = chain(3).await;
    let read = async |after, now: UnixMs| {
        let page = chain.read(after, 9, now, |_| true).await.unwrap();
        (page.events.first().map(|event| event.seq), page.first_kept)
    };
    // TTLs are whole seconds.
    let expired = START.plus(EVENTS_KEPT_MS + 1_000);
    assert_eq!(read(0, START.plus(EVENTS_KEPT_MS)).await, (Some(1), None));
    assert_eq!(read(0, expired).await, (None, None));
    let mut late = batch(10, 3);
    late.events.iter_mut().for_each(|event| event.at = START.plus(EVENTS_KEPT_MS));
    chain.append(&late).await.unwrap();
    assert_eq!(read(2, expired).await, (Some(10), Some(10)));
    assert_eq!(read(9, expired).await, (Some(10), None));
}

#[timed_test]
async fn of_two_writers_one_has_the_place() {
    let (_, chain) = chain(1).await;
    assert_eq!(chain.append(&batch(4, 2)).await.unwrap(), AppendOutcome::Stored);
    assert_eq!(chain.append(&batch(4, 2)).await.unwrap(), AppendOutcome::Stored, "a retry");
    assert_eq!(chain.append(&batch(4, 1)).await.unwrap(), AppendOutcome::TakenByOther);
    assert_eq!(seqs(&chain, 3, 9).await.0, [4, 5]);
}

#[timed_test]
async fn a_stored_state_replaces_the_events_before() {
    let (cold, chain) = chain(2).await;
    let loaded = chain.load().await.unwrap();
    assert_eq!((loaded.state.next, loaded.stored_next, loaded.stored_to), (7, 1, UnixMs::ZERO));
    assert_eq!(loaded.state.open.len(), 2);
    chain.store_state(&loaded.state).await.unwrap();
    // A large state has several parts.
    let stage = |n: u64| format!("{n:0>200}").into();
    let open =
        (0..3_000).map(|n| (stage(n), OpenStage { since: START, viewers: 1, above: vec![] }));
    let large = AudienceState { next: 7, to: START.plus(60), open: open.collect(), ..loaded.state };
    chain.store_state(&large).await.unwrap();
    let again = chain.load().await.unwrap();
    assert_eq!((again.state, again.stored_next), (large.clone(), 7));
    chain.append(&batch(7, 1)).await.unwrap();
    let small = AudienceState { next: 8, open: [].into(), ..large };
    chain.store_state(&small).await.unwrap();
    assert_eq!(chain.load().await.unwrap().state, small);
    let rows = housecount_core::keys::KeyRange::event_states();
    let page = housecount_backend::cold::Page::first(100);
    assert_eq!(cold.query(&rows, &page).await.unwrap().len(), 1, "earlier states are deleted");
}
