//! The cost sheet: costs computed once, and printed as text, Markdown or JSON.

use std::time::Duration;

use housecount_cost::crossover::crossover;
use housecount_cost::own_usage::Deployment;
use housecount_cost::plans::{self, ArchiveKind, AudienceProfile, Bill, CostPlan, LogBackend};
use housecount_cost::prices::{CacheEngine, HEADROOM, PriceList, UTILIZATION_PERCENT};
use housecount_cost::whole::WholePlan;
use housecount_cost::{MONTH_HOURS, Prices, Usd};
use serde_json::{Value, json};

use super::{common_claims, whole};

/// Measurements and their dates; none of these figures is computed.
const MEASURED: &str = include_str!("measured.md");

/// A table with its notes.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) notes: Vec<String>,
}

/// Computed costs of an audience, for output as text, Markdown or JSON.
pub(super) struct Sheet<'a> {
    pub(super) of: AudienceProfile,
    pub(super) plan: WholePlan,
    pub(super) prices: &'a Prices,
    setup: Deployment,
    known: Vec<CostPlan>,
    own: Vec<CostPlan>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(plan: WholePlan, prices: &'a Prices) -> Sheet<'a> {
        let of = plan.of;
        let setup = Deployment::default();
        let own = [LogBackend::Redis, LogBackend::DynamoDb]
            .into_iter()
            .flat_map(|log| [(log, ArchiveKind::Off), (log, ArchiveKind::Packed)])
            .map(|(log, kept)| plans::housecount(&of, &setup, log, kept));
        Sheet { of, plan, prices, setup, known: plans::standard_plans(&of), own: own.collect() }
    }

    fn plans(&self) -> impl Iterator<Item = &CostPlan> {
        self.known.iter().chain(&self.own)
    }

    fn total(&self, plan: &CostPlan) -> Usd {
        plan.bill(self.prices, PriceList::Now).total()
    }

    fn intro(&self) -> String {
        let AudienceProfile { viewers, stages, stay_ms, interval_ms } = self.of;
        let time =
            |ms| humantime::format_duration(Duration::from_millis(ms)).to_string().replace(' ', "");
        format!(
            "{} viewers at once all month on {} stages, each for {}, a heartbeat every {}. That is {} heartbeats and {} hours of watching in \
             a month of {MONTH_HOURS} h. Prices: {}, and for DynamoDB also those until November 2024.",
            grouped(viewers),
            grouped(stages),
            time(stay_ms),
            time(interval_ms),
            grouped(self.of.beats_a_month()),
            grouped(self.of.viewer_hours()),
            self.prices.name
        )
    }

    fn parts(&self) -> Vec<Section> {
        let mut parts = whole::parts(self);
        parts.extend([
            self.month(),
            self.purposes(),
            self.provisioned(),
            self.redis(),
            self.crossovers(),
            common_claims::part(self),
        ]);
        parts
    }

    fn month(&self) -> Section {
        let row = |plan: &CostPlan| {
            let bill = plan.bill(self.prices, PriceList::Now);
            let before = plan.bill(self.prices, PriceList::Before).requests;
            let money = [before, bill.requests, bill.storage, bill.redis, bill.total()];
            let mut row = vec![plan.name.to_string()];
            row.extend(money.iter().map(ToString::to_string));
            row.extend([plan.loses.to_string(), plan.run_by.to_string()]);
            row
        };
        Section {
            title: "What does the store cost a month?",
            head: vec![
                "plan", "until 2024-11", "DynamoDB", "storage", "Redis", "total", "loses", "run it with",
            ],
            rows: self.plans().map(row).collect(),
            notes: vec![
                "DynamoDB: requests on demand, at the list price until November 2024 and now. Storage: after a month. The total is at \
                 today's price."
                    .to_string(),
            ],
        }
    }

    fn purposes(&self) -> Section {
        // The plan that has all purposes.
        let all =
            plans::housecount(&self.of, &self.setup, LogBackend::DynamoDb, ArchiveKind::Packed);
        let row = |(name, units): &(&'static str, housecount_core::units::Units)| {
            vec![
                (*name).to_string(),
                grouped(units.writes),
                grouped(units.read_halves / 2),
                self.prices.units(*units, PriceList::Now).to_string(),
            ]
        };
        Section {
            title: "What does housecount spend on the store?",
            head: vec!["purpose", "write units", "read units", "a month"],
            rows: all.parts.iter().map(row).collect(),
            notes: vec![
                "The archive and the log count only where they are switched on.".to_string(),
            ],
        }
    }

    fn provisioned(&self) -> Section {
        let row = |plan: &CostPlan| {
            let units = plan.units();
            vec![
                plan.name.to_string(),
                self.prices.units(units, PriceList::Now).to_string(),
                self.prices.provisioned(units).to_string(),
            ]
        };
        let of = &self.prices.provisioned;
        Section {
            title: "On demand or provisioned?",
            head: vec!["plan", "on demand", "provisioned"],
            rows: self.plans().filter(|plan| !plan.parts.is_empty()).map(row).collect(),
            notes: vec![format!(
                "Provisioned: even load, capacity used by {UTILIZATION_PERCENT} % (the target of AWS's auto scaling), {} \
                 write and {} read units of it at no charge. It is cheaper than on demand where more than {} % of it is used all day \
                 long. An evening audience uses less, and requests beyond the capacity are throttled.",
                of.write_free,
                of.read_free,
                self.prices.provisioned_wins_at_percent()
            )],
        }
    }

    fn redis(&self) -> Section {
        let row = |name: &str, plan: &CostPlan| {
            let need = plan.redis?;
            let node = |engine| match need.nodes(self.prices, engine) {
                Some(one) if one.count == 1 => format!("{} {}", one.node.name, one.month()),
                Some(some) => format!("{} x {} {}", some.count, some.node.name, some.month()),
                None => "none".to_string(),
            };
            let serverless = self.prices.serverless(need.bytes, need.commands).to_string();
            let memory = format!("{} MB", grouped(need.bytes.div_ceil(1_000_000)));
            let cpu = format!("{}.{} %", need.cpu_permille / 10, need.cpu_permille % 10);
            Some(vec![
                name.to_string(),
                memory,
                cpu,
                node(CacheEngine::Valkey),
                node(CacheEngine::Redis),
                serverless,
            ])
        };
        let rows = [self.known.get(1).and_then(|plan| row("one key per viewer", plan))];
        let rows = rows
            .into_iter()
            .chain([self.own.first().and_then(|plan| row("housecount's log", plan))]);
        Section {
            title: "Which Redis is enough?",
            head: vec![
                "content",
                "memory",
                "CPU of a core",
                "Valkey",
                "Redis OSS",
                "serverless Valkey",
            ],
            rows: rows.flatten().collect(),
            notes: vec![format!(
                "Each node is the smallest one that holds {HEADROOM} times as much and may use as much CPU all \
                 day. Where none does, the cheapest several are shown. ElastiCache reserves a \
                 quarter of the memory, and half on micro nodes, for backups and failovers. A replica \
                 is another node. Serverless is billed for 100 MB at least, and for each command. It \
                 always evicts by volatile-lru: harmless for the log, which has no TTL, but published \
                 counts may go."
            )],
        }
    }

    fn crossovers(&self) -> Section {
        let (prices, setup) = (self.prices, &self.setup);
        let total = |plan: CostPlan| plan.bill(prices, PriceList::Now).total();
        let own = |log, kept| move |of: &AudienceProfile| plans::housecount(of, setup, log, kept);
        let bare = own(LogBackend::DynamoDb, ArchiveKind::Off);
        let with = own(LogBackend::Redis, ArchiveKind::Off);
        let shown = |found: Option<u64>| {
            found.map_or("never".to_string(), |viewers| {
                format!("up to {} viewers", grouped(viewers))
            })
        };
        let find = |what: &str, found| vec![what.to_string(), shown(found)];
        let free = |of: &AudienceProfile| prices.provisioned(bare(of).units());
        let rows = vec![
            find(
                "pure DynamoDB is cheaper than the smallest Redis alone",
                crossover(
                    &self.of,
                    |of| total(plans::pure_dynamodb(of)),
                    |of| total(plans::pure_redis(of)),
                ),
            ),
            find(
                "housecount without Redis is cheaper than with it, on demand",
                crossover(&self.of, |of| total(bare(of)), |of| total(with(of))),
            ),
            find(
                "housecount without Redis fits the provisioned units at no charge",
                crossover(&self.of, free, |_| Usd(0)),
            ),
        ];
        Section {
            title: "Where do plans cross?",
            head: vec!["what", "where"],
            rows,
            notes: Vec::new(),
        }
    }

    /// Formats the sheet for a terminal.
    pub(super) fn text(&self) -> String {
        let mut out = wrapped(&self.intro(), 110);
        for part in self.parts() {
            out.push_str(&format!("\n{}\n", part.title));
            let cells =
                |row: &[String], n: usize| row.get(n).map_or(0, |cell| cell.chars().count());
            let width = |n: usize| {
                let rows = part.rows.iter().map(|row| cells(row, n));
                rows.chain([part.head[n].chars().count()]).max().unwrap_or(0)
            };
            let widths: Vec<usize> = (0..part.head.len()).map(width).collect();
            let head: Vec<String> = part.head.iter().map(ToString::to_string).collect();
            for row in [&head].into_iter().chain(&part.rows) {
                let line = row.iter().zip(&widths).enumerate().map(|(n, (cell, width))| match n {
                    0 => format!("{cell:<width$}"),
                    _ if is_number(&part, n) => format!("{cell:>width$}"),
                    _ => format!("{cell:<width$}"),
                });
                out.push_str(&format!("  {}\n", line.collect::<Vec<_>>().join("  ").trim_end()));
            }
            for note in &part.notes {
                let note = note.replace("[PERFORMANCE](PERFORMANCE.md)", "docs/PERFORMANCE.md");
                out.push_str(&wrapped(&note, 110));
            }
        }
        out
    }

    /// Formats the sheet as docs/COST.md.
    pub(super) fn markdown(&self) -> String {
        let mut out =
            "# Cost\n\nFor operators who want to know the whole bill of an audience, and \
                       what other ways would cost.\n\n"
                .to_string();
        for title in self.parts().iter().map(|part| part.title).chain(["Measured"]) {
            let anchor = title.to_lowercase().replace(' ', "-").replace([',', '?'], "");
            out.push_str(&format!("- [{title}](#{anchor})\n"));
        }
        out.push('\n');
        out.push_str(&wrapped(
            "Made by `housecount cost --markdown`; do not edit it. `housecount cost --help` describes \
             other audiences and prices. `/v1/cost` of a running node shows its own consumption \
             ([API](API.md#what-does-it-cost-so-far)).",
            100,
        ));
        out.push('\n');
        out.push_str(&wrapped(&self.intro(), 100));
        for part in self.parts() {
            out.push_str(&format!("\n## {}\n\n", part.title));
            let rule =
                (0..part.head.len()).map(|n| if is_number(&part, n) { "---:" } else { "---" });
            out.push_str(&format!("| {} |\n", part.head.join(" | ")));
            out.push_str(&format!("| {} |\n", rule.collect::<Vec<_>>().join(" | ")));
            for row in &part.rows {
                out.push_str(&format!("| {} |\n", row.join(" | ")));
            }
            for note in &part.notes {
                out.push_str(&format!("\n{}", wrapped(note, 100)));
            }
        }
        out.push('\n');
        out.push_str(MEASURED);
        out
    }

    /// Formats the sheet for programs.
    pub(super) fn json(&self) -> Value {
        let plan = |plan: &CostPlan| {
            let units = plan.units();
            let Bill { requests, storage, redis } = plan.bill(self.prices, PriceList::Now);
            let before = plan.bill(self.prices, PriceList::Before).requests;
            json!({
                "plan": plan.kind.id(), "name": plan.name, "loses": plan.loses, "runBy": plan.run_by,
                "writeUnits": units.writes, "readUnits": units.read_halves as f64 / 2.0,
                "requestsUsd": requests, "requestsBeforeUsd": before, "storageUsd": storage, "redisUsd": redis,
                "provisionedUsd": self.prices.provisioned(units), "monthUsd": self.total(plan),
            })
        };
        let AudienceProfile { viewers, stages, stay_ms, interval_ms } = self.of;
        let mut figures = json!({
            "prices": self.prices.name,
            "audience": {
                "viewers": viewers, "stages": stages, "stayMs": stay_ms, "intervalMs": interval_ms,
                "heartbeats": self.of.beats_a_month(), "viewerHours": self.of.viewer_hours(),
            },
            "plans": self.plans().map(plan).collect::<Vec<_>>(),
            "crossovers": self.crossovers().rows, "claims": common_claims::part(self).rows,
        });
        whole::add_json(self, &mut figures);
        figures
    }
}

/// Whether a column holds amounts or counts, which are aligned to the right.
fn is_number(part: &Section, column: usize) -> bool {
    let is = |cell: &String| cell.chars().all(|c| c.is_ascii_digit() || "$,. %".contains(c));
    column > 0 && part.rows.iter().all(|row| row.get(column).is_some_and(is))
}

/// Formats a number with commas between groups of three digits.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn wrapped(text: &str, width: usize) -> String {
    let (mut out, mut length) = (String::new(), 0);
    for word in text.split_whitespace() {
        let space = usize::from(length > 0);
        if length + space + word.len() > width {
            out.push('\n');
            length = 0;
        } else if space == 1 {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += word.len();
    }
    out.push('\n');
    out
}
