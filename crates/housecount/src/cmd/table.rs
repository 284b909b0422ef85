//! The commands `housecount table create|status|delete`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use housecount_stores::cold::{ColdTarget, DynamoCold, TableOptions};

use super::{CommandError, SettingArgs, print_line, runtime};

/// Create, describe or delete the table of the cold tier.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount table create --cold 'dynamodb://ivs-viewer-snapshots?region=us-east-1'
  housecount table create --cold 'dynamodb://audience?region=us-east-1' --provisioned 25,25 --point-in-time-recovery
  housecount table status --cold 'dynamodb://audience?endpoint=http://127.0.0.1:8000&region=local'
  housecount table delete --cold 'dynamodb://audience?region=us-east-1' --yes")]
pub(super) struct TableArgs {
    #[command(subcommand)]
    action: TableCommand,
}

#[derive(Debug, Subcommand)]
enum TableCommand {
    /// Create the table unless it exists, wait until it is ACTIVE, and switch TTL on.
    Create {
        #[command(flatten)]
        cold: TableColdArgs,
        /// Read and write units per second, instead of on-demand billing
        #[arg(long, value_name = "READ,WRITE", value_parser = units)]
        provisioned: Option<(u32, u32)>,
        /// Switch on continuous backups
        #[arg(long)]
        point_in_time_recovery: bool,
    },
    /// Describe the table. Exit 1 if it does not exist.
    Status {
        #[command(flatten)]
        cold: TableColdArgs,
        /// Print the description as JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete the table and all its items.
    Delete {
        #[command(flatten)]
        cold: TableColdArgs,
        /// Confirm that everything is to be deleted
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct TableColdArgs {
    /// dynamodb://TABLE?region=R&endpoint=E
    #[arg(long = "cold", value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    settings: SettingArgs,
}

fn units(text: &str) -> Result<(u32, u32), String> {
    let parsed = text
        .split_once(',')
        .and_then(|(read, write)| Some((read.parse().ok()?, write.parse().ok()?)));
    let positive = parsed.filter(|(read, write)| *read > 0 && *write > 0);
    positive.ok_or_else(|| format!("`{text}` is not READ,WRITE, such as 25,25"))
}

pub(super) fn run(args: &TableArgs) -> Result<ExitCode, CommandError> {
    runtime()?.block_on(async {
        match &args.action {
            TableCommand::Create { cold, provisioned, point_in_time_recovery } => {
                let options = TableOptions {
                    provisioned: *provisioned,
                    point_in_time_recovery: *point_in_time_recovery,
                };
                let (cold, shown) = open(cold).await?;
                print_line(&shown);
                let created =
                    cold.create_table(&options, |step| print_line(&format!("  {step}"))).await;
                created.map_err(|e| e.to_string())?;
                Ok(ExitCode::SUCCESS)
            }
            TableCommand::Status { cold, json } => status(cold, *json).await,
            TableCommand::Delete { cold, yes } => delete(cold, *yes).await,
        }
    })
}

async fn open(args: &TableColdArgs) -> Result<(DynamoCold, String), CommandError> {
    let settings =
        args.settings.settings(vec![("cold", args.url.clone())]).map_err(|e| e.to_string())?;
    match settings.cold {
        Some(ColdTarget::Dynamo(address)) => {
            Ok((DynamoCold::open(&address).await, address.to_string()))
        }
        _ => Err(
            "only DynamoDB tables are created by hand: give --cold 'dynamodb://TABLE?region=R'; \
                  an embedded store creates its tables itself"
                .to_string(),
        ),
    }
}

async fn status(args: &TableColdArgs, json: bool) -> Result<ExitCode, CommandError> {
    let (cold, shown) = open(args).await?;
    let Some(state) = cold.table_state().await.map_err(|e| e.to_string())? else {
        if json {
            print_line(&serde_json::json!({ "table": shown, "exists": false }).to_string());
        } else {
            println!(
                "{shown}\n  There is no such table. Create it with: housecount table create --cold '{shown}'"
            );
        }
        return Ok(ExitCode::FAILURE);
    };
    if json {
        let body = serde_json::json!({
            "table": shown, "exists": true, "status": state.status, "billing": state.billing,
            "ttl": state.ttl, "items": state.items, "bytes": state.bytes,
        });
        print_line(&body.to_string());
    } else {
        print_line(&shown);
        print_line(&format!("  status   {}", state.status));
        print_line(&format!("  billing  {}", state.billing));
        print_line(&format!(
            "  TTL      {}",
            if state.ttl { "on, attribute `ttl`" } else { "OFF: run table create" }
        ));
        print_line(&format!(
            "  items    {} ({} bytes) at DynamoDB's last count",
            state.items, state.bytes
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn delete(args: &TableColdArgs, yes: bool) -> Result<ExitCode, CommandError> {
    let (cold, shown) = open(args).await?;
    if !yes {
        return Err(format!(
            "this permanently deletes {shown} and everything in it; to confirm, add --yes"
        ));
    }
    let was_there = cold.delete_table().await.map_err(|e| e.to_string())?;
    print_line(&format!(
        "{shown}\n  {}",
        if was_there { "The table is deleted." } else { "There was no such table." }
    ));
    Ok(ExitCode::SUCCESS)
}
