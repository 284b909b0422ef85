//! A node: its engine, and what decides who may use it.

use std::sync::Arc;

use housecount_access::admission::{AdmissionControl, AdmissionSettings};
use housecount_access::auth::{Auth, AuthSettings};
use housecount_access::origin::OriginPattern;
use housecount_core::public_count::PublicCount;
use housecount_cost::CostTracker;
use housecount_engine::internals::{ConfigList, EngineState, PublicCounts};
use housecount_events::service::EventService;
use housecount_net::tls::TlsFiles;
use parking_lot::Mutex;

/// Settings of the server. Those of the engine are its own.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// `listen`
    pub listen: String,
    /// `tls_cert` and `tls_key`; `None` for plain HTTP
    pub tls: Option<TlsFiles>,
    /// `connections_max`
    pub connections_max: usize,
    /// `drain`
    pub drain_ms: u64,
    /// `proxies`, `limits.*`, `labels`, `labels_from.*`, `viewer_ids` and `viewer_ids_key`
    pub admission: AdmissionSettings,
    /// `cors.origins`
    pub cors_origins: Vec<OriginPattern>,
    /// `cors.operator_origins`
    pub cors_operator_origins: Vec<OriginPattern>,
    /// `auth.*`
    pub auth: AuthSettings,
    /// `broadcast_gap`
    pub broadcast_gap_ms: u64,
    /// `metrics_stages`
    pub metrics_stages: usize,
    /// `public_count`
    pub public_count: Option<PublicCount>,
    /// `labels_floor`
    pub labels_floor: u64,
    /// `insecure`
    pub insecure: bool,
}

/// State that a request needs.
#[derive(Debug)]
pub struct Node {
    /// Settings that the server was started with.
    pub settings: ServerSettings,
    /// Authentication of viewers and operators.
    pub auth: Auth,
    /// Admission of events, before they reach the log.
    pub admission: Arc<AdmissionControl>,
    /// Presence, counts and the ledger.
    pub engine: Arc<EngineState>,
    /// Cost of the node's calls.
    pub costs: Arc<CostTracker>,
    /// Events and webhooks; `None` where they are off.
    pub events: Option<Arc<EventService>>,
    /// All stages' configurations, for lists that need them all.
    pub config_list: ConfigList,
    /// Views that players and the public have of each stage's count.
    pub public_counts: PublicCounts,
    /// Lock of a scrape of the metrics.
    pub scrape: Mutex<()>,
}

impl Node {
    /// A node over an engine. Keys are not loaded, so requests that need a key are refused until
    /// `auth` has loaded them.
    #[must_use]
    pub fn new(
        settings: ServerSettings,
        engine: Arc<EngineState>,
        costs: Arc<CostTracker>,
        events: Option<Arc<EventService>>,
    ) -> Node {
        let auth = Auth::new(&settings.auth, engine.hash_key);
        let admission = Arc::new(AdmissionControl::new(
            &settings.admission,
            engine.settings.interval_ms,
            engine.settings.rules.leave_grace_ms,
        ));
        let config_list = ConfigList::default();
        let public_counts = PublicCounts::of_node(settings.public_count);
        let scrape = Mutex::default();
        Node {
            settings,
            auth,
            admission,
            engine,
            costs,
            events,
            config_list,
            public_counts,
            scrape,
        }
    }
}
