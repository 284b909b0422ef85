//! Schedule of a player's next beat.
//!
//! Beats are spread by up to a tenth of the interval to either side, so that players who began
//! together do not stay together. The spread follows only from the session and the time of its
//! beat. A reader that has a beat can therefore compute when the next one was asked for. That is
//! why the archive stores only how late each beat was.

use crate::time::UnixMs;

/// Length of a tick: archived times are multiples of it.
pub const TICK_MS: u64 = 100;
/// Steps of the spread to either side, each a 300th of the interval. At 30 s a step is one tick.
const STEPS: u64 = 30;

/// Returns the ms until a session's next beat without overload: the interval, plus or minus up to a
/// tenth.
#[must_use]
pub fn next_gap_ms(interval_ms: u64, viewer: &str, session: &str, at: UnixMs) -> u64 {
    let drawn = draw(viewer, session, at) % (2 * STEPS + 1);
    (interval_ms.saturating_mul(9 * STEPS + drawn) / (10 * STEPS)).max(1)
}

/// Returns a number that follows from a session and the tick of its beat. It is frozen, because
/// archives are read with it.
fn draw(viewer: &str, session: &str, at: UnixMs) -> u64 {
    let mut ids = crc32fast::Hasher::new();
    ids.update(viewer.as_bytes());
    ids.update(&[0]);
    ids.update(session.as_bytes());
    // SplitMix64's mixing.
    let mut x = (at.0 / TICK_MS).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(ids.finalize());
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_frozen() {
        let gaps = [0, 1, 99, 100, 30_000]
            .map(|ms| next_gap_ms(30_000, "ann", "tab", UnixMs(1_790_000_000_000 + ms)));
        assert_eq!(gaps, [28_500, 28_500, 28_500, 27_900, 32_600]);
        assert_ne!(
            next_gap_ms(30_000, "anntab", "", UnixMs(7)),
            next_gap_ms(30_000, "ann", "tab", UnixMs(7))
        );
    }

    #[test]
    fn beats_spread_over_a_fifth_of_the_interval() {
        for interval_ms in [1, 9, 10, 500, 30_000, 3_600_000] {
            let gaps = (0..10_000).map(|n| {
                next_gap_ms(interval_ms, &format!("viewer-{n}"), "", UnixMs(1_790_000_000_000))
            });
            let (mut least, mut most, mut sum) = (u64::MAX, 0, 0);
            gaps.for_each(|gap| (least, most, sum) = (least.min(gap), most.max(gap), sum + gap));
            assert_eq!((least, most), ((interval_ms * 9 / 10).max(1), interval_ms * 11 / 10));
            assert!(
                (sum / 10_000).abs_diff(interval_ms) <= interval_ms / 100 + 1,
                "{interval_ms}: {sum}"
            );
        }
    }
}
