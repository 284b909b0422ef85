//! Who may do what: viewers by tokens that their platform signs, operators by keys that are kept as
//! hashes.
//!
//! It knows nothing of HTTP, and says nothing of a token or key in an error, in a log line or to
//! `Debug`. What it doesn't know it refuses: keys that were never loaded let nobody in.

mod claims;
mod credential;
mod holders;
pub mod jwks;
pub mod jwt;
pub mod operators;
mod verified;
pub mod viewers;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use housecount_core::limits::{KEYS_BYTES_MAX, KEYS_LOOK_MS};
use tokio::sync::watch;

pub use self::claims::{AudienceClaim, ClaimMismatch, Claims, Payload};
pub use self::credential::{Credential, CredentialEnd, KeyId, end_of};
pub use self::operators::{OperatorKeys, Scope};
pub use self::verified::TokenHash;
pub use self::viewers::ViewerAuth;
use crate::service_url::ServiceUrl;

/// Whether players need tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Tokens are not looked at.
    #[default]
    Off,
    /// A token, if there is one, must be right.
    Optional,
    /// There must be one.
    Required,
}

/// Text that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What tokens are judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRules {
    /// Whom they must be for; `None`: they must name nobody.
    pub audience: Option<String>,
    /// By how much clocks may differ.
    pub leeway_ms: u64,
}

/// The settings about it.
#[derive(Clone, Debug, Default)]
pub struct AuthSettings {
    /// `auth.viewer`
    pub viewer: Policy,
    /// `auth.viewer_keys`: a file's name, or the keys themselves
    pub viewer_keys: Option<Secret>,
    /// `auth.viewer_jwks_url`
    pub viewer_jwks_url: Option<ServiceUrl>,
    /// `auth.audience` and `auth.leeway`
    pub rules: TokenRules,
    /// `auth.operator_keys`
    pub operator_keys: Option<PathBuf>,
}

/// Why a token isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// There is none, and one is needed.
    Missing,
    /// There is none, and the viewer has shown one that lasts.
    Shown,
    /// It is none that anybody could take.
    Invalid(&'static str),
    /// It is signed by a key that isn't known.
    UnknownKey,
    /// It was good.
    Expired,
    /// No keys are known yet: it may well be right.
    KeysUnavailable,
    /// It is good, and for something else.
    Mismatch(ClaimMismatch),
}

impl From<ClaimMismatch> for TokenError {
    fn from(mismatch: ClaimMismatch) -> TokenError {
        TokenError::Mismatch(mismatch)
    }
}

/// What a look at a file of keys found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyChanges {
    /// The text of the last look, or no file.
    Nothing,
    /// Other keys, so many.
    Keys(usize),
}

impl KeyChanges {
    /// Says it, where it may surprise: without keys nobody is let in. `news`: also that there are
    /// other keys.
    fn log(self, whose: &str, news: bool) {
        match self {
            KeyChanges::Keys(0) => {
                tracing::warn!(
                    keys = whose,
                    "there are no keys in the file: nobody is let in by it"
                )
            }
            KeyChanges::Keys(count) if news => {
                tracing::info!(keys = whose, count, "keys have changed")
            }
            _ => {}
        }
    }
}

/// Authentication of viewers by tokens, and of operators by keys.
#[derive(Debug)]
pub struct Auth {
    /// Viewers' tokens.
    pub viewers: ViewerAuth,
    /// Operators' keys.
    pub operators: OperatorKeys,
}

impl Auth {
    /// By these settings, with no keys yet.
    #[must_use]
    pub fn new(settings: &AuthSettings) -> Auth {
        Auth {
            viewers: ViewerAuth::new(settings),
            operators: OperatorKeys::new(settings.operator_keys.clone()),
        }
    }

    /// Loads the keys that are in files.
    ///
    /// # Errors
    /// One line that names the setting, the file and what is wrong in it.
    pub fn load(&self) -> Result<(), String> {
        let viewers = self.viewers.load().map_err(|e| format!("`auth.viewer_keys`: {e}"))?;
        let operators = self.operators.load().map_err(|e| format!("`auth.operator_keys`: {e}"))?;
        viewers.log("viewers", false);
        operators.log("operators", false);
        Ok(())
    }

    /// Follows the files and the JWKS URL until `stop`. What can't be read, or is wrong, changes
    /// nothing.
    pub async fn reload_loop(&self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.viewers.refresh_loop() => {}
            () = self.reload_files() => {}
        }
    }

    /// Files are small, and read whole each time: an edit within one tick of a file system's clock,
    /// or a mount that is swapped, is seen too.
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
                    // Once an outage is enough.
                    Err(error) if changes[at].as_ref() != Some(&error) => {
                        tracing::warn!(%error, "keys can't be read; going on with those before");
                        changes[at] = Some(error);
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

/// A small file's text.
pub(crate) fn read_file(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(KEYS_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() > KEYS_BYTES_MAX {
        return Err(format!("{}: it has more than {KEYS_BYTES_MAX} bytes", path.display()));
    }
    // Some editors put a mark of their own in front (BOM).
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_string))
}

/// SHA-256 of some bytes.
fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    digest
}
