//! Log record: a batch of events as bytes, version 2. It is version 3 if it has displacements, and
//! version 4 if it has labels.
//!
//! ```text
//! u8      version = 2, 3 or 4
//! u64 LE  base: the earliest time in the batch, Unix ms
//! varint  number of stages; then for each: varint length, bytes
//! version 4:
//!   varint  number of lists of keys; then for each: varint length, the keys separated by a byte 1
//!   varint  number of label sets; then for each: varint index of its list of keys; varint length,
//!           the values separated by a byte 1
//! varint  number of events with ids; then for each:
//!   varint  2 x index of its stage + (1 if it is a leave);
//!           in versions 3 and 4: 3 x index of its stage + (0 for a beat, 1 leave, 2 displacement)
//!   varint  its time - base, ms
//!   varint  length of the viewer id, its bytes
//!   varint  length of the session id, its bytes
//!   version 4: varint 0, or 1 + index of its label set and then: varint age of the labels, ms
//! varint  number of beats by handle; then for each:
//!   varint  its time - base, ms
//!   8 bytes its session's handle
//! u32 LE  CRC-32 (IEEE) of all before
//! ```
//! Times are absolute (base + offset) instead of relative to the record's position, so that the
//! same event sent twice is the same event. Stages are written once per record, so a busy stage's
//! long ARN costs its bytes once per batch. A session whose ids were logged a short time ago is
//! logged by its [handle](crate::handle). A steady beat then takes nine bytes, and none for its
//! stage. Ids are checked again when a record is read, because the log is outside of housecount.

use std::collections::HashMap;

use housecount_codec::bytes::{ByteReader, DecodeError, put_text, put_varint, seal};

use crate::event::{EventKind, EventRef, Ids, SessionLabels};
use crate::handle::Handle;
use crate::ids::{SessionId, StageId, ViewerId};
use crate::label_sets::LabelSets;
use crate::limits::{
    CLOCK_AHEAD_MS_MAX, RECORD_BYTES_MAX, RECORD_EVENTS_MAX, SESSION_ID_BYTES_MAX,
    STAGE_ID_BYTES_MAX, VIEWER_ID_BYTES_MAX,
};
use crate::time::UnixMs;

/// Version that this program writes for records of beats and leaves.
pub const VERSION: u8 = 2;
/// Version of records with displacements. A node that does not limit streams writes none.
const VERSION_OF_DISPLACEMENTS: u8 = 3;
/// Version of records with labels. A node without labels writes none.
const VERSION_OF_LABELS: u8 = 4;
/// Oldest version that it reads.
const VERSION_OLDEST: u8 = 1;

/// An entry of a record, about one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordEntry<'a> {
    /// An event with all its ids.
    Full(EventRef<'a>),
    /// A beat of a session whose ids are in the log.
    ByHandle {
        /// Time of the beat.
        at: UnixMs,
        /// Handle of the session.
        handle: Handle,
    },
}

impl RecordEntry<'_> {
    /// Returns the time of the event, on the log's clock.
    #[must_use]
    pub fn at(&self) -> UnixMs {
        match self {
            RecordEntry::Full(event) => event.at,
            RecordEntry::ByHandle { at, .. } => *at,
        }
    }

    /// Returns the same entry with another time.
    #[must_use]
    pub fn at_time(self, at: UnixMs) -> Self {
        match self {
            RecordEntry::Full(event) => RecordEntry::Full(EventRef { at, ..event }),
            RecordEntry::ByHandle { handle, .. } => RecordEntry::ByHandle { at, handle },
        }
    }
}

/// Sets the time of events that are too far ahead of their record's position to that position.
/// Returns whether there were any.
///
/// A stamp from a broken clock must not keep a session online forever. All readers and writers of a
/// record call this, so that all use the same times.
pub fn clamp_future_times(entries: &mut [RecordEntry<'_>], position: UnixMs) -> bool {
    let latest = position.plus(CLOCK_AHEAD_MS_MAX);
    let mut was_ahead = false;
    for entry in entries.iter_mut().filter(|entry| entry.at() > latest) {
        *entry = entry.at_time(position);
        was_ahead = true;
    }
    was_ahead
}

/// Length of a record without events: the version, a time, three zeros and the checksum.
const NO_EVENTS_BYTES: usize = 16;

/// Whether a record has events, by its length alone.
#[must_use]
pub fn has_events(record: &[u8]) -> bool {
    record.len() > NO_EVENTS_BYTES
}

/// Encodes at most [`RECORD_EVENTS_MAX`] events as a record. A record without events changes
/// nothing. A node appends one to find out whether the log accepts writes again.
#[must_use]
pub fn encode(entries: &[RecordEntry<'_>]) -> Vec<u8> {
    debug_assert!(entries.len() <= RECORD_EVENTS_MAX);
    let base = entries.iter().map(RecordEntry::at).min().unwrap_or_default();
    let whole = || {
        entries.iter().filter_map(|entry| {
            if let RecordEntry::Full(event) = entry { Some(event) } else { None }
        })
    };
    let mut stages: Vec<&str> = Vec::new();
    let mut index: HashMap<&str, usize, foldhash::fast::FixedState> = HashMap::default();
    for event in whole() {
        index.entry(event.ids.stage).or_insert_with(|| {
            stages.push(event.ids.stage);
            stages.len() - 1
        });
    }
    let wholes = whole().count();
    let mut out = Vec::with_capacity(32 + wholes * 48 + (entries.len() - wholes) * 10);
    let has_displacements = whole().any(|event| event.kind == EventKind::Displace);
    let labels = LabelSets::of(whole().map(|event| event.labels));
    let version = match (labels.is_empty(), has_displacements) {
        (false, _) => VERSION_OF_LABELS,
        (true, true) => VERSION_OF_DISPLACEMENTS,
        (true, false) => VERSION,
    };
    out.push(version);
    out.extend_from_slice(&base.0.to_le_bytes());
    put_varint(&mut out, stages.len() as u64);
    stages.iter().for_each(|stage| put_text(&mut out, stage));
    if version == VERSION_OF_LABELS {
        labels.put(&mut out);
    }
    put_varint(&mut out, wholes as u64);
    for event in whole() {
        let stage = index.get(event.ids.stage).copied().unwrap_or_default() as u64;
        put_varint(&mut out, stage * kinds(version) + event.kind as u64);
        put_varint(&mut out, event.at.since(base));
        put_text(&mut out, event.ids.viewer);
        put_text(&mut out, event.ids.session);
        if version == VERSION_OF_LABELS {
            labels.put_reference(&event.labels, &mut out);
        }
    }
    put_varint(&mut out, (entries.len() - wholes) as u64);
    for entry in entries {
        if let RecordEntry::ByHandle { at, handle } = entry {
            put_varint(&mut out, at.since(base));
            out.extend_from_slice(&handle.bytes());
        }
    }
    seal(&mut out);
    out
}

/// Decodes a record into entries that borrow its bytes, entries with ids first.
///
/// # Errors
/// Returns `Checksum`, `Version`, or `Truncated` for damaged or unknown bytes. Returns `Invalid` if
/// an id breaks its rule, or for more than [`RECORD_BYTES_MAX`] bytes.
pub fn decode(record: &[u8]) -> Result<Vec<RecordEntry<'_>>, DecodeError> {
    if record.len() > RECORD_BYTES_MAX {
        return Err(DecodeError::Invalid { what: "the record's length", at: record.len() });
    }
    let (version, mut reader) = ByteReader::open_any(record, VERSION_OLDEST, VERSION_OF_LABELS)?;
    let base = UnixMs(reader.u64_le()?);
    let count = bounded(&mut reader, "the number of stages")?;
    let mut stages = Vec::with_capacity(count);
    for _ in 0..count {
        stages.push(id(&mut reader, "a stage id", STAGE_ID_BYTES_MAX, |s| {
            StageId::check(s).is_ok()
        })?);
    }
    let labels = match version {
        VERSION_OF_LABELS => LabelSets::get(&mut reader, RECORD_EVENTS_MAX)?,
        _ => LabelSets::default(),
    };
    let count = bounded(&mut reader, "the number of events")?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let mut event = event(&mut reader, version, base, &stages)?;
        if version == VERSION_OF_LABELS {
            event.labels = labels.get_reference(&mut reader)?;
        }
        entries.push(RecordEntry::Full(event));
    }
    // Version 1 had no handles, and ended here.
    let count = if version == 1 { 0 } else { bounded(&mut reader, "the number of beats")? };
    entries.reserve_exact(count);
    for _ in 0..count {
        let at = base.plus(reader.varint()?);
        let mut handle = [0; 8];
        handle.copy_from_slice(reader.take(8)?);
        entries.push(RecordEntry::ByHandle { at, handle: Handle::from_bytes(handle) });
    }
    reader.finish()?;
    Ok(entries)
}

/// Number of kinds of events that a version knows.
fn kinds(version: u8) -> u64 {
    if version >= VERSION_OF_DISPLACEMENTS { 3 } else { 2 }
}

fn event<'a>(
    reader: &mut ByteReader<'a>,
    version: u8,
    base: UnixMs,
    stages: &[&'a str],
) -> Result<EventRef<'a>, DecodeError> {
    let at = reader.at();
    let head = reader.varint()?;
    let stage = usize::try_from(head / kinds(version)).ok().and_then(|i| stages.get(i));
    let stage = *stage.ok_or(DecodeError::Invalid { what: "a stage index", at })?;
    Ok(EventRef {
        labels: SessionLabels::NONE,
        kind: match head % kinds(version) {
            0 => EventKind::Beat,
            1 => EventKind::Leave,
            _ => EventKind::Displace,
        },
        at: base.plus(reader.varint()?),
        ids: Ids {
            stage,
            viewer: id(reader, "a viewer id", VIEWER_ID_BYTES_MAX, |s| ViewerId::check(s).is_ok())?,
            session: id(reader, "a session id", SESSION_ID_BYTES_MAX, |s| {
                SessionId::check(s).is_ok()
            })?,
        },
    })
}

/// Reads a count. Its bound limits the memory that is allocated to that of a full record.
fn bounded(reader: &mut ByteReader<'_>, what: &'static str) -> Result<usize, DecodeError> {
    let at = reader.at();
    let count = usize::try_from(reader.varint()?).ok().filter(|count| *count <= RECORD_EVENTS_MAX);
    count.ok_or(DecodeError::Invalid { what, at })
}

fn id<'a>(
    reader: &mut ByteReader<'a>,
    what: &'static str,
    bytes_max: usize,
    rule: fn(&str) -> bool,
) -> Result<&'a str, DecodeError> {
    let at = reader.at();
    let text = reader.text(what, bytes_max)?;
    if rule(text) { Ok(text) } else { Err(DecodeError::Invalid { what, at }) }
}

#[cfg(test)]
mod tests;
