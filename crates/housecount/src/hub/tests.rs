//! What counts say of themselves: `asOf`, and whether they are complete.

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
