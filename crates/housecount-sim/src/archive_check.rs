//! The archive against the truth: what the log took is in it, and nothing that nobody said.
//!
//! It is written from the log alone, by the log's clock. So what the log has lost before it was
//! written need not be in it, nor all that the log is told again then, since proof needs less: of a
//! log that has lost something only what came once all nodes had reached it again must be there.
//! And where its clock was set back, it may go on at times that the archive has already
//! (docs/OPERATIONS.md).

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use housecount::archive::{ArchiveFormat, read};
use housecount::cold::Cold;
use housecount_core::beat_schedule::TICK_MS;
use housecount_core::event::{EventKind, EventRef};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

use crate::oracle::{Oracle, OracleEvent, SeatName};
use crate::plan::{FaultKind as What, SimPlan};
use crate::world::World;

/// Later than any time that is simulated, and still a time that keys can say.
const END: UnixMs = UnixMs(9_999_999_999_999);

/// So long after that nodes have found out what the log lacks, and a slot is over.
const SETTLED_MS: u64 = 60_000;

/// A heartbeat or a leave as an archive has it.
type ArchiveRow = (UnixMs, EventKind, SeatName);

fn row(event: &EventRef<'_>) -> ArchiveRow {
    let (stage, viewer) = (event.stage.to_string(), event.viewer.to_string());
    (event.at, event.kind, SeatName { stage, viewer, session: event.session.to_string() })
}

/// All that is in the archive.
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

/// When what came into the log need not be in the archive.
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
        (at, event.kind, self.seats()[event.seat].clone())
    }
}

/// The archive in the end. The number of rows that had to be there.
///
/// # Errors
/// What is wrong.
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
            "{count} of {} are not in the archive: {first:?} and so on",
            must.len()
        ));
    }
    let may: BTreeSet<ArchiveRow> = events()
        .filter(|event| event.was_logged())
        .map(|event| truth.archived_as(event, form))
        .collect();
    match rows.difference(&may).find(|(at, _, seat)| !truth.may_be_rebuilt(seat, *at, world.ttl_ms))
    {
        Some(unsaid) => Err(format!("in the archive, and nobody said it: {unsaid:?}")),
        None => Ok(must.len() as u64),
    }
}
