//! Lists of stages and viewers, copied from the fold in slices, so that no heartbeat waits for a
//! list.

use std::collections::BTreeMap;
use std::sync::Arc;

use housecount_core::fold::{PresenceView, StageSlice, StageView};
use housecount_core::limits::STAGES_PER_HOLD_MAX;
use housecount_core::roster::Roster;
use tokio::task::yield_now;

use super::{Hold, Hub, WithStatus};

impl Hub {
    /// Returns a slice of the stages after `after`, sorted by id, and the bridged stages among
    /// them.
    ///
    /// It costs `limit` at most. A caller that wants many stages reads several slices. The lock
    /// goes to the next waiter in between.
    pub fn stages_after(&self, after: Option<&str>, limit: usize) -> WithStatus<StageSlice> {
        let fold = self.fold.lock(Hold::List);
        let (slice, now) = (fold.stages_after(after, limit), fold.now());
        let WithStatus { value: StageSlice { views, next_after }, status } =
            self.answer(&fold, slice);
        drop(fold);

        let past = self.past.lock();
        let bridged = past.bridge.stages_within(now, after, next_after.as_deref());
        let bridged = bridged.map(|view| (view.stage.clone(), None));
        let real = views.into_iter().map(|view| (view.stage.clone(), Some(view)));
        // Real stages come last, so that they replace bridged ones.
        let all: BTreeMap<String, Option<StageView>> = bridged.chain(real).collect();
        let views =
            all.into_iter().filter_map(|(stage, real)| past.view(now, real, &stage)).collect();
        WithStatus { value: StageSlice { views, next_after }, status }
    }

    /// Returns all stages known here, sorted by id.
    pub async fn stages(&self) -> WithStatus<Vec<StageView>> {
        self.stages_page(None, usize::MAX).await
    }

    /// Returns at most `limit` of the stages known here after `after`, sorted by id.
    ///
    /// They are copied in slices, and other tasks of the thread run in between. The status is the
    /// worst of all slices, and later slices include later events as well.
    pub async fn stages_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> WithStatus<Vec<StageView>> {
        let per_hold = limit.min(STAGES_PER_HOLD_MAX);
        let WithStatus { value: mut slice, mut status } = self.stages_after(after, per_hold);
        let mut views = slice.views;
        while let Some(after) = slice.next_after.take().filter(|_| views.len() < limit) {
            yield_now().await;
            let next = self.stages_after(Some(&after), per_hold);
            (slice, status) = (next.value, status.worse(next.status));
            views.append(&mut slice.views);
        }
        views.truncate(limit);
        WithStatus { value: views, status }
    }

    /// Takes the stages whose count has changed since the last call, at most
    /// [`STAGES_PER_HOLD_MAX`].
    pub fn take_changed_stages(&self) -> Vec<Arc<str>> {
        let mut fold = self.fold.lock(Hold::List);
        fold.take_changed_stages(STAGES_PER_HOLD_MAX)
    }

    /// Returns at most `limit` online viewers of a stage.
    ///
    /// See [`housecount_core::fold::Fold::viewers_of`]. A caller that wants many viewers reads
    /// several slices. The lock goes to the next waiter in between.
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

    /// Returns the counts of all stages, which a snapshot writes. Each count is at most a few
    /// milliseconds later than `as_of`.
    pub async fn roster(&self) -> WithStatus<Roster> {
        let total = self.totals().value.0;
        let stages = self.stages().await;
        let active = stages.value.into_iter().filter(|view| view.count.viewers > 0).collect();
        WithStatus { value: Roster { total, stages: active }, status: stages.status }
    }
}
