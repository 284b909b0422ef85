//! Credentials out of requests: who may call a route, and what a player may say.
//!
//! A request has one credential. Where there are two, of whatever kind, it is refused: what is in front of us may have looked at
//! the other one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::error::Problem;
use crate::auth::{Claims, Policy, Scope, TokenError};
use crate::ingest::Said;
use crate::node::Node;

/// The header for programs that can't send `Authorization`.
const API_KEY: &str = "x-api-key";

/// The only credential of a request, if it has one: of `Authorization: Bearer`, or `x-api-key`.
fn credential(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let bearer = headers.get_all(header::AUTHORIZATION).into_iter().map(|value| (true, value));
    let mut all = bearer.chain(headers.get_all(API_KEY).into_iter().map(|value| (false, value)));
    let Some((is_bearer, value)) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::unauthorized("more than one key or token was sent; send one"));
    }
    let text = str::from_utf8(value.as_bytes());
    let text = text.map_err(|_| Problem::unauthorized("the credential is not text"))?;
    if !is_bearer {
        return Ok(Some(text.trim()));
    }
    match text.split_once(' ') {
        Some((scheme, credential)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(credential.trim())),
        _ => Err(Problem::unauthorized("Authorization is not of the form `Bearer KEY`")),
    }
}

/// Whether whoever sent these headers may do what needs a scope. Anybody may where there are no keys.
///
/// # Errors
/// 401 without a key, or with an unknown one; 403 if it lacks the scope.
pub fn allow(node: &Node, headers: &HeaderMap, scope: Scope) -> Result<(), Problem> {
    if !node.auth.operators.is_on() {
        return Ok(());
    }
    check_key(node, headers, scope)
}

fn check_key(node: &Node, headers: &HeaderMap, scope: Scope) -> Result<(), Problem> {
    let missing = || Problem::unauthorized(format!("this needs an operator key with the scope `{scope}`"));
    let key = credential(headers)?.ok_or_else(missing)?;
    Ok(node.auth.operators.check(key, scope)?)
}

/// In front of every route of a scope; see `super::router`.
pub async fn guard(
    State((node, scope)): State<(Arc<Node>, Scope)>,
    request: Request<Body>,
    next: Next,
) -> Result<Response, Problem> {
    allow(&node, request.headers(), scope)?;
    Ok(next.run(request).await)
}

/// Whether these headers may bring many heartbeats at once: of any viewers, so a token can't cover them. Where tokens are
/// needed it takes an operator key with the scope `beats`, also where no other route needs keys.
///
/// # Errors
/// As [`allow`].
pub fn allow_batch(node: &Node, headers: &HeaderMap) -> Result<(), Problem> {
    match node.auth.viewers.policy() {
        Policy::Required => check_key(node, headers, Scope::Beats),
        Policy::Off | Policy::Optional => Ok(()),
    }
}

/// What a player's request says about who it is from.
#[derive(Debug)]
pub enum Bearer {
    /// Nothing, or nobody asks.
    Nothing,
    /// Its token is good.
    Known(Claims),
    /// Its token's key has to be asked for.
    Unknown(Token),
    /// Its token, or something else in its place, can't be taken.
    Refused(Box<Problem>),
}

/// A token, which is never shown.
pub struct Token(Box<str>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(token)")
    }
}

impl Bearer {
    /// The bearer by the headers of a request that is `fetch`ed.
    pub fn of_headers(node: &Node, headers: &HeaderMap) -> Bearer {
        if node.auth.viewers.policy() == Policy::Off {
            return Bearer::Nothing;
        }
        match credential(headers) {
            Ok(Some(token)) => Bearer::of_token(node, token),
            Ok(None) => Bearer::Nothing,
            Err(problem) => Bearer::Refused(Box::new(problem)),
        }
    }

    /// The bearer of a request that may have no headers of its own: a WebSocket's, an `EventSource`'s.
    pub fn of_headers_or_query(node: &Node, headers: &HeaderMap, uri: &Uri) -> Bearer {
        if node.auth.viewers.policy() == Policy::Off {
            return Bearer::Nothing;
        }
        let mut tokens = uri.query().unwrap_or_default().split('&').filter_map(|p| p.strip_prefix("token="));
        match (Bearer::of_headers(node, headers), tokens.next(), tokens.next()) {
            (bearer, None, _) => bearer,
            (Bearer::Nothing, Some(token), None) => Bearer::of_token(node, token),
            _ => Bearer::Refused(Box::new(Problem::unauthorized("more than one token was sent; send one"))),
        }
    }

    fn of_token(node: &Node, token: &str) -> Bearer {
        match node.auth.viewers.verify(token) {
            Ok(claims) => Bearer::Known(claims),
            Err(TokenError::NoKey) => Bearer::Unknown(Token(token.into())),
            Err(error) => Bearer::Refused(Box::new(error.into())),
        }
    }

    /// What the token claims; `None` where none is needed.
    ///
    /// # Errors
    /// 401 if there is none and one is needed, or it isn't good; 503 while no key is known.
    pub async fn claims(self, node: &Node) -> Result<Option<Claims>, Problem> {
        match self {
            Bearer::Known(claims) => Ok(Some(claims)),
            Bearer::Refused(problem) => Err(*problem),
            Bearer::Unknown(Token(token)) => {
                // In a box: it is seldom needed, and every request would have room for it.
                Ok(Some(Box::pin(node.auth.viewers.verify_asking(&token)).await?))
            }
            Bearer::Nothing if node.auth.viewers.policy() == Policy::Required => {
                Err(TokenError::Missing.into())
            }
            Bearer::Nothing => Ok(None),
        }
    }

    /// Whether the bearer may say this. `in_body`: the token of a body, from `sendBeacon`, which can't send headers.
    ///
    /// # Errors
    /// As [`Bearer::claims`], and 403 if the token is for something else.
    pub async fn may_say(self, node: &Node, in_body: Option<&str>, said: &Said<'_>) -> Result<(), Problem> {
        let bearer = match (self, in_body) {
            (Bearer::Nothing, Some(token)) if node.auth.viewers.policy() != Policy::Off => {
                Bearer::of_token(node, token)
            }
            (bearer, _) => bearer,
        };
        match bearer.claims(node).await? {
            Some(claims) => Ok(claims.check(said)?),
            None => Ok(()),
        }
    }
}

/// Whether whoever sent a request may watch the counts of a stage, or of all (`None`): with an operator key of the scope
/// `read`; with a viewer's token that covers them, also as `?token=`; one stage without anything unless tokens are needed; all of them
/// without anything unless tokens or keys are.
///
/// # Errors
/// 401 or 403 that says what is missing.
pub fn may_watch<'a>(
    node: &'a Node,
    request: &Parts,
    stage: Option<&'a str>,
) -> impl Future<Output = Result<(), Problem>> + Send + use<'a> {
    let operators = &node.auth.operators;
    // A token has dots in it, and a key has none.
    let key =
        credential(&request.headers).map(|given| given.filter(|key| !key.contains('.')).map(str::to_string));
    let by_key = match key {
        Ok(Some(key)) if operators.is_on() => Some(operators.check(&key, Scope::Read).map_err(Problem::from)),
        Ok(_) => None,
        Err(problem) => Some(Err(problem)),
    };
    let bearer = match by_key {
        None => Bearer::of_headers_or_query(node, &request.headers, &request.uri),
        Some(_) => Bearer::Nothing,
    };
    async move {
        if let Some(outcome) = by_key {
            return outcome;
        }
        match (bearer.claims(node).await?, stage) {
            (Some(claims), Some(stage)) if !claims.covers_stage(stage) => {
                Err(Problem::token_mismatch("stage"))
            }
            (Some(claims), None) if !claims.covers_all_stages() => Err(Problem::token_mismatch("stage")),
            (None, None) if node.auth.operators.is_on() => Err(Problem::unauthorized(
                "all stages at once need an operator key with the scope `read`; or name a stage",
            )),
            _ => Ok(()),
        }
    }
}
