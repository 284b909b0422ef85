//! Lists of online viewers, page by page. They are whole, list each viewer once, and are read under
//! short locks of the fold.

use std::collections::BTreeSet;

use housecount_core::limits::VIEWERS_PER_HOLD_MAX;
use housecount_test::timed_test;

use crate::support::node::Node;

/// Ids from all pages of a stage, and the number of pages.
async fn pages(node: &Node, stage: &str, limit: usize) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = node.get(&format!("/v1/stages/{stage}/viewers?limit={limit}{cursor}")).await;
        let rows: Vec<String> = page["viewers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["viewer"].as_str().unwrap().to_string())
            .collect();
        assert!(rows.is_sorted() && rows.len() <= limit, "{limit}: {rows:?}");
        pages += 1;
        ids.extend(rows);
        let Some(last) = page["cursor"].as_str() else { return (ids, pages) };
        cursor = format!("&cursor={last}");
    }
}

/// A page larger than the bound consists of several slices. No viewer is lost or repeated between
/// them.
#[timed_test]
async fn viewers_per_hold_max_bounds_a_slice_and_no_page() {
    let node = Node::ready(&[]).await;
    let count = 3 * VIEWERS_PER_HOLD_MAX + 1;
    node.beat_many("s", 0, count).await;
    node.beat_many("another", 0, 5).await;
    let (all, _) = pages(&node, "s", 1_000).await;
    assert_eq!(all.len(), count);
    for limit in
        [1, VIEWERS_PER_HOLD_MAX - 1, VIEWERS_PER_HOLD_MAX, VIEWERS_PER_HOLD_MAX + 1, count]
    {
        let (ids, pages) = pages(&node, "s", limit).await;
        assert_eq!(ids.len(), count, "{limit}");
        assert_eq!(
            ids.into_iter().collect::<BTreeSet<_>>(),
            all.iter().cloned().collect(),
            "{limit}"
        );
        assert!(pages <= count.div_ceil(limit) + 1, "{limit}: {pages}");
    }
    let drop_in = node.get("/api/viewer/list/s").await;
    let listed: Vec<&str> = drop_in["data"]["viewers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    assert_eq!(listed, all);
}

#[timed_test]
async fn a_cursor_of_no_page_is_refused() {
    let node = Node::ready(&[]).await;
    node.beat("s", "ann").await;
    for cursor in ["x", "zzzzzzzzann", "ann", "00000000"] {
        let path = format!("/v1/stages/s/viewers?cursor={cursor}");
        assert_eq!(node.status(&path).await, 400, "{cursor}");
    }
}
