//! Watch time of customers and of their stages, by calendar month or day.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use housecount_backend::error::StoreResult;
use housecount_core::limits::{HISTORY_STEPS_MAX, USAGE_SUMS_MAX};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_reports::filter::SpanFilter;
use housecount_reports::final_hours::final_to;
use housecount_reports::read::{Covered, Sources};
use housecount_reports::spreadsheet::push_line;
use housecount_reports::usage::{StageUsage, UsageReader, UsageRequest};
use housecount_reports::usage_rows::{RowPlace, UsageRows};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::StageAccess;
use super::answer::json_in_background;
use super::error::{Problem, ProblemBody};
use super::extract::{PageQuery, ValidQuery, bad_query, parse_range};
use super::report::sources;
use super::watch::CoverageBody;
use crate::calendar::{self, Period, PeriodUnit, Zone};
use crate::node::Node;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Calendar period of usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum UsagePeriod {
    #[default]
    Month,
    Day,
}

/// Subject of a row of usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum UsageGroup {
    #[default]
    Customer,
    Stage,
}

/// Parameters of a list of usage.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// Unix ms, RFC 3339 or a date in the time zone, included; a day before `to` if not given.
    from: Option<String>,
    /// Unix ms, RFC 3339 or a date in the time zone, not included; now if not given.
    to: Option<String>,
    /// Time zone of dates and periods, as an IANA name such as Europe/Berlin; UTC if not given.
    tz: Option<String>,
    /// Calendar period of a row: `month` if not given, or `day`.
    #[serde(default)]
    #[param(inline, required = false)]
    by: UsagePeriod,
    /// Subject of a row: `customer` if not given, or each `stage` of a customer.
    #[serde(default)]
    #[param(inline, required = false)]
    group: UsageGroup,
    /// Only this customer; empty for the stages without one.
    customer: Option<String>,
    /// Largest number of rows: 1 to 1,000, 100 if not given.
    limit: Option<usize>,
    /// The last page's `cursor`, to continue after it.
    cursor: Option<String>,
}

/// Watch time of a customer in a period.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CustomerUsage)]
#[serde(rename_all = "camelCase")]
pub struct CustomerUsageBody {
    /// Customer in force when the time was watched; empty for stages without one.
    customer: String,
    /// Stage, with `group=stage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    /// Name of the period, such as `2026-10` or `2026-10-25`.
    period: String,
    /// Start of the period, or of the range if that is later, Unix ms.
    from: u64,
    /// End of the period, or of the range if that is earlier, Unix ms, not included.
    to: u64,
    /// Number of the customer's stages with watch time.
    stages: u64,
    /// Sum of the viewers' watch time on each stage, in milliseconds.
    watch_ms: u64,
}

/// Watch time of customers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageResponse)]
#[serde(rename_all = "camelCase")]
pub struct UsageBody {
    /// Usage, sorted by period, customer and stage.
    usage: Vec<CustomerUsageBody>,
    /// Time before which no watch time can grow any more, Unix ms: the start of an hour. Late
    /// heartbeats may still add to what lies between it and `committedTo`.
    final_to: u64,
    /// Value to send for the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(flatten)]
    cover: CoverageBody,
}

/// Reads the rows of these periods, which follow each other.
async fn read(
    sources: &Sources,
    periods: &[Period],
    mut rows: UsageRows,
) -> StoreResult<Covered<UsageRows>> {
    let ends = periods.first().zip(periods.last());
    let range = ends.map(|(first, last)| Span::new(first.span.from, last.span.to));
    let request = UsageRequest {
        range: range.unwrap_or_default(),
        stage: None,
        starts: periods.iter().map(|period| period.span.from).collect(),
        sums_max: USAGE_SUMS_MAX,
    };
    let mut reader = UsageReader::new(sources, request.range);
    let each = |of: StageUsage<'_>| {
        rows.add(periods[of.period].starts_at, of);
        Ok(())
    };
    let committed_to = reader.read(&request, &mut |_| (), each).await?;
    Ok(Covered { value: rows, committed_to })
}

fn row_place(cursor: &str) -> Result<RowPlace, Problem> {
    RowPlace::parse(cursor)
        .ok_or_else(|| bad_query("unknown cursor; send one that an earlier page returned"))
}

/// Returns the periods of a range in a time zone.
fn periods(range: Span, zone: &Zone, by: UsagePeriod) -> Result<Vec<Period>, Problem> {
    let (unit, shortest_ms, name) = match by {
        UsagePeriod::Month => (PeriodUnit::Month, 28 * DAY_MS, "months"),
        UsagePeriod::Day => (PeriodUnit::Day, DAY_MS, "days"),
    };
    let most = range.ms() / shortest_ms;
    if most > HISTORY_STEPS_MAX {
        return Err(bad_query(format!(
            "the range has {most} {name}; at most {HISTORY_STEPS_MAX} are allowed; choose a shorter \
             range"
        )));
    }
    Ok(zone.periods(range, unit))
}

/// Returns the time zone and the range, whose dates are days of that zone.
fn zone_and_range(node: &Node, query: &UsageQuery) -> Result<(Zone, Span), Problem> {
    let zone = query.tz.as_deref().map_or(Ok(Zone::utc()), Zone::parse);
    let zone = zone.map_err(|error| bad_query(format!("tz: {error}")))?;
    let range = parse_range(node, query.from.as_deref(), query.to.as_deref())?;
    let start = |text: &Option<String>, at| match text {
        Some(text) if calendar::is_day(text) => zone.start_of_day(at),
        _ => at,
    };
    let (from, to) = (start(&query.from, range.from), start(&query.to, range.to));
    if from < to {
        return Ok((zone, Span::new(from, to)));
    }
    Err(bad_query(format!("from={from} is not before to={to} in the time zone")))
}

/// Lists how much was watched for each customer, or stage of one, by calendar month or day.
///
/// A stage's time counts for the customer that was configured when it was watched. A viewer on two
/// stages at once counts on both, as both are billed. With `Accept: text/csv` the answer is a file
/// for spreadsheets, whose `complete` is that of the row. Its next page is in the header `Link`.
#[utoipa::path(get, path = "/v1/usage", operation_id = "listUsage", tag = "operators", params(UsageQuery),
    responses((status = 200, content((UsageBody = "application/json"), (String = "text/csv"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn list(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    uri: Uri,
    headers: HeaderMap,
    ValidQuery(query): ValidQuery<UsageQuery>,
) -> Result<Response, Problem> {
    if let Some(customer) = &query.customer {
        access.check_customer(Some(customer))?;
    }
    let sources = access.filter_ids(sources(&node, SpanFilter::All)?);
    let (zone, range) = zone_and_range(&node, &query)?;
    let page = PageQuery::new(query.limit, query.cursor);
    let (limit, after) = (page.limit()?, page.cursor().map(row_place).transpose()?);
    let periods = periods(range, &zone, query.by)?;
    let rows = UsageRows {
        customer: query.customer.or_else(|| access.customer().map(str::to_string)),
        is_by_stage: query.group == UsageGroup::Stage,
        limit,
        after: after.clone(),
        ..UsageRows::default()
    };
    let (scanned, first) = (periods.clone(), after.map_or(UnixMs::ZERO, |after| after.starts_at));
    let scan = async move {
        let first = scanned.partition_point(|period| period.starts_at < first);
        // Before the rows, which then have all that was final.
        let final_to = final_to(&sources.cold).await?;
        Ok((read(&sources, &scanned[first..], rows).await?, final_to))
    };
    let (Covered { value: found, committed_to }, final_to) = node.engine.scans.run(scan).await?;
    let cover = CoverageBody::new(&node, range, committed_to);
    let last = found.rows.last_key_value().filter(|_| found.more);
    let cursor = last.map(|(place, _)| place.cursor());
    let usage = found.rows.into_iter().filter_map(move |(place, sums)| {
        let n = periods.binary_search_by_key(&place.starts_at, |period| period.starts_at).ok()?;
        let period = &periods[n];
        Some(CustomerUsageBody {
            customer: place.customer,
            stage: Some(place.stage).filter(|_| query.group == UsageGroup::Stage),
            period: period.name.clone(),
            from: period.span.from.0,
            to: period.span.to.0,
            stages: sums.stages,
            watch_ms: sums.watch_ms,
        })
    });
    let mut response = if accepts_csv(&headers) {
        let next = cursor.and_then(|cursor| next_page(&uri, &cursor));
        let mut response = csv(usage, query.by, query.group, committed_to).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
        headers.extend(next.map(|next| (header::LINK, next)));
        response
    } else {
        let body =
            move || UsageBody { usage: usage.collect(), final_to: final_to.0, cursor, cover };
        json_in_background(body).await?
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// Writes rows as CSV, at most a page of them.
fn csv(
    usage: impl Iterator<Item = CustomerUsageBody>,
    by: UsagePeriod,
    group: UsageGroup,
    committed_to: UnixMs,
) -> String {
    let period = match by {
        UsagePeriod::Month => "month",
        UsagePeriod::Day => "day",
    };
    let mut csv = String::new();
    // A row of a stage has its id where others have the number of stages.
    let subject = match group {
        UsageGroup::Customer => "stages",
        UsageGroup::Stage => "stage",
    };
    push_line(&mut csv, &["customer", period, "from_ms", "to_ms", subject, "watch_ms", "complete"]);
    for row in usage {
        let numbers = [row.from, row.to, row.stages, row.watch_ms].map(|number| number.to_string());
        let [from, to, stages, watch_ms] = &numbers;
        let complete = if row.to <= committed_to.0 { "true" } else { "false" };
        let subject = row.stage.as_ref().unwrap_or(stages);
        push_line(&mut csv, &[&row.customer, &row.period, from, to, subject, watch_ms, complete]);
    }
    csv
}

/// Whether the caller accepts CSV: the only form beside JSON.
fn accepts_csv(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_csv = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/csv"));
        let is_refused = |part: &str| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        is_csv && !parts.any(is_refused)
    })
}

/// Returns the link to the next page (RFC 8288): the same call with another cursor.
fn next_page(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let query = uri.query().unwrap_or_default().split('&');
    let kept = query.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let cursor = format!("cursor={}", utf8_percent_encode(cursor, NON_ALPHANUMERIC));
    let query: Vec<&str> = kept.chain([&*cursor]).collect();
    let link = format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"));
    HeaderValue::try_from(link).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))])
    }

    #[test]
    fn csv_must_be_asked_for() {
        for accept in ["text/csv", "Text/CSV; charset=utf-8", "application/json;q=0.5, text/csv"] {
            assert!(accepts_csv(&headers(accept)), "{accept}");
        }
        for accept in ["*/*", "text/*", "application/json", "text/csv;q=0", "text/csv; q=0.0", ""] {
            assert!(!accepts_csv(&headers(accept)), "{accept}");
        }
        assert!(!accepts_csv(&HeaderMap::new()));
    }

    #[test]
    fn the_next_page_is_the_same_call_with_another_cursor() {
        let uri: Uri = "/v1/usage?cursor=1.a&by=day&limit=2".parse().unwrap();
        let link = next_page(&uri, "2.a&b \u{e9}").unwrap();
        assert_eq!(link, "</v1/usage?by=day&limit=2&cursor=2%2Ea%26b%20%C3%A9>; rel=\"next\"");
    }

    #[test]
    fn history_steps_max_bounds_the_periods() {
        let utc = Zone::utc();
        let days =
            |days| periods(Span::new(UnixMs(0), UnixMs(days * DAY_MS)), &utc, UsagePeriod::Day);
        assert_eq!(days(HISTORY_STEPS_MAX).unwrap().len() as u64, HISTORY_STEPS_MAX);
        let refused = days(HISTORY_STEPS_MAX + 1).unwrap_err();
        assert!(refused.detail().contains("has 10001 days; at most 10000"), "{refused:?}");
        let all = Span::new(UnixMs(0), UnixMs::MAX);
        assert!(periods(all, &utc, UsagePeriod::Month).is_err());
    }
}
