//! What it costs, metered.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_core::cost::guard::BudgetGuard;
use housecount_core::cost::{Units, Usd};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ProblemBody;
use crate::cost::{CostReport, store_of};
use crate::node::Node;

/// What this node's calls cost. Money is in US dollars, to the micro-dollar.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CostResponse)]
#[serde(rename_all = "camelCase")]
pub struct CostBody {
    /// Since when it is counted, Unix ms.
    since: u64,
    /// When it was so, Unix ms.
    as_of: u64,
    /// Who watches.
    audience: AudienceBody,
    /// Region and date of the prices.
    prices: String,
    /// DynamoDB's requests, by what for.
    purposes: Vec<PurposeBody>,
    /// What lies in the cold tier.
    storage: StorageBody,
    /// Redis, where the log is there.
    redis: Option<RedisBody>,
    /// Total of all parts.
    total: TotalBody,
    /// The limit, if there is one.
    limit: Option<LimitBody>,
    /// What this audience would cost by each plan, all month.
    plans: Vec<PlanBody>,
}

/// Who watches.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CostAudience)]
#[serde(rename_all = "camelCase")]
pub struct AudienceBody {
    /// Distinct online viewers.
    viewers: u64,
    /// Stages with somebody online.
    stages: u64,
}

/// DynamoDB's requests for one purpose.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PurposeCost)]
#[serde(rename_all = "camelCase")]
pub struct PurposeBody {
    /// What for.
    purpose: &'static str,
    /// `cold` or `log`.
    store: &'static str,
    /// Read units.
    read_units: f64,
    /// Write units.
    write_units: u64,
    /// What they cost so far.
    usd: f64,
    /// In the last hour.
    last_hour_usd: f64,
    /// In a month like it.
    month_usd: f64,
}

/// What lies in the cold tier.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StorageCost)]
#[serde(rename_all = "camelCase")]
pub struct StorageBody {
    /// As the table last said, or else as this node has put there.
    bytes: u64,
    /// A month of them.
    month_usd: f64,
}

/// Memory and price of Redis.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RedisCost)]
#[serde(rename_all = "camelCase")]
pub struct RedisBody {
    /// Commands this node has sent.
    commands: u64,
    /// Bytes of what it sent, without the protocol.
    bytes_in: u64,
    /// Bytes of what was answered, likewise.
    bytes_out: u64,
    /// What Redis has in memory, as it last said; 0 before.
    memory_bytes: u64,
    /// The smallest node that holds twice as much; `serverless` if none does.
    node: String,
    /// A month of it.
    month_usd: f64,
}

/// Sum of requests, storage and Redis.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TotalCost)]
#[serde(rename_all = "camelCase")]
pub struct TotalBody {
    /// Requests so far.
    usd: f64,
    /// Requests in the last hour, or since the start if that is younger.
    last_hour_usd: f64,
    /// A month like it, with storage and Redis.
    month_usd: f64,
    /// What a million hours of watching cost, by the last hour; null if nobody watched.
    per_million_viewer_hours_usd: Option<f64>,
}

/// The limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CostLimit)]
#[serde(rename_all = "camelCase")]
pub struct LimitBody {
    /// `cost.monthly_limit_usd`
    month_usd: f64,
    /// `cost.guard`
    guard: &'static str,
    /// Whether a month would cost more.
    is_exceeded: bool,
    /// Whether snapshots are taken less often because of it, and a log in DynamoDB is written to
    /// less often.
    is_stretched: bool,
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlanCost)]
#[serde(rename_all = "camelCase")]
pub struct PlanBody {
    /// `pure-dynamodb`, `pure-redis`, `hybrid`, `batched` or `housecount`.
    plan: &'static str,
    /// For people.
    name: &'static str,
    /// A month.
    month_usd: f64,
    /// What is lost when the worst single thing fails.
    loses: &'static str,
}

/// What this node's calls have cost, in the last hour and in a month like it, beside what other
/// plans would cost.
///
/// Each node counts its own calls: add up the nodes'.
#[utoipa::path(get, path = "/v1/cost", operation_id = "showCost", tag = "operations",
    responses((status = 200, body = CostBody),
        (status = 400, description = "an unknown query parameter", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn cost(State(node): State<Arc<Node>>) -> Json<CostBody> {
    let costs = &node.costs;
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
        },
        is_exceeded: figures.decided.is_exceeded,
        is_stretched: figures.decided.stretch > 1,
    });
    Json(CostBody {
        since: figures.since.0,
        as_of: figures.as_of.0,
        audience: AudienceBody {
            viewers: figures.audience.viewers,
            stages: figures.audience.stages,
        },
        prices: costs.prices.name.clone(),
        purposes: purposes.collect(),
        storage: StorageBody { bytes: figures.stored_bytes, month_usd: dollars(figures.storage) },
        redis: redis(&figures),
        total: TotalBody {
            usd: dollars(figures.total),
            last_hour_usd: dollars(figures.hour),
            month_usd: dollars(figures.month),
            per_million_viewer_hours_usd: figures.per_million_viewer_hours.map(dollars),
        },
        limit,
        plans: plans.collect(),
    })
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
