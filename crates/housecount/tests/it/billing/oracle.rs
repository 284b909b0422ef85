//! Drawn audiences with late beats and changes of customers, real commits, real exports.
//!
//! The records are those of a plain program over the rows of `export --intervals`. They never
//! change.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use housecount::export::billing::{
    self, BillingFormat, BillingRequest, BillingSummary, BillingUnit, final_to,
};
use housecount::export::{self, BillingRounding, CsvStyle, ExportFormat, ExportRequest};
use housecount_backend::cold::{Cold, KeyedItem};
use housecount_core::event::EventKind;
use housecount_core::keys::Key;
use housecount_core::limits::{EXPORT_ROWS_MAX, USAGE_SUMS_MAX};
use housecount_core::span::Span;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_core::version::ConfigVersion;
use housecount_server::calendar::{self, PeriodUnit};
use housecount_test::timed_test;
use parking_lot::Mutex;
use serde_json::Value;

use crate::ledger::stage::{
    BASE, HOUR_MS, LATENESS_MS, LoggedEvent, MINUTE_MS, Stage, TTL_MS, WINDOW_MS,
};
use crate::support::crowd::Rng;

/// Eight hours.
const WINDOWS: u64 = 96;
const STAGES: u64 = 3;
const SEEDS: u64 = 12;

/// A writer that keeps what is written to it.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Out {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn window(n: u64) -> UnixMs {
    BASE.aligned(WINDOW_MS).plus(n * WINDOW_MS)
}

/// The start of the first hour with an audience, and the end of the last.
fn hours() -> Span {
    Span::new(BASE.aligned(HOUR_MS), window(WINDOWS).aligned(HOUR_MS).plus(HOUR_MS))
}

/// Viewers who come and go. Some of their beats reach the log up to `lateness_max` late.
fn audience(rng: &mut Rng) -> Vec<LoggedEvent> {
    let mut events = Vec::new();
    for viewer in 0..4 + rng.below(6) {
        let stage = format!("stage-{}", rng.below(STAGES));
        let mut at = window(0).plus(rng.below(WINDOWS * WINDOW_MS / 2));
        let until = at.plus(rng.below(WINDOWS * WINDOW_MS)).min(window(WINDOWS));
        let mut late_until = UnixMs::ZERO;
        while at < until {
            if rng.below(100) == 0 {
                late_until = at.plus(rng.below(10 * MINUTE_MS));
            }
            // All beats of some minutes come late together, as after an outage.
            let is_late = at < late_until;
            let late_ms = if is_late { rng.below(LATENESS_MS - MINUTE_MS) } else { 10 };
            events.push(LoggedEvent {
                at,
                logged: at.plus(late_ms),
                kind: EventKind::Beat,
                stage: stage.clone(),
                viewer: format!("viewer-{viewer}"),
                session: String::new(),
            });
            at = at.plus(if rng.below(40) == 0 { 3 * TTL_MS } else { 30_000 });
        }
    }
    events
}

/// Configures the stages, with changes of the customer and of the name from some windows on.
async fn configure(stage: &Stage, rng: &mut Rng) {
    for n in 0..STAGES {
        let mut from = window(0).minus(WINDOW_MS * rng.below(2) * 12);
        let versions = (1..=rng.below(7) as u32).map(|number| {
            let customer = match rng.below(5) {
                0 => None,
                customer => Some(format!("cus_{}", customer % 3)),
            };
            let name = Some(format!("name {}", rng.below(2)));
            let id = format!("stage-{n}");
            let config =
                StageConfig { stage: id.clone(), customer, name, ..StageConfig::default() };
            let config = (rng.below(6) > 0).then_some(config);
            let key = Key::Version { stage: id.clone(), number };
            let version =
                ConfigVersion { stage: id, number, changed_at: from, effective_from: from, config };
            from = from.plus(WINDOW_MS * (1 + rng.below(30)));
            KeyedItem { key, item: version.to_item() }
        });
        stage.cold.put(versions.collect()).await.unwrap();
    }
}

fn request(range: Span, format: BillingFormat, unit: BillingUnit) -> BillingRequest {
    let (stage, meter, sums_max) = (None, "watch".to_string(), USAGE_SUMS_MAX);
    BillingRequest { range, stage, format, unit, meter, sums_max }
}

async fn written(stage: &Stage, request: &BillingRequest) -> (String, BillingSummary) {
    let out = Out::default();
    let summary = billing::write(&stage.cold(), request, Box::new(out.clone()), |_| ()).await;
    (out.text(), summary.unwrap())
}

async fn exported(stage: &Stage, range: Span, by_customer: bool) -> String {
    let request = ExportRequest {
        range,
        stage: None,
        by_customer,
        by_label: None,
        intervals: !by_customer,
        period: PeriodUnit::Month,
        zone: None,
        round: BillingRounding::None,
        format: ExportFormat::Csv(CsvStyle::Raw),
        rows_max: EXPORT_ROWS_MAX,
    };
    let out = Out::default();
    export::write(&stage.cold(), &request, Box::new(out.clone()), |_| ()).await.unwrap();
    out.text()
}

/// Watch time by customer, stage and start of the hour, of rows of `export --intervals`.
fn plain(csv: &str) -> BTreeMap<(String, String, u64), u64> {
    let mut sums = BTreeMap::new();
    for line in csv.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (mut from, to): (u64, u64) = (cells[3].parse().unwrap(), cells[4].parse().unwrap());
        while from < to {
            let hour = from / HOUR_MS * HOUR_MS;
            let end = to.min(hour + HOUR_MS);
            let key = (cells[5].to_string(), cells[0].to_string(), hour);
            *sums.entry(key).or_default() += end - from;
            from = end;
        }
    }
    sums
}

fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(record: &Value, pointer: &str) -> String {
    record.pointer(pointer).and_then(Value::as_str).unwrap().to_string()
}

fn hour_of(record: &Value, pointer: &str) -> u64 {
    calendar::parse(&text(record, pointer)).unwrap().0
}

/// Checks the records of a range against the plain program. Returns their number.
async fn assert_records(stage: &Stage, range: Span, seed: u64) -> usize {
    let expected = plain(&exported(stage, range, false).await);
    let unassigned_ms: u64 =
        expected.iter().filter(|((customer, ..), _)| customer.is_empty()).map(|(_, ms)| ms).sum();
    let assigned: BTreeMap<_, _> =
        expected.into_iter().filter(|((customer, ..), _)| !customer.is_empty()).collect();

    let exact = request(range, BillingFormat::OpenMeter, BillingUnit::Milliseconds);
    let (open_meter, summary) = written(stage, &exact).await;
    let events = records(&open_meter);
    let of_event = |event: &Value| {
        let key = (text(event, "/subject"), text(event, "/data/stage"), hour_of(event, "/time"));
        (key, event["data"]["value"].as_u64().unwrap())
    };
    let found: BTreeMap<_, _> = events.iter().map(of_event).collect();
    assert_eq!(found.len(), events.len(), "seed {seed}: no hour comes twice");
    assert_eq!(found, assigned, "seed {seed}");
    assert_eq!((summary.records, summary.unassigned_ms), (events.len() as u64, unassigned_ms));
    assert_eq!((summary.watch_ms, summary.units), (assigned.values().sum(), summary.watch_ms));

    let ids: Vec<String> = events.iter().map(|event| text(event, "/id")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "seed {seed}");
    let minutes = request(range, BillingFormat::Stripe, BillingUnit::Minutes);
    let stripe = records(&written(stage, &minutes).await.0);
    let of_stripe = |event: &Value| {
        let (hour, value) = (event["timestamp"].as_u64(), event["payload"]["value"].as_u64());
        let customer = text(event, "/payload/stripe_customer_id");
        (text(event, "/identifier"), customer, hour.unwrap() * 1_000, value.unwrap())
    };
    let in_minutes = |event: &Value| {
        let ((customer, _, hour), ms) = of_event(event);
        (text(event, "/id"), customer, hour, (ms + 30_000) / 60_000)
    };
    assert_eq!(
        stripe.iter().map(of_stripe).collect::<Vec<_>>(),
        events.iter().map(in_minutes).collect::<Vec<_>>(),
        "seed {seed}"
    );

    let mut by_customer: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for ((customer, _, hour), ms) in &assigned {
        *by_customer.entry((customer.clone(), *hour)).or_default() += ms;
    }
    let marketplace = request(range, BillingFormat::AwsMarketplace, BillingUnit::Milliseconds);
    let quantities = records(&written(stage, &marketplace).await.0);
    let of_record = |record: &Value| {
        let key = (text(record, "/CustomerIdentifier"), hour_of(record, "/Timestamp"));
        (key, record["Quantity"].as_u64().unwrap())
    };
    let found: BTreeMap<_, _> = quantities.iter().map(of_record).collect();
    assert_eq!(found.len(), quantities.len(), "seed {seed}: no hour comes twice");
    assert_eq!(found, by_customer, "seed {seed}");

    // The invoice has the same sums.
    let mut invoice: BTreeMap<String, u64> = BTreeMap::new();
    for line in exported(stage, range, true).await.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        *invoice.entry(cells[0].to_string()).or_default() += cells[4].parse::<u64>().unwrap();
    }
    assert_eq!(invoice.remove("").unwrap_or_default(), unassigned_ms, "seed {seed}");
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    assigned.into_iter().for_each(|((customer, ..), ms)| *sums.entry(customer).or_default() += ms);
    assert_eq!(sums, invoice, "seed {seed}");
    events.len()
}

#[timed_test(flavor = "multi_thread")]
async fn records_are_those_of_a_plain_program_and_final() {
    let (mut count, mut grown, mut finals) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut rng = Rng(seed);
        let stage = Stage::new(audience(&mut rng)).await;
        configure(&stage, &mut rng).await;
        let mut node = stage.node().await;
        // Records of the hours that were final, and of those that were committed, in the course.
        let (mut was_final, mut was_committed) = (Vec::new(), Vec::new());
        let exact = |to| {
            let range = Span::new(hours().from, UnixMs(to));
            request(range, BillingFormat::OpenMeter, BillingUnit::Milliseconds)
        };
        // Two hours more, after which all hours are final.
        for n in 1..=WINDOWS + 26 {
            let now = window(n).plus(TTL_MS + 1_000);
            stage.hear(&mut node, now).await;
            node.commit(now).await.unwrap();
            if n % 5 == 0 || n > WINDOWS + 24 {
                let end = final_to(&stage.cold()).await.unwrap().max(hours().from);
                was_final.push((end, written(&stage, &exact(end.0)).await.0));
                let end = export::committed_to(&stage.cold()).await.unwrap().aligned(HOUR_MS);
                let end = end.max(hours().from);
                was_committed.push((end, written(&stage, &exact(end.0)).await.0));
            }
        }
        for (end, before) in was_final {
            assert_eq!(written(&stage, &exact(end.0)).await.0, before, "seed {seed}, {end}");
            finals += usize::from(!before.is_empty());
        }
        for (end, before) in was_committed {
            grown += usize::from(written(&stage, &exact(end.0)).await.0 != before);
        }
        let end = final_to(&stage.cold()).await.unwrap();
        assert!(end >= hours().to, "seed {seed}: {end}");
        count += assert_records(&stage, hours(), seed).await;

        // However the range is cut, the same records come, and however few sums are held.
        let whole = exact(hours().to.0);
        let all = written(&stage, &whole).await.0;
        let cut = hours().from.plus(HOUR_MS * (1 + rng.below(hours().ms() / HOUR_MS - 1)));
        let (from, to) = (hours().from, hours().to);
        let mut parts = Vec::new();
        for range in [Span::new(cut, to), Span::new(from, cut)] {
            let part = written(&stage, &BillingRequest { range, ..whole.clone() }).await.0;
            parts.extend(part.lines().map(str::to_string));
            assert_records(&stage, range, seed).await;
        }
        let mut lines: Vec<String> = all.lines().map(str::to_string).collect();
        parts.sort_unstable();
        lines.sort_unstable();
        assert_eq!(parts, lines, "seed {seed}");
        for sums_max in [1, 2, 7] {
            let few = BillingRequest { sums_max, ..whole.clone() };
            assert_eq!(written(&stage, &few).await.0, all, "seed {seed}, {sums_max} sums");
        }
        let one = BillingRequest { stage: Some("stage-1".into()), ..whole };
        let of_one: Vec<&str> =
            all.lines().filter(|line| line.contains(r#""stage":"stage-1""#)).collect();
        let found = written(&stage, &one).await.0;
        assert_eq!(found.lines().collect::<Vec<_>>(), of_one, "seed {seed}");
    }
    assert!(count > 100 && finals > 50, "{count} {finals}");
    assert!(grown > 20, "late beats grew only {grown} exports of committed hours");
}
