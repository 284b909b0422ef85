//! The past: earlier counts and peaks, which stand in for what the fold can't know.

use std::collections::BTreeMap;

use housecount_core::bridge::Bridge;
use housecount_core::fold::StageView;
use housecount_core::time::UnixMs;

/// Counts and peaks from before the node's start, or from before the log lost data.
#[derive(Debug, Default)]
pub(super) struct PriorCounts {
    pub(super) bridge: Bridge,
    /// Peaks of stages without viewers since the start.
    pub(super) peaks: BTreeMap<String, u64>,
}

impl PriorCounts {
    /// A stage as it is returned: its online viewers, but at least the bridge's floor.
    pub(super) fn view(
        &self,
        now: UnixMs,
        real: Option<StageView>,
        stage: &str,
    ) -> Option<StageView> {
        let floor = self.bridge.stage(stage, now);
        let peak = self.peaks.get(stage).copied().unwrap_or(0);
        let known = real.as_ref().map(|view| view.count).unwrap_or_default();
        let count = self.bridge.count(stage, known, now);
        let peak = peak.max(real.as_ref().map_or(0, |v| v.peak)).max(floor.map_or(0, |v| v.peak));
        (real.is_some() || floor.is_some()).then(|| StageView {
            stage: stage.to_string(),
            count,
            peak,
        })
    }
}
