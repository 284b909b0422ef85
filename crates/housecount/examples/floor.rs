//! The floor under a heartbeat: the same HTTP stack, answering 200 with a body of the same size and
//! doing nothing else.
//!
//! `floor PORT` takes any request on 127.0.0.1:PORT, reads its body, and answers. One
//! current-thread runtime a core, as housecount serves; docs/PERFORMANCE.md compares the two.
//! `floor PORT ws` echoes WebSocket messages instead, on the library that housecount uses.

#![allow(clippy::expect_used)] // it is a tool for measuring, and ends when something is wrong

use std::convert::Infallible;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::runtime::{Builder, Handle};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// As long as housecount's.
const ANSWER: &str = "{\"viewers\":100000,\"sessions\":100000,\"asOf\":1790000000000,\"complete\":true,\"recovering\":false,\"nextMs\":30000}";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let port: u16 =
        arguments.next().and_then(|port| port.parse().ok()).expect("usage: floor PORT [ws]");
    let is_ws = arguments.next().is_some_and(|word| word == "ws");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers: Vec<(Handle, Arc<AtomicUsize>)> = (0..cores).map(|_| worker()).collect();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    loop {
        let (stream, _) = listener.accept().expect("a connection");
        let least = workers.iter().min_by_key(|(_, open)| open.load(Ordering::Relaxed));
        let (handle, open) = least.expect("a worker");
        open.fetch_add(1, Ordering::Relaxed);
        let open = open.clone();
        handle.spawn(async move {
            if is_ws {
                echo(stream).await
            } else {
                serve(stream).await
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn worker() -> (Handle, Arc<AtomicUsize>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    (handle, Arc::default())
}

fn own(stream: TcpStream) -> tokio::net::TcpStream {
    stream.set_nonblocking(true).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    tokio::net::TcpStream::from_std(stream).expect("a socket")
}

async fn serve(stream: TcpStream) {
    let io = TokioIo::new(own(stream));
    // In one piece, as housecount writes small answers.
    let _ = http1::Builder::new()
        .half_close(true)
        .writev(false)
        .serve_connection(io, service_fn(answer))
        .await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn echo(stream: TcpStream) {
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
    let Ok(mut socket) =
        tokio_tungstenite::accept_async_with_config(own(stream), Some(config)).await
    else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() || socket.send(message).await.is_err() {
            return;
        }
    }
}
