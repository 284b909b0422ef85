//! The command `housecount token`: makes a viewer's token as a platform would.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use housecount_access::auth::{AudienceClaim, Payload, jwt, viewers};
use housecount_backend::clock;
use housecount_core::ids::{SessionId, StageId, ViewerId};
use housecount_core::labels::{check_key, check_value};
use housecount_core::limits::{LABEL_KEYS_MAX, TOKEN_AHEAD_MS_MAX};
use serde_json::Value;

use super::{CommandError, SettingArgs, print_line};

/// Create a viewer's token.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount token --viewer ann --stage match-1 --ttl 24h --key secret.txt     # the file has secret:TEXT
  housecount token --viewer ann --stage-prefix arn:aws:ivs: --ttl 2h --key private.pem --kid 2026-11
  housecount token --viewer ann --stage match-1 --label country=NO --label device=tv \\
      --key secret.txt

Without --key, the secret in auth.viewer_keys signs the token.")]
pub(super) struct TokenArgs {
    /// Viewer of the token
    #[arg(long, value_name = "VIEWER")]
    viewer: String,
    /// Stage of the token
    #[arg(
        long,
        value_name = "STAGE",
        required_unless_present = "stage_prefix",
        conflicts_with = "stage_prefix"
    )]
    stage: Option<String>,
    /// Prefix of the stage ids of the token; empty for all stages
    #[arg(long, value_name = "PREFIX")]
    stage_prefix: Option<String>,
    /// Session, if the token is for only one
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// Streams that the viewer may watch at once, instead of the setting limits.streams_per_viewer
    #[arg(long, value_name = "N")]
    streams: Option<u32>,
    /// Label of the viewer's sessions; repeat it for several
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Time until the token expires
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Key file with secret:TEXT, a JWK of a secret, or a private key in PEM
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Name of the key, where nodes have several
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &TokenArgs) -> Result<ExitCode, CommandError> {
    if let Some(stage) = &args.stage {
        StageId::check(stage).map_err(|e| format!("--stage: {e}"))?;
    }
    if let Some(prefix) = args.stage_prefix.as_ref().filter(|prefix| !prefix.is_empty()) {
        StageId::check(prefix).map_err(|e| format!("--stage-prefix: {e}"))?;
    }
    ViewerId::check(&args.viewer).map_err(|e| format!("--viewer: {e}"))?;
    SessionId::check(args.session.as_deref().unwrap_or_default())
        .map_err(|e| format!("--session: {e}"))?;
    let settings = args.settings.settings(Vec::new()).map_err(|e| e.to_string())?.server.auth;
    let key = match (&args.key, &settings.viewer_keys) {
        (Some(path), _) => read(path)?,
        (None, Some(keys)) => viewers::key_text(keys)?.0,
        (None, None) => {
            return Err("no key to sign with; give one with --key FILE".to_string());
        }
    };
    if args.ttl.as_millis() > u128::from(TOKEN_AHEAD_MS_MAX) {
        return Err("--ttl: it must be at most ten years; nodes reject longer tokens".to_string());
    }
    let exp = (clock::wall_clock().0 / 1_000 + args.ttl.as_secs()) as f64;
    let payload = Payload {
        sub: args.viewer.clone(),
        stage: args.stage.clone(),
        stage_prefix: args.stage_prefix.clone(),
        session: args.session.clone(),
        streams: args.streams,
        labels: labels(&args.labels)?,
        exp,
        nbf: None,
        aud: settings.rules.audience.map(AudienceClaim::One),
    };
    print_line(&jwt::sign(&payload, &key, args.kid.clone())?);
    Ok(ExitCode::SUCCESS)
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE, such as country=NO")?;
    check_key(key).and_then(|()| check_value(value)).map_err(|e| e.to_string())?;
    Ok((key.to_string(), value.to_string()))
}

/// Returns the claim; `None` without labels.
fn labels(labels: &[(String, String)]) -> Result<Option<Value>, CommandError> {
    let mut claim = serde_json::Map::new();
    for (key, value) in labels {
        if claim.insert(key.clone(), Value::from(value.as_str())).is_some() {
            return Err(format!("--label: `{key}` is given twice"));
        }
    }
    if claim.len() > LABEL_KEYS_MAX {
        return Err(format!("--label: a session has at most {LABEL_KEYS_MAX} labels"));
    }
    Ok(Some(Value::Object(claim)).filter(|_| !labels.is_empty()))
}

fn read(path: &Path) -> Result<String, CommandError> {
    housecount_access::auth::read_file(path).map_err(|e| format!("--key {e}"))
}
