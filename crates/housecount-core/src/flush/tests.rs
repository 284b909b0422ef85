//! Compares flushes with the records they were made from.

use housecount_codec::bytes::{put_varint, seal};
use proptest::prelude::*;

use super::{FlushEncoder, FlushError, NumberTables};
use crate::event::{EventKind, EventRef, Ids, SessionLabels};
use crate::fold::{Handle, HandleKey};
use crate::limits::{EPOCH_MS_MAX, EPOCH_SESSIONS_MAX, EPOCHS_MAX, RECORD_EVENTS_MAX};
use crate::record::{self, RecordEntry};
use crate::time::UnixMs;

const AT: UnixMs = UnixMs(1_790_000_000_000);
const KEY: HandleKey = HandleKey(7);

fn beat<'a>(at: UnixMs, stage: &'a str, viewer: &'a str) -> EventRef<'a> {
    EventRef {
        labels: SessionLabels::NONE,
        at,
        kind: EventKind::Beat,
        ids: Ids { stage, viewer, session: "" },
    }
}

fn handle(event: &EventRef<'_>) -> Handle {
    Handle::of(KEY, event.ids.stage, event.ids.viewer, event.ids.session)
}

/// Frozen bytes: nodes of two versions may share a log for a while. See docs/FORMATS.md.
#[test]
fn version_1_is_frozen() {
    let mut writer = FlushEncoder::default();
    let (ann, bob) = (beat(AT.minus(30), "s/1", "ann"), beat(AT.minus(700), "s/1", "bob"));
    let first = record::encode(&[
        RecordEntry::Full(ann),
        RecordEntry::ByHandle { at: bob.at, handle: handle(&bob) },
    ]);
    let again = [RecordEntry::Full(EventRef { at: AT.plus(900), kind: EventKind::Leave, ..ann })];
    let again = [again[0], RecordEntry::Full(EventRef { at: AT.plus(950), ..bob })];
    let items = [
        writer.encode(AT, AT.minus(5), KEY, &first),
        writer.encode(AT.plus(1_000), UnixMs::ZERO, KEY, &record::encode(&again)),
        writer.encode(AT.plus(2_000), UnixMs::ZERO, KEY, b"raw"),
    ];
    let hex =
        |item: &Vec<u8>| -> String { item.iter().map(|byte| format!("{byte:02x}")).collect() };
    assert_eq!(items.each_ref().map(hex), FROZEN);
}

/// Its writer's numbers stay as they are.
#[test]
fn a_record_with_a_displacement_is_kept_as_it_is() {
    let (mut writer, mut books) = (FlushEncoder::default(), NumberTables::default());
    let ann = beat(AT.minus(30), "s/1", "ann");
    let displaced = EventRef { kind: EventKind::Displace, ..ann };
    for (n, entries) in [vec![ann], vec![displaced, ann], vec![ann]].iter().enumerate() {
        let entries: Vec<_> = entries.iter().copied().map(RecordEntry::Full).collect();
        let at = AT.plus(n as u64);
        let item = writer.encode(at, UnixMs::ZERO, KEY, &record::encode(&entries));
        let read = books.read(0, at, &item).unwrap();
        assert_eq!(record::decode(&read.record).unwrap(), entries);
    }
}

/// Frozen bytes of items with labels. See docs/FORMATS.md.
#[test]
fn version_2_is_frozen() {
    let mut writer = FlushEncoder::default();
    let mut books = NumberTables::default();
    let of = |values, age_ms| SessionLabels::parse("country\u{1}device", values, age_ms).unwrap();
    let ann = EventRef { labels: of("NO\u{1}tv", 0), ..beat(AT.minus(30), "s/1", "ann") };
    let bob = EventRef { labels: of("NO\u{1}tv", 200), ..beat(AT.plus(700), "s/1", "bob") };
    let later = EventRef { at: AT.plus(990), labels: ann.labels.aged(1_020), ..ann };
    let items = [(AT, vec![ann]), (AT.plus(1_000), vec![bob, later])].map(|(at, events)| {
        let entries: Vec<_> = events.into_iter().map(RecordEntry::Full).collect();
        let item = writer.encode(at, UnixMs::ZERO, KEY, &record::encode(&entries));
        let read = books.read(1, at, &item).unwrap();
        let mut read = record::decode(&read.record).unwrap();
        read.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
        assert!(entries.iter().all(|entry| read.contains(entry)), "{read:?}");
        item.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    });
    assert_eq!(
        items,
        [
            "020000000000003c000103732f31010e636f756e74727901646576696365054e4f01747601\
             0003616e6e00013c0000000100000000f675570e",
            "020000e807010101d804a2020000010003626f620001e80700000002000000fe07004293726d"
        ]
    );
}

/// A log may have labels of any age. The item can be read all the same.
#[test]
fn labels_of_an_impossible_age_are_kept_as_they_are() {
    let (mut writer, mut books) = (FlushEncoder::default(), NumberTables::default());
    for (n, age_ms) in [0, (1 << 40) - 1, 1 << 40, AT.0, u64::MAX >> 1].into_iter().enumerate() {
        let labels = SessionLabels::parse("device", "tv", age_ms).unwrap();
        let entries = [RecordEntry::Full(EventRef { labels, ..beat(AT, "s/1", "ann") })];
        let at = AT.plus(n as u64);
        let item = writer.encode(at, UnixMs::ZERO, KEY, &record::encode(&entries));
        let read = books.read(0, at, &item).unwrap();
        assert_eq!(record::decode(&read.record).unwrap(), entries, "{age_ms}");
    }
}

const FROZEN: [&str; 3] = [
    "010006000000f80a9e050103732f31010003616e6e0001c307db71c9a6d0be000002000000fe0f00ef101c02",
    "010000e8070201c8013200000001010003626f62000001010000fd00ab807159",
    "010100726177f1590ca2",
];

#[test]
fn a_steady_beat_takes_little_more_than_two_bytes() {
    let viewers: Vec<String> = (0..5_000).map(|n| format!("viewer-{n:09}")).collect();
    let mut writer = FlushEncoder::default();
    let mut bytes = 0;
    for second in 0..60u64 {
        let at = AT.plus(1_000 * second);
        let entries = viewers.iter().enumerate().skip((second % 30) as usize).step_by(30).map(
            |(n, viewer)| {
                let event = beat(at.minus((n as u64 * 7_919) % 1_000), "s", viewer);
                if second < 30 {
                    RecordEntry::Full(event)
                } else {
                    RecordEntry::ByHandle { at: event.at, handle: handle(&event) }
                }
            },
        );
        let item =
            writer.encode(at, UnixMs::ZERO, KEY, &record::encode(&entries.collect::<Vec<_>>()));
        bytes += if second < 30 { 0 } else { item.len() };
    }
    let each = bytes as f64 / 5_000.0;
    assert!(each < 2.3, "{each}");
}

#[test]
fn an_item_is_not_read_without_those_before() {
    let (mut writer, mut books) = (FlushEncoder::default(), NumberTables::default());
    let say = |viewer| record::encode(&[RecordEntry::Full(beat(AT, "s", viewer))]);
    let [one, two, three] = [(0, "ann"), (1_000, "bob"), (2_000, "ann")]
        .map(|(ms, viewer)| writer.encode(AT.plus(ms), UnixMs::ZERO, KEY, &say(viewer)));
    let lacks = Err(FlushError::MissingEarlier { begun: AT });
    assert_eq!(books.read(3, AT.plus(1_000), &two), lacks);
    assert_eq!(books.read(3, AT, &one).unwrap().record, say("ann"));
    assert_eq!(books.read(3, AT.plus(2_000), &three), lacks, "the flush between them is missing");
    assert_eq!(books.read(4, AT.plus(1_000), &two), lacks, "the table belongs to another writer");
    assert_eq!(books.read(3, AT.plus(1_000), &two).unwrap().record, say("bob"));
    assert_eq!(books.read(3, AT.plus(2_000), &three).unwrap().record, say("ann"));
    assert_eq!(
        books.read(3, AT, &one).unwrap().record,
        say("ann"),
        "an earlier flush can be read again"
    );
}

#[test]
fn epoch_ms_max_and_epoch_sessions_max_start_an_epoch() {
    let say = |n: usize| {
        let viewers: Vec<String> = (0..RECORD_EVENTS_MAX).map(|v| format!("{n}-{v}")).collect();
        record::encode(
            &viewers
                .iter()
                .map(|viewer| RecordEntry::Full(beat(AT, "s", viewer)))
                .collect::<Vec<_>>(),
        )
    };
    let is_first = |item: &[u8], at| NumberTables::default().read(1, at, item).is_ok();
    let mut writer = FlushEncoder::default();
    let most = EPOCH_SESSIONS_MAX / RECORD_EVENTS_MAX;
    for n in 0..=most {
        let item = writer.encode(AT, UnixMs::ZERO, KEY, &say(n));
        assert_eq!(is_first(&item, AT), n == 0 || n == most, "{n}");
    }
    for (ms, expected) in [(EPOCH_MS_MAX - 1, false), (EPOCH_MS_MAX, true)] {
        let item = writer.encode(AT.plus(ms), UnixMs::ZERO, KEY, &say(0));
        assert_eq!(is_first(&item, AT.plus(ms)), expected);
    }
}

#[test]
fn epochs_max_books_are_kept() {
    let (mut books, entries) =
        (NumberTables::default(), record::encode(&[RecordEntry::Full(beat(AT, "s", "ann"))]));
    let items: Vec<[Vec<u8>; 2]> = (0..=EPOCHS_MAX)
        .map(|_| {
            let mut writer = FlushEncoder::default();
            [0, 1].map(|ms| writer.encode(AT.plus(ms), UnixMs::ZERO, KEY, &entries))
        })
        .collect();
    for (n, item) in items.iter().enumerate() {
        books.read(n as u32, AT, &item[0]).unwrap();
    }
    assert_eq!(books.len(), EPOCHS_MAX);
    assert!(
        matches!(books.read(0, AT.plus(1), &items[0][1]), Err(FlushError::MissingEarlier { .. })),
        "the oldest epoch was evicted"
    );
    assert!(books.read(1, AT.plus(1), &items[1][1]).is_ok());
}

/// Columns: time, kind, stage, viewer, by handle, labels.
type Drawn = Vec<(u64, bool, u8, u8, bool, Option<(u8, u64)>)>;

fn drawn() -> impl Strategy<Value = Vec<(Drawn, bool)>> {
    let event = (
        0u64..5_000,
        any::<bool>(),
        0u8..3,
        0u8..40,
        any::<bool>(),
        proptest::option::of((0u8..3, 0u64..90)),
    );
    proptest::collection::vec((proptest::collection::vec(event, 1..40), any::<bool>()), 1..12)
}

proptest! {
    /// Any events, with items lost in between, are read back as the same set. Events with ids keep
    /// them.
    #[test]
    fn what_is_written_is_read(drawn in drawn()) {
        let (mut writer, mut books, mut at) = (FlushEncoder::default(), NumberTables::default(), AT);
        for (events, is_lost) in drawn {
            let texts: Vec<_> = events.iter().map(|(_, _, s, v, ..)| (format!("s{s}"), format!("v{v}"))).collect();
            let entries: Vec<RecordEntry<'_>> = events.iter().zip(&texts).map(|((ms, is_leave, _, _, by_handle, labels), (stage, viewer))| {
                let labels = labels.filter(|_| !is_leave);
                let labels = labels.map_or(SessionLabels::NONE, |(set, age_ms)| {
                    let value = ["tv", "phone", ""][usize::from(set)];
                    SessionLabels::parse("device", value, age_ms).unwrap()
                });
                let event = EventRef { labels, ..beat(at.minus(*ms), stage, viewer) };
                match (by_handle, is_leave) {
                    (true, _) => RecordEntry::ByHandle { at: event.at, handle: handle(&event) },
                    (false, true) => RecordEntry::Full(EventRef { kind: EventKind::Leave, ..event }),
                    (false, false) => RecordEntry::Full(event),
                }
            }).collect();
            let item = writer.encode(at, at.minus(3), KEY, &record::encode(&entries));
            if is_lost {
                writer.start_epoch();
            } else {
                let flushed = books.read(9, at, &item).unwrap();
                prop_assert_eq!(flushed.attended, at.minus(3));
                let read = record::decode(&flushed.record).unwrap();
                // Compares handle, kind and time. A reader may return ids for events that were
                // given by handle.
                let key = |entries: &RecordEntry<'_>| match entries {
                    RecordEntry::Full(event) => (handle(event).bytes(), event.kind, event.at),
                    RecordEntry::ByHandle { at, handle } => (handle.bytes(), EventKind::Beat, *at),
                };
                let sorted = |entries: &[RecordEntry<'_>]| { let mut all: Vec<_> = entries.iter().map(key).collect(); all.sort(); all };
                prop_assert_eq!(sorted(&read), sorted(&entries));
                let full_entries = |entries: &[RecordEntry<'_>]| entries.iter().filter(|entry| matches!(entry, RecordEntry::Full(_))).count();
                prop_assert!(full_entries(&read) >= full_entries(&entries));
                let is_lost = |entry: &&RecordEntry<'_>| {
                    matches!(entry, RecordEntry::Full(_)) && !read.contains(entry)
                };
                let lost = entries.iter().find(is_lost);
                prop_assert_eq!(lost, None, "with its labels");
            }
            at = at.plus(1_000);
        }
    }

    #[test]
    fn other_bytes_are_kept_as_they_are(bytes: Vec<u8>) {
        let item = FlushEncoder::default().encode(AT, UnixMs::ZERO, KEY, &bytes);
        let flushed = NumberTables::default().read(1, AT, &item).unwrap();
        prop_assert_eq!((flushed.record, flushed.attended), (bytes, UnixMs::ZERO));
    }

    /// Any bytes may follow a right checksum. They are an error or a record, never a panic.
    #[test]
    fn sealed_noise_never_panics(noise: Vec<u8>, version in super::VERSION..=super::VERSION_OF_LABELS, age in 0u64..3, counts in proptest::collection::vec(0u64..4, 0..14)) {
        let mut books = NumberTables::default();
        let entries = record::encode(&[RecordEntry::Full(beat(AT, "s", "ann"))]);
        books.read(1, AT, &FlushEncoder::default().encode(AT, UnixMs::ZERO, KEY, &entries)).unwrap();
        let mut item = vec![version, super::PACKED, 0];
        [age].iter().chain(&counts).for_each(|value| put_varint(&mut item, *value));
        item.extend(noise);
        seal(&mut item);
        let _ = books.read(1, AT.plus(age), &item);
    }
}

/// Two sessions with one handle: the second one is written with its ids each time.
#[test]
fn sessions_that_share_a_handle_are_logged_in_full() {
    let (ann, bob) = (beat(AT, "s", "ann"), beat(AT, "s", "bob"));
    let mut writer = FlushEncoder::default();
    let mut books = NumberTables::default();
    let mut say = |at: UnixMs, entries: &[RecordEntry<'_>]| {
        let item = writer.encode(at, UnixMs::ZERO, KEY, &record::encode(entries));
        writer.numbers.insert(handle(&bob).bytes(), 0); // as if it were ann's
        record::decode(&books.read(1, at, &item).unwrap().record)
            .unwrap()
            .iter()
            .map(|entry| format!("{entry:?}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(say(AT, &[RecordEntry::Full(ann)]), [format!("{:?}", RecordEntry::Full(ann))]);
    let both = [RecordEntry::Full(bob), RecordEntry::Full(ann)];
    assert_eq!(say(AT.plus(1), &both), both.each_ref().map(|entry| format!("{entry:?}")));
}
