//! Credentials out of requests: who may call a route, and what a player may say.
//!
//! A request has one credential. Where there are two, of whatever kind, it is refused: what is in
//! front of us may have looked at the other one.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::body;
use super::direct::{self, Sender};
use super::error::Problem;
use super::ws;
use crate::auth::{Claims, Credential, Policy, Scope, TokenError, TokenHash};
use crate::ingest::UnstampedEvent;
use crate::node::Node;

/// The header for programs that can't send `Authorization`.
static API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What is before a token or key in the other header, in small or capital letters.
const SCHEME: &[u8] = b"bearer ";

/// The only credential of a request, if it has one: of `Authorization: PlayerCredential`, or `x-api-key`.
/// With the header it is in. Nobody has looked whether it is text.
fn credential(headers: &HeaderMap) -> Result<Option<(&HeaderValue, &[u8])>, Problem> {
    let bearer = headers.get_all(header::AUTHORIZATION).into_iter().map(|value| (true, value));
    let mut all = bearer.chain(headers.get_all(&API_KEY).into_iter().map(|value| (false, value)));
    let Some((is_bearer, value)) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::unauthorized("more than one key or token was sent; send one"));
    }
    let bytes = value.as_bytes();
    if !is_bearer {
        return Ok(Some((value, bytes.trim_ascii())));
    }
    match bytes.split_at_checked(SCHEME.len()) {
        Some((scheme, credential)) if scheme.eq_ignore_ascii_case(SCHEME) => {
            Ok(Some((value, credential.trim_ascii())))
        }
        _ => Err(Problem::unauthorized("Authorization is not of the form `Bearer KEY`")),
    }
}

fn text(credential: &[u8]) -> Result<&str, Problem> {
    str::from_utf8(credential).map_err(|_| Problem::unauthorized("the credential is not text"))
}

/// Whether whoever sent a request may do what needs a scope. Where there are no keys, anybody may
/// say what players say, and this machine may do the rest, asked directly.
///
/// # Errors
/// 401 without a key, or with an unknown one; 403 if it lacks the scope.
pub fn require_scope(node: &Node, sender: Sender<'_>, scope: Scope) -> Result<(), Problem> {
    if node.auth.operators.is_on() {
        return check_key(node, sender.headers(), scope);
    }
    match scope {
        Scope::Beats => Ok(()),
        Scope::Read | Scope::Stages | Scope::Admin => {
            sender.check(node).map_err(|why| direct::refuse(node, why))
        }
    }
}

/// Judges an operator's call that stays open, as [`require_scope`]. Returns what it lasts as long as, where
/// there are keys.
///
/// # Errors
/// As [`require_scope`].
pub fn admit(node: &Node, sender: Sender<'_>, scope: Scope) -> Result<Option<Credential>, Problem> {
    if !node.auth.operators.is_on() {
        return require_scope(node, sender, scope).map(|()| None);
    }
    let key = key_for(sender.headers(), scope)?;
    Ok(Some(node.auth.operators.admit(key, scope)?))
}

fn check_key(node: &Node, headers: &HeaderMap, scope: Scope) -> Result<(), Problem> {
    Ok(node.auth.operators.check(key_for(headers, scope)?, scope)?)
}

/// The key that a call has brought for this scope, not yet judged.
fn key_for(headers: &HeaderMap, scope: Scope) -> Result<&str, Problem> {
    let missing =
        || Problem::unauthorized(format!("this needs an operator key with the scope `{scope}`"));
    let (_, key) = credential(headers)?.ok_or_else(missing)?;
    text(key)
}

/// In front of every route of a scope; see `super::router`. What operators send must be JSON and
/// say so: so no page of another site can send it without having asked (CORS).
pub async fn require_scope_layer(
    State((node, scope)): State<(Arc<Node>, Scope)>,
    request: Request<Body>,
    next: Next,
) -> Result<Response, Problem> {
    require_scope(&node, Sender::of(&request), scope)?;
    let request = match scope {
        Scope::Beats => request,
        Scope::Read | Scope::Stages | Scope::Admin => {
            body::check_content_type_json(request).await?
        }
    };
    Ok(next.run(request).await)
}

/// Whether these headers may bring many heartbeats at once: of any viewers, so a token can't cover
/// them. It takes an operator key with the scope `beats` wherever operators have keys, and where
/// tokens are needed.
///
/// # Errors
/// As [`require_scope`].
pub fn require_batch_scope(node: &Node, headers: &HeaderMap) -> Result<(), Problem> {
    match node.auth.viewers.policy() {
        Policy::Required => check_key(node, headers, Scope::Beats),
        Policy::Off | Policy::Optional if node.auth.operators.is_on() => {
            check_key(node, headers, Scope::Beats)
        }
        Policy::Off | Policy::Optional => Ok(()),
    }
}

/// Whether these headers may bring a drop-in call of a player, which can't bring a token: where
/// tokens are required, it takes an operator key with the scope `beats`. True if there is such a
/// key, which speaks for any viewer.
///
/// # Errors
/// As [`require_scope`], where a key is needed.
pub fn allow_drop_in(node: &Node, headers: &HeaderMap) -> Result<bool, Problem> {
    let by_key = check_key(node, headers, Scope::Beats);
    match node.auth.viewers.policy() {
        Policy::Required => by_key.map(|()| true),
        Policy::Off | Policy::Optional => Ok(node.auth.operators.is_on() && by_key.is_ok()),
    }
}

/// Whether something may be said in a viewer's name by a call that can't bring a token: with an
/// operator key it may; where there are none, as by a player without a token.
///
/// # Errors
/// 401, for a viewer who has shown a token where they are optional.
pub fn authorize_for(node: &Node, viewer: &str) -> Result<(), Problem> {
    match node.auth.operators.is_on() {
        true => Ok(()),
        false => Ok(node.auth.viewers.authorize_without_token(viewer)?),
    }
}

/// A body's token, or why it is none.
pub type BodyToken<'a> = Result<&'a str, TokenError>;

/// What a player's request says about who it is from.
#[derive(Debug)]
pub enum PlayerCredential {
    /// Nothing, or nobody asks.
    Absent,
    /// A token.
    Token(Token),
    /// Something in its place that can't be taken.
    Invalid(Box<Problem>),
}

/// A token, which is never shown.
pub struct Token {
    /// The header that it came in, which is shared and not copied.
    value: HeaderValue,
    /// Where it is there.
    at: Range<usize>,
    presented: TokenHash,
}

impl Token {
    /// `token` must be a part of `value`.
    fn within(node: &Node, value: &HeaderValue, token: &[u8]) -> Token {
        let from = token.as_ptr().addr() - value.as_bytes().as_ptr().addr();
        Token {
            value: value.clone(),
            at: from..from + token.len(),
            presented: node.auth.viewers.presented(token),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.value.as_bytes().get(self.at.clone()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(token)")
    }
}

impl PlayerCredential {
    /// The bearer by the headers of a request that is `fetch`ed.
    pub fn of_headers(node: &Node, headers: &HeaderMap) -> PlayerCredential {
        if node.auth.viewers.policy() == Policy::Off {
            return PlayerCredential::Absent;
        }
        match credential(headers) {
            Ok(Some((value, token))) => PlayerCredential::Token(Token::within(node, value, token)),
            Ok(None) => PlayerCredential::Absent,
            Err(problem) => PlayerCredential::Invalid(Box::new(problem)),
        }
    }

    /// The bearer of a request that may have no headers of its own: a WebSocket's, an
    /// `EventSource`'s.
    pub fn of_headers_or_query(node: &Node, headers: &HeaderMap, uri: &Uri) -> PlayerCredential {
        if node.auth.viewers.policy() == Policy::Off {
            return PlayerCredential::Absent;
        }
        let mut tokens =
            uri.query().unwrap_or_default().split('&').filter_map(|p| p.strip_prefix("token="));
        match (PlayerCredential::of_headers(node, headers), tokens.next(), tokens.next()) {
            (bearer, None, _) => bearer,
            (PlayerCredential::Absent, Some(token), None) => match HeaderValue::from_str(token) {
                Ok(value) => PlayerCredential::Token(Token::within(node, &value, value.as_bytes())),
                Err(_) => PlayerCredential::Invalid(Box::new(
                    TokenError::Invalid("it is not text").into(),
                )),
            },
            _ => PlayerCredential::Invalid(Box::new(Problem::unauthorized(
                "more than one token was sent; send one",
            ))),
        }
    }

    /// The bearer of a WebSocket, whose token may also be one of the subprotocols that a browser
    /// offers.
    pub fn of_web_socket(node: &Node, headers: &HeaderMap, uri: &Uri) -> PlayerCredential {
        let bearer = PlayerCredential::of_headers_or_query(node, headers, uri);
        if node.auth.viewers.policy() == Policy::Off {
            return bearer;
        }
        let mut tokens = ws::offered_tokens(headers);
        match (bearer, tokens.next(), tokens.next()) {
            (bearer, None, _) => bearer,
            (PlayerCredential::Absent, Some((value, token)), None) => {
                PlayerCredential::Token(Token::within(node, value, token.as_bytes()))
            }
            _ => PlayerCredential::Invalid(Box::new(Problem::unauthorized(
                "more than one token was sent; send one",
            ))),
        }
    }

    /// What the token claims; `None` where none is needed.
    ///
    /// # Errors
    /// 401 if there is none and one is needed, or it isn't good; 503 while no key is known.
    pub async fn claims(self, node: &Node) -> Result<Option<Claims>, Problem> {
        match self.token(node, None)? {
            Some(token) => Ok(Some(node.auth.viewers.verify_with_refresh(text(token)?).await?)),
            None => Ok(None),
        }
    }

    /// Whether the bearer may say this. `in_body`: the token of a body, from `sendBeacon`, which
    /// can't send headers.
    ///
    /// # Errors
    /// As [`PlayerCredential::claims`], and 403 if the token is for something else.
    pub async fn authorize(
        &self,
        node: &Node,
        in_body: Option<BodyToken<'_>>,
        event: &UnstampedEvent<'_>,
    ) -> Result<(), Problem> {
        let viewers = &node.auth.viewers;
        let Some(token) = self.token(node, in_body)? else {
            return Ok(viewers.authorize_without_token(event.viewer)?);
        };
        let presented = match self {
            PlayerCredential::Token(token) => token.presented.clone(),
            PlayerCredential::Absent | PlayerCredential::Invalid(_) => viewers.presented(token),
        };
        match viewers.authorize(token, presented, event) {
            Err(TokenError::UnknownKey) => {
                // In a box: it is seldom needed, and every request would have room for it.
                let claims = Box::pin(viewers.verify_with_refresh(text(token)?)).await?;
                Ok(claims.check(event)?)
            }
            done => Ok(done?),
        }
    }

    /// The token, if there is one; that there is, if one is needed.
    fn token<'a>(
        &'a self,
        node: &Node,
        in_body: Option<BodyToken<'a>>,
    ) -> Result<Option<&'a [u8]>, Problem> {
        match (self, node.auth.viewers.policy(), in_body) {
            (PlayerCredential::Invalid(problem), _, _) => Err(Problem::clone(problem)),
            (_, Policy::Off, _) => Ok(None),
            (PlayerCredential::Token(token), _, _) => Ok(Some(token.bytes())),
            (PlayerCredential::Absent, _, Some(token)) => Ok(Some(token?.as_bytes())),
            (PlayerCredential::Absent, Policy::Required, None) => Err(TokenError::Missing.into()),
            (PlayerCredential::Absent, Policy::Optional, None) => Ok(None),
        }
    }
}

/// Whether whoever sent a request may watch the counts of a stage, or of all (`None`): with an
/// operator key of the scope `read`; with a viewer's token that covers them, also as `?token=`; one
/// stage without anything unless tokens are needed; all of them without anything where neither is
/// needed, from this machine, asked directly. Returns what the watching lasts as long as.
///
/// # Errors
/// 401 or 403 that says what is missing.
pub fn authorize_counts<'a>(
    node: &'a Node,
    request: &Parts,
    stage: Option<&'a str>,
) -> impl Future<Output = Result<Option<Credential>, Problem>> + Send + use<'a> {
    let operators = &node.auth.operators;
    // A token has dots in it, and a key has none.
    let key = credential(&request.headers)
        .map(|given| given.map(|(_, key)| key).filter(|key| !key.contains(&b'.')));
    let by_key = match key {
        Ok(Some(key)) if operators.is_on() => {
            Some(text(key).and_then(|key| Ok(Some(operators.admit(key, Scope::Read)?))))
        }
        Ok(_) => None,
        Err(problem) => Some(Err(problem)),
    };
    let bearer = match by_key {
        None => PlayerCredential::of_headers_or_query(node, &request.headers, &request.uri),
        Some(_) => PlayerCredential::Absent,
    };
    let is_direct = Sender::of_parts(request).check(node);
    async move {
        if let Some(outcome) = by_key {
            return outcome;
        }
        let claims = bearer.claims(node).await?;
        match (&claims, stage) {
            (Some(claims), Some(stage)) if !claims.covers_stage(stage) => {
                Err(Problem::token_mismatch("stage"))
            }
            (Some(claims), None) if !claims.covers_all_stages() => {
                Err(Problem::token_mismatch("stage"))
            }
            (None, None) if node.auth.operators.is_on() => Err(Problem::unauthorized(
                "all stages at once need an operator key with the scope `read`; or name a stage",
            )),
            (None, None) => is_direct.map(|()| None).map_err(|why| direct::refuse(node, why)),
            _ => Ok(claims.map(|claims| claims.credential())),
        }
    }
}
