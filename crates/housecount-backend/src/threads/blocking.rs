//! Threads beside the workers, for work that takes longer than a turn of the scheduler.
//!
//! Short calls that block, such as those of an embedded database, run on the runtime's own threads.
//! Long computations run on background threads, to which the system gives less time than to those
//! that serve players. Where cores are short, a read of the ledger then takes longer, and a
//! heartbeat does not. A background thread must not take the fold's lock, because players would
//! wait until the thread gets a core. In a simulation all work runs in place.

use std::sync::LazyLock;

use housecount_core::limits::LEDGER_STEPS_MAX;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::task::JoinError;

/// Niceness of a background thread on Linux (sched(7)). If other threads want all of a busy core,
/// it gets a tenth of the time. Elsewhere niceness is of a process, so threads keep theirs.
const BACKGROUND_NICE: i32 = 10;

/// Owns the background threads. `None` if the system refuses it.
static BACKGROUND: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let built = Builder::new_current_thread()
        .thread_name("background")
        .on_thread_start(lower_priority)
        .build();
    built.inspect_err(|error| tracing::error!(%error, "can't start the background threads; using the runtime's own")).ok()
});

#[cfg(target_os = "linux")]
fn lower_priority() {
    // A refusal costs speed and changes no result.
    let _ = rustix::process::nice(BACKGROUND_NICE);
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

/// Returns the runtime of the background threads.
fn background() -> Handle {
    BACKGROUND.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
}

/// Runs a call that blocks for a short time.
///
/// # Errors
/// Returns `JoinError` if the call panicked or the runtime shuts down.
pub async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    #[cfg(feature = "sim")]
    if crate::sim::is_on() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await
}

/// Runs a long computation on a background thread.
///
/// # Errors
/// Returns `JoinError` if the computation panicked.
pub async fn run_at_low_priority<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    #[cfg(feature = "sim")]
    if crate::sim::is_on() {
        return Ok(work());
    }
    background().spawn_blocking(work).await
}

/// Runs a step of reading the ledger on a background thread. [`LEDGER_STEPS_MAX`] steps run at
/// once; further ones wait in order.
///
/// # Errors
/// Returns `JoinError` if the step panicked.
pub async fn ledger_step<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let turn = ledger_turn().await;
    run_at_low_priority(move || {
        // Held until the work is done, even if its caller is dropped.
        let _turn = turn;
        work()
    })
    .await
}

/// Waits for the turn to compute a step of reading the ledger. Its callers are already on a
/// background thread.
pub async fn ledger_turn() -> Option<SemaphorePermit<'static>> {
    static STEPS: Semaphore = Semaphore::const_new(LEDGER_STEPS_MAX);
    // Simulated nodes on other threads have clocks of their own, which advance while a thread
    // waits.
    #[cfg(feature = "sim")]
    if crate::sim::is_on() {
        return None;
    }
    STEPS.acquire().await.ok() // never closed
}

/// Runs a future with long computations between its waits on a background thread. Its reads and
/// writes run on `runtime`. The future ends at its next wait when the caller is dropped. Returns
/// `None` if the future panicked.
pub async fn run_future_at_low_priority<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    run_future(&background(), runtime, work).await
}

/// Runs a future as [`run_future_at_low_priority`] does, but at the workers' priority, so it may
/// take the fold's lock. Returns `None` if the future panicked or the runtime shuts down.
pub async fn run_blocking_future<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    run_future(runtime, runtime, work).await
}

async fn run_future<T: Send + 'static>(
    threads: &Handle,
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    #[cfg(feature = "sim")]
    if crate::sim::is_on() {
        return Some(work.await);
    }
    let (caller, gone) = oneshot::channel::<()>();
    let waits = runtime.clone();
    let job = threads.spawn_blocking(move || {
        waits.block_on(async move {
            tokio::select! {
                done = work => Some(done),
                _ = gone => None,
            }
        })
    });
    let done = job.await.ok().flatten();
    drop(caller);
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use housecount_test::timed_test;

    #[cfg(target_os = "linux")]
    #[timed_test]
    async fn only_background_threads_come_after_others() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let background = run_at_low_priority(niceness).await.unwrap();
        assert_eq!(background, (before + BACKGROUND_NICE).min(19));
        assert_eq!(run_blocking(niceness).await.unwrap(), before);
        let runtime = Handle::current();
        let read = run_future_at_low_priority(&runtime, async move { niceness() }).await;
        assert_eq!((read, niceness()), (Some(background), before));
    }
}
