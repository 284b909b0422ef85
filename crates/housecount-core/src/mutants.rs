//! Known bugs, by which a test checks that the simulation finds bugs. Without the feature `mutants`
//! there are no bugs, and no code for them.

/// A known bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The time after a last beat is credited as well, as if the viewer had continued to watch.
    CreditSilence,
    /// The log is trimmed even if the ledger does not have its proof yet.
    TrimEarly,
    /// A window is committed without late spans of earlier windows.
    SkipLate,
    /// A beat is acknowledged before the log has it.
    AckEarly,
    /// A leave without a session ends session `""` only, instead of all of the viewer's sessions on
    /// the stage.
    LeaveAll,
    /// Time advances, and counts have `complete: true`, while the log refuses writes.
    AdvanceUnwritten,
    /// A change of configuration applies from the node's own time on, even to committed windows.
    IgnoreFence,
    /// A viewer's streams beyond the limit stay once they are admitted.
    KeepExcess,
    /// A node that begins to write events evaluates only its samples from then on.
    SkipSamples,
}

impl Mutant {
    /// All bugs.
    pub const ALL: [Mutant; 9] = [
        Mutant::CreditSilence,
        Mutant::TrimEarly,
        Mutant::SkipLate,
        Mutant::AckEarly,
        Mutant::LeaveAll,
        Mutant::AdvanceUnwritten,
        Mutant::IgnoreFence,
        Mutant::KeepExcess,
        Mutant::SkipSamples,
    ];
}

#[cfg(feature = "mutants")]
thread_local! {
    static ON: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Switches one bug on for this thread, or all off.
#[cfg(feature = "mutants")]
pub fn switch(on: Option<Mutant>) {
    ON.set(on);
}

/// Returns whether a bug is on.
#[cfg(feature = "mutants")]
#[must_use]
pub fn is_on(mutant: Mutant) -> bool {
    ON.get() == Some(mutant)
}

/// Returns false, because this build has no bugs.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline(always)]
pub fn is_on(_: Mutant) -> bool {
    false
}
