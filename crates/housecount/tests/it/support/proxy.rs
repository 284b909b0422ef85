//! A TCP proxy on loopback that can misbehave on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Behaviour of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes all bytes on.
    Open,
    /// Passes no bytes on and closes no connection. Waiting bytes are sent when the proxy is open
    /// again.
    Cut,
    /// Closes its connections, and new ones at once.
    Refusing,
    /// Delays all bytes by this time.
    Slow(Duration),
}

/// TCP proxy that delays, cuts or refuses connections on demand.
pub struct Proxy {
    pub port: u16,
    target: Arc<AtomicU16>,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy before a port of this machine.
    pub async fn before(target: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, seen) = watch::channel(Mode::Open);
        let target = Arc::new(AtomicU16::new(target));
        let task = tokio::spawn(accept(listener, target.clone(), seen));
        Proxy { port, target, mode, task }
    }

    /// Sends new connections to another port.
    pub fn aim(&self, target: u16) {
        self.target.store(target, Ordering::SeqCst);
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: Arc<AtomicU16>, mode: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (mut mode, target) = (mode.clone(), target.clone());
        connections.spawn(async move {
            if mode.wait_for(|mode| *mode != Mode::Cut).await.is_err()
                || *mode.borrow() == Mode::Refusing
            {
                return;
            }
            let target = target.load(Ordering::SeqCst);
            let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            // When one direction ends, so does the other, as when a connection is closed.
            tokio::select! {
                () = pump(from_near, to_far, mode.clone()) => {}
                () = pump(from_far, to_near, mode) => {}
            }
        });
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            refused = async { mode.wait_for(|mode| *mode == Mode::Refusing).await.is_ok() } => {
                if refused { 0 } else { return }
            }
        };
        if read == 0 {
            return;
        }
        let now = match mode.wait_for(|mode| *mode != Mode::Cut).await {
            Ok(mode) => *mode,
            Err(_) => return,
        };
        match now {
            Mode::Refusing => return,
            Mode::Slow(by) => tokio::time::sleep(by).await,
            Mode::Open | Mode::Cut => {}
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
