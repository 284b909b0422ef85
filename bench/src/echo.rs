//! The floor of WebSockets: a server that answers each message at once.
//!
//! Its answers are as long as housecount's. It has one current-thread runtime per core, as
//! housecount does.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// An answer as long as housecount's.
const ANSWER: &str = r#"{"stage":"stage-1","viewers":10000,"sessions":10000,"asOf":1790000000000,"complete":true,"recovering":false,"nextMs":30000}"#;

/// Serves until the process is killed.
pub fn serve(port: u16) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads: Vec<_> =
        (0..cores).map(|_| std::thread::spawn(move || serve_core(port))).collect();
    for thread in threads {
        if let Ok(ended) = thread.join() {
            ended?;
        }
    }
    Ok(())
}

fn serve_core(port: u16) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    runtime.block_on(async {
        let listener = listen(port).with_context(|| format!("listening on 127.0.0.1:{port}"))?;
        loop {
            let (stream, _) = listener.accept().await.context("accepting a connection")?;
            tokio::spawn(async move {
                // A client that breaks off does not affect the measurement.
                let _ = echo(stream).await;
            });
        }
    })
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

async fn echo(stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() {
            socket.send(Message::Text(Utf8Bytes::from_static(ANSWER))).await?;
        }
    }
    Ok(())
}
