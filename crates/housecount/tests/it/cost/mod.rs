//! Costs: the meter against the emulator's own figures, and the printed sheet.

mod metered;
mod sheet;
