//! What housecount itself consumes: a formula for each thing that it writes.
//!
//! Bytes come from what the formats are made of (docs/FORMATS.md), and the few constants below were
//! measured by `cost::figures` of the integration tests, which also checks that the sums agree with
//! consumed capacity to within 3 %.

use super::plans::AudienceProfile;
use super::units::{INDEX_BYTES, READ_BYTES, Units, WRITE_BYTES};
use super::{MONTH_MS, share};
use crate::ledger::KEYFRAME_CHUNKS;
use crate::limits::EPOCH_MS_MAX;

/// How housecount is set up, as far as it changes what it costs. Defaults are the settings' own.
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
    /// How long heartbeats gather before they are written to a log in DynamoDB.
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

/// Bits of an id of 16 bytes of base64url, and of where it stands among the others: FORMATS.md.
const ID_BITS: u64 = 96 + 9 + 7;
/// The ledger: bits of when one comes, and of who goes and when.
const LEDGER_STAY_BITS: u64 = ID_BITS + 25;
/// The ledger: what a chunk says of itself, of its stages and of how it is packed, and its item's
/// keys and names.
const LEDGER_CHUNK_BYTES: u64 = 350;
/// The ledger: bits of one who is silent for longer than a ttl and then resumes.
const LEDGER_GAP_BITS: u64 = 2 * 22;
/// Such gaps a viewer and hour: players that sleep, networks that break. The simulated audience has
/// as many.
const GAPS_A_DAY: u64 = 12;
/// The archive: bits of one who comes and goes.
const ARCHIVE_STAY_BITS: u64 = ID_BITS + 14;
/// The archive: hundredths of a bit of a beat that comes when it was asked for, give or take a
/// network.
const ARCHIVE_BEAT_CENTIBITS: u64 = 178;
/// The archive and the log: an item's keys, names and header beside what it packs.
const CHUNK_BYTES: u64 = 60;
/// A stage in the roster: an ARN and three counts.
const ROSTER_STAGE_BYTES: u64 = 60;
/// A snapshot as an item, with an ARN for a stage.
const SNAPSHOT_BYTES: u64 = 260;
/// A lease of the archive is renewed so often: tasks/archive.rs.
const ARCHIVE_LEASE_MS: u64 = 150_000;
/// A log's record: bytes of a steady beat, its ids again every twelfth time; and of one who comes.
const LOG_BEAT_CENTIBYTES: u64 = 1_060;
const LOG_STAY_BYTES: u64 = 30;
/// An item of a DynamoDB log: bytes of a steady beat, of its names and what is around them, and of
/// a session that is named for the first time in an epoch (its handle, and how the numbers of those
/// that come together grow): docs/FORMATS.md.
const FLUSH_BEAT_CENTIBYTES: u64 = 230;
const FLUSH_BYTES: u64 = 100;
const FLUSH_NAME_BYTES: u64 = 10;

/// How long Redis keeps heartbeats, and by how much its stream is larger than what is in it:
/// docs/OPERATIONS.md.
const LOG_KEPT_MS: u64 = 17 * 60_000;
const STREAM_PERCENT: u64 = 130;
/// What Redis has in memory when there is nothing in it.
const REDIS_BYTES: u64 = 4 << 20;

/// How often something that is done every so often is done in a month.
#[must_use]
pub fn times_a_month(every_ms: u64) -> u64 {
    MONTH_MS / every_ms.max(1)
}

/// `n` chunks of so many bytes on average, and what lies on top of some of them. Sizes vary, so
/// that half a unit is lost to rounding.
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

/// How many come within `ms`, times `bits`, in bytes.
fn coming_bytes(of: &AudienceProfile, ms: u64, bits: u64) -> u64 {
    share(of.viewers.saturating_mul(ms), bits, of.stay_ms.saturating_mul(8))
}

/// Watch records: a chunk a window; everybody's ids again in a keyframe; each chunk read,
/// consistently, by each node that hasn't written it.
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

/// Every heartbeat, packed: a chunk a flush; everybody's ids again in a keyframe.
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
        .plus(extra(times_a_month(crate::archive::KEYFRAME_MS), keyframe))
}

/// Counts: an item a stage, and the roster that names them all.
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

/// Which node does what: a lease taken and given back by each node for a snapshot, one taken for a
/// window, and with an archive one more. And the fence, raised once per window.
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

/// Bytes of an item of a DynamoDB log that are said within a time, all nodes' together.
fn flushed_bytes(of: &AudienceProfile, ms: u64) -> u64 {
    let beats = share(
        of.viewers.saturating_mul(ms),
        FLUSH_BEAT_CENTIBYTES,
        of.interval_ms.saturating_mul(100),
    );
    beats.saturating_add(coming_bytes(of, ms, LOG_STAY_BYTES * 8))
}

/// A log in DynamoDB read once more, consistently, by the node that writes the archive, every so
/// often: what was said since at once.
#[must_use]
pub fn log_again(of: &AudienceProfile, setup: &Deployment, every_ms: u64) -> Units {
    let items = setup.nodes.saturating_mul(every_ms.div_ceil(setup.log_flush_ms.max(1)));
    let bytes = flushed_bytes(of, every_ms).saturating_add(items.saturating_mul(FLUSH_BYTES));
    let read = Units { writes: 0, read_halves: bytes.div_ceil(READ_BYTES).saturating_mul(2) };
    read.times(times_a_month(every_ms))
}

/// The log where it is in DynamoDB. Each node puts an item a flush, and reads everybody's
/// consistently every one and a half; in each epoch it says once who its numbers stand for.
/// Measured: docs/PROOFS.md, "What a log in DynamoDB costs".
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

/// What Redis has in memory where the log is there.
#[must_use]
pub fn redis_bytes(of: &AudienceProfile) -> u64 {
    REDIS_BYTES.saturating_add(share(log_bytes(of, LOG_KEPT_MS), STREAM_PERCENT, 100))
}

/// Commands a month where the log is in Redis: an append of what gathered in 10 ms, and twenty
/// reads a second by each node.
#[must_use]
pub fn redis_commands(of: &AudienceProfile, setup: &Deployment) -> u64 {
    let appends = of.beats_a_month().min(times_a_month(10).saturating_mul(setup.nodes));
    appends.saturating_add(times_a_month(50).saturating_mul(setup.nodes))
}

/// Bytes that lie in the cold tier a month after the first: all of the ledger, counts for as long
/// as they are kept.
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

    /// Docs/COST.md, "Measured".
    #[test]
    fn the_ledger_is_as_measured() {
        let of = AudienceProfile { viewers: 9_840, ..AudienceProfile::default() };
        let units = ledger(&of, &Deployment::default());
        assert!((units.writes as f64 / 270_526.0 - 1.0).abs() < 0.03, "{units:?}");
        assert_eq!(units.read_halves, 0);
        // Another node reads what the first one writes: 31 KB are eight units.
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
        // Nobody: a chunk is a unit.
        let empty = AudienceProfile { viewers: 0, ..of };
        assert_eq!(ledger(&empty, &setup).writes, 8_760);
        assert_eq!(archive(&empty, &setup).writes, 87_600);
    }

    /// Docs/PROOFS.md, "What a log in DynamoDB costs": two nodes for an hour.
    #[test]
    fn the_log_is_as_measured() {
        let of = AudienceProfile { viewers: 10_229, ..AudienceProfile::default() };
        let units = log(&of, &Deployment { nodes: 2, ..Deployment::default() });
        let off = |model: u64, measured: f64| (model as f64 / (measured * 730.0) - 1.0).abs();
        assert!(off(units.writes, 7_398.0) < 0.03, "{}", units.writes / 730);
        // With looks at the clock and at the past, which are no formula's: 270 an hour.
        assert!(
            off(units.read_halves / 2, 5_071.0 - 270.0) < 0.03,
            "{}",
            units.read_halves / 1_460
        );
        let again = log_again(&of, &Deployment { nodes: 2, ..Deployment::default() }, 30_000);
        assert!(off(again.read_halves / 2, 1_100.0) < 0.03, "{}", again.read_halves / 1_460);
    }
}
