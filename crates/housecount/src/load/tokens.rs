//! Viewers' tokens for a simulated audience, signed as the platform would sign them.

use std::time::Duration;

use housecount_access::auth::{AudienceClaim, Payload, Secret, jwt};
use housecount_backend::clock::wall_clock;

/// Time for which tokens outlast the run, since nodes' clocks differ and the last answers are late.
const SPARE: Duration = Duration::from_secs(600);

/// Signer of viewers' tokens for a simulated audience.
#[derive(Clone, Debug)]
pub struct Tokens {
    key: Secret,
    kid: Option<String>,
    audience: Option<String>,
    /// Expiry in Unix seconds.
    until: f64,
}

impl Tokens {
    /// A signer with a key: `secret:TEXT`, a JWK of a secret, or a private key in PEM. The tokens
    /// are valid for a run of this duration that starts now.
    ///
    /// # Errors
    /// Returns one line with the reason if the key can't sign.
    pub fn new(
        key: String,
        kid: Option<String>,
        audience: Option<String>,
        duration: Duration,
    ) -> Result<Tokens, String> {
        let until = (wall_clock().0 / 1_000 + (duration + SPARE).as_secs()) as f64;
        let tokens = Tokens { key: Secret(key), kid, audience, until };
        tokens.of("stage", "viewer").map(|_| tokens)
    }

    /// Signs the token of a viewer on a stage.
    pub(super) fn of(&self, stage: &str, viewer: &str) -> Result<String, String> {
        let payload = Payload {
            sub: viewer.to_string(),
            stage: Some(stage.to_string()),
            stage_prefix: None,
            session: None,
            streams: None,
            labels: None,
            exp: self.until,
            nbf: None,
            aud: self.audience.clone().map(AudienceClaim::One),
        };
        jwt::sign(&payload, &self.key.0, self.kid.clone())
    }
}
