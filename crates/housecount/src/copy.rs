//! Copies a whole cold tier into another one, and compares the written rows.
//!
//! A copy keeps no record of its progress. It compares the rows that the target already has and
//! skips them. So an interrupted copy continues where it stopped, and a repeated one changes
//! nothing. Leases are not copied, since they name the nodes that write at the moment. Nor are a
//! DynamoDB log's records, which expire within hours.

use std::collections::{BTreeMap, BTreeSet};

use housecount_backend::cold::bulk::{Bulk, StoredRow};
use housecount_backend::cold::{Page, Purpose};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::item::{Item, number_or_zero};
use housecount_core::keys::KeyRange;
use housecount_core::lease::Lease;
use housecount_core::time::UnixMs;
use housecount_core::units::{self, Units};

/// One end of a copy: a tier, with its address for messages.
#[derive(Clone, Copy)]
pub struct CopyEnd<'a> {
    /// The cold tier.
    pub cold: &'a dyn Bulk,
    /// Address of the tier, for messages.
    pub shown: &'a str,
    /// Whether a lock keeps nodes out. An unexpired lease then belongs to a dead node.
    pub is_locked: bool,
}

/// Result of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Rows written.
    pub written: u64,
    /// Rows that the target already had.
    pub there: u64,
    /// Bytes of both, as DynamoDB counts them.
    pub bytes: u64,
    /// Rows of other programs, which are not copied.
    pub foreign: u64,
    /// Units that the target consumed, or would have consumed.
    pub units: Units,
}

/// Kind of a row, which decides whether it is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RowKind {
    Data,
    Lease,
    Log,
}

fn kind(row: &StoredRow) -> RowKind {
    if row.pk.starts_with("LEASE#") {
        RowKind::Lease
    } else if row.pk.starts_with("LOG#") {
        RowKind::Log
    } else {
        RowKind::Data
    }
}

/// Copies all rows. `progress` gets the completed share, from 0 to 1.
///
/// # Errors
/// Returns `Refused` if the target has data that the source lacks, and `Held` if a node works on
/// one of them. Returns `Corrupt` if a written row reads differently. Other errors are the tiers'
/// `StoreError`.
pub async fn copy(
    from: CopyEnd<'_>,
    to: CopyEnd<'_>,
    now: UnixMs,
    progress: impl Fn(f64),
) -> StoreResult<Copied> {
    let before = all_units(to.cold);
    target_has_nothing_else(from, to, now).await?;
    let rows = from.cold.rows_about().await?.max(1);
    let mut copied = Copied::default();
    let mut moving = Vec::new();
    let mut after = None;
    loop {
        let page = from.cold.scan(after).await?;
        copied.foreign += page.foreign.len() as u64;
        for row in &page.rows {
            if kind(row) == RowKind::Lease {
                is_free(from, row, now)?;
            }
            // These rows change with every window that a node writes.
            if kind(row) == RowKind::Lease || row.pk.starts_with("FENCE#") {
                moving.push(row.clone());
            }
        }
        let data: Vec<StoredRow> =
            page.rows.into_iter().filter(|row| kind(row) == RowKind::Data).collect();
        copy_page(to, data, &mut copied).await?;
        progress((copied.written + copied.there) as f64 / rows as f64);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    for row in moving {
        if items_of(from.cold, std::slice::from_ref(&row)).await?.get(&row.sk) != Some(&row.item) {
            let text = format!(
                "a node wrote to {} during the copy; stop the node, then run the copy again",
                from.shown
            );
            return Err(StoreError::new(ErrorKind::Held, text));
        }
    }
    copied.units = all_units(to.cold).since(before);
    Ok(copied)
}

fn all_units(cold: &dyn Bulk) -> Units {
    let meter = cold.meter();
    Purpose::ALL.into_iter().map(|purpose| meter.units(purpose)).fold(Units::default(), Units::plus)
}

/// Returns a tier's items at the keys of these rows, which have one partition key. The items are
/// read in pages of that many rows, so memory stays bounded even if the tier has many more rows
/// between them.
async fn items_of(cold: &dyn Bulk, rows: &[StoredRow]) -> StoreResult<BTreeMap<String, Item>> {
    let mut found = BTreeMap::new();
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(found) };
    let range = KeyRange { pk: first.pk.clone(), first: first.sk.clone(), last: last.sk.clone() };
    let wanted: BTreeSet<&str> = rows.iter().map(|row| row.sk.as_str()).collect();
    let mut page = Page { consistent: true, ..Page::first(rows.len()) };
    loop {
        let read = cold.query(&range, &page).await?;
        let is_end = read.len() < rows.len();
        page.after = read.last().map(|(sk, _)| sk.clone());
        found.extend(read.into_iter().filter(|(sk, _)| wanted.contains(sk.as_str())));
        if is_end || found.len() == rows.len() {
            return Ok(found);
        }
    }
}

/// Checks that no node holds this lease now.
fn is_free(end: CopyEnd<'_>, row: &StoredRow, now: UnixMs) -> StoreResult<()> {
    if end.is_locked || number_or_zero(&row.item, Lease::UNTIL) <= now.0 {
        return Ok(());
    }
    let text = format!(
        "a node is using {} ({}); stop the node, then run the copy again",
        end.shown, row.pk
    );
    Err(StoreError::new(ErrorKind::Held, text))
}

/// Checks that the source has every row of the target.
async fn target_has_nothing_else(
    from: CopyEnd<'_>,
    to: CopyEnd<'_>,
    now: UnixMs,
) -> StoreResult<()> {
    let mut after = None;
    loop {
        let page = to.cold.scan(after).await?;
        if let Some((pk, sk)) = page.foreign.first() {
            return Err(differs(to, pk, sk));
        }
        page.rows
            .iter()
            .filter(|row| kind(row) == RowKind::Lease)
            .try_for_each(|row| is_free(to, row, now))?;
        let data: Vec<&StoredRow> =
            page.rows.iter().filter(|row| kind(row) == RowKind::Data).collect();
        for run in data.chunk_by(|a, b| a.pk == b.pk) {
            let run: Vec<StoredRow> = run.iter().map(|row| (*row).clone()).collect();
            let found = items_of(from.cold, &run).await?;
            if let Some(row) = run.iter().find(|row| found.get(&row.sk) != Some(&row.item)) {
                return Err(differs(to, &row.pk, &row.sk));
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn differs(to: CopyEnd<'_>, pk: &str, sk: &str) -> StoreError {
    let text = format!(
        "{} has other data than the source, such as {pk} / {sk}; choose an empty target, or that of an earlier run",
        to.shown
    );
    StoreError::new(ErrorKind::Refused, text)
}

/// Writes the rows of a page that the target lacks, reads them back and compares them.
async fn copy_page(to: CopyEnd<'_>, rows: Vec<StoredRow>, copied: &mut Copied) -> StoreResult<()> {
    let mut missing = Vec::new();
    for run in rows.chunk_by(|a, b| a.pk == b.pk) {
        let found = items_of(to.cold, run).await?;
        for row in run {
            copied.bytes += units::item_bytes(&row.pk, &row.sk, &row.item);
            match found.get(&row.sk) {
                None => missing.push(row.clone()),
                Some(item) if *item == row.item => copied.there += 1,
                Some(_) => return Err(differs(to, &row.pk, &row.sk)),
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    to.cold.put_rows(missing.clone()).await?;
    for run in missing.chunk_by(|a, b| a.pk == b.pk) {
        let found = items_of(to.cold, run).await?;
        if let Some(row) = run.iter().find(|row| found.get(&row.sk) != Some(&row.item)) {
            let (pk, sk) = (&row.pk, &row.sk);
            let text = format!(
                "{} returned {pk} / {sk} different from the written row; run the copy again",
                to.shown
            );
            return Err(StoreError::new(ErrorKind::Corrupt, text));
        }
    }
    copied.written += missing.len() as u64;
    Ok(())
}
