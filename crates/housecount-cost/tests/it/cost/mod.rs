//! Costs: the model against the emulator's own figures.

mod figures;
