//! The command `housecount cost`.

mod common_claims;
mod sheet;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use housecount_cost::plans::AudienceProfile;
use housecount_cost::prices::DEFAULT_PRICES;
use housecount_cost::read_prices;

use self::sheet::Sheet;
use super::{CommandError, SettingArgs, print_line};

/// Shortest and longest time that is accepted for `--stay` and `--interval`: 1 s and 30 days.
const MS_MIN: u64 = 1_000;
const MS_MAX: u64 = 30 * 86_400_000;

/// Estimate the monthly cost of an audience, by known plans and by housecount's own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount cost
  housecount cost --viewers 1000000 --stages 2000 --stay 45m
  housecount cost --print-prices > frankfurt.toml     # then edit the prices in it
  housecount cost --prices frankfurt.toml --json

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
    let sheet = Sheet::new(of, &prices);
    if args.json {
        print_line(&serde_json::to_string_pretty(&sheet.json()).map_err(|e| e.to_string())?);
    } else if args.markdown {
        print_line(sheet.markdown().trim_end());
    } else {
        print_line(sheet.text().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
