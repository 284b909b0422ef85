//! The command `housecount forget`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use housecount_backend::cold::Cold;
use housecount_core::ids::{StageId, ViewerId};
use housecount_core::limits::FORGET_HELD_BYTES_MAX;
use housecount_core::time::UnixMs;
use housecount_server::calendar;

use super::{ColdArgs, CommandError, print_line, progress_bar, runtime};
use crate::config::NodeSettings;
use crate::forget::{self, ForgetReport, ForgetRequest, configuration};

/// Rewrite one person's records under a random pseudonym.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount forget --viewer ann --dry-run
  housecount forget --viewer ann --cold 'dynamodb://ivs-viewer-snapshots?region=us-east-1'
  housecount forget --viewer ann --stage my-stage --json
  housecount forget --viewer '~uYxk7Vm_kCMLu5Lu' --config housecount.toml
  housecount forget --customer 'Jane Doe' --dry-run

The ledger keeps the viewer's time, to the millisecond, under a random pseudonym. So totals, counts
and `housecount verify` stay the same. The command prints the pseudonym once, and stores it nowhere
with the id. It deletes the viewer's heartbeats from the archive. With viewer_ids = \"hashed\", name
the viewer by the id (with the key set as for `serve`) or by the present pseudonym.

The command refuses a viewer who was active in the last hours, because nodes still hold that time.
The message names the time to wait for. An embedded store must not be in use: stop the node, forget,
start it again. --customer replaces a name by a pseudonym in past versions of stage configurations:
as a customer, a stage's name or a tag's value. Change the current configurations first.
docs/PRIVACY.md lists what remains: backups, exports, the log's last minutes.
Exit 0: done, or nothing found. Exit 1: done, except for unreadable or unchecked data. Exit 2: refused
or failed; run it again to finish.")]
pub(super) struct ForgetArgs {
    /// Viewer to replace by a pseudonym
    #[arg(long, value_name = "VIEWER", required_unless_present = "customer")]
    viewer: Option<String>,
    /// Customer name to replace in past versions of stage configurations
    #[arg(long, value_name = "NAME", conflicts_with = "viewer")]
    customer: Option<String>,
    /// Limit the change to this stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Print the changes, and make none
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: ColdArgs,
}

pub(super) fn run(args: &ForgetArgs) -> Result<ExitCode, CommandError> {
    if let Some(stage) = &args.stage {
        StageId::check(stage).map_err(|e| format!("--stage: {e}"))?;
    }
    match (&args.viewer, &args.customer) {
        (_, Some(customer)) => forget_customer(args, customer),
        (Some(viewer), None) => forget_viewer(args, viewer),
        (None, None) => Err("name --viewer or --customer".to_string()),
    }
}

fn forget_viewer(args: &ForgetArgs, viewer: &str) -> Result<ExitCode, CommandError> {
    ViewerId::check(viewer).map_err(|e| format!("--viewer: {e}"))?;
    let settings = args.store.settings()?;
    let request = ForgetRequest {
        viewer: settings.server.admission.names.resolve(viewer.into()).into_owned(),
        stage: args.stage.clone(),
        is_dry_run: args.dry_run,
        held_bytes_max: FORGET_HELD_BYTES_MAX,
    };
    let bar = progress_bar();
    let forgotten = runtime()?.block_on(async {
        let cold = open(&settings, args.dry_run).await?;
        let progress = |doing: &'static str, part: f64| {
            bar.set_message(doing);
            bar.set_position((part * 1_000.0) as u64);
        };
        forget::forget(&cold, &request, progress).await.map_err(|e| e.to_string())
    });
    bar.finish_and_clear();
    let forgotten = forgotten?;
    if args.json {
        print_line(&serde_json::to_string_pretty(&json(&forgotten)).map_err(|e| e.to_string())?);
    } else {
        print(&forgotten, args.dry_run);
    }
    Ok(if forgotten.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn forget_customer(args: &ForgetArgs, customer: &str) -> Result<ExitCode, CommandError> {
    if customer.is_empty() {
        return Err("--customer is empty; give the name as it is configured".to_string());
    }
    let (settings, stage) = (args.store.settings()?, args.stage.clone());
    let request = configuration::ForgetConfigurationRequest {
        text: customer.to_string(),
        stage,
        is_dry_run: args.dry_run,
    };
    let bar = progress_bar();
    let forgotten = runtime()?.block_on(async {
        let cold = open(&settings, args.dry_run).await?;
        let progress = |part: f64| bar.set_position((part * 1_000.0) as u64);
        configuration::forget(&cold, &request, progress).await.map_err(|e| e.to_string())
    });
    bar.finish_and_clear();
    let configuration::ForgetConfigurationReport { pseudonym, versions, stages, problems } =
        forgotten?;
    if args.json {
        let json = serde_json::json!({
            "pseudonym": pseudonym, "versions": versions, "stages": stages, "problems": problems,
        });
        print_line(&serde_json::to_string_pretty(&json).map_err(|e| e.to_string())?);
    } else {
        problems.iter().for_each(|problem| print_line(&format!("problem  {problem}")));
        print_line(&match pseudonym {
            Some(pseudonym) => {
                format!(
                    "forgotten in {versions} versions of {stages} stages; the name is now {pseudonym}"
                )
            }
            None if versions > 0 => {
                format!(
                    "dry run: {versions} versions of {stages} stages contain the name; nothing was changed"
                )
            }
            None => "no past version of a configuration contains the name".to_string(),
        });
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn open(settings: &NodeSettings, is_dry_run: bool) -> Result<Arc<dyn Cold>, CommandError> {
    let target = settings.cold.as_ref().ok_or("cold = none: there is nothing to forget")?;
    // Even a target that is opened for writing must already exist.
    let there = target.open_to_read().await.map_err(|e| e.to_string())?;
    if is_dry_run {
        return Ok(there);
    }
    drop(there);
    target.open().await.map_err(|e| e.to_string())
}

fn json(forgotten: &ForgetReport) -> serde_json::Value {
    serde_json::json!({
        "pseudonym": forgotten.pseudonym, "chunks": forgotten.chunks, "spans": forgotten.spans,
        "watchMs": forgotten.watch_ms, "archiveChunks": forgotten.archive_chunks,
        "archiveHeartbeats": forgotten.heartbeats, "items": forgotten.items, "strays": forgotten.strays,
        "problems": forgotten.problems, "committedTo": forgotten.committed_to.0,
    })
}

/// Prints the report without the viewer's id. Output is often kept, and would then link the id to
/// the pseudonym.
fn print(forgotten: &ForgetReport, is_dry_run: bool) {
    let ForgetReport { chunks, spans, watch_ms, archive_chunks, heartbeats, items, strays, .. } =
        forgotten;
    let (hours, to) =
        (*watch_ms as f64 / 3_600_000.0, calendar::format_time(forgotten.committed_to));
    let mut lines = Vec::new();
    if *chunks > 0 {
        lines.push(format!(
            "ledger   {chunks} chunks: {spans} spans, {watch_ms} ms watched ({hours:.3} h), all of it kept"
        ));
    }
    if *archive_chunks > 0 {
        lines.push(format!(
            "archive  {archive_chunks} chunks: {heartbeats} heartbeats and leaves, deleted"
        ));
    }
    if *items > 0 {
        lines.push(format!("archive  {items} items, deleted"));
    }
    if *strays > 0 {
        lines.push(format!(
            "strays   {strays} items that belong to no chunk and may name the viewer, deleted"
        ));
    }
    lines.extend(forgotten.problems.iter().map(|problem| format!("problem  {problem}")));
    lines.push(match &forgotten.pseudonym {
        _ if forgotten.is_nothing() && forgotten.committed_to == UnixMs::ZERO => {
            "no data of this viewer found: the ledger is empty".to_string()
        }
        _ if forgotten.is_nothing() && !forgotten.problems.is_empty() => {
            format!("no data of this viewer found up to {to}, but not everything was checked")
        }
        _ if forgotten.is_nothing() => format!("no data of this viewer found up to {to}"),
        _ if is_dry_run => format!("dry run up to {to}: nothing was changed"),
        Some(pseudonym) => {
            format!("forgotten up to {to}; the watch time now belongs to {pseudonym}")
        }
        None => format!("forgotten up to {to}"),
    });
    print_line(&lines.join("\n"));
}
