//! Pages for browsers: the dashboard's files and the API's page. They are complete, can't be
//! framed, and load nothing from elsewhere.

use std::collections::BTreeSet;
use std::io::Read;

use housecount_test::timed_test;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::support::node::Node;

async fn get(node: &Node, path: &str) -> (u16, HeaderMap, Vec<u8>) {
    get_with(node, path, &[]).await
}

async fn get_with(node: &Node, path: &str, asked: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
    let host = node.address.trim_start_matches("http://");
    let stream = TokioIo::new(TcpStream::connect(host).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::get(path).header("host", host);
    for (name, value) in asked {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// Paths that a page names with `src` or `href`.
fn named(text: &str) -> BTreeSet<String> {
    let parts = ["src=\"", "href=\""].into_iter().flat_map(|before| text.split(before).skip(1));
    let names = parts.filter_map(|rest| rest.split('"').next());
    names
        .filter(|name| !name.starts_with(['#']) && !name.starts_with("/v1/"))
        .map(str::to_string)
        .collect()
}

const FOR_GOOD: &str = "public, max-age=31536000, immutable";

#[timed_test(flavor = "multi_thread")]
async fn pages_are_whole_and_load_nothing_from_elsewhere() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    for page in ["/", "/docs/"] {
        assert_whole(&node, page).await;
    }
    for path in ["/assets/none.js", "/assets/..%2fCargo.toml", "/docs/none.js"] {
        assert_eq!(get(&node, path).await.0, 404, "{path}");
    }
    let (_, plain, text) = get(&node, "/openapi.json").await;
    let (_, packed, _) = get_with(&node, "/openapi.json", &[("accept-encoding", "gzip")]).await;
    assert_eq!(plain["content-type"], "application/json");
    assert_eq!(packed["content-encoding"], "gzip");
    assert!(text.starts_with(b"{"));
}

/// Asserts that every asset of a page is there, cacheable for good, equal in both codings, and not
/// elsewhere.
async fn assert_whole(node: &Node, page: &str) {
    let (status, headers, page) = get(node, page).await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let mut assets = 0;
    for path in named(std::str::from_utf8(&page).unwrap()) {
        assert!(path.starts_with('/') && !path.starts_with("//"), "{path} is on another host");
        let (status, headers, plain) = get(node, &path).await;
        if path == "/docs" {
            assert_eq!((status, headers["location"].to_str().unwrap()), (308, "/docs/"));
            continue;
        }
        assert_eq!(status, 200, "{path}");
        if !path.starts_with("/assets/") {
            continue;
        }
        assets += 1;
        assert_eq!(headers["cache-control"], FOR_GOOD, "{path}");
        assert_eq!(headers["vary"], "accept-encoding", "{path}");
        let (_, headers, packed) = get_with(node, &path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(headers["content-encoding"], "gzip", "{path}");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain && !plain.is_empty(), "{path}");
        if path.ends_with(".js") {
            assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
        }
    }
    assert_eq!(assets, 4, "the page has two scripts, a style sheet and an icon");
}

/// A page of another version names this version's file with another hash. The node answers the
/// file, and browsers check it each time.
#[timed_test(flavor = "multi_thread")]
async fn a_name_without_this_versions_hash_is_checked_each_time() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    for path in ["/assets/app.js", "/assets/app-0123456789ab.js"] {
        let (status, headers, body) = get(&node, path).await;
        assert_eq!((status, body.is_empty()), (200, false), "{path}");
        assert_eq!(headers["cache-control"], "no-cache", "{path}");
        let tag = headers["etag"].to_str().unwrap();
        let (status, _, nothing) = get_with(&node, path, &[("if-none-match", tag)]).await;
        assert_eq!((status, nothing.len()), (304, 0), "{path}");
    }
}

/// Any site may load the client, and keep it under the name of its version. The client has the
/// functions that pages call.
#[timed_test(flavor = "multi_thread")]
async fn the_client_is_served_to_pages_of_any_site() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    for (name, has, has_not) in [
        ("housecount", "housecount-viewers", "no such text"),
        ("housecount-watch", "watchStage", "housecount-viewers"),
    ] {
        let text = assert_client(&node, name).await;
        assert!(
            text.contains("globalThis") && text.contains(has) && !text.contains(has_not),
            "{text}"
        );
        assert_eq!(get(&node, &format!("/{name}-0.0.0.js")).await.0, 404);
    }
}

/// Text of a client, which is the same at both paths.
async fn assert_client(node: &Node, name: &str) -> String {
    let (path, versioned) =
        (format!("/{name}.js"), format!("/{name}-{}.js", env!("CARGO_PKG_VERSION")));
    let mut bodies = BTreeSet::new();
    for (path, kept) in [(path.as_str(), "no-cache"), (versioned.as_str(), FOR_GOOD)] {
        let (status, headers, body) = get(node, path).await;
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (200, "text/javascript; charset=utf-8")
        );
        assert_eq!(headers["cache-control"], kept, "{path}");
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let tag = headers["etag"].to_str().unwrap();
        let (status, headers, nothing) = get_with(node, path, &[("if-none-match", tag)]).await;
        assert_eq!((status, nothing.len()), (304, 0));
        assert_eq!(headers["etag"], tag);
        bodies.insert(body);
    }
    assert_eq!(bodies.len(), 1, "both names serve the same script");
    String::from_utf8(bodies.pop_first().unwrap()).unwrap()
}
