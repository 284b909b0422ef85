//! A connection that speaks HTTP/1: hyper's, served on one worker after the other.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use housecount_core::limits::{HEADER_BYTES_MAX, HEADER_READ_MS_MAX};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1::{self, UpgradeableConnection};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::coop::unconstrained;

use super::patience::{EndlessAnswer, Patient};
use super::server::Answering;
use super::stream::Stream;

/// Serves a connection until it ends, or the node stops and no request is open, or elsewhere if it has `moved`.
pub fn serve<A, B, M>(
    stream: Stream,
    answer: A,
    moved: M,
    request_wait: Duration,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send
where
    A: Fn(Request<Incoming>) -> Answering<B> + Send + 'static,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    M: Fn() -> Option<Handle> + Send + Sync + 'static,
{
    let stream = Patient::new(stream, Duration::from_millis(HEADER_READ_MS_MAX), request_wait);
    let under_way = stream.under_way();
    // Nobody is served elsewhere in the middle of a request.
    let moved = {
        let under_way = under_way.clone();
        move || if under_way.is_on() { None } else { moved() }
    };
    let service = service_fn(move |request| {
        under_way.begin();
        let (answered, under_way) = (answer(request), under_way.clone());
        async move {
            let response = answered.await;
            if response.extensions().get::<EndlessAnswer>().is_some() {
                under_way.set_endless();
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        // A client that has said all it will say still gets its answer; `Patient` says what ends an endless one.
        .half_close(true)
        // `Patient` has the time.
        .header_read_timeout(None)
        .max_buf_size(HEADER_BYTES_MAX.max(8 * 1024))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // In a box, since a task has room for whatever is moved in it twice.
    go_on(Box::pin(connection), moved, stop)
}

type Connection<S> = UpgradeableConnection<TokioIo<Patient<Stream>>, S>;

/// Why a connection isn't polled any longer.
enum Left {
    Over,
    Stopping,
    For(Handle),
}

/// Serves one here for as long as it is served here.
async fn go_on<S, B, M>(mut connection: Pin<Box<Connection<S>>>, moved: M, mut stop: watch::Receiver<bool>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send + 'static,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    M: Fn() -> Option<Handle> + Send + Sync + 'static,
{
    let word = stop.clone();
    let left = {
        // Unconstrained: it is asked once, and must not put that off because the connection has done much.
        let mut stopping = pin!(unconstrained(stop.wait_for(|stop| *stop)));
        let mut is_awaited = false;
        // How a connection ends is the client's business.
        poll_fn(|cx| {
            // Before what has come is read, and not after an answer, behind which others wait for theirs.
            if let Some(elsewhere) = moved() {
                return Poll::Ready(Left::For(elsewhere));
            }
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Left::Over);
            }
            // This task is woken when the word comes. All that is to be known with each request is whether it has: waiting anew
            // takes a lock that all connections share.
            if is_awaited && !word.has_changed().unwrap_or(true) {
                return Poll::Pending;
            }
            is_awaited = true;
            stopping.as_mut().poll(cx).map(|_| Left::Stopping)
        })
        .await
    };
    match left {
        Left::Over => {}
        Left::Stopping => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
        Left::For(elsewhere) => go_on_at(&elsewhere, connection, moved, word),
    }
}

/// As [`go_on`] (apart from it, since it begins itself anew).
fn go_on_at<S, B, M>(
    runtime: &Handle,
    connection: Pin<Box<Connection<S>>>,
    moved: M,
    stop: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send + 'static,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    M: Fn() -> Option<Handle> + Send + Sync + 'static,
{
    runtime.spawn(go_on(connection, moved, stop));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use http_body_util::Full;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::*;
    use crate::moderation::Moderation;
    use crate::socket::Socket;
    use crate::tls::{Tls, TlsFiles};
    use crate::workers::{Workers, here};

    fn by_worker(_: Request<Incoming>) -> Answering<Full<Bytes>> {
        Box::pin(async { Response::new(Full::from(format!("by worker {}", here()))) })
    }

    /// With the patience of a test: in service it is `REQUEST_WAIT_MS_MAX`.
    #[tokio::test]
    async fn request_wait_ms_max_ends_idle_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(serve(
            Stream::Plain(Socket::new(stream)),
            by_worker,
            || None,
            Duration::from_millis(50),
            stopped,
        ))
        .await
        .unwrap();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
    }

    /// An answer of which nothing is ever sent but its head.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    fn silence(_: Request<Incoming>) -> Answering<Silent> {
        Box::pin(async {
            let mut response = Response::new(Silent);
            response.extensions_mut().insert(EndlessAnswer);
            response
        })
    }

    /// Nothing is written by which it could be noticed.
    #[tokio::test]
    async fn an_endless_answer_ends_when_its_client_closes() {
        for is_half_closed in [false, true] {
            let (mut client, server) = pair().await;
            let stream = Stream::Plain(Socket::new(TcpStream::from_std(server).unwrap()));
            let (_stop, stopped) = watch::channel(false);
            let served = tokio::spawn(serve(stream, silence, || None, Duration::from_secs(60), stopped));
            client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut head = [0; 12];
            client.read_exact(&mut head).await.unwrap();
            assert_eq!(&head, b"HTTP/1.1 200");
            if is_half_closed {
                client.shutdown().await.unwrap();
                served.await.unwrap();
            } else {
                drop(client);
                served.await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_connection_goes_on_at_another_worker() {
        let (client, server) = pair().await;
        goes_on(async { client }, server, async |socket| Stream::Plain(socket)).await;
    }

    #[tokio::test]
    async fn so_does_one_that_speaks_tls() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let tls = Tls::load(files).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let (client, server) = pair().await;
        let client = async {
            let name = ServerName::try_from("localhost").unwrap();
            TlsConnector::from(config).connect(name, client).await.unwrap()
        };
        let secured = async move |socket| {
            let (stream, _) = tls.accept(socket).await.unwrap();
            Stream::Secured(Box::new(stream))
        };
        goes_on(client, server, secured).await;
    }

    async fn pair() -> (TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0.into_std().unwrap())
    }

    /// Whose request is answered goes on at the other worker.
    async fn goes_on<C, F>(
        client: impl Future<Output = C>,
        server: std::net::TcpStream,
        over: impl FnOnce(Socket) -> F + Send + 'static,
    ) where
        C: AsyncRead + AsyncWrite + Unpin,
        F: Future<Output = Stream> + Send,
    {
        let workers = Workers::start(2, Moderation::default());
        let homes = workers.homes();
        let is_heard = Arc::new(AtomicBool::new(false));
        let answer = {
            let is_heard = is_heard.clone();
            move |request| {
                is_heard.store(true, Ordering::Relaxed);
                by_worker(request)
            }
        };
        let others = homes.clone();
        let moved =
            move || is_heard.swap(false, Ordering::Relaxed).then(|| others[3 - here()].runtime.clone());
        let (_stop, stopped) = watch::channel(false);
        homes[1].runtime.spawn(async move {
            let socket = Socket::new(TcpStream::from_std(server).unwrap());
            serve(over(socket).await, answer, moved, Duration::from_secs(60), stopped).await;
        });
        let mut client = client.await;
        for by in ["1", "2", "1", "2"] {
            client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let expected = format!("\r\n\r\nby worker {by}");
            let mut answer = Vec::new();
            while !answer.ends_with(expected.as_bytes()) {
                let mut bytes = [0; 256];
                let read = client.read(&mut bytes).await.unwrap();
                answer.extend_from_slice(&bytes[..read]);
                assert!(read > 0 && answer.len() < 256, "{}", String::from_utf8_lossy(&answer));
            }
        }
        drop((client, homes));
        workers.stop().await;
    }
}
