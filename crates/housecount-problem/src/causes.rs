//! Problems by their causes: errors of the other crates.

use axum::http::StatusCode;
use housecount_access::admission::AdmissionError;
use housecount_access::auth::operators::KeyError;
use housecount_access::auth::{ClaimMismatch, CredentialEnd, TokenError};
use housecount_backend::error::{ErrorKind, StoreError};
use housecount_core::fold::Stream;
use housecount_core::ids::IdError;
use housecount_core::limits::SESSION_BURST;
use housecount_engine::internals::{IngestError, StageClosed};
use housecount_reports::read::ReportError;

use crate::problem::{ActiveStream, DISPLACED, FULL_RETRY_MS, Problem};

impl From<IdError> for Problem {
    fn from(error: IdError) -> Problem {
        let what = match error {
            IdError::Empty { what }
            | IdError::TooLong { what, .. }
            | IdError::BadCharacter { what, .. } => what,
        };
        let code = match what {
            "stage" => "invalid_stage",
            "viewer" => "invalid_viewer",
            _ => "invalid_session",
        };
        Problem::new(StatusCode::BAD_REQUEST, code, error.to_string())
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Problem {
        let refused = |code, detail: String| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
        let invalid = |why: &str| refused("token_invalid", format!("token rejected: {why}"));
        let ways = "Authorization: Bearer, \"token\" in the body of a beacon, the subprotocol housecount.token.TOKEN of a WebSocket";
        match error {
            TokenError::Missing => {
                refused("token_missing", format!("a viewer's token is needed ({ways})"))
            }
            TokenError::Shown => {
                let why = "this viewer has sent a token that has not expired, so it needs one";
                refused("token_missing", format!("{why} ({ways})"))
            }
            TokenError::Invalid(why) => invalid(why),
            TokenError::UnknownKey => invalid("this node does not know the key that signed it"),
            TokenError::Expired => {
                refused("token_expired", "the token has expired; get another one".to_string())
            }
            TokenError::KeysUnavailable => Problem::unavailable(
                "keys_unavailable",
                "this node has not fetched the keys for tokens yet",
            ),
            TokenError::Mismatch(mismatch) => mismatch.into(),
        }
    }
}

impl From<ClaimMismatch> for Problem {
    fn from(ClaimMismatch(what): ClaimMismatch) -> Problem {
        Problem::token_mismatch(what)
    }
}

impl From<CredentialEnd> for Problem {
    fn from(end: CredentialEnd) -> Problem {
        let ended = |code, detail: &str| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
        match end {
            CredentialEnd::TokenExpired => {
                ended("token_expired", "the token has expired; get another one")
            }
            CredentialEnd::LinkExpired => KeyError::Expired.into(),
            CredentialEnd::KeyRemoved => ended(
                "key_removed",
                "the operator key, or the key that signed the token, was removed; get another one",
            ),
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Problem {
        match error {
            KeyError::Unknown => Problem::unauthorized("this node does not know the operator key"),
            KeyError::MissingScope(scope) => {
                let detail = format!("the operator key lacks the scope `{scope}`");
                Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
            }
            KeyError::Expired => Problem::new(
                StatusCode::UNAUTHORIZED,
                "link_expired",
                "the time of the share link is over; ask for another one",
            ),
        }
    }
}

impl From<IngestError> for Problem {
    fn from(refused: IngestError) -> Problem {
        match refused {
            IngestError::Starting => {
                Problem::unavailable("starting", "this node has not reached the log yet")
            }
            IngestError::QueueFull => {
                Problem::unavailable("overloaded", "too many heartbeats are waiting for the log")
            }
            IngestError::AppendPending => Problem::unavailable(
                "log_unavailable",
                "the log has not accepted the heartbeat in time; it may still be counted; send the next one after Retry-After",
            ),
            IngestError::NotTaken => Problem::unavailable(
                "log_unavailable",
                "the log does not accept heartbeats now; this one was dropped; send the next one after Retry-After",
            ),
            IngestError::Stopping => {
                Problem::unavailable("stopping", "this node is stopping; try another node")
            }
        }
    }
}

impl From<AdmissionError> for Problem {
    fn from(error: AdmissionError) -> Problem {
        match error {
            AdmissionError::TooManyRequests { retry_ms } => {
                let detail =
                    "too many requests from this address; wait Retry-After seconds, then retry"
                        .to_string();
                Problem::too_many("too_many_requests", retry_ms, detail)
            }
            AdmissionError::TooManyConnections { max } => {
                let detail =
                    format!("this address has reached its limit of {max} open connections");
                Problem::too_many("too_many_connections", FULL_RETRY_MS, detail)
            }
            AdmissionError::TooManyBeats { retry_ms, per_second, .. } => {
                let detail = format!(
                    "a session may send {per_second} heartbeats and leaves per second, {SESSION_BURST} at once; send a heartbeat every `nextMs`"
                );
                Problem::too_many("too_many_beats", retry_ms, detail)
            }
            AdmissionError::TooManySessions { max, scope: place, retry_ms } => {
                let detail = format!("this viewer has reached the limit of {max} sessions {place}");
                Problem::too_many("too_many_sessions", retry_ms, detail)
            }
            AdmissionError::StageFull { max } => {
                let detail = format!("the stage has reached its limit of {max} viewers");
                Problem::too_many("stage_full", FULL_RETRY_MS, detail)
            }
            AdmissionError::TooManyStages { retry_ms, max } => {
                let detail = format!("the limit of {max} new stages per minute is reached");
                Problem::too_many("too_many_stages", retry_ms, detail)
            }
            AdmissionError::TooManyStreams { max, active } => {
                let detail = format!(
                    "this viewer has reached its limit of {max} streams; stop one of `active`, or name the one to take over as `replaces`"
                );
                let stream = |Stream { since, stage, session }| ActiveStream {
                    stage,
                    session,
                    since: since.0,
                };
                let mut active = active;
                active.sort_unstable();
                let active = active.into_iter().map(stream).collect();
                Problem::new(StatusCode::CONFLICT, "too_many_streams", detail).with_active(active)
            }
            AdmissionError::Displaced => {
                let detail = "another session of this viewer has taken this one's place; to watch here again, start a new session";
                Problem::new(StatusCode::CONFLICT, DISPLACED, detail)
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error.kind() {
            ErrorKind::Corrupt => {
                tracing::error!(%error, "stored data is corrupt");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "corrupt_data", error.to_string())
            }
            ErrorKind::Unsupported => Problem::no_cold(),
            _ => {
                // The store logs once that it fails (`cold/outage.rs`), and the answer has the
                // reason.
                tracing::debug!(%error, "a request failed");
                Problem::unavailable("cold_tier_unavailable", error.to_string())
            }
        }
    }
}

impl From<StageClosed> for Problem {
    fn from(not_open: StageClosed) -> Problem {
        match not_open {
            StageClosed::NotConfigured(stage) => {
                let detail = format!("stage `{stage}` is not configured, and stages.auto is false");
                Problem::new(StatusCode::NOT_FOUND, "stage_not_found", detail)
            }
            StageClosed::Unknown(why) => Problem::unavailable("cold_tier_unavailable", why),
        }
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Problem {
        match error {
            ReportError::TooManyViewers | ReportError::TooManyValues => {
                Problem::new(StatusCode::BAD_REQUEST, "invalid_query", error.to_string())
            }
            ReportError::Store(error) => error.into(),
        }
    }
}
