//! Workers, which serve connections: one thread per core, each with its own runtime.
//!
//! One thread reads, batches and answers a request, and the request's task wakes on it. Other
//! threads are woken once per batch. All other work (following the log, tasks, the cold tier) runs
//! on the main runtime.

pub mod balancer;
pub mod wake_coalescing;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;

use crate::threads::become_worker;
use crate::threads::blocking::run_blocking;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::workers::balancer::ConnectionBalancer;
use crate::workers::wake_coalescing::WakeCoalescer;

/// Number of cores that this process may use.
#[must_use]
pub fn default_worker_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The running workers. A drop ends their threads.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    wake_coalescer: Arc<WakeCoalescer>,
    balancer: Arc<ConnectionBalancer>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Number of connections that the worker serves.
    connections: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
    /// A drop of this sender ends the worker.
    stop: oneshot::Sender<()>,
}

/// A runtime that serves requests.
#[derive(Clone, Debug)]
pub struct WorkerRuntime {
    /// Handle of the runtime.
    pub runtime: Handle,
    /// Number of connections that the runtime serves now. `None` for the main runtime, whose
    /// requests come from within the process.
    pub connections: Option<Arc<AtomicUsize>>,
}

impl Workers {
    /// Starts `count` workers, which sleep as `wake_coalescer` allows. If the system refuses a
    /// worker, the node continues with those before it. Without any worker, the main runtime
    /// serves.
    #[must_use]
    pub fn start(count: usize, wake_coalescer: WakeCoalescer) -> Workers {
        let wake_coalescer = Arc::new(wake_coalescer);
        let started = (1..=count).map_while(|number| match start(number, wake_coalescer.clone()) {
            Ok(worker) => Some(worker),
            Err(error) => {
                tracing::error!(%error, number, "can't start a worker; continuing with fewer");
                None
            }
        });
        let workers: Vec<Worker> = started.collect();
        let balancer = ConnectionBalancer::new(
            workers.iter().map(|w| (w.runtime.clone(), w.connections.clone())),
        );
        Workers { workers, wake_coalescer, balancer: Arc::new(balancer) }
    }

    /// Balancer of connections over the workers.
    #[must_use]
    pub fn balancer(&self) -> Arc<ConnectionBalancer> {
        self.balancer.clone()
    }

    /// Coalescer that the idle workers follow.
    #[must_use]
    pub fn wake_coalescer(&self) -> Arc<WakeCoalescer> {
        self.wake_coalescer.clone()
    }

    /// Runtimes by the number of their thread: the main one, which is the caller's, and the
    /// workers'.
    #[must_use]
    pub fn runtimes(&self) -> Vec<WorkerRuntime> {
        let main = WorkerRuntime { runtime: Handle::current(), connections: None };
        let runtimes = self.workers.iter().map(|w| WorkerRuntime {
            runtime: w.runtime.clone(),
            connections: Some(w.connections.clone()),
        });
        std::iter::once(main).chain(runtimes).collect()
    }

    /// Stops the workers, and all tasks that still run on them.
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
            #[allow(clippy::disallowed_methods)] // coalesces the wakeups by events
            std::thread::sleep(sleep);
        }
    };
    let mut builder = Builder::new_current_thread();
    builder.enable_all().on_thread_park(sleeps);
    #[cfg(tokio_unstable)]
    let measured = housecount_metrics::polls::measure(&mut builder);
    let runtime = builder.build()?;
    let handle = runtime.handle().clone();
    #[cfg(tokio_unstable)]
    housecount_metrics::polls::register(number, &handle, measured);
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        become_worker(number);
        let _ = runtime.block_on(stopped);
    })?;
    Ok(Worker { runtime: handle, connections: Arc::default(), thread, stop })
}

#[cfg(test)]
mod tests {
    use housecount_test::timed_test;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::threads::{MAIN_THREAD, current_worker};
    use crate::workers::wake_coalescing::LaneDemand;

    /// A timer fires at the next tick, within a millisecond, unless the worker sleeps longer.
    #[timed_test]
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

    #[timed_test]
    async fn without_workers_the_main_runtime_serves() {
        let (runtime, _place) = Workers::start(0, WakeCoalescer::default()).balancer().assign();
        assert_eq!(runtime.spawn(async { current_worker() }).await.unwrap(), MAIN_THREAD);
    }
}
