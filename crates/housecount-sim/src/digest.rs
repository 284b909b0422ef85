//! The hash of a run over its events, answers and stored bytes, to compare two source trees.
//!
//! Each fact enters as a number and as bytes with their lengths in front. No name of the source and
//! no debug format enters, so a rename changes no hash. (The checksum of the trace covers the
//! trace's words. They lead to a failure and may change at any time.)

use std::fmt;

use housecount_backend::log::Position;
use housecount_core::event::EventKind;
use housecount_core::fold::Count;
use housecount_core::item::{Attr, Item};
use housecount_core::keys::Key;
use housecount_core::time::UnixMs;
use housecount_engine::WithStatus;

use crate::oracle::SeatName;
use crate::oracle::proof::Proven;

/// The hash of one run, or of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHash([u8; 32]);

impl RunHash {
    /// One hash over the hashes of several seeds, in their order.
    #[must_use]
    pub fn combined(all: impl IntoIterator<Item = (u64, RunHash)>) -> RunHash {
        let mut hasher = RunHasher::default();
        for (seed, RunHash(hash)) in all {
            hasher.number(seed);
            hasher.bytes(&hash);
        }
        hasher.finish()
    }
}

/// Formats the hash in hexadecimal digits.
impl fmt::Display for RunHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Hasher of a run, through the crate `blake3`.
#[derive(Debug, Default)]
pub struct RunHasher(blake3::Hasher);

impl RunHasher {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// Begins a fact with its number, which never changes, and its time.
    fn begin(&mut self, fact: u8, now_ms: u64) {
        self.0.update(&[fact]);
        self.number(now_ms);
    }

    /// Adds an event that a run of a node accepted and stamped.
    pub fn event(&mut self, now_ms: u64, run: usize, seat: &SeatName, kind: EventKind, at: UnixMs) {
        self.begin(1, now_ms);
        self.number(run as u64);
        [&seat.stage, &seat.viewer, &seat.session].iter().for_each(|id| self.bytes(id.as_bytes()));
        self.number(match kind {
            EventKind::Beat => 0,
            EventKind::Leave => 1,
            EventKind::Displace => 2,
        });
        self.number(at.0);
    }

    /// Adds a run's answer to a player: the time to the next heartbeat, or an error.
    pub fn answer(&mut self, now_ms: u64, run: usize, next_ms: Option<u64>) {
        self.begin(2, now_ms);
        self.number(run as u64);
        self.number(next_ms.map_or(0, |ms| ms + 1));
    }

    /// Adds a run's count of one stage, or of all stages (`None`).
    pub fn count(
        &mut self,
        now_ms: u64,
        run: usize,
        stage: Option<&str>,
        count: WithStatus<Count>,
    ) {
        let WithStatus { value: Count { viewers, sessions }, status } = count;
        self.begin(3, now_ms);
        self.number(run as u64);
        self.bytes(stage.unwrap_or_default().as_bytes());
        let flags = [status.complete, status.recovering].map(u64::from);
        [viewers, sessions, status.as_of.0].iter().chain(&flags).for_each(|n| self.number(*n));
    }

    /// Adds a run's answer to an operator's change: the time from which it applies, or an error.
    pub fn change(&mut self, now_ms: u64, run: usize, from: Option<UnixMs>) {
        self.begin(4, now_ms);
        self.number(run as u64);
        self.number(from.map_or(0, |from| from.0 + 1));
    }

    /// Adds a record that the log stored.
    pub fn record(&mut self, now_ms: u64, partition: u16, position: Position, record: &[u8]) {
        self.begin(5, now_ms);
        [u64::from(partition), position.at.0, position.seq].iter().for_each(|n| self.number(*n));
        self.bytes(record);
    }

    /// Adds a partition's mark that the log stored, or a trim of its records up to a time. `mark`
    /// is the kind's number, which never changes.
    pub fn mark(&mut self, now_ms: u64, partition: u16, mark: u8, at: UnixMs) {
        self.begin(6, now_ms);
        [u64::from(partition), u64::from(mark), at.0].iter().for_each(|n| self.number(*n));
    }

    /// Adds an item that the cold tier stored, or its deletion (`None`).
    pub fn item(&mut self, now_ms: u64, key: &Key, item: Option<&Item>) {
        self.begin(7, now_ms);
        self.bytes(key.pk().as_bytes());
        self.bytes(key.sk().as_bytes());
        self.number(item.map_or(0, |item| item.len() as u64 + 1));
        for (name, attr) in item.into_iter().flatten() {
            self.bytes(name.as_bytes());
            self.attr(attr);
        }
    }

    fn attr(&mut self, attr: &Attr) {
        match attr {
            Attr::S(text) => {
                self.number(0);
                self.bytes(text.as_bytes());
            }
            Attr::N(number) => {
                self.number(1);
                self.number(*number);
            }
            Attr::B(bytes) => {
                self.number(2);
                self.bytes(bytes);
            }
            Attr::Bool(is_true) => {
                self.number(3);
                self.number(u64::from(*is_true));
            }
            Attr::StringMap(texts) => {
                self.number(4);
                self.number(texts.len() as u64);
                for (name, text) in texts {
                    self.bytes(name.as_bytes());
                    self.bytes(text.as_bytes());
                }
            }
        }
    }

    /// The ledger, as a reader sees it.
    pub fn ledger(&mut self, now_ms: u64, rows: &Proven) {
        self.begin(8, now_ms);
        self.number(rows.len() as u64);
        for ((stage, viewer), spans) in rows {
            self.bytes(stage.as_bytes());
            self.bytes(viewer.as_bytes());
            self.number(spans.len() as u64);
            for span in spans {
                self.number(span.from.0);
                self.number(span.to.0);
            }
        }
    }

    /// The hash of all facts so far.
    #[must_use]
    pub fn finish(&self) -> RunHash {
        RunHash(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::limits::ITEM_BYTES_MAX;
    use housecount_engine::CountStatus;

    use super::*;

    fn hash(facts: impl FnOnce(&mut RunHasher)) -> String {
        let mut hasher = RunHasher::default();
        facts(&mut hasher);
        hasher.finish().to_string()
    }

    #[test]
    fn a_byte_of_a_record_changes_the_hash() {
        let of = |record: &[u8]| hash(|hasher| hasher.record(7, 0, Position::default(), record));
        assert_eq!(of(b"record"), of(b"record"));
        assert_ne!(of(b"record"), of(b"recore"));
        assert_ne!(of(b"record"), of(b"recor"));
    }

    #[test]
    fn a_byte_of_an_item_changes_the_hash() {
        let of = |name: &str, attr: Attr| {
            let item = Item::from([(name.to_string(), attr)]);
            hash(|hasher| hasher.item(7, &Key::Fence, Some(&item)))
        };
        let large = vec![0; ITEM_BYTES_MAX];
        let mut damaged = large.clone();
        damaged[ITEM_BYTES_MAX / 2] ^= 1;
        let all = [
            of("chunk", Attr::B(large)),
            of("chunk", Attr::B(damaged)),
            of("chunk", Attr::S(String::new())),
            of("chunk", Attr::N(0)),
            of("chunk", Attr::Bool(false)),
            of("chunk", Attr::StringMap([("a".to_string(), "bc".to_string())].into())),
            of("chunk", Attr::StringMap([("ab".to_string(), "c".to_string())].into())),
            of("chunks", Attr::N(0)),
            hash(|hasher| hasher.item(7, &Key::Fence, None)),
            hash(|hasher| hasher.item(8, &Key::Fence, None)),
        ];
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:#?}");
    }

    /// Freezes the numbers of the facts and their encoding, so that two source trees can be
    /// compared.
    #[test]
    fn the_form_is_frozen() {
        let seat = SeatName {
            stage: "stage-1".to_string(),
            viewer: "viewer-0001".to_string(),
            session: String::new(),
        };
        let status = CountStatus { as_of: UnixMs(1), complete: true, recovering: false };
        let count = WithStatus { value: Count { viewers: 2, sessions: 3 }, status };
        let hash = hash(|hasher| {
            hasher.event(1, 0, &seat, EventKind::Leave, UnixMs(2));
            hasher.answer(3, 0, Some(30_000));
            hasher.count(3, 0, Some("stage-1"), count);
            hasher.change(4, 0, None);
            hasher.record(5, 1, Position { at: UnixMs(6), seq: 7 }, b"record");
            hasher.mark(8, 1, 2, UnixMs(9));
            hasher.item(10, &Key::Fence, Some(&Item::from([("ttl".to_string(), Attr::N(11))])));
            hasher.ledger(12, &Proven::new());
        });
        assert_eq!(hash, "88c663a3c7252ea5967a39552dc3e9b6d3e973ceb262054feaaf16373bdfc2e8");
    }
}
