//! Names that viewers and sessions have behind admission: the ids as sent, or pseudonyms
//! (`viewer_ids = "hashed"`). The crate `blake3` makes these, by keyed BLAKE3.
//!
//! A pseudonym is the same for the same id and key, on every node and for good. Without the key it
//! reveals nothing. It is a `~` and 16 characters of base64url, which are 96 bits. Among a billion
//! viewers, two have the same one with a probability of 1 in 10^11. This takes as few bytes as the
//! ledger's price allows. Sessions are hidden too, as players may put a person's name into them;
//! `""` stays as it is. Stages are not persons.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use housecount_backend::rng;

/// Prefix of a pseudonym.
const MARK: char = '~';
/// Bytes of the hash that are kept: whole characters of base64.
const BYTES: usize = 12;
/// Length of a pseudonym.
const LEN: usize = 1 + BYTES / 3 * 4;
/// Smallest length of a key's secret.
pub const KEY_BYTES_MIN: usize = 32;
/// Purpose of the key, so that the same secret elsewhere makes another key. This text never
/// changes.
const CONTEXT: &str = "housecount 2026-11-25 viewer ids";

/// Pseudonymizer of viewer and session ids; without a key, ids stay as they are.
#[derive(Clone, Default)]
pub struct Pseudonymizer(Option<Box<PseudonymKey>>);

#[derive(Clone)]
struct PseudonymKey([u8; 32]);

/// Never shows the key.
impl fmt::Debug for Pseudonymizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "hashed" } else { "plain" })
    }
}

impl Pseudonymizer {
    /// Returns a pseudonymizer that keeps ids as they are.
    #[must_use]
    pub fn plain() -> Pseudonymizer {
        Pseudonymizer(None)
    }

    /// Returns a pseudonymizer with a key from this secret. Returns `None` if the secret is too
    /// short.
    #[must_use]
    pub fn hashed(secret: &[u8]) -> Option<Pseudonymizer> {
        let key = blake3::derive_key(CONTEXT, secret);
        (secret.len() >= KEY_BYTES_MIN).then(|| Pseudonymizer(Some(Box::new(PseudonymKey(key)))))
    }

    /// Returns the name of a viewer behind admission. The id must have been checked.
    #[must_use]
    pub fn viewer<'a>(&self, viewer: Cow<'a, str>) -> Cow<'a, str> {
        self.name(b'v', viewer)
    }

    /// Returns the name of a session behind admission. The id must have been checked.
    #[must_use]
    pub fn session<'a>(&self, session: Cow<'a, str>) -> Cow<'a, str> {
        if session.is_empty() { session } else { self.name(b's', session) }
    }

    /// Returns the name of a viewer that a caller asks for, by id or by pseudonym.
    #[must_use]
    pub fn resolve<'a>(&self, viewer: Cow<'a, str>) -> Cow<'a, str> {
        if is_pseudonym(&viewer) { viewer } else { self.viewer(viewer) }
    }

    fn name<'a>(&self, what: u8, id: Cow<'a, str>) -> Cow<'a, str> {
        let Some(key) = &self.0 else { return id };
        let mut hasher = blake3::Hasher::new_keyed(&key.0);
        hasher.update(&[what]).update(id.as_bytes());
        Cow::Owned(shown(&hasher.finalize().as_bytes()[..BYTES]))
    }
}

fn shown(bytes: &[u8]) -> String {
    let mut name = String::with_capacity(LEN);
    name.push(MARK);
    BASE64URL_NOPAD.encode_append(bytes, &mut name);
    name
}

/// Returns a pseudonym that belongs to no viewer and derives from no id: 96 random bits.
#[must_use]
pub fn random_pseudonym() -> String {
    shown(&rng::random::<[u8; BYTES]>())
}

/// Whether an id looks like a pseudonym.
#[must_use]
pub fn is_pseudonym(id: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    id.len() == LEN && id.strip_prefix(MARK).is_some_and(|rest| rest.bytes().all(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    /// Frozen values: another pseudonym would be another viewer.
    #[test]
    fn pseudonyms_are_frozen() {
        let names = Pseudonymizer::hashed(SECRET).unwrap();
        let viewer = names.viewer("ann@example.org".into());
        assert_eq!((&*viewer, &*names.session("ann@example.org".into())), FROZEN);
        assert!(is_pseudonym(&viewer));
        assert_eq!(names.resolve(viewer.clone()), viewer);
        assert_eq!(names.resolve("ann@example.org".into()), viewer);
        // A player that sends a pseudonym as an id does not become that viewer.
        assert_ne!(names.viewer(viewer.clone()), viewer);
        assert_eq!(names.session("".into()), "");
        let other = Pseudonymizer::hashed(b"0123456789abcdef0123456789abcdeF").unwrap();
        assert_ne!(other.viewer("ann@example.org".into()), viewer);
    }

    /// Expected pseudonyms, computed apart from this code, by the definition of BLAKE3 and the text
    /// above.
    const FROZEN: (&str, &str) = ("~uYxk7Vm_kCMLu5Lu", "~zwlA29ojw9cnohlU");

    #[test]
    fn plain_ids_stay_and_keys_are_not_shown() {
        assert_eq!(Pseudonymizer::plain().viewer("ann".into()), "ann");
        assert_eq!(Pseudonymizer::plain().resolve("~AAAAAAAAAAAAAAAA".into()), "~AAAAAAAAAAAAAAAA");
        assert!(Pseudonymizer::hashed(&SECRET[1..]).is_none());
        assert_eq!(format!("{:?}", Pseudonymizer::hashed(SECRET).unwrap()), "hashed");
        for no in ["", "~", "ann", "~AAAAAAAAAAAAAAA", "~AAAAAAAAAAAAAAA!", "AAAAAAAAAAAAAAAAA"] {
            assert!(!is_pseudonym(no), "{no}");
        }
    }
}
