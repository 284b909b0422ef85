//! Ranges of keys, each of which one query reads.

use super::{
    Chain, EVENTS_PK, HEARTBEATS_PK, Key, MS_OF_13_DIGITS, PUBLIC_COUNTS_PK, ROSTER_PK, STAGES_PK,
    Series, chunk_sk, event_batch_sk, event_state_sk, series_pk, stage_pk, version_sk,
};
use crate::time::{DAY_MS, UnixMs};

/// Items of one partition key with sort keys in a range, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Partition key.
    pub pk: String,
    /// Lowest sort key.
    pub first: String,
    /// Highest sort key.
    pub last: String,
}

impl KeyRange {
    /// Returns the range of a stage's snapshots from `from` to `to`, both included. From 2001 to
    /// 2286 text order is time order, because Unix milliseconds have 13 digits.
    #[must_use]
    pub fn snapshots(stage: &str, from: UnixMs, to: UnixMs) -> KeyRange {
        let sk = |at: UnixMs| format!("SNAPSHOT#{:013}", at.0.min(MS_OF_13_DIGITS));
        KeyRange { pk: stage_pk(stage), first: sk(from), last: sk(to) }
    }

    /// Returns the range of a stage's configuration versions.
    #[must_use]
    pub fn versions(stage: &str) -> KeyRange {
        KeyRange { pk: stage_pk(stage), first: version_sk(0), last: version_sk(9_999) }
    }

    /// Returns the range of a chain's chunks and their parts. Their windows begin from `from` to
    /// `to`, both included.
    #[must_use]
    pub fn chunks(chain: Chain, from: UnixMs, to: UnixMs) -> KeyRange {
        // `~` sorts after the `#` of a part.
        KeyRange { pk: chain.pk(), first: chunk_sk(from), last: format!("{}~", chunk_sk(to)) }
    }

    /// Returns the range of a stage's heartbeats as items, from `from` to `to`, both included.
    #[must_use]
    pub fn heartbeats(stage: &str, from: UnixMs, to: UnixMs) -> KeyRange {
        let sk = |at: UnixMs| format!("HEARTBEAT#{:013}", at.0.min(MS_OF_13_DIGITS));
        // `$` sorts after the `#` that follows the time.
        KeyRange { pk: stage_pk(stage), first: sk(from), last: format!("{}$", sk(to)) }
    }

    /// Returns the range of the days from `from` to `to`, both included, on which stages have
    /// heartbeats as items.
    #[must_use]
    pub fn heartbeat_days(from: UnixMs, to: UnixMs) -> KeyRange {
        let day = |at: UnixMs| at.aligned(DAY_MS).0.min(MS_OF_13_DIGITS);
        // `$` sorts after the `#` that follows the day.
        let (first, last) = (format!("{:013}", day(from)), format!("{:013}$", day(to)));
        KeyRange { pk: HEARTBEATS_PK.to_string(), first, last }
    }

    /// Returns the range of the batches of events whose first events have numbers from `first` to
    /// `last`, both included.
    #[must_use]
    pub fn event_batches(first: u64, last: u64) -> KeyRange {
        let pk = EVENTS_PK.to_string();
        KeyRange { pk, first: event_batch_sk(first), last: event_batch_sk(last) }
    }

    /// Returns the range of all states of events.
    #[must_use]
    pub fn event_states() -> KeyRange {
        let (first, last) = (event_state_sk(0, 0), event_state_sk(u64::MAX, 9_999));
        KeyRange { pk: EVENTS_PK.to_string(), first, last }
    }

    /// Returns the range of all ledgers, or of all archives.
    #[must_use]
    pub fn series(series: Series) -> KeyRange {
        KeyRange { pk: series_pk(series), first: "0".to_string(), last: "99999".to_string() }
    }

    /// Returns the range of all rosters up to `to`, included.
    #[must_use]
    pub fn rosters(to: UnixMs) -> KeyRange {
        let last = format!("{:013}#9999", to.0.min(MS_OF_13_DIGITS));
        KeyRange { pk: ROSTER_PK.to_string(), first: "0".to_string(), last }
    }

    /// Returns the range of the parts of one roster.
    #[must_use]
    pub fn roster(at: UnixMs) -> KeyRange {
        let sk = |part| Key::Roster { at, part }.sk();
        KeyRange { pk: ROSTER_PK.to_string(), first: sk(0), last: sk(9999) }
    }

    /// Returns the range of the configured stages with ids greater than `after`.
    #[must_use]
    pub fn listed(after: Option<&str>) -> KeyRange {
        KeyRange::stages_in(STAGES_PK, after)
    }

    /// Returns the range of the stages with a public count of their own, with ids greater than
    /// `after`.
    #[must_use]
    pub fn public_counts(after: Option<&str>) -> KeyRange {
        KeyRange::stages_in(PUBLIC_COUNTS_PK, after)
    }

    /// Returns the range of the mark of that list's last change.
    #[must_use]
    pub fn public_count_head() -> KeyRange {
        let (pk, sk) = (Key::PublicCountHead.pk(), Key::PublicCountHead.sk());
        KeyRange { pk, first: sk.clone(), last: sk }
    }

    fn stages_in(pk: &str, after: Option<&str>) -> KeyRange {
        // A stage id is printable ASCII, in which "!" is the lowest and "~" the highest character.
        // The lowest id greater than `after` is therefore `after` followed by "!".
        let first = after.map_or("!".to_string(), |after| format!("{after}!"));
        KeyRange { pk: pk.to_string(), first, last: "~".repeat(crate::limits::STAGE_ID_BYTES_MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::STAGE_VERSIONS_MAX;

    #[test]
    fn ranges_hold_what_they_should() {
        let range = KeyRange::snapshots("s", UnixMs(1_790_000_000_000), UnixMs::MAX);
        let sk = Key::Snapshot { stage: "s".into(), at: UnixMs(1_790_000_000_000) }.sk();
        assert!(range.first <= sk && sk <= range.last);
        assert!(range.last.as_str() < "SNAPSHOT$", "the range has no other keys");
        let chain = Chain { series: Series::Ledger, partitions: 1, partition: 0 };
        let range = KeyRange::chunks(chain, UnixMs(1_790_000_000_000), UnixMs(1_790_000_300_000));
        let part =
            Key::ChunkPart { chain, window: UnixMs(1_790_000_300_000), crc: u32::MAX, part: 9999 }
                .sk();
        let part_key =
            Key::ChunkPart { chain, window: UnixMs(1_790_000_300_000), crc: u32::MAX, part: 9999 };
        assert_eq!(Key::of_chunk(chain, &part), Some(part_key));
        assert_eq!(
            Key::of_chunk(chain, &range.first),
            Some(Key::Chunk { chain, window: UnixMs(1_790_000_000_000) })
        );
        assert_eq!(Key::of_chunk(chain, "ITEMS"), None);
        assert!(
            part <= range.last
                && Key::Chunk { chain, window: UnixMs(1_790_000_300_001) }.sk() > range.last
        );
        let range = KeyRange::heartbeats("s", UnixMs(1_790_000_000_000), UnixMs(1_790_000_300_000));
        let (stage, session) = ("s".to_string(), String::new());
        let beat = |at| Key::Heartbeat {
            stage: stage.clone(),
            at: UnixMs(at),
            viewer: "~".into(),
            session: session.clone(),
        };
        assert!(
            range.first <= beat(1_790_000_000_000).sk()
                && beat(1_790_000_300_000).sk() <= range.last
        );
        assert!(beat(1_790_000_300_001).sk() > range.last);
        let days = KeyRange::heartbeat_days(UnixMs(1_790_000_000_000), UnixMs(1_790_000_300_000));
        let day = |day, stage: &str| {
            Key::HeartbeatDay { day: UnixMs(day), stage: stage.to_string() }.sk()
        };
        let (today, tomorrow) = (1_789_948_800_000, 1_790_035_200_000);
        for stage in ["!", "#", "~"] {
            assert!(days.first <= day(today, stage) && day(today, stage) <= days.last);
            assert!(day(tomorrow, stage) > days.last && day(today - DAY_MS, stage) < days.first);
            let key = Key::HeartbeatDay { day: UnixMs(today), stage: stage.to_string() };
            assert_eq!(Key::of_heartbeat_day(&key.sk()), Some(key));
        }
        let range = KeyRange::versions("s");
        for number in [1, STAGE_VERSIONS_MAX] {
            let key = Key::Version { stage: "s".into(), number };
            assert!(range.first <= key.sk() && key.sk() <= range.last);
            assert_eq!(Key::of_version("s", &key.sk()), Some(key));
        }
        for other in ["VERSION#", "VERSION#7", "VERSION#00007", "VERSION#0007#", "CONFIG"] {
            assert_eq!(Key::of_version("s", other), None, "{other}");
        }
        let range = KeyRange::listed(Some("a"));
        assert!(range.first.as_str() > "a" && range.first.as_str() <= "a!");
        let range = KeyRange::event_batches(1, u64::MAX);
        let (first, state) = (Key::EventBatch { first: 1 }, Key::EventState { next: 1, part: 0 });
        assert!(range.first == first.sk() && state.sk() > range.last);
        let range = KeyRange::event_states();
        assert!(range.first <= state.sk() && state.sk() <= range.last);
        let range = KeyRange::rosters(UnixMs(1_790_000_000_000));
        assert!(range.last > Key::Roster { at: UnixMs(1_790_000_000_000), part: 9998 }.sk());
    }
}
