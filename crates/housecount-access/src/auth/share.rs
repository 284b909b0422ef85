//! Share links: one stage to read until a time, signed with the secret of the file of keys.
//!
//! A link is `hcs_`, and in base64url without padding: the version, the time of its end, the
//! signature, and the stage. No link is stored. So a link can't be revoked alone: another secret
//! ends all links.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use housecount_core::ids::StageId;
use housecount_core::limits::{SHARE_SECRET_BYTES_MIN, STAGE_ID_BYTES_MAX};
use housecount_core::time::UnixMs;
use ring::hmac;

/// Prefix of every share link.
pub const SHARE_PREFIX: &str = "hcs_";
/// Version of the bytes below.
const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
/// Bytes before the stage: the version, the seconds of the end, and the signature.
const HEAD_BYTES: usize = 1 + 8 + MAC_BYTES;
/// Text in front of the signed bytes, so that no other use of the secret makes a link.
const DOMAIN: &[u8] = b"housecount share link\0";

/// Secret that signs share links. `Debug` does not show it.
pub struct ShareSecret(hmac::Key);

impl fmt::Debug for ShareSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl ShareSecret {
    /// Creates the secret from its text in the file of keys.
    ///
    /// # Errors
    /// Returns a text if it is too short to be a secret.
    pub fn new(text: &str) -> Result<ShareSecret, String> {
        if text.len() < SHARE_SECRET_BYTES_MIN {
            return Err(format!(
                "share_secret has {} bytes; at least {SHARE_SECRET_BYTES_MIN} are needed",
                text.len()
            ));
        }
        Ok(ShareSecret(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())))
    }

    /// Signs a link to a stage that works until `ends`, to the second.
    #[must_use]
    pub fn sign(&self, stage: &StageId, ends: UnixMs) -> String {
        let ends_s = ends.0 / 1_000;
        let mac = hmac::sign(&self.0, &signed_bytes(ends_s, stage.as_str()));
        let bytes =
            [&[VERSION][..], &ends_s.to_be_bytes(), mac.as_ref(), stage.as_str().as_bytes()]
                .concat();
        format!("{SHARE_PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }

    /// Whether this secret has signed a link. The comparison takes the same time wherever the
    /// signature differs.
    #[must_use]
    pub fn has_signed(&self, link: &ShareLink) -> bool {
        let signed = signed_bytes(link.ends_s, link.stage.as_str());
        hmac::verify(&self.0, &signed, &link.mac).is_ok()
    }
}

fn signed_bytes(ends_s: u64, stage: &str) -> Vec<u8> {
    [DOMAIN, &[VERSION], &ends_s.to_be_bytes(), stage.as_bytes()].concat()
}

/// A share link, parsed and not yet verified. `Debug` shows no signature.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareLink {
    stage: StageId,
    ends_s: u64,
    mac: [u8; MAC_BYTES],
}

impl fmt::Debug for ShareLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(link to {})", self.stage)
    }
}

impl ShareLink {
    /// Parses a link; `None` if it is not one of this version.
    #[must_use]
    pub fn parse(text: &str) -> Option<ShareLink> {
        let text = text.strip_prefix(SHARE_PREFIX)?;
        if text.len() > (HEAD_BYTES + STAGE_ID_BYTES_MAX).div_ceil(3) * 4 {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (head, stage) = bytes.split_at_checked(HEAD_BYTES)?;
        let (version, head) = head.split_first()?;
        let (ends_s, mac) = head.split_at_checked(8)?;
        if *version != VERSION {
            return None;
        }
        Some(ShareLink {
            stage: StageId::parse(str::from_utf8(stage).ok()?).ok()?,
            ends_s: u64::from_be_bytes(ends_s.try_into().ok()?),
            mac: mac.try_into().ok()?,
        })
    }

    /// Returns the stage that the link is for.
    #[must_use]
    pub fn stage(&self) -> &StageId {
        &self.stage
    }

    /// Returns the time from which on the link does not work any more.
    #[must_use]
    pub fn ends(&self) -> UnixMs {
        UnixMs(self.ends_s.saturating_mul(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret that is long enough for links";

    fn stage(id: &str) -> StageId {
        StageId::parse(id).unwrap()
    }

    #[test]
    fn a_link_says_its_stage_and_end_and_no_other_bytes_are_signed() {
        let secret = ShareSecret::new(SECRET).unwrap();
        let text = secret.sign(&stage("arn:aws:ivs/1"), UnixMs(1_900_000_000_999));
        let link = ShareLink::parse(&text).unwrap();
        assert_eq!(
            (link.stage().as_str(), link.ends()),
            ("arn:aws:ivs/1", UnixMs(1_900_000_000_000))
        );
        assert!(secret.has_signed(&link));
        assert!(!ShareSecret::new(&SECRET.replace('a', "b")).unwrap().has_signed(&link));
        // Any other byte makes it another version, an invalid link, or an unsigned one.
        let bytes = BASE64URL_NOPAD.decode(&text.as_bytes()[SHARE_PREFIX.len()..]).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let text = format!("{SHARE_PREFIX}{}", BASE64URL_NOPAD.encode(&changed));
                let is_signed =
                    ShareLink::parse(&text).is_some_and(|link| secret.has_signed(&link));
                assert!(!is_signed, "byte {at}, bit {bit}");
            }
        }
        for bad in ["", "hcs_", &text[1..], &text[..20], &format!("{text}="), &format!("{text}%")] {
            assert!(ShareLink::parse(bad).is_none(), "{bad}");
        }
        assert!(!format!("{link:?} {secret:?}").contains(&text[10..20]));
    }

    /// The bytes are those of links that people hold, so they must not change.
    #[test]
    fn links_are_frozen() {
        let secret = ShareSecret::new("0123456789abcdef0123456789abcdef").unwrap();
        let text = secret.sign(&stage("match-1"), UnixMs(1_800_000_000_000));
        assert_eq!(text, "hcs_AQAAAABrSdIAk3oCTN5vU6NL8yg3U4LJhS7hdORre34OpZ7ljmMexX9tYXRjaC0x");
    }

    #[test]
    fn share_secret_bytes_min_and_the_longest_stage() {
        let text = "x".repeat(SHARE_SECRET_BYTES_MIN);
        let secret = ShareSecret::new(&text).unwrap();
        let error = ShareSecret::new(&text[1..]).unwrap_err();
        assert_eq!(error, "share_secret has 31 bytes; at least 32 are needed");
        let longest = stage(&"s".repeat(STAGE_ID_BYTES_MAX));
        let link = ShareLink::parse(&secret.sign(&longest, UnixMs::MAX)).unwrap();
        assert!(secret.has_signed(&link) && *link.stage() == longest);
        assert!(ShareLink::parse(&format!("hcs_{}", "A".repeat(100_000))).is_none());
    }
}
