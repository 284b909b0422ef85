//! Distribution of watch times over viewers.

use serde::Serialize;
use utoipa::ToSchema;

/// Upper ends of the histogram's classes, in minutes. The last class has none.
const CLASS_ENDS_MIN: [u64; 10] = [1, 2, 5, 10, 15, 30, 60, 120, 240, 480];

/// Viewers whose watch time is in a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WatchTimeClass {
    /// Least watch time of the class, ms, included.
    pub from_ms: u64,
    /// Watch time at which the next class begins, ms; missing for the last class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<u64>,
    /// Number of viewers.
    pub viewers: u64,
}

/// Distribution of watch times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Arithmetic mean; 0 without viewers.
    pub average_ms: f64,
    /// Smallest watch time that half of the viewers don't exceed; 0 without viewers.
    pub median_ms: u64,
    /// Smallest watch time that nine tenths of the viewers don't exceed; 0 without viewers.
    pub p90_ms: u64,
    /// Viewers by class of watch time.
    pub histogram: Vec<WatchTimeClass>,
}

impl Distribution {
    /// Computes the distribution of these watch times.
    #[must_use]
    pub fn of(mut times_ms: Vec<u64>) -> Distribution {
        times_ms.sort_unstable();
        let sum: u64 = times_ms.iter().sum();
        Distribution {
            average_ms: sum as f64 / times_ms.len().max(1) as f64,
            median_ms: at_rank(&times_ms, 50),
            p90_ms: at_rank(&times_ms, 90),
            histogram: histogram(&times_ms),
        }
    }
}

/// Returns the value of a percentile by nearest rank: the smallest one that at least `percent` of a
/// hundred don't exceed.
fn at_rank(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

fn histogram(sorted: &[u64]) -> Vec<WatchTimeClass> {
    let ends = CLASS_ENDS_MIN.into_iter().map(|minutes| Some(minutes * 60_000)).chain([None]);
    let mut from_ms = 0;
    ends.map(|to_ms| {
        let below = |end: u64| sorted.partition_point(|time| *time < end);
        let until = to_ms.map_or(sorted.len(), below);
        let class = WatchTimeClass { from_ms, to_ms, viewers: (until - below(from_ms)) as u64 };
        from_ms = to_ms.unwrap_or(from_ms);
        class
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_watch_times_of_viewers() {
        let of = |times: &[u64]| {
            let Distribution { average_ms, median_ms, p90_ms, .. } = Distribution::of(times.into());
            (average_ms, median_ms, p90_ms)
        };
        assert_eq!(of(&[]), (0.0, 0, 0));
        assert_eq!(of(&[7]), (7.0, 7, 7));
        assert_eq!(of(&[4, 1]), (2.5, 1, 4));
        assert_eq!(of(&[30, 10, 20]), (20.0, 20, 30));
        assert_eq!(of(&(1..=10).collect::<Vec<_>>()), (5.5, 5, 9));
        assert_eq!(of(&(1..=11).collect::<Vec<_>>()), (6.0, 6, 10));
    }

    #[test]
    fn each_viewer_is_in_one_class() {
        let times = vec![1, 59_999, 60_000, 119_999, 28_799_999, 28_800_000, u64::MAX / 8];
        let found: Vec<u64> =
            Distribution::of(times).histogram.iter().map(|class| class.viewers).collect();
        assert_eq!(found, [2, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        let classes = Distribution::of(Vec::new()).histogram;
        assert_eq!((classes[0].from_ms, classes[0].to_ms), (0, Some(60_000)));
        assert_eq!((classes[10].from_ms, classes[10].to_ms), (28_800_000, None));
        assert!(classes.windows(2).all(|two| two[0].to_ms == Some(two[1].from_ms)));
    }
}
