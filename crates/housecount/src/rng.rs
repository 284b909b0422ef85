//! The only file that draws at random, so that a simulation can have every draw come from its seed.

use rand::distr::uniform::{SampleRange, SampleUniform};
use rand::distr::{Distribution, StandardUniform};
use rand::{Rng, rng};

/// Something at random: a number of all there are, a fraction from 0 to 1.
#[must_use]
pub fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    #[cfg(feature = "sim")]
    if let Some(drawn) = crate::sim::draw(|seeded| seeded.random()) {
        return drawn;
    }
    rng().random()
}

/// A number within a range.
#[must_use]
pub fn random_range<T: SampleUniform>(range: impl SampleRange<T>) -> T {
    #[cfg(feature = "sim")]
    if crate::sim::is_on() {
        return crate::sim::draw_within(range);
    }
    rng().random_range(range)
}
