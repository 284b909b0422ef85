//! Credentials of requests: which routes a caller may call, and which events a player may send.
//!
//! A request has one credential. A request with two, of any kind, is refused, because a proxy in
//! front of the node may have checked the other one.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use housecount_access::auth::{Claims, Credential, KeyGrant, Policy, Scope, TokenError, TokenHash};
use housecount_core::ids::StageId;
use housecount_engine::internals::UnstampedEvent;

use super::access::StageAccess;
use super::body;
use super::direct::{self, Sender};
use super::error::Problem;
use super::ws;
use crate::node::Node;

/// Header for programs that cannot send `Authorization`.
static API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Text before a token or key in `Authorization`, compared without regard to case.
const SCHEME: &[u8] = b"bearer ";

/// Returns the only credential of a request, if it has one, with the header that it is in. This is
/// `Authorization: Bearer`, or `x-api-key`. Whether the credential is text has not been checked.
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

/// Checks that the sender of a request has a scope. Returns the stages that it may read or change.
/// On a node without operator keys, any sender has the scope of players. Only this machine, asked
/// directly, has the other scopes.
///
/// # Errors
/// Returns a 401 `Problem` without a key, or with an unknown one. Returns a 403 one if the key
/// lacks the scope.
pub fn require_scope(
    node: &Node,
    sender: Sender<'_>,
    scope: Scope,
) -> Result<StageAccess, Problem> {
    if node.auth.operators.is_on() {
        return check_key(node, sender.headers(), scope);
    }
    match scope {
        Scope::Beats => Ok(StageAccess::default()),
        Scope::Read | Scope::Stages | Scope::Admin => {
            direct::check(node, sender).map_err(|why| direct::refuse(node, why))?;
            Ok(StageAccess::default())
        }
    }
}

/// Checks an operator's call that stays open and covers all stages, as [`require_scope`] does.
/// Returns its credential where operators have keys. The call must end when the credential does.
///
/// # Errors
/// Returns the errors of [`require_scope`], and a 403 `Problem` for a limited key.
pub fn admit(node: &Node, sender: Sender<'_>, scope: Scope) -> Result<Option<Credential>, Problem> {
    if !node.auth.operators.is_on() {
        return require_scope(node, sender, scope).map(|_| None);
    }
    let KeyGrant { credential, limit } =
        node.auth.operators.admit(key_for(sender.headers(), scope)?, scope)?;
    StageAccess::new(limit).require_all()?;
    Ok(Some(credential))
}

fn check_key(node: &Node, headers: &HeaderMap, scope: Scope) -> Result<StageAccess, Problem> {
    let granted = node.auth.operators.admit(key_for(headers, scope)?, scope)?;
    Ok(StageAccess::new(granted.limit))
}

/// Returns the key that a call has brought for this scope, not yet checked.
fn key_for(headers: &HeaderMap, scope: Scope) -> Result<&str, Problem> {
    let missing = || {
        Problem::unauthorized(format!("this call needs an operator key with the scope `{scope}`"))
    };
    let (_, key) = credential(headers)?.ok_or_else(missing)?;
    text(key)
}

/// Calls of limited keys on a group of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedCalls {
    /// Handlers filter what they read and check what they change.
    Filtered,
    /// The calls cover all stages, so limited keys are refused.
    Refused,
}

/// Checks the scope in front of every route of a scope (`super::router`). The body of an operator's
/// call must be JSON by its content type. So no page of another site can send one without a CORS
/// preflight.
///
/// The answer of a handler that has not taken its `StageAccess` is not filtered, so a limited key
/// does not get it.
pub async fn require_scope_layer(
    State((node, scope, limited)): State<(Arc<Node>, Scope, LimitedCalls)>,
    mut request: Request<Body>,
    next: Next,
) -> Result<Response, Problem> {
    let access = require_scope(&node, Sender::of(&request), scope)?;
    if limited == LimitedCalls::Refused {
        access.require_all()?;
    }
    request.extensions_mut().insert(access.clone());
    let request = match scope {
        Scope::Beats => request,
        Scope::Read | Scope::Stages | Scope::Admin => {
            body::check_content_type_json(request).await?
        }
    };
    let response = next.run(request).await;
    // A query that the route does not know is refused before its handler.
    if !access.is_taken() && response.status() != StatusCode::BAD_REQUEST {
        access.require_all()?;
    }
    Ok(response)
}

/// Checks that a request with these headers may send many heartbeats at once. They may be of any
/// viewers, so a token cannot cover them. The request needs an operator key with the scope `beats`
/// wherever operators have keys, and where tokens are required. Returns the stages that they may be
/// for.
///
/// # Errors
/// Returns the errors of [`require_scope`].
pub fn require_batch_scope(node: &Node, headers: &HeaderMap) -> Result<StageAccess, Problem> {
    match node.auth.viewers.policy() {
        Policy::Required => check_key(node, headers, Scope::Beats),
        Policy::Off | Policy::Optional if node.auth.operators.is_on() => {
            check_key(node, headers, Scope::Beats)
        }
        Policy::Off | Policy::Optional => Ok(StageAccess::default()),
    }
}

/// Checks that a request with these headers may be a drop-in call of a player. Such a call cannot
/// bring a token, so where tokens are required it needs an operator key with the scope `beats`.
/// Returns true if it has such a key, which covers any viewer.
///
/// # Errors
/// Returns the errors of [`require_scope`], where a key is needed.
pub fn allow_drop_in(node: &Node, headers: &HeaderMap) -> Result<bool, Problem> {
    let by_key = check_key(node, headers, Scope::Beats);
    match node.auth.viewers.policy() {
        Policy::Required => by_key.map(|_| true),
        Policy::Off | Policy::Optional => Ok(node.auth.operators.is_on() && by_key.is_ok()),
    }
}

/// Checks that a call which cannot bring a token may send an event of a viewer. The caller of a
/// node with operator keys has shown one, so it may. On other nodes, the rule is that of a player
/// without a token.
///
/// # Errors
/// Returns a 401 `Problem` for a viewer who has shown a token where tokens are optional.
pub fn authorize_for(node: &Node, viewer: &str) -> Result<(), Problem> {
    match node.auth.operators.is_on() {
        true => Ok(()),
        false => Ok(node.auth.viewers.authorize_without_token(viewer)?),
    }
}

/// Token of a body, or the error of a malformed one.
pub type BodyToken<'a> = Result<&'a str, TokenError>;

/// Credential of a player's request.
#[derive(Debug)]
pub enum PlayerCredential {
    /// The request has none, or the node checks none.
    Absent,
    /// A token.
    Token(Token),
    /// A credential that cannot be accepted, with the problem to answer.
    Invalid(Box<Problem>),
}

/// A token, which is never shown.
pub struct Token {
    /// The header that it came in, which is shared and not copied.
    value: HeaderValue,
    /// Place of the token in the header's value.
    at: Range<usize>,
    presented: TokenHash,
}

impl Token {
    /// Creates a token from `token`, which must be a part of `value`.
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
    /// Returns the credential in the headers of a request, such as one by `fetch`.
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

    /// Returns the credential of a request that may lack headers of its own, such as a WebSocket's
    /// or an `EventSource`'s. The token may also be in the query.
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

    /// Returns the credential of a WebSocket. Its token may also be one of the subprotocols that a
    /// browser offers.
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

    /// Returns the claims of the token; `None` where no token is needed. `in_body` is the token of
    /// a body.
    ///
    /// # Errors
    /// Returns a 401 `Problem` if a needed token is missing, or the token is not valid. Returns a
    /// 503 one while no key is known.
    pub async fn claims(
        &self,
        node: &Node,
        in_body: Option<BodyToken<'_>>,
    ) -> Result<Option<Claims>, Problem> {
        match self.token(node, in_body)? {
            Some(token) => Ok(Some(node.auth.viewers.verify_with_refresh(text(token)?).await?)),
            None => Ok(None),
        }
    }

    /// Checks that the credential covers this event. `in_body` is the token of a body from
    /// `sendBeacon`, which cannot send headers. Returns the claims of a token that had to be
    /// verified for it.
    ///
    /// # Errors
    /// Returns the errors of [`PlayerCredential::claims`]. Returns a 403 `Problem` if the token is
    /// for something else.
    pub async fn authorize(
        &self,
        node: &Node,
        in_body: Option<BodyToken<'_>>,
        event: &UnstampedEvent<'_>,
    ) -> Result<Option<Box<Claims>>, Problem> {
        let viewers = &node.auth.viewers;
        let Some(token) = self.token(node, in_body)? else {
            viewers.authorize_without_token(event.ids.viewer)?;
            return Ok(None);
        };
        let presented = match self {
            PlayerCredential::Token(token) => token.presented.clone(),
            PlayerCredential::Absent | PlayerCredential::Invalid(_) => viewers.presented(token),
        };
        match viewers.authorize(token, presented, event) {
            Err(TokenError::UnknownKey) => {
                // In a box, since it is seldom needed, and every request would reserve room for it.
                let claims = Box::pin(viewers.verify_with_refresh(text(token)?)).await?;
                claims.check(event)?;
                Ok(Some(Box::new(claims)))
            }
            done => Ok(done?),
        }
    }

    /// Returns the token, if there is one. Fails if one is needed and missing.
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

/// Permission to watch counts.
#[derive(Debug, Default)]
pub struct CountsGrant {
    /// Credential with which the stream of counts must end.
    pub credential: Option<Credential>,
    /// Stages that the watcher is limited to.
    pub access: StageAccess,
    /// Whether the watcher has shown an operator key.
    pub is_operator: bool,
}

/// Checks that the sender of a request may watch the counts of a stage, or of all (`None`). It may
/// with an operator key of the scope `read`, and with a viewer's token that covers them, also as
/// `?token=`.
///
/// Without a credential, it may watch one stage unless tokens are required. It may then watch all
/// stages only where neither keys nor tokens are needed, from this machine, asked directly.
///
/// # Errors
/// Returns a 401 or 403 `Problem` that names what is missing.
pub fn authorize_counts<'a>(
    node: &'a Node,
    request: &Parts,
    stage: Option<&'a StageId>,
) -> impl Future<Output = Result<CountsGrant, Problem>> + Send + use<'a> {
    let operators = &node.auth.operators;
    // A token has dots in it, and a key does not.
    let key = credential(&request.headers)
        .map(|given| given.map(|(_, key)| key).filter(|key| !key.contains(&b'.')));
    let by_key = match key {
        Ok(Some(key)) if operators.is_on() => {
            Some(text(key).and_then(|key| Ok(operators.admit(key, Scope::Read)?)))
        }
        Ok(_) => None,
        Err(problem) => Some(Err(problem)),
    };
    let bearer = match by_key {
        None => PlayerCredential::of_headers_or_query(node, &request.headers, &request.uri),
        Some(_) => PlayerCredential::Absent,
    };
    let is_direct = direct::check(node, Sender::of_parts(request));
    async move {
        if let Some(granted) = by_key {
            let KeyGrant { credential, limit } = granted?;
            let access = StageAccess::new(limit);
            match stage {
                Some(stage) => access.check_now(node, stage).await?,
                None => access.require_all().map_err(|_| Problem::key_limited_to_named_stages())?,
            }
            return Ok(CountsGrant { credential: Some(credential), access, is_operator: true });
        }
        let claims = bearer.claims(node, None).await?;
        match (&claims, stage) {
            (Some(claims), Some(stage)) if !claims.covers_stage(stage.as_str()) => {
                return Err(Problem::token_mismatch("stage"));
            }
            (Some(claims), None) if !claims.covers_all_stages() => {
                return Err(Problem::token_mismatch("stage"));
            }
            (None, None) if node.auth.operators.is_on() => {
                return Err(Problem::unauthorized(
                    "counts of all stages need an operator key with the scope `read`; send one, or name a stage",
                ));
            }
            (None, None) => is_direct.map_err(|why| direct::refuse(node, why))?,
            _ => {}
        }
        let credential = claims.map(|claims| claims.credential());
        Ok(CountsGrant { credential, ..CountsGrant::default() })
    }
}
