//! Work that takes longer than a turn of the scheduler, on threads beside the workers.
//!
//! Short calls that block, such as those of an embedded database, run on the runtime's own threads.
//! Long computations run on background threads, which the system schedules after those of players:
//! where cores are short, a read of the ledger takes longer, and a heartbeat does not. A background
//! thread must not take the fold's lock: players would wait until it gets a core. In a simulation
//! all runs in place.

use std::sync::LazyLock;

use housecount_core::limits::LEDGER_STEPS_MAX;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::task::JoinError;

/// Niceness of a background thread on Linux: a tenth of the time of a busy core, if other threads
/// want all of it (sched(7)). Elsewhere niceness is of a process, so threads keep theirs.
const BACKGROUND_NICE: i32 = 10;

/// Owns the background threads. `None` if the system refuses it.
static BACKGROUND: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let built = Builder::new_current_thread()
        .thread_name("background")
        .on_thread_start(lower_priority)
        .build();
    built.inspect_err(|error| tracing::error!(%error, "background threads cannot be started; using the runtime's own")).ok()
});

#[cfg(target_os = "linux")]
fn lower_priority() {
    // A refusal costs speed, no result.
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
/// It panicked, or the runtime is being shut down.
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
/// It panicked.
pub async fn run_at_low_priority<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    #[cfg(feature = "sim")]
    if crate::sim::is_on() {
        return Ok(work());
    }
    background().spawn_blocking(work).await
}

/// Runs a step of reading the ledger on a background thread. [`LEDGER_STEPS_MAX`] run at once,
/// further ones wait in order.
///
/// # Errors
/// It panicked.
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

/// Waits for the turn to compute a step of reading the ledger. For callers that are on a background
/// thread.
pub async fn ledger_turn() -> Option<SemaphorePermit<'static>> {
    static STEPS: Semaphore = Semaphore::const_new(LEDGER_STEPS_MAX);
    // Simulated nodes on other threads have clocks of their own, which run on while one waits.
    #[cfg(feature = "sim")]
    if crate::sim::is_on() {
        return None;
    }
    STEPS.acquire().await.ok() // never closed
}

/// Runs a future that computes for long between its waits, on a background thread. Its reads and
/// writes are those of `runtime`. It ends at its next wait when the caller is dropped. `None` if it
/// panicked.
pub async fn run_future_at_low_priority<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    run_future(&background(), runtime, work).await
}

/// Runs such a future at the priority of the workers: it may take the fold's lock. `None` if it
/// panicked, or the runtime is being shut down.
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

    #[cfg(target_os = "linux")]
    #[tokio::test]
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
