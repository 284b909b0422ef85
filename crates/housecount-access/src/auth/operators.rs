//! Operators' keys: several, named, each with scopes. Their hashes are kept in a file that may
//! change at any time.
//!
//! A key is 256 random bits, so its plain SHA-256 is as good as a slow hash. No attacker can try
//! 2^255 of them, at any speed. (Slow hashes are for passwords, which people choose. Here they
//! would cost each request milliseconds, and strangers could make a node spend them.)

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use housecount_backend::clock;
use housecount_core::limits::REFUSAL_LINE_MS_MIN;
use parking_lot::{Mutex, RwLock};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;

use super::key_file::{self, KeySet, PREFIX};
pub use super::key_file::{NewKey, new_key, new_share_secret, share_link};
use super::limit::KeyLimit;
use super::share::{SHARE_PREFIX, ShareLink};
use super::{Credential, KeyChanges, digest, read_file};

/// Scope of a key. No scope contains another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Reads counts, viewers, history, watch time and metrics.
    Read,
    /// Configures stages.
    Stages,
    /// Starts snapshots and restores by hand.
    Admin,
    /// Sends heartbeats in the name of any viewer.
    Beats,
}

/// All scopes.
pub const SCOPES: [Scope; 4] = [Scope::Read, Scope::Stages, Scope::Admin, Scope::Beats];

impl Scope {
    /// Name of the scope, as the file of keys has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Stages => "stages",
            Scope::Admin => "admin",
            Scope::Beats => "beats",
        }
    }

    pub(super) fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Scope, String> {
        let found = SCOPES.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| {
            format!("`{text}` is not a scope; the scopes are read, stages, admin, beats")
        })
    }
}

/// Reason why a key is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// No operator has this key.
    Unknown,
    /// The key is valid, but lacks this scope.
    MissingScope(Scope),
    /// The key is a share link whose time is over.
    Expired,
}

/// A key's entry in the file.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    /// Bits of the scopes.
    pub scopes: u8,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// Stages that the key is limited to.
    pub limit: Option<Arc<KeyLimit>>,
}

/// Admission of a call by a key or a share link.
#[derive(Clone, Debug)]
pub struct KeyGrant {
    /// Credential of a connection that stays open.
    pub credential: Credential,
    /// Stages that the caller is limited to; `None` for all.
    pub limit: Option<Arc<KeyLimit>>,
}

/// Operators' keys as hashes, reloaded when their file changes.
#[derive(Debug)]
pub struct OperatorKeys {
    file: Option<PathBuf>,
    /// Hash of the file's text when it was last loaded.
    loaded: Mutex<Option<[u8; 32]>>,
    keys: RwLock<KeySet>,
    /// Time of the last log line about a refusal for want of keys, by `clock::mono_ms`.
    refusal_line: Mutex<Option<u64>>,
    /// Notifies open connections that keys have changed.
    changed: watch::Sender<()>,
}

/// Hash of a key, the form in which keys are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OperatorKey([u8; 32]);

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(key)")
    }
}

impl OperatorKeys {
    pub(super) fn new(file: Option<PathBuf>) -> OperatorKeys {
        let changed = watch::channel(()).0;
        OperatorKeys {
            file,
            loaded: Mutex::default(),
            keys: RwLock::default(),
            refusal_line: Mutex::default(),
            changed,
        }
    }

    /// Whether a call that is refused for want of keys is due a log line.
    ///
    /// One line is due per [`REFUSAL_LINE_MS_MIN`]. `now_ms` comes from `clock::mono_ms`.
    pub fn is_refusal_line_due(&self, now_ms: u64) -> bool {
        let mut last = self.refusal_line.lock();
        let is_due = last.is_none_or(|last| now_ms.saturating_sub(last) >= REFUSAL_LINE_MS_MIN);
        if is_due {
            *last = Some(now_ms);
        }
        is_due
    }

    /// Whether keys are needed at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.file.is_some()
    }

    /// Loads the file. A file without keys admits no operator, so the last key can be revoked too.
    ///
    /// # Errors
    /// Returns a text if the file can't be read or is wrong. The keys before stay.
    pub(super) fn load(&self) -> Result<KeyChanges, String> {
        let Some(path) = &self.file else { return Ok(KeyChanges::Nothing) };
        // A key that was set in the place of the file's name is not repeated in the error.
        if path.to_str().is_some_and(|name| name.starts_with(PREFIX)) && !path.exists() {
            return Err("the value is a key; give the name of the key file instead".to_string());
        }
        let text = read_file(path)?;
        let now = Some(digest(text.as_bytes()));
        if *self.loaded.lock() == now {
            return Ok(KeyChanges::Nothing);
        }
        let keys = key_file::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let count = keys.operators.len();
        *self.keys.write() = keys;
        *self.loaded.lock() = now;
        self.changed.send_replace(());
        Ok(KeyChanges::Keys(count))
    }

    /// Returns a receiver that is notified of each change of the keys.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Checks that a key, or a share link, has a scope. Returns what it may do.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn admit(&self, key: &str, scope: Scope) -> Result<KeyGrant, KeyError> {
        if key.starts_with(SHARE_PREFIX) {
            let link = ShareLink::parse(key).ok_or(KeyError::Unknown)?;
            self.judge_link(&link)?;
            if scope != Scope::Read {
                return Err(KeyError::MissingScope(scope));
            }
            let limit = Some(Arc::new(KeyLimit::of_stage(link.stage())));
            return Ok(KeyGrant { credential: Credential::Share(link), limit });
        }
        let key = OperatorKey(digest(key.as_bytes()));
        let limit = self.judge(&key, scope)?;
        let credential = Credential::Operator { key, scope, limit: limit.clone() };
        Ok(KeyGrant { credential, limit })
    }

    /// Compares a key with all keys, in a time that doesn't reveal where they differ. Returns its
    /// limit.
    pub(super) fn judge(
        &self,
        OperatorKey(hash): &OperatorKey,
        scope: Scope,
    ) -> Result<Option<Arc<KeyLimit>>, KeyError> {
        let (mut is_known, mut place) = (Choice::from(0), 0u32);
        let keys = self.keys.read();
        for (n, operator) in (0u32..).zip(&keys.operators) {
            let is_it = operator.hash.ct_eq(hash);
            place = u32::conditional_select(&place, &n, is_it);
            is_known |= is_it;
        }
        let found = keys.operators.get(place as usize).filter(|_| bool::from(is_known));
        let operator = found.ok_or(KeyError::Unknown)?;
        if operator.scopes & scope.bit() == 0 {
            return Err(KeyError::MissingScope(scope));
        }
        Ok(operator.limit.clone())
    }

    /// Checks that the present secret has signed a link, and that its time is not over.
    pub(super) fn judge_link(&self, link: &ShareLink) -> Result<(), KeyError> {
        let keys = self.keys.read();
        if !keys.share_secret.as_ref().is_some_and(|secret| secret.has_signed(link)) {
            return Err(KeyError::Unknown);
        }
        if clock::wall_clock() >= link.ends() { Err(KeyError::Expired) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::ids::StageId;

    use super::*;

    fn of(text: &str) -> OperatorKeys {
        let operators = OperatorKeys::new(Some("unused".into()));
        *operators.keys.write() = key_file::parse(text).unwrap();
        operators
    }

    fn check(operators: &OperatorKeys, key: &str, scope: Scope) -> Result<(), KeyError> {
        operators.admit(key, scope).map(|_| ())
    }

    #[test]
    fn a_new_key_does_what_its_entry_says_and_no_more() {
        let (first, entry) = new_key("gra\"fana", &[Scope::Read]);
        let (second, other) = new_key("platform", &[Scope::Stages, Scope::Beats]);
        let operators = of(&format!("{entry}\n{other}\n"));
        assert_eq!(check(&operators, &first, Scope::Read), Ok(()));
        assert_eq!(
            check(&operators, &first, Scope::Admin),
            Err(KeyError::MissingScope(Scope::Admin))
        );
        assert_eq!(check(&operators, &second, Scope::Beats), Ok(()));
        assert_eq!(
            check(&operators, &second, Scope::Read),
            Err(KeyError::MissingScope(Scope::Read))
        );
        for wrong in ["", &first[..first.len() - 1], &format!("{first}0"), &first.to_uppercase()] {
            assert_eq!(check(&operators, wrong, Scope::Read), Err(KeyError::Unknown), "{wrong}");
        }
        assert!(first.starts_with(PREFIX) && first.len() == PREFIX.len() + 64 && first != second);
    }

    #[test]
    fn refusal_line_ms_min_keeps_the_log_short() {
        let operators = OperatorKeys::new(None);
        let at = [5, 6, REFUSAL_LINE_MS_MIN + 4, REFUSAL_LINE_MS_MIN + 5, REFUSAL_LINE_MS_MIN + 6];
        assert_eq!(
            at.map(|now_ms| operators.is_refusal_line_due(now_ms)),
            [true, false, false, true, false]
        );
    }

    #[test]
    fn the_last_key_can_be_taken_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let operators = OperatorKeys::new(Some(file.path().to_path_buf()));
        let (key, entry) = new_key("ops", &[Scope::Read]);
        let load = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            operators.load()
        };
        for empty in ["", "\n", "# no keys\n", "\u{feff}"] {
            assert_eq!(load(&format!("\u{feff}{entry}")), Ok(KeyChanges::Keys(1)));
            assert_eq!(check(&operators, &key, Scope::Read), Ok(()));
            // A file that is wrong or can't be read changes nothing.
            assert!(load("[[key]]\nname = ").is_err());
            assert!(load(&entry.replace("read", "reed")).is_err());
            assert_eq!(check(&operators, &key, Scope::Read), Ok(()));
            assert_eq!(load(empty), Ok(KeyChanges::Keys(0)));
            assert_eq!(check(&operators, &key, Scope::Read), Err(KeyError::Unknown));
            assert!(operators.is_on(), "an empty file still requires a key");
        }
    }

    #[test]
    fn a_limited_key_brings_its_limit_and_a_link_only_reads_its_stage() {
        let stages = ["match-*".to_string()];
        let limited = NewKey {
            name: "acme",
            scopes: &[Scope::Read],
            customer: Some("AC\"ME"),
            stages: &stages,
        };
        let (key, entry) = limited.create().unwrap();
        let (other, plain) = new_key("all", &[Scope::Read]);
        let secret = new_share_secret();
        let operators = of(&format!("{secret}\n{entry}\n{plain}\n"));
        let limit = |key: &str| operators.admit(key, Scope::Read).unwrap().limit;
        let found = limit(&key).unwrap();
        assert!(found.covers("match-1", Some("AC\"ME")) && !found.matches_id("news"));
        assert_eq!(limit(&other), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &secret).unwrap();
        let (stage, now) = (StageId::parse("s").unwrap(), clock::wall_clock());
        let link = |ends| share_link(file.path(), &stage, ends).unwrap();
        let good = link(now.plus(60_000));
        let found = limit(&good).unwrap();
        assert!(found.matches_id("s") && !found.matches_id("t"));
        assert_eq!(
            check(&operators, &good, Scope::Stages),
            Err(KeyError::MissingScope(Scope::Stages))
        );
        assert_eq!(check(&operators, &link(now), Scope::Read), Err(KeyError::Expired));
        assert_eq!(check(&operators, &good[..50], Scope::Read), Err(KeyError::Unknown));
        for other in [new_share_secret(), String::new()] {
            let operators = of(&format!("{other}\n{entry}\n"));
            assert_eq!(check(&operators, &good, Scope::Read), Err(KeyError::Unknown));
        }
        std::fs::write(file.path(), "").unwrap();
        let error = share_link(file.path(), &stage, now).unwrap_err();
        assert!(error.contains("no share_secret; add this line at the top: share_secret = "));
    }
}
