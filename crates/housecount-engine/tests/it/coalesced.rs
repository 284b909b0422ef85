//! Beats beyond a session's limit: when the engine answers them by a logged beat.

use std::sync::atomic::Ordering;

use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::limits::COALESCE_MS_MAX;
use housecount_engine::internals::{IngestError, UnstampedEvent};
use housecount_engine::{Ack, Settings};
use housecount_test::timed_test;

use crate::inside::{Inside, usual};
use crate::support::faulty::FaultyLog;

/// The log's content counts, whatever this node has admitted itself.
#[timed_test(flavor = "multi_thread")]
async fn coalesce_ms_max_is_how_old_a_logged_beat_may_be() {
    let inside = Inside::ready(FaultyLog::default(), usual()).await;
    let beat = UnstampedEvent {
        kind: EventKind::Beat,
        ids: Ids { stage: "s", viewer: "ann", session: "tab" },
        labels: SessionLabels::NONE,
    };
    let coalesced = || inside.node.ingest.coalesce(&beat, false).map(|receipt| receipt.is_some());
    let logged = |kind, session, ago_ms| {
        let at = inside.node.clock.now().unwrap().minus(ago_ms);
        inside.node.hub.apply([EventRef {
            labels: SessionLabels::NONE,
            at,
            kind,
            ids: Ids { stage: "s", viewer: "ann", session },
        }]);
    };
    assert_eq!(coalesced(), Ok(false), "no beat is logged");
    logged(EventKind::Beat, "tab", COALESCE_MS_MAX);
    assert_eq!(coalesced(), Ok(false), "the logged beat is too old");
    // The result stays the same if a machine takes a second for this line.
    logged(EventKind::Beat, "tab", 0);
    assert_eq!(coalesced(), Ok(true));
    logged(EventKind::Beat, "other tab", 0);
    logged(EventKind::Leave, "other tab", 0);
    assert_eq!(coalesced(), Ok(true), "only another session has left");
    inside.node.hub.writes().refuse(0);
    assert_eq!(coalesced(), Err(IngestError::NotTaken));
    inside.node.hub.writes().accept(0);
    assert_eq!(coalesced(), Ok(true));
    logged(EventKind::Leave, "", 0);
    assert_eq!(coalesced(), Ok(false), "all of the viewer's sessions have left");
    logged(EventKind::Beat, "tab", 0);
    logged(EventKind::Leave, "tab", 0);
    assert_eq!(coalesced(), Ok(false), "the session has left");
}

/// On a busy node, events of others always wait for the log. Such an event says nothing about a
/// session that has left by way of another node.
#[timed_test(flavor = "multi_thread")]
async fn coalesce_ms_max_is_also_how_long_ago_a_leave_must_be() {
    for ack in [Ack::Log, Ack::Memory] {
        let inside = Inside::ready(FaultyLog::default(), Settings { ack, ..usual() }).await;
        inside.log.append_hangs.store(true, Ordering::SeqCst);
        let beat = UnstampedEvent {
            kind: EventKind::Beat,
            ids: Ids { stage: "s", viewer: "ann", session: "tab" },
            labels: SessionLabels::NONE,
        };
        let coalesced = || inside.node.ingest.coalesce(&beat, true).unwrap();
        assert_eq!(
            coalesced().is_some(),
            ack == Ack::Memory,
            "without a waiting append only `ack = memory` coalesces"
        );
        let taken = inside
            .node
            .ingest
            .enqueue(UnstampedEvent { ids: Ids { viewer: "bob", ..beat.ids }, ..beat }, false)
            .unwrap();
        let receipt = coalesced().unwrap();
        assert_eq!((receipt.is_coalesced(), receipt.is_resolved()), (true, ack == Ack::Memory));
        let now = inside.node.clock.now().unwrap();
        let leave = |at| EventRef {
            labels: SessionLabels::NONE,
            at,
            kind: EventKind::Leave,
            ids: Ids { stage: "s", viewer: "ann", session: "" },
        };
        inside.node.hub.apply([leave(now.minus(COALESCE_MS_MAX))]);
        assert!(coalesced().is_some(), "the beat is later than the leave");
        inside.node.hub.apply([leave(now.plus(COALESCE_MS_MAX))]);
        assert!(coalesced().is_none());
        drop(taken);
    }
}
