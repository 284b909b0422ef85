//! Log lines about unreadable records. Each record gets a line, up to a limit per minute.

use housecount_core::limits::UNREADABLE_LINES_MAX;

/// Period of the limit.
const MINUTE_MS: u64 = 60_000;

/// Number of lines that were written in this minute, and of those that were left out.
#[derive(Debug, Default)]
pub(super) struct UnreadableLines {
    began_ms: Option<u64>,
    written: usize,
    left_out: u64,
}

/// Whether a record gets a line, and how many records got none in the minute before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnreadableRecord {
    pub(super) is_named: bool,
    pub(super) left_out_before: Option<u64>,
}

impl UnreadableLines {
    /// Counts one more record, at a time on `mono_ms`.
    pub(super) fn record(&mut self, now_ms: u64) -> UnreadableRecord {
        let is_over =
            self.began_ms.is_none_or(|began_ms| now_ms.saturating_sub(began_ms) >= MINUTE_MS);
        let left_out = if is_over { std::mem::take(self).left_out } else { 0 };
        self.began_ms.get_or_insert(now_ms);
        let is_named = self.written < UNREADABLE_LINES_MAX;
        if is_named {
            self.written += 1;
        } else {
            self.left_out += 1;
        }
        UnreadableRecord {
            is_named,
            left_out_before: Some(left_out).filter(|left_out| *left_out > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_lines_max_a_minute_are_written_and_the_rest_is_counted() {
        let mut lines = UnreadableLines::default();
        let mut named = 0;
        for n in 0..UNREADABLE_LINES_MAX as u64 + 7 {
            let line = lines.record(5_000 + n);
            assert_eq!(line.left_out_before, None);
            named += usize::from(line.is_named);
        }
        assert_eq!(named, UNREADABLE_LINES_MAX);
        assert!(!lines.record(5_000 + MINUTE_MS - 1).is_named);
        let next = UnreadableRecord { is_named: true, left_out_before: Some(8) };
        assert_eq!(lines.record(5_000 + MINUTE_MS), next);
        assert_eq!(
            lines.record(6_000 + MINUTE_MS),
            UnreadableRecord { is_named: true, left_out_before: None }
        );
        assert_eq!(
            lines.record(9_000_000),
            UnreadableRecord { is_named: true, left_out_before: None }
        );
    }
}
