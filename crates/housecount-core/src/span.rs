//! Spans of time, and sorted sets of them, which proof and ledger consist of.
//!
//! A set is a slice of spans that are sorted and neither overlap nor touch. Equal sets are
//! therefore equal slices.

use crate::time::UnixMs;

/// Time from a moment to a later one, which is not part of it.
///
/// ```
/// use housecount_core::span::Span;
/// use housecount_core::time::UnixMs;
///
/// let hour = Span::new(UnixMs(1_790_035_200_000), UnixMs(1_790_038_800_000));
/// assert_eq!(hour.ms(), 3_600_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First millisecond.
    pub from: UnixMs,
    /// Millisecond after the last one.
    pub to: UnixMs,
}

impl Span {
    /// Creates the span between two moments. It is empty if `to` is not later.
    #[must_use]
    pub fn new(from: UnixMs, to: UnixMs) -> Span {
        Span { from, to }
    }

    /// Returns the length.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.to.since(self.from)
    }

    /// Returns whether the span has no millisecond.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.to <= self.from
    }

    /// Returns the part of the span within `other`, unless that is empty.
    #[must_use]
    pub fn clip(self, other: Span) -> Option<Span> {
        let part = Span { from: self.from.max(other.from), to: self.to.min(other.to) };
        (!part.is_empty()).then_some(part)
    }
}

/// Turns any spans into a set.
pub fn normalize(spans: &mut Vec<Span>) {
    spans.retain(|span| !span.is_empty());
    spans.sort_unstable();
    spans.dedup_by(|next, kept| {
        let joins = next.from <= kept.to;
        if joins {
            kept.to = kept.to.max(next.to);
        }
        joins
    });
}

/// Calls `with` for each span of `of` less all of `minus`, in order. Both are sets.
pub fn subtract(of: &[Span], minus: &[Span], mut with: impl FnMut(Span)) {
    let mut minus = minus.iter().peekable();
    for span in of {
        let mut from = span.from;
        while minus.next_if(|taken| taken.to <= from).is_some() {}
        while let Some(taken) = minus.peek().filter(|taken| taken.from < span.to) {
            if from < taken.from {
                with(Span::new(from, taken.from));
            }
            from = from.max(taken.to);
            if taken.to > span.to {
                break; // it may cover part of the next one too
            }
            minus.next();
        }
        if from < span.to {
            with(Span::new(from, span.to));
        }
    }
}

/// Returns the total length of a set.
#[must_use]
pub fn measure(set: &[Span]) -> u64 {
    set.iter().map(|span| span.ms()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        let span =
            (0u64..60, 0u64..12).prop_map(|(from, ms)| Span::new(UnixMs(from), UnixMs(from + ms)));
        proptest::collection::vec(span, 0..8)
    }

    fn moments(spans: &[Span]) -> std::collections::BTreeSet<u64> {
        spans.iter().flat_map(|span| span.from.0..span.to.0).collect()
    }

    proptest! {
        #[test]
        fn sets_hold_the_moments_of_their_spans(any in spans()) {
            let mut set = any.clone();
            normalize(&mut set);
            prop_assert_eq!(moments(&set), moments(&any));
            prop_assert_eq!(measure(&set), moments(&any).len() as u64);
            prop_assert!(set.windows(2).all(|pair| pair[0].to < pair[1].from));
        }

        #[test]
        fn a_difference_is_what_is_left(of in spans(), minus in spans()) {
            let (mut of, mut minus) = (of, minus);
            normalize(&mut of);
            normalize(&mut minus);
            let mut left = Vec::new();
            subtract(&of, &minus, |span| left.push(span));
            let expected: Vec<u64> = moments(&of).difference(&moments(&minus)).copied().collect();
            prop_assert_eq!(moments(&left).into_iter().collect::<Vec<_>>(), expected);
            prop_assert!(left.windows(2).all(|pair| pair[0].to < pair[1].from));
        }

        #[test]
        fn clipped_to_another(a in spans(), b in spans()) {
            for (a, b) in a.into_iter().zip(b) {
                let common: Vec<u64> = moments(&[a]).intersection(&moments(&[b])).copied().collect();
                let clipped = a.clip(b).map_or(Vec::new(), |span| (span.from.0..span.to.0).collect());
                prop_assert_eq!(clipped, common);
            }
        }
    }
}
