//! The HTTP server: accepts connections, serves each on a worker, and drains them when the node
//! stops.
//!
//! Connections are accepted up to a bound (`accept`), and handed to a worker (`balancer`). There
//! hyper's HTTP/1 (`connection`) or HTTP/2 (`h2`) serves them. Over TLS the client names the
//! version in the handshake. Otherwise the first bytes show it (`preface`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use housecount_access::admission::connections::AddressConnections;
use housecount_core::limits::REQUEST_WAIT_MS_MAX;
use housecount_engine::internals::ConnectionBalancer;
use housecount_engine::internals::Workers;
use housecount_metrics::{KindLabel, Metrics};
use housecount_net::tls::{Tls, TlsFiles, TlsStream};
use housecount_net::traffic::{ClientTraffic, ClientTransport};
use housecount_wire::accept::{AcceptedSocket, Listener};
use housecount_wire::connection;
use housecount_wire::h2;
use housecount_wire::socket::metered::MeteredStream;
use housecount_wire::socket::preface::{self, Version};
use housecount_wire::socket::stream::MaybeTlsStream;
use tokio::net::{TcpStream, lookup_host};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::yield_now;

use super::connection_context::ConnectionContext;
use super::fast_path::FastPath;
use crate::node::Node;

/// Time for open requests to finish when the node stops.
const DRAIN: Duration = Duration::from_secs(6);
/// Pause after a failed accept (no file descriptors left), in which some may be released.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound port.
#[derive(Debug)]
pub struct BoundListener {
    listener: Listener,
    /// Address of the port, which is the real one also if 0 was asked for.
    pub address: SocketAddr,
    tls: Option<Arc<Tls>>,
}

impl BoundListener {
    /// Binds the port.
    ///
    /// # Errors
    /// Returns one line that names the address.
    pub async fn bind(listen: &str) -> Result<BoundListener, String> {
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::AddrInUse => {
                format!(
                    "`listen` = \"{listen}\": the port is in use; stop the program that uses it, or choose another port with --listen"
                )
            }
            _ => format!("`listen` = \"{listen}\": {e}"),
        };
        let addresses: Vec<SocketAddr> = lookup_host(listen).await.map_err(failed)?.collect();
        let listener = Listener::bind(&addresses).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(BoundListener { listener, address, tls: None })
    }

    /// Serves TLS only, if there are files for it.
    ///
    /// # Errors
    /// Returns one line that names the unusable file.
    pub fn with_tls(self, files: Option<TlsFiles>) -> Result<BoundListener, String> {
        let tls = files.map(Tls::load).transpose()?.map(Arc::new);
        Ok(BoundListener { tls, ..self })
    }

    /// Returns the scheme of its URLs.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// Serves a node on the workers until `stop`, then lets open requests finish. Returns the workers.
pub async fn serve(
    bound: BoundListener,
    node: Arc<Node>,
    workers: Workers,
    stop: watch::Receiver<bool>,
) -> Workers {
    let front = FastPath::new(node.clone(), stop.clone());
    let (metrics, addresses) = (node.engine.metrics.clone(), node.admission.connections.clone());
    let connections_max = node.settings.connections_max;
    metrics.connections_max.set(i64::try_from(connections_max).unwrap_or(i64::MAX));
    // A scrape shows them before the first handshake, too.
    for kind in ["full", "resumed"] {
        drop(metrics.tls_handshakes.get_or_create(&KindLabel { kind }));
    }
    let traffic = node.costs.traffic.clone();
    HttpServer { front, addresses, connections_max, metrics, traffic, workers, stop }
        .run(bound)
        .await
}

/// State of the server that serves connections until the node stops.
struct HttpServer {
    front: FastPath,
    addresses: Arc<AddressConnections>,
    connections_max: usize,
    metrics: Arc<Metrics>,
    traffic: Arc<ClientTraffic>,
    workers: Workers,
    stop: watch::Receiver<bool>,
}

/// A connection to serve, with its context.
type HttpConnection = (std::net::TcpStream, Arc<ConnectionContext<FastPath>>);

/// An admitted connection, and the worker that will serve it.
struct Arrival {
    worker: Handle,
    connection: HttpConnection,
}

impl HttpServer {
    /// Counts a connection and assigns it to a worker. Returns `None` if its address has too many;
    /// the connection is then closed.
    fn admit(
        &self,
        accepted: AcceptedSocket,
        balancer: &Arc<ConnectionBalancer>,
    ) -> Option<Arrival> {
        let AcceptedSocket { stream, peer, permit } = accepted;
        let Ok(counted) = self.addresses.open(peer.ip()) else {
            // Closed without an answer: before a TLS handshake, the node cannot send one.
            self.metrics.connections_refused.inc();
            return None;
        };
        let (worker, place) = balancer.assign();
        self.metrics.connections.inc();
        self.traffic.count_connection();
        let context = ConnectionContext {
            service: self.front.clone(),
            peer: peer.ip(),
            _permit: permit,
            _address: counted,
            _slot: place,
            metrics: self.metrics.clone(),
        };
        Some(Arrival { worker, connection: (stream, Arc::new(context)) })
    }

    async fn run(mut self, bound: BoundListener) -> Workers {
        let tls = bound.tls.clone();
        if let Some(tls) = tls.clone() {
            let stop = self.stop.clone();
            tokio::spawn(async move { tls.watch_files(stop).await });
        }
        let balancer = self.workers.balancer();
        let free = Arc::new(Semaphore::new(self.connections_max));
        let mut is_failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => break,
                accepted = bound.listener.accept_group(&free) => accepted,
            };
            let group = match accepted {
                Ok(group) => group,
                Err(error) => {
                    self.metrics.accept_failures.inc();
                    // One line per outage is enough.
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "can't accept connections; retrying");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            is_failing = false;
            let arrivals = group.into_iter().filter_map(|accepted| self.admit(accepted, &balancer));
            for (worker, connections) in by_worker(arrivals) {
                let (stop, tls) = (self.stop.clone(), tls.clone());
                let traffic = self.traffic.clone();
                // The worker is woken once for all of them.
                worker.spawn(async move {
                    for (stream, context) in connections {
                        let (tls, traffic) = (tls.clone(), traffic.clone());
                        tokio::spawn(serve_one(stream, context, tls, traffic, stop.clone()));
                    }
                });
            }
            // More may wait; tasks that are ready go first.
            yield_now().await;
        }
        drop(bound);
        // Every permit is back when the last connection has ended.
        let ended = free.acquire_many(u32::try_from(self.connections_max).unwrap_or(u32::MAX));
        if tokio::time::timeout(DRAIN, ended).await.is_err() {
            tracing::warn!("some requests did not finish in time");
        }
        self.workers
    }
}

/// Groups connections by the worker that will serve them.
fn by_worker(arrivals: impl Iterator<Item = Arrival>) -> Vec<(Handle, Vec<HttpConnection>)> {
    let mut groups: Vec<(Handle, Vec<HttpConnection>)> = Vec::new();
    for Arrival { worker, connection } in arrivals {
        match groups.iter_mut().find(|(handle, _)| handle.id() == worker.id()) {
            Some((_, connections)) => connections.push(connection),
            None => groups.push((worker, vec![connection])),
        }
    }
    groups
}

/// Serves a connection on this worker, until it ends.
async fn serve_one(
    stream: std::net::TcpStream,
    context: Arc<ConnectionContext<FastPath>>,
    tls: Option<Arc<Tls>>,
    traffic: Arc<ClientTraffic>,
    stop: watch::Receiver<bool>,
) {
    // A socket belongs to the runtime that it is registered with.
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let stream = MeteredStream::new(stream, traffic.of(ClientTransport::Http1).clone());
    let metrics = context.metrics.clone();
    let wait = Duration::from_millis(REQUEST_WAIT_MS_MAX);
    let answer = move |request| FastPath::serve(request, context.clone());
    match tls {
        None => {
            // In a box of its own, which is gone once the connection is served.
            let detected = Box::pin(preface::detect(stream, wait, stop.clone())).await;
            match detected {
                Some((stream, Version::Http1)) => {
                    connection::serve(stream, answer, wait, stop).await;
                }
                Some((mut stream, Version::Http2)) => {
                    stream.set_traffic(traffic.of(ClientTransport::Http2).clone());
                    Box::pin(h2::serve(stream, answer, wait, stop)).await;
                }
                None => {}
            }
        }
        Some(tls) => {
            let secured = Box::pin(tls.accept(stream)).await;
            let Some((stream, is_h2)) = secured else { return };
            count_handshake(&metrics, &stream);
            let mut stream = MaybeTlsStream::Tls(Box::new(stream));
            if is_h2 {
                stream.set_traffic(traffic.of(ClientTransport::Http2).clone());
                Box::pin(h2::serve(stream, answer, wait, stop)).await;
            } else {
                connection::serve(stream, answer, wait, stop).await;
            }
        }
    }
}

/// Counts a handshake over TLS. It is done on the worker, so the accepting task does not wait for
/// it.
fn count_handshake(metrics: &Metrics, stream: &TlsStream<MeteredStream>) {
    let kind = if stream.is_resumed() { "resumed" } else { "full" };
    metrics.tls_handshakes.get_or_create(&KindLabel { kind }).inc();
}
