//! Files that browsers load: the dashboard, the API's page, and the browser client. All are part of
//! the binary.
//!
//! Pages name their files by a hash of the content, so that browsers keep these for good. Browsers
//! ask for a page each time, and the answer is a few bytes if it is unchanged.
//! `clients/dashboard-test` builds the scripts and the style sheet.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{Redirect, Response};
use axum::routing::get;

use super::error::Problem;
use super::headers;
use super::packed::PackedBody;

/// `Cache-Control` of a file whose name has its hash, or its version.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Pages, and the name of each.
const PAGES: [(&str, &str); 2] = [
    ("docs.html", include_str!("../../assets/docs.html")),
    ("index.html", include_str!("../../assets/index.html")),
];

/// Files that pages name.
const FILES: [(&str, &[u8]); 6] = [
    ("app.css", include_bytes!("../../dashboard/app.css")),
    ("app.js", include_bytes!("../../dashboard/app.js")),
    ("docs.js", include_bytes!("../../dashboard/docs.js")),
    ("favicon.svg", include_bytes!("../../assets/favicon.svg")),
    ("theme.js", include_bytes!("../../dashboard/theme.js")),
    ("uplot.LICENSE.txt", include_bytes!("../../assets/uplot.LICENSE.txt")),
];

/// A file of the node's pages, or a page.
struct Asset {
    name: &'static str,
    /// The name with a hash, such as `app-1f2e3d4c5b6a.js`.
    hashed_name: String,
    body: PackedBody,
}

impl Asset {
    fn new(name: &'static str, body: PackedBody) -> Asset {
        let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
        Asset { name, hashed_name: format!("{stem}-{}.{ending}", body.short_hash()), body }
    }
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let file =
        |(name, bytes): (&'static str, &'static [u8])| Asset::new(name, PackedBody::new(bytes));
    let mut assets: Vec<Asset> = FILES.into_iter().map(file).collect();
    let pages = PAGES
        .map(|(name, text)| Asset::new(name, PackedBody::new(with_hashed_names(text, &assets))));
    assets.extend(pages);
    assets
});

/// A page's text, with the hashed names of the files.
fn with_hashed_names(page: &str, files: &[Asset]) -> String {
    let path = |name: &str| format!("\"/assets/{name}\"");
    files.iter().fold(page.to_string(), |text, file| {
        text.replace(&path(file.name), &path(&file.hashed_name))
    })
}

/// Serves the dashboard.
pub async fn index(headers: HeaderMap) -> Result<Response, Problem> {
    answer("index.html", &headers)
}

/// Serves the API's page.
pub async fn docs(headers: HeaderMap) -> Result<Response, Problem> {
    answer("docs.html", &headers)
}

/// Redirects to the API's page.
pub async fn docs_home() -> Redirect {
    Redirect::permanent("/docs/")
}

/// Serves a file by its name, with or without a hash.
pub async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    answer(&name, &headers)
}

/// Answers with a file. A name with another version's hash gets this node's file too, since a
/// balancer may send a page's requests to nodes of two versions. Browsers ask for such a file each
/// time.
fn answer(name: &str, asked: &HeaderMap) -> Result<Response, Problem> {
    let plain = without_hash(name);
    let asset =
        ASSETS.iter().find(|asset| asset.name == name || plain.as_deref() == Some(asset.name));
    let asset = asset.ok_or_else(|| Problem::not_found_at(&format!("/assets/{name}")))?;
    let mut response = asset.body.answer(asked, content_type(asset.name));
    headers::set_page(response.headers_mut());
    if asset.hashed_name == name {
        response.headers_mut().insert(header::CACHE_CONTROL, FOR_GOOD);
    }
    Ok(response)
}

/// Returns `app.js` for `app-1f2e3d4c5b6a.js`.
fn without_hash(name: &str) -> Option<String> {
    let (stem, rest) = name.split_once('-')?;
    let (hash, ending) = rest.split_once('.')?;
    hash.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| format!("{stem}.{ending}"))
}

/// The browser client as one script, built from `clients/js`. A test of that folder compares it
/// with its sources.
///
/// Each client is served at two paths. The first serves whichever version this node has. The second
/// names the version, so that pages may keep the file and check it against a hash (`integrity`).
pub struct BrowserClient {
    /// Path without the version. Browsers ask for it each time.
    pub path: &'static str,
    /// Path with the version.
    pub path_of_version: &'static str,
    body: LazyLock<PackedBody>,
}

/// The whole client, which sends heartbeats and shows counts.
pub static CLIENT: BrowserClient = BrowserClient {
    path: "/housecount.js",
    path_of_version: concat!("/housecount-", env!("CARGO_PKG_VERSION"), ".js"),
    body: LazyLock::new(|| PackedBody::new(&include_bytes!("../../client/housecount.js")[..])),
};

/// The smaller client, which sends heartbeats only.
pub static WATCH_CLIENT: BrowserClient = BrowserClient {
    path: "/housecount-watch.js",
    path_of_version: concat!("/housecount-watch-", env!("CARGO_PKG_VERSION"), ".js"),
    body: LazyLock::new(|| {
        PackedBody::new(&include_bytes!("../../client/housecount-watch.js")[..])
    }),
};

impl BrowserClient {
    /// Serves the client.
    pub fn routes<S: Clone + Send + Sync + 'static>(&'static self, router: Router<S>) -> Router<S> {
        let checked = HeaderValue::from_static("no-cache");
        router
            .route(
                self.path,
                get(async move |headers: HeaderMap| answer_client(&self.body, &headers, checked)),
            )
            .route(
                self.path_of_version,
                get(async move |headers: HeaderMap| answer_client(&self.body, &headers, FOR_GOOD)),
            )
    }
}

/// Answers with a client. `cache_control` is how long browsers keep it.
fn answer_client(body: &PackedBody, asked: &HeaderMap, cache_control: HeaderValue) -> Response {
    let mut response = body.answer(asked, content_type("housecount.js"));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, cache_control);
    // Pages of any site load it; with a hash they load it as CORS does.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("cross-origin"));
    headers::set_common(headers);
    response
}

/// Content type by the name's ending.
fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_its_hash_is_the_files() {
        for asset in ASSETS.iter() {
            assert_eq!(without_hash(&asset.hashed_name).as_deref(), Some(asset.name));
            assert!(content_type(asset.name) != "application/octet-stream", "{}", asset.name);
        }
        for name in ["app.js", "app-xyz.js", "app-12", "-"] {
            assert_eq!(without_hash(name), None, "{name}");
        }
    }
}
