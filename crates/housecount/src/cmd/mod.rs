//! The command line, with one subcommand per file. Only these files print.

mod copy;
mod cost;
mod export;
mod forget;
mod ivs;
mod key;
mod load;
mod remote;
mod report;
mod serve;
#[cfg_attr(not(feature = "dynamodb"), path = "../without/table.rs")]
mod table;
mod token;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use housecount_backend::cold::Cold;
use housecount_backend::error::StoreResult;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_server::calendar::{self, Zone};
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::{ConfigError, Layers, NodeSettings};

/// Count the audiences of live streams. A count that may be incomplete is marked.
#[derive(Debug, Parser)]
#[command(
    name = "housecount",
    version,
    about,
    max_term_width = 100,
    after_help = "\
Examples:
  housecount serve                  # everything embedded, under ./housecount-data
  housecount serve --demo 500       # the same, with 500 simulated viewers
  housecount serve --log redis://127.0.0.1:6379/0 --cold 'dynamodb://my-table?region=eu-west-1'
  housecount load --url http://127.0.0.1:7400 --viewers 10000 --stages 20
  housecount cost --viewers 50000 --stages 200
  housecount table create --cold 'dynamodb://my-table?region=eu-west-1'
  housecount export --from 2026-10-01 --to 2026-11-01 --group customer --round viewer-minute --out october.csv
  housecount report --stage match-1 --from 2026-10-01 --to 2026-10-02 --format html --out match-1.html
  housecount verify --from 2026-10-01 --to 2026-11-01
  housecount copy --from embedded:housecount-data/cold --to 'dynamodb://my-table?region=eu-west-1'
  housecount forget --viewer ann --dry-run
  housecount key new --name grafana --scope read
  housecount token --viewer ann --stage match-1 --ttl 24h --key secret.txt

Set any setting by a flag (--set NAME=VALUE), by the environment (HOUSECOUNT_NAME), or in a file
(--config FILE). `housecount settings` prints all settings with their defaults."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive heartbeats and answer counts.
    Serve(serve::ServeArgs),
    /// Simulate an audience on a running node, and check its counts.
    Load(load::LoadArgs),
    /// Estimate the whole monthly bill of an audience, and the cost of other ways.
    Cost(cost::CostArgs),
    /// Create, describe or delete the table of the cold tier.
    Table(table::TableArgs),
    /// Copy a cold tier into another one, and compare all rows.
    Copy(copy::CopyArgs),
    /// Write watch records to a file: each viewer's watch time, or each customer's billed time.
    Export(export::ExportArgs),
    /// Report who came, who stayed and how long, on a stage or on all.
    Report(report::ReportArgs),
    /// Recompute the ledger from its raw chunks, two ways, and compare. Exit 1 on any difference.
    Verify(verify::VerifyArgs),
    /// Rewrite one person's records under a random pseudonym; all totals stay.
    Forget(forget::ForgetArgs),
    /// Compare the ledger with Amazon IVS's figures of its stages. Exit 1 on a large difference.
    Ivs(ivs::IvsArgs),
    /// Save every active stage's count now, on a running node.
    Snapshot(remote::RemoteArgs),
    /// Restore the last snapshot's counts for one ttl, on a running node.
    Restore(remote::RemoteArgs),
    /// Create an operator key.
    Key(key::KeyArgs),
    /// Create a viewer's token.
    Token(token::TokenArgs),
    /// Print all settings with their defaults and meanings, as a file for --config.
    Settings,
}

/// Sources of settings.
#[derive(Debug, Args)]
struct SettingArgs {
    /// Read settings from this TOML file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any setting, such as --set ttl=90s. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
}

impl SettingArgs {
    /// Returns the layers: these flags over the environment, the file and the defaults.
    fn layers(&self, flags: Vec<(&str, Option<String>)>) -> Result<Layers, ConfigError> {
        let mut given = Vec::new();
        for pair in &self.set {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| ConfigError(format!("--set {pair}: write --set NAME=VALUE")))?;
            given.push(("--set".to_string(), name.to_string(), value.to_string()));
        }
        let flag = |name: &str| format!("--{}", name.replace('_', "-"));
        let named = flags
            .into_iter()
            .filter_map(|(name, value)| Some((flag(name), name.to_string(), value?)));
        given.extend(named);
        Layers::of_process(self.config.as_deref(), given)
    }

    fn settings(&self, flags: Vec<(&str, Option<String>)>) -> Result<NodeSettings, ConfigError> {
        NodeSettings::from_layers(&self.layers(flags)?)
    }
}

/// The cold tier to use without a node.
#[derive(Debug, Args)]
struct ColdArgs {
    /// embedded:DIR or dynamodb://TABLE?region=R&endpoint=E [default: embedded:DATA/cold]
    #[arg(long = "cold", value_name = "URL")]
    url: Option<String>,
    /// Folder of the embedded stores [default: ./housecount-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    #[command(flatten)]
    settings: SettingArgs,
}

impl ColdArgs {
    fn settings(&self) -> Result<NodeSettings, CommandError> {
        let flags = vec![("cold", self.url.clone()), ("data", self.data.clone())];
        self.settings.settings(flags).map_err(|e| e.to_string())
    }
}

/// A range of time, and the ledger's cold tier.
#[derive(Debug, Args)]
struct RangeArgs {
    /// Start of the range: RFC 3339, a date (UTC) or Unix ms
    #[arg(long, value_name = "T", value_parser = moment)]
    from: Moment,
    /// End of the range, not included
    #[arg(long, value_name = "T", value_parser = moment)]
    to: Moment,
    /// Limit the range to this stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    #[command(flatten)]
    store: ColdArgs,
}

impl RangeArgs {
    fn range(&self) -> Result<Span, CommandError> {
        self.range_in(&Zone::utc())
    }

    /// Returns the range, whose dates are days of this zone.
    fn range_in(&self, zone: &Zone) -> Result<Span, CommandError> {
        let (from, to) = (self.from.in_zone(zone), self.to.in_zone(zone));
        if from < to {
            return Ok(Span::new(from, to));
        }
        let (from, to) = (calendar::format_time(from), calendar::format_time(to));
        Err(format!("--from {from} is not before --to {to}"))
    }

    async fn cold(&self) -> Result<Arc<dyn Cold>, CommandError> {
        let target =
            self.store.settings()?.cold.ok_or("cold = none: there is no ledger to read")?;
        target.open_to_read().await.map_err(|e| e.to_string())
    }
}

/// A time on the command line.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// The time; for a date, its midnight in UTC.
    at: UnixMs,
    is_day: bool,
}

impl Moment {
    fn in_zone(self, zone: &Zone) -> UnixMs {
        if self.is_day { zone.start_of_day(self.at) } else { self.at }
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    let at = calendar::parse(text).map_err(|error| format!("`{text}` {error}"))?;
    Ok(Moment { at, is_day: calendar::is_day(text) })
}

/// A progress bar in thousandths, which is hidden without a terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(1_000);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {percent:>3}% {elapsed_precise} {msg}")
    {
        bar.set_style(style);
    }
    bar
}

/// One line with the reason why a command failed.
type CommandError = String;

/// Runs the command line.
#[must_use]
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Cost(args) => cost::run(&args),
        Command::Table(args) => table::run(&args),
        Command::Copy(args) => copy::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Forget(args) => forget::run(&args),
        Command::Ivs(args) => ivs::run(&args),
        Command::Snapshot(args) => remote::run(&args, "snapshot"),
        Command::Restore(args) => remote::run(&args, "restore"),
        Command::Key(args) => key::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Settings => {
            print_line(crate::config::DEFAULT_TOML.trim_end());
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("housecount: {failure}");
        ExitCode::from(2)
    })
}

/// Reads an operator key, which is the only line of its file.
fn read_key_file(file: Option<&Path>) -> Result<Option<String>, CommandError> {
    let Some(file) = file else { return Ok(None) };
    let text = housecount_access::auth::read_file(file).map_err(|e| format!("--key-file {e}"))?;
    Ok(Some(text.trim().to_string()))
}

/// Prints lines. A reader that has closed the pipe (`| head`) is not a failure.
fn print_line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
}

/// A runtime for a command that waits more than it computes.
fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|e| format!("can't start the runtime: {e}"))
}

/// Returns the outcome of writing a file or to standard output.
fn unless_gone<T>(exported: StoreResult<T>) -> Result<T, CommandError> {
    match exported {
        // The reader of the output has closed the pipe (`| head`), which is not a failure.
        Err(error) if error.is_broken_pipe() => std::process::exit(0),
        exported => exported.map_err(|e| e.to_string()),
    }
}
