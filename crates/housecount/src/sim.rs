//! What a simulation needs of the production code: one clock and one source of chance a thread,
//! both given, and no work on other threads. Compiled in with the feature `sim` only; on where
//! [`begin`] was called on this thread.

use std::cell::{Cell, RefCell};

use rand::distr::uniform::{SampleRange, SampleUniform};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

thread_local! {
    static CHANCE: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
    static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
    /// By how much the wall clock is ahead of where it began.
    static WALL_AHEAD_MS: Cell<i64> = const { Cell::new(0) };
}

/// What the wall clock says when a simulation begins.
const WALL_MS: u64 = 1_790_000_000_000;

/// From here on this thread draws from a seed, and its clock is the runtime's, whose time is to be
/// paused.
pub fn begin(seed: u64) {
    CHANCE.set(Some(SmallRng::seed_from_u64(seed)));
    STARTED.set(Some(Instant::now()));
    WALL_AHEAD_MS.set(0);
}

/// This thread is as any other again.
pub fn end() {
    CHANCE.set(None);
    STARTED.set(None);
}

/// Whether this thread simulates.
#[must_use]
pub fn is_on() -> bool {
    STARTED.get().is_some()
}

/// Milliseconds since the simulation began; `None` if there is none.
#[must_use]
pub fn mono_ms() -> Option<u64> {
    STARTED.get().map(|started| u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Somebody sets the wall clock.
pub fn step_wall(by_ms: i64) {
    WALL_AHEAD_MS.set(WALL_AHEAD_MS.get() + by_ms);
}

/// What the wall clock says, in Unix ms; `None` if there is no simulation.
#[must_use]
pub fn wall_ms() -> Option<u64> {
    mono_ms().map(|mono_ms| (WALL_MS + mono_ms).saturating_add_signed(WALL_AHEAD_MS.get()))
}

/// Draws from the seed; `None` if there is no simulation.
pub fn draw<T>(with: impl FnOnce(&mut SmallRng) -> T) -> Option<T> {
    CHANCE.with_borrow_mut(|chance| chance.as_mut().map(with))
}

/// Draws within a range from the seed; at random if there is no simulation.
pub fn draw_within<T: SampleUniform>(range: impl SampleRange<T>) -> T {
    CHANCE.with_borrow_mut(|chance| match chance {
        Some(seeded) => seeded.random_range(range),
        None => rand::rng().random_range(range),
    })
}
