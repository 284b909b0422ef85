//! Open loop: heartbeats are due at fixed times, whether or not the server keeps up, as those of an
//! audience are.
//!
//! Latency is counted from the due time. A heartbeat that waited behind a slow answer therefore
//! counts the whole wait (no coordinated omission). One thread uses epoll with a timeout in
//! nanoseconds. An async runtime's timers tick in milliseconds, which is as much as the measured
//! values.

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

/// Number of connections at up to [`CALM_RATE`] heartbeats per second.
const CONNECTIONS_CALM: usize = 256;
/// Number of connections above that rate, so that a heartbeat seldom finds its connection busy.
const CONNECTIONS_BRISK: usize = 1_024;
const CALM_RATE: usize = 5_000;
/// Time limit for the last answers.
const DRAIN_WAIT: Duration = Duration::from_secs(10);

/// Requests and the rate at which they are sent.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    /// Requests, sent one after another and again from the start.
    pub requests: &'a [Vec<u8>],
    /// Number of requests to send.
    pub count: usize,
    /// Requests per second.
    pub rate: usize,
}

/// Results of a schedule.
#[derive(Debug)]
pub struct Report {
    /// Time from due to answered, us.
    pub times: Histogram<u64>,
    /// Time from due to sent if the connection was free, us. This is the harness's own lateness.
    pub own: Histogram<u64>,
    /// Answers that were not a success.
    pub errors: u64,
    /// Time from the start to the last answer.
    pub took: Duration,
}

/// Measures the audience's heartbeats at a rate per second.
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

/// A connection to a node, with at most one request under way.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Requests that wait for this connection: due time in ns, and number.
    waiting: VecDeque<(u64, usize)>,
    /// Due time of the request under way, ns.
    under_way: Option<u64>,
    read: Vec<u8>,
}

/// Opens as many connections as the rate needs, spread over the nodes.
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

/// Sends the scheduled requests, and waits for the answers.
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
        let due = connection.under_way.take().context("an answer without a request")?;
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
        // A few hundred bytes always fit into the send buffer, because all earlier requests were
        // answered.
        ensure!(written == request.len(), "a connection took only a part of a heartbeat");
        self.under_way = Some(due);
        Ok(())
    }
}
