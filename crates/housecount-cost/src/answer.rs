//! The metered cost as the API answers it: numbers in US dollars, by their public names.

use housecount_core::units::Units;
use serde::Serialize;
use utoipa::ToSchema;

use crate::guard::BudgetGuard;
use crate::money::Usd;
use crate::report::CostReport;
use crate::tracker::{CostTracker, store_of};

/// Metered cost of this node's calls. Money is in US dollars, to the micro-dollar.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CostResponse)]
#[serde(rename_all = "camelCase")]
pub struct CostBody {
    /// Start of the count, Unix ms.
    since: u64,
    /// Time of this answer's figures, Unix ms.
    as_of: u64,
    /// The audience at that time.
    audience: AudienceBody,
    /// Region and date of the prices.
    prices: String,
    /// DynamoDB's requests, by purpose.
    purposes: Vec<PurposeBody>,
    /// Data stored in the cold tier.
    storage: StorageBody,
    /// Redis, if it holds the log.
    redis: Option<RedisBody>,
    /// Bytes to clients.
    egress: EgressBody,
    /// The machine that this node runs on; null if it is not known or not counted.
    machine: Option<MachineBody>,
    /// Total of all parts.
    total: TotalBody,
    /// The limit, if one is set.
    limit: Option<LimitBody>,
    /// Cost of this audience for a whole month, by each plan.
    plans: Vec<PlanBody>,
}

/// Size of the audience.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CostAudience)]
#[serde(rename_all = "camelCase")]
pub struct AudienceBody {
    /// Distinct online viewers.
    viewers: u64,
    /// Stages with a viewer online.
    stages: u64,
}

/// DynamoDB's requests for one purpose.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PurposeCost)]
#[serde(rename_all = "camelCase")]
pub struct PurposeBody {
    /// Purpose of the requests.
    purpose: &'static str,
    /// `cold` or `log`.
    store: &'static str,
    /// Read units.
    read_units: f64,
    /// Write units.
    write_units: u64,
    /// Cost so far.
    usd: f64,
    /// Cost in the last hour.
    last_hour_usd: f64,
    /// Cost of a month like the last hour.
    month_usd: f64,
}

/// Data stored in the cold tier.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StorageCost)]
#[serde(rename_all = "camelCase")]
pub struct StorageBody {
    /// Bytes by the table's last report, or else the bytes that this node has written.
    bytes: u64,
    /// Cost of these bytes in a month.
    month_usd: f64,
}

/// Memory and price of Redis.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RedisCost)]
#[serde(rename_all = "camelCase")]
pub struct RedisBody {
    /// Number of commands that this node has sent.
    commands: u64,
    /// Bytes that this node has sent, without the protocol.
    bytes_in: u64,
    /// Bytes of the answers, without the protocol.
    bytes_out: u64,
    /// Memory that Redis uses, by its last report; 0 before the first.
    memory_bytes: u64,
    /// The smallest node type with twice as much memory; `serverless` if none has.
    node: String,
    /// Cost of that node in a month.
    month_usd: f64,
}

/// Bytes of the packets to clients, with their headers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EgressCost)]
#[serde(rename_all = "camelCase")]
pub struct EgressBody {
    /// Bytes so far.
    bytes: u64,
    /// Bytes of a month like the last hour.
    month_bytes: u64,
    /// Cost of these in a month, if they were the only bytes of the account.
    month_usd: f64,
}

/// A machine, with a public address and a disk of 8 GB.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MachineCost)]
#[serde(rename_all = "camelCase")]
pub struct MachineBody {
    /// `cost.machine`, or the cheapest machine with this one's memory.
    name: String,
    /// Cost of a month.
    month_usd: f64,
}

/// Sum of requests, storage and Redis, and of all parts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TotalCost)]
#[serde(rename_all = "camelCase")]
pub struct TotalBody {
    /// Cost of requests so far.
    usd: f64,
    /// Cost of requests in the last hour, or since a later start.
    last_hour_usd: f64,
    /// Cost of a month like the last hour, with storage and Redis.
    month_usd: f64,
    /// The same with bytes to clients and the machine.
    whole_month_usd: f64,
    /// Cost of a million hours of watching, by the last hour; null if there were none.
    per_million_viewer_hours_usd: Option<f64>,
}

/// Limit of the monthly cost.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CostLimit)]
#[serde(rename_all = "camelCase")]
pub struct LimitBody {
    /// `cost.monthly_limit_usd`
    month_usd: f64,
    /// `cost.guard`
    guard: &'static str,
    /// Whether the calls and bytes of a month like the last hour would cost more.
    is_exceeded: bool,
    /// Whether the node saves cost because of it. It then takes snapshots less often, and writes
    /// less often to a log in DynamoDB.
    is_stretched: bool,
    /// Whether the node asks players for a heartbeat every ttl/3 only, because of bytes.
    is_slowed: bool,
}

/// Cost of a plan.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlanCost)]
#[serde(rename_all = "camelCase")]
pub struct PlanBody {
    /// `pure-dynamodb`, `pure-redis`, `hybrid`, `batched` or `housecount`.
    plan: &'static str,
    /// Name of the plan, for people.
    name: &'static str,
    /// Cost of a month.
    month_usd: f64,
    /// Data that the worst single fault loses.
    loses: &'static str,
}

impl CostBody {
    /// Returns the cost so far, of the last hour, and of a month like it.
    #[must_use]
    pub fn of(costs: &CostTracker) -> CostBody {
        let figures = costs.figures();
        let dollars = |usd: Usd| usd.dollars();
        let purposes = figures.spending.iter().map(|of| {
            let Units { writes, read_halves } = of.units;
            PurposeBody {
                purpose: of.purpose.name(),
                store: store_of(of.purpose),
                read_units: read_halves as f64 / 2.0,
                write_units: writes,
                usd: dollars(of.usd),
                last_hour_usd: dollars(of.hour),
                month_usd: dollars(of.month),
            }
        });
        let plans = costs.plans(&figures.audience).into_iter().map(|(plan, bill)| PlanBody {
            plan: plan.kind.id(),
            name: plan.name,
            month_usd: dollars(bill.total()),
            loses: plan.loses,
        });
        let limit = costs.limit.map(|limit| LimitBody {
            month_usd: dollars(limit.month),
            guard: match limit.guard {
                BudgetGuard::Warn => "warn",
                BudgetGuard::Stretch => "stretch",
                BudgetGuard::Interval => "interval",
            },
            is_exceeded: figures.decided.is_exceeded,
            is_stretched: figures.decided.stretch > 1,
            is_slowed: figures.decided.is_slowed,
        });
        CostBody {
            since: figures.since.0,
            as_of: figures.as_of.0,
            audience: AudienceBody {
                viewers: figures.audience.viewers,
                stages: figures.audience.stages,
            },
            prices: costs.prices.name.clone(),
            purposes: purposes.collect(),
            storage: StorageBody {
                bytes: figures.stored_bytes,
                month_usd: dollars(figures.storage),
            },
            redis: redis(&figures),
            egress: EgressBody {
                bytes: figures.egress.bytes,
                month_bytes: figures.egress.month_bytes,
                month_usd: dollars(figures.egress.month),
            },
            machine: figures.machine.map(|machine| MachineBody {
                name: machine.name,
                month_usd: dollars(machine.month),
            }),
            total: TotalBody {
                usd: dollars(figures.total),
                last_hour_usd: dollars(figures.hour),
                month_usd: dollars(figures.month),
                whole_month_usd: dollars(figures.whole_month),
                per_million_viewer_hours_usd: figures.per_million_viewer_hours.map(dollars),
            },
            limit,
            plans: plans.collect(),
        }
    }
}

fn redis(figures: &CostReport) -> Option<RedisBody> {
    let redis = figures.redis.as_ref()?;
    Some(RedisBody {
        commands: redis.used.commands,
        bytes_in: redis.used.bytes_in,
        bytes_out: redis.used.bytes_out,
        memory_bytes: redis.used.memory_bytes,
        node: redis.node.clone().unwrap_or_else(|| "serverless".to_string()),
        month_usd: redis.month.dollars(),
    })
}
