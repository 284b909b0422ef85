//! Costs: the model against the emulator's own figures, and the guard that limits them.

mod figures;
mod guard;
