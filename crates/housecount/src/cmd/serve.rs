//! The command `housecount serve`.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;
use housecount_server::http::BoundListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::{CommandError, SettingArgs, print_line, runtime};
use crate::app::App;
use crate::config::{LogFormat, NodeSettings};
use crate::load::demo;
use crate::otlp::{self, Traces};

/// Receive heartbeats and answer counts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount serve
  housecount serve --demo 500
  housecount serve --listen 0.0.0.0:7400 --set auth.operator_keys=keys.toml --log redis://10.0.0.5:6379/0 \\
      --cold 'dynamodb://ivs-viewer-snapshots?region=us-east-1'
  housecount serve --set interval=10s --set ttl=60s     # any setting; see housecount settings
  HOUSECOUNT_TTL=90s housecount serve --log memory: --cold none")]
pub(super) struct ServeArgs {
    /// Address of the API [default: 127.0.0.1:7400]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Serve TLS with this certificate and its chain (PEM)
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Folder of the embedded stores [default: ./housecount-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// memory:, file:DIR, redis://HOST:PORT/DB, rediss://…, redis+unix:///PATH,
    /// redis-cluster://H:P,H:P, redis+sentinel://H:P,H:P/MASTER [default: file:DATA/log]
    #[arg(long, value_name = "URL")]
    log: Option<String>,
    /// embedded:DIR, dynamodb://TABLE?region=R&endpoint=E, none [default: embedded:DATA/cold]
    #[arg(long, value_name = "URL")]
    cold: Option<String>,
    /// Archive of every heartbeat, for audit: off, packed or items [default is off]
    #[arg(long, value_name = "FORM")]
    archive: Option<String>,
    /// Also keep counts as plain keys in Redis, for programs that expect them
    #[arg(long)]
    publish_counts: bool,
    /// Send traces to this OpenTelemetry collector: http://HOST:4318 or https://HOST:4318
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Allow an address that other machines can reach without operator keys. Every caller is then
    /// an operator
    #[arg(long)]
    insecure: bool,
    /// Simulate this many viewers on a few stages
    #[arg(long, value_name = "VIEWERS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    demo: Option<u32>,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &ServeArgs) -> Result<ExitCode, CommandError> {
    let flags = vec![
        ("listen", args.listen.clone()),
        ("tls_cert", args.tls_cert.clone()),
        ("tls_key", args.tls_key.clone()),
        ("data", args.data.clone()),
        ("log", args.log.clone()),
        ("cold", args.cold.clone()),
        ("archive", args.archive.clone()),
        ("otlp", args.otlp.clone()),
        ("insecure", args.insecure.then(|| "true".to_string())),
        ("publish_counts", args.publish_counts.then(|| "true".to_string())),
    ];
    let settings = args.settings.settings(flags).map_err(|e| e.to_string())?;
    runtime()?.block_on(async {
        let traces = start_logging(&settings)?;
        let outcome = serve(settings, args.demo).await;
        if let Some(traces) = traces {
            traces.stop().await;
        }
        outcome
    })
}

async fn serve(settings: NodeSettings, demo: Option<u32>) -> Result<ExitCode, CommandError> {
    // The port comes first, since it is the likeliest error and quick to check.
    let bound = BoundListener::bind(&settings.server.listen)
        .await?
        .with_tls(settings.server.tls.clone())?;
    let address = format!("{}://{}", bound.scheme(), bound.address);
    let is_open = !bound.address.ip().is_loopback() && settings.server.auth.operator_keys.is_none();
    if is_open && !settings.server.insecure {
        return Err(format!(
            "`listen` = \"{}\" is an address that other machines can reach, and without operator keys every caller is an \
             operator; make a key with `housecount key new` and set auth.operator_keys, or start with --insecure",
            settings.server.listen
        ));
    }
    let (log, cold) = (settings.log.to_string(), settings.cold.as_ref().map(ToString::to_string));
    catch_file_too_large().map_err(|e| format!("can't handle signals: {e}"))?;
    let app = App::build(settings).await.map_err(|e| e.to_string())?;
    if let Some(viewers) = demo {
        tokio::spawn(demo::run(app.node.clone(), viewers));
    }
    let (version, cold) =
        (env!("CARGO_PKG_VERSION"), cold.as_deref().unwrap_or("none: no history is stored"));
    print_line(&format!(
        "housecount {version} listens on {address}\n  \
         dashboard  {address}/\n  \
         API        {address}/v1/stats   {address}/v1/stages\n  \
         docs       {address}/docs\n  \
         log        {log}\n  \
         cold       {cold}"
    ));
    if is_open {
        tracing::warn!("insecure: every caller of {address} is an operator");
    }
    let shutdown = shutdown().map_err(|e| format!("can't handle signals: {e}"))?;
    app.run(bound, shutdown).await.map_err(|e| e.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Log levels of libraries: warnings. Store drivers are silenced, because they would log every
/// failed call. housecount itself logs the beginning and the end of an outage, with the cause.
const LIBRARIES: &str = "warn,redis=off,aws_smithy_runtime=off,aws_smithy_http_client::client=error,\
    aws_smithy_http_client::client::tls=warn";

/// Signal of a write beyond the limit on a file's size (`ulimit -f`), which would end the process.
/// Once the process handles it, the write fails as on a full disk.
#[cfg(target_os = "linux")]
const SIGXFSZ: std::ffi::c_int = 25;

#[cfg(target_os = "linux")]
fn catch_file_too_large() -> std::io::Result<()> {
    // The handler stays for the life of the process, even without a listener.
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
}

#[cfg(not(target_os = "linux"))]
fn catch_file_too_large() -> std::io::Result<()> {
    Ok(())
}

/// Completes at the first SIGTERM or SIGINT.
fn shutdown() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Starts the log of the process, and traces if `otlp` is set.
fn start_logging(settings: &NodeSettings) -> Result<Option<Traces>, CommandError> {
    let level = &settings.log_level;
    let is_filter = level.contains(['=', ',']);
    let filter = if is_filter { level.clone() } else { format!("{LIBRARIES},housecount={level}") };
    let filter =
        EnvFilter::try_new(filter).map_err(|e| format!("`log_level` = \"{level}\": {e}"))?;
    let logger = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logger = logger.with_ansi(std::io::stderr().is_terminal());
    let logger = match settings.log_format {
        LogFormat::Pretty => logger.with_target(false).boxed(),
        LogFormat::Json => logger.json().boxed(),
    };
    let (layer, traces) = match &settings.otlp {
        Some(url) => otlp::start(url).map(|(layer, traces)| (Some(layer), Some(traces)))?,
        None => (None, None),
    };
    let all = tracing_subscriber::registry().with(logger.with_filter(filter)).with(layer);
    all.try_init().map_err(|e| format!("can't start logging: {e}"))?;
    Ok(traces)
}
