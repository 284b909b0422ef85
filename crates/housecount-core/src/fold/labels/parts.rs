//! A viewer's proven spans, cut where the labels of the sessions that prove them change.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{LABELLESS, LabelTable, SetIndex};
use crate::fold::seat::{SeatFlag, SeatIndex};
use crate::fold::{Fold, LabelledSpan};
use crate::labels::{SEPARATOR, ViewerLabels};
use crate::span::Span;
use crate::time::UnixMs;

/// Origin of a seat's labels: a label set, or a span that was restored with several values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LabelSource {
    Unknown,
    Set(SetIndex),
    Restored(SeatIndex),
}

/// State of a walk through the seats that fills [`parts`](crate::fold::ProvenSpans::parts).
#[derive(Debug, Default)]
pub(in crate::fold) struct PartsWalk {
    /// Labels of viewers by label set, each converted once.
    labels: HashMap<SetIndex, ViewerLabels, RandomState>,
    /// Spans of the viewer's sessions, with the labels of each session.
    proven: Vec<(Span, LabelSource)>,
    pub(in crate::fold) parts: Vec<LabelledSpan>,
}

impl PartsWalk {
    fn push(&mut self, span: Span, labels: &ViewerLabels, is_known: bool) {
        match self.parts.last_mut() {
            Some(last)
                if last.span.to == span.from
                    && last.labels == *labels
                    && last.is_known == is_known =>
            {
                last.span.to = span.to;
            }
            _ => self.parts.push(LabelledSpan { span, labels: labels.clone(), is_known }),
        }
    }

    /// Returns the labels of a viewer whose sessions all have these.
    fn labels_of(&mut self, table: &LabelTable, source: LabelSource) -> ViewerLabels {
        let of_set = |set| {
            let values = table.values(set).split(SEPARATOR);
            let pairs = table.keys.iter().map(|key| &**key).zip(values);
            ViewerLabels::collect(pairs.filter(|(_, value)| !value.is_empty()))
        };
        match source {
            LabelSource::Unknown => ViewerLabels::default(),
            LabelSource::Set(set) => self.labels.entry(set).or_insert_with(|| of_set(set)).clone(),
            LabelSource::Restored(seat) => table.restored.get(&seat).cloned().unwrap_or_default(),
        }
    }
}

/// Values that the sessions of a viewer have at one time, by key, with the number of sessions.
struct PresentValues<'a> {
    table: &'a LabelTable,
    values: BTreeMap<(usize, &'a str), usize>,
    /// Number of sessions whose labels are known.
    sessions: usize,
    /// Number of sessions whose labels are not known. They have no say beside others.
    unknown: usize,
    /// The labels of these values; `None` if they have changed since.
    labels: Option<ViewerLabels>,
}

impl<'a> PresentValues<'a> {
    fn step(&mut self, source: LabelSource, begins: bool) {
        let sessions = match source {
            LabelSource::Unknown => &mut self.unknown,
            LabelSource::Set(_) | LabelSource::Restored(_) => &mut self.sessions,
        };
        *sessions = if begins { *sessions + 1 } else { *sessions - 1 };
        match source {
            LabelSource::Unknown => {}
            LabelSource::Set(set) => {
                let values = self.table.values(set).split(SEPARATOR).enumerate();
                values.for_each(|value| self.step_value(value, begins));
            }
            LabelSource::Restored(seat) => {
                let labels = self.table.restored.get(&seat);
                for (n, key) in self.table.keys.iter().enumerate() {
                    match labels {
                        Some(labels) => {
                            labels.values(key).for_each(|value| self.step_value((n, value), begins))
                        }
                        None => self.step_value((n, ""), begins),
                    }
                }
            }
        }
    }

    fn step_value(&mut self, value: (usize, &'a str), begins: bool) {
        let sessions = self.values.entry(value).or_default();
        *sessions = if begins { *sessions + 1 } else { *sessions - 1 };
        if *sessions == usize::from(begins) {
            self.labels = None;
        }
        if *sessions == 0 {
            self.values.remove(&value);
        }
    }

    /// Returns the labels and whether they are known, or `None` if no session proves this time.
    fn labels(&mut self) -> Option<(&ViewerLabels, bool)> {
        let is_known = self.sessions > 0;
        if !is_known && self.unknown == 0 {
            return None;
        }
        let labels = self.labels.get_or_insert_with(|| {
            let has_value = |key| self.values.range((key, "\0")..(key + 1, "")).next().is_some();
            let values = self.values.keys().filter(|(key, _)| has_value(*key));
            ViewerLabels::collect(values.map(|(key, value)| (&*self.table.keys[*key], *value)))
        });
        Some((labels, is_known))
    }
}

impl Fold {
    /// Cuts the proven spans of a seat's viewer, which were clipped to `within`, into parts with
    /// the same labels. There are no parts if labels are off, or if the viewer is known to have
    /// none.
    pub(in crate::fold) fn cut_by_labels(
        &self,
        seat: SeatIndex,
        spans: &[Span],
        within: Span,
        walk: &mut PartsWalk,
    ) {
        walk.parts.clear();
        let Some(table) = self.seats.labels.as_deref() else { return };
        match self.only_source(table, seat, walk) {
            Some(LabelSource::Set(LABELLESS)) => return,
            Some(source) => {
                let labels = walk.labels_of(table, source);
                let is_known = source != LabelSource::Unknown;
                spans.iter().for_each(|span| walk.push(*span, &labels, is_known));
            }
            None => self.cut_by_sessions(table, seat, within, walk),
        }
        if walk.parts.iter().all(|part| part.labels.is_none() && part.is_known) {
            walk.parts.clear();
        }
    }

    fn source(&self, seat: SeatIndex, table: &LabelTable) -> LabelSource {
        if self.seats[seat].is(SeatFlag::Restored) {
            LabelSource::Restored(seat)
        } else if table.claim(seat).is_unknown() {
            LabelSource::Unknown
        } else {
            LabelSource::Set(table.set(seat))
        }
    }

    /// Returns the labels of all sessions with beats of a seat's viewer on the stage, if they have
    /// the same.
    fn only_source(
        &self,
        table: &LabelTable,
        seat: SeatIndex,
        walk: &mut PartsWalk,
    ) -> Option<LabelSource> {
        let has_beat = |seat: &SeatIndex| self.seats.last(*seat).0 > UnixMs::ZERO;
        let mut sources = self.seats.here(seat).filter(has_beat).map(|one| self.source(one, table));
        let first = sources.next()?;
        let are_same = sources.all(|other| {
            let is_known = |source| source != LabelSource::Unknown;
            other == first
                || (is_known(other) && is_known(first))
                    && walk.labels_of(table, other) == walk.labels_of(table, first)
        });
        are_same.then_some(first)
    }

    /// Cuts at every time at which a session begins or ends to prove that its viewer was there.
    fn cut_by_sessions(
        &self,
        table: &LabelTable,
        seat: SeatIndex,
        within: Span,
        walk: &mut PartsWalk,
    ) {
        walk.proven.clear();
        let PartsWalk { proven, .. } = walk;
        self.proven_by_each(seat, |session, span| {
            let source = self.source(session, table);
            proven.extend(span.clip(within).map(|span| (span, source)));
        });
        let mut cuts: Vec<(UnixMs, bool, LabelSource)> = Vec::with_capacity(2 * proven.len());
        for (span, source) in proven.iter() {
            cuts.extend([(span.from, true, *source), (span.to, false, *source)]);
        }
        // Beginnings come before ends, so that no number is ever below zero.
        cuts.sort_unstable_by_key(|(at, begins, _)| (*at, !*begins));
        let mut present =
            PresentValues { table, values: BTreeMap::new(), sessions: 0, unknown: 0, labels: None };
        let mut from = UnixMs::ZERO;
        for (at, begins, source) in cuts {
            if at > from
                && let Some((labels, is_known)) = present.labels()
            {
                walk.push(Span::new(from, at), labels, is_known);
            }
            from = at;
            present.step(source, begins);
        }
    }
}
