//! The only file that draws random numbers, so that every draw of a simulation comes from its seed.

use rand::distr::uniform::{SampleRange, SampleUniform};
use rand::distr::{Distribution, StandardUniform};
use rand::{Rng, rng};

/// A random value: any integer of the type, or a fraction from 0 to 1.
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

/// A random number within a range.
#[must_use]
pub fn random_range<T: SampleUniform>(range: impl SampleRange<T>) -> T {
    #[cfg(feature = "sim")]
    if crate::sim::is_on() {
        return crate::sim::draw_within(range);
    }
    rng().random_range(range)
}
