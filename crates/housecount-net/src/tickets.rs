//! TLS session tickets that every node of a deployment can open.
//!
//! A client that comes back with a ticket needs no certificate: that saves some 2 KiB and most of
//! the handshake's CPU. The node stores nothing for it. The keys follow from a secret that all
//! nodes share, and from the day. So any node opens the ticket of any other, also after a restart.
//!
//! Tickets are for TLS 1.3 only, where a resumed session has keys of its own. In TLS 1.2 a ticket
//! has the key of the whole session, so a stolen secret would open recorded sessions.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;

/// Lifetime of a ticket, in seconds: a day, after which its key is still accepted for some time.
const LIFETIME_S: u32 = 86_400;
/// Length of the day at the front of a ticket.
const DAY_LEN: usize = 4;
/// Salt of the derivation. It is frozen, since nodes of different versions share tickets.
const SALT: &[u8] = b"housecount TLS 1.3 session tickets";
/// TLS 1.3, as a session names its version.
const TLS13: [u8; 2] = [3, 4];

/// Maker and opener of tickets.
pub struct SessionTickets {
    secret: Prk,
    random: SystemRandom,
}

impl fmt::Debug for SessionTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionTickets")
    }
}

impl SessionTickets {
    /// Creates tickets whose keys follow from this secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> SessionTickets {
        let secret = Salt::new(HKDF_SHA256, SALT).extract(secret);
        SessionTickets { secret, random: SystemRandom::new() }
    }

    /// Returns the key of a day. It is derived each time, which takes a thousandth of a handshake.
    fn key(&self, day: [u8; DAY_LEN]) -> Option<LessSafeKey> {
        let mut key = [0; 32];
        self.secret.expand(&[&day], HKDF_SHA256).ok()?.fill(&mut key).ok()?;
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?))
    }

    /// Encrypts a session. The nonce is random: all nodes together may make 2^32 tickets a day
    /// (NIST SP 800-38D, section 8.3), which a million viewers do not reach.
    fn seal(&self, day: u32, session: &[u8]) -> Option<Vec<u8>> {
        let day = day.to_be_bytes();
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = session.to_vec();
        let (key, aad) = (self.key(day)?, Aad::from(day));
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()?;
        Some([&day[..], &nonce, &sealed].concat())
    }

    /// Decrypts a ticket of the day before, of today, or of a node whose clock is ahead.
    fn open(&self, today: u32, ticket: &[u8]) -> Option<Vec<u8>> {
        let (day, rest) = ticket.split_first_chunk::<DAY_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        if u32::from_be_bytes(*day).abs_diff(today) > 1 {
            return None;
        }
        let (key, nonce) = (self.key(*day)?, Nonce::assume_unique_for_key(*nonce));
        let mut opened = sealed.to_vec();
        let length = key.open_in_place(nonce, Aad::from(*day), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

/// Days since 1970.
fn today() -> u32 {
    u32::try_from(UnixTime::now().as_secs() / u64::from(LIFETIME_S)).unwrap_or(u32::MAX)
}

/// Whether a session, as rustls writes it, is one of TLS 1.3. The version follows the server's
/// name, which is absent (0), or 1 and its length and text.
fn is_tls13(session: &[u8]) -> bool {
    let version = match session {
        [0, rest @ ..] => rest,
        [1, length, rest @ ..] => rest.get(usize::from(*length)..).unwrap_or_default(),
        _ => return false,
    };
    version.starts_with(&TLS13)
}

impl ProducesTickets for SessionTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_S
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        if is_tls13(session) { self.seal(today(), session) } else { None }
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(today(), ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &[u8] = b"\0\x03\x04 and the rest";

    #[test]
    fn nodes_with_the_same_secret_open_each_others_tickets() {
        let (one, same) = (SessionTickets::new(b"secret"), SessionTickets::new(b"secret"));
        let ticket = one.seal(20_000, SESSION).unwrap();
        assert_eq!(same.open(20_000, &ticket).as_deref(), Some(SESSION));
        assert_ne!(one.seal(20_000, SESSION).unwrap(), ticket, "each has a nonce of its own");
        assert_eq!(SessionTickets::new(b"other").open(20_000, &ticket), None);
        assert_eq!(one.decrypt(&one.encrypt(SESSION).unwrap()).as_deref(), Some(SESSION));
    }

    #[test]
    fn a_ticket_is_accepted_until_the_day_after() {
        let tickets = SessionTickets::new(b"secret");
        let ticket = tickets.seal(20_000, SESSION).unwrap();
        let is_open = |today| tickets.open(today, &ticket).is_some();
        assert_eq!(
            [19_998, 19_999, 20_000, 20_001, 20_002].map(is_open),
            [false, true, true, true, false]
        );
    }

    #[test]
    fn a_changed_ticket_is_refused() {
        let tickets = SessionTickets::new(b"secret");
        let ticket = tickets.seal(20_000, SESSION).unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.open(20_000, &changed), None, "byte {at}");
            assert_eq!(tickets.open(20_000, &ticket[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn only_sessions_of_tls_1_3_have_tickets() {
        let tickets = SessionTickets::new(b"secret");
        let has_ticket = |session: &[u8]| tickets.encrypt(session).is_some();
        assert!(has_ticket(SESSION) && has_ticket(b"\x01\x02ab\x03\x04"));
        for other in [&b"\0\x03\x03"[..], b"\x01\x02ab\x03\x03", b"\x01\x09a", b"\x01", b"\0", b""]
        {
            assert!(!has_ticket(other), "{other:?}");
        }
    }

    /// Nodes of another version must open these tickets.
    #[test]
    fn the_key_of_a_day_is_frozen() {
        let tickets = SessionTickets::new(b"secret");
        let key = tickets.key(20_000_u32.to_be_bytes()).unwrap();
        let mut sealed = SESSION.to_vec();
        let nonce = Nonce::assume_unique_for_key([7; NONCE_LEN]);
        key.seal_in_place_append_tag(nonce, Aad::from([1_u8]), &mut sealed).unwrap();
        let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "07ba16fe9ae4d825814cb92be2f24215731f9643ca9e06e30bfef83657b58f71");
    }
}
