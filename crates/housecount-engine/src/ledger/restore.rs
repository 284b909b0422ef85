//! Restores proof from the end of the ledger, which knows who was watching, after all hot data was
//! lost.

use housecount_backend::cold::Cold;
use housecount_backend::error::{ErrorKind, StoreResult};
use housecount_core::keys::{Chain, Series};
use housecount_core::time::UnixMs;

use super::chain::ChainReader;
use super::proofs::Proofs;

/// Restores the spans that were open at the ledger's end, in the partitions that were lost.
///
/// Returns the number of viewers.
///
/// # Errors
/// Returns the cold tier's `StoreError`. A chain that can't be read is logged and skipped. Run
/// `housecount verify` for details.
pub async fn restore_open_spans(
    cold: &dyn Cold,
    proofs: &Proofs,
    lost: &[u16],
) -> StoreResult<usize> {
    let mut carried = 0;
    for partition in lost.iter().copied() {
        let chain = Chain { series: Series::Ledger, partitions: proofs.partitions(), partition };
        match ChainReader::open_at_end(cold, chain, UnixMs::MAX).await {
            Ok(reading) => {
                carried += proofs.restore_open_spans(&reading.book);
                proofs.note_committed(chain.partition, reading.book.edge());
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(%error, "the ledger can't be read; proof restarts from here");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(carried)
}
