//! Real commits, changes of configuration by two nodes, and real exports. The export of a committed
//! window never changes, and follows the rule.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use housecount::export::{self, BillingRounding, ExportFormat, ExportRequest};
use housecount_core::event::EventKind;
use housecount_core::ids::StageId;
use housecount_core::limits::EXPORT_ROWS_MAX;
use housecount_core::span::Span;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_engine::internals::StageStore;
use housecount_server::calendar::PeriodUnit;
use housecount_test::timed_test;
use parking_lot::Mutex;
use serde_json::Value;

use crate::ledger::stage::{BASE, LoggedEvent, MINUTE_MS, Stage, StageNode, TTL_MS, WINDOW_MS};
use crate::support::crowd::Rng;

const WINDOWS: u64 = 12;
const STAGES: [&str; 3] = ["stage-a", "stage-b", "stage-c"];

/// A writer that keeps what is written to it.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn exported(stage: &Stage, range: Span, by_customer: bool, rows_max: usize) -> String {
    let (out, round) = (Out::default(), BillingRounding::ViewerMinute);
    let (period, zone, format) = (PeriodUnit::Month, None, ExportFormat::Ndjson);
    let (stage_id, intervals) = (None, false);
    let request = ExportRequest {
        range,
        stage: stage_id,
        by_customer,
        by_label: None,
        intervals,
        period,
        zone,
        round,
        format,
        rows_max,
    };
    export::write(&stage.cold(), &request, Box::new(out.clone()), |_| ()).await.unwrap();
    let bytes = out.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

fn window(n: u64) -> Span {
    let from = BASE.aligned(WINDOW_MS).plus(n * WINDOW_MS);
    Span::new(from, from.plus(WINDOW_MS))
}

/// Viewers who come and go on the stages, through all windows.
fn audience(rng: &mut Rng) -> Vec<LoggedEvent> {
    let mut events = Vec::new();
    for n in 0..12 {
        let stage = STAGES[rng.below(3) as usize];
        let mut at = window(0).from.plus(rng.below(WINDOWS * WINDOW_MS / 2));
        let end = at.plus(rng.below(WINDOWS * WINDOW_MS));
        while at < end.min(window(WINDOWS).from) {
            let (stage, viewer, session) =
                (stage.to_string(), format!("viewer-{n}"), String::new());
            events.push(LoggedEvent {
                at,
                logged: at.plus(10),
                kind: EventKind::Beat,
                stage,
                viewer,
                session,
            });
            at = at.plus(if rng.below(30) == 0 { 3 * MINUTE_MS } else { 30_000 });
        }
    }
    events
}

/// Changes of each stage with their times: to a customer, or a deletion.
type Changes = BTreeMap<&'static str, Vec<(UnixMs, Option<String>)>>;

struct World {
    rng: Rng,
    stage: Stage,
    nodes: [StageStore; 2],
    committer: StageNode,
    changes: Changes,
    /// By window, its exports when it was committed: by viewer and by customer.
    exported: Vec<[String; 2]>,
}

impl World {
    async fn new(seed: u64) -> World {
        let mut rng = Rng(seed);
        let stage = Stage::new(audience(&mut rng)).await;
        let nodes = [(); 2].map(|()| StageStore::new(Some(stage.cold()), true, WINDOW_MS));
        let committer = stage.node().await;
        World { rng, stage, nodes, committer, changes: Changes::new(), exported: Vec::new() }
    }

    /// Makes a change on either node, whose clock may be behind.
    async fn change(&mut self, now: UnixMs, lag_ms: u64) {
        let stage = STAGES[self.rng.below(3) as usize];
        let (id, node) = (StageId::parse(stage).unwrap(), &self.nodes[self.rng.below(2) as usize]);
        let customer = format!("customer {}", self.rng.below(3));
        let name = (self.rng.below(3) == 0).then(|| format!("name {}", self.rng.below(2)));
        let before = node.get(&id).await.unwrap();
        let at = now.minus(lag_ms);
        let changed = match (before.is_some(), self.rng.below(3)) {
            (true, 0) => node.delete(&id, at).await.unwrap(),
            (true, _) => node
                .edit(&id, at, |config| {
                    config.customer = Some(customer.clone());
                    config.name.clone_from(&name);
                })
                .await
                .unwrap(),
            (false, _) => {
                let customer = Some(customer);
                let config =
                    StageConfig { stage: stage.into(), name, customer, ..StageConfig::default() };
                node.create(config, at).await.unwrap()
            }
        };
        let committed = self.exported.len() as u64;
        let committed_to = if committed == 0 { UnixMs::ZERO } else { window(committed).from };
        let is_change = changed.config != before;
        assert!(
            !is_change || changed.effective_from >= committed_to,
            "{committed_to}: {changed:?}"
        );
        let customer = changed.config.and_then(|config| config.customer);
        self.changes.entry(stage).or_default().push((now, customer));
    }

    async fn commit(&mut self, n: u64) {
        let now = window(n).to.plus(TTL_MS + 1_000);
        self.stage.hear(&mut self.committer, now).await;
        self.committer.commit(now).await.unwrap();
        self.exported.push(self.of_window(n).await);
    }

    async fn of_window(&self, n: u64) -> [String; 2] {
        let by_viewer = exported(&self.stage, window(n), false, EXPORT_ROWS_MAX).await;
        [by_viewer, exported(&self.stage, window(n), true, EXPORT_ROWS_MAX).await]
    }

    /// The customer of a stage in a window, by the rule word for word.
    fn by_the_rule(&self, stage: &str, window: Span) -> String {
        let changes = self.changes.get(stage).map_or(&[][..], Vec::as_slice);
        let until_end = &changes[..changes.partition_point(|(at, _)| *at < window.to)];
        let customer = match until_end.last() {
            Some((at, None)) if *at >= window.from => {
                until_end.iter().rev().find_map(|(_, customer)| customer.clone())
            }
            Some((_, customer)) => customer.clone(),
            None => None,
        };
        customer.unwrap_or_default()
    }
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap()
}

/// Watched time in ms, by stage, viewer and customer.
fn sums(rows: &[Value]) -> BTreeMap<(String, String, String), u64> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let who = ["stage", "viewer", "customer"].map(|name| text(row, name).to_string());
        *sums.entry(who.into()).or_default() += row["watch_ms"].as_u64().unwrap();
    }
    sums
}

async fn history_stays(seed: u64, has_lag: bool) {
    let mut world = World::new(seed).await;
    for n in 0..WINDOWS {
        let mut times: Vec<u64> =
            (0..world.rng.below(4)).map(|_| world.rng.below(WINDOW_MS)).collect();
        times.sort_unstable();
        // The previous window is committed somewhere between the changes of this one.
        let commit_at = TTL_MS + 1_000;
        let mut is_committed = n == 0;
        for ms in times {
            if !is_committed && ms > commit_at {
                world.commit(n - 1).await;
                is_committed = true;
            }
            let lag_ms =
                if has_lag && world.rng.below(3) == 0 { world.rng.below(4 * WINDOW_MS) } else { 0 };
            world.change(window(n).from.plus(ms), lag_ms).await;
        }
        if !is_committed {
            world.commit(n - 1).await;
        }
    }
    world.commit(WINDOWS - 1).await;
    for (n, before) in (0..).zip(&world.exported) {
        assert_eq!(
            &world.of_window(n).await,
            before,
            "seed {seed}, window {n}: {:?}",
            world.changes
        );
        if has_lag {
            continue;
        }
        for row in rows(&before[0]) {
            let expected = world.by_the_rule(text(&row, "stage"), window(n));
            assert_eq!(
                text(&row, "customer"),
                expected,
                "seed {seed}, window {n}: {:?}",
                world.changes
            );
        }
    }
    // An export of the whole range is the sum of its windows, however few rows are held at once.
    let whole = Span::new(window(0).from, window(WINDOWS).from);
    let all = exported(&world.stage, whole, false, EXPORT_ROWS_MAX).await;
    let by_window: Vec<Value> = world.exported.iter().flat_map(|of| rows(&of[0])).collect();
    assert_eq!(sums(&rows(&all)), sums(&by_window), "seed {seed}");
    for rows_max in [1, 2, 5] {
        assert_eq!(
            exported(&world.stage, whole, false, rows_max).await,
            all,
            "seed {seed}, {rows_max} rows"
        );
    }
    let customers = exported(&world.stage, whole, true, EXPORT_ROWS_MAX).await;
    let total =
        |rows: &[Value]| rows.iter().map(|row| row["watch_ms"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(total(&rows(&customers)), total(&rows(&all)), "seed {seed}");
}

#[timed_test]
async fn a_committed_window_has_the_version_of_its_time_for_good() {
    for seed in 1..=8 {
        history_stays(seed, false).await;
    }
}

#[timed_test]
async fn a_node_whose_clock_is_behind_changes_no_committed_window() {
    for seed in 101..=108 {
        history_stays(seed, true).await;
    }
}
