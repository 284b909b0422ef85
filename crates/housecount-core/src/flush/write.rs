//! Encoding of flushes: a writer, and the numbers that it has given.

use std::collections::HashMap;

use housecount_codec::bits::{BitWriter, rice_parameter};
use housecount_codec::bytes::{put_text, put_varint, seal};

use super::numbers::NumberTable;
use super::{NumberEntry, NumberedLabels, PACKED, RAW, SPAN_MS_MAX, VERSION, VERSION_OF_LABELS};
use crate::event::{EventKind, EventRef};
use crate::fold::{Handle, HandleKey};
use crate::limits::{EPOCH_MS_MAX, EPOCH_SESSIONS_MAX};
use crate::record::{self, RecordEntry};
use crate::time::UnixMs;

/// Encoder of flushes, with the numbers that it has given to sessions and stages. A process has one
/// per partition.
#[derive(Debug, Default)]
pub struct FlushEncoder {
    /// Start of the epoch. `None` before the first item, and after one that may not be in the log.
    begun: Option<UnixMs>,
    key: HandleKey,
    book: NumberTable,
    pub(super) numbers: HashMap<[u8; 8], u32, foldhash::fast::FixedState>,
    stages: HashMap<Box<str>, u32, foldhash::fast::FixedState>,
    label_sets: HashMap<(Box<str>, Box<str>), u32, foldhash::fast::FixedState>,
}

/// Parts of an item, besides new entries.
#[derive(Default)]
struct FlushAdditions<'a> {
    /// Numbers that had only a handle.
    renamed: Vec<u32>,
    loose: Vec<EventRef<'a>>,
    beats: Vec<(u32, UnixMs)>,
    leaves: Vec<(u32, UnixMs)>,
}

impl FlushEncoder {
    /// Encodes a record as an item.
    ///
    /// The item must be stored at `position`, after all items that were made before. Otherwise
    /// [`start_epoch`](Self::start_epoch) must be called. `attended` is the time at which a node
    /// with complete state was attending, or zero.
    #[must_use]
    pub fn encode(
        &mut self,
        position: UnixMs,
        attended: UnixMs,
        key: HandleKey,
        record: &[u8],
    ) -> Vec<u8> {
        let mut out = vec![VERSION];
        let ago = if attended == UnixMs::ZERO { 0 } else { position.since(attended) + 1 };
        match record::decode(record) {
            Ok(record_entries) if is_packable(&record_entries, position) => {
                if record_entries.iter().any(has_labels) {
                    out[0] = VERSION_OF_LABELS;
                }
                out.push(PACKED);
                put_varint(&mut out, ago);
                self.pack(&mut out, position, key, &record_entries);
            }
            _ => {
                out.push(RAW);
                put_varint(&mut out, ago);
                out.extend_from_slice(record);
            }
        }
        seal(&mut out);
        out
    }

    /// Starts a new epoch after an item that may not be in the log. Nothing that it contained
    /// counts as known.
    pub fn start_epoch(&mut self) {
        *self = FlushEncoder::default();
    }

    fn pack(
        &mut self,
        out: &mut Vec<u8>,
        position: UnixMs,
        key: HandleKey,
        record_entries: &[RecordEntry<'_>],
    ) {
        let is_over = |begun: UnixMs| position.since(begun) >= EPOCH_MS_MAX;
        let is_full = self.book.entries.len() + record_entries.len() > EPOCH_SESSIONS_MAX;
        if self.begun.is_none_or(is_over) || is_full || self.key != key {
            *self = FlushEncoder { begun: Some(position), key, ..FlushEncoder::default() };
        }
        let begun = self.begun.unwrap_or(position);
        let (known, stages) = (self.book.entries.len(), self.book.stages.len());
        let label_sets = self.book.label_sets.len();
        let has_labels = out.first() == Some(&VERSION_OF_LABELS);
        let base = record_entries.iter().map(RecordEntry::at).min().unwrap_or_default();
        let span_ms =
            record_entries.iter().map(RecordEntry::at).max().unwrap_or_default().since(base);
        let mut news = FlushAdditions::default();
        let events = record_entries.iter().filter_map(|record_entry| {
            if let RecordEntry::Full(event) = record_entry { Some(event) } else { None }
        });
        events.for_each(|event| self.number(event, &mut news));
        let named = self.book.entries.len();
        for record_entry in record_entries {
            if let RecordEntry::ByHandle { at, handle } = record_entry {
                let next = self.book.entries.len() as u32;
                let number = *self.numbers.entry(handle.bytes()).or_insert(next);
                if number == next {
                    self.book.entries.push(NumberEntry::HandleOnly(*handle));
                }
                news.beats.push((number, *at));
            }
        }

        for value in [position.since(begun), known as u64, stages as u64] {
            put_varint(out, value);
        }
        if has_labels {
            put_varint(out, label_sets as u64);
        }
        put_varint(out, zigzag(position.0.cast_signed().wrapping_sub(base.0.cast_signed())));
        put_varint(out, span_ms);
        put_varint(out, (self.book.stages.len() - stages) as u64);
        self.book.stages[stages..].iter().for_each(|stage| put_text(out, stage));
        if has_labels {
            put_varint(out, (self.book.label_sets.len() - label_sets) as u64);
            for (keys, values) in &self.book.label_sets[label_sets..] {
                put_text(out, keys);
                put_text(out, values);
            }
        }
        let put_entry = |out: &mut Vec<u8>, entry: &NumberEntry| {
            put_ids(out, entry);
            if let (NumberEntry::Named { labels, .. }, true) = (entry, has_labels) {
                put_labels(out, *labels, position);
            }
        };
        put_varint(out, (named - known) as u64);
        self.book.entries[known..named].iter().for_each(|entry| put_entry(out, entry));
        put_varint(out, (self.book.entries.len() - named) as u64);
        self.book.entries[named..].iter().for_each(|entry| put_entry(out, entry));
        put_varint(out, news.renamed.len() as u64);
        for number in &news.renamed {
            put_varint(out, u64::from(*number));
            put_entry(out, &self.book.entries[*number as usize]);
        }
        put_varint(out, news.loose.len() as u64);
        for event in &news.loose {
            let stage = self.stages.get(event.ids.stage).copied().unwrap_or_default();
            put_varint(out, u64::from(stage) * 2 + u64::from(event.kind == EventKind::Leave));
            put_varint(out, event.at.since(base));
            put_text(out, event.ids.viewer);
            put_text(out, event.ids.session);
            if has_labels {
                put_labels(out, self.numbered(event), position);
            }
        }
        put_numbers(out, [news.beats, news.leaves], base, span_ms);
    }

    /// Returns an event's labels, whose set gets a number if it has none.
    fn number_labels(&mut self, event: &EventRef<'_>) -> NumberedLabels {
        if event.labels.is_none() || event.kind != EventKind::Beat {
            return None;
        }
        let set = (event.labels.keys().into(), event.labels.values().into());
        let known = &mut self.book.label_sets;
        let number = *self.label_sets.entry(set).or_insert_with_key(|set| {
            known.push(set.clone());
            known.len() as u32 - 1
        });
        Some((number, event.at.minus(event.labels.age_ms())))
    }

    /// Returns an event's labels, whose set has a number.
    fn numbered(&self, event: &EventRef<'_>) -> NumberedLabels {
        let set = (event.labels.keys().into(), event.labels.values().into());
        let number = self.label_sets.get(&set).filter(|_| event.kind == EventKind::Beat)?;
        Some((*number, event.at.minus(event.labels.age_ms())))
    }

    /// Finds an event's number or gives it one.
    fn number<'a>(&mut self, event: &EventRef<'a>, news: &mut FlushAdditions<'a>) {
        let stage = match self.stages.get(event.ids.stage) {
            Some(stage) => *stage,
            None => {
                let stage = self.book.stages.len() as u32;
                self.book.stages.push(event.ids.stage.into());
                self.stages.insert(event.ids.stage.into(), stage);
                stage
            }
        };
        let labels = self.number_labels(event);
        let entry = NumberEntry::Named {
            stage,
            viewer: event.ids.viewer.into(),
            session: event.ids.session.into(),
            labels,
        };
        let handle = Handle::of(self.key, event.ids.stage, event.ids.viewer, event.ids.session);
        let next = self.book.entries.len() as u32;
        let number = *self.numbers.entry(handle.bytes()).or_insert(next);
        match self.book.entries.get_mut(number as usize) {
            None => self.book.entries.push(entry),
            // A leave has no labels.
            Some(known) if *known == entry || is_leave_of(known, &entry, event.kind) => {}
            Some(known @ NumberEntry::HandleOnly(_)) => {
                *known = entry;
                news.renamed.push(number);
            }
            Some(NumberEntry::Named { .. }) => return news.loose.push(*event),
        }
        match event.kind {
            EventKind::Beat => news.beats.push((number, event.at)),
            // `is_packable` leaves records with displacements as they are.
            EventKind::Leave | EventKind::Displace => news.leaves.push((number, event.at)),
        }
    }
}

/// Returns whether the times are near enough to the position to come from clocks, those of labels
/// included, and all events are beats and leaves.
fn is_packable(record_entries: &[RecordEntry<'_>], position: UnixMs) -> bool {
    let near = |at: UnixMs| position.since(at).max(at.since(position)) < SPAN_MS_MAX;
    let is_usual = |entry: &RecordEntry<'_>| match entry {
        RecordEntry::Full(event) => {
            let first_seen = event.at.minus(event.labels.age_ms());
            event.kind != EventKind::Displace && (event.labels.is_none() || near(first_seen))
        }
        RecordEntry::ByHandle { .. } => true,
    };
    !record_entries.is_empty()
        && record_entries.iter().all(|entry| near(entry.at()) && is_usual(entry))
}

fn has_labels(entry: &RecordEntry<'_>) -> bool {
    matches!(entry, RecordEntry::Full(event) if !event.labels.is_none())
}

/// Whether an event is a leave of a session that has a number.
fn is_leave_of(known: &NumberEntry, entry: &NumberEntry, kind: EventKind) -> bool {
    kind == EventKind::Leave && known.ids() == entry.ids()
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn put_labels(out: &mut Vec<u8>, labels: NumberedLabels, position: UnixMs) {
    put_varint(out, labels.map_or(0, |(set, _)| u64::from(set) + 1));
    if let Some((_, since)) = labels {
        let ago = position.0.cast_signed().wrapping_sub(since.0.cast_signed());
        put_varint(out, zigzag(ago));
    }
}

fn put_ids(out: &mut Vec<u8>, entry: &NumberEntry) {
    match entry {
        NumberEntry::Named { stage, viewer, session, .. } => {
            put_varint(out, u64::from(*stage));
            put_text(out, viewer);
            put_text(out, session);
        }
        NumberEntry::HandleOnly(handle) => out.extend_from_slice(&handle.bytes()),
    }
}

fn put_numbers(out: &mut Vec<u8>, lists: [Vec<(u32, UnixMs)>; 2], base: UnixMs, span_ms: u64) {
    let lists = lists.map(|mut list| {
        list.sort_unstable();
        list
    });
    let rices = lists.each_ref().map(|list| {
        rice_parameter(list.len() as u64, list.last().map_or(0, |(number, _)| u64::from(*number)))
    });
    lists.iter().for_each(|list| put_varint(out, list.len() as u64));
    rices.iter().for_each(|k| out.push(*k as u8));
    let mut bits = BitWriter::default();
    for (list, k) in lists.iter().zip(rices) {
        let mut before = 0;
        for (number, at) in list {
            bits.rice(u64::from(number - before), k);
            bits.minimal(at.since(base), span_ms + 1);
            before = *number;
        }
    }
    out.extend_from_slice(&bits.finish());
}
