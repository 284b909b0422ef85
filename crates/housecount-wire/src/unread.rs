//! Bodies that a handler left unread: read to their end before the answer. Otherwise the answer
//! announces that the connection ends.
//!
//! If a server answers and closes while its client still sends, the client's next write fails. Many
//! clients then never read the answer. The bytes that are read here are discarded.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use housecount_core::limits::{UNREAD_BODY_BYTES_MAX, UNREAD_BODY_MS_MAX};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use parking_lot::Mutex;

/// Properties of a request that are needed to end it after its headers are gone.
#[derive(Clone, Copy, Debug)]
pub struct RequestEnd {
    /// The client sends its body only after `100 Continue`, which it must not get any more.
    awaits_continue: bool,
    /// Other versions have no header that ends a connection.
    is_http1: bool,
}

impl RequestEnd {
    /// Creates the end of a request whose body was not read.
    pub fn of(version: Version, headers: &HeaderMap) -> RequestEnd {
        RequestEnd {
            awaits_continue: headers.contains_key(header::EXPECT),
            ..RequestEnd::of_begun(version)
        }
    }

    /// Creates the end of a request whose body was polled. A client that awaits `100 Continue` has
    /// got it.
    pub fn of_begun(version: Version) -> RequestEnd {
        RequestEnd { awaits_continue: false, is_http1: version <= Version::HTTP_11 }
    }

    /// Reads the rest of the body, or makes the answer the connection's last.
    pub async fn settle<B, T>(self, body: &mut B, response: &mut Response<T>)
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.is_end_stream() {
            return;
        }
        // A body that already took too long gets no more time.
        let is_hopeless = self.awaits_continue || response.status() == StatusCode::REQUEST_TIMEOUT;
        let is_read = !is_hopeless && {
            let within = Duration::from_millis(UNREAD_BODY_MS_MAX);
            tokio::time::timeout(within, drain(body)).await.unwrap_or(false)
        };
        if !is_read && self.is_http1 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Reads a body to its end. Returns false if it is too large, or breaks off.
async fn drain<B>(body: &mut B) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut left = UNREAD_BODY_BYTES_MAX;
    if body.size_hint().lower() > left as u64 {
        return false;
    }
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { return true };
        let bytes = frame.ok().map(|frame| frame.data_ref().map_or(0, Bytes::len));
        match bytes.and_then(|bytes| left.checked_sub(bytes)) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

/// A body that is lent to a handler. If the handler drops it before its end, it goes back to its
/// lender.
#[derive(Debug)]
pub struct LentBody<B: Body> {
    body: Option<B>,
    has_begun: bool,
    lent: Option<Lent<B>>,
}

/// A body that came back, and whether it had been polled.
type Lent<B> = Arc<Mutex<Option<(B, bool)>>>;

/// The lender of a body, which waits for it.
#[derive(Debug)]
pub struct Lender<B> {
    lent: Lent<B>,
    version: Version,
    end: RequestEnd,
}

/// Lends a request's body. Returns no lender for a request without a body.
pub fn lend<B: Body>(request: Request<B>) -> (Request<LentBody<B>>, Option<Lender<B>>) {
    let (version, end) = (request.version(), RequestEnd::of(request.version(), request.headers()));
    let lent = (!request.body().is_end_stream()).then(Lent::<B>::default);
    let lender = lent.clone().map(|lent| Lender { lent, version, end });
    (request.map(|body| LentBody { body: Some(body), has_begun: false, lent }), lender)
}

impl<B: Body<Data = Bytes> + Unpin> Lender<B> {
    /// Settles the rest of the body as [`RequestEnd::settle`] does, once the handler has answered.
    pub async fn settle<T>(self, response: &mut Response<T>) {
        let Some((mut body, has_begun)) = self.lent.lock().take() else { return };
        let end = if has_begun { RequestEnd::of_begun(self.version) } else { self.end };
        end.settle(&mut body, response).await;
    }
}

impl<B: Body> Drop for LentBody<B> {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Some(lent)) = (unread, &self.lent) {
            *lent.lock() = Some((body, self.has_begun));
        }
    }
}

impl<B: Body + Unpin> Body for LentBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.has_begun = true;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use housecount_test::timed_test;
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use super::*;

    /// A body in pieces, of which the last may never come.
    struct Pieces {
        pieces: VecDeque<usize>,
        is_announced: bool,
        hangs: bool,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.pieces.pop_front() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(vec![7; bytes].into())))),
                None if self.hangs => Poll::Pending,
                None => Poll::Ready(None),
            }
        }

        fn is_end_stream(&self) -> bool {
            self.pieces.is_empty() && !self.hangs
        }

        fn size_hint(&self) -> SizeHint {
            let whole: usize = self.pieces.iter().sum();
            if self.is_announced { SizeHint::with_exact(whole as u64) } else { SizeHint::default() }
        }
    }

    fn body(pieces: &[usize]) -> Pieces {
        Pieces { pieces: pieces.iter().copied().collect(), is_announced: false, hangs: false }
    }

    fn post(body: Pieces, headers: &[(&'static str, &'static str)]) -> Request<Pieces> {
        let post = headers
            .iter()
            .fold(Request::post("/"), |post, (name, value)| post.header(*name, *value));
        post.body(body).unwrap()
    }

    /// Answers a request whose handler drops its body after this number of pieces. Returns whether
    /// the connection ends.
    async fn ends(request: Request<Pieces>, pieces: usize, status: u16) -> bool {
        let (request, lender) = lend(request);
        let mut lent = request.into_body();
        for _ in 0..pieces {
            let _ = lent.frame().await;
        }
        drop(lent);
        let mut response = Response::builder().status(status).body(()).unwrap();
        if let Some(lender) = lender {
            lender.settle(&mut response).await;
        }
        response.headers().contains_key(header::CONNECTION)
    }

    #[timed_test(start_paused = true)]
    async fn unread_body_bytes_max_is_read_before_the_answer() {
        let max = UNREAD_BODY_BYTES_MAX;
        for (pieces, expected) in
            [(vec![], false), (vec![1, 2], false), (vec![max], false), (vec![1, max], true)]
        {
            assert_eq!(ends(post(body(&pieces), &[]), 0, 415).await, expected, "{pieces:?}");
        }
        let announced = Pieces { is_announced: true, ..body(&[max + 1]) };
        assert!(ends(post(announced, &[]), 0, 404).await, "the body is not read at all");
        assert!(
            !ends(post(body(&[max, max]), &[]), 1, 413).await,
            "the handler has read a part of the body"
        );
    }

    #[timed_test(start_paused = true)]
    async fn unread_body_ms_max_is_how_long_it_may_take() {
        let hangs = || Pieces { hangs: true, ..body(&[1]) };
        let began = tokio::time::Instant::now();
        assert!(ends(post(hangs(), &[]), 0, 415).await);
        assert_eq!(began.elapsed().as_millis() as u64, UNREAD_BODY_MS_MAX);
        assert!(ends(post(hangs(), &[]), 1, 408).await);
        assert_eq!(
            began.elapsed().as_millis() as u64,
            UNREAD_BODY_MS_MAX,
            "the body's time is used up"
        );
    }

    #[timed_test]
    async fn a_client_that_expects_100_continue_gets_the_answer_only() {
        let post = || post(body(&[1, 2]), &[("expect", "100-continue")]);
        assert!(ends(post(), 0, 401).await);
        assert!(!ends(post(), 1, 413).await, "the client has received 100 Continue");
    }

    #[timed_test]
    async fn http2_has_no_such_header() {
        let mut request = post(body(&[UNREAD_BODY_BYTES_MAX, 1]), &[]);
        *request.version_mut() = Version::HTTP_2;
        assert!(!ends(request, 0, 415).await);
    }
}
