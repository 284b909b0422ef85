//! Verification: the ledger recomputed from its raw chunks, in two ways, and compared with all
//! other records.
//!
//! One way adds up every viewer's spans as a set, so that time credited twice would show. The other
//! walks along the times at which viewers come and go, and integrates their number. Both must agree
//! to the millisecond. Other code took the snapshots of other state, so they must not show much
//! fewer viewers than were proven at their time. Days are verified one by one, so a day's audience
//! bounds the memory.
//!
//! - `versions`: the versions of stages' configurations, by which exports assign watch time to
//!   customers.

mod versions;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use housecount_backend::clock::wall_clock;
use housecount_backend::cold::{Cold, Page};
use housecount_backend::error::{ErrorKind, StoreResult};
use housecount_core::keys::{Chain, Key, KeyRange};
use housecount_core::snapshot::Snapshot;
use housecount_core::span::{Span, measure, normalize};
use housecount_core::time::UnixMs;
use housecount_ledger::curve::Curve;
use housecount_ledger::{Book, SpanVisitor};

use housecount_engine::internals::chunks::{self, ChunkReader, corrupt};
use housecount_engine::internals::{chain, format_time, scan};

/// Span that is held in memory at once.
const SLICE_MS: u64 = 24 * 60 * 60 * 1000;
/// Maximum number of snapshots of a stage that are read at once.
const SNAPSHOTS: usize = 10_000;

/// Result for one stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageReport {
    /// Viewers, summed over the days.
    pub viewers: u64,
    /// Sum of the viewers' watch times.
    pub watch_ms: u64,
    /// Integral of the number of concurrent viewers.
    pub integral_ms: u64,
    /// Snapshots compared.
    pub snapshots: u64,
    /// Snapshots with fewer viewers than were proven at their time. Some are normal. Proof
    /// continues over a leave that a beat follows within a ttl, and includes heartbeats that came
    /// minutes late.
    pub low_snapshots: u64,
    /// Snapshots with less than half of the proven viewers, which these reasons do not explain.
    pub wrong_snapshots: u64,
}

impl StageReport {
    /// Adds the result of another day, or of another stage.
    pub fn add(&mut self, other: &StageReport) {
        self.viewers += other.viewers;
        self.watch_ms += other.watch_ms;
        self.integral_ms += other.integral_ms;
        self.snapshots += other.snapshots;
        self.low_snapshots += other.low_snapshots;
        self.wrong_snapshots += other.wrong_snapshots;
    }

    /// Whether all figures agree.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.watch_ms == self.integral_ms && self.wrong_snapshots == 0
    }
}

/// Result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Results by stage.
    pub stages: BTreeMap<String, StageReport>,
    /// Chunks read.
    pub chunks: u64,
    /// Bytes of these chunks.
    pub bytes: u64,
    /// Number of these chunks that `housecount forget` has rewritten.
    pub rewritten: u64,
    /// Versions of stages' configurations.
    pub versions: u64,
    /// Problems, each with its item.
    pub problems: Vec<String>,
    /// Harmless irregularities.
    pub notes: Vec<String>,
    /// Time up to which the ledger is committed.
    pub committed_to: UnixMs,
}

impl VerifyReport {
    /// Whether there are no problems.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.stages.values().all(StageReport::agrees)
    }

    fn problem(&mut self, problem: String) {
        // The chunks that two days need overlap.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// Verifies a range, of one stage or of all.
///
/// # Errors
/// Returns the cold tier's `StoreError`. Damage is part of the report and not an error.
pub async fn verify(
    cold: &Arc<dyn Cold>,
    range: Span,
    stage: Option<&str>,
    mut progress: impl FnMut(f64),
) -> StoreResult<VerifyReport> {
    let mut found = VerifyReport::default();
    let extent = chain::extent(cold).await?;
    let (first, last) = extent.unwrap_or((range.to, range.from));
    let last_end = last_end(cold).await?.unwrap_or_default();
    // Late spans may be before the first window.
    let mut from = range.from.max(first.minus(SLICE_MS));
    // The last window may be long.
    while from < range.to && from <= last.plus(SLICE_MS).max(last_end) {
        let piece = Span::new(from, from.aligned(SLICE_MS).plus(SLICE_MS).min(range.to));
        day(cold, piece, stage, &mut found, |at| {
            progress(at.since(range.from) as f64 / range.ms().max(1) as f64);
        })
        .await?;
        from = piece.to;
    }
    versions::look(&**cold, stage, &mut found).await?;
    if found.committed_to < range.to {
        found.problem(uncommitted(range, extent.map(|(first, _)| first), found.committed_to));
    }
    Ok(found)
}

/// Reason why the ledger does not have all of a range, in one line with a remedy.
fn uncommitted(range: Span, first: Option<UnixMs>, committed_to: UnixMs) -> String {
    match first {
        None => "the cold tier has no ledger yet: no node has committed to it".to_string(),
        Some(first) if range.to <= first => {
            let from = format_time(first);
            format!("the ledger begins at {from}, after the range: use a later --to")
        }
        Some(_) => {
            let to = format_time(committed_to);
            format!(
                "the ledger ends at {to}, before the end of the range: use --to {to} for the existing part"
            )
        }
    }
}

/// End of the last readable window of any chain.
async fn last_end(cold: &Arc<dyn Cold>) -> StoreResult<Option<UnixMs>> {
    let mut last = None;
    for chain in chain::all(cold).await? {
        match chain::end(&**cold, chain).await {
            Ok(end) => last = last.max(Some(end)),
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(error),
        }
    }
    Ok(last)
}

async fn day(
    cold: &Arc<dyn Cold>,
    range: Span,
    stage: Option<&str>,
    found: &mut VerifyReport,
    mut progress: impl FnMut(UnixMs),
) -> StoreResult<()> {
    let mut recomputed =
        Recomputed { range, stage: stage.map(str::to_string), stages: HashMap::new() };
    let mut ends = Vec::new();
    for chain in chain::all(cold).await? {
        let edge = read_chain(&**cold, chain, range, &mut recomputed, found, &mut progress).await?;
        ends.push((chain, edge));
    }
    found.committed_to = found.committed_to.max(scan::committed_to(&ends));
    for (stage, recomputed) in recomputed.stages {
        let mut day = recomputed.sum();
        snapshots(&**cold, &stage, range, &recomputed.on_time, &mut day, found).await?;
        let sum = found.stages.entry(stage).or_default();
        sum.add(&day);
    }
    Ok(())
}

/// Reads a whole chain past any damage in it. After an unusable chunk it continues from the next
/// keyframe.
async fn read_chain(
    cold: &dyn Cold,
    chain: Chain,
    range: Span,
    recomputed: &mut Recomputed,
    found: &mut VerifyReport,
    progress: &mut impl FnMut(UnixMs),
) -> StoreResult<UnixMs> {
    let opened = chain::reader_from_keyframe(cold, chain, range.from, Some(wall_clock())).await;
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            found.problem(error.to_string());
            ChunkReader::at(chain, range.from, UnixMs::MAX).skip_expired(Some(wall_clock()))
        }
        Err(error) => return Err(error),
    };
    let first = chunks::first(cold, chain, Some(wall_clock())).await?;
    let (mut book, mut is_lost, mut edge) = (Book::default(), false, UnixMs::ZERO);
    let mut expires = false;
    loop {
        let read = match reader.next(cold).await {
            Ok(None) => break,
            Ok(Some(stored)) => {
                expires = stored.expiry_s.is_some();
                // The chunks that two days need overlap, so each chunk is counted on its own day
                // only.
                if range.from <= stored.window && stored.window < range.to {
                    found.chunks += 1;
                    found.bytes += stored.bytes.len() as u64;
                    found.rewritten += u64::from(stored.original_crc.is_some());
                }
                for stray in &stored.orphans {
                    let note = format!(
                        "{} / {stray}: a second copy, or the chunk of a second writer; harmless, since no reader uses it",
                        chain.pk()
                    );
                    if !found.notes.contains(&note) {
                        found.notes.push(note);
                    }
                }
                chain::decode(&stored, chain)
            }
            Err(error) => Err(error),
        };
        let (chunk, link) = match read {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                found.problem(error.to_string());
                book.close_all(recomputed);
                (book, is_lost) = (Book::default(), true);
                continue;
            }
            Err(error) => return Err(error),
        };
        edge = chunk.window.to;
        // Chunks before a keyframe with an expiry have already expired.
        let is_torn = chunk.previous.is_some() && !(expires && chunk.is_keyframe());
        if first == Some(chunk.window.from) && is_torn {
            let sk = Key::Chunk { chain, window: chunk.window.from }.sk();
            found.problem(
                corrupt(
                    chain,
                    &sk,
                    "it is the first chunk, but not the start of the ledger: the chunks before it are missing",
                )
                .to_string(),
            );
        }
        if chunk.window.from >= range.to.plus(chunk.kept_ms()) {
            break;
        }
        progress(chunk.window.from);
        if is_lost && !chunk.is_keyframe() {
            continue; // a chunk after a lost one needs a keyframe
        }
        is_lost = false;
        if let Err(error) = book.apply(&chunk, link, recomputed) {
            let sk = Key::Chunk { chain, window: chunk.window.from }.sk();
            found.problem(corrupt(chain, &sk, error).to_string());
            book.close_all(recomputed);
            (book, is_lost) = (Book::default(), !chunk.is_keyframe());
            if chunk.is_keyframe() && book.apply(&chunk, link, recomputed).is_err() {
                is_lost = true;
            }
        }
    }
    book.close_all(recomputed);
    // Chunks beyond the range are not read, but exist.
    Ok(if edge >= range.to { edge } else { edge.max(book.edge()) })
}

/// Compares a stage's snapshots with the viewers proven at their times by heartbeats that were on
/// time.
async fn snapshots(
    cold: &dyn Cold,
    stage: &str,
    range: Span,
    on_time: &[Span],
    day: &mut StageReport,
    found: &mut VerifyReport,
) -> StoreResult<()> {
    let rows = cold
        .query(&KeyRange::snapshots(stage, range.from, range.to.minus(1)), &Page::first(SNAPSHOTS))
        .await?;
    for (sk, item) in rows {
        // Expired snapshots are as valid as the others.
        let snapshot = match Snapshot::from_item(&item, UnixMs::ZERO) {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => continue,
            Err(error) => {
                found.problem(format!("STAGE#{stage} / {sk}: {error}"));
                continue;
            }
        };
        let at = snapshot.at;
        let proven = on_time.iter().filter(|span| span.from <= at && at < span.to).count() as u64;
        day.snapshots += 1;
        // A bridged count is of an earlier time.
        if snapshot.recovering {
            continue;
        }
        let viewers = snapshot.count.viewers;
        day.low_snapshots += u64::from(viewers < proven);
        if 2 * viewers < proven {
            day.wrong_snapshots += 1;
            found.problem(format!(
                "STAGE#{stage} / {sk}: {viewers} viewers, but the ledger proves {proven} at that time"
            ));
        }
    }
    Ok(())
}

/// Spans of a range, as the chunks have them.
struct Recomputed {
    range: Span,
    stage: Option<String>,
    stages: HashMap<String, RecomputedStage>,
}

struct RecomputedStage {
    range: Span,
    viewers: HashMap<Box<str>, Vec<Span>>,
    curve: Curve,
    on_time: Vec<Span>,
}

impl RecomputedStage {
    fn sum(&self) -> StageReport {
        let mut sum = StageReport { viewers: self.viewers.len() as u64, ..StageReport::default() };
        for spans in self.viewers.values() {
            let mut spans = spans.clone();
            normalize(&mut spans);
            sum.watch_ms += measure(&spans);
        }
        sum.integral_ms = self.curve.integral();
        sum
    }
}

impl Recomputed {
    fn of(&mut self, stage: &str) -> Option<&mut RecomputedStage> {
        if self.stage.as_ref().is_some_and(|wanted| wanted != stage) {
            return None;
        }
        if !self.stages.contains_key(stage) {
            let curve = Curve::new(self.range, self.range.ms(), None);
            let (range, viewers, on_time) = (self.range, HashMap::new(), Vec::new());
            self.stages
                .insert(stage.to_string(), RecomputedStage { range, viewers, curve, on_time });
        }
        self.stages.get_mut(stage)
    }
}

impl RecomputedStage {
    /// Adds a viewer's span, and returns whether any of it is in the range.
    fn add(&mut self, viewer: &str, span: Span) -> bool {
        let Some(span) = span.clip(self.range) else { return false };
        match self.viewers.get_mut(viewer) {
            Some(spans) => spans.push(span),
            None => drop(self.viewers.insert(viewer.into(), vec![span])),
        }
        true
    }
}

impl SpanVisitor for Recomputed {
    fn span_opened(&mut self, stage: &str, viewer: &str, at: UnixMs) {
        if let Some(recomputed) = self.of(stage) {
            recomputed.curve.span_opened(stage, viewer, at);
        }
    }

    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span) {
        if let Some(recomputed) = self.of(stage) {
            recomputed.curve.span_closed(stage, viewer, span);
            if recomputed.add(viewer, span) {
                recomputed.on_time.push(span);
            }
        }
    }

    fn late_span(&mut self, stage: &str, viewer: &str, span: Span) {
        if let Some(recomputed) = self.of(stage) {
            recomputed.curve.late_span(stage, viewer, span);
            recomputed.add(viewer, span);
        }
    }
}
