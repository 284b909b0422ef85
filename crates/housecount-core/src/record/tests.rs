//! Frozen bytes of records, their bounds, and round trips.

use proptest::prelude::*;

use super::*;
use crate::limits::LABEL_KEYS_MAX;

fn beat<'a>(at: u64, stage: &'a str, viewer: &'a str, session: &'a str) -> EventRef<'a> {
    EventRef {
        labels: SessionLabels::NONE,
        at: UnixMs(at),
        kind: EventKind::Beat,
        ids: Ids { stage, viewer, session },
    }
}

/// Frozen bytes: two versions may share a log for a while. See docs/FORMATS.md.
#[test]
fn version_2_is_frozen() {
    let entries = [
        RecordEntry::Full(beat(1_000_030, "s/1", "ann", "")),
        RecordEntry::Full(EventRef {
            kind: EventKind::Leave,
            ..beat(1_000_000, "s/2", "bob", "tab")
        }),
        RecordEntry::ByHandle {
            at: UnixMs(1_000_009),
            handle: Handle::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]),
        },
    ];
    let bytes = encode(&entries);
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        "0240420f000000000002\
         03732f3103732f32\
         02001e03616e6e00\
         030003626f6203746162\
         01090102030405060708\
         0d4d0842"
    );
    assert_eq!(decode(&bytes).unwrap(), entries);
}

/// Frozen bytes of a record with a displacement: see docs/FORMATS.md.
#[test]
fn version_3_is_frozen() {
    let displaced = EventRef { kind: EventKind::Displace, ..beat(1_000_000, "s/2", "bob", "tab") };
    let leave = EventRef { kind: EventKind::Leave, ..beat(1_000_001, "s/2", "bob", "tab") };
    let entries = [beat(1_000_030, "s/1", "ann", ""), displaced, leave].map(RecordEntry::Full);
    let bytes = encode(&entries);
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        "0340420f000000000002\
         03732f3103732f32\
         03001e03616e6e00\
         050003626f6203746162\
         040103626f6203746162\
         00\
         af4baac3"
    );
    assert_eq!(decode(&bytes).unwrap(), entries);
}

/// Frozen bytes of a record with labels: see docs/FORMATS.md.
#[test]
fn version_4_is_frozen() {
    let of = |values, age_ms| SessionLabels::parse("country\u{1}device", values, age_ms).unwrap();
    let ann = EventRef { labels: of("NO\u{1}tv", 0), ..beat(1_000_030, "s/1", "ann", "") };
    let bob = EventRef { labels: of("\u{1}tv", 300), ..beat(1_000_000, "s/2", "bob", "tab") };
    let cy = EventRef { labels: of("NO\u{1}tv", 1), ..beat(1_000_000, "s/2", "cy", "") };
    let entries = [ann, bob, beat(1_000_001, "s/2", "dee", ""), cy].map(RecordEntry::Full);
    let bytes = encode(&entries);
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        "0440420f000000000002\
         03732f3103732f32\
         010e636f756e74727901646576696365\
         0200054e4f0174760003017476\
         04001e03616e6e000100\
         030003626f620374616202ac02\
         0301036465650000\
         03000263790001010\
         01eb9733d"
    );
    assert_eq!(decode(&bytes).unwrap(), entries);
}

/// A join with two labels takes at most 12 bytes more, in a batch of a hundred joins.
#[test]
fn labels_take_at_most_twelve_bytes_a_join() {
    let ids: Vec<String> = (0..100).map(|n| format!("viewer-{n}")).collect();
    let devices = ["desktop", "phone", "tv", "tablet", "console"];
    // Every join has another country and device than most others: 100 sets in 100 joins.
    let values: Vec<String> =
        (0..100).map(|n| format!("{:02}\u{1}{}", n / 5, devices[n % 5])).collect();
    let of = |n: usize, labels| RecordEntry::Full(EventRef { labels, ..beat(7, "s", &ids[n], "") });
    let labels = |n: usize| SessionLabels::parse("country\u{1}device", &values[n], 0).unwrap();
    let without: Vec<_> = (0..100).map(|n| of(n, SessionLabels::NONE)).collect();
    let with: Vec<_> = (0..100).map(|n| of(n, labels(n))).collect();
    let more = encode(&with).len() - encode(&without).len();
    assert!(more <= 12 * 100 + 100, "{more} bytes for 100 joins that all differ");
    let usual: Vec<_> = (0..100).map(|n| of(n, labels(n / 2))).collect();
    let more = encode(&usual).len() - encode(&without).len();
    assert!(more <= 12 * 100, "{more} bytes for 100 joins of 50 kinds");
}

/// Frozen bytes of the record without events: see docs/FORMATS.md.
#[test]
fn a_record_without_events_is_frozen() {
    let hex: String = encode(&[]).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "020000000000000000000000f058ee97");
    assert_eq!(decode(&encode(&[])).unwrap(), []);
    assert!(!has_events(&encode(&[])));
    let one = RecordEntry::Full(beat(1, "s", "v", ""));
    assert!(has_events(&encode(&[one])));
}

/// A log that an older housecount wrote can still be read.
#[test]
fn version_1_is_still_read() {
    let hex = "0140420f000000000002\
               03732f3103732f32\
               02001e03616e6e00\
               030003626f6203746162\
               a971efa2";
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    let leave = EventRef { kind: EventKind::Leave, ..beat(1_000_000, "s/2", "bob", "tab") };
    let entries = [RecordEntry::Full(beat(1_000_030, "s/1", "ann", "")), RecordEntry::Full(leave)];
    assert_eq!(decode(&bytes).unwrap(), entries);
}

#[test]
fn a_steady_beat_takes_nine_bytes() {
    let handles = (0..RECORD_EVENTS_MAX as u64).map(|n| Handle::from_bytes(n.to_be_bytes()));
    let entries: Vec<_> = handles
        .zip(0..)
        .map(|(handle, n)| RecordEntry::ByHandle { at: UnixMs(7_000 + n % 10), handle })
        .collect();
    assert!(encode(&entries).len() <= 9 * entries.len() + 20);
}

#[test]
fn record_events_max_full_of_the_longest_ids_fits() {
    let stage: Vec<String> = (0..RECORD_EVENTS_MAX).map(|n| format!("{n:0>256}")).collect();
    let (viewer, session) = ("v".repeat(VIEWER_ID_BYTES_MAX), "s".repeat(SESSION_ID_BYTES_MAX));
    let keys: Vec<String> = (0..LABEL_KEYS_MAX).map(|n| format!("{n}{:k>31}", "")).collect();
    let keys = keys.join("\u{1}");
    let values = |n: usize| vec![format!("{n:0>32}"); LABEL_KEYS_MAX].join("\u{1}");
    let values: Vec<String> = (0..RECORD_EVENTS_MAX).map(values).collect();
    let entries: Vec<_> = stage
        .iter()
        .zip(&values)
        .map(|(stage, values)| {
            let labels = SessionLabels::parse(&keys, values, u64::MAX >> 1).unwrap();
            RecordEntry::Full(EventRef { labels, ..beat(7, stage, &viewer, &session) })
        })
        .collect();
    let bytes = encode(&entries);
    assert!(bytes.len() <= RECORD_BYTES_MAX, "{}", bytes.len());
    assert_eq!(decode(&bytes).unwrap().len(), RECORD_EVENTS_MAX);
}

type Drawn = (u64, Option<u64>, EventKind, String, String, String, Option<(String, u64)>);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let handle = proptest::option::of(any::<u64>());
    let kind = proptest::sample::select(&[EventKind::Beat, EventKind::Leave, EventKind::Displace]);
    let event = (0u64..1 << 50, handle, kind, "[!-~]{1,8}", "[a-zé]{1,8}", "[a-z]{0,3}");
    let labels = proptest::option::of(("[a-c]{0,2}\u{1}[a-cé]{0,1}", 0..9_000u64));
    let event = (event, labels).prop_map(|((at, handle, kind, stage, viewer, session), labels)| {
        (at, handle, kind, stage, viewer, session, labels)
    });
    proptest::collection::vec(event, 1..50)
}

fn some_entries((at, handle, kind, stage, viewer, session, labels): &Drawn) -> RecordEntry<'_> {
    match handle {
        Some(handle) => RecordEntry::ByHandle {
            at: UnixMs(*at),
            handle: Handle::from_bytes(handle.to_be_bytes()),
        },
        None => {
            let labels = labels.as_ref().map_or(SessionLabels::NONE, |(values, age_ms)| {
                SessionLabels::parse("a\u{1}b", values, *age_ms).unwrap()
            });
            let event = beat(*at, stage, viewer, session);
            RecordEntry::Full(EventRef { kind: *kind, labels, ..event })
        }
    }
}

proptest! {
    #[test]
    fn round_trip(drawn in drawn()) {
        let mut all: Vec<RecordEntry<'_>> = drawn.iter().map(some_entries).collect();
        let bytes = encode(&all);
        all.sort_by_key(|entry| matches!(entry, RecordEntry::ByHandle { .. }));
        prop_assert_eq!(decode(&bytes).unwrap(), all);
    }

    #[test]
    fn a_flipped_bit_is_always_found(drawn in drawn(), at: usize, bit in 0u8..8) {
        let mut bytes = encode(&drawn.iter().map(some_entries).collect::<Vec<_>>());
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes).is_err());
    }

    /// Any bytes may follow a right checksum. They are an error or a batch, never a panic.
    #[test]
    fn sealed_noise_never_panics(mut noise: Vec<u8>) {
        noise.insert(0, VERSION);
        seal(&mut noise);
        let _ = decode(&noise);
    }
}
