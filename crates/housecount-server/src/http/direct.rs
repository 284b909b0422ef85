//! Answers to operators' calls that are not this machine's own, on a node without operator keys.

use housecount_access::direct::Indirect;
pub use housecount_access::direct::{Peer, Sender};
use housecount_backend::clock::mono_ms;

use super::error::Problem;
use crate::node::Node;

/// Checks that a sender may make operators' calls without a key.
///
/// # Errors
/// Returns an [`Indirect`] with the reason if it may not.
pub fn check(node: &Node, sender: Sender<'_>) -> Result<(), Indirect> {
    sender.check(&node.settings.cors_operator_origins, node.settings.insecure)
}

/// Returns the answer to such a request, and logs a line in the process's log. The refused call may
/// be one that an operator has set up.
pub fn refuse(node: &Node, why: Indirect) -> Problem {
    let reason = why.reason();
    if node.auth.operators.is_refusal_line_due(mono_ms()) {
        tracing::warn!(
            reason,
            "operator call rejected: this node has no operator keys, so it accepts such calls only from this machine, \
             without a proxy; make a key with `housecount key new` and set auth.operator_keys"
        );
    }
    Problem::unauthorized(format!(
        "{reason}, and this node has no operator keys; make a key with `housecount key new` and set auth.operator_keys"
    ))
}
