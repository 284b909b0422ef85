//! Decoding of flushes into records.

use housecount_codec::bits::BitReader;
use housecount_codec::bytes::{ByteReader, DecodeError};

use super::numbers::{NumberTable, NumberTables};
use super::{NumberEntry, NumberedLabels, PACKED, RAW, SPAN_MS_MAX, VERSION, VERSION_OF_LABELS};
use crate::event::{EventKind, EventRef, Ids, SessionLabels};
use crate::fold::Handle;
use crate::ids::{SessionId, StageId, ViewerId};
use crate::limits::{
    EPOCH_SESSIONS_MAX, RECORD_BYTES_MAX, RECORD_EVENTS_MAX, SESSION_ID_BYTES_MAX,
    STAGE_ID_BYTES_MAX, VIEWER_ID_BYTES_MAX,
};
use crate::record::{self, RecordEntry};
use crate::time::UnixMs;

/// Content of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedFlush {
    /// Time at which a node with complete state was attending; zero if the item has none.
    pub attended: UnixMs,
    /// The record: the same events, in another order.
    pub record: Vec<u8>,
}

/// Reason why an item can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    /// The bytes were not made by a writer.
    #[error(transparent)]
    Bytes(#[from] DecodeError),
    /// Earlier items of its epoch have not been read. They are in the log from `begun` on.
    #[error("some items since the start of its epoch at {begun} have not been read")]
    MissingEarlier {
        /// Start of the epoch.
        begun: UnixMs,
    },
}

impl NumberTables {
    /// Decodes a writer's item at `position`. Items of an epoch must be read in their order. Any of
    /// them may be read again.
    ///
    /// # Errors
    /// Returns `Bytes` if the item is damaged or invalid, and `MissingEarlier` if items before it
    /// have not been read.
    pub fn read(
        &mut self,
        writer: u32,
        position: UnixMs,
        item: &[u8],
    ) -> Result<DecodedFlush, FlushError> {
        let (version, mut reader) = ByteReader::open_any(item, VERSION, VERSION_OF_LABELS)?;
        let has_labels = version == VERSION_OF_LABELS;
        let kind_at = reader.at();
        let kind = reader.byte()?;
        let attended = match reader.varint()? {
            0 => UnixMs::ZERO,
            ago => position.minus(ago - 1),
        };
        let record = match kind {
            RAW if reader.left() <= RECORD_BYTES_MAX => reader.rest().to_vec(),
            PACKED => self.unpack(writer, position, has_labels, reader)?,
            _ => {
                return Err(
                    DecodeError::Invalid { what: "the kind or the length", at: kind_at }.into()
                );
            }
        };
        Ok(DecodedFlush { attended, record })
    }

    fn unpack(
        &mut self,
        writer: u32,
        position: UnixMs,
        has_labels: bool,
        mut reader: ByteReader<'_>,
    ) -> Result<Vec<u8>, FlushError> {
        let begun = position.minus(reader.varint()?);
        let known = number(&mut reader, "the number of sessions", EPOCH_SESSIONS_MAX)?;
        let stages = number(&mut reader, "the number of stages", EPOCH_SESSIONS_MAX)?;
        let label_sets = match has_labels {
            true => number(&mut reader, "the number of label sets", EPOCH_SESSIONS_MAX)?,
            false => 0,
        };
        let lacks = FlushError::MissingEarlier { begun };
        let book = self.find(writer, begun, known == 0 && stages == 0).ok_or(lacks)?;
        if book.entries.len() < known
            || book.stages.len() < stages
            || book.label_sets.len() < label_sets
        {
            return Err(lacks);
        }
        let at = reader.at();
        let ahead = unzigzag(reader.varint()?);
        let base = UnixMs(position.0.wrapping_sub(ahead.cast_unsigned()));
        let span_ms = reader.varint()?;
        if span_ms >= 2 * SPAN_MS_MAX || ahead.unsigned_abs() >= SPAN_MS_MAX {
            return Err(DecodeError::Invalid { what: "a time", at }.into());
        }
        let labels_at = has_labels.then_some((position, label_sets));
        read_new_entries(book, &mut reader, [known, stages], labels_at)?;
        let mut record_entries = Vec::new();
        for _ in 0..number(&mut reader, "the number of events", RECORD_EVENTS_MAX)? {
            let at = reader.at();
            let head = reader.varint()?;
            let stage = usize::try_from(head / 2).ok().and_then(|stage| book.stages.get(stage));
            let mut event = EventRef {
                labels: SessionLabels::NONE,
                kind: if head % 2 == 1 { EventKind::Leave } else { EventKind::Beat },
                at: base.plus(reader.varint()?),
                ids: Ids {
                    stage: stage.ok_or(DecodeError::Invalid { what: "a stage", at })?,
                    viewer: viewer(&mut reader)?,
                    session: session(&mut reader)?,
                },
            };
            if has_labels {
                event.labels = book.labels(labels(book, &mut reader, position)?, event.at);
            }
            record_entries.push(RecordEntry::Full(event));
        }
        numbers(book, reader, base, span_ms, &mut record_entries)?;
        Ok(record::encode(&record_entries))
    }
}

/// Adds an item's new entries to its table. Existing entries are the same, because the writer gave
/// each number once.
fn read_new_entries(
    book: &mut NumberTable,
    reader: &mut ByteReader<'_>,
    [known, stages]: [usize; 2],
    labels_at: Option<(UnixMs, usize)>,
) -> Result<(), DecodeError> {
    for n in 0..number(reader, "the number of stages", RECORD_EVENTS_MAX)? {
        let stage = id(reader, "a stage id", STAGE_ID_BYTES_MAX, |s| StageId::check(s).is_ok())?;
        if stages + n == book.stages.len() {
            book.stages.push(stage.into());
        }
    }
    if let Some((_, label_sets)) = labels_at {
        read_label_sets(book, reader, label_sets)?;
    }
    let position = labels_at.map(|(position, _)| position);
    let named = number(reader, "the number of sessions", RECORD_EVENTS_MAX)?;
    for n in known..known + named {
        let entry = entry(book, reader, position)?;
        if n == book.entries.len() {
            book.entries.push(entry);
        }
    }
    let nameless = number(reader, "the number of handles", RECORD_EVENTS_MAX)?;
    for n in known + named..known + named + nameless {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(reader.take(8)?);
        if n == book.entries.len() {
            book.entries.push(NumberEntry::HandleOnly(Handle::from_bytes(bytes)));
        }
    }
    for _ in 0..number(reader, "the number of sessions", RECORD_EVENTS_MAX)? {
        let at = reader.at();
        let n = number(reader, "a number", EPOCH_SESSIONS_MAX)?;
        let entry = entry(book, reader, position)?;
        *book.entries.get_mut(n).ok_or(DecodeError::Invalid { what: "a number", at })? = entry;
    }
    Ok(())
}

/// Decodes the beats and leaves of sessions that have a number.
fn numbers<'a>(
    book: &'a NumberTable,
    mut reader: ByteReader<'a>,
    base: UnixMs,
    span_ms: u64,
    record_entries: &mut Vec<RecordEntry<'a>>,
) -> Result<(), DecodeError> {
    let at = reader.at();
    let beats = number(&mut reader, "the number of beats", RECORD_EVENTS_MAX)?;
    let leaves = number(&mut reader, "the number of leaves", RECORD_EVENTS_MAX)?;
    let (rice_of_beats, rice_of_leaves) = (u32::from(reader.byte()?), u32::from(reader.byte()?));
    let invalid = |what| Err(DecodeError::Invalid { what, at });
    if rice_of_beats.max(rice_of_leaves) > 30 {
        return invalid("Rice's k");
    }
    let total = record_entries.len() + beats + leaves;
    if total == 0 || total > RECORD_EVENTS_MAX {
        return invalid("the number of events");
    }
    let mut bits = BitReader::new(reader.rest());
    for (kind, count, k) in
        [(EventKind::Beat, beats, rice_of_beats), (EventKind::Leave, leaves, rice_of_leaves)]
    {
        let mut before = 0u64;
        for _ in 0..count {
            before = before.saturating_add(bits.rice(k)?);
            let at = base.plus(bits.minimal(span_ms + 1)?);
            let entry = usize::try_from(before).ok().and_then(|n| book.entries.get(n));
            record_entries.push(match (entry, kind) {
                (Some(NumberEntry::Named { stage, viewer, session, labels }), _) => {
                    let Some(stage) = book.stages.get(*stage as usize) else {
                        return invalid("a stage");
                    };
                    let labels = labels.filter(|_| kind == EventKind::Beat);
                    RecordEntry::Full(EventRef {
                        labels: book.labels(labels, at),
                        at,
                        kind,
                        ids: Ids { stage, viewer, session },
                    })
                }
                (Some(NumberEntry::HandleOnly(handle)), EventKind::Beat) => {
                    RecordEntry::ByHandle { at, handle: *handle }
                }
                _ => return invalid("a number"),
            });
        }
    }
    if bits.left() < 8 { Ok(()) } else { invalid("bytes after the last value") }
}

/// Adds an item's new label sets to its table.
fn read_label_sets(
    book: &mut NumberTable,
    reader: &mut ByteReader<'_>,
    known: usize,
) -> Result<(), DecodeError> {
    for n in 0..number(reader, "the number of label sets", RECORD_EVENTS_MAX)? {
        let at = reader.at();
        let keys = reader.text("keys of labels", RECORD_BYTES_MAX)?;
        let values = reader.text("values of labels", RECORD_BYTES_MAX)?;
        SessionLabels::parse(keys, values, 0)
            .map_err(|_| DecodeError::Invalid { what: "labels", at })?;
        if known + n == book.label_sets.len() {
            book.label_sets.push((keys.into(), values.into()));
        }
    }
    Ok(())
}

/// Decodes the labels of a session in an item at `position`.
fn labels(
    book: &NumberTable,
    reader: &mut ByteReader<'_>,
    position: UnixMs,
) -> Result<NumberedLabels, DecodeError> {
    let at = reader.at();
    let Some(set) = number(reader, "a label set", EPOCH_SESSIONS_MAX)?.checked_sub(1) else {
        return Ok(None);
    };
    let ago = unzigzag(reader.varint()?);
    if set >= book.label_sets.len() || ago.unsigned_abs() >= SPAN_MS_MAX {
        return Err(DecodeError::Invalid { what: "labels", at });
    }
    Ok(Some((set as u32, UnixMs(position.0.wrapping_sub(ago.cast_unsigned())))))
}

/// Decodes a session with ids, and with labels in an item that has a `position` for them.
fn entry(
    book: &NumberTable,
    reader: &mut ByteReader<'_>,
    position: Option<UnixMs>,
) -> Result<NumberEntry, DecodeError> {
    let at = reader.at();
    let stage = number(reader, "a stage", EPOCH_SESSIONS_MAX)?;
    if stage >= book.stages.len() {
        return Err(DecodeError::Invalid { what: "a stage", at });
    }
    let (viewer, session) = (viewer(reader)?.into(), session(reader)?.into());
    let labels = match position {
        Some(position) => labels(book, reader, position)?,
        None => None,
    };
    Ok(NumberEntry::Named { stage: stage as u32, viewer, session, labels })
}

fn viewer<'a>(reader: &mut ByteReader<'a>) -> Result<&'a str, DecodeError> {
    id(reader, "a viewer id", VIEWER_ID_BYTES_MAX, |s| ViewerId::check(s).is_ok())
}

fn session<'a>(reader: &mut ByteReader<'a>) -> Result<&'a str, DecodeError> {
    id(reader, "a session id", SESSION_ID_BYTES_MAX, |s| SessionId::check(s).is_ok())
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

fn number(
    reader: &mut ByteReader<'_>,
    what: &'static str,
    max: usize,
) -> Result<usize, DecodeError> {
    let at = reader.at();
    let number = usize::try_from(reader.varint()?).ok().filter(|number| *number <= max);
    number.ok_or(DecodeError::Invalid { what, at })
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
