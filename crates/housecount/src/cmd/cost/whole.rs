//! Sections of the whole bill: of the audience that was asked for, of other audiences, by other
//! ways, and of services at list prices.

use housecount_cost::managed::{self, ManagedService};
use housecount_cost::plans::{AudienceProfile, LogBackend};
use housecount_cost::whole::{self, Front, WholeBill, WholePlan};
use housecount_cost::wire::{self, PlayerTransport};
use housecount_cost::{MONTH_HOURS, Prices, Usd};
use serde_json::{Value, json};

use super::sheet::{Section, Sheet, grouped};

/// Audiences of the comparison, each with a stage per hundred viewers.
const AUDIENCES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Interval of the comparison: a third of the `ttl`, which is the longest that is allowed.
const LONG_INTERVAL_MS: u64 = 40_000;

/// Returns the sections that lead the sheet.
pub(super) fn parts(sheet: &Sheet<'_>) -> Vec<Section> {
    vec![asked(sheet), by_audience(sheet), other_ways(sheet), services(sheet)]
}

fn log_name(log: LogBackend) -> &'static str {
    match log {
        LogBackend::Redis => "Redis",
        LogBackend::DynamoDb => "DynamoDB",
        LogBackend::Here => "disk",
    }
}

/// Returns the id of a place in JSON.
fn log_id(log: LogBackend) -> &'static str {
    match log {
        LogBackend::Redis => "redis",
        LogBackend::DynamoDb => "dynamodb",
        LogBackend::Here => "here",
    }
}

fn own(sheet: &Sheet<'_>, plan: &WholePlan) -> Option<WholeBill> {
    whole::housecount(sheet.prices, plan)
}

/// Returns the whole bill of the audience that was asked for.
fn asked(sheet: &Sheet<'_>) -> Section {
    let (title, head) = ("The whole bill", vec!["line", "of what", "a month", "share"]);
    let Some(bill) = own(sheet, &sheet.plan) else {
        let note = "No machine of the price file is large enough: each node keeps all viewers in \
                    memory. Add a larger [[machine]] to the price file.";
        return Section { title, head, rows: Vec::new(), notes: vec![note.to_string()] };
    };
    let row = |(line, share): (&whole::BillLine, u64)| {
        let month = line.month.to_string();
        vec![line.name.to_string(), line.detail.clone(), month, format!("{share} %")]
    };
    let mut rows: Vec<Vec<String>> = bill.lines.iter().zip(bill.shares()).map(row).collect();
    let last = ["total", "", &bill.total().to_string(), "100 %"];
    rows.push(last.map(ToString::to_string).to_vec());
    Section { title, head, rows, notes: asked_notes(sheet, &bill) }
}

fn asked_notes(sheet: &Sheet<'_>, bill: &WholeBill) -> Vec<String> {
    let (plan, bytes) = (&sheet.plan, sheet.plan.transport.bytes());
    let per_million = bill.per_million_viewer_hours().unwrap_or_default();
    let log = match plan.log {
        None => format!("{}, the cheaper place of both", log_name(bill.log)),
        Some(log) => log_name(log).to_string(),
    };
    let mut notes = vec![
        format!(
            "This is {per_million} per million hours of watching. The log is in {log}. Players use {} with {} B out \
             per heartbeat. A stay is {} B out on a first visit, and {} B on a return with a TLS ticket. Of all stays \
             {} % are returns.",
            plan.transport.name(),
            grouped(bytes.beat_out),
            grouped(bytes.first_out),
            grouped(bytes.return_out),
            plan.returning_percent.min(100),
        ),
        format!(
            "Machines: one may fail, and the others hold the audience, by memory and CPU per viewer \
             ([PERFORMANCE](PERFORMANCE.md)). {} The system's memory ({} MiB) and the DNS queries are assumptions.",
            wire::ORIGIN,
            wire::SYSTEM_BYTES >> 20
        ),
        format!(
            "Not in the bill: backups, logs, certificates with a price, and traffic of operators. A NAT gateway, \
             which nodes with an address do not need, would be {} in each zone.",
            sheet.prices.nat.hour.times(MONTH_HOURS)
        ),
    ];
    let provisioned = bill.provisioned_total(sheet.prices);
    if provisioned < bill.total() {
        notes.push(format!(
            "DynamoDB is on demand. With provisioned capacity and an even load the total is {provisioned}."
        ));
    }
    if !sheet.prices.builtin_sections.is_empty() {
        notes.push(format!(
            "The price file has no prices of {}. These are the prices that come with this program.",
            sheet.prices.builtin_sections.join(", ")
        ));
    }
    notes
}

/// Returns the plan for another audience, with a stage per hundred viewers.
fn plan_of(plan: &WholePlan, viewers: u64, interval_ms: u64) -> WholePlan {
    let of = AudienceProfile { viewers, stages: viewers / 100, interval_ms, ..plan.of };
    WholePlan { of, nodes: None, ..*plan }
}

/// Returns the whole bill of several audiences.
fn by_audience(sheet: &Sheet<'_>) -> Section {
    let plan = &sheet.plan;
    let bills: Vec<Option<WholeBill>> = AUDIENCES
        .iter()
        .map(|viewers| own(sheet, &plan_of(plan, *viewers, plan.of.interval_ms)))
        .collect();
    let row = |name: &str, cell: &dyn Fn(&WholeBill) -> String| {
        let cells = bills.iter().map(|bill| bill.as_ref().map_or("none".to_string(), cell));
        [name.to_string()].into_iter().chain(cells).collect::<Vec<String>>()
    };
    let names = bills.iter().flatten().next().map(|bill| bill.lines.clone()).unwrap_or_default();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (n, line) in names.iter().enumerate() {
        rows.push(row(line.name, &|bill| {
            format!("{}, {} %", bill.lines[n].month, bill.shares()[n])
        }));
    }
    rows.push(row("total", &|bill| bill.total().to_string()));
    rows.push(row("per million viewer-hours", &|bill| {
        bill.per_million_viewer_hours().unwrap_or_default().to_string()
    }));
    rows.push(row("machines", &|bill| format!("{} x {}", bill.nodes, bill.machine)));
    rows.push(row("log", &|bill| log_name(bill.log).to_string()));
    let longer = AUDIENCES.iter().map(|viewers| {
        let bill = own(sheet, &plan_of(plan, *viewers, LONG_INTERVAL_MS));
        bill.map_or("none".to_string(), |bill| bill.total().to_string())
    });
    rows.push(["total at --interval 40s".to_string()].into_iter().chain(longer).collect());
    let usual = AUDIENCES.iter().map(|viewers| {
        let bill = whole::usual_way(sheet.prices, &plan_of(plan, *viewers, plan.of.interval_ms));
        bill.map_or("none".to_string(), |bill| bill.total().to_string())
    });
    rows.push(["the usual way".to_string()].into_iter().chain(usual).collect());
    Section {
        title: "What is the whole bill of other audiences?",
        head: vec!["line", "1,000 viewers", "10,000", "100,000", "1,000,000"],
        rows,
        notes: vec![
            "Each has a stage per hundred viewers, and otherwise what was asked for. An interval of 40 s is a \
             third of the default `ttl`, the longest that is allowed."
                .to_string(),
        ],
    }
}

/// Returns the plans that differ from the one that was asked for in one choice.
///
/// The place of its log is `asked`.
fn variants(plan: &WholePlan, asked: LogBackend) -> Vec<(String, WholePlan)> {
    let mut all = vec![("housecount, as asked for".to_string(), *plan)];
    for transport in PlayerTransport::ALL.into_iter().filter(|other| *other != plan.transport) {
        let name = format!("housecount, {}", transport.name());
        all.push((name, WholePlan { transport, ..*plan }));
    }
    for front in [Front::None, Front::Nlb, Front::Alb, Front::CloudFront] {
        if front != plan.front {
            let name = format!("housecount behind {}", front.name());
            all.push((name, WholePlan { front, ..*plan }));
        }
    }
    let other = match asked {
        LogBackend::Redis => LogBackend::DynamoDb,
        LogBackend::DynamoDb | LogBackend::Here => LogBackend::Redis,
    };
    let name = format!("housecount, log in {}", log_name(other));
    all.push((name, WholePlan { log: Some(other), ..*plan }));
    all
}

/// Returns all ways to serve the audience, with their bills.
fn ways(sheet: &Sheet<'_>) -> Vec<(String, WholeBill)> {
    let usual = whole::usual_way(sheet.prices, &sheet.plan);
    let name = "the usual way: Node, Redis and DynamoDB behind ALB".to_string();
    let asked = own(sheet, &sheet.plan).map_or(LogBackend::Redis, |bill| bill.log);
    variants(&sheet.plan, asked)
        .into_iter()
        .filter_map(|(name, plan)| Some((name, own(sheet, &plan)?)))
        .chain(usual.map(|bill| (name, bill)))
        .collect()
}

fn month_of(bill: &WholeBill, id: &str) -> Usd {
    bill.lines.iter().find(|line| line.id == id).map_or(Usd(0), |line| line.month)
}

/// Returns the whole bill by other ways.
fn other_ways(sheet: &Sheet<'_>) -> Section {
    let row = |(name, bill): (String, WholeBill)| {
        let stores = month_of(&bill, "redis").plus(month_of(&bill, "dynamodb"));
        vec![
            name,
            format!("{} x {}", bill.nodes, bill.machine),
            month_of(&bill, "egress").to_string(),
            month_of(&bill, "balancer").to_string(),
            stores.to_string(),
            bill.total().to_string(),
        ]
    };
    Section {
        title: "What would other ways cost?",
        head: vec!["way", "machines", "bytes", "balancer", "Redis and DynamoDB", "total"],
        rows: ways(sheet).into_iter().map(row).collect(),
        notes: vec![
            "The usual way: Express calls SETEX, SADD and GET per heartbeat, over HTTP/2 with a preflight each. \
             It writes counts and a watch record per viewer every five minutes. A CDN without a plan charges each \
             request of `fetch`, but a WebSocket only once."
                .to_string(),
        ],
    }
}

/// Returns the services at their list prices.
fn services(sheet: &Sheet<'_>) -> Section {
    let row = |service: ManagedService| {
        vec![
            service.name.to_string(),
            service.month.map_or("no list price".to_string(), |month| month.to_string()),
            service.arithmetic.to_string(),
            service.source.to_string(),
        ]
    };
    Section {
        title: "What would services cost?",
        head: vec!["service", "a month", "list prices", "source"],
        rows: managed::services(&sheet.of).into_iter().map(row).collect(),
        notes: vec![
            "Computed from list prices as of 2026-11, not measured. Bytes to the internet are extra with AWS. None \
             of them keeps a ledger of watch time. General knowledge: a price that was not seen in a stored page. \
             Check prices before you rely on a row."
                .to_string(),
        ],
    }
}

fn bill_json(prices: &Prices, bill: &WholeBill) -> Value {
    let lines: Vec<Value> = bill
        .lines
        .iter()
        .zip(bill.shares())
        .map(|(line, share)| {
            json!({
                "id": line.id, "name": line.name, "detail": line.detail,
                "monthUsd": line.month, "sharePercent": share,
            })
        })
        .collect();
    json!({
        "monthUsd": bill.total(), "provisionedMonthUsd": bill.provisioned_total(prices),
        "perMillionViewerHoursUsd": bill.per_million_viewer_hours(),
        "nodes": bill.nodes, "machine": bill.machine, "log": log_id(bill.log),
        "bytesOut": bill.traffic.bytes_out, "bytesIn": bill.traffic.bytes_in, "lines": lines,
    })
}

/// Adds the whole bill, other ways and services to the figures for programs.
pub(super) fn add_json(sheet: &Sheet<'_>, figures: &mut Value) {
    let way = |(name, bill)| json!({ "name": name, "bill": bill_json(sheet.prices, &bill) });
    let service = |of: ManagedService| {
        json!({
            "name": of.name, "monthUsd": of.month, "listPrices": of.arithmetic, "source": of.source,
        })
    };
    figures["builtinPrices"] = json!(sheet.prices.builtin_sections);
    let asked = own(sheet, &sheet.plan);
    figures["wholeBill"] = asked.map_or(Value::Null, |bill| bill_json(sheet.prices, &bill));
    figures["otherWays"] = ways(sheet).into_iter().map(way).collect();
    figures["services"] = managed::services(&sheet.of).into_iter().map(service).collect();
}
