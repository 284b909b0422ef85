//! Bodies that never change: kept plain and in gzip, with a tag that browsers check them by.

use std::sync::OnceLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ring::digest::{SHA256, digest};

use super::gzip;

/// Hexadecimal digits of the hash that names a file: 48 bits, and a node has ten files.
const NAME_DIGITS: usize = 12;

/// A body in both codings. Its first request in gzip compresses it.
pub struct PackedBody {
    plain: Bytes,
    gzip: OnceLock<Bytes>,
    hash: String,
}

impl PackedBody {
    /// Creates a body that is not compressed yet.
    pub fn new(plain: impl Into<Bytes>) -> PackedBody {
        let plain = plain.into();
        let bytes = digest(&SHA256, &plain);
        let hash = bytes.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        PackedBody { plain, gzip: OnceLock::new(), hash }
    }

    /// Returns the start of the body's hash, for a name that no other body has.
    pub fn short_hash(&self) -> &str {
        self.hash.get(..NAME_DIGITS).unwrap_or_default()
    }

    /// Answers a request in a coding that it accepts, or with 304 if the client has the body.
    ///
    /// The tag is weak: both codings have the same one.
    pub fn answer(&self, asked: &HeaderMap, content_type: &'static str) -> Response {
        let mut response = if self.is_known(asked) {
            StatusCode::NOT_MODIFIED.into_response()
        } else if gzip::is_accepted(asked) {
            let packed = self.gzip.get_or_init(|| gzip::encode(&self.plain));
            ([(header::CONTENT_ENCODING, "gzip")], packed.clone()).into_response()
        } else {
            self.plain.clone().into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(tag) = HeaderValue::try_from(format!("W/\"{}\"", self.hash)) {
            headers.insert(header::ETAG, tag);
        }
        response
    }

    /// Whether `If-None-Match` names this body.
    fn is_known(&self, asked: &HeaderMap) -> bool {
        let tags = asked
            .get_all(header::IF_NONE_MATCH)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        tags.flat_map(|list| list.split(',')).map(str::trim).any(|tag| {
            let opaque = tag.trim_start_matches("W/").trim_matches('"');
            tag == "*" || opaque == self.hash
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(asked: &[(header::HeaderName, String)]) -> u16 {
        let asked =
            asked.iter().map(|(name, value)| (name.clone(), HeaderValue::try_from(value).unwrap()));
        PackedBody::new("text").answer(&asked.collect(), "text/plain").status().as_u16()
    }

    #[test]
    fn a_body_that_the_client_has_is_not_sent_again() {
        let hash = PackedBody::new("text").hash;
        for tag in [
            format!("W/\"{hash}\""),
            format!("\"{hash}\""),
            format!("\"other\", W/\"{hash}\""),
            "*".into(),
        ] {
            assert_eq!(status(&[(header::IF_NONE_MATCH, tag)]), 304);
        }
        for tag in ["\"other\"".to_string(), "W/\"\"".into(), String::new()] {
            assert_eq!(status(&[(header::IF_NONE_MATCH, tag)]), 200);
        }
    }
}
