//! End of the hours whose watch time can grow no more.

use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::error::StoreResult;
use housecount_core::time::UnixMs;
use housecount_engine::internals::{chain, chunks, scan};

/// Length of an hour.
pub const HOUR_MS: u64 = 60 * 60 * 1000;

/// Time up to which no hour can grow any more: the start of an hour.
///
/// Late heartbeats may still add to the ledger as far back as its last chunks allow. That is
/// `lateness_max` of the node that wrote them, and a `ttl` and a `window` more.
///
/// # Errors
/// Returns the cold tier's `StoreError`, or `Corrupt` if a last chunk can't be read.
pub async fn final_to(cold: &Arc<dyn Cold>) -> StoreResult<UnixMs> {
    let mut ends = Vec::new();
    for chain in chain::all(cold).await? {
        let last = chunks::last_before(&**cold, chain, UnixMs::MAX, None).await?;
        let end = match last {
            Some(stored) => {
                let (chunk, _) = chain::decode(&stored, chain)?;
                chunk.window.to.minus(chunk.kept_ms())
            }
            None => UnixMs::ZERO,
        };
        ends.push((chain, end));
    }
    Ok(scan::committed_to(&ends).aligned(HOUR_MS))
}
