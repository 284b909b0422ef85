//! Forgets one person. Records in the cold tier continue under a pseudonym that cannot be derived,
//! and all totals stay.
//!
//! - `ledger`: chunks that name the viewer are rewritten with the pseudonym. Nothing else in them
//!   changes.
//! - `packed`, `items`: the viewer's heartbeats are removed from the archive. They can't stay under
//!   another name. The times of a player's beats follow from its ids
//!   (`housecount_core::beat_schedule`), so they would confirm a guessed id.
//! - [`configuration`]: a customer's name in past versions of stages' configurations is replaced by
//!   a pseudonym.
//!
//! Everything is read before anything is written. Nodes keep in memory what late heartbeats may
//! belong to. They would write it a second time if they found it under another name. So a request
//! that covers time too recent for that is refused as a whole. Each write leaves complete data
//! behind. After a crash, another run does the rest.

pub mod configuration;
mod items;
mod ledger;
mod packed;

use std::collections::BTreeSet;
use std::sync::Arc;

use housecount_access::admission::pseudonyms;
use housecount_backend::cold::Cold;
use housecount_backend::error::{ErrorKind, StoreError};
use housecount_core::event::partition_of;
use housecount_core::keys::{Chain, Key};
use housecount_core::time::UnixMs;
use housecount_server::calendar;

/// Number of times that `kept_ms` must have passed since the viewer was last seen.
///
/// Once covers the nodes that wrote the chunks: before that, they may hold the viewer's entry in
/// their books, and the proof in memory. Twice covers a node that has started since with up to
/// twice the `lateness_max`, and has written nothing yet that shows it.
const KEPT_TIMES: u64 = 2;
/// Number of pseudonyms that are drawn until one belongs to the viewer's partition in each ledger.
/// It suffices for two ledgers of the most partitions allowed, and takes a second.
const DRAWS_MAX: u32 = 1 << 22;

/// Request to forget a viewer.
#[derive(Clone, Debug)]
pub struct ForgetRequest {
    /// Id of the viewer, as it is stored.
    pub viewer: String,
    /// Only this stage.
    pub stage: Option<String>,
    /// Whether to change nothing.
    pub is_dry_run: bool,
    /// Bytes of the archive's chunks that are held in memory at once, by default
    /// [`FORGET_HELD_BYTES_MAX`](housecount_core::limits).
    pub held_bytes_max: usize,
}

impl ForgetRequest {
    fn is_of(&self, stage: &str, viewer: &str) -> bool {
        viewer == self.viewer && self.stage.as_ref().is_none_or(|wanted| wanted == stage)
    }

    fn holds(&self, chain: Chain) -> bool {
        partition_of(&self.viewer, chain.partitions) == chain.partition
    }
}

/// Result: what was found, and changed unless it was a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgetReport {
    /// Pseudonym of the viewer's time; `None` if no time was found, or nothing was to be changed.
    pub pseudonym: Option<String>,
    /// Chunks of the ledger that named the viewer.
    pub chunks: u64,
    /// The viewer's intervals in the ledger, all of which stay.
    pub spans: u64,
    /// Their total length, in ms.
    pub watch_ms: u64,
    /// Chunks of the packed archive, rewritten without the viewer.
    pub archive_chunks: u64,
    /// The viewer's heartbeats and leaves in these chunks.
    pub heartbeats: u64,
    /// Heartbeats that were items of their own.
    pub items: u64,
    /// Items that belong to no chunk, in the viewer's partitions. They may have named the viewer.
    pub strays: u64,
    /// Items or stages that could not be read, deleted or checked, one line each. They may still
    /// name the viewer.
    pub problems: Vec<String>,
    /// End of the ledger. Later data was not read.
    pub committed_to: UnixMs,
}

impl ForgetReport {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.chunks + self.archive_chunks + self.items + self.strays == 0
    }
}

/// Reason why the viewer was not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// A store's failure. Earlier writes are done, so run it again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nodes may still write data of this viewer. Nothing was changed.
    #[error(
        "the viewer was last active at {}, and the ledger ends at {}: nodes still hold that time, and would write it again. \
         Nothing was changed. Try again when the ledger ends after {}; a running node extends it",
        calendar::format_time(*.last), calendar::format_time(*.ends), calendar::format_time(*.after)
    )]
    TooRecent {
        /// When the viewer was last seen.
        last: UnixMs,
        /// End of the ledger.
        ends: UnixMs,
        /// When the data is old enough.
        after: UnixMs,
    },
    /// Nodes may still continue the archive's chunks that name the viewer. Nothing was changed.
    #[error(
        "the archive's chunks from {} on name the viewer, and nodes may still extend them. Nothing was changed. Try again after {}, when \
         the archive has started new chunks; if no node archives any more, when the ledger ends after {}",
        calendar::format_time(*.from), calendar::format_time(*.begins), calendar::format_time(*.after)
    )]
    ArchiveStillOpen {
        /// Start of these chunks.
        from: UnixMs,
        /// Start of new chunks that don't depend on them.
        begins: UnixMs,
        /// When no node can continue them any more.
        after: UnixMs,
    },
}

/// Findings of the first reading.
#[derive(Debug, Default)]
struct Findings {
    ledger: ledger::LedgerFindings,
    generations: Vec<packed::Generation>,
    items: Vec<items::ItemFindings>,
    /// When the viewer was last seen.
    last: UnixMs,
    problems: Vec<String>,
}

impl Findings {
    fn note_last_seen(&mut self, at: UnixMs) {
        self.last = self.last.max(at);
    }

    fn problem(&mut self, error: &StoreError) {
        self.problems.push(error.to_string());
    }
}

/// Forgets a viewer. `progress` is called with the current step, and the part of it that is done.
///
/// # Errors
/// See [`ForgetError`]. Damaged items are reported in the result and skipped, without an error.
pub async fn forget(
    cold: &Arc<dyn Cold>,
    request: &ForgetRequest,
    mut progress: impl FnMut(&'static str, f64),
) -> Result<ForgetReport, ForgetError> {
    let mut found = Findings::default();
    ledger::find(cold, request, &mut found, |part| progress("reading the ledger", part)).await?;
    packed::find(cold, request, &mut found, |part| progress("reading the packed archive", part))
        .await?;
    items::find(cold, request, &mut found, |part| progress("reading the heartbeats", part)).await?;
    let ends = found.ledger.committed_to;
    let after = found.last.plus(KEPT_TIMES * found.ledger.kept_ms);
    if found.last > UnixMs::ZERO && ends <= after {
        return Err(ForgetError::TooRecent { last: found.last, ends, after });
    }
    found.ledger.strays.retain(|(window, _)| window.plus(KEPT_TIMES * found.ledger.kept_ms) < ends);
    if let Some(generation) = found.generations.iter().find(|generation| !generation.is_over(ends))
    {
        let (from, begins, after) = (generation.from, generation.ends(), generation.over_after());
        return Err(ForgetError::ArchiveStillOpen { from, begins, after });
    }
    let mut forgotten = ForgetReport {
        chunks: found.ledger.named.len() as u64,
        spans: found.ledger.spans,
        watch_ms: found.ledger.watch_ms,
        archive_chunks: found.generations.iter().map(|generation| generation.chunks).sum(),
        heartbeats: found.generations.iter().map(|generation| generation.heartbeats).sum(),
        items: found.items.iter().map(|found| found.count).sum(),
        strays: found.ledger.strays.len() as u64,
        problems: std::mem::take(&mut found.problems),
        committed_to: ends,
        pseudonym: None,
    };
    if !request.is_dry_run {
        forgotten.pseudonym =
            write(cold, request, &found, &mut forgotten.problems, progress).await?;
    }
    Ok(forgotten)
}

async fn write(
    cold: &Arc<dyn Cold>,
    request: &ForgetRequest,
    found: &Findings,
    problems: &mut Vec<String>,
    mut progress: impl FnMut(&'static str, f64),
) -> Result<Option<String>, ForgetError> {
    let named = &found.ledger.named;
    let chains: BTreeSet<Chain> = named.iter().map(|naming| naming.chain).collect();
    let pseudonym = if named.is_empty() { None } else { Some(draw_pseudonym(&chains, DRAWS_MAX)?) };
    // Deleted at the end, so that a current reader of these items has time until then.
    let mut stale: Vec<Key> = found.ledger.strays.iter().map(|(_, key)| key.clone()).collect();
    if let Some(pseudonym) = &pseudonym {
        for (n, naming) in named.iter().enumerate() {
            progress("writing the ledger", n as f64 / named.len() as f64);
            stale.extend(ledger::rename(&**cold, naming, pseudonym).await?);
        }
    }
    for (n, generation) in found.generations.iter().enumerate() {
        let whole = found.generations.len() as f64;
        let progress = |part| progress("writing the packed archive", (n as f64 + part) / whole);
        stale.extend(packed::rewrite(&**cold, request, generation, progress).await?);
    }
    for (n, of) in found.items.iter().enumerate() {
        progress("deleting heartbeats", n as f64 / found.items.len() as f64);
        problems.extend(items::delete(&**cold, request, of).await?);
    }
    // Also if an earlier run was cut off after it had rewritten all.
    ledger::note_rewritten(&**cold, &found.ledger.chains).await?;
    cold.delete(stale).await?;
    Ok(pseudonym)
}

/// Draws a pseudonym of the viewer's partitions, since a query for it looks there.
fn draw_pseudonym(chains: &BTreeSet<Chain>, draws_max: u32) -> Result<String, StoreError> {
    let fits = |name: &String| {
        chains.iter().all(|chain| partition_of(name, chain.partitions) == chain.partition)
    };
    (0..draws_max).map(|_| pseudonyms::random_pseudonym()).find(fits).ok_or_else(|| {
        let why = "no pseudonym belongs to the viewer's partition in every ledger: the number of partitions has changed too \
                   often. Nothing was changed; forget the viewer stage by stage (--stage)";
        StoreError::new(ErrorKind::Unsupported, why)
    })
}

#[cfg(test)]
mod tests {
    use housecount_core::keys::Series;

    use super::*;

    fn chains(of: &[(u16, u16)]) -> BTreeSet<Chain> {
        let chain =
            |(partitions, partition)| Chain { series: Series::Ledger, partitions, partition };
        of.iter().copied().map(chain).collect()
    }

    /// A query for the pseudonym looks in the partition that its name determines, in every ledger.
    #[test]
    fn a_pseudonym_is_of_its_viewers_partitions() {
        let of = |viewer: &str, partitions: u16| (partitions, partition_of(viewer, partitions));
        for viewer in ["ann", "bob", "~uYxk7Vm_kCMLu5Lu"] {
            let chains = chains(&[of(viewer, 1), of(viewer, 8), of(viewer, 27)]);
            let [one, other] = [(); 2].map(|()| draw_pseudonym(&chains, DRAWS_MAX).unwrap());
            assert!(pseudonyms::is_pseudonym(&one) && one != other, "{one} {other}");
            for chain in chains {
                assert_eq!(partition_of(&one, chain.partitions), chain.partition, "{viewer} {one}");
            }
        }
    }

    /// No name is in both partitions: 0 of 2 needs an even hash, 1 of 4 an odd one. The search
    /// ends.
    #[test]
    fn a_search_that_finds_nothing_ends() {
        let error = draw_pseudonym(&chains(&[(2, 0), (4, 1)]), 1_000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("Nothing was changed"), "{error}");
    }
}
