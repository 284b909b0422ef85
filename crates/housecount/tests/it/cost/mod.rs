//! Costs: the model against the emulator's own figures, and the meter against them.

mod figures;
mod hour;
mod metered;
mod sheet;
