//! The command `housecount key new`: prints an operator key once, and its entry for the file of
//! keys.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use housecount_access::auth::Scope;
use housecount_access::auth::operators::new_key;

use super::{CommandError, print_line};

/// Create operator keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount key new --name grafana --scope read
  housecount key new --name platform --scope stages,beats")]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Create a key, and print it once. Its hash goes into the file of keys
    /// (auth.operator_keys).
    New {
        /// Name of the key's owner
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Scopes of the key, with commas between several: read, stages, admin, beats
        #[arg(long, value_name = "SCOPES", required = true, value_delimiter = ',')]
        scope: Vec<Scope>,
    },
}

pub(super) fn run(args: &KeyArgs) -> Result<ExitCode, CommandError> {
    let KeyCommand::New { name, scope } = &args.command;
    let (key, entry) = new_key(name, scope);
    print_line(&format!(
        "# The key, shown only once. Send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.\n# {key}\n\n\
         # Its entry for the file that auth.operator_keys names. A running node loads it within 2 s.\n{entry}"
    ));
    Ok(ExitCode::SUCCESS)
}
