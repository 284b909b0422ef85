//! Viewers' tokens: the keys they are verified by, and those that have been.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use housecount_core::limits::{JWKS_REFRESH_MS_MIN, VIEWER_KEYS_MAX};
use parking_lot::{Mutex, RwLock};

use super::cache::Cache;
use super::claims::Claims;
use super::jwks::Jwks;
use super::jwt::{self, Key};
use super::{AuthSettings, Policy, Rules, Secret, TokenError, digest, read_file};
use crate::clock;

/// Between two fetches of the JWKS URL when nobody asks for an unknown key: a key that is taken back there is soon taken back here.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// See the module's text.
#[derive(Debug)]
pub struct Viewers {
    policy: Policy,
    rules: Rules,
    source: Option<Secret>,
    /// What the source said last.
    loaded: Mutex<Option<[u8; 32]>>,
    jwks: Option<Jwks>,
    /// When the JWKS URL was last asked; see `clock::mono_ms`. One asks at a time, others wait for what comes of it.
    asked: tokio::sync::Mutex<Option<u64>>,
    /// How often its keys have changed.
    fetched: AtomicU64,
    keys: RwLock<Keys>,
    cache: Cache,
}

#[derive(Debug, Default)]
struct Keys {
    /// Of the file or the setting.
    own: Vec<Key>,
    /// Of the JWKS URL; `None` until it has answered once.
    published: Option<Vec<Key>>,
}

impl Keys {
    fn all(&self) -> impl Iterator<Item = &Key> + Clone {
        self.own.iter().chain(self.published.iter().flatten())
    }
}

impl Viewers {
    pub(super) fn new(settings: &AuthSettings) -> Viewers {
        Viewers {
            policy: settings.viewer,
            rules: settings.rules.clone(),
            source: settings.viewer_keys.clone(),
            loaded: Mutex::default(),
            jwks: settings.viewer_jwks_url.clone().map(Jwks::new),
            asked: tokio::sync::Mutex::default(),
            fetched: AtomicU64::new(0),
            keys: RwLock::default(),
            cache: Cache::default(),
        }
    }

    /// Whether tokens are needed, or looked at.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Loads the keys of the file or the setting. True if they have changed.
    ///
    /// # Errors
    /// They can't be read: those before stay.
    pub(super) fn load(&self) -> Result<bool, String> {
        let Some(source) = &self.source else { return Ok(false) };
        let (text, named) = text_of(source)?;
        let now = Some(digest(text.as_bytes()));
        if *self.loaded.lock() == now {
            return Ok(false);
        }
        let own = jwt::keys(&text, jwt::From::File).map_err(|e| format!("{named}: {e}"))?;
        self.change(|keys| keys.own = own);
        *self.loaded.lock() = now;
        Ok(true)
    }

    /// Tokens that were verified by other keys are verified anew. None is put into the cache meanwhile: that needs the keys' lock.
    fn change(&self, change: impl FnOnce(&mut Keys)) {
        let mut keys = self.keys.write();
        change(&mut keys);
        self.cache.clear();
    }

    /// What a token claims, if it is good now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        let (digest, now) = (digest(token.as_bytes()), clock::wall());
        let known = match self.cache.get(&digest) {
            Some(claims) => claims,
            None => {
                let keys = self.keys.read();
                let claims = Claims::judge(jwt::verify(token, keys.all())?, &self.rules, now)?;
                let claims = Arc::new(claims);
                self.cache.insert(&digest, claims.clone());
                claims
            }
        };
        if now < known.ends() { Ok(known) } else { Err(TokenError::Expired) }
    }

    /// The same. If its key isn't known, the JWKS URL is asked for it, unless that was done just now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn verify_asking(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        let fetched = self.fetched.load(Ordering::Relaxed);
        let verified = self.verify(token);
        let (Err(TokenError::NoKey), Some(_)) = (&verified, &self.jwks) else { return verified };
        let asked = self.asked.lock().await;
        // Whoever was before us may have found it.
        if self.fetched.load(Ordering::Relaxed) == fetched {
            self.ask_if_due(asked).await;
        }
        match self.verify(token) {
            Err(TokenError::NoKey) if self.keys.read().published.is_none() => Err(TokenError::KeysAway),
            verified => verified,
        }
    }

    async fn ask_if_due(&self, mut asked: tokio::sync::MutexGuard<'_, Option<u64>>) {
        let now = clock::mono_ms();
        if asked.is_none_or(|then| now.saturating_sub(then) >= JWKS_REFRESH_MS_MIN) {
            *asked = Some(now);
            self.ask().await;
        }
    }

    /// Asks the JWKS URL. What it doesn't answer changes nothing.
    async fn ask(&self) {
        let Some(jwks) = &self.jwks else { return };
        let read = jwks.fetch().await.and_then(|text| {
            let published = jwt::keys(&text, jwt::From::Published)?;
            Ok((published, digest(text.as_bytes())))
        });
        match read {
            Ok((mut published, digest)) => {
                if jwks.is_news(digest) {
                    published.truncate(VIEWER_KEYS_MAX);
                    self.change(|keys| keys.published = Some(published));
                    self.fetched.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(url = jwks.shown(), "viewers' keys have been fetched");
                }
            }
            Err(error) => {
                tracing::warn!(url = jwks.shown(), %error, "viewers' keys can't be fetched; going on with those before");
            }
        }
    }

    /// Asks the JWKS URL now and then, for ever.
    pub(super) async fn follow_url(&self) {
        if self.jwks.is_none() {
            return std::future::pending().await;
        }
        loop {
            self.ask_if_due(self.asked.lock().await).await;
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
pub fn text_of(Secret(source): &Secret) -> Result<(String, String), String> {
    match inline(source) {
        Some(text) => Ok((text.to_string(), "the setting".to_string())),
        None => Ok((read_file(Path::new(source))?, source.clone())),
    }
}

/// The keys themselves, if the setting has them and not a file's name.
fn inline(source: &str) -> Option<&str> {
    let text = source.trim_start();
    let is_keys = text.starts_with('{') || text.contains("-----BEGIN ");
    text.strip_prefix("secret:").or(is_keys.then_some(text))
}
