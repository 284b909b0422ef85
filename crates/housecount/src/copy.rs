//! Copies a whole cold tier into another one, and compares what was written.
//!
//! Nothing is noted about how far a copy has come: what the target has already is compared and
//! passed over. So a copy that was interrupted goes on where it was, and one that is run again
//! changes nothing. Leases stay behind, since they say which node writes just now, and so do a
//! DynamoDB log's records, which expire within hours.

use std::collections::{BTreeMap, BTreeSet};

use housecount_core::cost::units::{self, Units};
use housecount_core::item::{Item, number_or_zero};
use housecount_core::keys::KeyRange;
use housecount_core::lease::Lease;
use housecount_core::time::UnixMs;

use crate::cold::bulk::{Bulk, StoredRow};
use crate::cold::{Page, Purpose};
use crate::error::{ErrorKind, StoreError, StoreResult};

/// A tier, with its address for messages.
#[derive(Clone, Copy)]
pub struct CopyEnd<'a> {
    /// The tier.
    pub cold: &'a dyn Bulk,
    /// Its address.
    pub shown: &'a str,
    /// Whether a lock keeps nodes away. Then a lease that has not ended is a dead node's.
    pub is_locked: bool,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Rows that were written.
    pub written: u64,
    /// Rows that the target had already.
    pub there: u64,
    /// Bytes of both, as DynamoDB counts them.
    pub bytes: u64,
    /// Rows of other programs, which were left out.
    pub foreign: u64,
    /// Units that the target consumed, or would have.
    pub units: Units,
}

/// What a row is to a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Lease,
    Log,
}

fn kind(row: &StoredRow) -> Kind {
    if row.pk.starts_with("LEASE#") {
        Kind::Lease
    } else if row.pk.starts_with("LOG#") {
        Kind::Log
    } else {
        Kind::Data
    }
}

/// Copies all rows. `progress` gets the share that is done, 0 to 1.
///
/// # Errors
/// `Refused` if the target has data that the source hasn't, `Held` if a node works on one of them,
/// `Corrupt` if what was written reads otherwise; and what the tiers return.
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
            if kind(row) == Kind::Lease {
                is_free(from, row, now)?;
            }
            // These change with every window that a node writes.
            if kind(row) == Kind::Lease || row.pk.starts_with("FENCE#") {
                moving.push(row.clone());
            }
        }
        let data: Vec<StoredRow> =
            page.rows.into_iter().filter(|row| kind(row) == Kind::Data).collect();
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
                "a node wrote to {} while it was copied; stop it, then run this again",
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

/// What a tier has at the keys of these rows, which have one partition key. Read in pages of as
/// many rows, so that a tier with many more between them fills no memory.
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

/// That no node holds this lease now.
fn is_free(end: CopyEnd<'_>, row: &StoredRow, now: UnixMs) -> StoreResult<()> {
    if end.is_locked || number_or_zero(&row.item, Lease::UNTIL) <= now.0 {
        return Ok(());
    }
    let text = format!("a node works on {} ({}); stop it, then run this again", end.shown, row.pk);
    Err(StoreError::new(ErrorKind::Held, text))
}

/// That every row of the target is the source's as well.
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
            .filter(|row| kind(row) == Kind::Lease)
            .try_for_each(|row| is_free(to, row, now))?;
        let data: Vec<&StoredRow> =
            page.rows.iter().filter(|row| kind(row) == Kind::Data).collect();
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
        "{} has other data than the source, such as {pk} / {sk}; choose an empty target, or the one of an earlier run",
        to.shown
    );
    StoreError::new(ErrorKind::Refused, text)
}

/// Writes what the target lacks of a page, reads it back and compares.
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
                "{} doesn't answer {pk} / {sk} as it was written; run this again",
                to.shown
            );
            return Err(StoreError::new(ErrorKind::Corrupt, text));
        }
    }
    copied.written += missing.len() as u64;
    Ok(())
}
