//! The command `housecount copy`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use housecount_backend::clock::wall_clock;
use housecount_backend::cold::bulk::Bulk;
use housecount_stores::cold::ColdTarget;
use housecount_stores::folder::{self, FolderHold};

use super::{CommandError, SettingArgs, print_line, progress_bar, runtime};
use crate::copy::{Copied, CopyEnd, copy};

/// Copy a cold tier into another one, and compare all rows.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount copy --from embedded:housecount-data/cold --to 'dynamodb://audience?region=eu-west-1'
  housecount copy --from 'dynamodb://audience?region=eu-west-1' --to embedded:/backup/audience
  housecount copy --from embedded:housecount-data/cold --to embedded:/backup/audience --json

Stop all nodes first. Create a target table first, with `housecount table create`. The command reads
every row back and compares it. To continue an interrupted copy, run the same command again: it does
not write existing rows twice. It refuses a target with other data, or with a running node. Reading a
table needs the permission dynamodb:Scan, which no other command needs.
Exit 0: everything is copied. Exit 2: it is not.")]
pub(super) struct CopyArgs {
    /// Source: embedded:DIR or dynamodb://TABLE?region=R&endpoint=E
    #[arg(long, value_name = "COLD")]
    from: String,
    /// Target: embedded:DIR or dynamodb://TABLE?region=R&endpoint=E
    #[arg(long, value_name = "COLD")]
    to: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &CopyArgs) -> Result<ExitCode, CommandError> {
    let table = args.settings.layers(Vec::new()).and_then(|layers| layers.text("table"));
    let table = table.map_err(|e| e.to_string())?;
    let target = |flag: &str, url: &str| match ColdTarget::parse(url, &table) {
        Ok(Some(target)) => Ok(target),
        Ok(None) => Err(format!(
            "{flag} none: there is nothing to copy; give embedded:DIR or dynamodb://TABLE"
        )),
        Err(error) => Err(format!("{flag} {url}: {error}")),
    };
    let (from, to) = (target("--from", &args.from)?, target("--to", &args.to)?);
    if from == to {
        return Err(format!("--from and --to are both {from}; give two cold tiers"));
    }
    let bar = progress_bar();
    let copied = runtime()?.block_on(async {
        let failed = |e: housecount_backend::error::StoreError| e.to_string();
        let (source, _held) = open_source(&from).await.map_err(failed)?;
        let target = open_target(&to).await.map_err(failed)?;
        let is_locked = |target: &ColdTarget| matches!(target, ColdTarget::Embedded(_));
        let (from_shown, to_shown) = (from.to_string(), to.to_string());
        let from = CopyEnd { cold: &*source, shown: &from_shown, is_locked: is_locked(&from) };
        let to = CopyEnd { cold: &*target, shown: &to_shown, is_locked: is_locked(&to) };
        copy(from, to, wall_clock(), |part| bar.set_position((part * 1_000.0) as u64))
            .await
            .map_err(failed)
    });
    bar.finish_and_clear();
    print(&copied?, args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the source for reading only, and prevents nodes from starting on its folder meanwhile.
async fn open_source(
    target: &ColdTarget,
) -> housecount_backend::error::StoreResult<(Arc<dyn Bulk>, Option<FolderHold>)> {
    match target {
        ColdTarget::Embedded(folder) => {
            let held = folder::hold_to_read(folder)?;
            Ok((target.open_whole_to_read().await?, held))
        }
        ColdTarget::Dynamo(_) => Ok((open_target(target).await?, None)),
    }
}

async fn open_target(target: &ColdTarget) -> housecount_backend::error::StoreResult<Arc<dyn Bulk>> {
    let cold = target.open_whole().await?;
    // The table must already exist.
    cold.check().await?;
    Ok(cold)
}

fn print(copied: &Copied, is_json: bool) -> Result<(), CommandError> {
    let Copied { written, there, bytes, foreign, units } = copied;
    if is_json {
        let json = serde_json::json!({
            "written": written, "there": there, "bytes": bytes, "foreign": foreign,
            "writeUnits": units.writes, "readUnits": units.read_halves as f64 / 2.0,
        });
        print_line(&serde_json::to_string_pretty(&json).map_err(|e| e.to_string())?);
        return Ok(());
    }
    let mb = *bytes as f64 / 1e6;
    print_line(&format!(
        "copied   {} rows ({mb:.1} MB): {written} written, {there} already there",
        written + there
    ));
    if *foreign > 0 {
        print_line(&format!("left out {foreign} rows of other programs"));
    }
    Ok(())
}
