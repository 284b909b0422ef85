//! Workers: a thread a core, each with a runtime of its own, which serve connections.
//!
//! A request is read, gathered and answered on one thread, and woken on it: other threads are woken
//! once a batch. Everything else (following the log, tasks, the cold tier) is on the main runtime.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::balancer::ConnectionBalancer;
use crate::blocking::run_blocking;
use crate::wake_coalescing::WakeCoalescer;

thread_local! {
    /// This thread's number; see [`current_worker`].
    static HERE: Cell<usize> = const { Cell::new(MAIN_THREAD) };
}

/// The number of every thread that is no worker.
pub const MAIN_THREAD: usize = 0;

/// Which worker this thread is: 1 and up, or [`MAIN_THREAD`].
#[must_use]
pub fn current_worker() -> usize {
    HERE.get()
}

/// As many workers as the machine has cores for this process.
#[must_use]
pub fn default_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// See the module's text. Dropping them ends their threads.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    wake_coalescer: Arc<WakeCoalescer>,
    balancer: Arc<ConnectionBalancer>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Connections that it serves.
    connections: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
    /// Dropped to end it.
    stop: oneshot::Sender<()>,
}

/// Where requests are served.
#[derive(Clone, Debug)]
pub struct WorkerRuntime {
    /// On this.
    pub runtime: Handle,
    /// How many connections are served there now; unknown for the main runtime, whose requests come
    /// from within.
    pub connections: Option<Arc<AtomicUsize>>,
}

impl Workers {
    /// Starts so many workers, which sleep as `wake_coalescer` says. One that the system refuses is
    /// done without: the main runtime serves if there are none.
    #[must_use]
    pub fn start(count: usize, wake_coalescer: WakeCoalescer) -> Workers {
        let wake_coalescer = Arc::new(wake_coalescer);
        let started = (1..=count).map_while(|number| match start(number, wake_coalescer.clone()) {
            Ok(worker) => Some(worker),
            Err(error) => {
                tracing::error!(%error, number, "a worker can't be started; going on without it");
                None
            }
        });
        let workers: Vec<Worker> = started.collect();
        let balancer = ConnectionBalancer::new(
            workers.iter().map(|w| (w.runtime.clone(), w.connections.clone())),
        );
        Workers { workers, wake_coalescer, balancer: Arc::new(balancer) }
    }

    /// Which of them serve.
    #[must_use]
    pub fn balancer(&self) -> Arc<ConnectionBalancer> {
        self.balancer.clone()
    }

    /// What they go by when they have nothing to do.
    #[must_use]
    pub fn wake_coalescer(&self) -> Arc<WakeCoalescer> {
        self.wake_coalescer.clone()
    }

    /// The runtimes by [`current_worker`]: the main one, which is the caller's, and the workers'.
    #[must_use]
    pub fn runtimes(&self) -> Vec<WorkerRuntime> {
        let main = WorkerRuntime { runtime: Handle::current(), connections: None };
        let runtimes = self.workers.iter().map(|w| WorkerRuntime {
            runtime: w.runtime.clone(),
            connections: Some(w.connections.clone()),
        });
        std::iter::once(main).chain(runtimes).collect()
    }

    /// Ends them, and whatever still runs on them.
    pub async fn stop(self) {
        let threads = self.workers.into_iter().map(|Worker { thread, stop, .. }| {
            drop(stop);
            thread
        });
        let threads: Vec<_> = threads.collect();
        let _ = run_blocking(|| threads.into_iter().for_each(|t| drop(t.join()))).await;
    }
}

fn start(number: usize, wake_coalescer: Arc<WakeCoalescer>) -> std::io::Result<Worker> {
    let sleeps = move || {
        let sleep = wake_coalescer.sleep_duration();
        if !sleep.is_zero() {
            #[allow(clippy::disallowed_methods)] // the events are what is slept through
            std::thread::sleep(sleep);
        }
    };
    let mut builder = Builder::new_current_thread();
    builder.enable_all().on_thread_park(sleeps);
    #[cfg(tokio_unstable)]
    let measured = crate::metrics::polls::measure(&mut builder);
    let runtime = builder.build()?;
    let handle = runtime.handle().clone();
    #[cfg(tokio_unstable)]
    crate::metrics::polls::register(number, &handle, measured);
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        HERE.set(number);
        let _ = runtime.block_on(stopped);
    })?;
    Ok(Worker { runtime: handle, connections: Arc::default(), thread, stop })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::wake_coalescing::LaneDemand;

    /// A timer goes off at the next tick, a millisecond at most, unless it is slept through.
    #[tokio::test]
    async fn workers_sleep_by_the_demand_of_lanes() {
        const LINGER: Duration = Duration::from_secs(1);
        for (wants, is_asleep) in [
            (LaneDemand::CoalesceUntil(Instant::now() + 100 * LINGER), true),
            (LaneDemand::Immediate, false),
        ] {
            let workers = Workers::start(1, WakeCoalescer::new(1, LINGER));
            workers.wake_coalescer().set_demand(0, wants);
            let sleep = workers.wake_coalescer().sleep_duration();
            assert_eq!(!sleep.is_zero(), is_asleep);
            let (began, (runtime, _place)) = (Instant::now(), workers.balancer().assign());
            let waits = async {
                for _ in 0..50 {
                    tokio::time::sleep(Duration::from_micros(1)).await;
                }
            };
            runtime.spawn(waits).await.unwrap();
            assert!(began.elapsed() >= 49 * sleep);
            drop(runtime);
            workers.stop().await;
        }
    }

    #[tokio::test]
    async fn without_workers_the_main_runtime_serves() {
        let (runtime, _place) = Workers::start(0, WakeCoalescer::default()).balancer().assign();
        assert_eq!(runtime.spawn(async { current_worker() }).await.unwrap(), MAIN_THREAD);
    }
}
