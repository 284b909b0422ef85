//! Connections to one database. One call at a time uses a connection, on a thread beside the async
//! workers.

use std::sync::Arc;

use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::threads::blocking::run_blocking;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

/// A pool of connections. Calls beyond their number wait in order, without a thread.
#[derive(Debug)]
pub(super) struct ReaderPool {
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl ReaderPool {
    pub(super) fn of(connections: Vec<Connection>) -> ReaderPool {
        ReaderPool {
            turns: Arc::new(Semaphore::new(connections.len())),
            idle: Mutex::new(connections),
        }
    }

    /// Runs `work` with one of the connections. `owner` keeps the pool alive until the work is
    /// done, even if the caller is dropped.
    pub(super) async fn run<O, T>(
        owner: Arc<O>,
        pool: fn(&O) -> &ReaderPool,
        work: impl FnOnce(&O, &mut Connection) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T>
    where
        O: Send + Sync + 'static,
        T: Send + 'static,
    {
        let lost = || {
            StoreError::new(
                ErrorKind::Unavailable,
                "a connection to the embedded cold tier was lost",
            )
        };
        let turn = pool(&owner).turns.clone().acquire_owned().await.map_err(|_| lost())?;
        let done = run_blocking(move || {
            let _turn = turn;
            let mut connection = pool(&owner).idle.lock().pop().ok_or_else(lost)?;
            let outcome = work(&owner, &mut connection);
            pool(&owner).idle.lock().push(connection);
            outcome
        });
        done.await.map_err(|e| {
            StoreError::caused(ErrorKind::Unavailable, "calling the embedded cold tier", e)
        })?
    }
}

#[cfg(test)]
mod tests {
    use housecount_test::timed_test;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use housecount_core::limits::COLD_READERS_MAX;

    use super::*;

    #[timed_test]
    async fn cold_readers_max_bounds_reads_at_once() {
        let connections = (0..COLD_READERS_MAX).map(|_| Connection::open_in_memory().unwrap());
        let pool = Arc::new(ReaderPool::of(connections.collect()));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Each read waits until the greatest allowed number of reads run.
        let all = Arc::new(Barrier::new(COLD_READERS_MAX));
        let mut reads = tokio::task::JoinSet::new();
        for _ in 0..3 * COLD_READERS_MAX {
            let (pool, now, most, all) = (pool.clone(), now.clone(), most.clone(), all.clone());
            reads.spawn(ReaderPool::run(
                pool,
                |pool| pool,
                move |_, _| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    all.wait();
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                },
            ));
        }
        while let Some(read) = reads.join_next().await {
            read.unwrap().unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), COLD_READERS_MAX);
    }
}
