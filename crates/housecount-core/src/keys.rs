//! Every stored name: the keys of the cold tier as one enum, and the keys in Redis.
//!
//! The schema at a glance; docs/FORMATS.md has the values byte by byte.

mod range;

pub use self::range::KeyRange;
use crate::time::UnixMs;

/// The partition key of all rosters.
const ROSTER_PK: &str = "ROSTER";
/// The partition key of the list of configured stages.
const STAGES_PK: &str = "STAGES";
/// The partition key of the stages that have heartbeats as items.
const HEARTBEATS_PK: &str = "HEARTBEATS";
/// Start of a configuration version's sort key.
const VERSION_SK: &str = "VERSION#";
/// Start of a heartbeat's sort key.
const HEARTBEAT_SK: &str = "HEARTBEAT#";
/// The greatest number that 13 digits hold: sorting as text is sorting by time from 2001 to 2286.
const MS_OF_13_DIGITS: u64 = 9_999_999_999_999;

/// The key of an item in the cold tier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A stage's count at a moment. Written every 5 min a stage, kept 30 days (TTL); other programs
    /// read it. `STAGE#<stage>` / `SNAPSHOT#<ms>` -> [`snapshot`](crate::snapshot)
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
    /// A stage's configuration as one change left it, or its deletion. Written once per change,
    /// kept for good. `STAGE#<stage>` / `VERSION#<number>` -> [`version`](crate::version)
    Version {
        /// The stage.
        stage: String,
        /// 1 and up.
        number: u32,
    },
    /// A copy of the configuration, so that all configured stages can be listed without a Scan.
    /// `STAGES` / `<stage>` -> [`stage`](crate::stage)
    StageListEntry {
        /// The stage.
        stage: String,
    },
    /// All counts of one snapshot, packed, so that the last ones can be found without a Scan.
    /// Written every 5 min, kept 30 days (TTL). `ROSTER` / `<ms>#<part>` ->
    /// [`roster`](crate::roster)
    Roster {
        /// The snapshot's moment.
        at: UnixMs,
        /// 0 and up: a large one is several items.
        part: u32,
    },
    /// Who does a task that one node is enough for. `LEASE#<name>` / `LEASE` ->
    /// [`lease`](crate::lease)
    Lease {
        /// The task.
        name: String,
    },
    /// Up to when the ledger may be committed. Written once per window. `FENCE#ledger` / `FENCE` ->
    /// [`fence`](crate::fence)
    Fence,
    /// That there is a series of so many partitions, so that readers find it without a Scan.
    /// Written once. `LEDGERS` / `<partitions>`, `ARCHIVES` / `<partitions>`
    Series {
        /// Of what.
        series: Series,
        /// How many.
        partitions: u16,
    },
    /// A partition's part of a series for some time: what its viewers proved in a window, kept for
    /// good, or the heartbeats of a slot, kept for as long as is wished (TTL).
    /// `LEDGER#<partitions>#<partition>` / `<ms>` -> [`ledger`](crate::ledger);
    /// `ARCHIVE#<partitions>#<partition>` / `<ms>` -> [`archive`](crate::archive)
    Chunk {
        /// The chain of a partition.
        chain: Chain,
        /// The window's start, or the slot's.
        window: UnixMs,
    },
    /// A further part of a chunk that is too large for one item.
    /// The same / `<ms>#<CRC-32 of the chunk>#<part>`
    ChunkPart {
        /// The chain of a partition.
        chain: Chain,
        /// The window's start, or the slot's.
        window: UnixMs,
        /// The chunk's checksum: two writers' parts are not mixed.
        crc: u32,
        /// 1 and up.
        part: u32,
    },
    /// A heartbeat, where each is an item: for audit by whatever reads the table, kept for as long
    /// as is wished (TTL). `STAGE#<stage>` / `HEARTBEAT#<ms>#<viewer>#<session>`, with `%` and `#`
    /// of both ids written `%25` and `%23`, so that two heartbeats never share a key ->
    /// [`heartbeat`](crate::heartbeat)
    Heartbeat {
        /// On which stage.
        stage: String,
        /// Time of the heartbeat.
        at: UnixMs,
        /// The viewer.
        viewer: String,
        /// With which player; empty for none.
        session: String,
    },
    /// A stage with heartbeats as items on a day, so that readers find them without a Scan. Put
    /// before the heartbeats, kept a week longer than they are (TTL). `HEARTBEATS` / `<ms>#<stage>`
    /// -> [`heartbeat`](crate::heartbeat)
    HeartbeatDay {
        /// Start of the day (UTC).
        day: UnixMs,
        /// The stage.
        stage: String,
    },
    /// Up to where heartbeats have become items. `ARCHIVE#<partitions>#<partition>` / `ITEMS`
    ItemArchiveCursor {
        /// The chain of a partition.
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

/// A partition's chunks of a series. The number of partitions belongs to its name, since it decides
/// which viewers are in it.
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
        let key = match (fields.next(), fields.next()) {
            (None, _) => Key::Chunk { chain, window },
            (Some(crc), Some(part)) => {
                let crc = u32::from_str_radix(crc, 16).ok()?;
                Key::ChunkPart { chain, window, crc, part: part.parse().ok()? }
            }
            (Some(_), None) => return None,
        };
        key.stored_at(sk)
    }

    /// The key of a configuration version, by its sort key; `None` if it is another item's.
    #[must_use]
    pub fn of_version(stage: &str, sk: &str) -> Option<Key> {
        let number = sk.strip_prefix(VERSION_SK)?.parse().ok()?;
        Key::Version { stage: stage.to_string(), number }.stored_at(sk)
    }

    /// The key of a heartbeat, by its sort key; `None` if it is none.
    #[must_use]
    pub fn of_heartbeat(stage: &str, sk: &str) -> Option<Key> {
        let mut fields = sk.strip_prefix(HEARTBEAT_SK)?.split('#');
        let at = UnixMs(fields.next()?.parse().ok()?);
        let (viewer, session) = (unescaped(fields.next()?), unescaped(fields.next()?));
        Key::Heartbeat { stage: stage.to_string(), at, viewer, session }.stored_at(sk)
    }

    /// The key of a stage's day of heartbeats, by its sort key; `None` if it is none.
    #[must_use]
    pub fn of_heartbeat_day(sk: &str) -> Option<Key> {
        let (day, stage) = sk.split_once('#')?;
        Key::HeartbeatDay { day: UnixMs(day.parse().ok()?), stage: stage.to_string() }.stored_at(sk)
    }

    /// This key, unless it is written otherwise: what is deleted by it would be another item.
    fn stored_at(self, sk: &str) -> Option<Key> {
        (self.sk() == sk).then_some(self)
    }

    /// The partition key.
    #[must_use]
    pub fn pk(&self) -> String {
        match self {
            Key::Snapshot { stage, .. }
            | Key::Config { stage }
            | Key::Version { stage, .. }
            | Key::Heartbeat { stage, .. } => stage_pk(stage),
            Key::StageListEntry { .. } => STAGES_PK.to_string(),
            Key::Roster { .. } => ROSTER_PK.to_string(),
            Key::Lease { name } => format!("LEASE#{name}"),
            Key::Fence => "FENCE#ledger".to_string(),
            Key::HeartbeatDay { .. } => HEARTBEATS_PK.to_string(),
            Key::Series { series, .. } => series_pk(*series),
            Key::Chunk { chain, .. }
            | Key::ChunkPart { chain, .. }
            | Key::ItemArchiveCursor { chain } => chain.pk(),
        }
    }

    /// The sort key.
    #[must_use]
    pub fn sk(&self) -> String {
        match self {
            Key::Snapshot { at, .. } => format!("SNAPSHOT#{at}"),
            Key::Config { .. } => "CONFIG".to_string(),
            Key::Version { number, .. } => version_sk(*number),
            Key::StageListEntry { stage } => stage.clone(),
            Key::Roster { at, part } => format!("{at:013}#{part:04}"),
            Key::Lease { .. } => "LEASE".to_string(),
            Key::Fence => "FENCE".to_string(),
            Key::Series { partitions, .. } => format!("{partitions:05}"),
            Key::Chunk { window, .. } => chunk_sk(*window),
            Key::ChunkPart { window, crc, part, .. } => {
                format!("{}#{crc:08x}#{part:04}", chunk_sk(*window))
            }
            Key::Heartbeat { at, viewer, session, .. } => {
                format!("{HEARTBEAT_SK}{at}#{}#{}", escaped(viewer), escaped(session))
            }
            Key::HeartbeatDay { day, stage } => {
                format!("{:013}#{stage}", day.0.min(MS_OF_13_DIGITS))
            }
            Key::ItemArchiveCursor { .. } => "ITEMS".to_string(),
        }
    }
}

fn version_sk(number: u32) -> String {
    format!("{VERSION_SK}{number:04}")
}

fn chunk_sk(window: UnixMs) -> String {
    format!("{:013}", window.0.min(MS_OF_13_DIGITS))
}

fn series_pk(series: Series) -> String {
    format!("{}S", series.name())
}

/// An id within a key that `#` takes apart.
fn escaped(id: &str) -> String {
    id.replace('%', "%25").replace('#', "%23")
}

fn unescaped(id: &str) -> String {
    id.replace("%23", "#").replace("%25", "%")
}

fn stage_pk(stage: &str) -> String {
    format!("STAGE#{stage}")
}

/// The sort key of a DynamoDB log's past; it sorts after all records. `LOG#<partition>` / `META`
pub const LOG_META_SK: &str = "META";

/// The partition key of a DynamoDB log's partition.
#[must_use]
pub fn log_pk(partition: u16) -> String {
    format!("LOG#{partition}")
}

/// The sort key of a flush, `<ms>#<writer>`, or of a further part of one, `<ms>#<writer>#<part>`.
/// -> [`flush`](crate::flush)
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

/// A log partition's stream in Redis. The braces make a Redis Cluster put a partition's keys in one
/// slot.
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
mod tests;
