//! `housecount token`: a viewer's token, as the platform makes them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use housecount_core::ids::{SessionId, StageId, ViewerId};

use super::{Failure, SettingArgs, say};
use crate::auth::{Audience, Payload, jwt, viewers};
use crate::clock;

/// Make a viewer's token.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount token --viewer ann --stage match-1 --ttl 24h --key secret.txt
  housecount token --viewer ann --stage 'arn:aws:ivs:*' --ttl 2h --key private.pem --kid 2026-11

Without --key it is signed by auth.viewer_keys, if that is a secret.")]
pub(super) struct TokenArgs {
    /// Whom it is for
    #[arg(long, value_name = "VIEWER")]
    viewer: String,
    /// For which stage, or stages that begin so: then it ends in *
    #[arg(long, value_name = "STAGE")]
    stage: String,
    /// For this session only
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// For how long
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// A file with a secret, a JWK of one, or a private key in PEM
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The name of the key, where nodes have several
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &TokenArgs) -> Result<ExitCode, Failure> {
    let stage = args.stage.strip_suffix('*').unwrap_or(&args.stage);
    if !stage.is_empty() || !args.stage.ends_with('*') {
        StageId::check(stage).map_err(|e| format!("--stage: {e}"))?;
    }
    ViewerId::check(&args.viewer).map_err(|e| format!("--viewer: {e}"))?;
    SessionId::check(args.session.as_deref().unwrap_or_default()).map_err(|e| format!("--session: {e}"))?;
    let settings = args.settings.settings(Vec::new()).map_err(|e| e.to_string())?.auth;
    let key = match (&args.key, &settings.viewer_keys) {
        (Some(path), _) => read(path)?,
        (None, Some(keys)) => viewers::text_of(keys)?.0,
        (None, None) => return Err("there is no key to sign with; give one with --key FILE".to_string()),
    };
    let exp = (clock::wall().0 / 1_000 + args.ttl.as_secs()) as f64;
    let payload = Payload {
        sub: args.viewer.clone(),
        stage: args.stage.clone(),
        session: args.session.clone(),
        exp,
        nbf: None,
        aud: settings.rules.audience.map(Audience::One),
    };
    say(&jwt::sign(&payload, &key, args.kid.clone())?);
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<String, Failure> {
    crate::auth::read_file(path).map_err(|e| format!("--key {e}"))
}
