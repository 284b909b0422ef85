//! Viewers by stage for Prometheus: of the stages with most viewers, if the operator wants them.
//!
//! Stages come and go, and Prometheus keeps a series for each that it has ever seen. So this is off
//! by default, and bounded.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use housecount_core::limits::PAGE_ROWS_MAX;

use crate::node::Node;

/// Returns the stages with most viewers, at most `stages_max`. Of stages with as many viewers, the
/// first ids are returned.
pub async fn largest(node: &Node, stages_max: usize) -> Vec<(String, u64)> {
    // The smallest of those that are kept is on top.
    let mut kept: BinaryHeap<(Reverse<u64>, String)> = BinaryHeap::new();
    let mut after: Option<String> = None;
    loop {
        let page = node.engine.hub.stages_page(after.as_deref(), PAGE_ROWS_MAX).await.value;
        let more = page.len() == PAGE_ROWS_MAX;
        after = page.last().map(|view| view.stage.clone());
        for view in page.into_iter().filter(|view| view.count.viewers > 0) {
            kept.push((Reverse(view.count.viewers), view.stage));
            if kept.len() > stages_max {
                kept.pop();
            }
        }
        if !more {
            return kept.into_iter().map(|(Reverse(viewers), stage)| (stage, viewers)).collect();
        }
    }
}
