//! Under which names viewers and sessions go on from here: as they were sent, or as pseudonyms
//! (`viewer_ids = "hashed"`), made by keyed BLAKE3 through the crate `blake3`.
//!
//! A pseudonym is the same for the same id and key, on every node and for good, and says nothing to
//! who doesn't have the key. It is a `~` and 16 characters of base64url: 96 bits, so that of a
//! billion viewers two have the same one with a probability of 1 in 10^11, in as few bytes as the
//! ledger's price allows. Sessions are hidden too, as players may put a person's name into them;
//! `""` stays what it is. Stages are not persons.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64URL_NOPAD;

use crate::rng;

/// In front of a pseudonym.
const MARK: char = '~';
/// Bytes of the hash that are kept: whole characters of base64.
const BYTES: usize = 12;
/// A pseudonym's length.
const LEN: usize = 1 + BYTES / 3 * 4;
/// A key has at least so many bytes.
pub const KEY_BYTES_MIN: usize = 32;
/// What the key is for, so that the same secret elsewhere makes something else. Never changes.
const CONTEXT: &str = "housecount 2026-11-25 viewer ids";

/// Pseudonymizer of viewer and session ids; without a key, ids stay as they are.
#[derive(Clone, Default)]
pub struct Pseudonymizer(Option<Box<PseudonymKey>>);

#[derive(Clone)]
struct PseudonymKey([u8; 32]);

/// Never with the key.
impl fmt::Debug for Pseudonymizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "hashed" } else { "plain" })
    }
}

impl Pseudonymizer {
    /// Ids go on as they are.
    #[must_use]
    pub fn plain() -> Pseudonymizer {
        Pseudonymizer(None)
    }

    /// Ids go on as pseudonyms. None if the secret is too short.
    #[must_use]
    pub fn hashed(secret: &[u8]) -> Option<Pseudonymizer> {
        let key = blake3::derive_key(CONTEXT, secret);
        (secret.len() >= KEY_BYTES_MIN).then(|| Pseudonymizer(Some(Box::new(PseudonymKey(key)))))
    }

    /// A viewer as it goes on. The id must have been checked.
    #[must_use]
    pub fn viewer<'a>(&self, viewer: Cow<'a, str>) -> Cow<'a, str> {
        self.name(b'v', viewer)
    }

    /// A session as it goes on. The id must have been checked.
    #[must_use]
    pub fn session<'a>(&self, session: Cow<'a, str>) -> Cow<'a, str> {
        if session.is_empty() { session } else { self.name(b's', session) }
    }

    /// The viewer whom somebody asks for who may have been told a pseudonym.
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

/// A pseudonym of nobody, which follows from nothing: 96 bits at random.
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

    /// Frozen: another pseudonym would be another viewer.
    #[test]
    fn pseudonyms_are_frozen() {
        let names = Pseudonymizer::hashed(SECRET).unwrap();
        let viewer = names.viewer("ann@example.org".into());
        assert_eq!((&*viewer, &*names.session("ann@example.org".into())), FROZEN);
        assert!(is_pseudonym(&viewer));
        assert_eq!(names.resolve(viewer.clone()), viewer);
        assert_eq!(names.resolve("ann@example.org".into()), viewer);
        // Whoever sends a pseudonym as an id doesn't become that viewer.
        assert_ne!(names.viewer(viewer.clone()), viewer);
        assert_eq!(names.session("".into()), "");
        let other = Pseudonymizer::hashed(b"0123456789abcdef0123456789abcdeF").unwrap();
        assert_ne!(other.viewer("ann@example.org".into()), viewer);
    }

    /// Computed apart from this code, by the definition of BLAKE3 and the text above.
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
