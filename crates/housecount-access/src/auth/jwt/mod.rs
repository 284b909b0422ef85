//! JSON Web Tokens, through the crate `jsonwebtoken`: keys (parsed in `text`), verification and
//! signing.
//!
//! A key defines the algorithm of its tokens. The algorithm that a token names is only compared
//! with it, never followed. Claims are read here and checked in `claims`. No error has any part of
//! a token or a key in it.

mod ring;
mod text;

use std::sync::Once;

use housecount_core::limits::TOKEN_BYTES_MAX;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, Header, Validation, decode,
    decode_header, encode,
};
use serde_json::Value;

pub use self::text::{is_inline, keys};
use super::claims::Payload;
use super::{KeyId, TokenError, digest};

/// Length of the shortest secret that HS256 accepts: that of its output (RFC 7518, 3.2). A shorter
/// one can be guessed from a token.
const SECRET_BYTES_MIN: usize = 32;

/// Key that verifies tokens.
#[derive(Clone, Debug)]
pub struct VerificationKey {
    id: KeyId,
    kid: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
    validation: Validation,
}

/// Source of keys, which decides the keys that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The operator's own file or setting. Every key in it must be usable.
    File,
    /// A JWKS that the issuer of tokens publishes. Unusable keys in it are skipped. So are secrets,
    /// because a published secret is not secret.
    Published,
}

impl VerificationKey {
    fn new(kid: Option<String>, algorithm: Algorithm, decoding: DecodingKey) -> VerificationKey {
        install();
        let mut validation = Validation::new(algorithm);
        // `claims` checks the claims, on housecount's clock.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        VerificationKey {
            id: id(kid.as_deref(), algorithm, &decoding),
            kid,
            algorithm,
            decoding,
            validation,
        }
    }

    /// Id of the key while connections that it admitted are open. The same key has the same id in
    /// any file.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether the verifier could also sign with this key.
    pub fn is_secret(&self) -> bool {
        self.algorithm == Algorithm::HS256
    }

    fn of_secret(kid: Option<String>, secret: &[u8]) -> Result<VerificationKey, String> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!(
                "a secret has {} bytes; it must have at least {SECRET_BYTES_MIN}",
                secret.len()
            ));
        }
        let decoding = DecodingKey::from_secret(secret).map_err(|e| format!("the secret: {e}"))?;
        Ok(VerificationKey::new(kid, Algorithm::HS256, decoding))
    }

    fn of_pem(kid: Option<String>, pem: &[u8]) -> Result<VerificationKey, String> {
        if let Ok(key) = DecodingKey::from_ed_pem(pem) {
            return Ok(VerificationKey::new(kid, Algorithm::EdDSA, key));
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            // An uncompressed point has 65 bytes on the curve P-256.
            let is_p256 = key.try_get_as_bytes().is_ok_and(|point| point.len() == 65);
            let key = is_p256
                .then_some(key)
                .ok_or("an EC key is not on the curve P-256, which ES256 needs")?;
            return Ok(VerificationKey::new(kid, Algorithm::ES256, key));
        }
        if let Ok(key) = DecodingKey::from_rsa_pem(pem)
            && !pem.windows(11).any(|words| words == b"PRIVATE KEY")
        {
            return Ok(VerificationKey::new(kid, Algorithm::RS256, key));
        }
        Err("a PEM block is not a public key of RSA, EC P-256 or Ed25519 (BEGIN PUBLIC KEY)"
            .to_string())
    }

    fn of_jwk(jwk: &Value, from: KeySource) -> Result<VerificationKey, String> {
        let jwk: Jwk =
            serde_json::from_value(jwk.clone()).map_err(|_| "not a JWK (RFC 7517)".to_string())?;
        let kid = jwk.common.key_id.clone();
        let named = kid.as_deref().unwrap_or("without kid");
        if jwk.common.public_key_use.as_ref().is_some_and(|what| *what != PublicKeyUse::Signature) {
            return Err(format!("key {named} is not for signatures"));
        }
        let (algorithm, stated) = match &jwk.algorithm {
            AlgorithmParameters::OctetKey(_) if from == KeySource::Published => {
                return Err(format!(
                    "key {named} is a secret; a published key must be a public key"
                ));
            }
            AlgorithmParameters::OctetKey(_) => (Algorithm::HS256, KeyAlgorithm::HS256),
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(p) if p.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(p) if p.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => {
                return Err(format!(
                    "key {named} has an unsupported type; use RSA, EC P-256, Ed25519 or oct"
                ));
            }
        };
        // RFC 9864 names Ed25519's algorithm after its curve, and the library doesn't know that
        // name yet.
        let is_ours = |algorithm_named: &KeyAlgorithm| {
            *algorithm_named == stated
                || (*algorithm_named == KeyAlgorithm::UNKNOWN_ALGORITHM
                    && algorithm == Algorithm::EdDSA)
        };
        if jwk
            .common
            .key_algorithm
            .as_ref()
            .is_some_and(|algorithm_named| !is_ours(algorithm_named))
        {
            return Err(format!("key {named} is for another algorithm than {algorithm:?}"));
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| format!("key {named} is malformed"))?;
        match key.try_get_as_bytes() {
            Ok(secret) if algorithm == Algorithm::HS256 => VerificationKey::of_secret(kid, secret),
            _ => Ok(VerificationKey::new(kid, algorithm, key)),
        }
    }
}

/// Hashes all that decides which tokens a key verifies. So a key with another name is another key.
fn id(kid: Option<&str>, algorithm: Algorithm, key: &DecodingKey) -> KeyId {
    let parts: [&[u8]; 2] = match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => [bytes, &[]],
        DecodingKeyKind::RsaModulusExponent { n, e } => [n, e],
    };
    let mut whole = format!("{algorithm:?} {kid:?} {} ", parts[0].len()).into_bytes();
    parts.into_iter().for_each(|part| whole.extend_from_slice(part));
    let mut id = KeyId::default();
    id.0.copy_from_slice(&digest(&whole)[..16]);
    id
}

/// Claims that a token needs, as the text of the error for a token without them.
const CLAIMS: &str = "it needs the claims `sub` (text), `stage` or `stagePrefix` (text) and `exp` (a number: Unix seconds, not milliseconds)";

/// Returns a token's claims and the key that signed it. The claims are not checked yet.
///
/// # Errors
/// Returns `TokenError::Invalid` if it isn't a token or its signature is wrong. Returns
/// `TokenError::UnknownKey` if no key fits its header.
pub fn verify<'a>(
    token: &str,
    keys: impl Iterator<Item = &'a VerificationKey> + Clone,
) -> Result<(Payload, KeyId), TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Invalid("it is too long"));
    }
    let header = decode_header(token).map_err(|_| TokenError::Invalid("it is not a signed JWT"))?;
    if header.crit.is_some() {
        return Err(TokenError::Invalid("it has critical headers (crit), which are not supported"));
    }
    let key = choose(header.kid.as_deref(), keys).ok_or(TokenError::UnknownKey)?;
    if header.alg != key.algorithm {
        return Err(TokenError::Invalid("its algorithm (alg) differs from its key's"));
    }
    // The signature is checked first, so that an error says nothing about claims that no key has
    // signed.
    let read = decode::<Value>(token, &key.decoding, &key.validation);
    let read = read.map_err(|error| match error.kind() {
        // Such as a number out of range, `exp` of 1e999.
        ErrorKind::Json(_) => TokenError::Invalid(CLAIMS),
        _ => TokenError::Invalid("its signature is wrong"),
    })?;
    let payload = serde_json::from_value(read.claims).map_err(|_| TokenError::Invalid(CLAIMS))?;
    Ok((payload, key.id))
}

/// Returns the key with the token's `kid`, or else the key without a name.
///
/// A token without a `kid` gets the key without a name, or the only key.
fn choose<'a>(
    kid: Option<&str>,
    mut keys: impl Iterator<Item = &'a VerificationKey> + Clone,
) -> Option<&'a VerificationKey> {
    let is_only = keys.clone().nth(1).is_none();
    let named = kid.and_then(|kid| keys.clone().find(|key| key.kid.as_deref() == Some(kid)));
    named
        .or_else(|| keys.clone().find(|key| key.kid.is_none()))
        .or_else(|| if kid.is_none() && is_only { keys.next() } else { None })
}

/// Signs a token with a key: `secret:TEXT`, a JWK of a secret, or a private key in PEM.
///
/// PEM is PKCS#8; RSA keys may also be PKCS#1.
///
/// # Errors
/// Returns one line that says what is wrong with the key.
pub fn sign(payload: &Payload, key: &str, kid: Option<String>) -> Result<String, String> {
    install();
    let key = key.trim_start_matches('\u{feff}').trim();
    let mut kid = kid;
    let (algorithm, encoding) = if let Some(secret) = text::secret(key)? {
        let encoding = EncodingKey::from_secret(secret.as_bytes());
        // The library refuses only an empty secret.
        let too_short = |_| format!("a secret is empty; it must have at least {SECRET_BYTES_MIN}");
        (Algorithm::HS256, encoding.map_err(too_short)?)
    } else if key.starts_with('{') {
        let jwk: Jwk = serde_json::from_str(key).map_err(|_| "the key is not a JWK".to_string())?;
        let AlgorithmParameters::OctetKey(secret) = &jwk.algorithm else {
            return Err("the JWK is not a secret (oct); give a private key as PEM".to_string());
        };
        kid = kid.or(jwk.common.key_id.clone());
        let encoding = EncodingKey::from_urlsafe_base64_secret(&padded(&secret.value));
        (Algorithm::HS256, encoding.map_err(|_| "the JWK's secret is not base64url".to_string())?)
    } else if key.contains("-----BEGIN ") {
        of_private_pem(key.as_bytes())?
    } else {
        return Err(
            "the key is neither a JWK nor a private key in PEM; write a secret as secret:TEXT"
                .to_string(),
        );
    };
    if algorithm == Algorithm::HS256 {
        VerificationKey::of_secret(None, encoding.as_bytes())?;
    }
    let header = Header { kid, ..Header::new(algorithm) };
    encode(&header, payload, &encoding).map_err(|_| "the private key can't sign".to_string())
}

/// Adds the padding that JWKs lack and the library's decoder needs.
fn padded(text: &str) -> String {
    let text = text.trim_end_matches('=');
    format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
}

fn of_private_pem(pem: &[u8]) -> Result<(Algorithm, EncodingKey), String> {
    let ed = EncodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
    let ec = || EncodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key));
    let rsa = || EncodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
    ed.or_else(|_| ec()).or_else(|_| rsa()).map_err(|_| {
        "the key is not a private key of RSA, EC P-256 or Ed25519 in PEM (BEGIN PRIVATE KEY)"
            .to_string()
    })
}

/// Installs `ring` as the library's cryptography, once.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = ring::PROVIDER.install_default();
    });
}
