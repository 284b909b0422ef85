//! Versions of stages' configurations: how they change, and what damage to them does.

mod changes;
mod damage;
