//! The command `housecount cost`.

mod common_claims;
mod sheet;
mod whole;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use housecount_cost::plans::{AudienceProfile, LogBackend};
use housecount_cost::prices::DEFAULT_PRICES;
use housecount_cost::read_prices;
use housecount_cost::whole::{self as whole_bill, Front, WholePlan};
use housecount_cost::wire::PlayerTransport;

use self::sheet::Sheet;
use super::{CommandError, SettingArgs, print_line};

/// Shortest and longest time that is accepted for `--stay` and `--interval`: 1 s and 30 days.
const MS_MIN: u64 = 1_000;
const MS_MAX: u64 = 30 * 86_400_000;
/// Shortest and longest time that is accepted for `--every`, as for `every` of `GET /v1/live`.
const EVERY_MS: std::ops::RangeInclusive<u64> = 1_000..=60_000;
/// Most nodes that are accepted for `--nodes`.
const NODES_MAX: u64 = 1_000;

/// Estimate the whole monthly bill of an audience, and the cost of other ways.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount cost
  housecount cost --viewers 1000000 --stages 2000 --stay 45m
  housecount cost --interval 40s --front nlb          # rarer heartbeats, behind a balancer
  housecount cost --lookers 500 --every 5s            # onlookers of live counts
  housecount cost --print-prices > frankfurt.toml     # then edit the prices in it
  housecount cost --prices frankfurt.toml --json

The whole bill comes first: machines, disks, addresses, bytes to the internet, balancer, DNS, Redis,
DynamoDB and traffic between zones, each with its share. Two nodes or more are planned, of which one
may fail without a loss. Beside it are other transports and balancers, the usual way, and services
at their list prices. The store alone follows, by known plans and by housecount's own.

Units are counted as AWS bills them: each item of a batch by itself, rounded up to a KB. The price
file names the source and the date of every price. /v1/cost of a running node shows its own
consumption, read from every reply.")]
pub(super) struct CostArgs {
    /// Concurrent viewers, all month
    #[arg(
        long,
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(1..=100_000_000)
    )]
    viewers: u64,
    /// Number of stages
    #[arg(
        long,
        default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(1..=10_000_000)
    )]
    stages: u64,
    /// Average stay of a viewer
    #[arg(long, default_value = "30m", value_parser = time)]
    stay: Duration,
    /// Interval between two heartbeats of a player
    #[arg(long, default_value = "30s", value_parser = time)]
    interval: Duration,
    /// Way in which players send heartbeats
    #[arg(long, default_value = "ws", value_parser = transports())]
    transport: PlayerTransport,
    /// Entry between players and nodes
    #[arg(long, default_value = "none", value_parser = fronts())]
    front: Front,
    /// Number of nodes, from 1 to 1,000 [default: as few as hold the audience while one fails]
    #[arg(long, default_value = "auto", hide_default_value = true, value_parser = nodes)]
    nodes: NodeCount,
    /// Place of the log; `auto` is the cheaper of both
    #[arg(long, default_value = "auto", value_parser = logs())]
    log: LogPlace,
    /// Concurrent onlookers of live counts, each on a busy stage
    #[arg(
        long,
        default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(0..=100_000_000)
    )]
    lookers: u64,
    /// Time between two events of an onlooker's stage
    #[arg(long, default_value = "1s", value_parser = every)]
    every: Duration,
    /// Percentage of stays in a browser that has a TLS ticket of an earlier stay
    #[arg(
        long,
        value_name = "PERCENT",
        default_value_t = 50,
        value_parser = clap::value_parser!(u64).range(0..=100)
    )]
    returning: u64,
    /// File of prices [default: the setting `prices`]
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the figures as docs/COST.md
    #[arg(long)]
    markdown: bool,
    /// Print the prices that come with this program, as a file for --prices
    #[arg(long)]
    print_prices: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|e| e.to_string())?;
    let is_sensible = (u128::from(MS_MIN)..=u128::from(MS_MAX)).contains(&time.as_millis());
    if is_sensible { Ok(time) } else { Err("it must be from 1s to 30d".to_string()) }
}

/// Number of nodes; `None` for `auto`.
#[derive(Clone, Copy, Debug)]
struct NodeCount(Option<u64>);

/// Place of the log; `None` for `auto`.
#[derive(Clone, Copy, Debug)]
struct LogPlace(Option<LogBackend>);

fn transports() -> impl TypedValueParser<Value = PlayerTransport> {
    PossibleValuesParser::new(["ws", "h2", "h1"]).map(|name| match name.as_str() {
        "h2" => PlayerTransport::H2,
        "h1" => PlayerTransport::H1,
        _ => PlayerTransport::Ws,
    })
}

fn fronts() -> impl TypedValueParser<Value = Front> {
    PossibleValuesParser::new(["none", "nlb", "alb", "cloudfront"]).map(|name| {
        match name.as_str() {
            "nlb" => Front::Nlb,
            "alb" => Front::Alb,
            "cloudfront" => Front::CloudFront,
            _ => Front::None,
        }
    })
}

fn logs() -> impl TypedValueParser<Value = LogPlace> {
    PossibleValuesParser::new(["auto", "redis", "dynamodb"]).map(|name| match name.as_str() {
        "redis" => LogPlace(Some(LogBackend::Redis)),
        "dynamodb" => LogPlace(Some(LogBackend::DynamoDb)),
        _ => LogPlace(None),
    })
}

fn nodes(text: &str) -> Result<NodeCount, String> {
    let wrong = || format!("it must be auto, or a number from 1 to {NODES_MAX}");
    if text == "auto" {
        return Ok(NodeCount(None));
    }
    let nodes = text.parse().map_err(|_| wrong())?;
    if (1..=NODES_MAX).contains(&nodes) { Ok(NodeCount(Some(nodes))) } else { Err(wrong()) }
}

fn every(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|e| e.to_string())?;
    let is_sensible = u64::try_from(time.as_millis()).is_ok_and(|ms| EVERY_MS.contains(&ms));
    if is_sensible { Ok(time) } else { Err("it must be from 1s to 1m".to_string()) }
}

pub(super) fn run(args: &CostArgs) -> Result<ExitCode, CommandError> {
    if args.print_prices {
        print_line(DEFAULT_PRICES.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let prices = match &args.prices {
        Some(file) => read_prices(Some(file)).map_err(|e| format!("--prices {e}"))?,
        None => args.settings.settings(Vec::new()).map_err(|e| e.to_string())?.cost.prices,
    };
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(MS_MAX);
    let (stay_ms, interval_ms) = (ms(args.stay), ms(args.interval));
    let of = AudienceProfile { viewers: args.viewers, stages: args.stages, stay_ms, interval_ms };
    let plan = WholePlan {
        of,
        transport: args.transport,
        front: args.front,
        nodes: args.nodes.0,
        log: args.log.0,
        lookers: args.lookers,
        every_ms: ms(args.every),
        returning_percent: args.returning,
    };
    if let (Some(nodes), None) = (plan.nodes, whole_bill::housecount(&prices, &plan)) {
        return Err(format!(
            "--nodes {nodes}: no machine of the prices is large enough; give more nodes, or add a \
             larger [[machine]] to the price file"
        ));
    }
    let sheet = Sheet::new(plan, &prices);
    if args.json {
        print_line(&serde_json::to_string_pretty(&sheet.json()).map_err(|e| e.to_string())?);
    } else if args.markdown {
        print_line(sheet.markdown().trim_end());
    } else {
        print_line(sheet.text().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
