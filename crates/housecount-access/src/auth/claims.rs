//! Claims of a viewer's token, and the events that they allow its bearer to send.

use std::fmt;

use housecount_core::limits::TOKEN_AHEAD_MS_MAX;
use housecount_core::time::UnixMs;
use housecount_engine::internals::UnstampedEvent;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Credential, KeyId, TokenError, TokenRules};
use crate::labels::LabelValues;

/// Claims as they are written in a token.
#[derive(Clone, Deserialize, Serialize)]
pub struct Payload {
    /// The viewer.
    pub sub: String,
    /// The stage. A token has this claim or `stagePrefix`, never both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Prefix of the stages' ids. An empty prefix covers all stages.
    #[serde(default, rename = "stagePrefix", skip_serializing_if = "Option::is_none")]
    pub stage_prefix: Option<String>,
    /// The only session that the token covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Streams that the viewer may have at once, over all stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<u32>,
    /// Labels of the viewer's sessions: an object of strings. Any other type is an error only where
    /// labels are on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Value>,
    /// Expiry, in Unix seconds.
    pub exp: f64,
    /// Unix seconds before which the token is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<f64>,
    /// Audience of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<AudienceClaim>,
}

/// The `aud` claim, which names one audience or several.
#[derive(Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub enum AudienceClaim {
    /// One audience.
    One(String),
    /// Several audiences.
    Many(Vec<String>),
}

impl AudienceClaim {
    fn has(&self, wanted: &str) -> bool {
        match self {
            AudienceClaim::One(one) => one == wanted,
            AudienceClaim::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

/// Claims of a verified token: the events that its bearer may send, and until when.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    viewer: String,
    stages: StageClaim,
    session: Option<String>,
    streams: Option<u32>,
    labels: Option<Box<LabelValues>>,
    /// Expiry, with the leeway.
    ends: UnixMs,
    /// The key that signed it.
    key: KeyId,
}

/// Stages that a token covers.
#[derive(Clone, PartialEq, Eq)]
enum StageClaim {
    One(String),
    BeginningWith(String),
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// Name of the first claim that doesn't cover an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimMismatch(pub &'static str);

/// Converts Unix seconds into a time that a token may name now.
///
/// Returns `None` before 1970 and beyond [`TOKEN_AHEAD_MS_MAX`]. Milliseconds in the place of
/// seconds are beyond it.
fn moment(seconds: f64, now: UnixMs) -> Option<UnixMs> {
    // The cast saturates: a float out of range becomes the nearest `u64`.
    let at = UnixMs((seconds * 1_000.0) as u64);
    (seconds >= 0.0 && at <= now.plus(TOKEN_AHEAD_MS_MAX)).then_some(at)
}

impl Claims {
    /// Checks the claims of a token whose signature is good.
    ///
    /// # Errors
    /// Returns `TokenError::Expired` or `TokenError::Invalid`: the token isn't valid now, or its
    /// audience is another one.
    pub fn validate(
        payload: Payload,
        rules: &TokenRules,
        now: UnixMs,
    ) -> Result<Claims, TokenError> {
        let hint = "its `exp` or `nbf` is not a time within the next ten years; they are seconds, not milliseconds";
        let moment = |seconds| moment(seconds, now).ok_or(TokenError::Invalid(hint));
        let ends = moment(payload.exp)?.plus(rules.leeway_ms);
        if now >= ends {
            return Err(TokenError::Expired);
        }
        let from = payload.nbf.map(moment).transpose()?;
        if from.is_some_and(|from| now.plus(rules.leeway_ms) < from) {
            return Err(TokenError::Invalid("it is not valid yet (nbf)"));
        }
        let is_for_us = match (&rules.audience, &payload.aud) {
            (None, None) => true,
            (Some(wanted), Some(given)) => given.has(wanted),
            // RFC 7519, 4.1.3: a recipient that isn't named in `aud` must reject the token.
            _ => false,
        };
        if !is_for_us {
            return Err(TokenError::Invalid("its `aud` differs from the setting auth.audience"));
        }
        let stages = match (payload.stage, payload.stage_prefix) {
            (Some(stage), None) => StageClaim::One(stage),
            (None, Some(prefix)) => StageClaim::BeginningWith(prefix),
            _ => {
                return Err(TokenError::Invalid(
                    "it needs exactly one of the claims `stage` and `stagePrefix`",
                ));
            }
        };
        let labels = payload.labels.as_ref().map(|claim| rules.label_keys.of_claim(claim));
        let labels = labels.transpose().map_err(TokenError::Invalid)?.flatten();
        Ok(Claims {
            viewer: payload.sub,
            stages,
            session: payload.session,
            streams: payload.streams,
            labels: labels.map(Box::new),
            ends,
            key: KeyId::default(),
        })
    }

    /// Sets the key that signed the token.
    #[must_use]
    pub fn signed_by(self, key: KeyId) -> Claims {
        Claims { key, ..self }
    }

    /// Returns the credential that keeps a connection open that was admitted with this token.
    #[must_use]
    pub fn credential(&self) -> Credential {
        Credential::Token { ends: self.ends, key: self.key }
    }

    /// The viewer that the token is for.
    #[must_use]
    pub fn viewer(&self) -> &str {
        &self.viewer
    }

    /// Expiry of the token, with the leeway.
    #[must_use]
    pub fn expires_at(&self) -> UnixMs {
        self.ends
    }

    /// Streams that the viewer may have at once, if the token says so.
    #[must_use]
    pub fn streams(&self) -> Option<usize> {
        self.streams.map(|streams| streams as usize)
    }

    /// Labels of the viewer's sessions, if the token says them.
    #[must_use]
    pub fn labels(&self) -> Option<&LabelValues> {
        self.labels.as_deref()
    }

    /// Whether the token covers this stage.
    #[must_use]
    pub fn covers_stage(&self, stage: &str) -> bool {
        match &self.stages {
            StageClaim::One(one) => stage == one,
            StageClaim::BeginningWith(prefix) => stage.starts_with(prefix.as_str()),
        }
    }

    /// Whether the token covers all stages.
    #[must_use]
    pub fn covers_all_stages(&self) -> bool {
        matches!(&self.stages, StageClaim::BeginningWith(prefix) if prefix.is_empty())
    }

    /// Checks that the bearer may send this event.
    ///
    /// # Errors
    /// Returns a `ClaimMismatch` that names the first claim that doesn't cover the event.
    pub fn check(&self, event: &UnstampedEvent<'_>) -> Result<(), ClaimMismatch> {
        if event.ids.viewer != self.viewer {
            return Err(ClaimMismatch("viewer"));
        }
        if !self.covers_stage(event.ids.stage) {
            return Err(ClaimMismatch("stage"));
        }
        if self.session.as_ref().is_some_and(|session| event.ids.session != session) {
            return Err(ClaimMismatch("session"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::EventKind;
    use housecount_core::event::{Ids, SessionLabels};

    use super::*;
    use crate::labels::LabelKeys;

    const NOW: UnixMs = UnixMs(1_790_000_000_000);

    fn payload(stage: &str) -> Payload {
        let stage = Some(stage.to_string());
        let (sub, exp) = ("ann".to_string(), 1_790_000_010.5);
        Payload {
            sub,
            stage,
            stage_prefix: None,
            session: None,
            streams: None,
            labels: None,
            exp,
            nbf: None,
            aud: None,
        }
    }

    fn prefix(prefix: &str) -> Payload {
        Payload { stage: None, stage_prefix: Some(prefix.to_string()), ..payload("") }
    }

    fn rules(audience: Option<&str>) -> TokenRules {
        TokenRules {
            audience: audience.map(str::to_string),
            leeway_ms: 1_000,
            label_keys: LabelKeys::default(),
        }
    }

    fn judge(payload: Payload, audience: Option<&str>) -> Result<Claims, TokenError> {
        Claims::validate(payload, &rules(audience), NOW)
    }

    #[test]
    fn exp_and_nbf_have_a_leeway_and_no_more() {
        let at = |exp, nbf| {
            judge(Payload { exp, nbf, ..payload("s") }, None).map(|claims| claims.expires_at())
        };
        assert_eq!(at(1_790_000_010.5, None), Ok(UnixMs(1_790_000_011_500)));
        assert_eq!(at(1_789_999_999.001, None), Ok(UnixMs(1_790_000_000_001)));
        assert_eq!(at(1_789_999_999.0, None), Err(TokenError::Expired));
        assert_eq!(at(0.0, None), Err(TokenError::Expired));
        assert!(at(1_790_000_010.0, Some(1_790_000_001.0)).is_ok());
        assert!(matches!(at(1_790_000_010.0, Some(1_790_000_001.5)), Err(TokenError::Invalid(_))));
    }

    /// A time in milliseconds, or none at all, is an error with a hint. No token lasts forever by
    /// such a mistake.
    #[test]
    fn token_ahead_ms_max_and_no_time_at_all() {
        let at = |exp, nbf| {
            judge(Payload { exp, nbf, ..payload("s") }, None).map(|claims| claims.expires_at())
        };
        let last = NOW.plus(TOKEN_AHEAD_MS_MAX).0 as f64 / 1_000.0;
        assert_eq!(at(last, None), Ok(NOW.plus(TOKEN_AHEAD_MS_MAX + 1_000)));
        let now_s = 1_790_000_000.0;
        for wrong in [last + 0.01, now_s * 1_000.0, 1e300, -1.0, -1e300, f64::NAN, f64::INFINITY] {
            for refused in [at(wrong, None), at(last, Some(wrong))] {
                let Err(TokenError::Invalid(why)) = refused else { panic!("{wrong}: {refused:?}") };
                assert!(why.contains("seconds, not milliseconds"), "{why}");
            }
        }
    }

    #[test]
    fn an_audience_is_named_on_both_sides_or_on_none() {
        let many = || Some(AudienceClaim::Many(vec!["other".to_string(), "us".to_string()]));
        let of = |aud, wanted| judge(Payload { aud, ..payload("s") }, wanted).is_ok();
        assert!(of(None, None) && of(many(), Some("us")));
        assert!(of(Some(AudienceClaim::One("us".to_string())), Some("us")));
        assert!(!of(many(), None) && !of(None, Some("us")) && !of(many(), Some("u")));
    }

    #[test]
    fn an_event_must_match_the_claims() {
        let event = |stage, viewer, session| UnstampedEvent {
            kind: EventKind::Beat,
            ids: Ids { stage, viewer, session },
            labels: SessionLabels::NONE,
        };
        let exact = judge(payload("match-1"), None).unwrap();
        assert_eq!(exact.check(&event("match-1", "ann", "any")), Ok(()));
        assert_eq!(exact.check(&event("match-11", "ann", "")), Err(ClaimMismatch("stage")));
        assert_eq!(exact.check(&event("match-1", "bob", "")), Err(ClaimMismatch("viewer")));
        let all_matches = judge(prefix("match-"), None).unwrap();
        assert_eq!(all_matches.check(&event("match-", "ann", "")), Ok(()));
        assert_eq!(all_matches.check(&event("match", "ann", "")), Err(ClaimMismatch("stage")));
        assert!(
            !all_matches.covers_all_stages()
                && judge(prefix(""), None).unwrap().covers_all_stages()
        );
        // A star is an ordinary character.
        let star = judge(payload("match-*"), None).unwrap();
        assert_eq!(star.check(&event("match-*", "ann", "")), Ok(()));
        assert_eq!(star.check(&event("match-1", "ann", "")), Err(ClaimMismatch("stage")));
        assert!(!judge(payload("*"), None).unwrap().covers_all_stages());
        let star = judge(prefix("match-*"), None).unwrap();
        assert!(star.covers_stage("match-*1") && !star.covers_stage("match-1"));
        for stage_prefix in [None, Some("s".to_string())] {
            let stage = stage_prefix.clone();
            let both_or_none = judge(Payload { stage, stage_prefix, ..payload("s") }, None);
            assert!(matches!(both_or_none, Err(TokenError::Invalid(_))), "{both_or_none:?}");
        }
        let session = Some("tab".to_string());
        let bound = judge(Payload { session, ..payload("s") }, None).unwrap();
        assert_eq!(bound.check(&event("s", "ann", "tab")), Ok(()));
        // A leave without a session would end all sessions of the viewer.
        assert_eq!(bound.check(&event("s", "ann", "")), Err(ClaimMismatch("session")));
        assert!(!format!("{bound:?}").contains("ann"));
    }
}
