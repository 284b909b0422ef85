//! The online viewers of a stage. They are copied out of the fold in slices, so that no heartbeat
//! waits for a page.

use housecount_core::fold::PresenceView;
use housecount_core::ids::ViewerId;
use housecount_core::limits::VIEWERS_PER_HOLD_MAX;
use housecount_engine::WithStatus;
use tokio::task::yield_now;

use super::error::Problem;
use super::extract::{PageQuery, bad_query};
use crate::node::Node;

/// Digits of the list's order at the beginning of a cursor.
const ORDER_DIGITS: usize = 8;

/// Returns at most `limit` online viewers of a stage, those after `after` in the list's order.
///
/// The status is the worst of all slices. Later slices have later events as well.
pub async fn online_viewers(
    node: &Node,
    stage: &str,
    after: Option<&str>,
    limit: usize,
) -> WithStatus<Vec<PresenceView>> {
    let mut page = node.engine.hub.viewers_of(stage, after, limit.min(VIEWERS_PER_HOLD_MAX));
    let mut is_last = page.value.len() < VIEWERS_PER_HOLD_MAX;
    while page.value.len() < limit && !is_last {
        yield_now().await;
        let rows = VIEWERS_PER_HOLD_MAX.min(limit - page.value.len());
        let after = page.value.last().map(|view| view.id.as_str());
        let WithStatus { value: slice, status } = node.engine.hub.viewers_of(stage, after, rows);
        is_last = slice.len() < rows;
        page.value.extend(slice);
        page.status = page.status.worse(status);
    }
    page
}

/// Returns the cursor of the page after a viewer: the list's order, then the viewer.
pub fn cursor_after(node: &Node, viewer: &str) -> String {
    format!("{:0ORDER_DIGITS$x}{viewer}", node.engine.hub.list_order())
}

/// Returns the viewer after which a page starts.
///
/// # Errors
/// Returns a 400 `Problem` if the cursor is not one of this list, or is from before the list's
/// order changed.
pub fn after<'a>(node: &Node, page: &'a PageQuery) -> Result<Option<&'a str>, Problem> {
    let Some(cursor) = page.cursor() else { return Ok(None) };
    let Some((order, viewer)) = cursor.split_at_checked(ORDER_DIGITS) else {
        return Err(bad_query("unknown cursor; send one that an earlier page returned"));
    };
    let is_hex = order.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || ViewerId::check(viewer).is_err() {
        return Err(bad_query("unknown cursor; send one that an earlier page returned"));
    }
    if u32::from_str_radix(order, 16) != Ok(node.engine.hub.list_order()) {
        return Err(bad_query(
            "expired cursor: the log has lost data since; start again without a cursor",
        ));
    }
    Ok(Some(viewer))
}
