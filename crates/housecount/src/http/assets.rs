//! What browsers load: the dashboard's files, which are part of the binary.
//!
//! There is no build step: a file is served as it lies in `assets/`. Browsers ask each time whether what they have is still right, so
//! that a new version shows at once, and are answered in a few bytes if it is.

use std::io::Read;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::bufread::GzEncoder;
use ring::digest::{SHA256, digest};
use rust_embed::{Embed, EmbeddedFile};

use super::error::Problem;
use super::headers;

/// The files.
#[derive(Embed)]
#[folder = "assets/"]
struct Files;

/// The dashboard.
pub async fn index(headers: HeaderMap) -> Result<Response, Problem> {
    answer("index.html", &headers)
}

/// A file of the dashboard.
pub async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    answer(&name, &headers)
}

/// Path of the client of this version, which pages may keep and hold against a hash (`integrity`).
pub const CLIENT_OF_VERSION: &str = concat!("/housecount-", env!("CARGO_PKG_VERSION"), ".js");

/// Browser client as one script, built from `clients/js`. A test of that folder holds it against its sources.
static CLIENT: &[u8] = include_bytes!("../../client/housecount.js");

/// [`CLIENT`] in gzip.
static CLIENT_GZIP: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut encoder = GzEncoder::new(CLIENT, Compression::best());
    let mut gzip = Vec::new();
    // To read from memory can't fail; an empty answer would show in the test below.
    let _ = encoder.read_to_end(&mut gzip);
    gzip
});

/// Tag of [`CLIENT`].
static CLIENT_TAG: LazyLock<HeaderValue> = LazyLock::new(|| tag_of(digest(&SHA256, CLIENT).as_ref()));

/// Serves the browser client of this node's version, whichever that is. Browsers ask each time.
pub async fn client(headers: HeaderMap) -> Response {
    client_kept(&headers, "no-cache")
}

/// Serves the browser client under a name that is never another one's.
pub async fn client_of_version(headers: HeaderMap) -> Response {
    client_kept(&headers, "public, max-age=31536000, immutable")
}

/// `kept`: the `Cache-Control`.
fn client_kept(asked: &HeaderMap, kept: &'static str) -> Response {
    let is_known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| *known == *CLIENT_TAG);
    let accepts =
        asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_gzip = accepts.split(',').any(|coding| coding.trim() == "gzip");
    let mut response = match (is_known, is_gzip) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, true) => ([(header::CONTENT_ENCODING, "gzip")], CLIENT_GZIP.as_slice()).into_response(),
        (false, false) => CLIENT.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, CLIENT_TAG.clone());
    for (name, value) in [
        (header::CONTENT_TYPE, kind("housecount.js")),
        (header::CACHE_CONTROL, kept),
        (header::VARY, "accept-encoding"),
        // It is for pages of any site: with a hash they load it as CORS does.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers::everywhere(headers);
    response
}

fn answer(name: &str, asked: &HeaderMap) -> Result<Response, Problem> {
    let file = Files::get(name).ok_or_else(|| Problem::not_here(&format!("/assets/{name}")))?;
    let tag = tag(&file);
    let is_known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| *known == tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)))], file.data).into_response()
    };
    response.headers_mut().insert(header::ETAG, tag);
    headers::page(response.headers_mut(), headers::POLICY);
    Ok(response)
}

fn tag(file: &EmbeddedFile) -> HeaderValue {
    tag_of(&file.metadata.sha256_hash())
}

fn tag_of(hash: &[u8]) -> HeaderValue {
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    // Hexadecimal digits can stand in a header.
    HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// By the name's ending, of those that there are.
fn kind(name: &str) -> &'static str {
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
    fn the_client_is_the_same_plain_and_in_gzip() {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(CLIENT_GZIP.as_slice()).read_to_end(&mut plain).unwrap();
        assert!(plain == CLIENT && !CLIENT.is_empty());
    }

    #[test]
    fn every_file_has_a_type_and_lies_flat() {
        for name in Files::iter() {
            assert!(kind(&name) != "application/octet-stream" && !name.contains('/'), "{name}");
        }
        assert!(Files::get("index.html").is_some());
    }
}
