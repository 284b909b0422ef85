//! Verification of viewers' tokens: its keys, and a cache of the tokens that passed.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use housecount_backend::clock;
use housecount_core::limits::{JWKS_REFRESH_MS_MIN, VIEWER_KEYS_MAX};
use housecount_core::time::UnixMs;
use housecount_engine::internals::UnstampedEvent;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::claims::Claims;
use super::holders::Holders;
use super::jwks::Jwks;
use super::jwt::{self, VerificationKey};
use super::verified::{TokenHash, VerifiedCache};
use super::{
    AuthSettings, KeyChanges, KeyId, Policy, Secret, TokenError, TokenRules, digest, read_file,
};

/// Interval between two fetches of the JWKS URL when no unknown key triggers one. A key that the
/// issuer revokes is soon revoked here.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// Verifier of viewers' tokens, with its keys and a cache of verified tokens.
#[derive(Debug)]
pub struct ViewerAuth {
    policy: Policy,
    rules: TokenRules,
    source: Option<Secret>,
    loaded: Mutex<Loaded>,
    jwks: Option<Jwks>,
    /// When the JWKS URL was last fetched, by `clock::mono_ms`. The lock lets one task fetch, and
    /// others wait for its result.
    last_refresh: tokio::sync::Mutex<Option<u64>>,
    /// Number of times that the fetched keys have changed.
    fetched: AtomicU64,
    keys: RwLock<KeySet>,
    /// Notifies open connections that keys have changed.
    changed: watch::Sender<()>,
    proven: VerifiedCache,
    /// Empty unless tokens are optional.
    holders: Holders,
}

/// State of the source (file or setting) when it was last loaded.
#[derive(Debug, Default)]
struct Loaded {
    digest: Option<[u8; 32]>,
    /// Whether its last keys were public ones, without a secret among them.
    are_public: bool,
}

#[derive(Debug, Default)]
struct KeySet {
    /// Keys of the file or the setting.
    own: Vec<VerificationKey>,
    /// Keys of the JWKS URL; `None` until it has answered once.
    published: Option<Vec<VerificationKey>>,
}

impl KeySet {
    fn all(&self) -> impl Iterator<Item = &VerificationKey> + Clone {
        self.own.iter().chain(self.published.iter().flatten())
    }
}

/// Splits a key into two.
fn halves(key: [u8; 32]) -> ([u8; 16], [u8; 16]) {
    let half = |from: usize| std::array::from_fn(|at| key[from + at]);
    (half(0), half(16))
}

impl ViewerAuth {
    pub(super) fn new(settings: &AuthSettings, hash_key: [u8; 32]) -> ViewerAuth {
        let (tokens, holders) = halves(hash_key);
        ViewerAuth {
            policy: settings.viewer,
            rules: settings.rules.clone(),
            source: settings.viewer_keys.clone(),
            loaded: Mutex::default(),
            jwks: settings.viewer_jwks_url.clone().map(Jwks::new),
            last_refresh: tokio::sync::Mutex::default(),
            fetched: AtomicU64::new(0),
            keys: RwLock::default(),
            changed: watch::channel(()).0,
            proven: VerifiedCache::new(tokens),
            holders: Holders::new(holders),
        }
    }

    /// Policy that decides whether tokens are needed, or checked at all.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Loads the keys of the file or the setting.
    ///
    /// A node that runs on public keys rejects a secret. Otherwise anyone who can write a file that
    /// a web server serves could issue tokens, and so could a mistake.
    ///
    /// # Errors
    /// Returns a text if the keys can't be read or used. The keys before stay.
    pub(super) fn load(&self) -> Result<KeyChanges, String> {
        let Some(source) = &self.source else { return Ok(KeyChanges::Nothing) };
        let (text, named) = key_text(source)?;
        let now = Some(digest(text.as_bytes()));
        let mut loaded = self.loaded.lock();
        if loaded.digest == now {
            return Ok(KeyChanges::Nothing);
        }
        let own = jwt::keys(&text, jwt::KeySource::File).map_err(|e| format!("{named}: {e}"))?;
        let (count, has_secret) = (own.len(), own.iter().any(VerificationKey::is_secret));
        // Also where the public keys come from the URL, and the file had none yet.
        let is_published = loaded.digest.is_some()
            && self.keys.read().published.as_ref().is_some_and(|keys| !keys.is_empty());
        if has_secret
            && (loaded.are_public
                || is_published && !self.keys.read().own.iter().any(VerificationKey::is_secret))
        {
            let why = "a secret has replaced the public keys; restart the node if that is intended";
            return Err(format!("{named}: {why}"));
        }
        self.change(|keys| keys.own = own);
        // A file without keys keeps the state: two steps must not allow what one step doesn't.
        let are_public = if count == 0 { loaded.are_public } else { !has_secret };
        *loaded = Loaded { digest: now, are_public };
        Ok(KeyChanges::Keys(count))
    }

    /// Changes the keys and clears both caches, so that tokens are verified again with the new
    /// keys.
    fn change(&self, change: impl FnOnce(&mut KeySet)) {
        let mut keys = self.keys.write();
        change(&mut keys);
        self.proven.clear();
        self.holders.forget();
        drop(keys);
        self.changed.send_replace(());
    }

    /// Returns a receiver that is notified of each change of the keys.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether this key verifies tokens now.
    pub(super) fn has_key(&self, id: KeyId) -> bool {
        self.keys.read().all().any(|key| key.id() == id)
    }

    /// Hashes a token that has arrived, before its event is known.
    pub fn presented(&self, token: &[u8]) -> TokenHash {
        self.proven.hash_token(token)
    }

    /// Checks that the bearer of a token may send this event now.
    ///
    /// An event that the same token was accepted with before is found in the cache. For any other
    /// it is verified, and its claims are returned. `presented` is the hash of the token.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn authorize(
        &self,
        token: &[u8],
        presented: TokenHash,
        event: &UnstampedEvent<'_>,
    ) -> Result<Option<Box<Claims>>, TokenError> {
        // The key is made before the token is verified, so that keys that are replaced meanwhile
        // leave no entry behind.
        let (mark, now) = (presented.with_event(event), clock::wall_clock());
        if let Some(ends) = self.proven.until(mark, now) {
            if self.policy != Policy::Optional {
                return Ok(None);
            }
            let _keys = self.keys.read();
            if self.proven.is_current(mark) {
                self.note_holder(event.ids.viewer, ends);
            }
            return Ok(None);
        }
        let token = str::from_utf8(token).map_err(|_| TokenError::Invalid("it is not text"))?;
        let claims = self.verify(token)?;
        claims.check(event)?;
        self.proven.insert(mark, claims.expires_at(), now);
        Ok(Some(Box::new(claims)))
    }

    /// Verifies a token, and returns its claims if it is valid now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        // Held to the end of the function, so that a key that is removed meanwhile also removes the
        // holder.
        let keys = self.keys.read();
        let (payload, key) = jwt::verify(token, keys.all())?;
        let claims = Claims::validate(payload, &self.rules, clock::wall_clock())?.signed_by(key);
        self.note_holder(claims.viewer(), claims.expires_at());
        Ok(claims)
    }

    /// Records that a viewer has shown a token that expires at `ends`.
    ///
    /// Where tokens are optional, the viewer needs one from now until then.
    pub fn note_holder(&self, viewer: &str, ends: UnixMs) {
        if self.policy == Policy::Optional {
            self.holders.note(viewer, ends, clock::wall_clock());
        }
    }

    /// Checks that an event without a token may be accepted in a viewer's name.
    ///
    /// # Errors
    /// Returns [`TokenError::Missing`] where tokens are required. Where they are optional, returns
    /// [`TokenError::Shown`] for a viewer who has shown one.
    pub fn authorize_without_token(&self, viewer: &str) -> Result<(), TokenError> {
        match self.policy {
            Policy::Off => Ok(()),
            Policy::Required => Err(TokenError::Missing),
            Policy::Optional if self.holders.has(viewer, clock::wall_clock()) => {
                Err(TokenError::Shown)
            }
            Policy::Optional => Ok(()),
        }
    }

    /// Verifies a token. If its key isn't known, the JWKS URL is fetched, unless that was done just
    /// now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn verify_with_refresh(&self, token: &str) -> Result<Claims, TokenError> {
        let fetched = self.fetched.load(Ordering::Relaxed);
        let verified = self.verify(token);
        let (Err(TokenError::UnknownKey), Some(_)) = (&verified, &self.jwks) else {
            return verified;
        };
        let asked = self.last_refresh.lock().await;
        // A task that held the lock before may have fetched the key.
        if self.fetched.load(Ordering::Relaxed) == fetched {
            self.refresh_if_due(asked).await;
        }
        match self.verify(token) {
            Err(TokenError::UnknownKey) if self.keys.read().published.is_none() => {
                Err(TokenError::KeysUnavailable)
            }
            verified => verified,
        }
    }

    async fn refresh_if_due(&self, mut asked: tokio::sync::MutexGuard<'_, Option<u64>>) {
        let now = clock::mono_ms();
        if asked.is_none_or(|then| now.saturating_sub(then) >= JWKS_REFRESH_MS_MIN) {
            *asked = Some(now);
            self.refresh_jwks().await;
        }
    }

    /// Fetches the JWKS URL. A failure changes nothing.
    async fn refresh_jwks(&self) {
        let Some(jwks) = &self.jwks else { return };
        let read = jwks.fetch().await.and_then(|text| {
            let published = jwt::keys(&text, jwt::KeySource::Published)?;
            Ok((published, digest(text.as_bytes())))
        });
        match read {
            Ok((mut published, digest)) => {
                if jwks.has_changed(digest) {
                    published.truncate(VIEWER_KEYS_MAX);
                    let keys = published.len();
                    self.change(|keys| keys.published = Some(published));
                    self.fetched.fetch_add(1, Ordering::Relaxed);
                    match keys {
                        0 => {
                            tracing::warn!(url = %jwks.url(), "the JWKS has no usable keys, so it verifies no token")
                        }
                        _ => {
                            tracing::info!(url = %jwks.url(), keys, "viewers' keys fetched")
                        }
                    }
                }
            }
            Err(error) => {
                tracing::warn!(url = %jwks.url(), %error, "viewers' keys can't be fetched; keeping the previous ones");
            }
        }
    }

    /// Fetches the JWKS URL at intervals, forever.
    pub(super) async fn refresh_loop(&self) {
        if self.jwks.is_none() {
            return std::future::pending().await;
        }
        loop {
            self.refresh_if_due(self.last_refresh.lock().await).await;
            let is_there = self.keys.read().published.is_some();
            let wait = if is_there { REFRESH } else { Duration::from_millis(JWKS_REFRESH_MS_MIN) };
            tokio::time::sleep(wait).await;
        }
    }
}

/// Returns the text of the keys that `auth.viewer_keys` holds or names, and its source.
///
/// # Errors
/// Returns a text if the file can't be read.
pub fn key_text(Secret(source): &Secret) -> Result<(String, String), String> {
    if jwt::is_inline(source) {
        return Ok((source.clone(), "the setting".to_string()));
    }
    let path = Path::new(source);
    // A value that names no file may be a secret without `secret:` before it, so it isn't repeated.
    std::fs::metadata(path).map_err(|e| {
        format!("not a readable file ({}); write a secret as secret:TEXT", e.kind())
    })?;
    Ok((read_file(path)?, source.clone()))
}

#[cfg(test)]
mod tests;
