//! The command line: one subcommand a file. Only these print.

mod load;
mod serve;
mod table;
mod through;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{ConfigError, Layers, Settings};

/// Counts the audiences of live streams: live counts that are never wrong without saying so.
#[derive(Debug, Parser)]
#[command(
    name = "housecount",
    version,
    about,
    max_term_width = 100,
    after_help = "\
Examples:
  housecount serve                          everything embedded, under ./housecount-data
  housecount serve --demo 500               the same with 500 simulated viewers
  housecount serve --log redis://127.0.0.1:6379/0 --cold 'dynamodb://my-table?region=eu-west-1'
  housecount load --url http://127.0.0.1:7400 --viewers 10000 --stages 20
  housecount table create --cold 'dynamodb://my-table?region=eu-west-1'

Every setting can be given by a flag (--set NAME=VALUE), by the environment (HOUSECOUNT_NAME), or in a file
(--config FILE). `housecount settings` prints them all with their defaults."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take heartbeats and answer counts.
    Serve(serve::ServeArgs),
    /// Play a simulated audience against a running housecount, and check its counts.
    Load(load::LoadArgs),
    /// Make, describe or delete the table of the cold tier.
    Table(table::TableArgs),
    /// Have a running node save every active stage's count now.
    Snapshot(through::ThroughArgs),
    /// Have a running node let the last snapshot's counts stand in for one ttl.
    Restore(through::ThroughArgs),
    /// Print all settings with their defaults and what they mean, as a file for --config.
    Settings,
}

/// Where settings come from.
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
    /// The layers: these flags over the environment, the file and the defaults.
    fn layers(&self, flags: Vec<(&str, Option<String>)>) -> Result<Layers, ConfigError> {
        let mut given = Vec::new();
        for pair in &self.set {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| ConfigError(format!("--set {pair}: write --set NAME=VALUE")))?;
            given.push(("--set".to_string(), name.to_string(), value.to_string()));
        }
        let flag = |name: &str| format!("--{}", name.replace('_', "-"));
        let named =
            flags.into_iter().filter_map(|(name, value)| Some((flag(name), name.to_string(), value?)));
        given.extend(named);
        Layers::of_process(self.config.as_deref(), given)
    }

    fn settings(&self, flags: Vec<(&str, Option<String>)>) -> Result<Settings, ConfigError> {
        Settings::from_layers(&self.layers(flags)?)
    }
}

/// Why a command failed: one line for people.
type Failure = String;

/// Runs the command line.
#[must_use]
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Table(args) => table::run(&args),
        Command::Snapshot(args) => through::run(&args, "snapshot"),
        Command::Restore(args) => through::run(&args, "restore"),
        Command::Settings => {
            say(crate::config::DEFAULT_TOML.trim_end());
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("housecount: {failure}");
        ExitCode::from(2)
    })
}

/// Prints lines. Whoever reads them may have gone (`| head`), which is no reason to fail.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

/// A runtime for a command that waits more than it works.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|e| format!("the runtime can't be started: {e}"))
}
