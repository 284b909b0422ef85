//! A webhook as it is configured: its address, secrets, and the events that it wants.

use std::fmt;

use housecount_core::limits::WEBHOOK_STAGES_MAX;
use housecount_net::address_policy::AddressPolicy;
use http::Uri;

use super::signature::SigningSecret;
use crate::event::{AudienceEvent, EventType};

/// Bytes of a webhook's name.
const NAME_BYTES_MAX: usize = 64;
/// Secrets of a webhook: the current one, and one that replaces it.
const SECRETS_MAX: usize = 2;

/// A webhook as an operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookSpec {
    /// Name in metrics and in the API; empty for the host.
    pub name: String,
    /// Address to call.
    pub url: String,
    /// Secrets, one or two.
    pub secrets: Vec<String>,
    /// Types of events; empty for all.
    pub events: Vec<String>,
    /// Patterns of stages; empty for all.
    pub stages: Vec<String>,
    /// Whether private addresses are allowed.
    pub is_private: bool,
}

/// A webhook.
#[derive(Clone)]
pub struct Webhook {
    /// Name in metrics, in the API and in the cold tier.
    pub name: String,
    /// Address to call. Its path may be a secret, so it is never shown.
    pub url: Uri,
    /// Secrets that sign each delivery.
    pub secrets: Vec<SigningSecret>,
    /// Addresses that it may have.
    pub policy: AddressPolicy,
    types: Vec<EventType>,
    stages: Vec<String>,
}

impl Webhook {
    /// Checks what an operator wrote.
    ///
    /// # Errors
    /// Returns one line that names what is wrong, without secrets.
    pub fn new(spec: &WebhookSpec) -> Result<Webhook, String> {
        let expected = "`url` must be an address such as https://example.com/hook";
        let url: Uri = spec.url.parse().map_err(|_| expected)?;
        let host = url.host().filter(|host| !host.is_empty()).ok_or(expected)?;
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("`url` must not have a user and password".to_string());
        }
        let policy = match (url.scheme_str(), spec.is_private) {
            (Some("https"), false) => AddressPolicy::Public,
            (Some("https"), true) => AddressPolicy::Any,
            (Some("http"), true) => AddressPolicy::Private,
            (Some("http"), false) => {
                return Err("`url` must be https; http is for private addresses, with \
                            `private = true`"
                    .to_string());
            }
            _ => return Err(expected.to_string()),
        };
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        if literal.is_ok_and(|address| !policy.allows(address)) {
            return Err(match policy {
                AddressPolicy::Private => "`url` has a public address, which needs https",
                _ => "`url` has a private address, which needs `private = true`",
            }
            .to_string());
        }
        if !(1..=SECRETS_MAX).contains(&spec.secrets.len()) {
            return Err("`secret` must be one secret, or two while they are changed".to_string());
        }
        let secrets = spec.secrets.iter().map(|text| SigningSecret::parse(text));
        let secrets = secrets.collect::<Result<_, _>>().map_err(|e| format!("`secret` is {e}"))?;
        let types = spec.events.iter().map(|name| {
            EventType::parse(name).ok_or_else(|| {
                let known = EventType::ALL.map(EventType::name).join(", ");
                format!("`events` has \"{name}\"; the types are {known}")
            })
        });
        if spec.stages.len() > WEBHOOK_STAGES_MAX {
            return Err(format!("`stages` has more than {WEBHOOK_STAGES_MAX} patterns"));
        }
        let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let name = if spec.name.is_empty() { format!("{host}{port}") } else { spec.name.clone() };
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:[]".contains(&byte);
        if name.len() > NAME_BYTES_MAX || !name.bytes().all(is_good) {
            return Err(format!(
                "`name` must have 1 to {NAME_BYTES_MAX} letters, digits and ._-:[]"
            ));
        }
        let (types, stages) = (types.collect::<Result<_, _>>()?, spec.stages.clone());
        Ok(Webhook { name, url, secrets, policy, types, stages })
    }

    /// Whether the webhook wants an event.
    #[must_use]
    pub fn wants(&self, event: &AudienceEvent) -> bool {
        let is_type = self.types.is_empty() || self.types.contains(&event.kind());
        let is_stage = || match event.stage() {
            Some(stage) if !self.stages.is_empty() => {
                self.stages.iter().any(|pattern| matches_pattern(pattern, stage))
            }
            _ => true,
        };
        is_type && is_stage()
    }

    /// Scheme, host and port of the address.
    #[must_use]
    pub fn shown_url(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or_default();
        format!("{scheme}://{}", self.url.authority().map_or("", |authority| authority.as_str()))
    }
}

impl PartialEq for Webhook {
    fn eq(&self, other: &Webhook) -> bool {
        let shown = |of: &Webhook| (of.name.clone(), of.url.clone(), of.policy);
        shown(self) == shown(other) && (&self.types, &self.stages) == (&other.types, &other.stages)
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .field("url", &self.shown_url())
            .field("policy", &self.policy)
            .field("types", &self.types)
            .field("stages", &self.stages)
            .finish_non_exhaustive()
    }
}

/// Whether a text matches a pattern, in which `*` stands for any characters.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        // The earliest place leaves most to the parts that follow.
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use housecount_core::time::UnixMs;

    use super::*;
    use crate::event::AudienceChange;

    fn spec(url: &str) -> WebhookSpec {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_string();
        WebhookSpec { url: url.into(), secrets: vec![secret], ..WebhookSpec::default() }
    }

    fn private(url: &str) -> WebhookSpec {
        WebhookSpec { is_private: true, ..spec(url) }
    }

    #[test]
    fn only_public_addresses_over_https_unless_private_ones_are_allowed() {
        use AddressPolicy::{Any, Private, Public};
        for (spec, policy) in [
            (spec("https://example.com/hook?token=1"), Public),
            (spec("https://1.1.1.1/"), Public),
            (private("https://10.0.0.1:8443/hook"), Any),
            (private("http://hooks.internal:8080/"), Private),
            (private("http://[::1]:8080/"), Private),
        ] {
            assert_eq!(Webhook::new(&spec).unwrap().policy, policy, "{spec:?}");
        }
        for (spec, why) in [
            (spec("http://example.com/"), "`url` must be https"),
            (spec("https://10.0.0.1/"), "`private = true`"),
            (spec("https://[::ffff:192.168.0.1]/"), "`private = true`"),
            (spec("https://127.0.0.1:9/"), "`private = true`"),
            (private("http://8.8.8.8/"), "needs https"),
            (spec("https://user:pw@example.com/"), "user and password"),
            (spec("ftp://example.com/"), "an address such as"),
            (spec("/hook"), "an address such as"),
            (WebhookSpec { secrets: vec![], ..spec("https://a.b/") }, "`secret` must be"),
            (
                WebhookSpec { secrets: vec!["opensesame".into()], ..spec("https://a.b/") },
                "not a secret",
            ),
            (
                WebhookSpec { events: vec!["stage.full".into()], ..spec("https://a.b/") },
                "stage.opened",
            ),
            (WebhookSpec { name: "a b".into(), ..spec("https://a.b/") }, "`name` must"),
        ] {
            let error = Webhook::new(&spec).unwrap_err();
            assert!(error.contains(why) && !error.contains("sesame"), "{error}");
        }
        let webhook = Webhook::new(&spec("https://example.com:8443/T0PSECRET?k=1")).unwrap();
        assert_eq!(webhook.name, "example.com:8443");
        assert!(!format!("{webhook:?}").contains("SECRET"), "{webhook:?}");
    }

    #[test]
    fn webhook_stages_max_bounds_the_patterns() {
        let stages =
            |count| WebhookSpec { stages: vec!["a*".into(); count], ..spec("https://a.b/") };
        assert!(Webhook::new(&stages(WEBHOOK_STAGES_MAX)).is_ok());
        let error = Webhook::new(&stages(WEBHOOK_STAGES_MAX + 1)).unwrap_err();
        assert_eq!(error, "`stages` has more than 100 patterns");
    }

    #[test]
    fn events_are_chosen_by_type_and_stage() {
        let event = |change| AudienceEvent { seq: 1, at: UnixMs(1), change, count: None };
        let opened = |stage: &str| event(AudienceChange::Opened(stage.into()));
        let (emptied, complete) = (
            event(AudienceChange::Emptied("match-1".into())),
            event(AudienceChange::CountComplete),
        );
        let all = Webhook::new(&spec("https://a.b/")).unwrap();
        assert!(all.wants(&opened("x")) && all.wants(&complete));
        let some = Webhook::new(&WebhookSpec {
            events: vec!["stage.opened".into(), "count.complete".into()],
            stages: vec!["match-*".into(), "final".into()],
            ..spec("https://a.b/")
        });
        let some = some.unwrap();
        assert!(some.wants(&opened("match-1")) && some.wants(&opened("final")));
        assert!(some.wants(&complete), "it is of all stages");
        assert!(!some.wants(&opened("finals")) && !some.wants(&emptied));
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, matching, other) in [
            ("a", &["a"][..], &["", "aa", "b"][..]),
            ("*", &["", "a", "a*b"], &[]),
            ("a*", &["a", "ab"], &["ba"]),
            ("*a", &["a", "aba"], &["ab"]),
            ("a*b*c", &["abc", "axbxbxc"], &["ac", "abcd", "acb"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("**x**", &["x", "axb"], &["", "a"]),
        ] {
            for text in matching {
                assert!(matches_pattern(pattern, text), "{pattern} {text}");
            }
            for text in other {
                assert!(!matches_pattern(pattern, text), "{pattern} {text}");
            }
        }
    }
}
