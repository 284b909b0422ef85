//! Authentication: viewers by tokens that their platform signs, operators by keys that are kept as
//! hashes.
//!
//! This module doesn't depend on HTTP. It never shows a token or a key in an error, in a log line
//! or in `Debug`. It refuses what it doesn't know, so keys that were never loaded admit no caller.

mod claims;
mod credential;
mod holders;
pub mod jwks;
pub mod jwt;
mod key_file;
mod limit;
pub mod operators;
mod share;
mod verified;
pub mod viewers;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use housecount_core::limits::{KEYS_BYTES_MAX, KEYS_LOOK_MS};
use housecount_net::service_url::ServiceUrl;
use tokio::sync::watch;

pub use self::claims::{AudienceClaim, ClaimMismatch, Claims, Payload};
pub use self::credential::{Credential, CredentialEnd, KeyId, end_of};
pub use self::limit::KeyLimit;
pub use self::operators::{KeyGrant, OperatorKeys, Scope};
pub use self::share::{SHARE_PREFIX, ShareLink};
pub use self::verified::TokenHash;
pub use self::viewers::ViewerAuth;
use crate::labels::LabelKeys;

/// Policy that decides whether players need tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Tokens are ignored.
    #[default]
    Off,
    /// A token may be missing, but a token that is sent must be valid.
    Optional,
    /// Every player needs a token.
    Required,
}

/// Text that `Debug` never shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Rules that tokens are checked by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRules {
    /// Audience that tokens must name. With `None` a token must not name an audience.
    pub audience: Option<String>,
    /// Greatest difference between two clocks, in ms.
    pub leeway_ms: u64,
    /// Keys of labels that the claim `labels` may have values of.
    pub label_keys: LabelKeys,
}

/// Settings of authentication.
#[derive(Clone, Debug, Default)]
pub struct AuthSettings {
    /// Setting `auth.viewer`.
    pub viewer: Policy,
    /// `auth.viewer_keys`: a file's name, or the keys themselves.
    pub viewer_keys: Option<Secret>,
    /// Setting `auth.viewer_jwks_url`.
    pub viewer_jwks_url: Option<ServiceUrl>,
    /// `auth.audience` and `auth.leeway`.
    pub rules: TokenRules,
    /// Setting `auth.operator_keys`.
    pub operator_keys: Option<PathBuf>,
}

/// Reason why a token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The request has no token, and it needs one.
    Missing,
    /// The request has no token, and the viewer has shown one that is still valid.
    Shown,
    /// The token is malformed or invalid. The text says why.
    Invalid(&'static str),
    /// The key that signed the token isn't known.
    UnknownKey,
    /// The token has expired.
    Expired,
    /// No keys have been fetched yet, so the token may be valid.
    KeysUnavailable,
    /// The token is valid, but doesn't cover this event.
    Mismatch(ClaimMismatch),
}

impl From<ClaimMismatch> for TokenError {
    fn from(mismatch: ClaimMismatch) -> TokenError {
        TokenError::Mismatch(mismatch)
    }
}

/// Result of reloading a file of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyChanges {
    /// The text is unchanged, or no file is set.
    Nothing,
    /// Number of keys, which are new.
    Keys(usize),
}

impl KeyChanges {
    /// Logs a file without keys, since such a file admits no caller.
    ///
    /// `news`: also logs that keys have changed.
    fn log(self, whose: &str, news: bool) {
        match self {
            KeyChanges::Keys(0) => {
                tracing::warn!(keys = whose, "the key file has no keys, so it admits no caller")
            }
            KeyChanges::Keys(count) if news => {
                tracing::info!(keys = whose, count, "keys reloaded")
            }
            _ => {}
        }
    }
}

/// Authentication of viewers by tokens, and of operators by keys.
#[derive(Debug)]
pub struct Auth {
    /// Tokens of viewers.
    pub viewers: ViewerAuth,
    /// Keys of operators.
    pub operators: OperatorKeys,
}

impl Auth {
    /// Creates the authentication of these settings, without keys yet. `hash_key` is a random key
    /// of this run that no client knows.
    #[must_use]
    pub fn new(settings: &AuthSettings, hash_key: [u8; 32]) -> Auth {
        Auth {
            viewers: ViewerAuth::new(settings, hash_key),
            operators: OperatorKeys::new(settings.operator_keys.clone()),
        }
    }

    /// Loads the keys from files.
    ///
    /// # Errors
    /// Returns one line that names the setting, the file and what is wrong in it.
    pub fn load(&self) -> Result<(), String> {
        let viewers = self.viewers.load().map_err(|e| format!("`auth.viewer_keys`: {e}"))?;
        let operators = self.operators.load().map_err(|e| format!("`auth.operator_keys`: {e}"))?;
        viewers.log("viewers", false);
        operators.log("operators", false);
        Ok(())
    }

    /// Reloads the files and the JWKS URL until `stop`. An unreadable or wrong file changes
    /// nothing.
    pub async fn reload_loop(&self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.viewers.refresh_loop() => {}
            () = self.reload_files() => {}
        }
    }

    /// Reloads the files of keys forever.
    ///
    /// Files are small, so each is read whole every time. This also notices an edit within one tick
    /// of the file system's clock, and a mount that is swapped.
    async fn reload_files(&self) {
        let mut changes = [None, None];
        loop {
            tokio::time::sleep(Duration::from_millis(KEYS_LOOK_MS)).await;
            for (at, loaded) in [self.viewers.load(), self.operators.load()].into_iter().enumerate()
            {
                match loaded {
                    Ok(changed) => {
                        changes[at] = None;
                        changed.log(["viewers", "operators"][at], true);
                    }
                    // One line per outage is enough.
                    Err(error) if changes[at].as_ref() != Some(&error) => {
                        tracing::warn!(%error, "keys can't be reloaded; keeping the previous ones");
                        changes[at] = Some(error);
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

/// Reads a small file.
pub fn read_file(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(KEYS_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() > KEYS_BYTES_MAX {
        return Err(format!("{}: the file has more than {KEYS_BYTES_MAX} bytes", path.display()));
    }
    // Some editors write a byte order mark (BOM) at the start.
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_string))
}

/// Computes the SHA-256 of some bytes.
fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    digest
}
