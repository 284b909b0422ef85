//! The commands `housecount snapshot` and `housecount restore`, which call a running node.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use housecount_net::client::Client;
use hyper::Method;
use serde_json::Value;

use super::{CommandError, print_line, read_key_file, runtime};

/// The node to call.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount snapshot
  housecount restore --url http://10.0.0.7:7400")]
pub(super) struct RemoteArgs {
    /// URL of the node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7400")]
    url: String,
    /// File with an operator key of the scope admin
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

pub(super) fn run(args: &RemoteArgs, action: &str) -> Result<ExitCode, CommandError> {
    runtime()?.block_on(async {
        let mut client = Client::new(&args.url)?;
        if let Some(key) = read_key_file(args.key_file.as_deref())? {
            client = client.with_key(&key)?;
        }
        let (status, body) = client.call(Method::POST, &format!("/v1/admin/{action}"), "").await?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status != 200 {
            let detail = body["detail"].as_str().unwrap_or("no reason given");
            return Err(format!("{}: {action} was refused ({status}): {detail}", client.url()));
        }
        print_line(&format!("{body:#}"));
        Ok(ExitCode::SUCCESS)
    })
}
