//! Decoding of a chunk. The bytes come from outside, so every value is checked.

use housecount_codec::bits::BitReader;
use housecount_codec::bytes::{ByteReader, DecodeError};
use housecount_codec::id_shapes::Shapes;

use super::{ChangedEntry, Chunk, LateSpan, Link, NewEntries, Toggles, VERSION, VERSION_OF_LABELS};
use crate::owner::EntryLabels;
use housecount_core::ids::{StageId, ViewerId};
use housecount_core::labels::ViewerLabels;
use housecount_core::limits::{STAGE_ID_BYTES_MAX, VIEWER_ID_BYTES_MAX, VIEWER_LABELS_BYTES_MAX};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

/// Latest start of a window, which is the largest number with the 13 digits of a chunk's key.
const FROM_MS_MAX: u64 = 9_999_999_999_999;
/// Maximum number of late spans of one viewer on a stage, which is more than fit an hour.
const LATE_PER_ENTRY_MAX: u64 = 1 << 12;
/// Maximum length of a window, ms, because toggles are 32 bits.
const WINDOW_MS_MAX: u64 = u32::MAX as u64;
/// Maximum of `kept`, ms, which is the limit of a minimal code.
const KEPT_MS_MAX: u64 = 1 << 47;

impl Chunk {
    /// Decodes a chunk, and returns it with the link that names it.
    ///
    /// # Errors
    /// Returns `Checksum`, `Version`, or for bytes that break the format `Truncated` or `Invalid`.
    pub fn decode(bytes: &[u8]) -> Result<(Chunk, Link), DecodeError> {
        let (version, mut head) = ByteReader::open_any(bytes, VERSION, VERSION_OF_LABELS)?;
        let from = UnixMs(within(&mut head, "the window's start", 0, FROM_MS_MAX)?);
        let window_ms = within(&mut head, "the window's length", 1, WINDOW_MS_MAX)?;
        let since = from.minus(within(&mut head, "the keyframe's distance", 0, from.0)?);
        let previous = match within(&mut head, "the previous chunk's distance", 0, from.0)? {
            0 => None,
            ms => Some(Link { from: from.minus(ms), crc: head.u32_le()? }),
        };
        let kept_ms = within(&mut head, "kept", 0, KEPT_MS_MAX)?;
        let mut chunk = Chunk {
            window: Span::new(from, from.plus(window_ms)),
            since,
            previous,
            kept_ms,
            reach_ms: within(&mut head, "reach", 0, KEPT_MS_MAX)?,
            known_stages: count(&mut head, "the number of stages", u64::from(u32::MAX / 2))?,
            known_entries: count(&mut head, "the number of entries", u64::from(u32::MAX / 2))?,
            stages: Vec::new(),
            known_label_sets: 0,
            label_sets: Vec::new(),
            open: Vec::new(),
            closed: Vec::new(),
            new: NewEntries::default(),
            late: Vec::new(),
            short: Vec::new(),
        };
        chunk.get_rest(head, version)?;
        Ok((chunk, Link::of(from, bytes)))
    }

    fn get_rest(&mut self, mut head: ByteReader<'_>, version: u8) -> Result<(), DecodeError> {
        // Each value takes at least a bit, so no count can exceed the bits.
        let bits_max = 8 * head.left() as u64;
        let mut number = |what| count(&mut head, what, bits_max);
        let stages = number("the number of new stages")?;
        let open = number("the number of changed open entries")?;
        let closed = number("the number of changed closed entries")?;
        let joins = number("the number of joins")?;
        let others = number("the number of others")?;
        let late = number("the number of late spans")?;
        let short = number("the number of short ones")?;
        if version == VERSION_OF_LABELS {
            self.get_label_sets(&mut head)?;
        }
        let mut k = [0; 4];
        for k in &mut k {
            *k = within(&mut head, "a Rice parameter", 0, 30)? as u32;
        }
        let mut names =
            |n: u32, max| if n > 0 { Shapes::get(&mut head, max).map(Some) } else { Ok(None) };
        let stage_names = names(stages, STAGE_ID_BYTES_MAX)?;
        let viewer_names = names(joins.saturating_add(others), VIEWER_ID_BYTES_MAX)?;
        let all_stages = u64::from(self.known_stages) + u64::from(stages);
        // Values without bits can't be bounded by them. So these rules apply: a viewer is on each
        // stage once, and a stage exists once.
        let repeats = |names: &Option<Shapes>, n: u64, max: u64| {
            names.as_ref().is_some_and(Shapes::is_one_id) && n > max
        };
        let new = u64::from(joins) + u64::from(others);
        let entries = u64::from(self.known_entries) + new;
        if repeats(&stage_names, stages.into(), 1)
            || repeats(&viewer_names, new, all_stages.saturating_mul(1 + 2 * self.all_label_sets()))
            || u64::from(late) > entries.saturating_mul(LATE_PER_ENTRY_MAX)
        {
            return Err(DecodeError::Invalid { what: "a count", at: 0 });
        }
        let head_bytes = head.left() as u64;
        let mut bits = BitReader::new(head.rest());
        let mut id = Vec::new();
        for _ in 0..stages {
            let stage = read_id(stage_names.as_ref(), &mut bits, "a stage id", &mut id, |id| {
                StageId::check(id).is_ok()
            })?;
            self.stages.push(stage.into());
        }
        let window_ms = self.window.ms();
        self.open = get_changed(open, k[0], window_ms, &mut bits)?;
        self.closed = get_changed(closed, k[1], window_ms, &mut bits)?;
        let (mut start, is_viewer) = (0, |id: &str| ViewerId::check(id).is_ok());
        // Each entry takes bits, but possibly few. Memory for more entries is allocated when they
        // are read.
        self.new.reserve(new.min(head_bytes) as usize);
        let mut toggles = Toggles::new();
        for n in 0..new {
            toggles.clear();
            if n < u64::from(joins) {
                start = get_join(k[2], start, window_ms, &mut toggles, &mut bits)?;
            }
            let stage = bits.minimal(all_stages)? as u32;
            let labels = self.get_labels(n < u64::from(joins), version, &mut bits)?;
            let viewer =
                read_id(viewer_names.as_ref(), &mut bits, "a viewer id", &mut id, is_viewer)?;
            self.new.push(stage, viewer, labels, &toggles);
        }
        self.get_late(late, &mut bits)?;
        let mut next = 0;
        for _ in 0..short {
            let rank = get_rank(k[3], next, &mut bits)?;
            self.short.push(rank);
            next = u64::from(rank) + 1;
        }
        // Less than a byte is left, and its bits are zero.
        if bits.left() >= 8 || (1..=bits.left()).any(|_| bits.plain(1) != Ok(0)) {
            return Err(DecodeError::Invalid { what: "bytes after the last value", at: 0 });
        }
        Ok(())
    }

    fn get_label_sets(&mut self, head: &mut ByteReader<'_>) -> Result<(), DecodeError> {
        let sets_max = u64::from(u32::MAX / 4);
        self.known_label_sets = count(head, "the number of label sets", sets_max)?;
        for _ in 0..count(head, "the number of new label sets", sets_max)? {
            let at = head.at();
            let text = head.text("a label set", VIEWER_LABELS_BYTES_MAX)?;
            let labels = ViewerLabels::parse(text).ok().filter(|labels| !labels.is_none());
            self.label_sets.push(labels.ok_or(DecodeError::Invalid { what: "a label set", at })?);
        }
        let is_any = self.all_label_sets() > 0;
        is_any.then_some(()).ok_or(DecodeError::Invalid { what: "the number of label sets", at: 0 })
    }

    fn get_labels(
        &self,
        is_join: bool,
        version: u8,
        bits: &mut BitReader<'_>,
    ) -> Result<EntryLabels, DecodeError> {
        if version != VERSION_OF_LABELS {
            return Ok(EntryLabels::NONE);
        }
        let number = bits.minimal(self.all_label_sets() + 1)? as u32;
        let is_extra = !is_join && bits.plain(1)? == 1;
        Ok(if is_extra { EntryLabels::extra(number) } else { EntryLabels::counted(number) })
    }

    fn get_late(&mut self, late: u32, bits: &mut BitReader<'_>) -> Result<(), DecodeError> {
        let entries = u64::from(self.known_entries) + self.new.len() as u64;
        for _ in 0..late {
            let entry = bits.minimal(entries)? as u32;
            let before_ms = bits.minimal(self.kept_ms)? + 1;
            let ms = bits.minimal(before_ms)? + 1;
            let from = UnixMs(
                self.window
                    .from
                    .0
                    .checked_sub(before_ms)
                    .ok_or(DecodeError::Invalid { what: "a late span", at: 0 })?,
            );
            self.late.push(LateSpan { entry, span: Span::new(from, from.plus(ms)) });
        }
        Ok(())
    }
}

fn read_id<'b>(
    shapes: Option<&Shapes>,
    bits: &mut BitReader<'_>,
    what: &'static str,
    into: &'b mut Vec<u8>,
    is_id: impl Fn(&str) -> bool,
) -> Result<&'b str, DecodeError> {
    let wrong = DecodeError::Invalid { what, at: 0 };
    let id = shapes.ok_or(wrong)?.read_into(bits, what, into)?;
    if is_id(id) { Ok(id) } else { Err(wrong) }
}

fn within(
    head: &mut ByteReader<'_>,
    what: &'static str,
    min: u64,
    max: u64,
) -> Result<u64, DecodeError> {
    let at = head.at();
    let n = head.varint()?;
    if (min..=max).contains(&n) { Ok(n) } else { Err(DecodeError::Invalid { what, at }) }
}

fn count(head: &mut ByteReader<'_>, what: &'static str, max: u64) -> Result<u32, DecodeError> {
    Ok(within(head, what, 0, max.min(u64::from(u32::MAX / 2)))? as u32)
}

fn get_more(at: u64, window_ms: u64, bits: &mut BitReader<'_>) -> Result<bool, DecodeError> {
    Ok(at + 1 < window_ms && bits.plain(1)? == 1)
}

/// Reads toggles from `lowest` on, at least one.
fn get_toggles(
    mut lowest: u64,
    window_ms: u64,
    toggles: &mut Toggles,
    bits: &mut BitReader<'_>,
) -> Result<(), DecodeError> {
    loop {
        let toggle = lowest + bits.minimal(window_ms - lowest)?;
        toggles.push(toggle as u32);
        if !get_more(toggle, window_ms, bits)? {
            return Ok(());
        }
        lowest = toggle + 1;
    }
}

fn get_join(
    k: u32,
    start: u64,
    window_ms: u64,
    toggles: &mut Toggles,
    bits: &mut BitReader<'_>,
) -> Result<u64, DecodeError> {
    let wrong = DecodeError::Invalid { what: "a join's start", at: 0 };
    let start = start.checked_add(bits.rice(k)?).filter(|start| *start < window_ms).ok_or(wrong)?;
    toggles.push(start as u32);
    if get_more(start, window_ms, bits)? {
        get_toggles(start + 1, window_ms, toggles, bits)?;
    }
    Ok(start)
}

fn get_rank(k: u32, next: u64, bits: &mut BitReader<'_>) -> Result<u32, DecodeError> {
    let rank = next.checked_add(bits.rice(k)?).and_then(|rank| u32::try_from(rank).ok());
    rank.filter(|rank| *rank < u32::MAX).ok_or(DecodeError::Invalid { what: "a rank", at: 0 })
}

fn get_changed(
    n: u32,
    k: u32,
    window_ms: u64,
    bits: &mut BitReader<'_>,
) -> Result<Vec<ChangedEntry>, DecodeError> {
    let mut changed = Vec::with_capacity(n.min(1 << 16) as usize);
    let mut next = 0u64;
    for _ in 0..n {
        let rank = get_rank(k, next, bits)?;
        let mut toggles = Toggles::new();
        get_toggles(0, window_ms, &mut toggles, bits)?;
        changed.push(ChangedEntry { rank, toggles });
        next = u64::from(rank) + 1;
    }
    Ok(changed)
}
