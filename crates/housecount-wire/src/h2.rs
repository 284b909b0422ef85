//! Connections with HTTP/2, by hyper, with the same bounds as those with HTTP/1.
//!
//! Many requests may be open at once, so timeouts cannot follow the bytes as in `timeouts`. The
//! table holds the open requests, and since when each answer waits for the client to read it. A
//! connection ends once no request was open for as long as one of HTTP/1 may be idle. It ends too
//! if its client reads nothing of an answer.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use housecount_core::limits::{
    ANSWER_READ_MS_MAX, H2_SEND_BUFFER_BYTES_MAX, H2_STREAMS_MAX, H2_WINDOW_BYTES_MAX,
    HEADER_BYTES_MAX,
};
use hyper::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ResponseFuture;

/// Silence of a client with an open request after which a ping asks whether it is there.
/// `PING_WAIT` is its time to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WAIT: Duration = Duration::from_secs(20);
/// Interval of the check whether answers are read.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Time for requests that are open when the connection is to end.
const END_WAIT: Duration = Duration::from_secs(6);

/// Serves a connection until it ends, or the node stops and no request is open.
pub async fn serve<S, A, B>(stream: S, answer: A, idle: Duration, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> ResponseFuture<B> + Send + 'static,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let open = Arc::new(OpenRequests::new());
    let service = {
        let open = open.clone();
        service_fn(move |request| {
            // Counted from here to the end of its answer.
            let mut request_open = open.begin();
            let answered = answer(request);
            async move {
                let response = answered.await;
                request_open.set(Some(Instant::now()));
                Ok::<_, Infallible>(
                    response.map(|body| TrackedBody { body: Box::pin(body), open: request_open }),
                )
            }
        })
    };
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES_MAX)
        .initial_stream_window_size(H2_WINDOW_BYTES_MAX)
        .initial_connection_window_size(H2_WINDOW_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = Box::pin(connection);
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
        is_stalled = open.wait_idle_or_stalled(idle) => if is_stalled { return },
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(END_WAIT, connection).await;
}

/// The open requests of a connection.
#[derive(Debug)]
struct OpenRequests(Mutex<RequestTable>);

#[derive(Debug)]
struct RequestTable {
    next: u64,
    /// Time since when each answer waits for the client, by number; `None` while the client waits.
    open: HashMap<u64, Option<Instant>>,
    /// Time when a request was last opened or closed.
    last: Instant,
}

impl OpenRequests {
    fn new() -> OpenRequests {
        OpenRequests(Mutex::new(RequestTable {
            next: 0,
            open: HashMap::new(),
            last: Instant::now(),
        }))
    }

    fn begin(self: &Arc<OpenRequests>) -> OpenRequest {
        let mut requests = self.0.lock();
        let number = requests.next;
        requests.next += 1;
        requests.last = Instant::now();
        requests.open.insert(number, None);
        OpenRequest { number, of: self.clone() }
    }

    /// Waits until no request was open for `idle`, and returns false. Returns true as soon as an
    /// answer has waited for its client for too long.
    async fn wait_idle_or_stalled(&self, idle: Duration) -> bool {
        loop {
            let until = {
                let requests = self.0.lock();
                let now = Instant::now();
                let within = Duration::from_millis(ANSWER_READ_MS_MAX);
                if requests.open.is_empty() {
                    if requests.last + idle <= now {
                        return false;
                    }
                    // A request may be opened meanwhile, and stall.
                    (requests.last + idle).min(now + within)
                } else {
                    if requests.open.values().flatten().any(|since| *since + within <= now) {
                        return true;
                    }
                    now + LOOK_EVERY
                }
            };
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A request, open until this is dropped.
#[derive(Debug)]
struct OpenRequest {
    number: u64,
    of: Arc<OpenRequests>,
}

impl OpenRequest {
    /// Records since when its answer waits for the client; `None` while the client waits.
    fn set(&mut self, since: Option<Instant>) {
        self.of.0.lock().open.insert(self.number, since);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut requests = self.of.0.lock();
        requests.open.remove(&self.number);
        requests.last = Instant::now();
    }
}

/// A body whose request is open for as long as the body lasts. The library polls it only when the
/// client reads more.
struct TrackedBody<B> {
    body: Pin<Box<B>>,
    open: OpenRequest,
}

impl<B: Body<Data = Bytes>> Body for TrackedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let polled = this.body.as_mut().poll_frame(cx);
        this.open.set(polled.is_ready().then(Instant::now));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use housecount_test::timed_test;
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::ready;

    use http_body_util::{BodyExt, Empty, Full};
    use hyper::Response;
    use hyper::client::conn::http2::{SendRequest, handshake};
    use tokio::io::{DuplexStream, ReadBuf, duplex};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const IDLE: Duration = Duration::from_secs(75);

    type Client = SendRequest<Empty<Bytes>>;

    /// Returns a client of a connection that is answered by `answer`, and the connection.
    async fn connect<A, F, B>(answer: A) -> (Client, JoinHandle<()>, watch::Sender<bool>)
    where
        A: Fn(Request<Incoming>) -> F + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let (near, far) = duplex(64 * 1024);
        let (stop, stopped) = watch::channel(false);
        let answer = move |request| Box::pin(answer(request)) as ResponseFuture<B>;
        let served = tokio::spawn(serve(far, answer, IDLE, stopped));
        let (client, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(near)).await.unwrap();
        tokio::spawn(connection);
        (client, served, stop)
    }

    fn request() -> Request<Empty<Bytes>> {
        Request::get("http://x/").body(Empty::new()).unwrap()
    }

    #[timed_test(start_paused = true)]
    async fn a_connection_is_idle_from_its_last_answer_on() {
        let (mut client, served, _stop) =
            connect(async |_| Response::new(Full::from("hello"))).await;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            let answer = client.send_request(request()).await.unwrap();
            assert_eq!(answer.collect().await.unwrap().to_bytes(), "hello");
        }
        let last = Instant::now();
        served.await.unwrap();
        assert_eq!(last.elapsed().as_secs(), IDLE.as_secs());
    }

    /// A body without an end.
    struct Endless;

    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 4_096])))))
        }
    }

    #[timed_test(start_paused = true)]
    async fn answer_read_ms_max_ends_a_client_that_takes_nothing() {
        let (mut client, served, _stop) = connect(async |_| Response::new(Endless)).await;
        let begun = Instant::now();
        let _unread = client.send_request(request()).await.unwrap();
        served.await.unwrap();
        let took = begun.elapsed().as_millis() as u64;
        assert!((ANSWER_READ_MS_MAX..=2 * ANSWER_READ_MS_MAX).contains(&took), "{took}");
    }

    /// A body without an end that counts the bytes asked of it.
    #[derive(Clone, Default)]
    struct CountedEndless(Arc<AtomicUsize>);

    impl Body for CountedEndless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.fetch_add(1_024, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 1_024])))))
        }
    }

    /// Bytes that fit in the pipe between both sides.
    const PIPE_BYTES: usize = 64 * 1024;

    /// A client's end of a pipe that reads only this many bytes.
    struct StalledClient(DuplexStream, usize);

    impl AsyncRead for StalledClient {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.1 == 0 {
                return Poll::Pending;
            }
            let mut bytes = [0; 1_024];
            let room = bytes.len().min(self.1).min(buf.remaining());
            let mut some = ReadBuf::new(&mut bytes[..room]);
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut some))?;
            buf.put_slice(some.filled());
            self.1 -= some.filled().len();
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for StalledClient {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    /// The client reads the head of an answer, and soon not a byte more.
    #[timed_test(start_paused = true)]
    async fn h2_send_buffer_bytes_max_is_what_one_answer_has_waiting() {
        let (near, far) = duplex(PIPE_BYTES);
        let (_stop, stopped) = watch::channel(false);
        let endless = CountedEndless::default();
        let body = endless.clone();
        let answer = move |_| {
            Box::pin(std::future::ready(Response::new(body.clone())))
                as ResponseFuture<CountedEndless>
        };
        tokio::spawn(serve(far, answer, IDLE, stopped));
        let stalled = TokioIo::new(StalledClient(near, 4_096));
        let (mut client, connection) = handshake(TokioExecutor::new(), stalled).await.unwrap();
        tokio::spawn(connection);
        let _unread = client.send_request(request()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = endless.0.load(Ordering::Relaxed);
        // The pipe, the bytes that h2 is just writing (16 KiB at most), and those that wait behind.
        assert!(asked > PIPE_BYTES, "{asked}");
        assert!(asked <= PIPE_BYTES + 16 * 1024 + H2_SEND_BUFFER_BYTES_MAX + 8_192, "{asked}");
    }

    #[timed_test(start_paused = true)]
    async fn h2_window_bytes_max_is_what_a_client_may_send_unread() {
        let (near, far) = duplex(PIPE_BYTES);
        let (_stop, stopped) = watch::channel(false);
        let unread = |request: Request<Incoming>| {
            Box::pin(async move {
                let _held = request;
                std::future::pending::<Response<Full<Bytes>>>().await
            }) as ResponseFuture<Full<Bytes>>
        };
        tokio::spawn(serve(far, unread, IDLE, stopped));
        let (mut client, connection) =
            handshake::<_, _, CountedEndless>(TokioExecutor::new(), TokioIo::new(near))
                .await
                .unwrap();
        tokio::spawn(connection);
        let endless = CountedEndless::default();
        let _answer = tokio::spawn(
            client.send_request(Request::post("http://x/").body(endless.clone()).unwrap()),
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sent = endless.0.load(Ordering::Relaxed);
        let window = H2_WINDOW_BYTES_MAX as usize;
        assert!((window..=window + 4_096).contains(&sent), "{sent}");
    }

    #[timed_test(start_paused = true)]
    async fn h2_streams_max_lets_others_wait_and_a_stop_waits_for_all() {
        let (asked, go) = (Arc::new(Mutex::new(0_u32)), Arc::new(Notify::new()));
        let (mut client, served, stop) = {
            let (asked, go) = (asked.clone(), go.clone());
            connect(move |_| {
                *asked.lock() += 1;
                let go = go.clone();
                async move {
                    go.notified().await;
                    Response::new(Full::from("hello"))
                }
            })
            .await
        };
        // The client knows the bound once it has read the server's settings.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut answers = tokio::task::JoinSet::new();
        for _ in 0..2 * H2_STREAMS_MAX {
            answers.spawn(client.send_request(request()));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*asked.lock(), H2_STREAMS_MAX);
        for _ in 0..2 * H2_STREAMS_MAX {
            go.notify_one();
            assert!(answers.join_next().await.unwrap().unwrap().is_ok());
        }
        assert_eq!(*asked.lock(), 2 * H2_STREAMS_MAX);
        let last = tokio::spawn(client.send_request(request()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.send(true).unwrap();
        go.notify_one();
        assert!(last.await.unwrap().is_ok());
        served.await.unwrap();
    }
}
