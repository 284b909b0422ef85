//! Bytes of an archive chunk, which holds one slot.
//!
//! ```text
//! u8      version, 1
//! varint  the slot's beginning, in ms
//! u8      1 for a keyframe: varint interval, slot and ttl in ms; the session table is empty
//!         0: u32 the checksum of the same writer's previous chunk, whose table it continues;
//!         mostly that is the chunk before this one
//! varint  how many beats and leaves there are
//! varint  how many stages are new; each a text
//! varint  how many sessions are new; if any:
//!   names   the shapes of their viewers, and of their sessions
//!   varint  the length of the bits in bytes
//!   bits    for each session its stage (minimal), viewer, session
//! choices for each place of the session table, in order: is there a (further) beat? how many ticks
//!         off? is there a leave? when?
//! u32     CRC-32 of all before
//! ```

use housecount_codec::bits::{BitReader, BitWriter};
use housecount_codec::bytes::{
    ByteReader as Bytes, DecodeError, checksum, put_text, put_varint, seal,
};
use housecount_codec::id_shapes::Shapes;
use housecount_codec::range_coder::{RangeDecoder, RangeEncoder};

use crate::params::{ArchiveParams, KEYFRAME_MS};
use crate::session_table::{SessionIds, SessionTable, Slot, Ticks, tick};
use housecount_core::beat_schedule::TICK_MS;
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::ids::{SessionId, StageId, ViewerId};
use housecount_core::limits::{
    ARCHIVE_WRITERS_MAX, SESSION_ID_BYTES_MAX, STAGE_ID_BYTES_MAX, VIEWER_ID_BYTES_MAX,
};
use housecount_core::time::UnixMs;

const VERSION: u8 = 1;
/// Maximum number of beats per byte. Each beat takes at least three choices of a ninetieth of a
/// bit, because odds stay below 4065/4096.
const BEATS_A_BYTE_MAX: usize = 256;

fn slot(from: UnixMs, params: ArchiveParams) -> Slot {
    Slot { from: tick(from), to: tick(from.plus(params.slot_ms)) }
}

/// Packs one slot after another into chunks.
#[derive(Debug)]
pub struct ArchiveEncoder {
    sessions: SessionTable,
    from: UnixMs,
    /// Checksum of the chunk before; `None` before a keyframe.
    link: Option<u32>,
    beats: Vec<(u32, Ticks)>,
    leaves: Vec<(u32, Ticks)>,
    /// Places of sessions that are new in this slot.
    new: Vec<u32>,
    stages_before: usize,
}

impl ArchiveEncoder {
    /// Creates an encoder with an empty session table, whose first chunk is therefore a keyframe.
    #[must_use]
    pub fn new(params: ArchiveParams, from: UnixMs) -> ArchiveEncoder {
        ArchiveEncoder {
            sessions: SessionTable::new(params),
            from: from.aligned(params.slot_ms),
            link: None,
            beats: Vec::new(),
            leaves: Vec::new(),
            new: Vec::new(),
            stages_before: 0,
        }
    }

    /// Returns the start of the current slot.
    #[must_use]
    pub fn slot(&self) -> UnixMs {
        self.from
    }

    /// Adds an event that the log accepted within the slot, in any order.
    pub fn add(&mut self, event: &EventRef<'_>) {
        let sessions = &mut self.sessions;
        let stage =
            sessions.stage(event.ids.stage).unwrap_or_else(|| sessions.add_stage(event.ids.stage));
        let place =
            sessions.find(stage, event.ids.viewer, event.ids.session).unwrap_or_else(|| {
                let place = sessions.add(
                    stage,
                    event.ids.viewer.into(),
                    event.ids.session.into(),
                    tick(self.from),
                );
                self.new.push(place);
                place
            });
        let at = tick(event.at);
        match event.kind {
            EventKind::Beat if sessions.is_known(place, at) => {} // logged again
            EventKind::Beat => self.beats.push((place, at)),
            // To an auditor both say that the session ended.
            EventKind::Leave | EventKind::Displace => self.leaves.push((place, at)),
        }
    }

    /// Returns the slot's chunk, or `None` if the slot has no events. Then starts the slot that
    /// contains `next`.
    pub fn finish_slot(&mut self, next: UnixMs) -> Option<Vec<u8>> {
        let is_empty = self.beats.is_empty() && self.leaves.is_empty();
        let chunk = (!is_empty).then(|| self.encode());
        self.start_slot(next, chunk.as_deref());
        chunk
    }

    /// Returns the slot's chunk even if it has no events, and starts the slot that contains `next`.
    /// Forgetting a viewer needs it: the new chunk replaces one with events that must be removed.
    pub fn finish_slot_forced(&mut self, next: UnixMs) -> Vec<u8> {
        let chunk = self.encode();
        self.start_slot(next, Some(&chunk));
        chunk
    }

    fn start_slot(&mut self, next: UnixMs, chunk: Option<&[u8]>) {
        let params = self.sessions.params();
        let next = next.max(self.from.plus(params.slot_ms)).aligned(params.slot_ms);
        if next.aligned(KEYFRAME_MS) > self.from {
            *self = ArchiveEncoder::new(params, next);
        } else {
            self.sessions.evict(tick(next));
            self.beats.clear();
            self.leaves.clear();
            self.new.clear();
            self.from = next;
            if let Some(chunk) = chunk {
                self.link = Some(checksum(chunk));
                self.stages_before = self.sessions.stages().len();
            }
        }
    }

    fn encode(&mut self) -> Vec<u8> {
        for list in [&mut self.beats, &mut self.leaves] {
            list.sort_unstable();
            list.dedup();
        }
        let mut out = vec![VERSION];
        put_varint(&mut out, self.from.0);
        match self.link {
            Some(link) => {
                out.push(0);
                out.extend_from_slice(&link.to_le_bytes());
            }
            None => {
                out.push(1);
                let ArchiveParams { interval_ms, slot_ms, ttl_ms } = self.sessions.params();
                [interval_ms, slot_ms, ttl_ms].into_iter().for_each(|ms| put_varint(&mut out, ms));
            }
        }
        put_varint(&mut out, (self.beats.len() + self.leaves.len()) as u64);
        let stages = self.sessions.stages().get(self.stages_before..).unwrap_or_default();
        put_varint(&mut out, stages.len() as u64);
        stages.iter().for_each(|stage| put_text(&mut out, stage));
        self.put_new(&mut out);
        out.extend(self.choices());
        seal(&mut out);
        out
    }

    fn put_new(&self, out: &mut Vec<u8>) {
        put_varint(out, self.new.len() as u64);
        if self.new.is_empty() {
            return;
        }
        let new = || self.new.iter().filter_map(|place| self.sessions.session_ids(*place));
        let (viewer_shapes, session_shapes) =
            (Shapes::of(new().map(|who| who.viewer)), Shapes::of(new().map(|who| who.session)));
        viewer_shapes.put(out);
        session_shapes.put(out);
        let mut bits = BitWriter::default();
        for who in new() {
            let stage = self.sessions.stage(who.stage).unwrap_or_default();
            bits.minimal(u64::from(stage), self.sessions.stages().len() as u64);
            viewer_shapes.write(who.viewer, &mut bits);
            session_shapes.write(who.session, &mut bits);
        }
        let bits = bits.finish();
        put_varint(out, bits.len() as u64);
        out.extend(bits);
    }

    fn choices(&mut self) -> Vec<u8> {
        let mut choices = RangeEncoder::default();
        let slot = slot(self.from, self.sessions.params());
        let (mut beats, mut leaves) = (self.beats.iter().peekable(), self.leaves.iter().peekable());
        let (mut of_beats, mut of_leaves) = (Vec::new(), Vec::new());
        for place in 0..self.sessions.places() {
            of_beats.clear();
            of_leaves.clear();
            while let Some((_, at)) = beats.next_if(|(of, _)| *of == place) {
                of_beats.push(*at);
            }
            while let Some((_, at)) = leaves.next_if(|(of, _)| *of == place) {
                of_leaves.push(*at);
            }
            let coded = self.sessions.code_session(
                place,
                slot,
                &mut choices,
                &mut of_beats,
                &mut of_leaves,
                usize::MAX,
            );
            debug_assert!(coded.is_ok(), "times come from the log's clock");
        }
        choices.finish()
    }
}

/// Reads one chunk after another.
///
/// A chunk mostly follows the one before it. Two nodes may have written for a while, each as if it
/// were the only one, and never in the same slot. Then each chunk follows its own writer's last
/// one.
#[derive(Debug, Default)]
pub struct ArchiveDecoder {
    /// State of each writer, the latest last.
    ends: Vec<WriterState>,
    /// Whether the last chunk could not be read.
    is_lost: bool,
}

/// State of a writer after its last chunk.
#[derive(Debug)]
struct WriterState {
    sessions: SessionTable,
    /// Checksum of its last chunk.
    link: u32,
    /// Slot of the keyframe that its last chunk depends on.
    since: UnixMs,
}

impl ArchiveDecoder {
    /// Reads the next chunk of a chain, calls `with` for each event in order of time, and returns
    /// its slot.
    ///
    /// # Errors
    /// Returns a [`DecodeError`] if the chunk is damaged. Returns `Invalid` if it does not follow a
    /// chunk whose state is known. A damaged chunk may lose its writer's state, which then begins
    /// again with a keyframe.
    pub fn read(
        &mut self,
        chunk: &[u8],
        with: impl FnMut(EventRef<'_>),
    ) -> Result<UnixMs, DecodeError> {
        let decoded = self.open(chunk)?;
        decoded.each(with);
        Ok(self.keep(decoded, chunk))
    }

    /// Reads the next chunk and adds the events for which `keeps` holds to a writer. The writer
    /// must have reached this slot. A new writer's chunk will be a keyframe.
    ///
    /// # Errors
    /// Returns a [`DecodeError`] as [`read`](Self::read) does.
    pub fn copy(
        &mut self,
        chunk: &[u8],
        writer: Option<ArchiveEncoder>,
        keeps: impl Fn(&EventRef<'_>) -> bool,
    ) -> Result<ArchiveEncoder, DecodeError> {
        let decoded = self.open(chunk)?;
        let mut writer = writer
            .unwrap_or_else(|| ArchiveEncoder::new(decoded.sessions.params(), decoded.slot_from));
        decoded.each(|event| {
            if keeps(&event) {
                writer.add(&event);
            }
        });
        self.keep(decoded, chunk);
        Ok(writer)
    }

    fn open(&mut self, chunk: &[u8]) -> Result<DecodedChunk, DecodeError> {
        let ends = &mut self.ends;
        let decoded = read(chunk, |link| {
            let at = ends.iter().rposition(|end| end.link == link)?;
            let WriterState { sessions, since, .. } = ends.remove(at);
            Some((sessions, since))
        });
        self.is_lost = decoded.is_err();
        decoded
    }

    fn keep(&mut self, decoded: DecodedChunk, chunk: &[u8]) -> UnixMs {
        let DecodedChunk { slot_from, since, sessions, .. } = decoded;
        // No later chunk follows a state from before a multiple of `KEYFRAME_MS`.
        self.ends.retain(|end| end.since >= slot_from.aligned(KEYFRAME_MS));
        if self.ends.len() == ARCHIVE_WRITERS_MAX {
            self.ends.remove(0);
        }
        self.ends.push(WriterState { sessions, link: checksum(chunk), since });
        slot_from
    }

    /// Returns the slot of the keyframe that the last chunk depends on, and its parameters. `None`
    /// if the last chunk could not be read.
    #[must_use]
    pub fn keyframe(&self) -> Option<(UnixMs, ArchiveParams)> {
        self.ends.last().filter(|_| !self.is_lost).map(|end| (end.since, end.sessions.params()))
    }
}

/// A decoded chunk.
struct DecodedChunk {
    slot_from: UnixMs,
    /// Slot of the keyframe that it depends on.
    since: UnixMs,
    /// Session table at the end of the slot.
    sessions: SessionTable,
    /// Time, kind and place of each event.
    events: Vec<(Ticks, EventKind, u32)>,
}

impl DecodedChunk {
    fn each(&self, mut with: impl FnMut(EventRef<'_>)) {
        for (at, kind, place) in &self.events {
            if let Some(SessionIds { stage, viewer, session }) = self.sessions.session_ids(*place) {
                with(EventRef {
                    labels: SessionLabels::NONE,
                    at: UnixMs(at * TICK_MS),
                    kind: *kind,
                    ids: Ids { stage, viewer, session },
                });
            }
        }
    }
}

/// Decodes a chunk. `follow` returns the session table after the chunk with this checksum, and the
/// slot of the keyframe that it depends on.
fn read(
    chunk: &[u8],
    follow: impl FnOnce(u32) -> Option<(SessionTable, UnixMs)>,
) -> Result<DecodedChunk, DecodeError> {
    let mut bytes = Bytes::open(chunk, VERSION)?;
    let at = bytes.at();
    let from = Some(UnixMs(bytes.varint()?)).filter(|from| from.0 < u64::MAX / 8);
    let from = from.ok_or(DecodeError::Invalid { what: "the slot", at })?;
    let at = bytes.at();
    let followed = match bytes.byte()? {
        1 => {
            let [interval_ms, slot_ms, ttl_ms] =
                [time(&mut bytes)?, time(&mut bytes)?, time(&mut bytes)?];
            Some((SessionTable::new(ArchiveParams { interval_ms, slot_ms, ttl_ms }), from))
        }
        0 => follow(bytes.u32_le()?),
        _ => None,
    };
    let (mut sessions, since) =
        followed.ok_or(DecodeError::Invalid { what: "the previous chunk", at })?;
    let at = bytes.at();
    let room = usize::try_from(bytes.varint()?)
        .ok()
        .filter(|room| *room / BEATS_A_BYTE_MAX <= chunk.len());
    let room = room.ok_or(DecodeError::Invalid { what: "the number of beats", at })?;
    for _ in 0..bytes.varint()? {
        let at = bytes.at();
        let stage = bytes.text("a stage id", STAGE_ID_BYTES_MAX)?;
        if StageId::check(stage).is_err() || sessions.stage(stage).is_some() {
            return Err(DecodeError::Invalid { what: "a stage id", at });
        }
        sessions.add_stage(stage);
    }
    let slot = slot(from, sessions.params());
    sessions.evict(slot.from);
    get_new(&mut bytes, &mut sessions, slot.from)?;
    let mut choices = RangeDecoder::new(bytes.rest())?;
    let (mut decoded, mut beats, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
    for place in 0..sessions.places() {
        sessions.code_session(
            place,
            slot,
            &mut choices,
            &mut beats,
            &mut leaves,
            room - decoded.len(),
        )?;
        decoded.extend(beats.drain(..).map(|at| (at, EventKind::Beat, place)));
        decoded.extend(leaves.drain(..).map(|at| (at, EventKind::Leave, place)));
        if decoded.len() > room {
            return Err(DecodeError::Invalid { what: "the number of beats", at });
        }
    }
    choices.finish()?;
    if decoded.len() != room {
        return Err(DecodeError::Invalid { what: "the number of beats", at });
    }
    decoded.sort_unstable();
    Ok(DecodedChunk { slot_from: from, since, sessions, events: decoded })
}

/// Reads an interval, a slot length or a ttl.
fn time(bytes: &mut Bytes<'_>) -> Result<u64, DecodeError> {
    let at = bytes.at();
    Some(bytes.varint()?)
        .filter(|ms| *ms < 1 << 40)
        .ok_or(DecodeError::Invalid { what: "a time", at })
}

fn get_new(
    bytes: &mut Bytes<'_>,
    sessions: &mut SessionTable,
    from: Ticks,
) -> Result<(), DecodeError> {
    let count = bytes.varint()?;
    if count == 0 {
        return Ok(());
    }
    let viewer_shapes = Shapes::get(bytes, VIEWER_ID_BYTES_MAX)?;
    let session_shapes = Shapes::get(bytes, SESSION_ID_BYTES_MAX)?;
    let at = bytes.at();
    let length = usize::try_from(bytes.varint()?).unwrap_or(usize::MAX);
    let mut bits = BitReader::new(bytes.take(length)?);
    let wrong = DecodeError::Invalid { what: "a new session", at };
    for _ in 0..count {
        let stage = bits.minimal(sessions.stages().len() as u64)? as u32;
        let viewer = viewer_shapes.read(&mut bits, "a viewer id")?;
        let session = session_shapes.read(&mut bits, "a session id")?;
        // A session that is already known is refused as new, so a few bytes can't make many
        // sessions.
        let is_allowed = ViewerId::check(&viewer).is_ok() && SessionId::check(&session).is_ok();
        if !is_allowed || sessions.find(stage, &viewer, &session).is_some() {
            return Err(wrong);
        }
        sessions.add(stage, viewer, session, from);
    }
    Ok(())
}
