//! Ids: parsed once at the edge, never a bare string after.
//!
//! Ids are made by parsing only, so every `StageId` fits every key and log record. Clones share
//! their bytes (`Arc<str>`): one id passes from the request to the log, the fold and the reply.

use std::fmt;
use std::sync::Arc;

use crate::limits::{SESSION_ID_BYTES_MAX, STAGE_ID_BYTES_MAX, VIEWER_ID_BYTES_MAX};

/// Reason why a string is not an id. The text is for the sender of the string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The id has no bytes.
    #[error("{what} is empty")]
    Empty {
        /// Kind of id: `stage`, `viewer` or `session`.
        what: &'static str,
    },
    /// The id has too many bytes.
    #[error("{what} is {bytes} bytes long; at most {bytes_max} are allowed")]
    TooLong {
        /// Kind of id.
        what: &'static str,
        /// Length of the id.
        bytes: usize,
        /// Maximum length.
        bytes_max: usize,
    },
    /// The id has a character that its kind doesn't allow.
    #[error("{what} has a character that is not allowed at byte {at}: {rule}")]
    BadCharacter {
        /// Kind of id.
        what: &'static str,
        /// Offset of the character, in bytes.
        at: usize,
        /// Rule that the character breaks.
        rule: &'static str,
    },
}

fn check_length(what: &'static str, text: &str, bytes_max: usize) -> Result<(), IdError> {
    if text.len() > bytes_max {
        return Err(IdError::TooLong { what, bytes: text.len(), bytes_max });
    }
    Ok(())
}

/// Returns whether a rule holds for all bytes. Without an early exit the compiler can test several
/// bytes at once.
fn is_all(text: &str, rule: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |is_all, byte| is_all & rule(byte))
}

/// Checks the rule of `viewer` and `session`: UTF-8 without control characters.
fn check_text(what: &'static str, text: &str, bytes_max: usize) -> Result<(), IdError> {
    check_length(what, text, bytes_max)?;
    // Most ids are ASCII, whose control characters are those below the space, and the one above the
    // tilde.
    if is_all(text, |byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(IdError::BadCharacter { what, at, rule: "no control characters" }),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses `text` as an id by the rule above.
            pub fn parse(text: &str) -> Result<$name, IdError> {
                Self::check(text)?;
                Ok($name(text.into()))
            }

            /// Returns the id as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// One live stream: 1-256 bytes of printable ASCII without spaces, so that ARNs fit.
    StageId
}

id! {
    /// A viewer, who is billed and counted: 1-128 bytes of UTF-8 without control characters.
    ViewerId
}

id! {
    /// One player of a viewer (tab, device): at most 128 bytes of UTF-8 without control characters.
    /// Empty if the player sends none: a beat without a session is session `""`.
    SessionId
}

impl StageId {
    /// Checks the rule of a stage id.
    pub fn check(text: &str) -> Result<(), IdError> {
        let what = "stage";
        if text.is_empty() {
            return Err(IdError::Empty { what });
        }
        check_length(what, text, STAGE_ID_BYTES_MAX)?;
        if is_all(text, |byte| byte.is_ascii_graphic()) {
            return Ok(());
        }
        match text.bytes().position(|b| !b.is_ascii_graphic()) {
            Some(at) => {
                Err(IdError::BadCharacter { what, at, rule: "printable ASCII without spaces only" })
            }
            None => Ok(()),
        }
    }
}

impl ViewerId {
    /// Checks the rule of a viewer id.
    pub fn check(text: &str) -> Result<(), IdError> {
        if text.is_empty() {
            return Err(IdError::Empty { what: "viewer" });
        }
        check_text("viewer", text, VIEWER_ID_BYTES_MAX)
    }
}

impl SessionId {
    /// Checks the rule of a session id.
    pub fn check(text: &str) -> Result<(), IdError> {
        check_text("session", text, SESSION_ID_BYTES_MAX)
    }

    /// Returns the session of a player that sends none.
    #[must_use]
    pub fn unnamed() -> SessionId {
        SessionId("".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_ids() {
        let arn = "arn:aws:ivs:us-east-1:123456789012:stage/AbCdEf";
        assert_eq!(StageId::parse(arn).unwrap().as_str(), arn);
        assert!(StageId::parse(&"s".repeat(256)).is_ok());
        for bad in ["", "a b", "é", "tab\t", "nul\0", &"s".repeat(257)] {
            assert!(StageId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn viewer_and_session_ids() {
        for good in ["v", "Zoë with spaces", &"é".repeat(64)] {
            assert!(ViewerId::parse(good).is_ok(), "{good:?}");
            assert!(SessionId::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["line\nbreak", "\u{7f}", "\u{85}", &"é".repeat(65)] {
            assert!(ViewerId::parse(bad).is_err(), "{bad:?}");
            assert!(SessionId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(ViewerId::parse("").is_err());
        assert_eq!(SessionId::parse("").unwrap(), SessionId::unnamed());
    }

    #[test]
    fn errors_name_the_id_and_the_rule() {
        let error = ViewerId::parse(&"v".repeat(129)).unwrap_err().to_string();
        assert_eq!(error, "viewer is 129 bytes long; at most 128 are allowed");
        let error = StageId::parse("a b").unwrap_err().to_string();
        assert_eq!(
            error,
            "stage has a character that is not allowed at byte 1: printable ASCII without spaces only"
        );
    }
}
