//! The command `housecount key`: prints an operator key once with its entry for the file of keys,
//! or a link to one stage.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use housecount_access::auth::Scope;
use housecount_access::auth::operators::{NewKey, share_link};
use housecount_backend::clock;
use housecount_core::ids::StageId;
use housecount_core::limits::SHARE_MS_MAX;
use housecount_net::service_url::ServiceUrl;

use super::{CommandError, SettingArgs, print_line};

/// Create operator keys and share links.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount key new --name grafana --scope read
  housecount key new --name platform --scope stages,beats
  housecount key new --name acme --scope read --customer ACME
  housecount key new --name league --scope read,stages --stages 'match-*,cup-*'
  housecount key share --stage match-1 --ttl 7d --server https://count.example.com --keys keys.toml")]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Create a key, and print it once. Its hash goes into the file of keys
    /// (auth.operator_keys).
    New(NewArgs),
    /// Create a read-only link to one stage, which expires. The secret `share_secret` in the file
    /// of keys signs it.
    Share(ShareArgs),
}

#[derive(Debug, Args)]
struct NewArgs {
    /// Name of the key's owner
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Scopes of the key, with commas between several: read, stages, admin, beats
    #[arg(long, value_name = "SCOPES", required = true, value_delimiter = ',')]
    scope: Vec<Scope>,
    /// Only customer whose stages the key covers
    #[arg(long, value_name = "CUSTOMER")]
    customer: Option<String>,
    /// Only stages that the key covers, with commas between several; * stands for any characters
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
    stages: Vec<String>,
}

#[derive(Debug, Args)]
struct ShareArgs {
    /// Stage of the link
    #[arg(long, value_name = "STAGE")]
    stage: String,
    /// Time until the link expires, at most 90d
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Address of the server that the link opens; without it, only the link's key is printed
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// File of keys with share_secret; the setting auth.operator_keys if not given
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &KeyArgs) -> Result<ExitCode, CommandError> {
    match &args.command {
        KeyCommand::New(args) => new(args)?,
        KeyCommand::Share(args) => share(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn new(args: &NewArgs) -> Result<(), CommandError> {
    let NewArgs { name, scope, customer, stages } = args;
    let wanted = NewKey { name, scopes: scope, customer: customer.as_deref(), stages };
    let (key, entry) = wanted.create().map_err(|error| format!("--{error}"))?;
    print_line(&format!(
        "# The key, shown only once. Send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.\n# {key}\n\n\
         # Its entry for the file that auth.operator_keys names. A running node loads it within 2 s.\n{entry}"
    ));
    Ok(())
}

fn share(args: &ShareArgs) -> Result<(), CommandError> {
    let stage = StageId::parse(&args.stage).map_err(|e| format!("--stage: {e}"))?;
    let ttl_ms = args.ttl.as_millis();
    if ttl_ms < 1_000 || ttl_ms > u128::from(SHARE_MS_MAX) {
        return Err("--ttl: not between 1s and 90d".to_string());
    }
    let keys = match &args.keys {
        Some(file) => file.clone(),
        None => {
            let settings = args.settings.settings(Vec::new()).map_err(|e| e.to_string())?;
            let keys = settings.server.auth.operator_keys;
            keys.ok_or("no file of keys; give one with --keys FILE")?
        }
    };
    let ends = clock::wall_clock().plus(u64::try_from(ttl_ms).unwrap_or(SHARE_MS_MAX));
    let link = share_link(&keys, &stage, ends)?;
    let server = args.server.as_deref().map(ServiceUrl::parse).transpose();
    match server.map_err(|e| format!("--server: {e}"))? {
        // In the fragment, which browsers do not send and proxies do not log.
        Some(server) => {
            print_line(&format!("{server}/#share={link}"));
        }
        None => print_line(&link),
    }
    Ok(())
}
