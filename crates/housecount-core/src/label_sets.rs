//! Label sets as bytes: each distinct set once, and a reference beside each session that has it.
//!
//! ```text
//! varint  number of lists of keys; then for each: varint length, the keys separated by a byte 1
//! varint  number of label sets; then for each: varint index of its list of keys; varint length,
//!         the values separated by a byte 1
//! ```
//! A reference is a varint: 0, or 1 + the index of the set and then a varint, the age in ms.

use std::collections::HashMap;

use housecount_codec::bytes::{ByteReader, DecodeError, put_text, put_varint};

use crate::labels::SessionLabels;
use crate::limits::{LABEL_KEY_BYTES_MAX, LABEL_KEYS_MAX, LABEL_VALUE_BYTES_MAX};

/// Longest list of keys, bytes, with its separators.
const KEYS_BYTES_MAX: usize = LABEL_KEYS_MAX * (LABEL_KEY_BYTES_MAX + 1);
/// Longest list of values, bytes, with its separators.
const VALUES_BYTES_MAX: usize = LABEL_KEYS_MAX * (LABEL_VALUE_BYTES_MAX + 1);

/// Distinct label sets of a batch of events.
#[derive(Debug, Default)]
pub(crate) struct LabelSets<'a> {
    keys: Vec<&'a str>,
    /// Sets, with the index of their keys.
    sets: Vec<(usize, SessionLabels<'a>)>,
    index: HashMap<SessionLabels<'a>, usize, foldhash::fast::FixedState>,
}

impl<'a> LabelSets<'a> {
    /// Collects the distinct sets, in the order of their first use.
    pub(crate) fn of(all: impl Iterator<Item = SessionLabels<'a>>) -> LabelSets<'a> {
        let mut known = LabelSets::default();
        for labels in all.filter(|labels| !labels.is_none()).map(|labels| labels.aged(0)) {
            known.insert(labels);
        }
        known
    }

    fn insert(&mut self, labels: SessionLabels<'a>) {
        let LabelSets { keys, sets, index } = self;
        index.entry(labels).or_insert_with(|| {
            let found = keys.iter().position(|known| *known == labels.keys());
            let at = found.unwrap_or_else(|| {
                keys.push(labels.keys());
                keys.len() - 1
            });
            sets.push((at, labels));
            sets.len() - 1
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Writes the sets.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.keys.len() as u64);
        self.keys.iter().for_each(|keys| put_text(out, keys));
        put_varint(out, self.sets.len() as u64);
        for (keys, labels) in &self.sets {
            put_varint(out, *keys as u64);
            put_text(out, labels.values());
        }
    }

    /// Writes the reference of a session's labels.
    pub(crate) fn put_reference(&self, labels: &SessionLabels<'a>, out: &mut Vec<u8>) {
        match self.index.get(&labels.aged(0)) {
            None => put_varint(out, 0),
            Some(at) => {
                put_varint(out, *at as u64 + 1);
                put_varint(out, labels.age_ms());
            }
        }
    }

    /// Reads the sets, at most `sets_max`.
    ///
    /// # Errors
    /// Returns `Truncated`, or `Invalid` if a label breaks its rule.
    pub(crate) fn get(
        reader: &mut ByteReader<'a>,
        sets_max: usize,
    ) -> Result<LabelSets<'a>, DecodeError> {
        let mut read = LabelSets::default();
        for _ in 0..count(reader, "the number of lists of keys", sets_max)? {
            read.keys.push(reader.text("keys of labels", KEYS_BYTES_MAX)?);
        }
        for _ in 0..count(reader, "the number of label sets", sets_max)? {
            let at = reader.at();
            let wrong = DecodeError::Invalid { what: "labels", at };
            let keys = usize::try_from(reader.varint()?).map_err(|_| wrong)?;
            let texts = read.keys.get(keys).copied().ok_or(wrong)?;
            let values = reader.text("values of labels", VALUES_BYTES_MAX)?;
            let labels = SessionLabels::parse(texts, values, 0).map_err(|_| wrong)?;
            read.sets.push((keys, labels));
        }
        Ok(read)
    }

    /// Reads a reference.
    ///
    /// # Errors
    /// Returns `Truncated`, or `Invalid` for a set that does not exist.
    pub(crate) fn get_reference(
        &self,
        reader: &mut ByteReader<'_>,
    ) -> Result<SessionLabels<'a>, DecodeError> {
        let at = reader.at();
        let Some(n) = reader.varint()?.checked_sub(1) else { return Ok(SessionLabels::NONE) };
        let set = usize::try_from(n).ok().and_then(|n| self.sets.get(n));
        let (_, labels) = set.ok_or(DecodeError::Invalid { what: "a label set", at })?;
        Ok(labels.aged(reader.varint()?))
    }
}

fn count(
    reader: &mut ByteReader<'_>,
    what: &'static str,
    max: usize,
) -> Result<usize, DecodeError> {
    let at = reader.at();
    let count = usize::try_from(reader.varint()?).ok().filter(|count| *count <= max);
    count.ok_or(DecodeError::Invalid { what, at })
}
