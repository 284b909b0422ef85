//! Usage of housecount itself: a formula for each kind of item that it writes.
//!
//! Byte counts follow from the formats (docs/FORMATS.md). The few constants below were measured by
//! `cost::figures` of the integration tests. These tests also check that the sums agree with
//! consumed capacity to within 3 %.

use housecount_core::limits::EPOCH_MS_MAX;
use housecount_core::units::{INDEX_BYTES, READ_BYTES, Units, WRITE_BYTES};
use housecount_ledger::KEYFRAME_CHUNKS;

use super::plans::AudienceProfile;
use super::{MONTH_MS, share};

/// Settings of housecount that affect its cost. The defaults are those of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Number of nodes.
    pub nodes: u64,
    /// `window`
    pub window_ms: u64,
    /// `snapshot_interval`
    pub snapshot_interval_ms: u64,
    /// `snapshot_retention`
    pub snapshot_retention_ms: u64,
    /// `archive_flush`
    pub archive_flush_ms: u64,
    /// Time for which heartbeats gather before they are written to a log in DynamoDB.
    pub log_flush_ms: u64,
}

impl Default for Deployment {
    fn default() -> Deployment {
        Deployment {
            nodes: 1,
            window_ms: 300_000,
            snapshot_interval_ms: 300_000,
            snapshot_retention_ms: 30 * 86_400_000,
            archive_flush_ms: 30_000,
            log_flush_ms: 1_000,
        }
    }
}

/// Bits of an id of 16 bytes of base64url, and of its place among the others (FORMATS.md).
const ID_BITS: u64 = 96 + 9 + 7;
/// Ledger: bits of the time at which a viewer joins, and of a leave and its time.
const LEDGER_STAY_BITS: u64 = ID_BITS + 25;
/// Ledger: bytes of a chunk's own header, stages and packing, and of its item's keys and names.
const LEDGER_CHUNK_BYTES: u64 = 350;
/// Ledger: bits of a viewer who is silent for longer than a ttl and then resumes.
const LEDGER_GAP_BITS: u64 = 2 * 22;
/// Number of such gaps per viewer and day, from suspended players and broken networks. The
/// simulated audience has as many.
const GAPS_A_DAY: u64 = 12;
/// Archive: bits of a viewer who joins and leaves.
const ARCHIVE_STAY_BITS: u64 = ID_BITS + 14;
/// Archive: hundredths of a bit of a beat that arrives as scheduled, plus or minus the network's
/// delay.
const ARCHIVE_BEAT_CENTIBITS: u64 = 178;
/// Archive and log: bytes of an item's keys, names and header beside its packed content.
const CHUNK_BYTES: u64 = 60;
/// Roster: bytes of a stage, which are an ARN and three counts.
const ROSTER_STAGE_BYTES: u64 = 60;
/// Bytes of a snapshot's item, with an ARN as the stage.
const SNAPSHOT_BYTES: u64 = 260;
/// Time between two renewals of the archive's lease: tasks/archive.rs.
const ARCHIVE_LEASE_MS: u64 = 150_000;
/// Log record: hundredths of a byte of a steady beat, with its ids at every twelfth beat. The other
/// constant is the bytes of a new session.
const LOG_BEAT_CENTIBYTES: u64 = 1_060;
const LOG_STAY_BYTES: u64 = 30;
/// Item of a DynamoDB log, with the numbers of docs/FORMATS.md.
///
/// The first constant is hundredths of a byte of a steady beat. The second is the bytes of the
/// names and of the framing. The third is the bytes of a session that is new in an epoch. It covers
/// the session's handle, and the growth of the numbers of sessions that beat together.
const FLUSH_BEAT_CENTIBYTES: u64 = 230;
const FLUSH_BYTES: u64 = 100;
const FLUSH_NAME_BYTES: u64 = 10;

/// Time for which Redis keeps heartbeats, and the size of its stream as a percentage of the content
/// (docs/OPERATIONS.md).
const LOG_KEPT_MS: u64 = 17 * 60_000;
const STREAM_PERCENT: u64 = 130;
/// Memory of an empty Redis, bytes.
const REDIS_BYTES: u64 = 4 << 20;
/// CPU of Redis for the polls of a node, in thousandths of a core, and per heartbeat at 20,000/s.
/// Both are in docs/PERFORMANCE.md.
const REDIS_NODE_CPU_PERMILLE: u64 = 5;
const REDIS_BEAT_CPU_NS: u64 = 460;

/// Returns how often a task with this interval runs in a month.
#[must_use]
pub fn times_a_month(every_ms: u64) -> u64 {
    MONTH_MS / every_ms.max(1)
}

/// Returns the writes of `n` chunks of this average size. Sizes vary, so half a unit per chunk is
/// lost to rounding.
fn chunks(n: u64, bytes: u64) -> Units {
    let units = if bytes <= WRITE_BYTES {
        n
    } else {
        share(n, bytes.saturating_add(WRITE_BYTES / 2), WRITE_BYTES)
    };
    Units::writes(units)
}

fn extra(n: u64, bytes: u64) -> Units {
    Units::writes(share(n, bytes, WRITE_BYTES))
}

/// Returns the bytes of the viewers that join within `ms`, at `bits` each.
fn coming_bytes(of: &AudienceProfile, ms: u64, bits: u64) -> u64 {
    share(of.viewers.saturating_mul(ms), bits, of.stay_ms.saturating_mul(8))
}

/// Returns the units of watch records: a chunk per window, with all viewers' ids again in a
/// keyframe. Each node that hasn't written a chunk reads it consistently.
#[must_use]
pub fn ledger(of: &AudienceProfile, setup: &Deployment) -> Units {
    let windows = times_a_month(setup.window_ms);
    let gaps = share(
        of.viewers.saturating_mul(setup.window_ms),
        GAPS_A_DAY * LEDGER_GAP_BITS,
        86_400_000 * 8,
    );
    let bytes = coming_bytes(of, setup.window_ms, LEDGER_STAY_BITS)
        .saturating_add(gaps)
        .saturating_add(LEDGER_CHUNK_BYTES);
    let keyframe = of.viewers.saturating_mul(ID_BITS) / 8;
    let keyframe_ms = setup.window_ms.saturating_mul(u64::from(KEYFRAME_CHUNKS));
    let written = chunks(windows, bytes).plus(extra(times_a_month(keyframe_ms), keyframe));
    let others = setup.nodes.saturating_sub(1);
    let read = Units { writes: 0, read_halves: bytes.div_ceil(READ_BYTES).saturating_mul(2) };
    written.plus(read.times(windows).times(others))
}

/// Returns the units of every heartbeat, packed: a chunk per flush, with all viewers' ids again in
/// a keyframe.
#[must_use]
pub fn archive(of: &AudienceProfile, setup: &Deployment) -> Units {
    let flush_ms = setup.archive_flush_ms;
    let beats = share(
        of.viewers.saturating_mul(flush_ms),
        ARCHIVE_BEAT_CENTIBITS,
        of.interval_ms.saturating_mul(800),
    );
    let bytes = coming_bytes(of, flush_ms, ARCHIVE_STAY_BITS)
        .saturating_add(beats)
        .saturating_add(CHUNK_BYTES);
    let keyframe = of.viewers.saturating_mul(ID_BITS) / 8;
    chunks(times_a_month(flush_ms), bytes)
        .plus(extra(times_a_month(housecount_archive::KEYFRAME_MS), keyframe))
}

/// Returns the units of snapshots: an item per stage, and the roster of all stages.
#[must_use]
pub fn snapshots(of: &AudienceProfile, setup: &Deployment) -> Units {
    let roster = of
        .stages
        .saturating_mul(ROSTER_STAGE_BYTES)
        .saturating_add(CHUNK_BYTES)
        .div_ceil(WRITE_BYTES);
    let looks = Units { writes: 0, read_halves: setup.nodes };
    Units::writes(of.stages.saturating_add(roster))
        .plus(looks)
        .times(times_a_month(setup.snapshot_interval_ms))
}

/// Returns the units of leases and of the fence. For each snapshot each node takes and releases a
/// lease. One lease is taken per window, and one more for an archive. The fence is raised once per
/// window.
#[must_use]
pub fn leases(setup: &Deployment, has_archive: bool) -> Units {
    let snapshots = times_a_month(setup.snapshot_interval_ms).saturating_mul(2 * setup.nodes);
    let windows = times_a_month(setup.window_ms);
    let archive = if has_archive { times_a_month(ARCHIVE_LEASE_MS) } else { 0 };
    Units::writes(snapshots.saturating_add(2 * windows).saturating_add(archive))
}

fn log_bytes(of: &AudienceProfile, ms: u64) -> u64 {
    let beats = share(
        of.viewers.saturating_mul(ms),
        LOG_BEAT_CENTIBYTES,
        of.interval_ms.saturating_mul(100),
    );
    beats.saturating_add(coming_bytes(of, ms, LOG_STAY_BYTES * 8))
}

/// Returns the bytes of events that all nodes put into items of a DynamoDB log within `ms`.
fn flushed_bytes(of: &AudienceProfile, ms: u64) -> u64 {
    let beats = share(
        of.viewers.saturating_mul(ms),
        FLUSH_BEAT_CENTIBYTES,
        of.interval_ms.saturating_mul(100),
    );
    beats.saturating_add(coming_bytes(of, ms, LOG_STAY_BYTES * 8))
}

/// Returns the units of the archive's own reads of a DynamoDB log. The node that writes the archive
/// reads it consistently each `every_ms`, all events since the last read at once.
#[must_use]
pub fn log_again(of: &AudienceProfile, setup: &Deployment, every_ms: u64) -> Units {
    let items = setup.nodes.saturating_mul(every_ms.div_ceil(setup.log_flush_ms.max(1)));
    let bytes = flushed_bytes(of, every_ms).saturating_add(items.saturating_mul(FLUSH_BYTES));
    let read = Units { writes: 0, read_halves: bytes.div_ceil(READ_BYTES).saturating_mul(2) };
    read.times(times_a_month(every_ms))
}

/// Returns the units of a log in DynamoDB.
///
/// Each node puts an item per flush, and reads all nodes' items consistently every one and a half
/// flushes. In each epoch it writes the session of each number once. Measured: docs/PROOFS.md,
/// "What a log in DynamoDB costs".
#[must_use]
pub fn log(of: &AudienceProfile, setup: &Deployment) -> Units {
    let flushes = times_a_month(setup.log_flush_ms);
    let bytes_of = |ms: u64| flushed_bytes(of, ms);
    let item = (bytes_of(setup.log_flush_ms) / setup.nodes.max(1)).saturating_add(FLUSH_BYTES);
    let epoch = of.viewers.saturating_mul(FLUSH_NAME_BYTES).div_ceil(WRITE_BYTES);
    let epochs = times_a_month(EPOCH_MS_MAX);
    let put = Units::writes(
        flushes
            .saturating_mul(item.div_ceil(WRITE_BYTES))
            .saturating_add(epochs.saturating_mul(epoch)),
    );
    let a_read = bytes_of(setup.log_flush_ms * 3 / 2).saturating_add(FLUSH_BYTES * setup.nodes);
    let read = Units { writes: 0, read_halves: 2 * a_read.div_ceil(READ_BYTES) };
    put.plus(read.times(flushes * 2 / 3)).times(setup.nodes)
}

/// Returns the bytes of Redis's memory for a log in Redis.
#[must_use]
pub fn redis_bytes(of: &AudienceProfile) -> u64 {
    REDIS_BYTES.saturating_add(share(log_bytes(of, LOG_KEPT_MS), STREAM_PERCENT, 100))
}

/// Returns the commands per month for a log in Redis: an append per 10 ms at most, and twenty reads
/// per second by each node.
#[must_use]
pub fn redis_commands(of: &AudienceProfile, setup: &Deployment) -> u64 {
    let appends = of.beats_a_month().min(times_a_month(10).saturating_mul(setup.nodes));
    appends.saturating_add(times_a_month(50).saturating_mul(setup.nodes))
}

/// Returns the CPU of Redis for a log in Redis, in thousandths of a core.
#[must_use]
pub fn redis_cpu_permille(of: &AudienceProfile, setup: &Deployment) -> u64 {
    let polls = setup.nodes.saturating_mul(REDIS_NODE_CPU_PERMILLE);
    polls.saturating_add(of.beat_cpu_permille(REDIS_BEAT_CPU_NS))
}

/// Returns the bytes stored in the cold tier after a month: all of the ledger, and snapshots for
/// their retention.
#[must_use]
pub fn stored(of: &AudienceProfile, setup: &Deployment, has_archive: bool) -> u64 {
    let packed = if has_archive { archive(of, setup).writes } else { 0 };
    let packed = ledger(of, setup).writes.saturating_add(packed).saturating_mul(WRITE_BYTES);
    let kept_ms = setup.snapshot_retention_ms.min(MONTH_MS);
    let counts = of.stages.saturating_mul(kept_ms / setup.snapshot_interval_ms.max(1));
    packed.saturating_add(counts.saturating_mul(SNAPSHOT_BYTES + INDEX_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with docs/COST.md, "Measured".
    #[test]
    fn the_ledger_is_as_measured() {
        let of = AudienceProfile { viewers: 9_840, ..AudienceProfile::default() };
        let units = ledger(&of, &Deployment::default());
        assert!((units.writes as f64 / 270_526.0 - 1.0).abs() < 0.03, "{units:?}");
        assert_eq!(units.read_halves, 0);
        // Another node reads the first one's writes: 31 KB are eight units.
        let two = ledger(&of, &Deployment { nodes: 2, ..Deployment::default() });
        assert_eq!(two, Units { writes: units.writes, read_halves: 8_760 * 16 });
    }

    #[test]
    fn by_hand() {
        let (of, setup) = (AudienceProfile::default(), Deployment::default());
        // 8,760 times: 100 stages, and 6,060 bytes of roster.
        assert_eq!(snapshots(&of, &setup), Units { writes: 8_760 * 106, read_halves: 8_760 });
        assert_eq!(leases(&setup, false), Units::writes(8_760 * 4));
        assert_eq!(leases(&setup, true), Units::writes(8_760 * 6));
        // Without viewers a chunk is one unit.
        let empty = AudienceProfile { viewers: 0, ..of };
        assert_eq!(ledger(&empty, &setup).writes, 8_760);
        assert_eq!(archive(&empty, &setup).writes, 87_600);
    }

    /// Compares with docs/PROOFS.md, "What a log in DynamoDB costs": two nodes for an hour.
    #[test]
    fn the_log_is_as_measured() {
        let of = AudienceProfile { viewers: 10_229, ..AudienceProfile::default() };
        let units = log(&of, &Deployment { nodes: 2, ..Deployment::default() });
        let off = |model: u64, measured: f64| (model as f64 / (measured * 730.0) - 1.0).abs();
        assert!(off(units.writes, 7_398.0) < 0.03, "{}", units.writes / 730);
        // The measured reads include 270 per hour of the clock and of past items, which no formula
        // covers.
        assert!(
            off(units.read_halves / 2, 5_071.0 - 270.0) < 0.03,
            "{}",
            units.read_halves / 1_460
        );
        let again = log_again(&of, &Deployment { nodes: 2, ..Deployment::default() }, 30_000);
        assert!(off(again.read_halves / 2, 1_100.0) < 0.03, "{}", again.read_halves / 1_460);
    }
}
