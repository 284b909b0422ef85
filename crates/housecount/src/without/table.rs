//! The command `housecount table` in a binary that was built without the feature `dynamodb`.

use std::process::ExitCode;

use clap::Args;
use housecount_stores::features;

use super::CommandError;

/// Create, describe or delete the table of the cold tier.
#[derive(Debug, Args)]
pub(super) struct TableArgs {
    /// Accept any arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

/// Fails, since this build has no DynamoDB.
pub(super) fn run(_: &TableArgs) -> Result<ExitCode, CommandError> {
    Err(features::missing("dynamodb"))
}
