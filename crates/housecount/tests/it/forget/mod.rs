//! Forgetting one person: no reader finds the person any more, and all other data is as it was.

mod archive;
mod configuration;
mod ledger;
mod served;

use std::collections::BTreeMap;
use std::sync::Arc;

use housecount::forget::{ForgetError, ForgetReport, ForgetRequest, forget};
use housecount_backend::cold::{Cold, KeyedItem, Page};
use housecount_core::event::EventKind;
use housecount_core::keys::{Chain, Key, KeyRange, Series};
use housecount_core::limits::FORGET_HELD_BYTES_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::chain;
use housecount_ledger::watch::WatchFilter;

use crate::ledger::stage::{LoggedEvent, Stage};
use crate::support::cold::FaultyCold;

const LEDGER: Chain = Chain { series: Series::Ledger, partitions: 1, partition: 0 };
const ARCHIVE: Chain = Chain { series: Series::Archive, partitions: 1, partition: 0 };
const ALWAYS: Span = Span { from: UnixMs::ZERO, to: UnixMs::MAX };

fn request(viewer: &str) -> ForgetRequest {
    ForgetRequest {
        viewer: viewer.to_string(),
        stage: None,
        is_dry_run: false,
        held_bytes_max: FORGET_HELD_BYTES_MAX,
    }
}

async fn ask(cold: &Arc<FaultyCold>, request: &ForgetRequest) -> Result<ForgetReport, ForgetError> {
    let cold: Arc<dyn Cold> = cold.clone();
    forget(&cold, request, |_, part| assert!((0.0..=1.0).contains(&part), "{part}")).await
}

/// One session's beats from `from` on, for `for_ms`, and its leave.
fn watches(
    stage: &str,
    viewer: &str,
    session: &str,
    from: UnixMs,
    for_ms: u64,
) -> Vec<LoggedEvent> {
    let logged_event = |ms, kind| {
        let (stage, viewer, session) = (stage.to_string(), viewer.to_string(), session.to_string());
        LoggedEvent { at: from.plus(ms), logged: from.plus(ms + 20), kind, stage, viewer, session }
    };
    (0..for_ms)
        .step_by(30_000)
        .map(|ms| logged_event(ms, EventKind::Beat))
        .chain([logged_event(for_ms, EventKind::Leave)])
        .collect()
}

/// All items of both chains and of some stages' heartbeats, and the entries that lead to them.
async fn items(cold: &Arc<FaultyCold>) -> Vec<KeyedItem> {
    let mut records = Vec::new();
    for chain in [LEDGER, ARCHIVE] {
        let range = KeyRange::chunks(chain, UnixMs::ZERO, UnixMs::MAX);
        let rows = cold.query(&range, &Page::first(usize::MAX)).await.unwrap();
        let key = |sk: &str| Key::of_chunk(chain, sk).unwrap();
        records.extend(rows.into_iter().map(|(sk, item)| KeyedItem { key: key(&sk), item }));
        for key in
            [Key::Series { series: chain.series, partitions: 1 }, Key::ItemArchiveCursor { chain }]
        {
            records.extend(cold.get(&key).await.unwrap().map(|item| KeyedItem { key, item }));
        }
    }
    for stage in ["s/1", "s/2", "quiet"] {
        let range = KeyRange::heartbeats(stage, UnixMs::ZERO, UnixMs::MAX);
        for (_, item) in cold.query(&range, &Page::first(usize::MAX)).await.unwrap() {
            let (at, viewer, session) = housecount_core::heartbeat::read(&item).unwrap();
            let (viewer, session) = (viewer.to_string(), session.to_string());
            let key = Key::Heartbeat { stage: stage.to_string(), at, viewer, session };
            records.push(KeyedItem { key, item });
        }
    }
    records
}

/// Another cold tier with the same items.
async fn copy(records: &[KeyedItem]) -> Arc<FaultyCold> {
    let cold = Arc::new(FaultyCold::new().await);
    cold.put(records.to_vec()).await.unwrap();
    cold
}

/// Watched intervals, by stage and viewer.
async fn intervals(cold: &Arc<FaultyCold>) -> BTreeMap<(String, String), Vec<Span>> {
    let cold: Arc<dyn Cold> = cold.clone();
    let wanted = WatchFilter { intervals: true, ..WatchFilter::default() };
    let page = housecount_engine::internals::scan::committed_watch(
        &cold,
        ALWAYS,
        wanted,
        usize::MAX,
        &mut |_| (),
    )
    .await;
    let row =
        |((stage, viewer), row): ((Box<str>, Box<str>), housecount_ledger::watch::WatchTime)| {
            ((stage.into(), viewer.into()), row.intervals)
        };
    page.unwrap().rows.into_iter().map(row).collect()
}

/// The same intervals with another name for one viewer, on one stage or on all.
fn renamed(
    of: &BTreeMap<(String, String), Vec<Span>>,
    viewer: &str,
    on: Option<&str>,
    to: &str,
) -> BTreeMap<(String, String), Vec<Span>> {
    let name = |(stage, of): &(String, String)| {
        let is_it = of == viewer && on.is_none_or(|on| on == stage);
        (stage.clone(), if is_it { to.to_string() } else { of.clone() })
    };
    of.iter().map(|(who, spans)| (name(who), spans.clone())).collect()
}

/// Whether a text has an id. A pseudonym that happens to contain the same letters is another id.
fn names(text: &str, id: &str) -> bool {
    let is_of_id = |c: char| c.is_ascii_alphanumeric() || ['-', '_'].contains(&c);
    text.match_indices(id).any(|(at, _)| {
        !text[..at].ends_with(is_of_id) && !text[at + id.len()..].starts_with(is_of_id)
    })
}

/// Whether an id is anywhere. It may be in the stored bytes of any item, in a chunk of the ledger,
/// or in the archive.
async fn is_anywhere(cold: &Arc<FaultyCold>, id: &str) -> bool {
    let records = items(cold).await;
    let is_plain =
        records.iter().any(|record| names(&format!("{:?} {:?}", record.key, record.item), id));
    let mut chunks =
        housecount_engine::internals::chunks::ChunkReader::at(LEDGER, UnixMs::ZERO, UnixMs::MAX);
    let mut is_named = false;
    while let Some(stored) = chunks.next(&**cold).await.unwrap() {
        is_named |= names(&format!("{:?}", chain::decode(&stored, LEDGER).unwrap().0), id);
    }
    let with = |event: &housecount_core::event::EventRef<'_>| {
        is_named |= names(event.ids.viewer, id) || names(event.ids.session, id);
        Ok(())
    };
    let range = Span::new(UnixMs::ZERO, UnixMs(u64::MAX / 9));
    let problems = housecount_engine::internals::archive_read::packed(
        &**cold,
        ARCHIVE,
        range,
        0,
        with,
        |_| (),
    )
    .await;
    assert_eq!(problems.unwrap(), [""; 0]);
    is_plain || is_named
}

/// Commits all that is due from the audience's first event to `until`, one window after the other.
async fn commit(
    stage: &Stage,
    node: &mut crate::ledger::stage::StageNode,
    from: UnixMs,
    until: UnixMs,
) {
    use crate::ledger::stage::{TTL_MS, WINDOW_MS};
    let mut now = from.aligned(WINDOW_MS).plus(WINDOW_MS + TTL_MS + 1_000);
    while now <= until {
        stage.hear(node, now).await;
        node.commit(now).await.unwrap();
        now = now.plus(WINDOW_MS);
    }
}
