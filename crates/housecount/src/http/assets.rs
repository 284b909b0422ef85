//! What browsers load: the dashboard's files, which are part of the binary.
//!
//! There is no build step: a file is served as it lies in `assets/`. Browsers ask each time whether what they have is still right, so
//! that a new version shows at once, and are answered in a few bytes if it is.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
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
    let hex: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
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
    fn every_file_has_a_type_and_lies_flat() {
        for name in Files::iter() {
            assert!(kind(&name) != "application/octet-stream" && !name.contains('/'), "{name}");
        }
        assert!(Files::get("index.html").is_some());
    }
}
