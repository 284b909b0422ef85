//! Settings: flag > environment > file > default. Each is checked, and an error names the setting
//! and its source.
//!
//! `default.toml` is both the defaults and their documentation, so the two agree. This module is
//! the only one that reads the environment.

mod addresses;
mod admission;
mod auth;
mod connections;
mod cost;
mod events;
mod labels;
mod layers;
mod machine;
mod public_count;

use std::path::PathBuf;

use housecount_core::fold::Rules;
use housecount_core::limits::{DRAIN_MS_MAX, METRICS_STAGES_MAX, WINDOW_MS_MAX, WORKERS_MAX};
use housecount_cost::CostSettings;
use housecount_engine::internals::default_worker_count;
use housecount_engine::{Ack, ArchiveFormat, ArchiveSettings, Settings};
use housecount_events::settings::EventSettings;
use housecount_net::service_url::ServiceUrl;
use housecount_server::node::ServerSettings;
use housecount_stores::cold::ColdTarget;
use housecount_stores::log::LogTarget;

use self::addresses::{origins, otlp, tls};
use self::admission::admission;
pub use self::layers::{DEFAULT_TOML, Layers};

/// Reason why the settings can't be used: one line with the setting, its source and a remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Largest `lateness_max` with `ledger_retention`, since a late event must find the part of the
/// ledger that it belongs to.
const LATENESS_EXPIRING_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Format of the process's log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for a terminal.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// All settings, parsed. Names are those of `default.toml`, with their unit.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Those of the engine.
    pub engine: Settings,
    /// Those of the server.
    pub server: ServerSettings,
    /// `prices`, `cost.monthly_limit_usd` and `cost.guard`
    pub cost: CostSettings,
    /// `events`, `events_*` and `webhooks`; `None` if events are off
    pub events: Option<EventSettings>,
    /// `data`
    pub data: PathBuf,
    /// `log`
    pub log: LogTarget,
    /// `cold`; `None` for the value `none`
    pub cold: Option<ColdTarget>,
    /// `redis_prefix`
    pub redis_prefix: String,
    /// `log_level`
    pub log_level: String,
    /// `log_format`
    pub log_format: LogFormat,
    /// `otlp`; `None` if empty
    pub otlp: Option<ServiceUrl>,
}

impl NodeSettings {
    /// Builds the settings from the layers.
    ///
    /// # Errors
    /// Returns the `ConfigError` of the first wrong setting.
    pub fn from_layers(layers: &Layers) -> Result<NodeSettings, ConfigError> {
        let data = PathBuf::from(layers.text("data")?);
        let or_default = |text: String, kind: &str, sub: &str| {
            if text.is_empty() { format!("{kind}:{}", data.join(sub).display()) } else { text }
        };
        let log = or_default(layers.text("log")?, "file", "log");
        let cold = or_default(layers.text("cold")?, "embedded", "cold");
        let settings = NodeSettings {
            engine: engine(layers)?,
            server: server(layers)?,
            cost: cost::settings(layers)?,
            events: events::settings(layers)?,
            log: LogTarget::parse(&log).map_err(|e| layers.invalid("log", &e))?,
            cold: ColdTarget::parse(&cold, &layers.text("table")?)
                .map_err(|e| layers.invalid("cold", &e))?,
            data,
            redis_prefix: layers.text("redis_prefix")?,
            log_level: layers.text("log_level")?,
            log_format: layers.choice(
                "log_format",
                &[("pretty", LogFormat::Pretty), ("json", LogFormat::Json)],
            )?,
            otlp: otlp(layers)?,
        };
        settings.check(layers)?;
        Ok(settings)
    }

    /// Checks the rules between settings.
    fn check(&self, layers: &Layers) -> Result<(), ConfigError> {
        let engine = &self.engine;
        let at_least = |name: &str, ms: u64, min: u64, shown: &str| {
            if ms >= min {
                Ok(())
            } else {
                Err(layers.invalid(name, &format!("it must be at least {shown}")))
            }
        };
        if engine.workers > WORKERS_MAX {
            return Err(layers.invalid("workers", &format!("it must be at most {WORKERS_MAX}")));
        }
        if self.server.drain_ms > DRAIN_MS_MAX {
            return Err(layers
                .invalid("drain", "it must be at most 1m: each stop of the node takes that long"));
        }
        at_least("interval", engine.interval_ms, 100, "100ms")?;
        at_least("snapshot_interval", engine.snapshot_interval_ms, 1_000, "1s")?;
        at_least("snapshot_retention", engine.snapshot_retention_ms, 1_000, "1s")?;
        at_least("window", engine.window_ms, 1_000, "1s")?;
        if engine.window_ms > WINDOW_MS_MAX {
            return Err(layers.invalid(
                "window",
                "it must be at most 1h: nodes keep every viewer's proof in memory for that time",
            ));
        }
        if engine.snapshot_retention_ms < engine.snapshot_interval_ms {
            return Err(
                layers.invalid("snapshot_retention", "it must be at least snapshot_interval")
            );
        }
        if let Some(ms) = engine.ledger_retention_ms {
            at_least(
                "ledger_retention",
                ms,
                engine.snapshot_retention_ms,
                "snapshot_retention: the ledger explains the snapshots",
            )?;
            if engine.lateness_max_ms > LATENESS_EXPIRING_MS_MAX {
                return Err(
                    layers.invalid("ledger_retention", "it needs `lateness_max` of at most a day")
                );
            }
        }
        if engine.rules.ttl_ms < 3 * engine.interval_ms {
            let text = format!(
                "it must be at least 3 x interval ({}), or one lost beat can take a viewer offline",
                layers.text("interval")?
            );
            return Err(layers.invalid("ttl", &text));
        }
        if let LogTarget::Dynamo(log) = &self.log
            && engine.interval_ms < 20 * log.flush_ms()
        {
            let text = "it must be at least 20 x the log's flush: nodes announce themselves in the log that often";
            return Err(layers.invalid("interval", text));
        }
        if engine.linger_ms > 1_000 {
            return Err(layers
                .invalid("linger", "it must be at most 1s: every heartbeat may wait that long"));
        }
        if let Some(kept) = engine.archive {
            if self.cold.is_none() {
                return Err(layers
                    .invalid("archive", "the archive needs a cold tier, and `cold` = \"none\""));
            }
            at_least("archive_flush", kept.flush_ms, 1_000, "1s")?;
            at_least("archive_retention", kept.retention_ms, 1_000, "1s")?;
            if kept.flush_ms > engine.window_ms {
                return Err(layers.invalid(
                    "archive_flush",
                    "it must be at most `window`: the log keeps its records for that time",
                ));
            }
        }
        if !engine.stages_auto && self.cold.is_none() {
            return Err(layers.invalid(
                "stages.auto",
                "false needs a cold tier: without one, stages can't be configured, so no stage opens",
            ));
        }
        if self.events.is_some() && self.cold.is_none() {
            let name = if layers.boolean("events")? { "events" } else { "webhooks" };
            return Err(layers.invalid(name, "events need a cold tier, and `cold` = \"none\""));
        }
        if engine.publish_counts && !matches!(self.log, LogTarget::Redis(_)) {
            return Err(layers.invalid("publish_counts", "it needs a Redis log"));
        }
        Ok(())
    }
}

fn engine(layers: &Layers) -> Result<Settings, ConfigError> {
    let ttl_ms = layers.duration_ms("ttl")?;
    // With a grace of ttl or more, the session has timed out anyway.
    let leave_grace_ms = layers.duration_ms("leave_grace")?.min(ttl_ms.saturating_sub(1));
    Ok(Settings {
        workers: match layers.number("workers")? {
            0 => default_worker_count().min(WORKERS_MAX),
            workers => workers,
        },
        interval_ms: layers.duration_ms("interval")?,
        rules: Rules { ttl_ms, leave_grace_ms },
        linger_ms: layers.duration_ms("linger")?,
        ack: layers.choice("ack", &[("log", Ack::Log), ("memory", Ack::Memory)])?,
        window_ms: layers.duration_ms("window")?,
        snapshot_interval_ms: layers.duration_ms("snapshot_interval")?,
        snapshot_retention_ms: layers.duration_ms("snapshot_retention")?,
        archive: archive(layers)?,
        ledger_retention_ms: match layers.text("ledger_retention")?.is_empty() {
            true => None,
            false => Some(layers.duration_ms("ledger_retention")?),
        },
        lateness_max_ms: layers.duration_ms("lateness_max")?,
        publish_counts: layers.boolean("publish_counts")?,
        stages_auto: layers.boolean("stages.auto")?,
        live_events_per_second: events_per_second(layers)?,
        poll_ms: Settings::default().poll_ms,
        label_keys: labels::keys(layers)?.iter().map(str::to_string).collect(),
    })
}

fn events_per_second(layers: &Layers) -> Result<u64, ConfigError> {
    let name = "limits.live_events_per_second";
    match layers.number(name)? {
        0 => Err(layers.invalid(name, "it must be at least 1")),
        number => Ok(number as u64),
    }
}

fn metrics_stages(layers: &Layers) -> Result<usize, ConfigError> {
    let name = "metrics_stages";
    let number = layers.number(name)?;
    if number > METRICS_STAGES_MAX {
        return Err(layers.invalid(name, &format!("it must be at most {METRICS_STAGES_MAX}")));
    }
    Ok(number)
}

fn archive(layers: &Layers) -> Result<Option<ArchiveSettings>, ConfigError> {
    let forms = [
        ("off", None),
        ("packed", Some(ArchiveFormat::Packed)),
        ("items", Some(ArchiveFormat::Items)),
    ];
    let Some(form) = layers.choice("archive", &forms)? else { return Ok(None) };
    Ok(Some(ArchiveSettings {
        form,
        flush_ms: layers.duration_ms("archive_flush")?,
        retention_ms: layers.duration_ms("archive_retention")?,
    }))
}

fn server(layers: &Layers) -> Result<ServerSettings, ConfigError> {
    Ok(ServerSettings {
        listen: layers.text("listen")?,
        tls: tls(layers)?,
        connections_max: connections::of_node(layers)?,
        drain_ms: layers.duration_ms("drain")?,
        broadcast_gap_ms: layers.duration_ms("broadcast_gap")?,
        metrics_stages: metrics_stages(layers)?,
        admission: admission(layers)?,
        cors_origins: origins(layers, "cors.origins")?,
        cors_operator_origins: origins(layers, "cors.operator_origins")?,
        auth: auth::settings(layers)?,
        public_count: public_count::setting(layers)?,
        labels_floor: labels::floor(layers)?,
        insecure: layers.boolean("insecure")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn settings(flags: &[(&str, &str)]) -> Result<NodeSettings, ConfigError> {
        let flags = flags
            .iter()
            .map(|(k, v)| ("--set".to_string(), k.to_string(), v.to_string()))
            .collect();
        NodeSettings::from_layers(&Layers::of(None, Vec::new(), flags)?)
    }

    #[test]
    fn defaults_are_the_contract() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.server.listen, "127.0.0.1:7400");
        assert_eq!(settings.log, LogTarget::File("./housecount-data/log".into()));
        assert_eq!(settings.cold, Some(ColdTarget::Embedded("./housecount-data/cold".into())));
        assert_eq!((settings.engine.interval_ms, settings.engine.linger_ms), (30_000, 10));
        assert_eq!(settings.engine.rules, Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 });
        assert_eq!(settings.engine.snapshot_retention_ms, 30 * 24 * 3_600_000);
        assert!(settings.engine.stages_auto && !settings.engine.publish_counts);
        assert_eq!(
            (settings.cost.limit, settings.cost.prices.name.as_str()),
            (None, "us-east-1, 2026-10")
        );
    }

    /// Other programs embed the engine, and its defaults are those of the file.
    #[test]
    fn the_engine_has_the_same_defaults() {
        let served = Settings { workers: 0, ..settings(&[]).unwrap().engine };
        assert_eq!(served, Settings::default());
    }

    #[test]
    fn what_is_wrong_is_one_line_that_names_it() {
        for (flags, named) in [
            (
                vec![("ttl", "89s")],
                "`ttl` = \"89s\" (from --set): it must be at least 3 x interval (30s)",
            ),
            (vec![("interval", "30")], "`interval` = \"30\" (from --set): a duration needs a unit"),
            // WINDOW_MS_MAX
            (vec![("window", "61m")], "it must be at most 1h"),
            (vec![("otlp", "ftp://collector")], "write it as http://HOST:PORT"),
            // DRAIN_MS_MAX
            (vec![("drain", "61s")], "it must be at most 1m"),
            // WORKERS_MAX
            (vec![("workers", "257")], "`workers` = \"257\" (from --set): it must be at most 256"),
            (vec![("workers", "many")], "not a whole number, 0 or more"),
            (
                vec![("ack", "never")],
                "`ack` = \"never\" (from --set): it must be one of log, memory",
            ),
            (vec![("archive", "all")], "it must be one of off, packed, items"),
            (vec![("archive", "items"), ("cold", "none")], "and `cold` = \"none\""),
            (vec![("archive", "packed"), ("archive_flush", "10m")], "it must be at most `window`"),
            (
                vec![("limits.session_beats", "101")],
                "it must be at most 100 per second; 0 means no limit",
            ),
            (vec![("limits.address_burst", "0")], "it must be at least 1"),
            (vec![("limits.address_per_second", "many")], "not a whole number, 0 or more"),
            (
                vec![("limits.address_per_second", "1000001")],
                "it must be at most 1000000 per second; 0 means no limit",
            ),
            (
                vec![("limits.address_per_second", "1"), ("limits.address_burst", "549756")],
                "it must be at most 549755 s of `limits.address_per_second`",
            ),
            (vec![("proxies", "10.0.0.0/8, all")], "`all` is not a network"),
            (vec![("cors.origins", "https://a.example/")], "`https://a.example/` is not an origin"),
            (
                vec![("cors.origins", "https://a.*.example")],
                "`https://a.*.example` can't match any page",
            ),
            (vec![("cors.operator_origins", "https://a.example:443")], "browsers leave out :443"),
            (vec![("tls_cert", "cert.pem")], "it needs `tls_key` as well"),
            (vec![("tls_ticket_key", "secret")], "it needs `tls_cert` and `tls_key` as well"),
            (vec![("viewer_ids", "hashed")], "needs a key: make one with `openssl rand -hex 32"),
            (vec![("ledger_retention", "1d")], "it must be at least snapshot_retention"),
            (vec![("limits.live_events_per_second", "0")], "it must be at least 1"),
            (vec![("metrics_stages", "1001")], "it must be at most 1000"),
            (vec![("public_count", "none")], "it must be exact, rounded or hidden, or empty"),
            (vec![("publish_counts", "yes")], "it must be true or false"),
            (vec![("publish_counts", "true")], "it needs a Redis log"),
            (vec![("log", "dynamodb://t?flush=5m")], "`log` (from --set)"),
            (vec![("log", "dynamodb://ivs"), ("interval", "19s")], "at least 20 x the log's flush"),
            (vec![("log", "kafka:")], "a log is memory:, file:DIR"),
            (vec![("cold", "s3:")], "a cold tier is embedded:DIR"),
            (vec![("auth.viewer", "yes")], "it must be one of off, optional, required"),
            (vec![("auth.viewer", "required")], "set auth.viewer_keys or auth.viewer_jwks_url"),
            (vec![("auth.viewer_jwks_url", "http://example.com/")], "it must be https://"),
            (
                vec![("cost.monthly_limit_usd", "ten")],
                "`cost.monthly_limit_usd` = \"ten\" (from --set): not a decimal",
            ),
            (vec![("cost.machine", "t4g.huge")], "it must be none or one of t4g.nano, "),
            (vec![("cost.guard", "stop")], "it must be one of warn, stretch, interval"),
            (
                vec![("prices", "/nowhere.toml")],
                "`prices` = \"/nowhere.toml\" (from --set): /nowhere.toml: No such file",
            ),
            (vec![("colour", "red")], "`colour` (from --set) is not a setting"),
            (vec![("tll", "red")], "did you mean `ttl`?"),
        ] {
            let error = settings(&flags).unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains('\n'), "{flags:?}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        let error = settings(&[("log", "redis://u:secret@h:x")]).unwrap_err().to_string();
        assert!(error.contains("`log`") && !error.contains("secret"), "{error}");
        let key = "0011223344556677".repeat(4);
        let flags =
            [("log", "redis://u:secret@h:1/0"), ("viewer_ids", "hashed"), ("viewer_ids_key", &key)];
        let shown = format!("{:?}", settings(&flags).unwrap());
        assert!(!shown.contains("secret") && !shown.contains("00112233"), "{shown}");
        let flags = [
            ("auth.viewer_keys", "secret:opensesame"),
            ("auth.viewer_jwks_url", "http://u:opensesame@h/"),
        ];
        let error = settings(&flags).unwrap_err().to_string();
        assert!(
            error.contains("`auth.viewer_jwks_url`") && !error.contains("opensesame"),
            "{error}"
        );
        let shown = format!("{:?}", settings(&flags[..1]).unwrap());
        assert!(shown.contains("viewer_keys") && !shown.contains("opensesame"), "{shown}");
    }
}
