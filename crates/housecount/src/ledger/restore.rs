//! After everything hot was lost: the ledger says who was watching at its end, and proof goes on
//! from there.

use housecount_core::keys::{Chain, Series};
use housecount_core::time::UnixMs;

use super::chain::ChainReader;
use super::proofs::Proofs;
use crate::cold::Cold;
use crate::error::{ErrorKind, StoreResult};

/// Carries over what the ledger knew to go on beyond its end, in the partitions that were lost.
/// Returns how many viewers that was.
///
/// # Errors
/// The cold tier's. A chain that can't be read is passed over, and said so: `housecount verify`
/// tells more.
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
                tracing::error!(%error, "the ledger can't be read; proof begins anew");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(carried)
}
