//! Tests of the sources of keys, their changes, and the effect on tokens.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use housecount_core::event::{EventKind, Ids, SessionLabels};
use housecount_core::limits::{JWKS_WAIT_MS_MAX, KEYS_BYTES_MAX};
use housecount_net::service_url::ServiceUrl;
use housecount_test::timed_test;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::auth::claims::Payload;

const ED: &str = include_str!("../../../../tests/keys/ed.pem");
const OTHER: &str = include_str!("../../../../tests/keys/other.pem");
const ED_X: &str = "EH-t1KadgyS7s3ZZY9RpwILPP8DFN-l-belSPxzfAtI";
const OTHER_X: &str = "wifQNqhOK2GzPDVbg5BVCwI5B2YHrnqqhHN4oZopv8s";
const SECRET: &str = "secret:a secret that was published here by mistake";

/// A JWKS URL on this machine. Its answer can change, and it counts its requests.
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

fn by_url(url: String) -> ViewerAuth {
    let viewer_jwks_url = Some(ServiceUrl::parse(&url).unwrap());
    ViewerAuth::new(
        &AuthSettings { viewer: Policy::Required, viewer_jwks_url, ..AuthSettings::default() },
        [7; 32],
    )
}

fn jwk(kid: &str, x: &str) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x, "use": "sig", "alg": "EdDSA" })
}

fn token(kid: &str, key: &str) -> String {
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
    jwt::sign(&payload, key, Some(kid.to_string())).unwrap()
}

#[timed_test]
async fn jwks_refresh_ms_min_and_the_old_keys_stay_while_it_is_away() {
    let publisher = Publisher::default();
    let viewers = by_url(publisher.clone().start().await);
    let (ed, other) = (token("ed", ED), token("other", OTHER));
    let later = async || *viewers.last_refresh.lock().await = None;
    let outcome = async |token: &str| viewers.verify_with_refresh(token).await.map(|_| ());
    assert_eq!(outcome(&ed).await, Err(TokenError::KeysUnavailable), "the token may be valid");
    publisher.say(json!([jwk("ed", ED_X)]));
    later().await;
    assert_eq!((outcome(&ed).await, publisher.asked()), (Ok(()), 2));
    for _ in 0..10 {
        assert_eq!(outcome(&other).await, Err(TokenError::UnknownKey));
    }
    assert_eq!(publisher.asked(), 2, "the last request is too recent");
    // Rotated. Foreign keys are skipped, and so is a published secret.
    let published = json!({ "kty": "oct", "kid": "oct", "k": "YSBzZWNyZXQgdGhhdCBzb21lYm9keSBoYXMgcHVibGlzaGVkIGJ5IG1pc3Rha2U" });
    let foreign = json!({ "kty": "new", "kid": "new" });
    publisher.say(json!([published, foreign, jwk("other", OTHER_X)]));
    later().await;
    assert_eq!((outcome(&other).await, publisher.asked()), (Ok(()), 3));
    assert_eq!(
        viewers.verify(&ed).map(|_| ()),
        Err(TokenError::UnknownKey),
        "a verified token is verified again"
    );
    assert_eq!(outcome(&token("oct", SECRET)).await, Err(TokenError::UnknownKey));
    // No answer, nonsense, or a text that is too long (KEYS_BYTES_MAX): nothing changes.
    let too_long = " ".repeat(KEYS_BYTES_MAX + 1);
    for says in
        [None, Some("<html>".to_string()), Some(r#"{"key":[]}"#.to_string()), Some(too_long)]
    {
        *publisher.says.lock() = says;
        later().await;
        assert_eq!(outcome(&ed).await, Err(TokenError::UnknownKey));
        assert_eq!(outcome(&other).await, Ok(()));
    }
    assert_eq!(publisher.asked(), 7);
    // The last key can be revoked too. A BOM is skipped.
    *publisher.says.lock() = Some("\u{feff}{\"keys\":[]}".to_string());
    later().await;
    for token in [&ed, &other] {
        assert_eq!(outcome(token).await, Err(TokenError::UnknownKey));
    }
    assert_eq!(viewers.verify(&other).map(|_| ()), Err(TokenError::UnknownKey));
}

/// Creates a node whose keys are in a file, which may change at any time.
fn by_file(file: &tempfile::NamedTempFile, viewer: Policy) -> ViewerAuth {
    let viewer_keys = Some(Secret(file.path().display().to_string()));
    ViewerAuth::new(&AuthSettings { viewer, viewer_keys, ..AuthSettings::default() }, [7; 32])
}

fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

#[test]
fn public_keys_never_become_a_secret_by_themselves() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let viewers = by_file(&file, Policy::Required);
    let load = |text: &str| {
        std::fs::write(file.path(), text).unwrap();
        viewers.load()
    };
    let (ed, oct) = (token("ed", ED), token("oct", SECRET));
    let is_good = |token: &str| viewers.verify(token).is_ok();
    let secret = json!({ "kty": "oct", "kid": "oct", "k": "YSBzZWNyZXQgdGhhdCBzb21lYm9keSBoYXMgcHVibGlzaGVkIGJ5IG1pc3Rha2U" });
    assert_eq!(load(&jwks(&[jwk("ed", ED_X)])), Ok(KeyChanges::Keys(1)));
    assert!(is_good(&ed) && !is_good(&oct));
    for with_a_secret in
        [SECRET.to_string(), secret.to_string(), jwks(&[jwk("ed", ED_X), secret.clone()])]
    {
        let error = load(&with_a_secret).unwrap_err();
        assert!(error.contains("restart the node"), "{error}");
        assert!(is_good(&ed) && !is_good(&oct), "the previous keys stay");
    }
    // Nor in two steps: without keys no caller is admitted, and then only public keys are accepted.
    for no_keys in ["", "\n", r#"{"keys":[]}"#] {
        assert_eq!(load(no_keys), Ok(KeyChanges::Keys(0)));
        assert!(!is_good(&ed) && load(SECRET).is_err() && !is_good(&oct));
    }
    assert_eq!(load(&jwks(&[jwk("ed", ED_X)])), Ok(KeyChanges::Keys(1)));
    assert!(is_good(&ed));
    // A node that was started with a secret may change it, or replace it by public keys.
    let viewers = by_file(&file, Policy::Required);
    for (text, is_taken) in [
        (SECRET, true),
        (&SECRET.to_uppercase().replacen("SECRET", "secret", 1), true),
        (SECRET, true),
        (&jwks(&[jwk("ed", ED_X)]), true),
        (SECRET, false),
    ] {
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(viewers.load().is_ok(), is_taken, "{text}");
    }
    assert!(viewers.verify(&ed).is_ok());
}

#[test]
fn what_names_no_file_is_not_repeated() {
    let viewer_keys = Some(Secret("opensesame".to_string()));
    let viewers =
        ViewerAuth::new(&AuthSettings { viewer_keys, ..AuthSettings::default() }, [7; 32]);
    let error = viewers.load().unwrap_err();
    assert!(error.contains("secret:TEXT") && !error.contains("opensesame"), "{error}");
}

/// Where tokens are optional, a viewer who has shown one needs one until it expires. Others need
/// none.
#[test]
fn a_viewer_that_has_presented_a_token_needs_one() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), jwks(&[jwk("ed", ED_X)])).unwrap();
    for policy in [Policy::Off, Policy::Optional, Policy::Required] {
        let viewers = by_file(&file, policy);
        viewers.load().unwrap();
        let without = |viewer: &str| viewers.authorize_without_token(viewer);
        let (before, after) = match policy {
            Policy::Off => (Ok(()), Ok(())),
            Policy::Optional => (Ok(()), Err(TokenError::Shown)),
            Policy::Required => (Err(TokenError::Missing), Err(TokenError::Missing)),
        };
        assert_eq!((without("ann"), viewers.verify(&token("ed", OTHER)).is_err()), (before, true));
        assert_eq!(without("ann"), before, "a forged token changes nothing");
        let ed = token("ed", ED);
        let beat = UnstampedEvent {
            kind: EventKind::Beat,
            ids: Ids { stage: "s", viewer: "ann", session: "" },
            labels: SessionLabels::NONE,
        };
        let authorize =
            || viewers.authorize(ed.as_bytes(), viewers.presented(ed.as_bytes()), &beat);
        let verified = authorize().unwrap();
        assert!(verified.is_some_and(|claims| claims.viewer() == "ann"), "claims, the first time");
        assert_eq!(authorize(), Ok(None), "from the cache");
        let say = || authorize().map(drop);
        assert_eq!((without("ann"), without("bob")), (after, before));
        // When keys change, tokens of the old ones bind no viewer. A token that is still valid
        // binds its viewer when it comes again.
        viewers.change(|_| ());
        assert_eq!((without("ann"), say(), without("ann")), (before, Ok(()), after));
        viewers.holders.forget();
        assert_eq!(
            (without("ann"), say(), without("ann")),
            (before, Ok(()), after),
            "also for a cached token"
        );
    }
}

#[timed_test(start_paused = true)]
async fn jwks_wait_ms_max_ends_waiting_for_a_url_that_says_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let viewers = by_url(format!("http://{}/jwks", silent.local_addr().unwrap()));
    let begun = tokio::time::Instant::now();
    assert_eq!(
        viewers.verify_with_refresh(&token("ed", ED)).await.err(),
        Some(TokenError::KeysUnavailable)
    );
    assert_eq!(begun.elapsed().as_secs(), JWKS_WAIT_MS_MAX / 1_000);
}
