//! Lists of stages and viewers, copied out of the fold in slices, so that no heartbeat waits for a
//! list.

use std::collections::BTreeMap;
use std::sync::Arc;

use housecount_core::fold::{PresenceView, StageSlice, StageView};
use housecount_core::limits::STAGES_PER_HOLD_MAX;
use housecount_core::roster::Roster;
use tokio::task::yield_now;

use super::{Hold, Hub, WithStatus};

impl Hub {
    /// Stages known here after `after`, sorted by id: a slice that costs `limit` at most, and the
    /// bridged stages among them. A caller that wants many asks in slices: the next one that waits
    /// for the lock gets it.
    pub fn stages_after(&self, after: Option<&str>, limit: usize) -> WithStatus<StageSlice> {
        let fold = self.fold.lock(Hold::List);
        let (slice, now) = (fold.stages_after(after, limit), fold.now());
        let WithStatus { value: StageSlice { views, next_after }, standing } =
            self.answer(&fold, slice);
        drop(fold);

        let past = self.past.lock();
        let bridged = past.bridge.stages_within(now, after, next_after.as_deref());
        let bridged = bridged.map(|view| (view.stage.clone(), None));
        let real = views.into_iter().map(|view| (view.stage.clone(), Some(view)));
        // Real ones last, so that they win.
        let all: BTreeMap<String, Option<StageView>> = bridged.chain(real).collect();
        let views =
            all.into_iter().filter_map(|(stage, real)| past.view(now, real, &stage)).collect();
        WithStatus { value: StageSlice { views, next_after }, standing }
    }

    /// All stages known here, sorted by id.
    pub async fn stages(&self) -> WithStatus<Vec<StageView>> {
        self.stages_page(None, usize::MAX).await
    }

    /// At most `limit` of the stages known here after `after`, sorted by id. They are copied in
    /// slices, and other tasks of the thread get their turn in between. The standing is that of the
    /// first slice: later ones have later events as well.
    pub async fn stages_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> WithStatus<Vec<StageView>> {
        let per_hold = limit.min(STAGES_PER_HOLD_MAX);
        let WithStatus { value: mut slice, mut standing } = self.stages_after(after, per_hold);
        let mut views = slice.views;
        while let Some(after) = slice.next_after.take().filter(|_| views.len() < limit) {
            yield_now().await;
            let next = self.stages_after(Some(&after), per_hold);
            (slice, standing) = (next.value, standing.worse(next.standing));
            views.append(&mut slice.views);
        }
        views.truncate(limit);
        WithStatus { value: views, standing }
    }

    /// Stages whose count has changed since they were taken last, [`STAGES_PER_HOLD_MAX`] at most.
    pub fn take_changed_stages(&self) -> Vec<Arc<str>> {
        let mut fold = self.fold.lock(Hold::List);
        fold.take_changed_stages(STAGES_PER_HOLD_MAX)
    }

    /// At most `limit` online viewers of a stage; see [`housecount_core::fold::Fold::viewers_of`].
    /// A caller that wants many asks in slices: the next one that waits for the lock gets it.
    pub fn viewers_of(
        &self,
        stage: &str,
        after: Option<&str>,
        limit: usize,
    ) -> WithStatus<Vec<PresenceView>> {
        let fold = self.fold.lock(Hold::List);
        self.answer(&fold, fold.viewers_of(stage, after, limit))
    }

    /// A number that changes with the order of [`viewers_of`](Self::viewers_of).
    pub fn list_order(&self) -> u32 {
        self.fold.lock(Hold::Look).list_order()
    }

    /// The counts of all stages: what a snapshot writes. Each is of the standing's moment or a few
    /// milliseconds later.
    pub async fn roster(&self) -> WithStatus<Roster> {
        let total = self.totals().value.0;
        let stages = self.stages().await;
        let active = stages.value.into_iter().filter(|view| view.count.viewers > 0).collect();
        WithStatus { value: Roster { total, stages: active }, standing: stages.standing }
    }
}
