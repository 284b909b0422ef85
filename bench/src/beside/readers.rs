//! Readers: clients that read lists page by page, and subscribers of live counts.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use rustix::event::{Timespec, epoll};

use super::probe::rank;
use crate::http::{Client, get};

/// Pages that clients have read.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    /// Times of first pages, ms.
    pub first_ms: Vec<f64>,
    /// Times of later pages, ms.
    pub next_ms: Vec<f64>,
    /// Time of the first whole list in s, and its number of pages.
    pub whole: Option<(f64, usize)>,
    /// Number of pages read of the first list.
    pub first_list: usize,
    /// Number of pages of the shortest list that was read to its end.
    pub shortest: Option<usize>,
    /// Number of answers that were not a success, or did not arrive within 30 s.
    pub errors: usize,
}

impl Pages {
    /// Returns a quantile over all pages, ms.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        rank(self.first_ms.iter().chain(&self.next_ms).copied().collect(), quantile)
    }

    /// Returns the median of first pages, ms.
    pub fn first(&self) -> Option<f64> {
        rank(self.first_ms.clone(), 0.5)
    }

    /// Returns the median of later pages, ms.
    pub fn next(&self) -> Option<f64> {
        rank(self.next_ms.clone(), 0.5)
    }

    fn add(&mut self, other: Pages) {
        self.first_ms.extend(other.first_ms);
        self.next_ms.extend(other.next_ms);
        self.whole = self.whole.or(other.whole);
        self.first_list = self.first_list.max(other.first_list);
        self.shortest = self.shortest.into_iter().chain(other.shortest).min();
        self.errors += other.errors;
    }
}

/// Reads a list from beginning to end with several clients, repeatedly until `wait` is over.
///
/// # Errors
/// Returns an error if the node can't be reached, or answers a page with a status other than 200,
/// 429 or 5xx.
pub fn read(
    address: SocketAddr,
    path: &str,
    clients: usize,
    wait: Duration,
) -> anyhow::Result<Pages> {
    let until = Instant::now() + wait;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..clients).map(|_| scope.spawn(|| read_one(address, path, until))).collect();
        let mut all = Pages::default();
        for thread in threads {
            all.add(
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a thread that reads pages failed")))?,
            );
        }
        Ok(all)
    })
}

/// Reads a list once, with any number of pages.
///
/// # Errors
/// Returns an error if the node can't be reached, or answers a page with a status other than 200,
/// 429 or 5xx.
pub fn read_whole(address: SocketAddr, path: &str, wait: Duration) -> anyhow::Result<Pages> {
    let mut pages = Pages::default();
    let mut client = Client::connect(address)?;
    list(&mut client, path, Instant::now() + wait, &mut pages)?;
    Ok(pages)
}

fn read_one(address: SocketAddr, path: &str, until: Instant) -> anyhow::Result<Pages> {
    let mut client = Client::connect(address)?;
    let mut pages = Pages::default();
    while Instant::now() < until {
        let is_first = pages.whole.is_none() && pages.first_list == 0;
        let start = Instant::now();
        let mut once = Pages::default();
        let is_whole = list(&mut client, path, until, &mut once)?;
        once.shortest = is_whole.then_some(once.first_list);
        if is_first {
            once.whole = is_whole.then(|| (start.elapsed().as_secs_f64(), once.first_list));
        }
        pages.add(once);
    }
    Ok(pages)
}

/// Reads a list from its first page, and returns whether its end was reached.
fn list(
    client: &mut Client,
    path: &str,
    until: Instant,
    pages: &mut Pages,
) -> anyhow::Result<bool> {
    let mut cursor = String::new();
    loop {
        let start = Instant::now();
        let separator = if path.contains('?') { '&' } else { '?' };
        let request = if cursor.is_empty() {
            get(path)
        } else {
            get(&format!("{path}{separator}cursor={cursor}"))
        };
        let Ok((status, body)) = client.send(&request) else {
            // The client's time limit has passed without an answer.
            pages.errors += 1;
            client.reconnect()?;
            return Ok(false);
        };
        let took_ms = start.elapsed().as_secs_f64() * 1e3;
        if status != 200 {
            pages.errors += 1;
            ensure!(status == 429 || status >= 500, "GET {path}: answered {status}: {body}");
            std::thread::sleep(Duration::from_millis(50));
            return Ok(false);
        }
        if cursor.is_empty() {
            pages.first_ms.push(took_ms)
        } else {
            pages.next_ms.push(took_ms)
        }
        pages.first_list += 1;
        match next_cursor(&body) {
            None => return Ok(true),
            Some(next) => cursor = next,
        }
        if Instant::now() > until {
            return Ok(false);
        }
    }
}

/// Returns the cursor of an answer, encoded for a query. No id or name in these lists contains such
/// text.
fn next_cursor(body: &str) -> Option<String> {
    let at = body.rfind(r#""cursor":""#)? + r#""cursor":""#.len();
    let cursor = body.get(at..)?.split('"').next()?;
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    Some(cursor.bytes().map(encode).collect())
}

/// Subscribers of live counts. One thread reads their streams and drops the bytes.
#[derive(Debug)]
pub struct Subscribers {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Subscribers {
    /// Opens `count` subscribers one after another. Each waits for its answer before the next one
    /// starts.
    ///
    /// # Errors
    /// Returns an error if the node refuses a subscriber.
    pub fn open(address: SocketAddr, path: &str, count: usize) -> anyhow::Result<Subscribers> {
        let request = get(path);
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            let mut stream = TcpStream::connect(address).context("connecting a subscriber")?;
            stream
                .set_read_timeout(Some(Duration::from_secs(30)))
                .context("a read's time limit")?;
            stream.write_all(&request).context("subscribing")?;
            let mut head = [0; 12];
            stream.read_exact(&mut head).context("a subscriber's answer")?;
            ensure!(&head == b"HTTP/1.1 200", "a subscriber was refused");
            stream.set_nonblocking(true).context("a connection that doesn't block")?;
            streams.push(stream);
        }
        let (stop, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (stop, bytes) = (stop.clone(), bytes.clone());
            move || drain(&streams, &stop, &bytes)
        });
        Ok(Subscribers { stop, bytes, thread })
    }

    /// Closes all connections and returns the number of bytes that were read.
    ///
    /// # Errors
    /// Returns an error if the node had closed a connection.
    pub fn close(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(anyhow!("the subscribers' thread failed")))?;
        Ok(self.bytes.load(Ordering::Relaxed))
    }
}

fn drain(streams: &[TcpStream], stop: &AtomicBool, bytes: &AtomicU64) -> anyhow::Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
    for (index, stream) in streams.iter().enumerate() {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&poll, stream, data, epoll::EventFlags::IN).context("epoll")?;
    }
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; 256 * 1024];
    let wait = Timespec::try_from(Duration::from_millis(100)).context("a time to wait")?;
    while !stop.load(Ordering::Relaxed) {
        events.clear();
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll"),
        }
        for event in &events {
            let index = usize::try_from(event.data.u64()).context("an event's number")?;
            let Some(mut stream) = streams.get(index) else { continue };
            match stream.read(&mut buffer) {
                Ok(0) => return Err(anyhow!("the node closed a subscriber's connection")),
                Ok(read) => drop(bytes.fetch_add(read as u64, Ordering::Relaxed)),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error).context("reading a stream"),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_encoded_for_a_query() {
        assert_eq!(
            next_cursor(r#"{"viewers":[],"cursor":"a+/=-_","asOf":1}"#),
            Some("a%2B%2F%3D-_".to_string())
        );
        assert_eq!(next_cursor(r#"{"viewers":[]}"#), None);
    }
}
