//! Settings of the edge: limits, trusted proxies and pseudonyms.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::Path;

use housecount_access::admission::client_addr::AddressRate;
use housecount_access::admission::pseudonyms::{KEY_BYTES_MIN, Pseudonymizer};
use housecount_access::admission::rate_table::{FULL_WITHIN_S_MAX, PER_SECOND_MAX};
use housecount_access::admission::{AdmissionSettings, StreamSettings};
use housecount_core::fold::StreamsPolicy;
use housecount_core::limits::{SESSION_BEATS_MAX, STREAMS_PER_VIEWER_MAX};
use ipnet::IpNet;

use super::{ConfigError, Layers, connections, labels};

/// Default limit of an address, in requests per second: enough for 150,000 viewers behind one.
const ADDRESS_PER_SECOND: u32 = 5_000;
/// Hint for creating a key.
const KEY_HINT: &str =
    "make one with `openssl rand -hex 32 > viewer.key`, keep it forever, and name the file here";

/// Reads the edge's settings.
///
/// # Errors
/// Returns the `ConfigError` of the first wrong setting.
pub(super) fn admission(layers: &Layers) -> Result<AdmissionSettings, ConfigError> {
    let count = |name: &str| Ok::<_, ConfigError>(Some(layers.number(name)?).filter(|n| *n > 0));
    Ok(AdmissionSettings {
        session_beats: session_beats(layers)?,
        address_rate: address_rate(layers)?,
        address_connections: connections::of_address(layers)?,
        proxies: proxies(layers)?,
        sessions_per_viewer: count("limits.sessions_per_viewer")?,
        viewers_per_stage: count("limits.viewers_per_stage")?.map(|n| n as u64),
        new_stages_per_minute: count("limits.new_stages_per_minute")?,
        streams: streams(layers)?,
        labels: labels::settings(layers)?,
        names: names(layers)?,
    })
}

fn streams(layers: &Layers) -> Result<Option<StreamSettings>, ConfigError> {
    let name = "limits.streams_per_viewer";
    let policies = [("refuse", StreamsPolicy::Refuse), ("displace", StreamsPolicy::Displace)];
    let policy = layers.choice("limits.streams_policy", &policies)?;
    let max = layers.number(name)?;
    if max > STREAMS_PER_VIEWER_MAX {
        let expected = format!("it must be at most {STREAMS_PER_VIEWER_MAX}; 0 means no limit");
        return Err(layers.invalid(name, &expected));
    }
    if max > 0 && layers.text("auth.viewer")? != "required" {
        let expected = "it needs `auth.viewer` = \"required\": without tokens, any client can use up another viewer's streams";
        return Err(layers.invalid(name, expected));
    }
    Ok((max > 0).then_some(StreamSettings { max, policy }))
}

fn small(layers: &Layers, name: &str) -> Result<Option<NonZeroU32>, ConfigError> {
    let number = u32::try_from(layers.number(name)?);
    number
        .map(NonZeroU32::new)
        .map_err(|_| layers.invalid(name, "it must be less than 4,294,967,296"))
}

fn session_beats(layers: &Layers) -> Result<Option<NonZeroU32>, ConfigError> {
    let name = "limits.session_beats";
    let beats = small(layers, name)?;
    if beats.is_some_and(|beats| beats.get() > SESSION_BEATS_MAX) {
        let expected =
            format!("it must be at most {SESSION_BEATS_MAX} per second; 0 means no limit");
        return Err(layers.invalid(name, &expected));
    }
    Ok(beats)
}

fn address_rate(layers: &Layers) -> Result<Option<AddressRate>, ConfigError> {
    let name = "limits.address_per_second";
    let is_default = layers.text(name)?.is_empty();
    let per_second =
        if is_default { NonZeroU32::new(ADDRESS_PER_SECOND) } else { small(layers, name)? };
    let burst = small(layers, "limits.address_burst")?;
    let Some(per_second) = per_second else { return Ok(None) };
    let Some(burst) = burst else {
        return Err(layers.invalid("limits.address_burst", "it must be at least 1"));
    };
    if per_second.get() > PER_SECOND_MAX {
        let expected = format!("it must be at most {PER_SECOND_MAX} per second; 0 means no limit");
        return Err(layers.invalid(name, &expected));
    }
    if u64::from(burst.get()) > FULL_WITHIN_S_MAX * u64::from(per_second.get()) {
        let expected =
            format!("it must be at most {FULL_WITHIN_S_MAX} s of `limits.address_per_second`");
        return Err(layers.invalid("limits.address_burst", &expected));
    }
    Ok(Some(AddressRate { per_second, burst, is_for_loopback: !is_default }))
}

fn proxies(layers: &Layers) -> Result<Vec<IpNet>, ConfigError> {
    let network = |text: &String| {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| {
            layers.invalid("proxies", &format!("`{text}` is not a network, such as 10.0.0.0/8"))
        })
    };
    layers.list("proxies")?.iter().map(network).collect()
}

fn names(layers: &Layers) -> Result<Pseudonymizer, ConfigError> {
    if !layers.choice("viewer_ids", &[("plain", false), ("hashed", true)])? {
        return Ok(Pseudonymizer::plain());
    }
    let name = "viewer_ids_key";
    let given = layers.text(name)?;
    if given.is_empty() {
        return Err(
            layers.invalid(name, &format!("`viewer_ids` = \"hashed\" needs a key: {KEY_HINT}"))
        );
    }
    let secret = match hex(given.as_bytes()) {
        Some(secret) => secret,
        None => {
            let bytes = std::fs::read(Path::new(&given)).map_err(|e| {
                let expected = "it is neither 64 hexadecimal digits nor a readable file";
                layers.invalid(name, &format!("{expected} ({}); {KEY_HINT}", e.kind()))
            })?;
            let text = bytes.trim_ascii();
            hex(text).unwrap_or_else(|| text.to_vec())
        }
    };
    let too_short = format!("the key must have at least {KEY_BYTES_MIN} bytes; {KEY_HINT}");
    Pseudonymizer::hashed(&secret).ok_or_else(|| layers.invalid(name, &too_short))
}

/// Decodes a key in hexadecimal digits.
fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text).ok()?;
    (bytes.len() >= KEY_BYTES_MIN).then_some(bytes)
}
