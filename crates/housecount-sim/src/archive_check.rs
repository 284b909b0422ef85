//! Compares the archive with the oracle: it has the events that the log stored, and no others.
//!
//! The archive task writes it from the log alone, by the log's clock. So events that the log lost
//! before the task read them need not be in it. Nor need it have all that nodes write to the log
//! again, since proof needs fewer beats. After a loss, the archive must have the events that
//! arrived once all nodes had reached the log again. Where the log's clock was set back, the log
//! may continue at times that the archive already has (docs/OPERATIONS.md).

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_core::beat_schedule::TICK_MS;
use housecount_core::event::{EventKind, EventRef};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::ArchiveFormat;
use housecount_engine::internals::archive_read as read;

use crate::oracle::{Oracle, OracleEvent, SeatName};
use crate::plan::{FaultKind as What, SimPlan};
use crate::world::World;

/// End of all ranges: later than any simulated time, and still a time that keys can hold.
const END: UnixMs = UnixMs(9_999_999_999_999);

/// Time after which all nodes have noticed a loss of the log, and the current slot is over.
const SETTLED_MS: u64 = 60_000;

/// A heartbeat or a leave as the archive stores it.
type ArchiveRow = (UnixMs, EventKind, SeatName);

fn row(event: &EventRef<'_>) -> ArchiveRow {
    let (stage, viewer) = (event.ids.stage.to_string(), event.ids.viewer.to_string());
    (event.at, event.kind, SeatName { stage, viewer, session: event.ids.session.to_string() })
}

/// Reads all rows of the archive.
async fn rows(cold: &Arc<dyn Cold>, form: ArchiveFormat) -> Result<BTreeSet<ArchiveRow>, String> {
    let (all, mut found) = (Span::new(UnixMs::ZERO, END), BTreeSet::new());
    let mut with = |event: &EventRef<'_>| {
        found.insert(row(event));
        Ok(())
    };
    match form {
        ArchiveFormat::Packed => {
            for chain in read::chains(cold).await.map_err(|e| e.to_string())? {
                let problems = read::packed(&**cold, chain, all, 0, &mut with, |_| ()).await;
                if let Some(problem) = problems.map_err(|e| e.to_string())?.first() {
                    return Err(format!("the archive: {problem}"));
                }
            }
        }
        ArchiveFormat::Items => {
            for stage in read::item_stages(&**cold, all).await.map_err(|e| e.to_string())? {
                let problem = read::items(&**cold, &stage, all, &mut with, |_| ()).await;
                if let Some(problem) = problem.map_err(|e| e.to_string())? {
                    return Err(format!("the archive: {problem}"));
                }
            }
        }
    }
    Ok(found)
}

/// Spans of arrival time, in the simulation's ms, whose events may be missing from the archive.
fn excused(plan: &SimPlan, emptied_ms: &[u64]) -> Vec<Range<u64>> {
    let faults = || plan.faults.iter();
    let keeps_apart = |kind| {
        matches!(kind, What::NodeCutOff(_) | What::LogUnavailable | What::LogFrozen | What::Slow)
    };
    let reached_ms = |lost_ms: u64| {
        let lasting = faults().filter(|fault| (fault.from_ms..=fault.to_ms).contains(&lost_ms));
        lasting
            .filter(|fault| keeps_apart(fault.kind))
            .map(|fault| fault.to_ms)
            .fold(lost_ms, u64::max)
    };
    let lost = emptied_ms.iter().map(|lost_ms| 0..reached_ms(*lost_ms) + SETTLED_MS);
    let mut ahead_ms = 0;
    let set_back = faults().filter_map(|fault| {
        let What::LogClock(to_ms) = fault.kind else { return None };
        let by_ms = std::mem::replace(&mut ahead_ms, to_ms).saturating_sub(to_ms);
        Some(fault.from_ms..fault.from_ms + u64::try_from(by_ms).ok()? + SETTLED_MS)
    });
    lost.chain(set_back).collect()
}

impl Oracle {
    fn archived_as(&self, event: &OracleEvent, form: ArchiveFormat) -> ArchiveRow {
        let at = if form == ArchiveFormat::Packed { event.at.aligned(TICK_MS) } else { event.at };
        let kind = match event.kind {
            EventKind::Displace => EventKind::Leave,
            kind => kind,
        };
        (at, kind, self.seats()[event.seat].clone())
    }
}

/// Checks the archive at the end of a run. Returns the number of rows that had to be there.
///
/// # Errors
/// Returns a text that names the first missing or wrong row, or the failed read.
pub async fn archive_in_the_end(
    world: &World,
    cold: &Arc<dyn Cold>,
    form: ArchiveFormat,
) -> Result<u64, String> {
    let rows = rows(cold, form).await?;
    let truth = world.truth.lock();
    let is_kind =
        |event: &&OracleEvent| form == ArchiveFormat::Packed || event.kind == EventKind::Beat;
    let events = || truth.events().iter().filter(is_kind);
    let excused = excused(&world.plan, truth.emptied_ms());
    let is_safe = |event: &&OracleEvent| {
        let applied_ms = event.kept_since_ms();
        applied_ms.is_some_and(|at| !excused.iter().any(|excused| excused.contains(&at)))
    };
    let must: BTreeSet<ArchiveRow> =
        events().filter(is_safe).map(|event| truth.archived_as(event, form)).collect();
    let missing: Vec<&ArchiveRow> = must.difference(&rows).collect();
    if let Some(first) = missing.first() {
        let count = missing.len();
        return Err(format!(
            "{count} of {} events are missing in the archive; the first is {first:?}",
            must.len()
        ));
    }
    let may: BTreeSet<ArchiveRow> = events()
        .filter(|event| event.was_logged())
        .map(|event| truth.archived_as(event, form))
        .collect();
    match rows.difference(&may).find(|(at, _, seat)| !truth.may_be_rebuilt(seat, *at, world.ttl_ms))
    {
        Some(unsaid) => Err(format!("the archive has an event that no player sent: {unsaid:?}")),
        None => Ok(must.len() as u64),
    }
}
