//! Signatures of deliveries: HMAC-SHA256 as in Standard Webhooks.

use std::fmt;

use data_encoding::BASE64;
use ring::hmac;

/// Prefix of a secret.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, by the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Secret that a webhook's deliveries are signed with.
#[derive(Clone)]
pub struct SigningSecret(hmac::Key);

impl SigningSecret {
    /// Parses `whsec_` and 24 to 64 bytes in Base64.
    ///
    /// # Errors
    /// Returns the expected form, without any of the text.
    pub fn parse(text: &str) -> Result<SigningSecret, &'static str> {
        let expected = "not a secret; write whsec_ and 24 to 64 random bytes in Base64, as \
                        `echo whsec_$(openssl rand -base64 32)` prints";
        let packed = text.strip_prefix(PREFIX).ok_or(expected)?;
        let bytes = BASE64.decode(packed.as_bytes()).map_err(|_| expected)?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(expected);
        }
        Ok(SigningSecret(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp_s}.").as_bytes());
        context.update(body);
        format!("v1,{}", BASE64.encode(context.sign().as_ref()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret")
    }
}

/// Signs a delivery with each secret, for the header `webhook-signature`.
#[must_use]
pub fn sign(secrets: &[SigningSecret], id: &str, timestamp_s: u64, body: &[u8]) -> String {
    let signed: Vec<String> =
        secrets.iter().map(|secret| secret.sign(id, timestamp_s, body)).collect();
    signed.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The example of the Standard Webhooks libraries.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let secrets = [SigningSecret::parse(SECRET).unwrap()];
        let sign = |secrets: &[SigningSecret]| {
            sign(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}")
        };
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(&secrets), one);
        let both = [secrets[0].clone(), secrets[0].clone()];
        assert_eq!(sign(&both), format!("{one} {one}"));
    }

    #[test]
    fn a_secret_has_24_to_64_bytes_and_is_never_shown() {
        let secret = |bytes: usize| format!("{PREFIX}{}", BASE64.encode(&vec![7; bytes]));
        for good in [24, 32, 64] {
            assert!(SigningSecret::parse(&secret(good)).is_ok());
        }
        let bad = [secret(23), secret(65), "whsec_".into(), "whsec_§".into(), SECRET[6..].into()];
        for bad in bad {
            let error = SigningSecret::parse(&bad).unwrap_err();
            assert!(error.starts_with("not a secret"), "{bad}");
        }
        assert_eq!(format!("{:?}", SigningSecret::parse(SECRET).unwrap()), "SigningSecret");
    }
}
