//! Every stored name: the keys of the cold tier as one enum, and the keys in Redis.
//!
//! The schema at a glance; docs/FORMATS.md has the values byte by byte.

use crate::time::UnixMs;

/// The partition key of all rosters.
const ROSTER_PK: &str = "ROSTER";
/// The partition key of the list of configured stages.
const STAGES_PK: &str = "STAGES";
/// The greatest number that 13 digits hold: sorting as text is sorting by time from 2001 to 2286.
const MS_OF_13_DIGITS: u64 = 9_999_999_999_999;

/// The key of an item in the cold tier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A stage's count at a moment. Written every 5 min a stage, kept 30 days (TTL); other programs read it.
    /// `STAGE#<stage>` / `SNAPSHOT#<ms>` -> [`snapshot`](crate::snapshot)
    Snapshot {
        /// The stage.
        stage: String,
        /// The moment.
        at: UnixMs,
    },
    /// A stage's configuration. Written when it is created or changed, kept until it is deleted.
    /// `STAGE#<stage>` / `CONFIG` -> [`stage`](crate::stage)
    Config {
        /// The stage.
        stage: String,
    },
    /// A copy of the configuration, so that all configured stages can be listed without a Scan.
    /// `STAGES` / `<stage>` -> [`stage`](crate::stage)
    Listed {
        /// The stage.
        stage: String,
    },
    /// All counts of one snapshot, packed, so that the last ones can be found without a Scan. Written every
    /// 5 min, kept 30 days (TTL). `ROSTER` / `<ms>#<part>` -> [`roster`](crate::roster)
    Roster {
        /// The snapshot's moment.
        at: UnixMs,
        /// 0 and up: a large one is several items.
        part: u32,
    },
    /// Who does a task that one node is enough for. `LEASE#<name>` / `LEASE` -> [`lease`](crate::lease)
    Lease {
        /// The task.
        name: String,
    },
    /// That there is a series of so many partitions, so that readers find it without a Scan. Written once.
    /// `LEDGERS` / `<partitions>`, `ARCHIVES` / `<partitions>`
    Series {
        /// Of what.
        series: Series,
        /// How many.
        partitions: u16,
    },
    /// A partition's part of a series for some time: what its viewers proved in a window, kept for good, or the heartbeats of a
    /// slot, kept for as long as is wished (TTL).
    /// `LEDGER#<partitions>#<partition>` / `<ms>` -> [`ledger`](crate::ledger);
    /// `ARCHIVE#<partitions>#<partition>` / `<ms>` -> [`archive`](crate::archive)
    Chunk {
        /// Whose.
        chain: Chain,
        /// The window's start, or the slot's.
        window: UnixMs,
    },
    /// A further part of a chunk that is too large for one item.
    /// The same / `<ms>#<CRC-32 of the chunk>#<part>`
    ChunkPart {
        /// Whose.
        chain: Chain,
        /// The window's start, or the slot's.
        window: UnixMs,
        /// The chunk's checksum: two writers' parts are not mixed.
        crc: u32,
        /// 1 and up.
        part: u32,
    },
    /// A heartbeat, where each is an item: for audit by whatever reads the table, kept for as long as is wished (TTL).
    /// `STAGE#<stage>` / `HEARTBEAT#<ms>#<viewer>#<session>` -> [`heartbeat`](crate::heartbeat)
    Heartbeat {
        /// On which stage.
        stage: String,
        /// When.
        at: UnixMs,
        /// Whose.
        viewer: String,
        /// With which player; empty for none.
        session: String,
    },
    /// Up to where heartbeats have become items. `ARCHIVE#<partitions>#<partition>` / `ITEMS`
    ItemsUntil {
        /// Whose.
        chain: Chain,
    },
}

/// What chunks are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Series {
    /// Proven watch time.
    Ledger,
    /// Every heartbeat.
    Archive,
}

impl Series {
    fn name(self) -> &'static str {
        match self {
            Series::Ledger => "LEDGER",
            Series::Archive => "ARCHIVE",
        }
    }

    /// All chains of a series of so many partitions.
    pub fn chains(self, partitions: u16) -> impl Iterator<Item = Chain> {
        (0..partitions).map(move |partition| Chain { series: self, partitions, partition })
    }
}

/// A partition's chunks of a series. The number of partitions belongs to its name, since it decides which viewers are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain {
    /// Of what.
    pub series: Series,
    /// How many partitions there are.
    pub partitions: u16,
    /// Which one this is.
    pub partition: u16,
}

impl Chain {
    /// The partition key of its chunks.
    #[must_use]
    pub fn pk(self) -> String {
        format!("{}#{}#{}", self.series.name(), self.partitions, self.partition)
    }
}

impl Key {
    /// The key of a chunk, or of a part of one, by its sort key; `None` if it is none.
    #[must_use]
    pub fn of_chunk(chain: Chain, sk: &str) -> Option<Key> {
        let mut fields = sk.split('#');
        let window = UnixMs(fields.next()?.parse().ok()?);
        match (fields.next(), fields.next()) {
            (None, _) => Some(Key::Chunk { chain, window }),
            (Some(crc), Some(part)) => {
                let crc = u32::from_str_radix(crc, 16).ok()?;
                Some(Key::ChunkPart { chain, window, crc, part: part.parse().ok()? })
            }
            (Some(_), None) => None,
        }
    }

    /// The partition key.
    #[must_use]
    pub fn pk(&self) -> String {
        match self {
            Key::Snapshot { stage, .. } | Key::Config { stage } | Key::Heartbeat { stage, .. } => {
                stage_pk(stage)
            }
            Key::Listed { .. } => STAGES_PK.to_string(),
            Key::Roster { .. } => ROSTER_PK.to_string(),
            Key::Lease { name } => format!("LEASE#{name}"),
            Key::Series { series, .. } => series_pk(*series),
            Key::Chunk { chain, .. } | Key::ChunkPart { chain, .. } | Key::ItemsUntil { chain } => chain.pk(),
        }
    }

    /// The sort key.
    #[must_use]
    pub fn sk(&self) -> String {
        match self {
            Key::Snapshot { at, .. } => format!("SNAPSHOT#{at}"),
            Key::Config { .. } => "CONFIG".to_string(),
            Key::Listed { stage } => stage.clone(),
            Key::Roster { at, part } => format!("{at:013}#{part:04}"),
            Key::Lease { .. } => "LEASE".to_string(),
            Key::Series { partitions, .. } => format!("{partitions:05}"),
            Key::Chunk { window, .. } => chunk_sk(*window),
            Key::ChunkPart { window, crc, part, .. } => {
                format!("{}#{crc:08x}#{part:04}", chunk_sk(*window))
            }
            Key::Heartbeat { at, viewer, session, .. } => format!("HEARTBEAT#{at}#{viewer}#{session}"),
            Key::ItemsUntil { .. } => "ITEMS".to_string(),
        }
    }
}

fn chunk_sk(window: UnixMs) -> String {
    format!("{:013}", window.0.min(MS_OF_13_DIGITS))
}

fn series_pk(series: Series) -> String {
    format!("{}S", series.name())
}

fn stage_pk(stage: &str) -> String {
    format!("STAGE#{stage}")
}

/// Items of one partition key whose sort keys lie between two, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The partition key.
    pub pk: String,
    /// The least sort key.
    pub first: String,
    /// The greatest sort key.
    pub last: String,
}

impl KeyRange {
    /// A stage's snapshots from `from` to `to`, both included. Sorting as text is sorting by time from
    /// 2001 to 2286, while Unix milliseconds have 13 digits.
    #[must_use]
    pub fn snapshots(stage: &str, from: UnixMs, to: UnixMs) -> KeyRange {
        let sk = |at: UnixMs| format!("SNAPSHOT#{:013}", at.0.min(MS_OF_13_DIGITS));
        KeyRange { pk: stage_pk(stage), first: sk(from), last: sk(to) }
    }

    /// A chain's chunks, and their parts, of windows that begin from `from` to `to`, both included.
    #[must_use]
    pub fn chunks(chain: Chain, from: UnixMs, to: UnixMs) -> KeyRange {
        // `~` sorts after the `#` of a part.
        KeyRange { pk: chain.pk(), first: chunk_sk(from), last: format!("{}~", chunk_sk(to)) }
    }

    /// A stage's heartbeats from `from` to `to`, both included, where each is an item.
    #[must_use]
    pub fn heartbeats(stage: &str, from: UnixMs, to: UnixMs) -> KeyRange {
        let sk = |at: UnixMs| format!("HEARTBEAT#{:013}", at.0.min(MS_OF_13_DIGITS));
        // `$` sorts after the `#` behind the time.
        KeyRange { pk: stage_pk(stage), first: sk(from), last: format!("{}$", sk(to)) }
    }

    /// All ledgers, or archives.
    #[must_use]
    pub fn series(series: Series) -> KeyRange {
        KeyRange { pk: series_pk(series), first: "0".to_string(), last: "99999".to_string() }
    }

    /// All rosters up to `to`, included.
    #[must_use]
    pub fn rosters(to: UnixMs) -> KeyRange {
        let last = format!("{:013}#9999", to.0.min(MS_OF_13_DIGITS));
        KeyRange { pk: ROSTER_PK.to_string(), first: "0".to_string(), last }
    }

    /// The parts of one roster.
    #[must_use]
    pub fn roster(at: UnixMs) -> KeyRange {
        let sk = |part| Key::Roster { at, part }.sk();
        KeyRange { pk: ROSTER_PK.to_string(), first: sk(0), last: sk(9999) }
    }

    /// The configured stages whose id is greater than `after`.
    #[must_use]
    pub fn listed(after: Option<&str>) -> KeyRange {
        // A stage id is printable ASCII: "!" is the least, "~" the greatest character, so the least id greater
        // than `after` is `after` itself and a "!".
        let first = after.map_or("!".to_string(), |after| format!("{after}!"));
        KeyRange { pk: STAGES_PK.to_string(), first, last: "~".repeat(crate::limits::STAGE_ID_BYTES_MAX) }
    }
}

/// The sort key of a DynamoDB log's past; it sorts after all records. `LOG#<partition>` / `META`
pub const LOG_META_SK: &str = "META";

/// The partition key of a DynamoDB log's partition.
#[must_use]
pub fn log_pk(partition: u16) -> String {
    format!("LOG#{partition}")
}

/// The sort key of a flush, `<ms>#<writer>`, or of a further part of one, `<ms>#<writer>#<part>`. -> [`flush`](crate::flush)
#[must_use]
pub fn log_sk(at: UnixMs, writer: u32, part: u32) -> String {
    let head = format!("{:013}#{writer:08x}", at.0.min(MS_OF_13_DIGITS));
    match part {
        0 => head,
        u32::MAX => format!("{head}~"), // sorts after every part
        part => format!("{head}#{part:04}"),
    }
}

/// The position, the writer and the part of a flush's sort key; `None` if it is none.
#[must_use]
pub fn parse_log_sk(sk: &str) -> Option<(UnixMs, u32, u32)> {
    let mut fields = sk.split('#');
    let at = UnixMs(fields.next()?.parse().ok()?);
    let writer = u32::from_str_radix(fields.next()?, 16).ok()?;
    let part = fields.next().map_or(Some(0), |part| part.parse().ok())?;
    Some((at, writer, part))
}

/// A log partition's stream in Redis. The braces make a Redis Cluster put a partition's keys in one slot.
#[must_use]
pub fn redis_stream(prefix: &str, partition: u16) -> String {
    format!("{prefix}{{{partition}}}:log")
}

/// A hash beside the stream: `born`, `whole`, `attended`. Its loss is how a lost log is noticed.
#[must_use]
pub fn redis_meta(prefix: &str, partition: u16) -> String {
    format!("{prefix}{{{partition}}}:meta")
}

/// A stage's count as a plain string, for readers that expect one (`publish_counts`).
#[must_use]
pub fn redis_count(prefix: &str, stage: &str) -> String {
    format!("{prefix}viewers:{stage}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: other programs read the first two, and stored data has them all.
    #[test]
    fn keys_are_frozen() {
        let at = UnixMs(1_790_000_000_000);
        let stage = || "arn:aws:ivs:s/1".to_string();
        let names = |key: Key| (key.pk(), key.sk());
        let pair = |pk: &str, sk: &str| (pk.to_string(), sk.to_string());
        assert_eq!(
            names(Key::Snapshot { stage: stage(), at }),
            pair("STAGE#arn:aws:ivs:s/1", "SNAPSHOT#1790000000000")
        );
        assert_eq!(names(Key::Config { stage: stage() }), pair("STAGE#arn:aws:ivs:s/1", "CONFIG"));
        assert_eq!(names(Key::Listed { stage: stage() }), pair("STAGES", "arn:aws:ivs:s/1"));
        assert_eq!(names(Key::Roster { at, part: 2 }), pair("ROSTER", "1790000000000#0002"));
        assert_eq!(names(Key::Lease { name: "snapshot".into() }), pair("LEASE#snapshot", "LEASE"));
        let chain = Chain { series: Series::Ledger, partitions: 8, partition: 3 };
        let archive = Chain { series: Series::Archive, ..chain };
        assert_eq!(names(Key::Series { series: Series::Ledger, partitions: 8 }), pair("LEDGERS", "00008"));
        assert_eq!(names(Key::Series { series: Series::Archive, partitions: 1 }), pair("ARCHIVES", "00001"));
        assert_eq!(names(Key::Chunk { chain: archive, window: at }), pair("ARCHIVE#8#3", "1790000000000"));
        assert_eq!(names(Key::ItemsUntil { chain: archive }), pair("ARCHIVE#8#3", "ITEMS"));
        assert_eq!(
            names(Key::Heartbeat { stage: stage(), at, viewer: "ann".into(), session: "tab".into() }),
            pair("STAGE#arn:aws:ivs:s/1", "HEARTBEAT#1790000000000#ann#tab")
        );
        assert_eq!(names(Key::Chunk { chain, window: at }), pair("LEDGER#8#3", "1790000000000"));
        assert_eq!(
            names(Key::ChunkPart { chain, window: at, crc: 0xbeef, part: 12 }),
            pair("LEDGER#8#3", "1790000000000#0000beef#0012")
        );
        assert_eq!(log_pk(3), "LOG#3");
        assert_eq!(log_sk(at, 0xbeef, 0), "1790000000000#0000beef");
        assert_eq!(log_sk(at, 0xbeef, 2), "1790000000000#0000beef#0002");
        assert!(
            log_sk(at, 0xbeef, 2) < log_sk(at, 0xbeef, u32::MAX) && log_sk(at, 1, 0).as_str() < LOG_META_SK
        );
        for (writer, part) in [(0xbeef, 0), (7, 12)] {
            assert_eq!(parse_log_sk(&log_sk(at, writer, part)), Some((at, writer, part)));
        }
        assert_eq!(parse_log_sk(LOG_META_SK), None);
        assert_eq!(redis_stream("hc:", 3), "hc:{3}:log");
        assert_eq!(redis_meta("hc:", 3), "hc:{3}:meta");
        assert_eq!(redis_count("hc:", "s/1"), "hc:viewers:s/1");
    }

    #[test]
    fn ranges_hold_what_they_should() {
        let range = KeyRange::snapshots("s", UnixMs(1_790_000_000_000), UnixMs::MAX);
        let sk = Key::Snapshot { stage: "s".into(), at: UnixMs(1_790_000_000_000) }.sk();
        assert!(range.first <= sk && sk <= range.last);
        assert!(range.last.as_str() < "SNAPSHOT$", "nothing else lies in the range");
        let chain = Chain { series: Series::Ledger, partitions: 1, partition: 0 };
        let range = KeyRange::chunks(chain, UnixMs(1_790_000_000_000), UnixMs(1_790_000_300_000));
        let part =
            Key::ChunkPart { chain, window: UnixMs(1_790_000_300_000), crc: u32::MAX, part: 9999 }.sk();
        let part_key = Key::ChunkPart { chain, window: UnixMs(1_790_000_300_000), crc: u32::MAX, part: 9999 };
        assert_eq!(Key::of_chunk(chain, &part), Some(part_key));
        assert_eq!(
            Key::of_chunk(chain, &range.first),
            Some(Key::Chunk { chain, window: UnixMs(1_790_000_000_000) })
        );
        assert_eq!(Key::of_chunk(chain, "ITEMS"), None);
        assert!(
            part <= range.last && Key::Chunk { chain, window: UnixMs(1_790_000_300_001) }.sk() > range.last
        );
        let range = KeyRange::heartbeats("s", UnixMs(1_790_000_000_000), UnixMs(1_790_000_300_000));
        let (stage, session) = ("s".to_string(), String::new());
        let beat = |at| Key::Heartbeat {
            stage: stage.clone(),
            at: UnixMs(at),
            viewer: "~".into(),
            session: session.clone(),
        };
        assert!(range.first <= beat(1_790_000_000_000).sk() && beat(1_790_000_300_000).sk() <= range.last);
        assert!(beat(1_790_000_300_001).sk() > range.last);
        let range = KeyRange::listed(Some("a"));
        assert!(range.first.as_str() > "a" && range.first.as_str() <= "a!");
        let range = KeyRange::rosters(UnixMs(1_790_000_000_000));
        assert!(range.last > Key::Roster { at: UnixMs(1_790_000_000_000), part: 9998 }.sk());
    }
}
