//! Usage records for billing systems: each customer's watch time, hour by hour.
//!
//! Only hours that can grow no more are written, and each record is made from its own hour alone.
//! So every run writes the same record for an hour, with the same id, whatever its range.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use housecount_backend::cold::Cold;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::chain;
use housecount_reports::filter::SpanFilter;
pub use housecount_reports::final_hours::{HOUR_MS, final_to};
use housecount_reports::read::Sources;
use housecount_reports::usage::{StageUsage, UsageReader, UsageRequest};
use housecount_server::calendar::format_time;
use ring::digest::{Context, SHA256};
use serde::Serialize;

use super::MARGIN_MS;

const DAY_MS: u64 = 24 * HOUR_MS;
/// Largest quantity of a record of AWS Marketplace (Metering API reference, 2026-10).
const MARKETPLACE_QUANTITY_MAX: u64 = 2_147_483_647;
/// Hexadecimal digits of the hash in an id: 128 bits.
const ID_DIGITS: usize = 32;

/// Billing system that reads the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillingFormat {
    /// Meter events of Stripe, as JSON Lines.
    Stripe,
    /// CloudEvents for OpenMeter, as JSON Lines.
    OpenMeter,
    /// Usage records of AWS Marketplace, as JSON Lines.
    AwsMarketplace,
}

/// Unit of the records' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillingUnit {
    /// Milliseconds, which are exact.
    Milliseconds,
    /// Minutes of single viewers.
    Minutes,
    /// Hours of single viewers.
    Hours,
}

impl BillingUnit {
    /// Name in options and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            BillingUnit::Milliseconds => "ms",
            BillingUnit::Minutes => "minutes",
            BillingUnit::Hours => "hours",
        }
    }

    /// Rounds to the nearest whole number of units, and a half up.
    #[must_use]
    pub fn round(self, watch_ms: u64) -> u64 {
        let unit_ms = match self {
            BillingUnit::Milliseconds => 1,
            BillingUnit::Minutes => 60_000,
            BillingUnit::Hours => HOUR_MS,
        };
        watch_ms.saturating_add(unit_ms / 2) / unit_ms
    }
}

/// Parameters of an export of usage records.
#[derive(Clone, Debug)]
pub struct BillingRequest {
    /// Range of whole hours, none of which can grow any more.
    pub range: Span,
    /// Only stage to export; `None` for all.
    pub stage: Option<String>,
    /// Billing system.
    pub format: BillingFormat,
    /// Unit of the values.
    pub unit: BillingUnit,
    /// Name of the meter: Stripe's `event_name`, OpenMeter's `type`, or Marketplace's `Dimension`.
    pub meter: String,
    /// Sums held in memory at once:
    /// [`USAGE_SUMS_MAX`](housecount_core::limits::USAGE_SUMS_MAX).
    pub sums_max: usize,
}

/// Result of an export of usage records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BillingSummary {
    /// Records written.
    pub records: u64,
    /// Sum of their values.
    pub units: u64,
    /// Watch time of the records before rounding.
    pub watch_ms: u64,
    /// Watch time that was left out, because its stage had no customer.
    pub unassigned_ms: u64,
    /// Hours of single stages with such time.
    pub unassigned_hours: u64,
}

/// Writes the records, day by day.
///
/// # Errors
/// Returns the cold tier's `StoreError`, `Refused` if a quantity is too large for AWS Marketplace,
/// or `Unavailable` if the file can't be written.
pub async fn write(
    cold: &Arc<dyn Cold>,
    request: &BillingRequest,
    out: Box<dyn Write + Send>,
    mut progress: impl FnMut(f64) + Send,
) -> StoreResult<BillingSummary> {
    let sources = Sources { cold: cold.clone(), proofs: None, filter: SpanFilter::All };
    let (first, last) = chain::extent(cold).await?.unwrap_or_default();
    // Years without a ledger are skipped.
    let whole = Span::new(
        first.minus(MARGIN_MS).aligned(DAY_MS),
        last.plus(MARGIN_MS + DAY_MS).aligned(DAY_MS),
    );
    let range = request.range.clip(whole).unwrap_or_default();
    let mut reader = UsageReader::new(&sources, range);
    let mut records = RecordWriter { request, out, summary: BillingSummary::default() };
    let mut from = range.from;
    while from < range.to {
        let day = Span::new(from, from.aligned(DAY_MS).plus(DAY_MS).min(range.to));
        let starts = (from.0..day.to.0).step_by(HOUR_MS as usize).map(UnixMs).collect();
        let (stage, sums_max) = (request.stage.clone(), request.sums_max);
        let usage = UsageRequest { range: day, stage, starts, sums_max };
        let mut progress = |part: f64| {
            let read_ms = from.since(range.from) as f64 + part.clamp(0.0, 1.0) * day.ms() as f64;
            progress(read_ms / range.ms() as f64);
        };
        let mut all_stages: BTreeMap<(usize, String), u64> = BTreeMap::new();
        let each = |of: StageUsage<'_>| {
            let hour = usage.starts[of.period];
            let Some(customer) = of.customer else {
                records.summary.unassigned_ms += of.watch_ms;
                records.summary.unassigned_hours += 1;
                return Ok(());
            };
            if request.format == BillingFormat::AwsMarketplace {
                *all_stages.entry((of.period, customer.to_string())).or_default() += of.watch_ms;
                return Ok(());
            }
            records.write(hour, customer, Some(of.stage), of.watch_ms)
        };
        reader.read(&usage, &mut progress, each).await?;
        for ((period, customer), watch_ms) in all_stages {
            records.write(usage.starts[period], &customer, None, watch_ms)?;
        }
        from = day.to;
    }
    records.out.flush().map_err(failed)?;
    Ok(records.summary)
}

fn failed(error: std::io::Error) -> StoreError {
    StoreError::caused(ErrorKind::Unavailable, "writing the export", error)
}

/// Writer of records, one per line.
struct RecordWriter<'a> {
    request: &'a BillingRequest,
    out: Box<dyn Write + Send>,
    summary: BillingSummary,
}

impl RecordWriter<'_> {
    /// Writes an hour of a customer: of one stage, or of all together.
    fn write(
        &mut self,
        hour: UnixMs,
        customer: &str,
        stage: Option<&str>,
        watch_ms: u64,
    ) -> StoreResult<()> {
        let BillingRequest { format, unit, meter, .. } = self.request;
        let value = unit.round(watch_ms);
        let stage = stage.unwrap_or_default();
        match format {
            BillingFormat::Stripe => self.line(&StripeEvent {
                identifier: record_id(meter, customer, stage, hour),
                timestamp: hour.0 / 1_000,
                event_name: meter,
                payload: StripePayload { stripe_customer_id: customer, value },
            }),
            BillingFormat::OpenMeter => self.line(&CloudEvent {
                specversion: "1.0",
                id: record_id(meter, customer, stage, hour),
                source: "housecount",
                r#type: meter,
                subject: customer,
                time: format_time(hour),
                data: CloudEventData { stage, value, unit: unit.name() },
            }),
            BillingFormat::AwsMarketplace if value > MARKETPLACE_QUANTITY_MAX => {
                let (hour, unit) = (format_time(hour), unit.name());
                let detail = format!(
                    "{customer} watched {value} {unit} in the hour from {hour}; AWS Marketplace \
                     takes at most {MARKETPLACE_QUANTITY_MAX}; use a larger --unit"
                );
                return Err(StoreError::new(ErrorKind::Refused, detail));
            }
            BillingFormat::AwsMarketplace => self.line(&MarketplaceRecord {
                timestamp: format_time(hour),
                account: Some(customer).filter(|customer| is_aws_account(customer)),
                identifier: Some(customer).filter(|customer| !is_aws_account(customer)),
                dimension: meter,
                quantity: value,
            }),
        }?;
        self.summary.records += 1;
        self.summary.units = self.summary.units.saturating_add(value);
        self.summary.watch_ms += watch_ms;
        Ok(())
    }

    fn line(&mut self, record: &impl Serialize) -> StoreResult<()> {
        let written = serde_json::to_writer(&mut self.out, record).map_err(std::io::Error::from);
        written.and_then(|()| self.out.write_all(b"\n")).map_err(failed)
    }
}

/// Id of the record of a customer, stage and hour: `housecount-HOUR-HASH`, of 64 characters.
///
/// Stripe takes at most 100, and names may be longer, so all names are in the hash. Their lengths
/// are in it too, so that no two sets of names have one hash.
fn record_id(meter: &str, customer: &str, stage: &str, hour: UnixMs) -> String {
    let mut hash = Context::new(&SHA256);
    for name in [meter, customer, stage] {
        hash.update(&(name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
    }
    let digits = HEXLOWER.encode(hash.finish().as_ref());
    format!("housecount-{}-{}", format_time(hour), &digits[..ID_DIGITS])
}

/// Whether a customer is the id of an AWS account: twelve digits.
fn is_aws_account(customer: &str) -> bool {
    customer.len() == 12 && customer.bytes().all(|byte| byte.is_ascii_digit())
}

#[derive(Serialize)]
struct StripeEvent<'a> {
    identifier: String,
    timestamp: u64,
    event_name: &'a str,
    payload: StripePayload<'a>,
}

#[derive(Serialize)]
struct StripePayload<'a> {
    stripe_customer_id: &'a str,
    value: u64,
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: &'static str,
    r#type: &'a str,
    subject: &'a str,
    time: String,
    data: CloudEventData<'a>,
}

#[derive(Serialize)]
struct CloudEventData<'a> {
    stage: &'a str,
    value: u64,
    unit: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MarketplaceRecord<'a> {
    timestamp: String,
    #[serde(rename = "CustomerAWSAccountId", skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(rename = "CustomerIdentifier", skip_serializing_if = "Option::is_none")]
    identifier: Option<&'a str>,
    dimension: &'a str,
    quantity: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_up() {
        let of = |unit: BillingUnit, ms: [u64; 5]| ms.map(|ms| unit.round(ms));
        assert_eq!(
            of(BillingUnit::Milliseconds, [0, 1, 2, 29_999, 30_000]),
            [0, 1, 2, 29_999, 30_000]
        );
        assert_eq!(of(BillingUnit::Minutes, [1, 29_999, 30_000, 89_999, 90_000]), [0, 0, 1, 1, 2]);
        let hours = [1, 1_799_999, 1_800_000, 5_399_999, 5_400_000];
        assert_eq!(of(BillingUnit::Hours, hours), [0, 0, 1, 1, 2]);
        assert!(BillingUnit::Minutes.round(u64::MAX) <= u64::MAX / 60_000);
    }

    /// Names whose joined texts are equal, and names of the greatest length.
    #[test]
    fn ids_are_short_and_differ_by_each_name() {
        let hour = UnixMs(1_792_879_200_000);
        let long = "\u{e9}".repeat(128);
        let names = [
            ["m", "acme", "s"],
            ["m", "acm", "es"],
            ["ma", "cme", "s"],
            ["m", "", "acmes"],
            ["m", "acme", "t"],
            ["n", "acme", "s"],
            [&*long, &*long, &*long],
        ];
        let id =
            |[meter, customer, stage]: [&str; 3], hour| record_id(meter, customer, stage, hour);
        let mut ids: Vec<String> = names.iter().map(|of| id(*of, hour)).collect();
        ids.push(id(names[0], hour.plus(HOUR_MS)));
        assert!(ids.iter().all(|id| id.len() == 64 && id.is_ascii()), "{ids:?}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), names.len() + 1, "{ids:?}");
    }

    #[test]
    fn a_quantity_too_large_for_aws_marketplace_is_refused() {
        let written = |unit, watch_ms| {
            let request = BillingRequest {
                range: Span::default(),
                stage: None,
                format: BillingFormat::AwsMarketplace,
                unit,
                meter: "m".to_string(),
                sums_max: 1,
            };
            let (out, summary) = (Box::new(std::io::sink()), BillingSummary::default());
            let mut records = RecordWriter { request: &request, out, summary };
            records.write(UnixMs(0), "acme", None, watch_ms).map(|()| records.summary.units)
        };
        let most = written(BillingUnit::Milliseconds, MARKETPLACE_QUANTITY_MAX);
        assert_eq!(most.unwrap(), 2_147_483_647);
        let beyond = MARKETPLACE_QUANTITY_MAX + 1;
        let refused = written(BillingUnit::Milliseconds, beyond).unwrap_err().to_string();
        assert!(refused.contains("acme watched 2147483648 ms in the hour from 1970"), "{refused}");
        assert_eq!(written(BillingUnit::Minutes, beyond).unwrap(), 35_791);
    }

    #[test]
    fn an_aws_account_has_twelve_digits() {
        assert!(is_aws_account("123456789012"));
        for other in ["12345678901", "1234567890123", "12345678901a", "cus_123", ""] {
            assert!(!is_aws_account(other), "{other}");
        }
    }
}
