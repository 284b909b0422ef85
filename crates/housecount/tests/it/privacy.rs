//! `viewer_ids = "hashed"`: no id is stored, and a caller with the id can still query it.

use std::path::Path;

use futures_util::{SinkExt, StreamExt};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::eventually;
use crate::support::node::{Node, housecount};

const KEY: &str = "viewer_ids_key=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Whether any file below a folder contains the text, in UTF-8.
fn is_written(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_written(&path, text);
        }
        // A file of SQLite may be gone by now.
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[timed_test(flavor = "multi_thread")]
async fn hashed_ids_are_kept_nowhere_and_can_be_asked_for() {
    let settings = [
        "viewer_ids=hashed",
        KEY,
        "interval=1s",
        "ttl=3s",
        "window=1s",
        "archive=items",
        "archive_flush=1s",
    ];
    let mut node = Node::ready(&settings).await;
    let (viewer, session) = ("ann@example.org", "Ann's telephone");
    let ids = json!({ "stage": "s/1", "viewer": viewer, "session": session });
    let address = node.address.trim_start_matches("http://").to_string();
    let stream = TcpStream::connect(&address).await.unwrap();
    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("ws://{address}/v1/ws"), stream).await.unwrap();
    socket.send(Message::text(ids.to_string())).await.unwrap();
    eventually("a window is written", async || {
        // All three transports send the same session of the same viewer.
        let (status, body) = node.call(Method::POST, "/v1/heartbeat", ids.clone()).await;
        assert!(
            status == 429
                || (body["viewers"].as_u64(), body["sessions"].as_u64()) == (Some(1), Some(1)),
            "{body}"
        );
        node.call(Method::POST, "/v1/heartbeats", json!([ids])).await;
        socket.send(Message::text("{}")).await.unwrap();
        assert!(socket.next().await.unwrap().is_ok());
        let body = node.get("/v1/viewers/ann%40example.org/watch").await;
        let first = body["watch"][0]["firstAt"].as_u64();
        first.is_some() && body["committedTo"].as_u64() > first
    })
    .await;

    let online = node.get("/v1/viewers/ann%40example.org").await;
    let pseudonym = online["viewer"].as_str().unwrap().to_string();
    assert!(pseudonym.starts_with('~') && pseudonym.len() == 17, "{online}");
    assert_eq!(online["online"], true);
    assert!(online["stages"][0]["sessions"][0].as_str().unwrap().starts_with('~'), "{online}");
    let listed = node.get("/v1/stages/s%2F1/viewers").await;
    assert_eq!(listed["viewers"][0]["viewer"], pseudonym.as_str());
    // Listed pseudonyms can be used in queries as they are. (A heartbeat from the socket may still
    // have arrived in between.)
    let asked = node.get(&format!("/v1/viewers/{pseudonym}")).await;
    assert_eq!(asked["stages"][0]["sessions"], online["stages"][0]["sessions"]);
    let watch = node.get("/v1/stages/s%2F1/watch").await;
    assert_eq!(watch["watch"][0]["viewer"], pseudonym.as_str());

    eventually("the viewer can beat again and leave", async || {
        node.call(Method::POST, "/v1/leave", ids.clone()).await.0 == 204
    })
    .await;
    assert!(node.stop().success());
    assert!(is_written(node.data(), &pseudonym), "the pseudonym is in the stores");
    for id in [viewer, session, "example.org", "telephone"] {
        assert!(!is_written(node.data(), id), "{id} is in the stores");
    }
    node.restart();
    node.until_ready().await;
    let again = node.get("/v1/viewers/ann%40example.org/watch").await;
    assert!(again["watch"][0]["watchMs"].as_u64() > Some(0), "{again}");
    assert_eq!(again["viewer"], pseudonym.as_str());
}

#[test]
fn without_a_key_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short.key");
    std::fs::write(&short, "not long enough").unwrap();
    for (key, named) in [
        (String::new(), "needs a key"),
        (short.display().to_string(), "at least 32 bytes"),
        ("/nowhere/viewer.key".to_string(), "nor a readable file"),
    ] {
        let started = housecount()
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "memory:", "--cold", "none"])
            .args(["--set", "viewer_ids=hashed", "--set", &format!("viewer_ids_key={key}")])
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(!started.status.success() && printed.contains(named), "{printed}");
        assert!(
            printed.contains("openssl rand -hex 32") && printed.trim().lines().count() == 1,
            "{printed}"
        );
        assert!(!printed.contains("not long enough"), "{printed}");
    }
}
