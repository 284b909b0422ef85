//! WebSockets: a closed loop of heartbeats, and the memory of idle sockets.
//!
//! Each socket names its stage and viewer once. Then it sends `{}` each time the last message is
//! answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{Ground, Outcome, costs, histogram, introduce, latencies};
use crate::cpu;
use crate::results::{Figures, figure};
use crate::viewers;

/// Number of sockets that are opened at once.
const OPENING: usize = 64;
const ANSWER_WAIT: Duration = Duration::from_secs(30);
const NOT_THERE: &str =
    "this housecount answers GET /v1/ws with 404: it is older than its WebSockets";

type Socket = WebSocketStream<TcpStream>;

/// Returns a configuration with small buffers, because this process has thousands of sockets.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4096)
}

/// Measures a closed loop over all sockets.
pub fn measure(ground: Ground<'_>) -> anyhow::Result<Outcome> {
    runtime()?.block_on(async {
        let Ground { running, sizes, .. } = ground;
        let Some(sockets) = open(running.address()?, sizes.sockets, sizes.stages).await? else {
            return Ok(Outcome::Skipped(NOT_THERE.to_string()));
        };
        let (sockets, _) = beat(sockets, sizes.warm_up).await?;
        let before = running.used()?;
        let start = Instant::now();
        let (sockets, times) = beat(sockets, sizes.measured).await?;
        let took = start.elapsed();
        let spent = running.spent_since(&before)?;
        drop(sockets);

        let beats = times.len() as f64;
        let mut figures = costs(spent, beats);
        figures.extend(latencies(&times));
        figures.insert(figure::RATE, beats / took.as_secs_f64());
        Ok(Outcome::Figures(figures))
    })
}

/// Measures the growth of the server's resident memory with many idle sockets. Each socket has sent
/// one heartbeat.
pub fn measure_idle(ground: Ground<'_>) -> anyhow::Result<Outcome> {
    introduce(ground)?;
    runtime()?.block_on(async {
        let Ground { running, sizes, .. } = ground;
        let (address, pid) = (running.address()?, running.pid()?);
        let Some(first) = open(address, OPENING, sizes.stages).await? else {
            return Ok(Outcome::Skipped(NOT_THERE.to_string()));
        };
        drop(first);
        let resident = || async {
            tokio::task::spawn_blocking(move || cpu::resident(pid))
                .await
                .context("reading memory")?
        };
        let before = resident().await?;
        let Some(sockets) = open(address, sizes.idle_ws, sizes.stages).await? else {
            bail!("GET /v1/ws was there, and is no longer");
        };
        let count = sockets.len().max(1);
        // Messages that the server sends are read, or they would fill its send buffers.
        let readers: Vec<_> = sockets
            .into_iter()
            .map(|mut s| tokio::spawn(async move { while s.next().await.is_some() {} }))
            .collect();
        let after = resident().await?;
        let lost = readers.iter().filter(|reader| reader.is_finished()).count();
        if lost > 0 {
            bail!("the server closed {lost} of {count} idle sockets");
        }
        readers.iter().for_each(tokio::task::JoinHandle::abort);
        let bytes = after.saturating_sub(before) as f64 / count as f64;
        Ok(Outcome::Figures(Figures::from([(figure::CONNECTION_BYTES, bytes)])))
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")
}

/// Opens sockets, each of which sends a heartbeat and waits for the answer. Returns `None` if the
/// server has no such route.
async fn open(
    address: SocketAddr,
    count: usize,
    stages: usize,
) -> anyhow::Result<Option<Vec<Socket>>> {
    let opening = stream::iter(0..count).map(|n| async move {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        let url = format!("ws://{address}/v1/ws");
        let mut socket = match client_async_with_config(url, stream, Some(config())).await {
            Ok((socket, _)) => socket,
            Err(Error::Http(response)) if response.status().as_u16() == 404 => return Ok(None),
            Err(error) => return Err(error).context("opening a WebSocket"),
        };
        socket
            .send(Message::text(viewers::beat(n, stages)))
            .await
            .context("the first heartbeat")?;
        answer(&mut socket).await?;
        anyhow::Ok(Some(socket))
    });
    let opened: Vec<Option<Socket>> = opening.buffer_unordered(OPENING).try_collect().await?;
    Ok(opened.into_iter().collect())
}

/// Sends beats on all sockets for `time`. The times are from sent to answered, us.
async fn beat(
    sockets: Vec<Socket>,
    time: Duration,
) -> anyhow::Result<(Vec<Socket>, Histogram<u64>)> {
    let end = Instant::now() + time;
    let tasks: Vec<_> =
        sockets.into_iter().map(|socket| tokio::spawn(beat_on(socket, end))).collect();
    let mut times = histogram()?;
    let mut sockets = Vec::with_capacity(tasks.len());
    for task in tasks {
        let (socket, took) = task.await.context("a socket's task")??;
        for us in took {
            times.saturating_record(u64::from(us));
        }
        sockets.push(socket);
    }
    Ok((sockets, times))
}

async fn beat_on(mut socket: Socket, end: Instant) -> anyhow::Result<(Socket, Vec<u32>)> {
    let mut took = Vec::new();
    while Instant::now() < end {
        let sent = Instant::now();
        socket.send(Message::text("{}")).await.context("sending a heartbeat")?;
        answer(&mut socket).await?;
        took.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok((socket, took))
}

async fn answer(socket: &mut Socket) -> anyhow::Result<()> {
    loop {
        match timeout(ANSWER_WAIT, socket.next()).await.context("no answer within 30 s")? {
            Some(Ok(Message::Text(_))) => return Ok(()),
            Some(Ok(Message::Close(frame))) => bail!("the server closed a WebSocket: {frame:?}"),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error).context("reading an answer"),
            None => bail!("the server closed a WebSocket"),
        }
    }
}
