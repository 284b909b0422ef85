//! The archive against the truth: what the log took is in it, and nothing that nobody said.
//!
//! It is written from the log alone. So what the log has lost before it was written need not be in it, nor all that the log is told
//! again then, since proof needs less: of a log that has lost something only what came later must be there. And where its clock was
//! set back besides, it goes on at times that the archive has already, which is a double fault (docs/OPERATIONS.md).

use std::collections::BTreeSet;
use std::sync::Arc;

use housecount::archive::{Form, read};
use housecount::cold::Cold;
use housecount_core::event::{EventRef, Kind};
use housecount_core::pace::TICK_MS;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

use crate::plan::Kind as Fault;
use crate::truth::{Event, Seat, Truth};
use crate::world::World;

/// Later than any time that is simulated, and still a time that keys can say.
const END: UnixMs = UnixMs(9_999_999_999_999);

/// A heartbeat or a leave as an archive has it.
type Row = (UnixMs, Kind, Seat);

fn row(event: &EventRef<'_>) -> Row {
    let (stage, viewer) = (event.stage.to_string(), event.viewer.to_string());
    (event.at, event.kind, Seat { stage, viewer, session: event.session.to_string() })
}

/// All that is in the archive.
async fn rows(cold: &Arc<dyn Cold>, form: Form, stages: usize) -> Result<BTreeSet<Row>, String> {
    let (all, mut found) = (Span::new(UnixMs::ZERO, END), BTreeSet::new());
    let mut with = |event: &EventRef<'_>| {
        found.insert(row(event));
        Ok(())
    };
    match form {
        Form::Packed => {
            for chain in read::chains(cold).await.map_err(|e| e.to_string())? {
                let problems = read::packed(&**cold, chain, all, 0, &mut with, |_| ()).await;
                if let Some(problem) = problems.map_err(|e| e.to_string())?.first() {
                    return Err(format!("the archive: {problem}"));
                }
            }
        }
        Form::Items => {
            for stage in (0..stages).map(|number| format!("stage-{number}")) {
                read::items(&**cold, &stage, all, &mut with, |_| ()).await.map_err(|e| e.to_string())?;
            }
        }
    }
    Ok(found)
}

impl Truth {
    fn archived_as(&self, event: &Event, form: Form) -> Row {
        let at = if form == Form::Packed { event.at.aligned(TICK_MS) } else { event.at };
        (at, event.kind, self.seats()[event.seat].clone())
    }
}

/// The archive in the end. The number of rows that had to be there.
///
/// # Errors
/// What is wrong.
pub async fn archive_in_the_end(world: &World, cold: &Arc<dyn Cold>, form: Form) -> Result<u64, String> {
    let rows = rows(cold, form, world.plan.stages).await?;
    let truth = world.truth.lock();
    let is_kind = |event: &&Event| form == Form::Packed || event.kind == Kind::Beat;
    let events = || truth.events().iter().filter(is_kind);
    let is_set_back = world.plan.faults.iter().any(|fault| matches!(fault.kind, Fault::LogClock(..0)));
    let is_safe = |event: &&Event| truth.is_safe(event) && !(is_set_back && truth.has_log_lost());
    let must: BTreeSet<Row> = events().filter(is_safe).map(|event| truth.archived_as(event, form)).collect();
    let missing: Vec<&Row> = must.difference(&rows).collect();
    if let Some(first) = missing.first() {
        let count = missing.len();
        return Err(format!("{count} of {} are not in the archive: {first:?} and so on", must.len()));
    }
    let may: BTreeSet<Row> =
        events().filter(|event| event.is_told()).map(|event| truth.archived_as(event, form)).collect();
    match rows.difference(&may).find(|(at, _, seat)| !truth.may_be_told_again(seat, *at, world.ttl_ms)) {
        Some(unsaid) => Err(format!("in the archive, and nobody said it: {unsaid:?}")),
        None => Ok(must.len() as u64),
    }
}
