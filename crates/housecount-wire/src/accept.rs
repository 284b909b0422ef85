//! The listening socket: a queue as long as the system allows, and connections accepted in groups.
//!
//! The system drops a client's SYN while the queue is full. The client waits for 1 s, then 3 s,
//! then 7 s, before it sends the SYN again. So the queue is long, and one turn of the accepting
//! task takes many connections out of it. Other tasks of the thread get their turn in between, and
//! a worker is woken once per group.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use housecount_core::limits::{ACCEPTED_AT_ONCE_MAX, LISTEN_QUEUE_MAX};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A connection that was accepted, and the room that it takes.
#[derive(Debug)]
pub struct AcceptedSocket {
    /// Registered with no runtime yet.
    pub stream: std::net::TcpStream,
    /// Address and port of the client.
    pub peer: SocketAddr,
    /// One of the node's connections.
    pub permit: OwnedSemaphorePermit,
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on the first of these addresses that can be had.
    ///
    /// # Errors
    /// Returns the system's error for the last address.
    pub fn bind(addresses: &[SocketAddr]) -> io::Result<Listener> {
        let mut failure =
            io::Error::new(io::ErrorKind::InvalidInput, "the host name has no address");
        for address in addresses {
            match listen(*address) {
                Ok(listener) => return Ok(Listener(listener)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Its address, with the port that the system chose.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Waits for a connection and for room in `free`, and accepts what else waits: at most
    /// [`ACCEPTED_AT_ONCE_MAX`].
    ///
    /// # Errors
    /// Returns the system's error if no connection can be accepted.
    pub async fn accept_group(&self, free: &Arc<Semaphore>) -> io::Result<Vec<AcceptedSocket>> {
        let permit = free.clone().acquire_owned().await.map_err(io::Error::other)?;
        let first = self.0.accept().await?;
        let mut group = Vec::with_capacity(4);
        group.extend(accepted(first, permit));
        for _ in 1..ACCEPTED_AT_ONCE_MAX {
            let Ok(permit) = free.clone().try_acquire_owned() else { break };
            // The next call meets a failure again, and reports it.
            let waiting = poll_fn(|cx| match self.0.poll_accept(cx) {
                Poll::Ready(Ok(next)) => Poll::Ready(Some(next)),
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
            });
            let Some(next) = waiting.await else { break };
            group.extend(accepted(next, permit));
        }
        Ok(group)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As `TcpListener::bind` does: without it, a restarted node waits for connections of the one
    // before. On Windows it would share the port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_QUEUE_MAX)
}

/// Returns `None` if the client has already gone.
fn accepted(
    (stream, peer): (TcpStream, SocketAddr),
    permit: OwnedSemaphorePermit,
) -> Option<AcceptedSocket> {
    let _ = stream.set_nodelay(true);
    Some(AcceptedSocket { stream: stream.into_std().ok()?, peer, permit })
}

#[cfg(test)]
mod tests {
    use housecount_test::timed_test;
    use std::time::Duration;

    use super::*;

    async fn listener() -> (Listener, SocketAddr) {
        let listener = Listener::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// More clients than the 1,024 of tokio's own listener connect before any is accepted. None of
    /// them has to send a second SYN.
    #[cfg(target_os = "linux")]
    #[timed_test]
    async fn listen_queue_max_or_somaxconn_is_how_many_may_wait() {
        let system_max = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let clients =
            system_max.trim().parse::<usize>().unwrap().min(LISTEN_QUEUE_MAX as usize).min(1_500);
        let (listener, address) = listener().await;
        // The bound is for a test that hangs.
        let connect =
            |_| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(60)).unwrap();
        let open: Vec<_> = (0..clients).map(connect).collect();
        assert_eq!(queued(address), clients);
        drop((open, listener));
    }

    /// Number of connections that wait for a listener.
    #[cfg(target_os = "linux")]
    fn queued(address: SocketAddr) -> usize {
        let local = format!(":{:04X} 00000000:0000 0A ", address.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let line = table.lines().find(|line| line.contains(&local)).unwrap();
        let queues = line.split_whitespace().nth(4).unwrap();
        usize::from_str_radix(queues.split_once(':').unwrap().1, 16).unwrap()
    }

    #[timed_test]
    async fn accepted_at_once_max_lets_other_tasks_have_their_turn() {
        let (listener, address) = listener().await;
        let free = Arc::new(Semaphore::new(1_000));
        let mut clients = Vec::new();
        for _ in 0..ACCEPTED_AT_ONCE_MAX + 3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let group = listener.accept_group(&free).await.unwrap();
        assert_eq!(group.len(), ACCEPTED_AT_ONCE_MAX);
        let rest = listener.accept_group(&free).await.unwrap();
        assert_eq!((rest.len(), free.available_permits()), (3, 1_000 - ACCEPTED_AT_ONCE_MAX - 3));
        drop((group, rest));
        assert_eq!(free.available_permits(), 1_000);
    }

    #[timed_test]
    async fn connections_max_lets_others_wait_in_the_queue() {
        let (listener, address) = listener().await;
        let free = Arc::new(Semaphore::new(2));
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut group = listener.accept_group(&free).await.unwrap();
        assert_eq!(group.len(), 2);
        let mut next = std::pin::pin!(listener.accept_group(&free));
        let waits = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending()));
        assert!(waits.await);
        group.pop();
        assert_eq!(next.await.unwrap().len(), 1);
    }
}
