//! A connection with HTTP/1, by hyper.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use housecount_core::limits::{HEADER_BYTES_MAX, HEADER_READ_MS_MAX};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::task::coop::unconstrained;

use crate::ResponseFuture;
use crate::socket::stream::MaybeTlsStream;
use crate::timeouts::{EndlessAnswer, TimeoutStream};

/// Serves a connection until it ends, or the node stops and no request is open.
pub async fn serve<A, B>(
    stream: MaybeTlsStream,
    answer: A,
    request_wait: Duration,
    mut stop: watch::Receiver<bool>,
) where
    A: Fn(Request<Incoming>) -> ResponseFuture<B> + Send + 'static,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let stream =
        TimeoutStream::new(stream, Duration::from_millis(HEADER_READ_MS_MAX), request_wait);
    let under_way = stream.under_way();
    let service = service_fn(move |request| {
        under_way.set();
        let (answered, under_way) = (answer(request), under_way.clone());
        async move {
            let response = answered.await;
            if response.extensions().get::<EndlessAnswer>().is_some() {
                under_way.set_endless();
            }
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                under_way.set_upgrade();
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        // A client that has closed its sending side still gets its answer. `TimeoutStream` ends an
        // endless one.
        .half_close(true)
        // `TimeoutStream` keeps the time.
        .header_read_timeout(None)
        .max_buf_size(HEADER_BYTES_MAX.max(8 * 1024))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // In a box, since a task reserves room twice for a value that is moved in it.
    let mut connection = Box::pin(connection);
    let word = stop.clone();
    let is_over = {
        // Unconstrained: it is polled once, and tokio must not defer that because the connection
        // has used up its budget.
        let mut stopping = pin!(unconstrained(stop.wait_for(|stop| *stop)));
        let mut is_awaited = false;
        // A connection's error concerns only the client.
        poll_fn(|cx| {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            // This task is woken when the stop signal comes. Each request only checks whether it
            // has come. A new wait would take a lock that all connections share.
            if is_awaited && !word.has_changed().unwrap_or(true) {
                return Poll::Pending;
            }
            is_awaited = true;
            stopping.as_mut().poll(cx).map(|_| false)
        })
        .await
    };
    if !is_over {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

#[cfg(test)]
mod tests {
    use housecount_test::timed_test;
    use std::pin::Pin;
    use std::sync::Arc;

    use http_body_util::Full;
    use hyper::Response;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::socket::metered::MeteredStream;

    fn plain(stream: TcpStream) -> MaybeTlsStream {
        MaybeTlsStream::Plain(MeteredStream::new(stream, Arc::default()))
    }

    fn empty(_: Request<Incoming>) -> ResponseFuture<Full<Bytes>> {
        Box::pin(async { Response::default() })
    }

    /// Uses a short time for the test; in service it is `REQUEST_WAIT_MS_MAX`.
    #[timed_test]
    async fn request_wait_ms_max_ends_idle_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(serve(plain(stream), empty, Duration::from_millis(50), stopped))
            .await
            .unwrap();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
    }

    /// A body that never sends anything, so that only the head of the answer is sent.
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

    fn silence(_: Request<Incoming>) -> ResponseFuture<Silent> {
        Box::pin(async {
            let mut response = Response::new(Silent);
            response.extensions_mut().insert(EndlessAnswer);
            response
        })
    }

    /// No write would show that the client has closed.
    #[timed_test]
    async fn an_endless_answer_ends_when_its_client_closes() {
        for is_half_closed in [false, true] {
            let (mut client, server) = pair().await;
            let stream = plain(server);
            let (_stop, stopped) = watch::channel(false);
            let served = tokio::spawn(serve(stream, silence, Duration::from_secs(60), stopped));
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

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }
}
