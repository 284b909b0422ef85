//! Headers that restrict browsers and caches.

use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

/// Content security policy of pages: they load from and connect to this node only. It allows no
/// inline script or style, and no frame around a page.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; font-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// Sets the headers of every answer. Browsers must believe its content type. No cache keeps it,
/// since counts, errors and documents change at any time. Pages, which are checked by their tag,
/// override that.
pub fn set_common(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// Sets the headers of a player's accepted heartbeat or leave, which are most answers of a node.
/// No browser shows them, so `nosniff` is left out (33 bytes). A short answer also lacks `no-store`
/// (25 bytes): caches keep no answer to a POST that has no lifetime (RFC 9111, section 3).
pub fn set_player(headers: &mut HeaderMap, is_short: bool) {
    if !is_short {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Sets the headers of pages, and of the files that they load. Browsers check each time whether
/// their copy is still current.
pub fn set_page(headers: &mut HeaderMap) {
    set_common(headers);
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, CSP),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
