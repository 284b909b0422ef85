//! Query parameters of `/v1`: a parameter that a route does not know is refused, never ignored.
//!
//! The parameters of a route are read from its description in `/openapi.json`, so that the document
//! and the behaviour cannot differ. Upgrades of `/v1/ws` (`fast_path`) and `/v1/live` (`live`) are
//! checked outside of that. Their parameters are in constants.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::http::{Method, Request};
use axum::middleware::Next;
use axum::response::Response;
use housecount_core::limits::QUERY_NAME_SHOWN_BYTES_MAX;
use percent_encoding::percent_decode_str;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr, Schema};

use super::error::Problem;
use super::extract::{bad_query, broken_escape};
use crate::nearest::nearest;

/// A query parameter of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    name: Cow<'static, str>,
    /// Whether the parameter may be given more than once.
    is_repeatable: bool,
}

impl Parameter {
    /// Creates a parameter that may be given at most once.
    #[must_use]
    pub const fn once(name: &'static str) -> Parameter {
        Parameter { name: Cow::Borrowed(name), is_repeatable: false }
    }

    /// Creates a parameter that may be repeated.
    #[must_use]
    pub const fn repeatable(name: &'static str) -> Parameter {
        Parameter { name: Cow::Borrowed(name), is_repeatable: true }
    }
}

/// The query parameters of each route and method.
#[derive(Debug)]
pub struct RouteParameters(HashMap<(String, Method), Vec<Parameter>>);

impl RouteParameters {
    /// Returns the parameters that a document describes, of its paths under `/v1`.
    #[must_use]
    pub fn of(api: &OpenApi) -> RouteParameters {
        let mut known = HashMap::new();
        for (path, item) in api.paths.paths.iter().filter(|(path, _)| path.starts_with("/v1/")) {
            let PathItem { get, post, patch, delete, .. } = item;
            let operations = [
                (Method::GET, get),
                (Method::POST, post),
                (Method::PATCH, patch),
                (Method::DELETE, delete),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    known.insert((path.clone(), method), parameters(operation));
                }
            }
        }
        RouteParameters(known)
    }
}

fn parameters(operation: &Operation) -> Vec<Parameter> {
    let described = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        // No parameter of this API is described elsewhere.
        RefOr::Ref(_) => None,
    });
    let in_query = described.filter(|parameter| parameter.parameter_in == ParameterIn::Query);
    let known = in_query.map(|parameter| Parameter {
        name: parameter.name.clone().into(),
        is_repeatable: matches!(parameter.schema, Some(RefOr::T(Schema::Array(_)))),
    });
    known.collect()
}

/// Checks the query before the handler reads it. This is middleware around routes of `/v1`.
///
/// # Errors
/// Returns the errors of [`check`].
pub async fn check_query(
    State(known): State<Arc<RouteParameters>>,
    path: MatchedPath,
    request: Request<Body>,
    next: Next,
) -> Result<Response, Problem> {
    if let Some(query) = request.uri().query() {
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        if let Some(known) = known.0.get(&(path.as_str().to_string(), method.clone())) {
            check(query, known)?;
        }
    }
    Ok(next.run(request).await)
}

/// Checks that a query has only known parameters, each as often as it may be given, and is properly
/// encoded.
///
/// # Errors
/// Returns a 400 `Problem` `invalid_query` that names the parameter, and the nearest known one.
pub fn check(query: &str, known: &[Parameter]) -> Result<(), Problem> {
    if let Some(at) = broken_escape(query) {
        return Err(bad_query(format!("the query's percent-encoding is broken at byte {at}")));
    }
    let mut given: Vec<&Parameter> = Vec::new();
    for pair in pairs(query) {
        let (name, _) = pair?;
        let parameter =
            known.iter().find(|known| known.name == name).ok_or_else(|| unknown(&name, known))?;
        if !parameter.is_repeatable && given.contains(&parameter) {
            return Err(bad_query(format!("`{name}` is given more than once; send it once")));
        }
        given.push(parameter);
    }
    Ok(())
}

fn unknown(name: &str, known: &[Parameter]) -> Problem {
    let shown = &name[..name.floor_char_boundary(QUERY_NAME_SHOWN_BYTES_MAX)];
    let names = || known.iter().map(|parameter| &*parameter.name);
    let hint = match nearest(names(), shown) {
        _ if known.is_empty() => "it has no parameters".to_string(),
        Some(near) if known.iter().any(|known| known.is_repeatable && known.name == near) => {
            format!("did you mean `{near}`? Repeat it for several: {near}=A&{near}=B")
        }
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its parameters are {}", names().collect::<Vec<_>>().join(", ")),
    };
    bad_query(format!("`{shown}` is not a query parameter of this call: {hint}"))
}

/// Returns the names and values of a query, decoded.
///
/// # Errors
/// Returns a 400 `Problem` for each pair that is not UTF-8.
pub fn pairs(query: &str) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), Problem>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(name)?, decoded(value)?))
    })
}

fn decoded(text: &str) -> Result<Cow<'_, str>, Problem> {
    let not_utf8 = |_| bad_query("the query is not UTF-8 after percent-decoding");
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Ok(Cow::Owned(
            percent_decode_str(&spaced).decode_utf8().map_err(not_utf8)?.into_owned(),
        ));
    }
    percent_decode_str(text).decode_utf8().map_err(not_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Parameter; 3] =
        [Parameter::repeatable("stage"), Parameter::once("totals"), Parameter::once("from")];

    fn refused(query: &str) -> String {
        check(query, &KNOWN).unwrap_err().detail().to_string()
    }

    #[test]
    fn known_parameters_pass() {
        for query in
            ["", "&", "stage=a", "stage=a&stage=b%2Fc&totals=true", "from=", "%73tage=a", "stage"]
        {
            assert_eq!(check(query, &KNOWN), Ok(()), "{query}");
        }
    }

    #[test]
    fn unknown_and_repeated_ones_are_named() {
        for (query, name, hint) in [
            (
                "stage[]=a",
                "`stage[]`",
                "did you mean `stage`? Repeat it for several: stage=A&stage=B",
            ),
            ("stage%5B%5D=a", "`stage[]`", "did you mean `stage`?"),
            ("stage=a&form=1", "`form`", "did you mean `from`?"),
            ("since=1", "`since`", "its parameters are stage, totals, from"),
            ("=1", "``", "its parameters are"),
            ("totals=true&stage=a&totals=false", "`totals`", "more than once"),
        ] {
            let detail = refused(query);
            assert!(detail.contains(name) && detail.contains(hint), "{query}: {detail}");
        }
        let none = check("x=1", &[]).unwrap_err();
        assert!(none.detail().ends_with("it has no parameters"), "{none:?}");
    }

    #[test]
    fn query_name_shown_bytes_max_bounds_what_is_repeated() {
        let name = format!("x{}", "é".repeat(QUERY_NAME_SHOWN_BYTES_MAX));
        let detail = refused(&format!("{name}=1"));
        let shown = detail.matches('é').count();
        assert_eq!(shown, (QUERY_NAME_SHOWN_BYTES_MAX - 1) / 2, "{detail}");
    }

    #[test]
    fn a_query_that_cannot_be_decoded_is_refused() {
        assert!(refused("stage=a%zz").contains("byte 7"));
        assert!(refused("stage=%ff").contains("not UTF-8"));
        assert!(refused("%ff=a").contains("not UTF-8"));
        let decoded: Vec<_> = pairs("a+b=c%2B+d&e").map(Result::unwrap).collect();
        assert_eq!(decoded, [("a b".into(), "c+ d".into()), ("e".into(), "".into())]);
    }
}
