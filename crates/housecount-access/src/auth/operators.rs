//! Operators' keys: several, named, each with scopes. Their hashes are kept in a file that may
//! change at any time.
//!
//! A key is 256 random bits, so its plain SHA-256 is as good as a slow hash. No attacker can try
//! 2^255 of them, at any speed. (Slow hashes are for passwords, which people choose. Here they
//! would cost each request milliseconds, and strangers could make a node spend them.)

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use housecount_backend::rng;
use housecount_core::limits::{OPERATOR_KEYS_MAX, REFUSAL_LINE_MS_MIN};
use parking_lot::{Mutex, RwLock};
use serde::Deserialize;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;

use super::{Credential, KeyChanges, digest, read_file};

/// Prefix of every key. A leaked key is recognized by it, and a key can't be taken for a token.
const PREFIX: &str = "hck_";

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

    fn bit(self) -> u8 {
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
}

#[derive(Clone, Debug)]
struct Operator {
    scopes: u8,
    hash: [u8; 32],
}

/// Operators' keys as hashes, reloaded when their file changes.
#[derive(Debug)]
pub struct OperatorKeys {
    file: Option<PathBuf>,
    /// Hash of the file's text when it was last loaded.
    loaded: Mutex<Option<[u8; 32]>>,
    keys: RwLock<Vec<Operator>>,
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
        let keys = parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let count = keys.len();
        *self.keys.write() = keys;
        *self.loaded.lock() = now;
        self.changed.send_replace(());
        Ok(KeyChanges::Keys(count))
    }

    /// Returns a receiver that is notified of each change of the keys.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Checks that a key has a scope.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn check(&self, key: &str, scope: Scope) -> Result<(), KeyError> {
        self.judge(&OperatorKey(digest(key.as_bytes())), scope)
    }

    /// Checks a key as [`check`](Self::check) does, and returns the credential of a connection that
    /// it admits.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn admit(&self, key: &str, scope: Scope) -> Result<Credential, KeyError> {
        let key = OperatorKey(digest(key.as_bytes()));
        self.judge(&key, scope).map(|()| Credential::Operator { key, scope })
    }

    /// Compares a key with all keys, in a time that doesn't reveal where they differ.
    pub(super) fn judge(
        &self,
        OperatorKey(hash): &OperatorKey,
        scope: Scope,
    ) -> Result<(), KeyError> {
        let (mut is_known, mut scopes) = (Choice::from(0), 0u8);
        for operator in self.keys.read().iter() {
            let is_it = operator.hash.ct_eq(hash);
            scopes = u8::conditional_select(&scopes, &operator.scopes, is_it);
            is_known |= is_it;
        }
        match bool::from(is_known) {
            false => Err(KeyError::Unknown),
            true if scopes & scope.bit() == 0 => Err(KeyError::MissingScope(scope)),
            true => Ok(()),
        }
    }
}

/// The file of keys, as operators write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    scopes: Vec<String>,
    sha256: String,
}

fn parse(text: &str) -> Result<Vec<Operator>, String> {
    let file: File = toml::from_str(text).map_err(|e: toml::de::Error| {
        let line =
            e.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        format!("line {line}: {}", e.message().replace('\n', " "))
    })?;
    if file.key.len() > OPERATOR_KEYS_MAX {
        return Err(format!(
            "it has {} keys; at most {OPERATOR_KEYS_MAX} are allowed",
            file.key.len()
        ));
    }
    let mut keys: Vec<Operator> = Vec::with_capacity(file.key.len());
    for KeyEntry { name, scopes, sha256 } in file.key {
        let hash = from_hex(&sha256)
            .ok_or_else(|| format!("key `{name}`: sha256 is not 64 hexadecimal digits"))?;
        if scopes.is_empty() {
            return Err(format!("key `{name}` has no scopes"));
        }
        let mut bits = 0;
        for scope in scopes {
            bits |= scope.parse::<Scope>().map_err(|e| format!("key `{name}`: {e}"))?.bit();
        }
        if keys.iter().any(|key| key.hash == hash) {
            return Err(format!("key `{name}` appears twice"));
        }
        keys.push(Operator { scopes: bits, hash });
    }
    Ok(keys)
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.bytes().map(|b| (b as char).to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Creates a key, which is shown once, and its entry for the file.
#[must_use]
pub fn new_key(name: &str, scopes: &[Scope]) -> (String, String) {
    let random: Vec<u8> = (0..32).map(|_| rng::random::<u8>()).collect();
    let key = format!("{PREFIX}{}", hex(&random));
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
    let name = toml::Value::String(name.to_string());
    let entry = format!(
        "[[key]]\nname = {name}\nscopes = [{}]\nsha256 = \"{}\"",
        scopes.join(", "),
        hex(&digest(key.as_bytes()))
    );
    (key, entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> OperatorKeys {
        let operators = OperatorKeys::new(Some("unused".into()));
        *operators.keys.write() = parse(text).unwrap();
        operators
    }

    #[test]
    fn a_new_key_does_what_its_entry_says_and_no_more() {
        let (first, entry) = new_key("gra\"fana", &[Scope::Read]);
        let (second, other) = new_key("platform", &[Scope::Stages, Scope::Beats]);
        let operators = of(&format!("{entry}\n{other}\n"));
        assert_eq!(operators.check(&first, Scope::Read), Ok(()));
        assert_eq!(
            operators.check(&first, Scope::Admin),
            Err(KeyError::MissingScope(Scope::Admin))
        );
        assert_eq!(operators.check(&second, Scope::Beats), Ok(()));
        assert_eq!(operators.check(&second, Scope::Read), Err(KeyError::MissingScope(Scope::Read)));
        for wrong in ["", &first[..first.len() - 1], &format!("{first}0"), &first.to_uppercase()] {
            assert_eq!(operators.check(wrong, Scope::Read), Err(KeyError::Unknown), "{wrong}");
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
            assert_eq!(operators.check(&key, Scope::Read), Ok(()));
            // A file that is wrong or can't be read changes nothing.
            assert!(load("[[key]]\nname = ").is_err());
            assert!(load(&entry.replace("read", "reed")).is_err());
            assert_eq!(operators.check(&key, Scope::Read), Ok(()));
            assert_eq!(load(empty), Ok(KeyChanges::Keys(0)));
            assert_eq!(operators.check(&key, Scope::Read), Err(KeyError::Unknown));
            assert!(operators.is_on(), "an empty file still requires a key");
        }
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named() {
        let hash = "0".repeat(64);
        let entry = |name: &str, scope: &str, hash: &str| {
            format!("[[key]]\nname = \"{name}\"\nscopes = [{scope}]\nsha256 = \"{hash}\"\n")
        };
        let many: String =
            (0..=OPERATOR_KEYS_MAX).map(|n| entry("n", "\"read\"", &format!("{n:064x}"))).collect();
        for (text, named) in [
            (entry("a", "\"write\"", &hash), "key `a`: `write` is not a scope"),
            (entry("a", "", &hash), "key `a` has no scope"),
            (entry("a", "\"read\"", "12"), "key `a`: sha256"),
            (entry("a", "\"read\"", &hash).repeat(2), "twice"),
            (
                "[[key]]\nname = \"a\"\nscope = \"read\"\n".to_string(),
                "line 3: unknown field `scope`",
            ),
            // One more than `OPERATOR_KEYS_MAX`.
            (many, "at most 256"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(named) && !error.contains('\n'), "{error}");
        }
    }
}
