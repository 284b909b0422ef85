//! Viewers' tokens: the keys they are verified by, and those that have been.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use housecount_core::limits::{JWKS_REFRESH_MS_MIN, VIEWER_KEYS_MAX};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::claims::Claims;
use super::jwks::Jwks;
use super::jwt::{self, Key};
use super::proven::{Presented, Proven};
use super::{AuthSettings, KeyId, Policy, Rules, Secret, TokenError, digest, read_file};
use crate::clock;
use crate::ingest::Said;

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
    /// Tells what is open that keys have changed.
    changed: watch::Sender<()>,
    proven: Proven,
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
            changed: watch::channel(()).0,
            proven: Proven::default(),
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

    /// What was proven by other keys is proven anew.
    fn change(&self, change: impl FnOnce(&mut Keys)) {
        let mut keys = self.keys.write();
        change(&mut keys);
        self.proven.forget();
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
    pub fn presented(&self, token: &[u8]) -> Presented {
        self.proven.presented(token)
    }

    /// That the bearer of a token may say this now: known, where it was said before with the same token. `presented`: it, before.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn may_say(&self, token: &[u8], presented: Presented, said: &Said<'_>) -> Result<(), TokenError> {
        // Marked before it is verified: by keys that are replaced meanwhile nothing is proven.
        let (mark, now) = (presented.with(said), clock::wall());
        if self.proven.has(mark, now) {
            return Ok(());
        }
        let token = str::from_utf8(token).map_err(|_| TokenError::Invalid("it is not text"))?;
        let claims = self.verify(token)?;
        claims.check(said)?;
        self.proven.insert(mark, claims.ends(), now);
        Ok(())
    }

    /// What a token claims, if it is good now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let (payload, key) = jwt::verify(token, self.keys.read().all())?;
        Claims::judge(payload, &self.rules, clock::wall()).map(|claims| claims.signed_by(key))
    }

    /// What a token claims, if it is good now. If its key isn't known, the JWKS URL is asked for it, unless that was done just now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn verify_asking(&self, token: &str) -> Result<Claims, TokenError> {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use housecount_core::limits::{JWKS_WAIT_MS_MAX, KEYS_BYTES_MAX};
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::claims::Payload;
    use super::*;

    const ED: &str = include_str!("../../tests/it/auth/keys/ed.pem");
    const OTHER: &str = include_str!("../../tests/it/auth/keys/other.pem");
    const ED_X: &str = "EH-t1KadgyS7s3ZZY9RpwILPP8DFN-l-belSPxzfAtI";
    const OTHER_X: &str = "wifQNqhOK2GzPDVbg5BVCwI5B2YHrnqqhHN4oZopv8s";
    const SECRET: &str = "a secret that somebody has published by mistake";

    /// A JWKS URL on this machine: what it says may change, and how often it was asked is known.
    #[derive(Clone, Default)]
    struct Publisher {
        says: Arc<Mutex<Option<String>>>,
        asked: Arc<AtomicUsize>,
    }

    impl Publisher {
        async fn start(self) -> String {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/jwks", listener.local_addr().unwrap());
            tokio::spawn(async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut request = [0; 4_096];
                    let _ = stream.read(&mut request).await;
                    self.asked.fetch_add(1, Ordering::SeqCst);
                    let (status, body) = match self.says.lock().clone() {
                        Some(body) => ("200 OK", body),
                        None => ("503 Service Unavailable", String::new()),
                    };
                    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
                    let _ = stream.write_all((head + &body).as_bytes()).await;
                }
            });
            url
        }

        fn say(&self, keys: Value) {
            *self.says.lock() = Some(json!({ "keys": keys }).to_string());
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    fn by_url(url: String) -> Viewers {
        let viewer_jwks_url = Some(url);
        Viewers::new(&AuthSettings { viewer: Policy::Required, viewer_jwks_url, ..AuthSettings::default() })
    }

    fn jwk(kid: &str, x: &str) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x, "use": "sig", "alg": "EdDSA" })
    }

    fn token(kid: &str, key: &str) -> String {
        let (sub, stage) = ("ann".to_string(), "s".to_string());
        let exp = clock::wall().0 as f64 / 1_000.0 + 600.0;
        let payload = Payload { sub, stage, session: None, exp, nbf: None, aud: None };
        jwt::sign(&payload, key, Some(kid.to_string())).unwrap()
    }

    #[tokio::test]
    async fn jwks_refresh_ms_min_and_the_old_keys_stay_while_it_is_away() {
        let publisher = Publisher::default();
        let viewers = by_url(publisher.clone().start().await);
        let (ed, other) = (token("ed", ED), token("other", OTHER));
        let later = async || *viewers.asked.lock().await = None;
        let outcome = async |token: &str| viewers.verify_asking(token).await.map(|_| ());
        assert_eq!(outcome(&ed).await, Err(TokenError::KeysAway), "it may well be right");
        publisher.say(json!([jwk("ed", ED_X)]));
        later().await;
        assert_eq!((outcome(&ed).await, publisher.asked()), (Ok(()), 2));
        for _ in 0..10 {
            assert_eq!(outcome(&other).await, Err(TokenError::NoKey));
        }
        assert_eq!(publisher.asked(), 2, "it was asked just now");
        // Rotated. Others' keys are passed over, and a secret that is published is none.
        let published = json!({ "kty": "oct", "kid": "oct", "k": "YSBzZWNyZXQgdGhhdCBzb21lYm9keSBoYXMgcHVibGlzaGVkIGJ5IG1pc3Rha2U" });
        let foreign = json!({ "kty": "new", "kid": "new" });
        publisher.say(json!([published, foreign, jwk("other", OTHER_X)]));
        later().await;
        assert_eq!((outcome(&other).await, publisher.asked()), (Ok(()), 3));
        assert_eq!(
            viewers.verify(&ed).map(|_| ()),
            Err(TokenError::NoKey),
            "what was verified is verified anew"
        );
        assert_eq!(outcome(&token("oct", SECRET)).await, Err(TokenError::NoKey));
        // Away, nonsense, without a key, too long (KEYS_BYTES_MAX): nothing changes.
        let too_long = " ".repeat(KEYS_BYTES_MAX + 1);
        for says in [None, Some("<html>".to_string()), Some(r#"{"keys":[]}"#.to_string()), Some(too_long)] {
            *publisher.says.lock() = says;
            later().await;
            assert_eq!(outcome(&ed).await, Err(TokenError::NoKey));
            assert_eq!(outcome(&other).await, Ok(()));
        }
        assert_eq!(publisher.asked(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn jwks_wait_ms_max_ends_waiting_for_a_url_that_says_nothing() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let viewers = by_url(format!("http://{}/jwks", silent.local_addr().unwrap()));
        let begun = tokio::time::Instant::now();
        assert_eq!(viewers.verify_asking(&token("ed", ED)).await.err(), Some(TokenError::KeysAway));
        assert_eq!(begun.elapsed().as_secs(), JWKS_WAIT_MS_MAX / 1_000);
    }
}
