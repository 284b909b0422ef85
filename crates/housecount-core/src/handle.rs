//! Handles: eight bytes that stand for a session in the log, so that a steady beat needs no ids.
//!
//! A handle is a keyed hash of the three ids. The key is the partition's own, made at random when
//! the partition was created. So no client can make two sessions with one handle. The first half of
//! a handle is the viewer's, by which the fold finds all of a viewer's sessions. The second half is
//! the session's on the stage.
//!
//! Both are upper halves of SipHash-1-3. The first has the keys (key, 1) and hashes the viewer. The
//! second has the keys (key, 2) and hashes that first hash (64 bits, little-endian), the stage, a
//! zero byte and the session.
//!
//! With 64 bits, one of 37 million audiences of a million sessions has two with the same handle.
//! The fold marks those that it has seen, and never uses their handles.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Key of a partition's handles. Zero: not known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandleKey(pub u64);

/// Keyed hash of a session's three ids, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The viewer's half.
    head: u32,
    /// The session's half.
    tail: u32,
}

impl Handle {
    /// Returns the handle of a session.
    #[must_use]
    pub fn of(key: HandleKey, stage: &str, viewer: &str, session: &str) -> Handle {
        // SipHash-1-3 is frozen by its definition, because all nodes must agree.
        let head = SipHasher13::new_with_keys(key.0, 1).hash(viewer.as_bytes());
        let mut tail = SipHasher13::new_with_keys(key.0, 2);
        tail.write_u64(head);
        tail.write(stage.as_bytes());
        tail.write_u8(0); // no stage contains a zero byte
        tail.write(session.as_bytes());
        Handle { head: (head >> 32) as u32, tail: (tail.finish() >> 32) as u32 }
    }

    /// Returns the viewer's half.
    pub(super) fn head(self) -> u32 {
        self.head
    }

    /// Returns the session's half.
    pub(super) fn tail(self) -> u32 {
        self.tail
    }

    /// Returns the bytes of the handle.
    #[must_use]
    pub fn bytes(self) -> [u8; 8] {
        (u64::from(self.head) << 32 | u64::from(self.tail)).to_be_bytes()
    }

    /// Returns the handle with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Handle {
        let whole = u64::from_be_bytes(bytes);
        Handle { head: (whole >> 32) as u32, tail: whole as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: nodes of two versions may share a log.
    #[test]
    fn handles_are_frozen() {
        let of = |session| Handle::of(HandleKey(7), "s/1", "ann", session);
        assert_eq!(of("").head, of("tab").head);
        assert_ne!(of("").tail, of("tab").tail);
        assert_eq!(format!("{:02x?}", of("").bytes()), FROZEN);
        assert_eq!(Handle::from_bytes(of("tab").bytes()), of("tab"));
        assert_ne!(of(""), Handle::of(HandleKey(8), "s/1", "ann", ""));
    }

    /// Computed independently of the code, by the definition of SipHash-1-3 and the text above.
    const FROZEN: &str = "[50, 76, 2c, 04, 8f, ac, 6b, 86]";
}
