//! The chunk: all that one partition's viewers proved in one window, as bytes, version 1.
//!
//! Most viewers watch through a window's whole length, and that is what a chunk doesn't mention: it says who came, who
//! went and who came back, and when, to the millisecond. Who is here already is known from the chunks before, back to
//! a *keyframe*, which depends on none ([`book`](super::book) puts them together). An id is written when its viewer
//! comes, and then spoken of by its place.
//!
//! ```text
//! u8      version = 1
//! varint  start of the window, Unix ms; varint its length, ms
//! varint  ms since the keyframe's start; 0: this is a keyframe
//! varint  ms since the start of the previous chunk; 0: there is none;  u32 LE its CRC-32, unless there is none
//! varint  kept: entries whose last span ended more than this before the window were dropped first, ms
//! varint  reach: how far beyond the window it says whose proof goes on, ms; 0: it doesn't say
//! varint  stages, entries that the chunks before have left
//! varint  new stages, open entries that change, closed entries that change, joins, others, late spans,
//!         short ones
//! u8 x 4  Rice parameters: ranks of open entries, of closed ones, starts of joins, ranks of short ones
//! shapes  of the new stages' ids, if there are any; of the new viewers' ids, if there are any
//! bits:
//!   each new stage        its id
//!   each changed entry    Rice: its rank among the open entries, less the one before, less 1; toggles
//!   the same for closed entries
//!   each join             Rice: its first toggle less that of the join before; a bit: more follow; toggles;
//!                         minimal: its stage; its viewer's id
//!   each other            minimal: its stage; its viewer's id
//!   each late span        minimal: its entry; ms before the window that it begins, less 1, below kept; its length less 1,
//!                         below what is left to the window
//!   each short one        Rice: its rank among the entries open at the window's end, less the one before, less 1: its
//!                         proof was not known to go on through `reach`
//! u32 LE  CRC-32 (IEEE) of all before
//! ```
//! *Toggles* are the moments at which an entry is switched off or on, by turns, ms after the window's start: each
//! minimal, above the one before, below the window's length; after each that isn't at the last millisecond, a bit
//! says whether another follows.

use smallvec::SmallVec;

use super::bits::{BitReader, BitWriter, rice_parameter};
use super::names::Shapes;
use crate::codec::{DecodeError, Reader, put_varint, seal};
use crate::ids::{StageId, ViewerId};
use crate::limits::{STAGE_ID_BYTES_MAX, VIEWER_ID_BYTES_MAX};
use crate::span::Span;
use crate::time::UnixMs;

/// The version this program writes, and the only one there is.
pub const VERSION: u8 = 1;
/// The longest window, ms: toggles are 32 bits.
const WINDOW_MS_MAX: u64 = u32::MAX as u64;
/// The longest `kept`, ms: what a minimal code holds.
const KEPT_MS_MAX: u64 = 1 << 47;

/// Moments in a window, by turns off and on.
pub(super) type Toggles = SmallVec<[u32; 2]>;

/// Names a chunk by its window's start and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The start of its window.
    pub from: UnixMs,
    /// Its CRC-32.
    pub crc: u32,
}

/// An entry that was there and changes: `rank` among the open ones, or among the closed ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) rank: u32,
    pub(super) toggles: Toggles,
}

/// An entry that is new: a join has toggles, the first of which switches it on; another one has only late spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct New {
    pub(super) stage: u32,
    pub(super) viewer: Box<str>,
    pub(super) toggles: Toggles,
}

/// A span from before the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Late {
    pub(super) entry: u32,
    pub(super) span: Span,
}

/// See the module's text. Its parts are [`book`](super::book)'s to make and to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The window.
    pub window: Span,
    /// The start of the keyframe's window that it depends on; its own for a keyframe.
    pub since: UnixMs,
    /// The chunk before, unless this is the first.
    pub previous: Option<Link>,
    pub(super) kept_ms: u64,
    pub(super) reach_ms: u64,
    pub(super) known_stages: u32,
    pub(super) known_entries: u32,
    pub(super) stages: Vec<Box<str>>,
    pub(super) open: Vec<Changed>,
    pub(super) closed: Vec<Changed>,
    /// By their first toggle, then those without any.
    pub(super) new: Vec<New>,
    pub(super) late: Vec<Late>,
    /// Ranks among the entries that are open at the end.
    pub(super) short: Vec<u32>,
}

impl Chunk {
    /// Whether it depends on no other.
    #[must_use]
    pub fn is_keyframe(&self) -> bool {
        self.since == self.window.from
    }

    /// How far before its window late spans may lie.
    #[must_use]
    pub fn kept_ms(&self) -> u64 {
        self.kept_ms
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let from = self.window.from;
        let joins = self.new.iter().take_while(|new| !new.toggles.is_empty()).count();
        let mut out = vec![VERSION];
        let mut put = |n: u64| put_varint(&mut out, n);
        put(from.0);
        put(self.window.ms());
        put(from.since(self.since));
        put(self.previous.map_or(0, |link| from.since(link.from)));
        if let Some(link) = self.previous {
            out.extend_from_slice(&link.crc.to_le_bytes());
        }
        let counts = [
            self.kept_ms,
            self.reach_ms,
            u64::from(self.known_stages),
            u64::from(self.known_entries),
            self.stages.len() as u64,
            self.open.len() as u64,
            self.closed.len() as u64,
            joins as u64,
            (self.new.len() - joins) as u64,
            self.late.len() as u64,
            self.short.len() as u64,
        ];
        counts.iter().for_each(|n| put_varint(&mut out, *n));
        let mut bits = BitWriter::default();
        self.put_bits(joins, &mut out, &mut bits);
        out.extend(bits.finish());
        seal(&mut out);
        out
    }

    fn put_bits(&self, joins: usize, head: &mut Vec<u8>, bits: &mut BitWriter) {
        let window_ms = self.window.ms();
        let of_ranks = |count: usize, last: Option<u32>| {
            rice_parameter(count as u64, u64::from(last.unwrap_or_default()))
        };
        let parameter = |changed: &[Changed]| of_ranks(changed.len(), changed.last().map(|last| last.rank));
        let (joined, others) = self.new.split_at(joins);
        let first = |new: &New| u64::from(new.toggles[0]);
        let of_open = parameter(&self.open);
        let of_closed = parameter(&self.closed);
        let of_joins = rice_parameter(joins as u64, joined.last().map_or(0, first));
        let of_short = of_ranks(self.short.len(), self.short.last().copied());
        head.extend([of_open as u8, of_closed as u8, of_joins as u8, of_short as u8]);
        let stage_names = shapes(self.stages.iter().map(|stage| &**stage), head);
        let viewer_names = shapes(self.new.iter().map(|new| &*new.viewer), head);
        for stage in &self.stages {
            stage_names.write(stage, bits);
        }
        for (changed, k) in [(&self.open, of_open), (&self.closed, of_closed)] {
            let mut next = 0;
            for Changed { rank, toggles } in changed {
                bits.rice(u64::from(rank - next), k);
                next = rank + 1;
                put_toggles(toggles, 0, window_ms, bits);
            }
        }
        let stages = u64::from(self.known_stages) + self.stages.len() as u64;
        let mut start = 0;
        for new in joined {
            bits.rice(first(new) - start, of_joins);
            start = first(new);
            put_more(start, new.toggles.len() > 1, window_ms, bits);
            put_toggles(&new.toggles[1..], start + 1, window_ms, bits);
            bits.minimal(u64::from(new.stage), stages);
            viewer_names.write(&new.viewer, bits);
        }
        for new in others {
            bits.minimal(u64::from(new.stage), stages);
            viewer_names.write(&new.viewer, bits);
        }
        let entries = u64::from(self.known_entries) + self.new.len() as u64;
        for Late { entry, span } in &self.late {
            let before_ms = self.window.from.since(span.from);
            bits.minimal(u64::from(*entry), entries);
            bits.minimal(before_ms - 1, self.kept_ms);
            bits.minimal(span.ms() - 1, before_ms);
        }
        let mut next = 0;
        for rank in &self.short {
            bits.rice(u64::from(rank - next), of_short);
            next = rank + 1;
        }
    }

    /// The chunk that these bytes hold, and the link that names it.
    ///
    /// # Errors
    /// A wrong checksum, an unknown version, or bytes that break the format.
    pub fn decode(bytes: &[u8]) -> Result<(Chunk, Link), DecodeError> {
        let mut head = Reader::open(bytes, VERSION)?;
        let from = UnixMs(head.varint()?);
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
            open: Vec::new(),
            closed: Vec::new(),
            new: Vec::new(),
            late: Vec::new(),
            short: Vec::new(),
        };
        chunk.get_rest(head)?;
        let crc = bytes.last_chunk::<4>().map_or(0, |crc| u32::from_le_bytes(*crc));
        Ok((chunk, Link { from, crc }))
    }

    fn get_rest(&mut self, mut head: Reader<'_>) -> Result<(), DecodeError> {
        // Nothing takes less than a bit, so there are at most this many of anything.
        let bits_max = 8 * head.left() as u64;
        let mut number = |what| count(&mut head, what, bits_max);
        let stages = number("the number of new stages")?;
        let open = number("the number of changed open entries")?;
        let closed = number("the number of changed closed entries")?;
        let joins = number("the number of joins")?;
        let others = number("the number of others")?;
        let late = number("the number of late spans")?;
        let short = number("the number of short ones")?;
        let mut k = [0; 4];
        for k in &mut k {
            *k = within(&mut head, "a Rice parameter", 0, 30)? as u32;
        }
        let mut names = |n: u32, max| if n > 0 { Shapes::get(&mut head, max).map(Some) } else { Ok(None) };
        let stage_names = names(stages, STAGE_ID_BYTES_MAX)?;
        let viewer_names = names(joins.saturating_add(others), VIEWER_ID_BYTES_MAX)?;
        let mut bits = BitReader::new(head.rest());
        for _ in 0..stages {
            self.stages.push(read_id(stage_names.as_ref(), &mut bits, "a stage id", |id| {
                StageId::check(id).is_ok()
            })?);
        }
        let window_ms = self.window.ms();
        self.open = get_changed(open, k[0], window_ms, &mut bits)?;
        self.closed = get_changed(closed, k[1], window_ms, &mut bits)?;
        let all_stages = u64::from(self.known_stages) + u64::from(stages);
        let (mut start, is_viewer) = (0, |id: &str| ViewerId::check(id).is_ok());
        for n in 0..u64::from(joins) + u64::from(others) {
            let mut toggles = Toggles::new();
            if n < u64::from(joins) {
                start = get_join(k[2], start, window_ms, &mut toggles, &mut bits)?;
            }
            let stage = bits.minimal(all_stages)? as u32;
            let viewer = read_id(viewer_names.as_ref(), &mut bits, "a viewer id", is_viewer)?;
            self.new.push(New { stage, viewer, toggles });
        }
        self.get_late(late, &mut bits)?;
        let mut next = 0;
        for _ in 0..short {
            let rank = get_rank(k[3], next, &mut bits)?;
            self.short.push(rank);
            next = u64::from(rank) + 1;
        }
        // Less than a byte is left, and it is zero.
        if bits.left() >= 8 || (1..=bits.left()).any(|_| bits.plain(1) != Ok(0)) {
            return Err(DecodeError::Invalid { what: "what follows the last value", at: 0 });
        }
        Ok(())
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
            self.late.push(Late { entry, span: Span::new(from, from.plus(ms)) });
        }
        Ok(())
    }
}

fn shapes<'a>(ids: impl Iterator<Item = &'a str>, head: &mut Vec<u8>) -> Shapes {
    let shapes = Shapes::of(ids);
    if !shapes.is_empty() {
        shapes.put(head);
    }
    shapes
}

fn read_id(
    shapes: Option<&Shapes>,
    bits: &mut BitReader<'_>,
    what: &'static str,
    is_id: impl Fn(&str) -> bool,
) -> Result<Box<str>, DecodeError> {
    let wrong = DecodeError::Invalid { what, at: 0 };
    let id = shapes.ok_or(wrong)?.read(bits, what)?;
    if is_id(&id) { Ok(id) } else { Err(wrong) }
}

fn within(head: &mut Reader<'_>, what: &'static str, min: u64, max: u64) -> Result<u64, DecodeError> {
    let at = head.at();
    let n = head.varint()?;
    if (min..=max).contains(&n) { Ok(n) } else { Err(DecodeError::Invalid { what, at }) }
}

fn count(head: &mut Reader<'_>, what: &'static str, max: u64) -> Result<u32, DecodeError> {
    Ok(within(head, what, 0, max.min(u64::from(u32::MAX / 2)))? as u32)
}

/// A bit that says whether another toggle follows the one at `at`, unless none could.
fn put_more(at: u64, more: bool, window_ms: u64, bits: &mut BitWriter) {
    if at + 1 < window_ms {
        bits.plain(u64::from(more), 1);
    }
}

fn get_more(at: u64, window_ms: u64, bits: &mut BitReader<'_>) -> Result<bool, DecodeError> {
    Ok(at + 1 < window_ms && bits.plain(1)? == 1)
}

/// Toggles from `lowest` on, if there are any.
fn put_toggles(toggles: &[u32], mut lowest: u64, window_ms: u64, bits: &mut BitWriter) {
    for (i, toggle) in toggles.iter().map(|toggle| u64::from(*toggle)).enumerate() {
        bits.minimal(toggle - lowest, window_ms - lowest);
        put_more(toggle, i + 1 < toggles.len(), window_ms, bits);
        lowest = toggle + 1;
    }
}

/// Toggles from `lowest` on, at least one.
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
) -> Result<Vec<Changed>, DecodeError> {
    let mut changed = Vec::with_capacity(n.min(1 << 16) as usize);
    let mut next = 0u64;
    for _ in 0..n {
        let rank = get_rank(k, next, bits)?;
        let mut toggles = Toggles::new();
        get_toggles(0, window_ms, &mut toggles, bits)?;
        changed.push(Changed { rank, toggles });
        next = u64::from(rank) + 1;
    }
    Ok(changed)
}
