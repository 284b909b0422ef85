//! CORS policy: the sites whose pages may read answers.
//!
//! Any site that shows a stream has players. So players' calls are open to all sites unless the
//! settings name some. Operators' calls are for this node's own pages. Cookies mean nothing to a
//! node, so credentials are never allowed: a client sends its token in a header. Preflights are
//! answered before any other work, and browsers may keep the answer for a day.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER, VARY,
};
use hyper::{Method, Request, Uri};

use crate::origin::OriginPattern;

/// Headers that pages may send beyond those that are always allowed. They are credentials, and the
/// ones that tracing libraries add (W3C Trace Context and Baggage, Sentry).
const HEADERS: &str = "authorization, content-type, content-encoding, last-event-id, x-api-key, traceparent, tracestate, baggage, sentry-trace";
/// Header that scripts may read beyond those that are always readable, where an answer has it.
const EXPOSED: &str = "retry-after";
/// A day. Browsers may use a shorter time (Chrome two hours, 2026-10).
const MAX_AGE_S: &str = "86400";

/// CORS policy: origins that may read answers to players' and operators' calls.
#[derive(Clone, Debug)]
pub struct Cors {
    players: OriginList,
    operators: OriginList,
    /// Whether a call is one of players.
    is_players: fn(&Uri) -> bool,
}

/// Origins whose pages are allowed.
#[derive(Clone, Debug)]
enum OriginList {
    Any,
    Listed(Vec<OriginPattern>),
}

/// Decision which origins may read an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsDecision {
    /// Any origin.
    Any,
    /// No origin. This holds for all origins alike, so the answer does not vary.
    Deny,
    /// This origin, or none. The answer to another origin may differ.
    Origin(Option<HeaderValue>),
}

impl OriginList {
    fn new(patterns: &[OriginPattern]) -> OriginList {
        match patterns.contains(&OriginPattern::Any) {
            true => OriginList::Any,
            false => OriginList::Listed(patterns.to_vec()),
        }
    }
}

impl Cors {
    /// Creates a policy from the origins of players' pages, and of operators'. `is_players` decides
    /// whether a call is one of players.
    #[must_use]
    pub fn new(
        players: &[OriginPattern],
        operators: &[OriginPattern],
        is_players: fn(&Uri) -> bool,
    ) -> Cors {
        let (players, operators) = (OriginList::new(players), OriginList::new(operators));
        Cors { players, operators, is_players }
    }

    /// Decides who may read the answer to this request.
    #[must_use]
    pub fn decide(&self, uri: &Uri, headers: &HeaderMap) -> CorsDecision {
        match if (self.is_players)(uri) { &self.players } else { &self.operators } {
            // A request that is not from a page needs no CORS headers.
            OriginList::Any if !headers.contains_key(ORIGIN) => CorsDecision::Deny,
            OriginList::Any => CorsDecision::Any,
            OriginList::Listed(patterns) if patterns.is_empty() => CorsDecision::Deny,
            OriginList::Listed(patterns) => {
                let is_covered =
                    |origin: &&HeaderValue| patterns.iter().any(|pattern| pattern.covers(origin));
                CorsDecision::Origin(headers.get(ORIGIN).filter(is_covered).cloned())
            }
        }
    }

    /// Returns the further headers of the answer to a preflight. Returns `None` if the request is
    /// not a preflight, or no origin may read the answer.
    #[must_use]
    pub fn preflight<B>(&self, decision: &CorsDecision, request: &Request<B>) -> Option<HeaderMap> {
        let is_preflight = request.method() == Method::OPTIONS
            && request.headers().contains_key(ORIGIN)
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight || matches!(decision, CorsDecision::Deny | CorsDecision::Origin(None)) {
            return None;
        }
        let methods =
            if (self.is_players)(request.uri()) { "GET, POST" } else { "GET, POST, PATCH, DELETE" };
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_S));
        Some(headers)
    }
}

impl CorsDecision {
    /// Adds the decision's headers to an answer.
    pub fn apply(self, headers: &mut HeaderMap) {
        let origin = match self {
            CorsDecision::Deny => return,
            CorsDecision::Any => HeaderValue::from_static("*"),
            CorsDecision::Origin(origin) => {
                headers.append(VARY, HeaderValue::from_static("origin"));
                let Some(origin) = origin else { return };
                origin
            }
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        // Heartbeats' answers are many, and hardly any has the header.
        if headers.contains_key(RETRY_AFTER) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<OriginPattern> {
        texts.iter().map(|text| OriginPattern::parse(text).unwrap()).collect()
    }

    /// Two calls of players: heartbeats, and counts of named stages.
    fn is_players(uri: &Uri) -> bool {
        let names_stages = uri.query().is_some_and(|query| query.starts_with("stage="));
        matches!((uri.path(), names_stages), ("/v1/heartbeat", _) | ("/v1/live", true))
    }

    fn policy(players: &[OriginPattern], operators: &[OriginPattern]) -> Cors {
        Cors::new(players, operators, is_players)
    }

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    fn from(origin: &str) -> HeaderMap {
        HeaderMap::from_iter([(ORIGIN, HeaderValue::from_str(origin).unwrap())])
    }

    #[test]
    fn players_are_everywhere_and_operators_at_home() {
        let cors = policy(&patterns(&["*"]), &[]);
        for players in ["/v1/heartbeat", "/v1/live?stage=a&stage=b&token=x"] {
            assert_eq!(
                cors.decide(&uri(players), &from("https://a.example")),
                CorsDecision::Any,
                "{players}"
            );
        }
        for operators in ["/v1/stages", "/v1/live", "/v1/live?token=x", "/ws"] {
            assert_eq!(
                cors.decide(&uri(operators), &from("https://a.example")),
                CorsDecision::Deny,
                "{operators}"
            );
        }
        let cors = policy(&patterns(&["https://a.example"]), &patterns(&["https://ops.example"]));
        let of = |path, origin| match cors.decide(&uri(path), &from(origin)) {
            CorsDecision::Origin(origin) => origin.is_some(),
            other => panic!("{other:?}"),
        };
        assert!(
            of("/v1/live?stage=s", "https://a.example")
                && !of("/v1/live?stage=s", "https://b.example")
        );
        assert!(
            !of("/v1/live?stage=s", "https://ops.example") && of("/v1/live", "https://ops.example")
        );
        assert!(!of("/v1/live", "https://a.example") && of("/v1/stages/s", "https://ops.example"));
    }

    #[test]
    fn answers_differ_by_origin_only_where_they_do() {
        let dressed = |allowed: CorsDecision| {
            let mut headers = HeaderMap::new();
            allowed.apply(&mut headers);
            let get = |name| headers.get(name).map(|v| v.to_str().unwrap().to_string());
            (get(ACCESS_CONTROL_ALLOW_ORIGIN), get(VARY))
        };
        assert_eq!(dressed(CorsDecision::Deny), (None, None));
        assert_eq!(dressed(CorsDecision::Any), (Some("*".into()), None));
        assert_eq!(dressed(CorsDecision::Origin(None)), (None, Some("origin".into())));
        let this = HeaderValue::from_static("https://a.example");
        let expected = (Some("https://a.example".into()), Some("origin".into()));
        assert_eq!(dressed(CorsDecision::Origin(Some(this))), expected);
    }

    /// The answer echoes the page's own origin, never the pattern.
    #[test]
    fn a_pattern_answers_each_origin_with_itself() {
        let cors =
            policy(&patterns(&["https://*.example.org", "capacitor://localhost", "null"]), &[]);
        for (origin, is_allowed) in [
            ("https://a.example.org", true),
            ("https://example.org", false),
            ("capacitor://localhost", true),
            ("null", true),
        ] {
            let expected = is_allowed.then(|| HeaderValue::from_static(origin));
            assert_eq!(
                cors.decide(&uri("/v1/heartbeat"), &from(origin)),
                CorsDecision::Origin(expected),
                "{origin}"
            );
        }
    }

    #[test]
    fn a_preflight_allows_what_tracing_libraries_send() {
        let cors = policy(&[OriginPattern::Any], &[]);
        let request = Request::options("/v1/heartbeat")
            .header(ORIGIN, "https://a.example")
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .body(())
            .unwrap();
        let decision = cors.decide(request.uri(), request.headers());
        let headers = cors.preflight(&decision, &request).unwrap();
        let allowed: Vec<_> =
            headers[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().split(", ").collect();
        for name in [
            "content-type",
            "content-encoding",
            "authorization",
            "traceparent",
            "tracestate",
            "baggage",
            "sentry-trace",
        ] {
            assert!(allowed.contains(&name), "{name} is not in {allowed:?}");
        }
    }
}
