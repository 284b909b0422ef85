//! Nodes that prove and commit over one log and one cold tier, on the test's own clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::error::StoreResult;
use housecount_backend::log::{Log, MemoryLog, Position};
use housecount_backend::tasks::Progress;
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::fold::HandleKey;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::Settings;
use housecount_engine::internals::Hub;
use housecount_engine::internals::LedgerCommitter;
use housecount_engine::internals::{Proofs, scan};
use housecount_ledger::watch::WatchFilter;
use housecount_metrics::Metrics;

use crate::cold::FaultyCold;

pub const WINDOW_MS: u64 = 300_000;
pub const TTL_MS: u64 = 120_000;
pub const LATENESS_MS: u64 = 3_600_000;
pub const MINUTE_MS: u64 = 60_000;
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
pub const BASE: UnixMs = UnixMs(1_790_000_100_000);

/// A player's event, and the time at which the log had it.
#[derive(Clone, Debug)]
pub struct LoggedEvent {
    pub at: UnixMs,
    pub logged: UnixMs,
    pub kind: EventKind,
    pub stage: String,
    pub viewer: String,
    pub session: String,
}

impl LoggedEvent {
    pub fn event(&self) -> EventRef<'_> {
        let LoggedEvent { at, kind, .. } = *self;
        EventRef {
            labels: SessionLabels::NONE,
            at,
            kind,
            ids: Ids { stage: &self.stage, viewer: &self.viewer, session: &self.session },
        }
    }
}

/// Values of labels of a viewer's session, in the order of [`LABEL_KEYS`].
pub type LabelsOf = fn(viewer: &str, session: &str) -> &'static str;

/// Keys of the labels that sessions have, if they have any.
pub const LABEL_KEYS: [&str; 2] = ["country", "device"];

/// Watched time in ms, by stage and viewer.
pub type WatchMs = BTreeMap<(String, String), u64>;

/// A node, with its position in the list of events.
#[derive(Debug)]
pub struct StageNode {
    pub hub: Arc<Hub>,
    pub proofs: Arc<Proofs>,
    commit: LedgerCommitter,
    folded: usize,
}

/// The log, as a list ordered by `logged`, and the stores that all nodes share.
pub struct Stage {
    pub events: Vec<LoggedEvent>,
    pub cold: Arc<FaultyCold>,
    pub log: Arc<MemoryLog>,
    pub labels_of: Option<LabelsOf>,
}

impl Stage {
    pub async fn new(mut events: Vec<LoggedEvent>) -> Stage {
        events.sort_by_key(|event| event.logged);
        Stage {
            events,
            cold: Arc::new(FaultyCold::new().await),
            log: Arc::new(MemoryLog::default()),
            labels_of: None,
        }
    }

    /// Gives each session labels, by its ids.
    #[must_use]
    pub fn with_labels(self, labels_of: LabelsOf) -> Stage {
        Stage { labels_of: Some(labels_of), ..self }
    }

    fn event<'a>(&self, logged: &'a LoggedEvent) -> EventRef<'a> {
        const KEYS: &str = "country\u{1}device";
        let event = logged.event();
        let labels = self.labels_of.and_then(|labels_of| {
            SessionLabels::parse(KEYS, labels_of(&logged.viewer, &logged.session), 0).ok()
        });
        EventRef { labels: labels.unwrap_or_default(), ..event }
    }

    pub fn cold(&self) -> Arc<dyn Cold> {
        self.cold.clone()
    }

    /// Creates a node that reads the events left in the log.
    pub async fn node(&self) -> StageNode {
        self.node_with(&Settings::default()).await
    }

    /// Creates such a node with settings.
    pub async fn node_with(&self, settings: &Settings) -> StageNode {
        let mut hub = Hub::new(settings.rules, 1, true);
        if self.labels_of.is_some() {
            hub = hub.with_labels(&LABEL_KEYS.map(str::to_string));
        }
        let (log, hub) = (self.log.clone(), Arc::new(hub));
        let proofs = Arc::new(Proofs::new(hub.fold(), LATENESS_MS, WINDOW_MS));
        let metrics = Arc::new(Metrics::default());
        let commit = LedgerCommitter::new(
            log,
            self.cold(),
            hub.clone(),
            proofs.clone(),
            metrics,
            "test".to_string(),
            settings.commit(),
        );
        let committed =
            self.log.read(0, Position::START, HandleKey::default()).await.unwrap().origin.committed;
        proofs.note_committed(0, committed);
        // The log is trimmed as `LogMaintenance` does it.
        let kept = committed.minus(2 * TTL_MS);
        let folded = self.events.partition_point(|event| event.logged < kept);
        StageNode { hub, proofs, commit, folded }
    }

    /// Lets a node read the log up to `now`.
    pub async fn hear(&self, node: &mut StageNode, now: UnixMs) {
        let to = self.events.partition_point(|event| event.logged <= now);
        node.hub.apply(self.events[node.folded..to].iter().map(|logged| self.event(logged)));
        node.hub.advance(now);
        node.folded = to;
        let committed =
            self.log.read(0, Position::START, HandleKey::default()).await.unwrap().origin.committed;
        node.proofs.note_committed(0, committed);
        node.proofs.prune(0);
    }

    /// Watch time of each viewer, by the ledger alone.
    pub async fn totals(&self, range: Span) -> WatchMs {
        let page = scan::committed_watch(
            &self.cold(),
            range,
            WatchFilter::default(),
            usize::MAX,
            &mut |_| (),
        )
        .await;
        let page = page.unwrap();
        assert!(!page.more);
        page.rows
            .into_iter()
            .map(|((stage, viewer), row)| ((stage.into(), viewer.into()), row.watch_ms))
            .collect()
    }

    /// Integral of the number of viewers, by the ledger alone.
    pub async fn integral(&self, range: Span, stage: &str) -> u64 {
        let empty = Hub::new(Settings::default().rules, 1, true);
        let empty = Arc::new(Proofs::new(empty.fold(), LATENESS_MS, WINDOW_MS));
        let steps =
            scan::history(&self.cold(), &empty, range, 7 * MINUTE_MS, Some(stage)).await.unwrap().0;
        steps.iter().map(|step| step.integral_ms).sum()
    }
}

impl StageNode {
    /// Commits all that is due at `now`.
    pub async fn commit(&mut self, now: UnixMs) -> StoreResult<()> {
        while self.commit.step(0, now).await? == Progress::More {}
        Ok(())
    }
}

/// The billing rule, word for word. A beat and a later beat or leave of its session, at most a ttl
/// apart, prove the time between them. The result is the measure of the union, by stage and viewer.
pub fn oracle(events: &[LoggedEvent]) -> WatchMs {
    let mut by_session: BTreeMap<(&str, &str, &str), Vec<&LoggedEvent>> = BTreeMap::new();
    let mut leaves_of_all: BTreeMap<(&str, &str), Vec<UnixMs>> = BTreeMap::new();
    for event in events {
        by_session.entry((&event.stage, &event.viewer, &event.session)).or_default().push(event);
        if event.kind == EventKind::Leave && event.session.is_empty() {
            leaves_of_all.entry((&event.stage, &event.viewer)).or_default().push(event.at);
        }
    }
    let mut proven: BTreeMap<(String, String), Vec<(u64, u64)>> = BTreeMap::new();
    for ((stage, viewer, _), events) in by_session {
        let all = leaves_of_all.get(&(stage, viewer)).cloned().unwrap_or_default();
        let mut times: Vec<u64> =
            events.iter().map(|event| event.at.0).chain(all.iter().map(|at| at.0)).collect();
        times.sort_unstable();
        for beat in
            events.iter().filter(|event| event.kind == EventKind::Beat).map(|event| event.at.0)
        {
            let reached = times.partition_point(|at| *at <= beat + TTL_MS);
            let last = times[..reached].last().copied().unwrap_or(beat);
            proven.entry((stage.to_string(), viewer.to_string())).or_default().push((beat, last));
        }
    }
    let measure = |mut spans: Vec<(u64, u64)>| {
        spans.sort_unstable();
        let (mut sum, mut end) = (0, 0);
        for (from, to) in spans {
            sum += to.saturating_sub(from.max(end));
            end = end.max(to);
        }
        sum
    };
    proven.into_iter().map(|(who, spans)| (who, measure(spans))).filter(|(_, ms)| *ms > 0).collect()
}

/// The hour of [`an_hour`].
pub fn range() -> Span {
    let from = BASE.aligned(WINDOW_MS);
    Span::new(from, from.plus(HOUR_MS))
}

/// End of the n-th window of [`range`].
pub fn window(n: u64) -> UnixMs {
    range().from.plus(n * WINDOW_MS)
}

/// A committed hour of `viewers` who all stay.
pub async fn an_hour(viewers: usize) -> Stage {
    let beats = |viewer: usize| {
        (0..HOUR_MS + 2 * MINUTE_MS).step_by(30_000).map(move |ms| LoggedEvent {
            at: range().from.plus(ms + viewer as u64 % 1_000),
            logged: range().from.plus(ms + 1_000),
            kind: EventKind::Beat,
            stage: format!("stage-{}", viewer % 3),
            viewer: format!(
                "{:032x}-{viewer}",
                (viewer as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_ac69_5d12_b3a1)
            ),
            session: String::new(),
        })
    };
    let stage = Stage::new((0..viewers).flat_map(beats).collect()).await;
    let mut node = stage.node().await;
    for n in 1..=12 {
        let now = window(n).plus(TTL_MS + 1_000);
        stage.hear(&mut node, now).await;
        node.commit(now).await.unwrap();
    }
    stage
}
