//! The log record: a batch of events as bytes, version 1.
//!
//! ```text
//! u8      version = 1
//! u64 LE  base: the earliest time in the batch, Unix ms
//! varint  number of stages; then for each: varint length, bytes
//! varint  number of events; then for each:
//!   varint  2 x index of its stage + (1 if it is a leave)
//!   varint  its time - base, ms
//!   varint  length of the viewer id, its bytes
//!   varint  length of the session id, its bytes
//! u32 LE  CRC-32 (IEEE) of all before
//! ```
//! Times are whole (base + offset) rather than relative to the record's position, so that the same event sent
//! twice is the same event. Stages are written once a record: a busy stage's long ARN costs its bytes once a
//! batch. Ids are checked again on the way back: the log is outside.

use std::collections::HashMap;

use crate::codec::{DecodeError, Reader, put_text, put_varint, seal};
use crate::event::{EventRef, Kind};
use crate::ids::{SessionId, StageId, ViewerId};
use crate::limits::{
    RECORD_BYTES_MAX, RECORD_EVENTS_MAX, SESSION_ID_BYTES_MAX, STAGE_ID_BYTES_MAX, VIEWER_ID_BYTES_MAX,
};
use crate::time::UnixMs;

/// The version this program writes, and the only one there is.
pub const VERSION: u8 = 1;

/// The bytes of `events`, which must be at least one and at most [`RECORD_EVENTS_MAX`].
#[must_use]
pub fn encode(events: &[EventRef<'_>]) -> Vec<u8> {
    debug_assert!(!events.is_empty() && events.len() <= RECORD_EVENTS_MAX);
    let base = events.iter().map(|e| e.at).min().unwrap_or_default();
    let mut stages: Vec<&str> = Vec::new();
    let mut index: HashMap<&str, usize, foldhash::fast::FixedState> = HashMap::default();
    for event in events {
        index.entry(event.stage).or_insert_with(|| {
            stages.push(event.stage);
            stages.len() - 1
        });
    }
    let mut out = Vec::with_capacity(32 + events.len() * 48);
    out.push(VERSION);
    out.extend_from_slice(&base.0.to_le_bytes());
    put_varint(&mut out, stages.len() as u64);
    stages.iter().for_each(|stage| put_text(&mut out, stage));
    put_varint(&mut out, events.len() as u64);
    for event in events {
        let stage = index.get(event.stage).copied().unwrap_or_default() as u64;
        put_varint(&mut out, stage * 2 + u64::from(event.kind == Kind::Leave));
        put_varint(&mut out, event.at.since(base));
        put_text(&mut out, event.viewer);
        put_text(&mut out, event.session);
    }
    seal(&mut out);
    out
}

/// The events of a record, which borrow its bytes.
///
/// # Errors
/// A wrong checksum, an unknown version, an id that breaks its rule, or more than [`RECORD_BYTES_MAX`] bytes.
pub fn decode(record: &[u8]) -> Result<Vec<EventRef<'_>>, DecodeError> {
    if record.len() > RECORD_BYTES_MAX {
        return Err(DecodeError::Invalid { what: "the record's length", at: record.len() });
    }
    let mut reader = Reader::open(record, VERSION)?;
    let base = UnixMs(reader.u64_le()?);
    let count = bounded(&mut reader, "the number of stages")?;
    let mut stages = Vec::with_capacity(count);
    for _ in 0..count {
        stages.push(id(&mut reader, "a stage id", STAGE_ID_BYTES_MAX, |s| StageId::check(s).is_ok())?);
    }
    let count = bounded(&mut reader, "the number of events")?;
    let mut events = Vec::with_capacity(count);
    for _ in 0..count {
        let at = reader.at();
        let head = reader.varint()?;
        let stage = usize::try_from(head / 2).ok().and_then(|i| stages.get(i));
        let stage = *stage.ok_or(DecodeError::Invalid { what: "a stage index", at })?;
        events.push(EventRef {
            kind: if head % 2 == 1 { Kind::Leave } else { Kind::Beat },
            at: base.plus(reader.varint()?),
            stage,
            viewer: id(&mut reader, "a viewer id", VIEWER_ID_BYTES_MAX, |s| ViewerId::check(s).is_ok())?,
            session: id(&mut reader, "a session id", SESSION_ID_BYTES_MAX, |s| SessionId::check(s).is_ok())?,
        });
    }
    reader.finish()?;
    Ok(events)
}

/// A count that can't make us allocate more than a record may hold.
fn bounded(reader: &mut Reader<'_>, what: &'static str) -> Result<usize, DecodeError> {
    let at = reader.at();
    let count = usize::try_from(reader.varint()?).ok().filter(|count| *count <= RECORD_EVENTS_MAX);
    count.ok_or(DecodeError::Invalid { what, at })
}

fn id<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
    bytes_max: usize,
    rule: fn(&str) -> bool,
) -> Result<&'a str, DecodeError> {
    let at = reader.at();
    let text = reader.text(what, bytes_max)?;
    if rule(text) { Ok(text) } else { Err(DecodeError::Invalid { what, at }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn beat<'a>(at: u64, stage: &'a str, viewer: &'a str, session: &'a str) -> EventRef<'a> {
        EventRef { at: UnixMs(at), kind: Kind::Beat, stage, viewer, session }
    }

    /// Frozen bytes: logs written by any version must stay readable. See docs/FORMATS.md.
    #[test]
    fn version_1_is_frozen() {
        let events = [
            beat(1_000_030, "s/1", "ann", ""),
            EventRef { kind: Kind::Leave, ..beat(1_000_000, "s/2", "bob", "tab") },
        ];
        let bytes = encode(&events);
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "0140420f000000000002\
             03732f3103732f32\
             02001e03616e6e00\
             030003626f6203746162\
             a971efa2"
        );
        assert_eq!(decode(&bytes).unwrap(), events);
    }

    #[test]
    fn record_events_max_full_of_the_longest_ids_fits() {
        let stage: Vec<String> = (0..RECORD_EVENTS_MAX).map(|n| format!("{n:0>256}")).collect();
        let (viewer, session) = ("v".repeat(VIEWER_ID_BYTES_MAX), "s".repeat(SESSION_ID_BYTES_MAX));
        let events: Vec<_> = stage.iter().map(|s| beat(7, s, &viewer, &session)).collect();
        let bytes = encode(&events);
        assert!(bytes.len() <= RECORD_BYTES_MAX, "{}", bytes.len());
        assert_eq!(decode(&bytes).unwrap().len(), RECORD_EVENTS_MAX);
    }

    fn events() -> impl Strategy<Value = Vec<(u64, bool, String, String, String)>> {
        let event = (0u64..1 << 50, any::<bool>(), "[!-~]{1,8}", "[a-zé]{1,8}", "[a-z]{0,3}");
        proptest::collection::vec(event, 1..50)
    }

    proptest! {
        #[test]
        fn round_trip(events in events()) {
            let events: Vec<EventRef<'_>> = events
                .iter()
                .map(|(at, leave, stage, viewer, session)| EventRef {
                    at: UnixMs(*at),
                    kind: if *leave { Kind::Leave } else { Kind::Beat },
                    stage, viewer, session,
                })
                .collect();
            let bytes = encode(&events);
            prop_assert_eq!(decode(&bytes).unwrap(), events);
        }

        #[test]
        fn a_flipped_bit_is_always_found(events in events(), at: usize, bit in 0u8..8) {
            let events: Vec<_> = events.iter().map(|e| beat(e.0, &e.2, &e.3, &e.4)).collect();
            let mut bytes = encode(&events);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&bytes).is_err());
        }

        /// Behind a right checksum anything may stand: it is an error or a batch, never a panic.
        #[test]
        fn sealed_noise_never_panics(mut noise: Vec<u8>) {
            noise.insert(0, VERSION);
            seal(&mut noise);
            let _ = decode(&noise);
        }
    }
}
