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

use crate::blocking::run_blocking;
use crate::moderation::Moderation;
use crate::spread::Spread;

thread_local! {
    /// This thread's number; see [`here`].
    static HERE: Cell<usize> = const { Cell::new(MAIN) };
}

/// The number of every thread that is no worker.
pub const MAIN: usize = 0;

/// Which worker this thread is: 1 and up, or [`MAIN`].
#[must_use]
pub fn here() -> usize {
    HERE.get()
}

/// As many workers as the machine has cores for this process.
#[must_use]
pub fn one_a_core() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// See the module's text. Dropping them ends their threads.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    moderation: Arc<Moderation>,
    spread: Arc<Spread>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Connections that it serves.
    open: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
    /// Dropped to end it.
    stop: oneshot::Sender<()>,
}

/// Where requests are served.
#[derive(Clone, Debug)]
pub struct Home {
    /// On this.
    pub runtime: Handle,
    /// How many connections are served there now; unknown for the main runtime, whose requests come
    /// from within.
    pub open: Option<Arc<AtomicUsize>>,
}

impl Workers {
    /// Starts so many workers, which sleep as `moderation` says. One that the system refuses is
    /// done without: the main runtime serves if there are none.
    #[must_use]
    pub fn start(count: usize, moderation: Moderation) -> Workers {
        let moderation = Arc::new(moderation);
        let started = (1..=count).map_while(|number| match start(number, moderation.clone()) {
            Ok(worker) => Some(worker),
            Err(error) => {
                tracing::error!(%error, number, "a worker can't be started; going on without it");
                None
            }
        });
        let workers: Vec<Worker> = started.collect();
        let spread = Spread::over(workers.iter().map(|w| (w.runtime.clone(), w.open.clone())));
        Workers { workers, moderation, spread: Arc::new(spread) }
    }

    /// Which of them serve.
    #[must_use]
    pub fn spread(&self) -> Arc<Spread> {
        self.spread.clone()
    }

    /// What they go by when they have nothing to do.
    #[must_use]
    pub fn moderation(&self) -> Arc<Moderation> {
        self.moderation.clone()
    }

    /// The runtimes by [`here`]: the main one, which is the caller's, and the workers'.
    #[must_use]
    pub fn homes(&self) -> Vec<Home> {
        let main = Home { runtime: Handle::current(), open: None };
        let homes = self
            .workers
            .iter()
            .map(|w| Home { runtime: w.runtime.clone(), open: Some(w.open.clone()) });
        std::iter::once(main).chain(homes).collect()
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

fn start(number: usize, moderation: Arc<Moderation>) -> std::io::Result<Worker> {
    let sleeps = move || {
        let sleep = moderation.sleep();
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
    Ok(Worker { runtime: handle, open: Arc::default(), thread, stop })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::moderation::Wants;

    /// A timer goes off at the next tick, a millisecond at most, unless it is slept through.
    #[tokio::test]
    async fn workers_sleep_as_they_are_told() {
        const LINGER: Duration = Duration::from_secs(1);
        for (wants, is_asleep) in
            [(Wants::More(Instant::now() + 100 * LINGER), true), (Wants::All, false)]
        {
            let workers = Workers::start(1, Moderation::new(1, LINGER));
            workers.moderation().say(0, wants);
            let sleep = workers.moderation().sleep();
            assert_eq!(!sleep.is_zero(), is_asleep);
            let (began, (runtime, _place)) = (Instant::now(), workers.spread().place());
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
        let (runtime, _place) = Workers::start(0, Moderation::default()).spread().place();
        assert_eq!(runtime.spawn(async { here() }).await.unwrap(), MAIN);
    }
}
