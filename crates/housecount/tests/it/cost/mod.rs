//! Costs: the model against the emulator's own figures, and the meter against them.

mod figures;
mod metered;
mod sheet;

use crate::support::hour;
