//! Credentials of open connections: WebSockets and streams of counts, and when they must close.
//!
//! A request is checked once. An open connection is checked again when its token expires, and when
//! keys change. It is checked against the same keys as the next request.

use std::sync::Arc;
use std::time::Duration;

use housecount_backend::clock;
use housecount_core::time::UnixMs;
use tokio::sync::watch;
use tokio::time::sleep;

use super::limit::KeyLimit;
use super::operators::{KeyError, OperatorKey};
use super::share::ShareLink;
use super::{Auth, Scope};

/// Interval at which a wait for a token's expiry reads the clock again. The machine's clock may be
/// set meanwhile.
const LOOK_EVERY_MS: u64 = 60_000;

/// Id of a key: the start of a SHA-256. It covers the key itself, not the place that it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyId(pub [u8; 16]);

/// Credential that an open connection was admitted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A viewer's token.
    Token {
        /// Expiry, with the leeway.
        ends: UnixMs,
        /// The key that signed it.
        key: KeyId,
    },
    /// An operator's key.
    Operator {
        /// Hash of the key.
        key: OperatorKey,
        /// Scope that the key must have.
        scope: Scope,
        /// Limit that the key must still have.
        limit: Option<Arc<KeyLimit>>,
    },
    /// A share link.
    Share(ShareLink),
}

/// Reason why a credential is not valid any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialEnd {
    /// The token has expired.
    TokenExpired,
    /// The operator's key, or the key that signed the token, was removed.
    KeyRemoved,
    /// The time of the share link is over.
    LinkExpired,
}

impl Auth {
    /// Waits until a credential is not valid any more.
    pub async fn ended(&self, credential: &Credential) -> CredentialEnd {
        match credential {
            Credential::Token { ends, key } => {
                let removed = gone(self.viewers.changes(), || !self.viewers.has_key(*key));
                tokio::select! {
                    biased;
                    () = reached(*ends) => CredentialEnd::TokenExpired,
                    () = removed => CredentialEnd::KeyRemoved,
                }
            }
            Credential::Operator { key, scope, limit } => {
                let is_gone = || !self.operators.judge(key, *scope).is_ok_and(|now| now == *limit);
                gone(self.operators.changes(), is_gone).await;
                CredentialEnd::KeyRemoved
            }
            Credential::Share(link) => {
                let is_gone = || self.operators.judge_link(link) == Err(KeyError::Unknown);
                tokio::select! {
                    biased;
                    () = reached(link.ends()) => CredentialEnd::LinkExpired,
                    () = gone(self.operators.changes(), is_gone) => CredentialEnd::KeyRemoved,
                }
            }
        }
    }
}

/// Waits until `is_gone` returns true.
///
/// The first check is immediate, because keys may have changed since the connection was admitted.
/// Further checks follow each change.
async fn gone(mut changes: watch::Receiver<()>, is_gone: impl Fn() -> bool) {
    loop {
        changes.mark_unchanged();
        if is_gone() {
            return;
        }
        if changes.changed().await.is_err() {
            // The sender is dropped, so no key changes any more.
            return std::future::pending().await;
        }
    }
}

/// Waits until the machine's clock has reached a time.
async fn reached(ends: UnixMs) {
    loop {
        let left_ms = ends.since(clock::wall_clock());
        if left_ms == 0 {
            return;
        }
        sleep(Duration::from_millis(left_ms.min(LOOK_EVERY_MS))).await;
    }
}

/// Waits for the end of a credential, or forever without a credential.
pub async fn end_of<T, F: Future<Output = T> + Unpin>(ended: &mut Option<F>) -> T {
    match ended {
        Some(ended) => ended.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::limits::{KEYS_LOOK_MS, OUTLIVE_MS_MAX};
    use housecount_test::timed_test;
    use tempfile::NamedTempFile;
    use tokio::time::timeout;

    use super::super::operators::new_key;
    use super::super::{AuthSettings, Payload, Policy, Secret, jwt};
    use super::*;

    const SECRET: &str = "secret:a secret that is long enough to be one of ours";

    /// Files of viewers' and operators' keys that are reloaded, on the test's paused clock.
    struct Files {
        auth: Arc<Auth>,
        viewers: NamedTempFile,
        operators: NamedTempFile,
        _stop: watch::Sender<bool>,
    }

    impl Files {
        fn with(viewers: &str, operators: &str) -> Files {
            let file = |text: &str| {
                let file = NamedTempFile::new().unwrap();
                std::fs::write(file.path(), text).unwrap();
                file
            };
            let (viewers, operators) = (file(viewers), file(operators));
            let settings = AuthSettings {
                viewer: Policy::Required,
                viewer_keys: Some(Secret(viewers.path().display().to_string())),
                operator_keys: Some(operators.path().into()),
                ..AuthSettings::default()
            };
            let auth = Arc::new(Auth::new(&settings, [7; 32]));
            auth.load().unwrap();
            let (_stop, stopped) = watch::channel(false);
            let followed = auth.clone();
            tokio::spawn(async move { followed.reload_loop(stopped).await });
            Files { auth, viewers, operators, _stop }
        }

        /// Waits for the end of the credential; `None` if it doesn't end within `OUTLIVE_MS_MAX`.
        async fn end(&self, credential: &Credential) -> Option<CredentialEnd> {
            const { assert!(KEYS_LOOK_MS < OUTLIVE_MS_MAX) };
            timeout(Duration::from_millis(OUTLIVE_MS_MAX), self.auth.ended(credential)).await.ok()
        }
    }

    fn jwk(kid: &str, secret: &str) -> String {
        let k = data_encoding::BASE64URL_NOPAD.encode(secret.as_bytes());
        format!(r#"{{"kty":"oct","kid":"{kid}","k":"{k}"}}"#)
    }

    fn token(kid: &str, secret: &str) -> String {
        let (sub, stage) = ("ann".to_string(), Some("s".to_string()));
        let exp = clock::wall_clock().0 as f64 / 1_000.0 + 600.0;
        let payload = Payload {
            sub,
            stage,
            stage_prefix: None,
            session: None,
            streams: None,
            labels: None,
            exp,
            nbf: None,
            aud: None,
        };
        jwt::sign(&payload, &format!("secret:{secret}"), Some(kid.into())).unwrap()
    }

    #[timed_test(start_paused = true)]
    async fn outlive_ms_max_is_how_long_a_removed_operator_key_is_good_for_what_is_open() {
        let (removed, first) = new_key("removed", &[Scope::Read, Scope::Admin]);
        let (kept, second) = new_key("kept", &[Scope::Read]);
        let files = Files::with(SECRET, &format!("{first}\n{second}\n"));
        let admit = |key: &str| files.auth.operators.admit(key, Scope::Read).unwrap().credential;
        let (removed, kept) = (admit(&removed), admit(&kept));
        assert_eq!(files.end(&removed).await, None, "nothing has changed");
        std::fs::write(files.operators.path(), &second).unwrap();
        assert_eq!(files.end(&removed).await, Some(CredentialEnd::KeyRemoved));
        assert_eq!(files.end(&kept).await, None);
        // A key that has lost the scope is refused as if it were removed.
        std::fs::write(files.operators.path(), second.replace("read", "beats")).unwrap();
        assert_eq!(files.end(&kept).await, Some(CredentialEnd::KeyRemoved));
        assert!(!format!("{kept:?}").contains("sha"));
    }

    #[timed_test(start_paused = true)]
    async fn a_token_ends_with_the_key_that_signed_it_and_not_with_another() {
        let (one, two) =
            ("the first secret, which is long enough", "the second secret, which is long enough");
        let both = format!(r#"{{"keys":[{},{}]}}"#, jwk("one", one), jwk("two", two));
        let (_, operator) = new_key("any", &[Scope::Read]);
        let files = Files::with(&both, &operator);
        let credential = |kid: &str, secret: &str| {
            files.auth.viewers.verify(&token(kid, secret)).unwrap().credential()
        };
        let (first, second) = (credential("one", one), credential("two", two));
        // The same keys in another notation, with a third one beside them.
        let more = format!(
            r#"{{ "keys": [ {}, {}, {} ] }}"#,
            jwk("two", two),
            jwk("three", SECRET),
            jwk("one", one)
        );
        std::fs::write(files.viewers.path(), more).unwrap();
        assert_eq!((files.end(&first).await, files.end(&second).await), (None, None));
        std::fs::write(files.viewers.path(), jwk("two", two)).unwrap();
        assert_eq!(files.end(&first).await, Some(CredentialEnd::KeyRemoved));
        assert_eq!(files.end(&second).await, None);
        // Another key under the same name.
        std::fs::write(files.viewers.path(), jwk("two", one)).unwrap();
        assert_eq!(files.end(&second).await, Some(CredentialEnd::KeyRemoved));
    }
}
