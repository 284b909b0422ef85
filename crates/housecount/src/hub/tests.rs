//! What counts say of themselves: `asOf`, and whether they are complete.

use housecount_core::limits::STAGES_PER_HOLD_MAX;

use super::*;

/// The time up to which everything was read: a record of this node's own may lie behind others that it has not read.
#[test]
fn as_of_stays_with_an_append_of_its_own() {
    let hub = Hub::new(Rules { ttl_ms: 9_000, leave_grace_ms: 100 }, 1, false);
    hub.go_live();
    hub.advance(UnixMs(10_000));
    let at = UnixMs(12_000);
    let beat = EventRef { at, kind: Kind::Beat, stage: "s", viewer: "bob", session: "" };
    hub.take_in(0, &[Told::Event(beat)], at);
    let answer = hub.count("s");
    assert_eq!((answer.of.viewers, answer.standing.as_of), (1, UnixMs(9_999)));
}

/// At once, not only after `SILENCE_MS_MAX`.
#[test]
fn counts_are_not_complete_while_the_log_refuses_writes() {
    let hub = Hub::new(Rules { ttl_ms: 9_000, leave_grace_ms: 100 }, 1, false);
    hub.go_live();
    hub.advance(UnixMs(10_000));
    assert!(hub.count("s").standing.complete);
    hub.writes().refuse(0);
    assert!(!hub.count("s").standing.complete && !hub.totals().standing.complete);
    hub.writes().accept(0);
    assert!(hub.count("s").standing.complete);
}

#[test]
fn as_of_is_held_back_by_what_is_late() {
    let hub = Hub::new(Rules { ttl_ms: 9_000, leave_grace_ms: 100 }, 1, false);
    hub.go_live();
    hub.advance(UnixMs(10_000));
    for (held_back_ms, as_of) in [(0, 9_999), (150, 9_849), (0, 9_999)] {
        hub.hold_back(held_back_ms);
        assert_eq!(hub.count("s").standing.as_of, UnixMs(as_of));
    }
}

/// A hub on whose stage `s` and on as many stages of their own `viewers` viewers are.
fn crowded(viewers: usize) -> Hub {
    let hub = Hub::new(Rules { ttl_ms: 9_000, leave_grace_ms: 100 }, 1, false);
    hub.go_live();
    hub.advance(UnixMs(10_000));
    let at = UnixMs(12_000);
    for i in 0..viewers {
        let (viewer, stage) = (format!("v{i:06}"), format!("stage-{i:06}"));
        let beat = |stage| EventRef { at, kind: Kind::Beat, stage, viewer: &viewer, session: "" };
        hub.apply([beat("s"), beat(stage.as_str())]);
    }
    hub
}

/// A page over the bound is put together from slices, and a page of the bound is one.
#[tokio::test]
async fn stages_per_hold_max_bounds_a_slice_and_no_page() {
    let hub = crowded(3 * STAGES_PER_HOLD_MAX);
    for limit in [1, STAGES_PER_HOLD_MAX - 1, STAGES_PER_HOLD_MAX, STAGES_PER_HOLD_MAX + 1, usize::MAX] {
        let (mut after, mut ids) = (None, Vec::new());
        loop {
            let page = hub.stages_page(after.as_deref(), limit).await.of;
            assert!(page.len() <= limit);
            after = page.last().map(|view| view.stage.to_string());
            let is_last = page.len() < limit;
            ids.extend(page.into_iter().map(|view| view.stage));
            if is_last {
                break;
            }
        }
        let own = (0..3 * STAGES_PER_HOLD_MAX).map(|i| format!("stage-{i:06}"));
        assert!(ids.iter().map(|id| &**id).eq(std::iter::once("s".to_string()).chain(own)), "{limit}");
    }
    let slice = hub.stages_after(None, STAGES_PER_HOLD_MAX).of;
    assert_eq!(slice.views.len(), STAGES_PER_HOLD_MAX);
}
