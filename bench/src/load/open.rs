//! Open loop: heartbeats are due at fixed times, whether or not the server keeps up, as an
//! audience's are.
//!
//! Latency is counted from the time a heartbeat was due, so that one that waited behind a slow
//! answer tells the whole wait (no coordinated omission). One thread, epoll with a timeout in
//! nanoseconds: an async runtime's timers tick in milliseconds, which is as much as is to be
//! measured.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};

use super::{Ground, costs, histogram, latencies};
use crate::http::{self, post};
use crate::results::{Figures, figure};
use crate::viewers;

/// Connections at up to [`CALM_RATE`] a second.
const CONNECTIONS_CALM: usize = 256;
/// Beyond, so that a heartbeat seldom finds its connection taken.
const CONNECTIONS_BRISK: usize = 1_024;
const CALM_RATE: usize = 5_000;
/// How long the last answers may take.
const DRAIN_WAIT: Duration = Duration::from_secs(10);

/// What is sent when.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    /// One after another, and from the start again.
    pub requests: &'a [Vec<u8>],
    /// How many in all.
    pub count: usize,
    /// How many a second.
    pub rate: usize,
}

/// What became of them.
#[derive(Debug)]
pub struct Report {
    /// From due to answered, us.
    pub times: Histogram<u64>,
    /// From due to sent, us, where the connection was free: the harness's own lateness.
    pub own: Histogram<u64>,
    /// Answers that were not a success.
    pub errors: u64,
    /// From the first to the last answer.
    pub took: Duration,
}

/// The audience at so many beats a second.
pub fn measure(ground: Ground<'_>, rate: usize) -> anyhow::Result<Figures> {
    let Ground { running, sizes, .. } = ground;
    let requests: Vec<Vec<u8>> = (0..sizes.viewers)
        .map(|n| post("/v1/heartbeat", &viewers::beat(n, sizes.stages)))
        .collect();
    let count = |time: Duration| rate * usize::try_from(time.as_secs()).unwrap_or(1);
    let mut connections = connect(&running.addresses, rate)?;
    run(&mut connections, Schedule { requests: &requests, count: count(sizes.warm_up), rate })?;

    let before = running.used()?;
    let schedule = Schedule { requests: &requests, count: count(sizes.measured), rate };
    let report = run(&mut connections, schedule)?;
    let spent = running.spent_since(&before)?;

    let answered = report.times.len() as f64;
    let mut figures = costs(spent, answered);
    figures.extend(latencies(&report.times));
    figures.extend([
        (figure::RATE, answered / report.took.as_secs_f64()),
        (figure::OWN_P99_MS, report.own.value_at_quantile(0.99) as f64 / 1e3),
        (figure::ERRORS, report.errors as f64),
    ]);
    Ok(figures)
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// When what waits for this connection was due, ns, and which request it is.
    waiting: VecDeque<(u64, usize)>,
    /// When what is under way was due, ns.
    under_way: Option<u64>,
    read: Vec<u8>,
}

/// As many connections as the rate wants, shared out over the nodes.
pub fn connect(addresses: &[SocketAddr], rate: usize) -> anyhow::Result<Vec<Connection>> {
    let count = if rate <= CALM_RATE { CONNECTIONS_CALM } else { CONNECTIONS_BRISK };
    let mut connections = Vec::with_capacity(count);
    for address in addresses.iter().cycle().take(count) {
        let stream =
            TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        stream.set_nonblocking(true).context("a connection that doesn't block")?;
        connections.push(Connection {
            stream,
            waiting: VecDeque::new(),
            under_way: None,
            read: Vec::with_capacity(4096),
        });
    }
    Ok(connections)
}

/// Sends what is scheduled, and waits for the answers.
pub fn run(connections: &mut [Connection], schedule: Schedule<'_>) -> anyhow::Result<Report> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
    for (index, connection) in connections.iter().enumerate() {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&poll, &connection.stream, data, epoll::EventFlags::IN).context("epoll")?;
    }
    let loop_ = Loop {
        connections,
        schedule,
        start: Instant::now(),
        report: Report { times: histogram()?, own: histogram()?, errors: 0, took: Duration::ZERO },
        answered: 0,
    };
    loop_.run(&poll)
}

struct Loop<'a> {
    connections: &'a mut [Connection],
    schedule: Schedule<'a>,
    start: Instant,
    report: Report,
    answered: usize,
}

impl Loop<'_> {
    fn run(mut self, poll: &OwnedFd) -> anyhow::Result<Report> {
        ensure!(self.schedule.rate > 0 && !self.schedule.requests.is_empty(), "nothing to send");
        let rate = self.schedule.rate as u64;
        let due = |n: usize| n as u64 * 1_000_000_000 / rate;
        let count = self.schedule.count;
        let give_up = due(count) + DRAIN_WAIT.as_nanos() as u64;
        let mut events = Vec::with_capacity(256);
        let mut next = 0;
        while self.answered < count {
            while next < count && due(next) <= self.now() {
                self.send(next, due(next))?;
                next += 1;
            }
            let now = self.now();
            if now > give_up {
                let missing = count - self.answered;
                bail!("{missing} of {count} heartbeats were not answered within 10 s of the last");
            }
            let wake = if next < count { due(next) } else { give_up };
            let wait = Timespec::try_from(Duration::from_nanos(wake.saturating_sub(now)))
                .context("a time to wait")?;
            events.clear();
            match epoll::wait(poll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll"),
            }
            for event in &events {
                let index = usize::try_from(event.data.u64()).context("an event's number")?;
                self.receive(index)?;
            }
        }
        self.report.took = self.start.elapsed();
        Ok(self.report)
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn send(&mut self, n: usize, due: u64) -> anyhow::Result<()> {
        let index = n % self.connections.len().max(1);
        let connection = self.connections.get_mut(index).context("no connections")?;
        if connection.under_way.is_some() {
            connection.waiting.push_back((due, n));
            return Ok(());
        }
        let late = self.start.elapsed().as_nanos() as u64 - due;
        self.report.own.saturating_record(late / 1_000);
        connection.send(self.schedule, n, due)
    }

    fn receive(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = self.connections.get_mut(index).context("an event of no connection")?;
        let mut buffer = [0; 4096];
        match connection.stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed a connection that was in use"),
            Ok(read) => connection.read.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error).context("reading an answer"),
        }
        let Some(answer) = http::answer(&connection.read)? else { return Ok(()) };
        let due = connection.under_way.take().context("an answer that nobody asked for")?;
        connection.read.drain(..answer.bytes);
        let took = self.start.elapsed().as_nanos() as u64 - due;
        self.report.times.saturating_record(took / 1_000);
        self.report.errors += u64::from(!(200..300).contains(&answer.status));
        self.answered += 1;
        match connection.waiting.pop_front() {
            Some((due, n)) => connection.send(self.schedule, n, due),
            None => Ok(()),
        }
    }
}

impl Connection {
    fn send(&mut self, schedule: Schedule<'_>, n: usize, due: u64) -> anyhow::Result<()> {
        let request =
            schedule.requests.get(n % schedule.requests.len().max(1)).context("nothing to send")?;
        let written = self.stream.write(request).context("sending a heartbeat")?;
        // A few hundred bytes always fit into the buffer of a connection on which all was answered.
        ensure!(written == request.len(), "a connection took only a part of a heartbeat");
        self.under_way = Some(due);
        Ok(())
    }
}
