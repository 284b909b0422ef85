//! A batch: events of one record while they gather, in two growing buffers that are reused.
//!
//! A heartbeat that joins is copied once, into an existing text, without an allocation of its own.

use crate::event::{EventKind, EventRef, Ids};
use crate::limits::RECORD_EVENTS_MAX;
use crate::time::UnixMs;

/// Events in the order of their arrival. The ids must have been checked, as for every [`EventRef`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// All ids, one after another.
    text: String,
    events: Vec<BatchEntry>,
}

/// An event whose ids begin at `start` of the text. Their lengths fit the fields, by the limits in
/// `limits`.
#[derive(Clone, Copy, Debug)]
struct BatchEntry {
    at: UnixMs,
    start: u32,
    stage_len: u16,
    viewer_len: u8,
    session_len: u8,
    kind: EventKind,
}

impl Batch {
    /// Adds an event.
    pub fn push(&mut self, event: &EventRef<'_>) {
        debug_assert!(!self.is_full());
        self.events.push(BatchEntry {
            at: event.at,
            start: self.text.len() as u32,
            stage_len: event.ids.stage.len() as u16,
            viewer_len: event.ids.viewer.len() as u8,
            session_len: event.ids.session.len() as u8,
            kind: event.kind,
        });
        for id in [event.ids.stage, event.ids.viewer, event.ids.session] {
            self.text.push_str(id);
        }
    }

    /// Iterates over the events.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        self.events.iter().map(|entry| {
            let viewer = entry.start as usize + usize::from(entry.stage_len);
            let session = viewer + usize::from(entry.viewer_len);
            EventRef {
                at: entry.at,
                kind: entry.kind,
                ids: Ids {
                    stage: &self.text[entry.start as usize..viewer],
                    viewer: &self.text[viewer..session],
                    session: &self.text[session..session + usize::from(entry.session_len)],
                },
            }
        })
    }

    /// Returns the time of the oldest event, or `None` if the batch is empty.
    #[must_use]
    pub fn oldest(&self) -> Option<UnixMs> {
        self.events.iter().map(|entry| entry.at).min()
    }

    /// Returns a batch of the events at or after `since`.
    #[must_use]
    pub fn since(&self, since: UnixMs) -> Batch {
        let mut kept = Batch::default();
        self.iter().filter(|event| event.at >= since).for_each(|event| kept.push(&event));
        kept
    }

    /// Returns the number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns whether the batch has no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns whether the batch has as many events as a record may hold.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.events.len() >= RECORD_EVENTS_MAX
    }

    /// Removes all events and keeps the buffers.
    pub fn clear(&mut self) {
        self.text.clear();
        self.events.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{SESSION_ID_BYTES_MAX, STAGE_ID_BYTES_MAX, VIEWER_ID_BYTES_MAX};

    #[test]
    fn what_goes_in_comes_out() {
        let (stage, viewer) = ("s".repeat(STAGE_ID_BYTES_MAX), "é".repeat(VIEWER_ID_BYTES_MAX / 2));
        let session = "t".repeat(SESSION_ID_BYTES_MAX);
        let longest = EventRef {
            at: UnixMs(7),
            kind: EventKind::Leave,
            ids: Ids { stage: &stage, viewer: &viewer, session: &session },
        };
        let short = EventRef {
            at: UnixMs(5),
            kind: EventKind::Beat,
            ids: Ids { stage: "s", viewer: "v", session: "" },
        };
        let mut batch = Batch::default();
        for _ in 0..2 {
            for _ in 0..RECORD_EVENTS_MAX / 2 {
                assert!(!batch.is_full());
                batch.push(&longest);
                batch.push(&short);
            }
            assert!(batch.is_full());
            let expected = (0..RECORD_EVENTS_MAX).map(|n| if n % 2 == 0 { longest } else { short });
            assert!(batch.iter().eq(expected));
            assert_eq!(batch.oldest(), Some(UnixMs(5)));
            let kept = batch.since(UnixMs(6));
            assert!(
                kept.len() == RECORD_EVENTS_MAX / 2 && kept.iter().all(|event| event == longest)
            );
            batch.clear();
            assert!(batch.is_empty() && batch.oldest().is_none());
        }
    }
}
