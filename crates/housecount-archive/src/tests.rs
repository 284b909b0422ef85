//! The archive returns what was added, to the tick. Its bytes are frozen, and expected beats take
//! nearly no bytes.

use std::collections::BTreeSet;

use housecount_codec::bytes::{DecodeError, seal};
use proptest::prelude::*;

use crate::{ArchiveDecoder, ArchiveEncoder, ArchiveParams, KEYFRAME_MS};
use housecount_core::beat_schedule::{TICK_MS, next_gap_ms};
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::limits::ARCHIVE_WRITERS_MAX;
use housecount_core::time::UnixMs;

const TERMS: ArchiveParams =
    ArchiveParams { interval_ms: 30_000, slot_ms: 30_000, ttl_ms: 120_000 };
const FROM: UnixMs = UnixMs(1_790_006_400_000);

fn beat<'a>(at: UnixMs, stage: &'a str, viewer: &'a str, session: &'a str) -> EventRef<'a> {
    EventRef {
        labels: SessionLabels::NONE,
        at,
        kind: EventKind::Beat,
        ids: Ids { stage, viewer, session },
    }
}

type Owned = (u64, bool, String, String, String);

fn owned(event: &EventRef<'_>) -> Owned {
    let at = event.at.aligned(TICK_MS).0;
    (
        at,
        event.kind == EventKind::Leave,
        event.ids.stage.into(),
        event.ids.viewer.into(),
        event.ids.session.into(),
    )
}

fn read_all(chunks: &[Vec<u8>]) -> Vec<Owned> {
    let (mut reader, mut found) = (ArchiveDecoder::default(), Vec::new());
    for chunk in chunks {
        reader.read(chunk, |event| found.push(owned(&event))).unwrap();
    }
    found
}

/// Two writers that don't know of each other and never write in the same slot.
#[test]
fn each_writer_goes_on_from_its_own_chunk() {
    let slot = |n: u64| FROM.plus(n * TERMS.slot_ms);
    let mut writers = [ArchiveEncoder::new(TERMS, FROM), ArchiveEncoder::new(TERMS, slot(2))];
    let (mut chunks, mut events) = (Vec::new(), Vec::new());
    for (n, of) in [0, 0, 1, 1, 0, 1, 0].into_iter().enumerate() {
        let writer: &mut ArchiveEncoder = &mut writers[of];
        if writer.slot() < slot(n as u64) {
            assert_eq!(writer.finish_slot(slot(n as u64)), None);
        }
        for viewer in ["ann", "bob"] {
            let event = beat(slot(n as u64).plus(of as u64 * 1_000), "s", viewer, "");
            writer.add(&event);
            events.push(owned(&event));
        }
        chunks.extend(writer.finish_slot(slot(n as u64 + 1)));
    }
    assert_eq!((chunks.len(), read_all(&chunks)), (7, events));
    // After an unreadable chunk only its own writer's next chunks are unreadable.
    let mut reader = ArchiveDecoder::default();
    let outcomes: Vec<bool> = chunks
        .iter()
        .enumerate()
        .map(|(n, chunk)| reader.read(if n == 3 { &[] } else { chunk }, |_| ()).is_ok())
        .collect();
    assert_eq!(outcomes, [true, true, true, false, true, false, true]);
}

/// The decoder keeps the state of at most `ARCHIVE_WRITERS_MAX` writers.
#[test]
fn archive_writers_max_may_go_on() {
    let slot = |n: u64| FROM.plus(n * TERMS.slot_ms);
    let mut writers: Vec<ArchiveEncoder> =
        (0..=ARCHIVE_WRITERS_MAX as u64).map(|n| ArchiveEncoder::new(TERMS, slot(n))).collect();
    let mut reader = ArchiveDecoder::default();
    for (n, writer) in writers.iter_mut().enumerate() {
        writer.add(&beat(slot(n as u64), "s", "ann", ""));
        assert!(reader.read(&writer.finish_slot(slot(10)).unwrap(), |_| ()).is_ok());
    }
    let mut goes_on = |of: usize, n: u64| {
        let writer = &mut writers[of];
        writer.finish_slot(slot(n));
        writer.add(&beat(slot(n), "s", "ann", ""));
        reader.read(&writer.finish_slot(slot(n + 1)).unwrap(), |_| ()).is_ok()
    };
    assert!(goes_on(1, 10) && !goes_on(0, 11) && goes_on(4, 12));
}

proptest! {
    /// The oracle is the set of added events.
    #[test]
    fn events_round_trip(
        slots in proptest::collection::vec(
            proptest::collection::vec((0usize..3, 0usize..8, 0usize..2, -40_000i64..40_000, 0u8..9), 0..40), 1..12),
        skip in 1u64..500,
    ) {
        let mut writer = ArchiveEncoder::new(TERMS, FROM);
        let (mut chunks, mut events) = (Vec::new(), BTreeSet::new());
        for (n, slot) in slots.iter().enumerate() {
            let from = writer.slot();
            for (stage, viewer, session, off_ms, kind) in slot {
                let (stage, viewer) = (format!("stage-{stage}"), format!("viewer-{viewer}"));
                let at = UnixMs(from.0.saturating_add_signed(*off_ms));
                let kind = if *kind == 0 { EventKind::Leave } else { EventKind::Beat };
                let event = EventRef { kind, ..beat(at, &stage, &viewer, ["", "tab"][*session]) };
                writer.add(&event);
                events.insert(owned(&event));
            }
            let skipped = if n % 4 == 3 { skip } else { 1 };
            chunks.extend(writer.finish_slot(from.plus(skipped * TERMS.slot_ms)));
        }
        let found: BTreeSet<Owned> = read_all(&chunks).into_iter().collect();
        prop_assert_eq!(found, events);
    }

    /// A viewer is removed from the archive from some slot on. First each chunk becomes a keyframe,
    /// from the last one back; then they are joined again. Wherever this stops, the chunks can be
    /// read, and all other viewers are there.
    #[test]
    fn a_viewer_can_be_removed_chunk_by_chunk(
        slots in proptest::collection::vec(
            proptest::collection::vec((0usize..2, 0usize..5, -40_000i64..40_000, 0u8..9), 0..20), 2..10),
        from in 0usize..9,
    ) {
        let mut writer = ArchiveEncoder::new(TERMS, FROM);
        let mut chunks = Vec::new();
        for (n, slot) in slots.iter().enumerate() {
            let slot_from = writer.slot();
            for (stage, viewer, off_ms, kind) in slot {
                let viewer = if n >= from && *viewer == 0 { "ann".to_string() } else { format!("viewer-{viewer}") };
                let kind = if *kind == 0 { EventKind::Leave } else { EventKind::Beat };
                let at = UnixMs(slot_from.0.saturating_add_signed(*off_ms));
                writer.add(&EventRef { kind, ..beat(at, ["s", "t"][*stage], &viewer, "") });
            }
            chunks.push(writer.finish_slot_forced(slot_from.plus(TERMS.slot_ms)));
        }
        let others = |chunks: &[Vec<u8>]| -> BTreeSet<Owned> {
            read_all(chunks).into_iter().filter(|event| event.3 != "ann").collect()
        };
        let (all, from) = (others(&chunks), from.min(chunks.len()));
        let mut reader = ArchiveDecoder::default();
        let alone: Vec<Vec<u8>> = chunks
            .iter()
            .map(|chunk| reader.copy(chunk, None, |event| event.ids.viewer != "ann").unwrap().finish_slot_forced(UnixMs::ZERO))
            .collect();
        for n in (from..chunks.len()).rev() {
            chunks[n] = alone[n].clone();
            prop_assert_eq!(&others(&chunks), &all);
        }
        prop_assert!(read_all(&chunks).iter().all(|event| event.3 != "ann"));
        let (mut reader, mut writer) = (ArchiveDecoder::default(), None);
        for n in from..chunks.len() {
            let mut joined = reader.copy(&chunks[n], writer.take(), |_| true).unwrap();
            let bytes = joined.finish_slot_forced(joined.slot().plus(TERMS.slot_ms));
            prop_assert!(n > from || bytes == chunks[n], "the first chunk is already a keyframe");
            chunks[n] = bytes;
            prop_assert_eq!(&others(&chunks), &all);
            writer = Some(joined);
        }
        prop_assert!(chunks.iter().map(Vec::len).sum::<usize>() <= chunks[..from].iter().chain(&alone[from..]).map(Vec::len).sum());
    }

    /// Any bytes may follow a right checksum.
    #[test]
    fn sealed_noise_never_panics(mut noise: Vec<u8>, good: bool) {
        if good {
            let mut writer = ArchiveEncoder::new(TERMS, FROM);
            writer.add(&beat(FROM, "s", "v", ""));
            let mut chunk = writer.finish_slot(UnixMs::ZERO).unwrap();
            chunk.truncate(20);
            chunk.append(&mut noise);
            noise = chunk;
        }
        seal(&mut noise);
        let mut reader = ArchiveDecoder::default();
        let _ = reader.read(&noise, |_| ());
        let _ = reader.read(&noise, |_| ());
    }
}

/// Frozen: archives are read for as long as they are kept. See docs/FORMATS.md.
#[test]
fn version_1_is_frozen() {
    let mut writer = ArchiveEncoder::new(TERMS, FROM);
    writer.add(&beat(FROM.plus(1_234), "s/1", "ann", ""));
    writer.add(&beat(FROM.plus(5_678), "s/2", "bob", "tab"));
    writer.add(&EventRef { kind: EventKind::Leave, ..beat(FROM.plus(9_000), "s/2", "bob", "tab") });
    let first = writer.finish_slot(UnixMs::ZERO).unwrap();
    writer.add(&beat(
        FROM.plus(1_200 + next_gap_ms(30_000, "ann", "", FROM.plus(1_200))),
        "s/1",
        "ann",
        "",
    ));
    let second = writer.finish_slot(UnixMs::ZERO).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(
        hex(&first),
        "0180a8c8a58c3401b0ea01b0ea01c0a907030203732f3103732f320201030403020003040307\
         d4bd2ebcf26a0100dd0ddcfe45195000006778e1b9"
    );
    assert_eq!(hex(&second), "01b092caa58c34006778e1b901000000781ff87e23314327");
    let of_ann = |at| (FROM.0 + at, false, "s/1".to_string(), "ann".to_string(), String::new());
    let of_bob =
        |at, left| (FROM.0 + at, left, "s/2".to_string(), "bob".to_string(), "tab".to_string());
    let found = read_all(&[first, second]);
    assert_eq!(found[..3], [of_ann(1_200), of_bob(5_600, false), of_bob(9_000, true)]);
    assert_eq!(found.len(), 4);
}

#[test]
fn a_chunk_is_only_read_behind_the_one_that_it_follows() {
    let mut writer = ArchiveEncoder::new(TERMS, FROM);
    let mut chunks = Vec::new();
    for n in 0..3u64 {
        writer.add(&beat(FROM.plus(n * 30_000), "s", "ann", ""));
        chunks.extend(writer.finish_slot(UnixMs::ZERO));
    }
    let mut reader = ArchiveDecoder::default();
    assert!(
        matches!(reader.read(&chunks[1], |_| ()), Err(DecodeError::Invalid { .. })),
        "the chunk's keyframe is missing"
    );
    reader.read(&chunks[0], |_| ()).unwrap();
    assert!(reader.read(&chunks[2], |_| ()).is_err(), "a chunk between them is missing");
    assert!(
        reader.read(&chunks[1], |_| ()).is_ok(),
        "the decoder still has the chunk's predecessor"
    );
    assert_eq!(read_all(&chunks).len(), 3);
    let mut damaged = chunks[0].clone();
    damaged[9] ^= 4;
    assert!(matches!(
        ArchiveDecoder::default().read(&damaged, |_| ()),
        Err(DecodeError::Checksum { .. })
    ));
}

#[test]
fn a_keyframe_comes_every_four_hours() {
    let mut writer = ArchiveEncoder::new(TERMS, FROM);
    let mut keyframes = Vec::new();
    for n in 0..=2 * KEYFRAME_MS / TERMS.slot_ms {
        let from = writer.slot();
        writer.add(&beat(from.plus(n % 30_000), "s", "ann", ""));
        let chunk = writer.finish_slot(UnixMs::ZERO).unwrap();
        if ArchiveDecoder::default().read(&chunk, |_| ()).is_ok() {
            keyframes.push(from.since(FROM));
        }
    }
    let aligned = KEYFRAME_MS - FROM.0 % KEYFRAME_MS;
    assert_eq!(keyframes, [0, aligned, aligned + KEYFRAME_MS][..keyframes.len()]);
    assert!(keyframes.len() >= 2);
}

/// Returns the bytes per slot of an audience whose next beats come as `next` returns, on average
/// over slots without new sessions.
fn bytes_a_slot(viewers: u64, mut next: impl FnMut(&str, UnixMs, u64) -> u64) -> usize {
    let names: Vec<String> = (0..viewers).map(|n| format!("viewer-{n}")).collect();
    let mut due: Vec<UnixMs> = (0..viewers).map(|n| FROM.plus(n * 30_000 / viewers)).collect();
    let mut writer = ArchiveEncoder::new(TERMS, FROM);
    let (mut bytes, mut draw) = (0, 7u64);
    for slot in 0..40 {
        let to = writer.slot().plus(TERMS.slot_ms);
        for (name, due) in names.iter().zip(&mut due) {
            while *due < to {
                writer.add(&beat(*due, "s", name, ""));
                draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *due = due.plus(next(name, *due, draw >> 33));
            }
        }
        let chunk = writer.finish_slot(UnixMs::ZERO).unwrap();
        bytes += if slot < 20 { 0 } else { chunk.len() };
    }
    bytes / 20
}

#[test]
fn what_is_expected_takes_nearly_nothing() {
    let params = |off_ms: u64| {
        move |name: &str, at: UnixMs, draw: u64| {
            next_gap_ms(30_000, name, "", at) + draw % off_ms.max(1)
        }
    };
    // Delays: none, up to 100 ms (as for most beats), up to 400 ms.
    let sizes = [0, 100, 400].map(|off_ms| bytes_a_slot(2_000, params(off_ms)));
    let own = bytes_a_slot(2_000, |_, _, draw| 30_000 + draw % 100);
    let any = bytes_a_slot(2_000, |_, _, draw| 27_000 + draw % 6_000);
    let bits = sizes.iter().chain([&own, &any]).map(|bytes| *bytes as f64 * 8.0 / 2_000.0);
    // Measured: 0.14, 1.21, 2.67, 1.92, 7.09. Of the last, 5.9 are the entropy of the times
    // themselves.
    for (bits, bits_max) in bits.zip([0.2, 1.3, 2.8, 2.0, 7.2]) {
        assert!(bits <= bits_max, "{bits} bits per beat");
    }
}
