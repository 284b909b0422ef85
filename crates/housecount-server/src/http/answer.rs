//! Answers: the body of one, and JSON that takes long to write.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Json;
use axum::response::IntoResponse;
use bytes::Bytes;
use housecount_backend::threads::blocking::run_at_low_priority;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;

use super::error::Problem;

/// Makes a JSON answer on a background thread, for pages of the ledger. A thousand rows, or a
/// hundred thousand steps, take a worker longer than a heartbeat may wait.
///
/// # Errors
/// Returns a 503 `Problem` if the background thread does not return the answer.
pub(super) async fn json_in_background<T: Serialize>(
    make: impl FnOnce() -> T + Send + 'static,
) -> Result<axum::response::Response, Problem> {
    let made = run_at_low_priority(move || Json(make()).into_response()).await;
    made.map_err(|_| {
        Problem::unavailable("overloaded", "the answer could not be written; try again")
    })
}

/// Body of an answer: one that is complete in memory, or one of the router's.
#[derive(Debug)]
pub enum ResponseBody {
    /// The complete body.
    Whole(Full<Bytes>),
    /// A body of the router.
    Routed(axum::body::Body),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            ResponseBody::Whole(body) => {
                Pin::new(body).poll_frame(cx).map_err(|never: Infallible| match never {})
            }
            ResponseBody::Routed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Whole(body) => body.is_end_stream(),
            ResponseBody::Routed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Whole(body) => body.size_hint(),
            ResponseBody::Routed(body) => body.size_hint(),
        }
    }
}
