//! A batch: events of one record while they gather, in two growing buffers that are reused.
//!
//! A heartbeat that joins is copied once, into an existing text, without an allocation of its own.

use crate::event::{EventKind, EventRef, Ids, SessionLabels};
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
    keys_len: u8,
    values_len: u8,
    /// Age of the labels; 49 days stand for all that is older.
    age_ms: u32,
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
            keys_len: event.labels.keys().len() as u8,
            values_len: event.labels.values().len() as u8,
            age_ms: u32::try_from(event.labels.age_ms()).unwrap_or(u32::MAX),
        });
        let Ids { stage, viewer, session } = event.ids;
        for text in [stage, viewer, session, event.labels.keys(), event.labels.values()] {
            self.text.push_str(text);
        }
    }

    /// Iterates over the events.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        self.events.iter().map(|entry| {
            let mut text = &self.text[entry.start as usize..];
            let mut next = |len: usize| {
                let (first, rest) = text.split_at(len);
                text = rest;
                first
            };
            let ids = Ids {
                stage: next(usize::from(entry.stage_len)),
                viewer: next(usize::from(entry.viewer_len)),
                session: next(usize::from(entry.session_len)),
            };
            let (keys, values) =
                (next(usize::from(entry.keys_len)), next(usize::from(entry.values_len)));
            let labels = SessionLabels::of_checked(keys, values, u64::from(entry.age_ms));
            EventRef { at: entry.at, kind: entry.kind, ids, labels }
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
    use crate::limits::{
        LABEL_KEY_BYTES_MAX, LABEL_KEYS_MAX, LABEL_VALUE_BYTES_MAX, SESSION_ID_BYTES_MAX,
        STAGE_ID_BYTES_MAX, VIEWER_ID_BYTES_MAX,
    };

    #[test]
    fn what_goes_in_comes_out() {
        let (stage, viewer) = ("s".repeat(STAGE_ID_BYTES_MAX), "é".repeat(VIEWER_ID_BYTES_MAX / 2));
        let session = "t".repeat(SESSION_ID_BYTES_MAX);
        let key = |n: usize| format!("{n}{}", "k".repeat(LABEL_KEY_BYTES_MAX - 1));
        let keys = (0..LABEL_KEYS_MAX).map(key).collect::<Vec<_>>().join("\u{1}");
        let values = vec!["v".repeat(LABEL_VALUE_BYTES_MAX); LABEL_KEYS_MAX].join("\u{1}");
        let longest = EventRef {
            labels: SessionLabels::parse(&keys, &values, 9).unwrap(),
            at: UnixMs(7),
            kind: EventKind::Leave,
            ids: Ids { stage: &stage, viewer: &viewer, session: &session },
        };
        let short = EventRef {
            labels: SessionLabels::NONE,
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
