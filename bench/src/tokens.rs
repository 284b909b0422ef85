//! Viewers' tokens by RFC 7519, as a platform's issuer signs them. Each is valid for its viewer and
//! the stage that the viewer is on.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::viewers;

/// Expiry of the tokens, 2100-01-01, which is after the end of any run.
const EXP_S: u64 = 4_102_444_800;
/// Seed of the key. It need not be secret, because the tokens have no use outside a run.
const SEED: [u8; 32] = [7; 32];

/// Algorithm that signs the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// HMAC with SHA-256.
    Hs256,
    /// Ed25519 signatures.
    EdDsa,
}

enum Signer {
    Hmac(hmac::Key),
    Ed25519(Ed25519KeyPair),
}

impl Signed {
    /// Returns the name of the algorithm in a token's header.
    pub fn name(self) -> &'static str {
        match self {
            Signed::Hs256 => "HS256",
            Signed::EdDsa => "EdDSA",
        }
    }

    fn signer(self) -> anyhow::Result<Signer> {
        Ok(match self {
            Signed::Hs256 => Signer::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &SEED)),
            Signed::EdDsa => Signer::Ed25519(
                Ed25519KeyPair::from_seed_unchecked(&SEED)
                    .map_err(|e| anyhow!("an Ed25519 key: {e}"))?,
            ),
        })
    }

    /// Writes the JWK by which housecount verifies the tokens.
    pub fn write_key(self, file: &Path) -> anyhow::Result<()> {
        let jwk = match self.signer()? {
            Signer::Hmac(_) => {
                format!(r#"{{"kty":"oct","alg":"HS256","k":"{}"}}"#, BASE64.encode(SEED))
            }
            Signer::Ed25519(pair) => format!(
                r#"{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"{}"}}"#,
                BASE64.encode(pair.public_key())
            ),
        };
        std::fs::write(file, jwk).with_context(|| format!("writing {}", file.display()))
    }

    /// Returns the tokens of the first viewers of an audience on this many stages.
    pub fn tokens(self, viewers: usize, stages: usize) -> anyhow::Result<Vec<String>> {
        let signer = self.signer()?;
        let header = BASE64.encode(format!(r#"{{"alg":"{}","typ":"JWT"}}"#, self.name()));
        let token = |n: usize| {
            let (id, stage) = (viewers::id(n), viewers::stage(n, stages));
            let payload = format!(r#"{{"sub":"{id}","stage":"{stage}","exp":{EXP_S}}}"#);
            let mut token = format!("{header}.{}", BASE64.encode(payload));
            let signature = match &signer {
                Signer::Hmac(key) => BASE64.encode(hmac::sign(key, token.as_bytes())),
                Signer::Ed25519(pair) => BASE64.encode(pair.sign(token.as_bytes())),
            };
            let _ = write!(token, ".{signature}");
            token
        };
        Ok((0..viewers).map(token).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_three_parts_and_no_two_are_the_same() {
        for signed in [Signed::Hs256, Signed::EdDsa] {
            let tokens = signed.tokens(100, 10).unwrap();
            assert!(tokens.iter().all(|token| token.split('.').count() == 3));
            let distinct: std::collections::HashSet<&String> = tokens.iter().collect();
            assert_eq!(distinct.len(), 100);
        }
    }
}
