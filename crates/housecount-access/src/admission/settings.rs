//! Limits of admission, and the proxies that it trusts.

use std::num::NonZeroU32;

use housecount_core::fold::StreamsPolicy;
use ipnet::IpNet;

use super::client_addr::AddressRate;
use super::connections::ConnectionLimit;
use super::pseudonyms::Pseudonymizer;
use crate::labels::LabelSettings;

/// Limit of a viewer's streams.
#[derive(Clone, Copy, Debug)]
pub struct StreamSettings {
    /// Streams that a viewer may have at once, over all stages.
    pub max: usize,
    /// Streams that end where a viewer has more.
    pub policy: StreamsPolicy,
}

/// Settings of admission, parsed. `None` where no limit is set.
#[derive(Clone, Debug, Default)]
pub struct AdmissionSettings {
    /// `limits.session_beats`
    pub session_beats: Option<NonZeroU32>,
    /// `limits.address_per_second` and `limits.address_burst`
    pub address_rate: Option<AddressRate>,
    /// `limits.address_connections`
    pub address_connections: Option<ConnectionLimit>,
    /// `proxies`
    pub proxies: Vec<IpNet>,
    /// `limits.sessions_per_viewer`
    pub sessions_per_viewer: Option<usize>,
    /// `limits.viewers_per_stage`
    pub viewers_per_stage: Option<u64>,
    /// `limits.new_stages_per_minute`
    pub new_stages_per_minute: Option<usize>,
    /// `limits.streams_per_viewer` and `limits.streams_policy`
    pub streams: Option<StreamSettings>,
    /// `labels` and `labels_from.*`
    pub labels: LabelSettings,
    /// `viewer_ids` and `viewer_ids_key`
    pub names: Pseudonymizer,
}
