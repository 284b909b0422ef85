//! What browsers load: the dashboard's files and the API's page, whole, unframed, and with nothing from elsewhere.

use std::collections::BTreeSet;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::support::node::Node;

async fn get(node: &Node, path: &str, tag: Option<&str>) -> (u16, HeaderMap, Vec<u8>) {
    let host = node.address.trim_start_matches("http://");
    let stream = TokioIo::new(TcpStream::connect(host).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::get(path).header("host", host);
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let response = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// What a page names with `src`, `href` or `from`.
fn named(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for before in ["src=\"", "href=\"", "from \"", "import \""] {
        for rest in text.split(before).skip(1) {
            let name = rest.split('"').next().unwrap_or_default();
            if !name.starts_with('#') && !name.starts_with("/v1/") && !name.is_empty() {
                found.insert(name.to_string());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_is_whole_and_loads_nothing_from_elsewhere() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    let (status, headers, page) = get(&node, "/", None).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "text/html; charset=utf-8"));
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    // Everything that it names, and that these name, is there; and none of it is elsewhere.
    let mut waiting: Vec<String> = named(&String::from_utf8(page).unwrap()).into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        let path = name.replace("./", "/assets/");
        assert!(path.starts_with('/'), "{name} is elsewhere");
        if !seen.insert(path.clone()) {
            continue;
        }
        let (status, headers, body) = get(&node, &path, None).await;
        if path == "/docs" {
            assert_eq!((status, headers["location"].to_str().unwrap()), (308, "/docs/"));
            continue;
        }
        assert_eq!(status, 200, "{path}");
        if path.ends_with(".js") && !path.ends_with("uplot.js") {
            assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
            waiting.extend(
                named(std::str::from_utf8(&body).unwrap()).into_iter().filter(|name| name.starts_with('.')),
            );
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
    let (_, headers, whole) = get(&node, "/assets/app.js", None).await;
    let (status, _, nothing) = get(&node, "/assets/app.js", headers["etag"].to_str().ok()).await;
    assert_eq!((status, nothing.len(), whole.is_empty()), (304, 0, false), "what is known isn't sent again");
    for path in ["/assets/none.js", "/assets/..%2fCargo.toml", "/docs/none.js"] {
        assert_eq!(get(&node, path, None).await.0, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apis_page_is_served_from_here() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    let (status, headers, page) = get(&node, "/docs/", None).await;
    assert_eq!(status, 200);
    assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    let page = String::from_utf8(page).unwrap();
    for name in named(&page) {
        assert!(!name.contains("//"), "{name} is elsewhere");
        let path = format!("/docs/{}", name.trim_start_matches("./"));
        assert_eq!(get(&node, &path, None).await.0, 200, "{path}");
    }
    let (_, _, start) = get(&node, "/docs/swagger-initializer.js", None).await;
    assert!(String::from_utf8(start).unwrap().contains("/openapi.json"));
}

/// Any site may load it, and keep it under the name of its version. It has what pages call.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_served_to_pages_of_any_site() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    let versioned = format!("/housecount-{}.js", env!("CARGO_PKG_VERSION"));
    let mut bodies = BTreeSet::new();
    for (path, kept) in
        [("/housecount.js", "no-cache"), (versioned.as_str(), "public, max-age=31536000, immutable")]
    {
        let (status, headers, body) = get(&node, path, None).await;
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (200, "text/javascript; charset=utf-8")
        );
        assert_eq!(headers["cache-control"], kept, "{path}");
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let tag = headers["etag"].to_str().unwrap();
        let (status, headers, nothing) = get(&node, path, Some(tag)).await;
        assert_eq!((status, nothing.len()), (304, 0));
        assert_eq!(headers["etag"], tag);
        bodies.insert(body);
    }
    assert_eq!(bodies.len(), 1, "both names are of the same script");
    let text = String::from_utf8(bodies.pop_first().unwrap()).unwrap();
    assert!(text.contains("globalThis") && text.contains("housecount-viewers"), "{text}");
    assert_eq!(get(&node, "/housecount-0.0.0.js", None).await.0, 404);
}
