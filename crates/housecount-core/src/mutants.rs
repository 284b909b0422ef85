//! Known bugs, to see that the simulation finds them. Without the feature `mutants` there are none,
//! and no code for them.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The time after a last beat is credited as well, as if somebody had watched on.
    CreditSilence,
    /// The log is trimmed whether or not the ledger has what it proves.
    TrimEarly,
    /// A window is committed without what came late for the windows before.
    SkipLate,
    /// A beat is acknowledged before the log has it.
    AckEarly,
    /// A leave ends all of the viewer's sessions on the stage.
    LeaveAll,
    /// Time advances, and counts are called complete, while the log refuses writes.
    AdvanceUnwritten,
    /// A change of configuration applies from the node's own time on, whatever is committed.
    IgnoreFence,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 7] = [
        Mutant::CreditSilence,
        Mutant::TrimEarly,
        Mutant::SkipLate,
        Mutant::AckEarly,
        Mutant::LeaveAll,
        Mutant::AdvanceUnwritten,
        Mutant::IgnoreFence,
    ];
}

#[cfg(feature = "mutants")]
thread_local! {
    static ON: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Switches one on for this thread, or all off.
#[cfg(feature = "mutants")]
pub fn switch(on: Option<Mutant>) {
    ON.set(on);
}

/// Whether it is on.
#[cfg(feature = "mutants")]
#[must_use]
pub fn is_on(mutant: Mutant) -> bool {
    ON.get() == Some(mutant)
}

/// Whether it is on.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline(always)]
pub fn is_on(_: Mutant) -> bool {
    false
}
