//! The command `housecount load`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use housecount_backend::rng;
use housecount_net::client::Client;
use indicatif::{ProgressBar, ProgressStyle};

use super::{CommandError, print_line, read_key_file, runtime};
use crate::load::audience::AudienceConfig;
use crate::load::{self, LoadPlan, LoadReport, Tokens, Transport};

/// Shortest `--interval` that is accepted, since real players do not beat more often.
const INTERVAL_MS_MIN: u64 = 100;
/// Time within which every node must count what another node has acknowledged. On a quiet machine
/// it takes a tenth of that.
const AGREE_WITHIN: Duration = Duration::from_secs(1);

/// Simulate an audience on running nodes, and check that they count every acknowledged heartbeat.
/// Exit 1 if a heartbeat is missing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount load --url http://127.0.0.1:7400 --viewers 10000 --stages 20 --interval 5s --duration 60s
  housecount load --viewers 5000 --interval 5s --transport ws
  housecount load --token-key secret.txt --key-file load.key     # with tokens and operator keys
  housecount load --url http://10.0.0.1:7400 --url http://10.0.0.2:7400 --transport batch --json")]
pub(super) struct LoadArgs {
    /// URL of the node; repeat it for several nodes, which the players use in turn
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7400")]
    url: Vec<String>,
    /// Concurrent viewers
    #[arg(
        long,
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    viewers: u32,
    /// Number of stages
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    stages: u32,
    /// Length of the run
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Interval between two heartbeats of a viewer; at most the nodes' own interval, or viewers
    /// time out
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Average stay of a viewer, after which another one joins
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    stay: Duration,
    /// Transport of the heartbeats
    #[arg(long, value_enum, default_value_t = Transport::Http)]
    transport: Transport,
    /// Key file for signing a token for each viewer. It has secret:TEXT, a JWK of a secret, or a
    /// private key in PEM
    #[arg(long, value_name = "FILE")]
    token_key: Option<PathBuf>,
    /// Name of that key, where nodes have several
    #[arg(long, value_name = "KID", requires = "token_key")]
    kid: Option<String>,
    /// Audience claim of the tokens (auth.audience)
    #[arg(long, value_name = "AUDIENCE", requires = "token_key")]
    audience: Option<String>,
    /// File with an operator key of the scope read, to check the counts; also beats, for
    /// --transport batch
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Seed of the audience; the same seed plays the same audience
    #[arg(long)]
    seed: Option<u64>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &LoadArgs) -> Result<ExitCode, CommandError> {
    let key = read_key_file(args.key_file.as_deref())?;
    let client = |url: &String| match (Client::new(url)?, &key) {
        (client, Some(key)) => client.with_key(key),
        (client, None) => Ok(client),
    };
    let nodes = args.url.iter().map(client).collect::<Result<Vec<_>, _>>()?;
    let sign = |path: &PathBuf| {
        let key =
            housecount_access::auth::read_file(path).map_err(|e| format!("--token-key {e}"))?;
        Tokens::new(key, args.kid.clone(), args.audience.clone(), args.duration)
            .map_err(|e| format!("--token-key: {e}"))
    };
    let tokens = args.token_key.as_ref().map(sign).transpose()?;
    let seed = args.seed.unwrap_or_else(rng::random);
    let ms = |duration: Duration| duration.as_millis() as u64;
    let shape = AudienceConfig {
        viewers: args.viewers,
        stages: args.stages,
        interval_ms: ms(args.interval),
        stay_ms: ms(args.stay),
        gap_ms: 0,
        ramp_ms: ms(args.interval).min(ms(args.duration) / 2),
        prefix: format!("load-{seed}-"),
        seed,
    };
    if ms(args.interval) < INTERVAL_MS_MIN {
        return Err(format!("--interval: it must be at least {INTERVAL_MS_MIN}ms"));
    }
    let plan = LoadPlan {
        nodes,
        shape,
        duration: args.duration,
        transport: args.transport,
        tokens,
        agree_within: AGREE_WITHIN,
    };
    // Without a terminal the bar is hidden.
    let bar = ProgressBar::new(ms(args.duration));
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}% {elapsed_precise} {msg}");
    bar.set_style(style.map_err(|e| e.to_string())?);
    let report = runtime()?.block_on(load::run(plan, |at_ms, acknowledged| {
        bar.set_position(at_ms);
        bar.set_message(format!("{acknowledged} heartbeats"));
    }))?;
    bar.finish_and_clear();
    if args.json {
        print_line(&serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?);
    } else {
        print(&report, seed);
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &LoadReport, seed: u64) {
    let LoadReport { sent, acknowledged, failed, leaves, .. } = report;
    let LoadReport { polls, low_polls, incomplete_polls, .. } = report;
    let mut lines = vec![
        format!(
            "heartbeats   {sent} sent, {acknowledged} acknowledged, {failed} failed; {leaves} leaves"
        ),
        format!(
            "rate         {:.0} heartbeats per second over {:.1} s",
            report.beats_per_second, report.seconds
        ),
        format!("answers      p50 {:.1} ms, p99 {:.1} ms", report.p50_ms, report.p99_ms),
        format!(
            "counted      {} of {} viewers, by name",
            report.counted_viewers, report.expected_viewers
        ),
        format!(
            "polls        {polls} of the totals, {low_polls} low, {incomplete_polls} incomplete"
        ),
        format!("seed         {seed}"),
    ];
    if report.coalesced > 0 {
        let coalesced = report.coalesced;
        lines.push(format!(
            "coalesced    {coalesced} heartbeats beyond their session's limit, not logged"
        ));
    }
    lines.extend(report.problems.iter().map(|problem| format!("problem      {problem}")));
    lines.push(if report.acknowledged == 0 {
        "no heartbeat was acknowledged, so there is nothing to check".to_string()
    } else if report.is_good() {
        "every acknowledged heartbeat is counted".to_string()
    } else {
        "NOT every acknowledged heartbeat is counted".to_string()
    });
    print_line(&lines.join("\n"));
}
