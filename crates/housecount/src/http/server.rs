//! Connections: accepted up to a bound, served by hyper's HTTP/1, and ended with care when the node stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use housecount_core::limits::{CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADER_READ_MS_MAX, REQUEST_WAIT_MS_MAX};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{Semaphore, watch};

use super::patience::Patient;
use crate::metrics::Metrics;

/// How long open requests are waited for when the node stops.
const DRAIN: Duration = Duration::from_secs(6);
/// After a failed accept (no file descriptors left): long enough for some to be given back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A port that is ours.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    /// Its address; the port is a real one, also if 0 was asked for.
    pub address: SocketAddr,
}

impl Bound {
    /// Takes the port.
    ///
    /// # Errors
    /// One line that names the address.
    pub async fn take(listen: &str) -> Result<Bound, String> {
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::AddrInUse => {
                format!(
                    "`listen` = \"{listen}\": the port is taken; stop what has it, or choose another with --listen"
                )
            }
            _ => format!("`listen` = \"{listen}\": {e}"),
        };
        let addresses: Vec<SocketAddr> = lookup_host(listen).await.map_err(failed)?.collect();
        let listener = TcpListener::bind(addresses.as_slice()).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Bound { listener, address })
    }
}

/// Serves until `stop`, then lets open requests finish.
pub async fn run(bound: Bound, router: Router, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
    run_with(CONNECTIONS_MAX, bound, router, metrics, stop).await;
}

async fn run_with(
    connections_max: usize,
    bound: Bound,
    router: Router,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) {
    let free = Arc::new(Semaphore::new(connections_max));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&bound.listener, &free) => accepted,
        };
        let Some((stream, permit)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let connection = serve(stream, router.clone(), Duration::from_millis(REQUEST_WAIT_MS_MAX));
        let connection = graceful.watch(connection);
        let metrics = metrics.clone();
        metrics.connections.inc();
        tokio::spawn(async move {
            // How a connection ends is the client's business.
            let _ = connection.await;
            metrics.connections.dec();
            drop(permit);
        });
    }
    drop(bound);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}

/// The next connection, once there is room for it. None if it couldn't be accepted.
async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = free.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            None
        }
    }
}

type Served = http1::Connection<TokioIo<Patient<TcpStream>>, TowerToHyperService<Router>>;

fn serve(stream: TcpStream, router: Router, request_wait: Duration) -> Served {
    let stream = Patient::new(stream, Duration::from_millis(HEADER_READ_MS_MAX));
    http1::Builder::new()
        .timer(TokioTimer::new())
        // A client that has said all it will say still gets its answer.
        .half_close(true)
        .header_read_timeout(request_wait)
        .max_buf_size(HEADER_BYTES_MAX.max(8 * 1024))
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// With the patience of a test: in service it is `REQUEST_WAIT_MS_MAX`.
    #[tokio::test]
    async fn request_wait_ms_max_ends_idle_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let served = tokio::spawn(serve(stream, Router::new(), Duration::from_millis(50)));
        let _ = served.await.unwrap();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
    }

    #[tokio::test]
    async fn connections_max_lets_others_wait() {
        let bound = Bound::take("127.0.0.1:0").await.unwrap();
        let (address, metrics) = (bound.address, Arc::new(Metrics::default()));
        let router = Router::new().route("/", get(|| async { "hello" }));
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(run_with(2, bound, router, metrics.clone(), stopped));
        let ask = async |stream: &mut TcpStream| {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
        };
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        ask(&mut first).await;
        ask(&mut second).await;
        let mut third = TcpStream::connect(address).await.unwrap();
        assert_eq!(metrics.connections.get(), 2);
        drop(first);
        ask(&mut third).await;
        assert_eq!(metrics.connections.get(), 2);
    }
}
