//! Viewers' tokens: the keys they are verified by, and those that have been.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use housecount_core::limits::{JWKS_REFRESH_MS_MIN, VIEWER_KEYS_MAX};
use housecount_core::time::UnixMs;
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
use crate::clock;
use crate::ingest::UnstampedEvent;

/// Between two fetches of the JWKS URL when nobody asks for an unknown key: a key that is taken
/// back there is soon taken back here.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// Verifier of viewers' tokens, with its keys and a cache of verified tokens.
#[derive(Debug)]
pub struct ViewerAuth {
    policy: Policy,
    rules: TokenRules,
    source: Option<Secret>,
    loaded: Mutex<Loaded>,
    jwks: Option<Jwks>,
    /// When the JWKS URL was last asked; see `clock::mono_ms`. One asks at a time, others wait for
    /// what comes of it.
    last_refresh: tokio::sync::Mutex<Option<u64>>,
    /// How often its keys have changed.
    fetched: AtomicU64,
    keys: RwLock<KeySet>,
    /// Tells what is open that keys have changed.
    changed: watch::Sender<()>,
    proven: VerifiedCache,
    /// Empty unless tokens are optional.
    holders: Holders,
}

/// What the source said last.
#[derive(Debug, Default)]
struct Loaded {
    digest: Option<[u8; 32]>,
    /// Whether its last keys were public ones, and no secret among them.
    are_public: bool,
}

#[derive(Debug, Default)]
struct KeySet {
    /// Of the file or the setting.
    own: Vec<VerificationKey>,
    /// Of the JWKS URL; `None` until it has answered once.
    published: Option<Vec<VerificationKey>>,
}

impl KeySet {
    fn all(&self) -> impl Iterator<Item = &VerificationKey> + Clone {
        self.own.iter().chain(self.published.iter().flatten())
    }
}

impl ViewerAuth {
    pub(super) fn new(settings: &AuthSettings) -> ViewerAuth {
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
            proven: VerifiedCache::default(),
            holders: Holders::default(),
        }
    }

    /// Whether tokens are needed, or looked at.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Loads the keys of the file or the setting. A node that runs on public keys takes no secret:
    /// whoever can write a file that is served by a web server, or by mistake, would else make
    /// tokens.
    ///
    /// # Errors
    /// They can't be read, or can't be used: those before stay.
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
            let why =
                "it has a secret now, and public keys before; restart the node if that is meant";
            return Err(format!("{named}: {why}"));
        }
        self.change(|keys| keys.own = own);
        // Without any keys it stays what it was: two steps lead no further than one.
        let are_public = if count == 0 { loaded.are_public } else { !has_secret };
        *loaded = Loaded { digest: now, are_public };
        Ok(KeyChanges::Keys(count))
    }

    /// What was proven by other keys is proven anew.
    fn change(&self, change: impl FnOnce(&mut KeySet)) {
        let mut keys = self.keys.write();
        change(&mut keys);
        self.proven.clear();
        self.holders.forget();
        drop(keys);
        self.changed.send_replace(());
    }

    /// Told after each change of the keys.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether tokens are verified by this key now.
    pub(super) fn has_key(&self, id: KeyId) -> bool {
        self.keys.read().all().any(|key| key.id() == id)
    }

    /// A token has come, of which it will be asked what its bearer may say.
    pub fn presented(&self, token: &[u8]) -> TokenHash {
        self.proven.hash_token(token)
    }

    /// That the bearer of a token may say this now: known, where it was said before with the same
    /// token. `hash_token`: it, before.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn authorize(
        &self,
        token: &[u8],
        presented: TokenHash,
        event: &UnstampedEvent<'_>,
    ) -> Result<(), TokenError> {
        // Marked before it is verified: by keys that are replaced meanwhile nothing is proven.
        let (mark, now) = (presented.with_event(event), clock::wall_clock());
        if let Some(ends) = self.proven.until(mark, now) {
            if self.policy != Policy::Optional {
                return Ok(());
            }
            let _keys = self.keys.read();
            if self.proven.is_current(mark) {
                self.note_holder(event.viewer, ends);
            }
            return Ok(());
        }
        let token = str::from_utf8(token).map_err(|_| TokenError::Invalid("it is not text"))?;
        let claims = self.verify(token)?;
        claims.check(event)?;
        self.proven.insert(mark, claims.expires_at(), now);
        Ok(())
    }

    /// What a token claims, if it is good now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        // To its end: what is noted by a key that is then taken away is forgotten with it.
        let keys = self.keys.read();
        let (payload, key) = jwt::verify(token, keys.all())?;
        let claims = Claims::validate(payload, &self.rules, clock::wall_clock())?.signed_by(key);
        self.note_holder(claims.viewer(), claims.expires_at());
        Ok(claims)
    }

    /// A viewer has shown a token that ends then: where tokens are optional, it needs one from now
    /// on until then.
    pub fn note_holder(&self, viewer: &str, ends: UnixMs) {
        if self.policy == Policy::Optional {
            self.holders.note(viewer, ends, clock::wall_clock());
        }
    }

    /// That something may be said in a viewer's name without a token.
    ///
    /// # Errors
    /// [`TokenError::Missing`]; where tokens are optional, [`TokenError::Shown`] for a viewer who
    /// has one.
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

    /// What a token claims, if it is good now. If its key isn't known, the JWKS URL is asked for
    /// it, unless that was done just now.
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
        // Whoever was before us may have found it.
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

    /// Asks the JWKS URL. What it doesn't answer changes nothing.
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
                            tracing::warn!(url = %jwks.url(), "the JWKS has no key that can be used: no token is taken by it")
                        }
                        _ => {
                            tracing::info!(url = %jwks.url(), keys, "viewers' keys have been fetched")
                        }
                    }
                }
            }
            Err(error) => {
                tracing::warn!(url = %jwks.url(), %error, "viewers' keys can't be fetched; going on with those before");
            }
        }
    }

    /// Asks the JWKS URL now and then, for ever.
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

/// The text of the keys that `auth.viewer_keys` has or names, and where it is from.
///
/// # Errors
/// The file can't be read.
pub fn key_text(Secret(source): &Secret) -> Result<(String, String), String> {
    if jwt::is_inline(source) {
        return Ok((source.clone(), "the setting".to_string()));
    }
    let path = Path::new(source);
    // What names no file may be a secret without `secret:` in front of it, and isn't repeated.
    std::fs::metadata(path).map_err(|e| {
        format!("it names no file that can be read ({}); write a secret as secret:TEXT", e.kind())
    })?;
    Ok((read_file(path)?, source.clone()))
}

#[cfg(test)]
mod tests;
