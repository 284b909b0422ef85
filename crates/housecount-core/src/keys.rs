//! All stored names: the keys of the cold tier as one enum, and the keys in Redis.
//!
//! This is the schema at a glance; docs/FORMATS.md has the values byte by byte.

mod range;

pub use self::range::KeyRange;
use crate::time::UnixMs;

/// Partition key of all rosters.
const ROSTER_PK: &str = "ROSTER";
/// Partition key of the list of configured stages.
const STAGES_PK: &str = "STAGES";
/// Partition key of the stages with a public count of their own.
const PUBLIC_COUNTS_PK: &str = "PUBLICCOUNTS";
/// Partition key of the stages that have heartbeats as items.
const HEARTBEATS_PK: &str = "HEARTBEATS";
/// Partition key of the events of stages and counts.
const EVENTS_PK: &str = "EVENTS";
/// Prefix of a configuration version's sort key.
const VERSION_SK: &str = "VERSION#";
/// Prefix of a heartbeat's sort key.
const HEARTBEAT_SK: &str = "HEARTBEAT#";
/// Largest number of 13 digits. From 2001 to 2286 text order is therefore time order.
const MS_OF_13_DIGITS: u64 = 9_999_999_999_999;

/// Key of an item in the cold tier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A stage's count at a moment. Written every 5 min per stage, kept 30 days (TTL); other
    /// programs read it. `STAGE#<stage>` / `SNAPSHOT#<ms>` -> [`snapshot`](crate::snapshot)
    Snapshot {
        /// The stage.
        stage: String,
        /// Time of the snapshot.
        at: UnixMs,
    },
    /// A stage's configuration. Written when it is created or changed, kept until it is deleted.
    /// `STAGE#<stage>` / `CONFIG` -> [`stage`](crate::stage)
    Config {
        /// The stage.
        stage: String,
    },
    /// A stage's configuration as one change left it, or its deletion. Written once per change,
    /// never deleted. `STAGE#<stage>` / `VERSION#<number>` -> [`version`](crate::version)
    Version {
        /// The stage.
        stage: String,
        /// Number of the version, from 1.
        number: u32,
    },
    /// A copy of the configuration, so that all configured stages can be listed without a Scan.
    /// `STAGES` / `<stage>` -> [`stage`](crate::stage)
    StageListEntry {
        /// The stage.
        stage: String,
    },
    /// A stage whose configuration says what players see of its count, so that nodes know all of
    /// these without reading each configuration. `PUBLICCOUNTS` / `<stage>` ->
    /// [`stage`](crate::stage)
    PublicCount {
        /// The stage.
        stage: String,
    },
    /// Mark of the last change of that list. Nodes read it every few seconds, and the list only if
    /// the mark has changed. `PUBLICCOUNTS#HEAD` / `HEAD`: `revision` N, a new random number
    PublicCountHead,
    /// All counts of one snapshot, packed, so that the last ones can be found without a Scan.
    /// Written every 5 min, kept 30 days (TTL). `ROSTER` / `<ms>#<part>` ->
    /// [`roster`](crate::roster)
    Roster {
        /// Time of the snapshot.
        at: UnixMs,
        /// Number of the part, from 0. A large roster is several items.
        part: u32,
    },
    /// The node that runs a task for which one node is enough. `LEASE#<name>` / `LEASE` ->
    /// [`lease`](crate::lease)
    Lease {
        /// Name of the task.
        name: String,
    },
    /// Time up to which the ledger may be committed. Written once per window. `FENCE#ledger` /
    /// `FENCE` -> [`fence`](crate::fence)
    Fence,
    /// Marker of a series with this number of partitions, so that readers find it without a Scan.
    /// Written once. `LEDGERS` / `<partitions>`, `ARCHIVES` / `<partitions>`
    Series {
        /// Kind of series.
        series: Series,
        /// Number of partitions.
        partitions: u16,
    },
    /// A partition's part of a series for some time. In the ledger it is the watch time that
    /// viewers proved in a window, never deleted. In the archive it is the heartbeats of a slot,
    /// kept for a configured time (TTL). `LEDGER#<partitions>#<partition>` / `<ms>` ->
    /// `housecount-ledger`; `ARCHIVE#<partitions>#<partition>` / `<ms>` ->
    /// `housecount-archive`
    Chunk {
        /// The chain of a partition.
        chain: Chain,
        /// Start of the window, or of the slot.
        window: UnixMs,
    },
    /// A further part of a chunk that is too large for one item. The same partition key /
    /// `<ms>#<CRC-32 of the chunk>#<part>`
    ChunkPart {
        /// The chain of a partition.
        chain: Chain,
        /// Start of the window, or of the slot.
        window: UnixMs,
        /// Checksum of the chunk, so that two writers' parts are not mixed.
        crc: u32,
        /// Number of the part, from 1.
        part: u32,
    },
    /// A heartbeat as an item of its own, for audits that read the table, kept for a configured
    /// time (TTL). `STAGE#<stage>` / `HEARTBEAT#<ms>#<viewer>#<session>` ->
    /// [`heartbeat`](crate::heartbeat). `%` and `#` of both ids are written `%25` and `%23`, so
    /// that two heartbeats never share a key.
    Heartbeat {
        /// The stage.
        stage: String,
        /// Time of the heartbeat.
        at: UnixMs,
        /// The viewer.
        viewer: String,
        /// The player's session; empty for none.
        session: String,
    },
    /// A stage with heartbeats as items on a day, so that readers find them without a Scan. Written
    /// before the heartbeats, kept a week longer than they are (TTL). `HEARTBEATS` / `<ms>#<stage>`
    /// -> [`heartbeat`](crate::heartbeat)
    HeartbeatDay {
        /// Start of the day (UTC).
        day: UnixMs,
        /// The stage.
        stage: String,
    },
    /// Some events of stages and counts. The number is that of its first event, and follows that
    /// of the last event before. Written once, kept 30 days (TTL). `EVENTS` / `BATCH#<number>`
    EventBatch {
        /// Number of its first event.
        first: u64,
    },
    /// A part of the state that the events before a number leave. A later one replaces it.
    /// `EVENTS` / `STATE#<number>#<part>`
    EventState {
        /// Number of the next event.
        next: u64,
        /// Number of the part, from 0.
        part: u32,
    },
    /// Progress of the deliveries to a webhook. `EVENTS` / `WEBHOOK#<name>`
    WebhookProgress {
        /// Name of the webhook.
        name: String,
    },
    /// Position up to which heartbeats have been written as items.
    /// `ARCHIVE#<partitions>#<partition>` / `ITEMS`
    ItemArchiveCursor {
        /// The chain of a partition.
        chain: Chain,
    },
}

/// Kind of data that chunks contain.
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

    /// Returns all chains of a series with this number of partitions.
    pub fn chains(self, partitions: u16) -> impl Iterator<Item = Chain> {
        (0..partitions).map(move |partition| Chain { series: self, partitions, partition })
    }
}

/// A partition's chunks of a series. The number of partitions is part of the name, because it
/// decides which viewers are in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain {
    /// Kind of series.
    pub series: Series,
    /// Number of partitions.
    pub partitions: u16,
    /// Number of this partition.
    pub partition: u16,
}

impl Chain {
    /// Returns the partition key of its chunks.
    #[must_use]
    pub fn pk(self) -> String {
        format!("{}#{}#{}", self.series.name(), self.partitions, self.partition)
    }
}

impl Key {
    /// Returns the key of a chunk, or of a part of one, by its sort key. Returns `None` for any
    /// other sort key.
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

    /// Returns the key of a configuration version, by its sort key. Returns `None` for any other
    /// sort key.
    #[must_use]
    pub fn of_version(stage: &str, sk: &str) -> Option<Key> {
        let number = sk.strip_prefix(VERSION_SK)?.parse().ok()?;
        Key::Version { stage: stage.to_string(), number }.stored_at(sk)
    }

    /// Returns the key of a heartbeat, by its sort key. Returns `None` for any other sort key.
    #[must_use]
    pub fn of_heartbeat(stage: &str, sk: &str) -> Option<Key> {
        let mut fields = sk.strip_prefix(HEARTBEAT_SK)?.split('#');
        let at = UnixMs(fields.next()?.parse().ok()?);
        let (viewer, session) = (unescaped(fields.next()?), unescaped(fields.next()?));
        Key::Heartbeat { stage: stage.to_string(), at, viewer, session }.stored_at(sk)
    }

    /// Returns the key of a stage's day of heartbeats, by its sort key. Returns `None` for any
    /// other sort key.
    #[must_use]
    pub fn of_heartbeat_day(sk: &str) -> Option<Key> {
        let (day, stage) = sk.split_once('#')?;
        Key::HeartbeatDay { day: UnixMs(day.parse().ok()?), stage: stage.to_string() }.stored_at(sk)
    }

    /// Returns the key of a part of a state of events, by its sort key. Returns `None` for any
    /// other sort key.
    #[must_use]
    pub fn of_event_state(sk: &str) -> Option<Key> {
        let (next, part) = sk.strip_prefix("STATE#")?.split_once('#')?;
        Key::EventState { next: next.parse().ok()?, part: part.parse().ok()? }.stored_at(sk)
    }

    /// Returns this key only if it is written as `sk`. Otherwise a delete by the key would hit
    /// another item.
    fn stored_at(self, sk: &str) -> Option<Key> {
        (self.sk() == sk).then_some(self)
    }

    /// Returns the partition key.
    #[must_use]
    pub fn pk(&self) -> String {
        match self {
            Key::Snapshot { stage, .. }
            | Key::Config { stage }
            | Key::Version { stage, .. }
            | Key::Heartbeat { stage, .. } => stage_pk(stage),
            Key::StageListEntry { .. } => STAGES_PK.to_string(),
            Key::PublicCount { .. } => PUBLIC_COUNTS_PK.to_string(),
            Key::PublicCountHead => format!("{PUBLIC_COUNTS_PK}#HEAD"),
            Key::Roster { .. } => ROSTER_PK.to_string(),
            Key::Lease { name } => format!("LEASE#{name}"),
            Key::Fence => "FENCE#ledger".to_string(),
            Key::HeartbeatDay { .. } => HEARTBEATS_PK.to_string(),
            Key::EventBatch { .. } | Key::EventState { .. } | Key::WebhookProgress { .. } => {
                EVENTS_PK.to_string()
            }
            Key::Series { series, .. } => series_pk(*series),
            Key::Chunk { chain, .. }
            | Key::ChunkPart { chain, .. }
            | Key::ItemArchiveCursor { chain } => chain.pk(),
        }
    }

    /// Returns the sort key.
    #[must_use]
    pub fn sk(&self) -> String {
        match self {
            Key::Snapshot { at, .. } => format!("SNAPSHOT#{at}"),
            Key::Config { .. } => "CONFIG".to_string(),
            Key::Version { number, .. } => version_sk(*number),
            Key::StageListEntry { stage } | Key::PublicCount { stage } => stage.clone(),
            Key::PublicCountHead => "HEAD".to_string(),
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
            Key::EventBatch { first } => event_batch_sk(*first),
            Key::EventState { next, part } => event_state_sk(*next, *part),
            Key::WebhookProgress { name } => format!("WEBHOOK#{name}"),
        }
    }
}

fn event_batch_sk(first: u64) -> String {
    format!("BATCH#{:013}", first.min(MS_OF_13_DIGITS))
}

fn event_state_sk(next: u64, part: u32) -> String {
    format!("STATE#{:013}#{part:04}", next.min(MS_OF_13_DIGITS))
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

/// Escapes an id for a key whose fields are separated by `#`.
fn escaped(id: &str) -> String {
    id.replace('%', "%25").replace('#', "%23")
}

fn unescaped(id: &str) -> String {
    id.replace("%23", "#").replace("%25", "%")
}

fn stage_pk(stage: &str) -> String {
    format!("STAGE#{stage}")
}

/// Sort key of a DynamoDB log's metadata, which sorts after all records. `LOG#<partition>` / `META`
pub const LOG_META_SK: &str = "META";

/// Returns the partition key of a DynamoDB log's partition.
#[must_use]
pub fn log_pk(partition: u16) -> String {
    format!("LOG#{partition}")
}

/// Returns the sort key of a flush, `<ms>#<writer>`, or of a further part of one,
/// `<ms>#<writer>#<part>`. -> [`flush`](crate::flush)
#[must_use]
pub fn log_sk(at: UnixMs, writer: u32, part: u32) -> String {
    let head = format!("{:013}#{writer:08x}", at.0.min(MS_OF_13_DIGITS));
    match part {
        0 => head,
        u32::MAX => format!("{head}~"), // sorts after every part
        part => format!("{head}#{part:04}"),
    }
}

/// Returns the position, the writer and the part of a flush's sort key. Returns `None` for any
/// other sort key.
#[must_use]
pub fn parse_log_sk(sk: &str) -> Option<(UnixMs, u32, u32)> {
    let mut fields = sk.split('#');
    let at = UnixMs(fields.next()?.parse().ok()?);
    let writer = u32::from_str_radix(fields.next()?, 16).ok()?;
    let part = fields.next().map_or(Some(0), |part| part.parse().ok())?;
    Some((at, writer, part))
}

/// Returns the name of a log partition's stream in Redis. The braces make a Redis Cluster put a
/// partition's keys in one slot.
#[must_use]
pub fn redis_stream(prefix: &str, partition: u16) -> String {
    format!("{prefix}{{{partition}}}:log")
}

/// Returns the name of a hash beside the stream: `born`, `whole`, `attended`. Nodes detect a lost
/// log by the loss of this hash.
#[must_use]
pub fn redis_meta(prefix: &str, partition: u16) -> String {
    format!("{prefix}{{{partition}}}:meta")
}

/// Returns the name of a stage's count as a plain string, for readers that expect one
/// (`publish_counts`).
#[must_use]
pub fn redis_count(prefix: &str, stage: &str) -> String {
    format!("{prefix}viewers:{stage}")
}

#[cfg(test)]
mod tests;
