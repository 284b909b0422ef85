//! The file of operators' keys, and the commands' entries for it.
//!
//! The file has hashes of keys, and the secret of share links. It never has a key.

use std::path::Path;
use std::sync::Arc;

use housecount_backend::rng;
use housecount_core::ids::StageId;
use housecount_core::limits::OPERATOR_KEYS_MAX;
use housecount_core::time::UnixMs;
use serde::Deserialize;

use super::limit::KeyLimit;
use super::operators::{Operator, Scope};
use super::share::ShareSecret;
use super::{digest, read_file};

/// Prefix of every key. A leaked key is recognized by it, and a key can't be taken for a token.
pub(super) const PREFIX: &str = "hck_";

/// Contents of the file of keys.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    /// The keys' entries.
    pub operators: Vec<Operator>,
    /// Secret of share links, if there is one.
    pub share_secret: Option<ShareSecret>,
}

/// The file of keys, as operators write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    share_secret: Option<String>,
    #[serde(default)]
    key: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    scopes: Vec<String>,
    customer: Option<String>,
    stages: Option<Vec<String>>,
    sha256: String,
}

/// Parses the file.
///
/// # Errors
/// Returns one line that names the entry and what is wrong in it.
pub(super) fn parse(text: &str) -> Result<KeySet, String> {
    let file: File = toml::from_str(text).map_err(|e: toml::de::Error| {
        let line =
            e.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let message = e.message().replace('\n', " ");
        // In TOML, a line after `[[key]]` belongs to that key.
        let hint = match message.contains("unknown field `share_secret`") {
            true => "; write share_secret above the first [[key]]",
            false => "",
        };
        format!("line {line}: {message}{hint}")
    })?;
    let share_secret = file.share_secret.as_deref().map(ShareSecret::new).transpose()?;
    if file.key.len() > OPERATOR_KEYS_MAX {
        return Err(format!(
            "it has {} keys; at most {OPERATOR_KEYS_MAX} are allowed",
            file.key.len()
        ));
    }
    let mut operators: Vec<Operator> = Vec::with_capacity(file.key.len());
    for KeyEntry { name, scopes, customer, stages, sha256 } in file.key {
        let hash = from_hex(&sha256)
            .ok_or_else(|| format!("key `{name}`: sha256 is not 64 hexadecimal digits"))?;
        if scopes.is_empty() {
            return Err(format!("key `{name}` has no scopes"));
        }
        let mut bits = 0;
        for scope in scopes {
            bits |= scope.parse::<Scope>().map_err(|e| format!("key `{name}`: {e}"))?.bit();
        }
        let limit = KeyLimit::new(customer.as_deref(), stages.as_deref())
            .map_err(|e| format!("key `{name}`: {e}"))?;
        if operators.iter().any(|key| key.hash == hash) {
            return Err(format!("key `{name}` appears twice"));
        }
        operators.push(Operator { scopes: bits, hash, limit: limit.map(Arc::new) });
    }
    Ok(KeySet { operators, share_secret })
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

/// Properties of a new key.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewKey<'a> {
    /// Name of the key's owner.
    pub name: &'a str,
    /// Scopes of the key.
    pub scopes: &'a [Scope],
    /// Only customer whose stages the key covers.
    pub customer: Option<&'a str>,
    /// Patterns of the only stages that the key covers; empty for all.
    pub stages: &'a [String],
}

impl NewKey<'_> {
    /// Creates the key, which is shown once, and its entry for the file.
    ///
    /// # Errors
    /// Returns a text if the customer or a pattern is not valid.
    pub fn create(&self) -> Result<(String, String), String> {
        let stages = Some(self.stages).filter(|stages| !stages.is_empty());
        KeyLimit::new(self.customer, stages)?;
        let key = format!("{PREFIX}{}", random_hex());
        let text = |text: &str| toml::Value::String(text.to_string()).to_string();
        let list =
            |texts: &[String]| texts.iter().map(|each| text(each)).collect::<Vec<_>>().join(", ");
        let scopes: Vec<String> = self.scopes.iter().map(ToString::to_string).collect();
        let mut entry =
            format!("[[key]]\nname = {}\nscopes = [{}]\n", text(self.name), list(&scopes));
        if let Some(customer) = self.customer {
            entry.push_str(&format!("customer = {}\n", text(customer)));
        }
        if let Some(stages) = stages {
            entry.push_str(&format!("stages = [{}]\n", list(stages)));
        }
        entry.push_str(&format!("sha256 = \"{}\"", hex(&digest(key.as_bytes()))));
        Ok((key, entry))
    }
}

/// Creates a key without a limit, which is shown once, and its entry for the file.
#[must_use]
pub fn new_key(name: &str, scopes: &[Scope]) -> (String, String) {
    // Without a limit, nothing can be wrong.
    NewKey { name, scopes, ..NewKey::default() }.create().unwrap_or_default()
}

/// Creates the line with a secret of share links, for the file.
#[must_use]
pub fn new_share_secret() -> String {
    format!("share_secret = \"{}\"", random_hex())
}

/// Returns 256 random bits as hexadecimal digits.
fn random_hex() -> String {
    let random: Vec<u8> = (0..32).map(|_| rng::random::<u8>()).collect();
    hex(&random)
}

/// Signs a link to a stage with the secret of a file of keys.
///
/// # Errors
/// Returns a text if the file can't be read, is wrong, or has no secret.
pub fn share_link(file: &Path, stage: &StageId, ends: UnixMs) -> Result<String, String> {
    let named = |error: String| format!("{}: {error}", file.display());
    let keys = parse(&read_file(file)?).map_err(named)?;
    let secret = keys.share_secret.ok_or_else(|| {
        named(format!("no share_secret; add this line at the top: {}", new_share_secret()))
    })?;
    Ok(secret.sign(stage, ends))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (format!("share_secret = \"{}\"", "x".repeat(31)), "share_secret has 31 bytes"),
            (
                format!("{}share_secret = \"{hash}\"\n", entry("a", "\"read\"", &hash)),
                "write share_secret above the first [[key]]",
            ),
            (format!("{}stages = []\n", entry("a", "\"read\"", &hash)), "key `a`: stages is empty"),
            (
                format!("{}stages = \"match-*\"\n", entry("a", "\"read\"", &hash)),
                "expected a sequence",
            ),
            (
                format!("{}customer = \"\"\n", entry("a", "\"read\"", &hash)),
                "key `a`: customer is empty",
            ),
            // One more than `OPERATOR_KEYS_MAX`.
            (many, "at most 256"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(named) && !error.contains('\n'), "{error}");
        }
    }
}
