//! Hooks for a simulation: one given clock and one given random source per thread, and no work on
//! other threads. They are compiled in with the feature `sim` only, and active on a thread after
//! [`begin`].

use std::cell::{Cell, RefCell};

use rand::distr::uniform::{SampleRange, SampleUniform};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

thread_local! {
    static CHANCE: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
    static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
    /// Time by which the wall clock is ahead of its start.
    static WALL_AHEAD_MS: Cell<i64> = const { Cell::new(0) };
}

/// Time of the wall clock when a simulation begins.
const WALL_MS: u64 = 1_790_000_000_000;

/// Starts a simulation on this thread. It then draws from the seed, and its clock is that of the
/// runtime, whose time must be paused.
pub fn begin(seed: u64) {
    CHANCE.set(Some(SmallRng::seed_from_u64(seed)));
    STARTED.set(Some(Instant::now()));
    WALL_AHEAD_MS.set(0);
}

/// Ends the simulation on this thread.
pub fn end() {
    CHANCE.set(None);
    STARTED.set(None);
}

/// Whether a simulation runs on this thread.
#[must_use]
pub fn is_on() -> bool {
    STARTED.get().is_some()
}

/// Milliseconds since the simulation began; `None` outside a simulation.
#[must_use]
pub fn mono_ms() -> Option<u64> {
    STARTED.get().map(|started| u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Steps the wall clock.
pub fn step_wall(by_ms: i64) {
    WALL_AHEAD_MS.set(WALL_AHEAD_MS.get() + by_ms);
}

/// Time of the wall clock in Unix ms; `None` outside a simulation.
#[must_use]
pub fn wall_ms() -> Option<u64> {
    mono_ms().map(|mono_ms| (WALL_MS + mono_ms).saturating_add_signed(WALL_AHEAD_MS.get()))
}

/// Draws from the seed; `None` outside a simulation.
pub fn draw<T>(with: impl FnOnce(&mut SmallRng) -> T) -> Option<T> {
    CHANCE.with_borrow_mut(|chance| chance.as_mut().map(with))
}

/// Draws from the seed within a range; at random outside a simulation.
pub fn draw_within<T: SampleUniform>(range: impl SampleRange<T>) -> T {
    CHANCE.with_borrow_mut(|chance| match chance {
        Some(seeded) => seeded.random_range(range),
        None => rand::rng().random_range(range),
    })
}
