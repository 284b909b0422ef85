//! CloudWatch's figures of IVS stages, through the crate `aws-sdk-cloudwatch`.
//!
//! The namespace is `AWS/IVSRealTime`; the metrics are `Subscribers` and `Publishers` (Count, with
//! Average, Maximum and Minimum). Their dimension is `Stage`, whose value is the last part of the
//! ARN. A participant that publishes and subscribes is counted as both. Players must use the Web
//! Broadcast SDK 1.5.2 or later, or those for Android and iOS from 1.12.0. (Amazon IVS Real-Time
//! Streaming User Guide, "Monitoring", read 2026-11-25.)
//!
//! `GetMetricData` answers 500 queries per call (CloudWatch API reference, 2026-11). Points of a
//! minute are kept 15 days, of five minutes 63 days, of an hour 455 days.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::{DisplayErrorContext, SdkError};
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricStat, ScanBy, StatusCode,
};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_stores::dynamo::connect;
use housecount_stores::dynamo::failure::unusable_profile;

use super::{CloudWatchCounts, CloudWatchSource, StageArn};

/// Maximum number of queries in one call.
const QUERIES_MAX: usize = 500;

impl CloudWatchSource {
    /// Average counts of each stage, by its ARN, in steps of whole minutes. Stages and steps
    /// without data are missing.
    ///
    /// # Errors
    /// Returns `Denied` for an unusable profile, and `Unavailable` if CloudWatch does not answer
    /// the call.
    pub async fn counts(
        &self,
        stages: &[StageArn],
        range: Span,
        step_ms: u64,
    ) -> StoreResult<BTreeMap<String, CloudWatchCounts>> {
        let mut by_region: BTreeMap<&str, Vec<&StageArn>> = BTreeMap::new();
        for stage in stages {
            by_region
                .entry(self.region.as_deref().unwrap_or(&stage.region))
                .or_default()
                .push(stage);
        }
        let mut counts = BTreeMap::new();
        if range.from >= range.to {
            return Ok(counts);
        }
        for (region, stages) in by_region {
            let config = connect::configuration(Some(region), self.endpoint.as_deref(), None).await;
            let client = Client::new(&config);
            for some in stages.chunks(QUERIES_MAX / 2) {
                ask(&client, region, some, range, step_ms, &mut counts).await?;
            }
        }
        Ok(counts)
    }
}

/// Queries some stages of a region, page by page.
async fn ask(
    client: &Client,
    region: &str,
    stages: &[&StageArn],
    range: Span,
    step_ms: u64,
    counts: &mut BTreeMap<String, CloudWatchCounts>,
) -> StoreResult<()> {
    let queries: Vec<MetricDataQuery> = stages
        .iter()
        .enumerate()
        .flat_map(|(n, stage)| {
            [
                query(format!("s{n}"), "Subscribers", stage, step_ms),
                query(format!("p{n}"), "Publishers", stage, step_ms),
            ]
        })
        .collect();
    let mut pages = client
        .get_metric_data()
        .set_metric_data_queries(Some(queries))
        .start_time(DateTime::from_millis(range.from.0 as i64))
        .end_time(DateTime::from_millis(range.to.0 as i64))
        .scan_by(ScanBy::TimestampAscending)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        for result in page.map_err(|e| failed(region, &e))?.metric_data_results.unwrap_or_default()
        {
            if matches!(
                result.status_code(),
                Some(StatusCode::Forbidden | StatusCode::InternalError)
            ) {
                let why = format!(
                    "CloudWatch in {region} answered {:?} for {:?}",
                    result.status_code(),
                    result.id()
                );
                return Err(StoreError::new(ErrorKind::Unavailable, why));
            }
            let id = result.id().unwrap_or_default();
            let stage = id.get(1..).and_then(|n| stages.get(n.parse::<usize>().ok()?));
            let Some(stage) = stage else { continue };
            let of_stage = counts.entry(stage.arn.clone()).or_default();
            let points = if id.starts_with('s') {
                &mut of_stage.subscribers
            } else {
                &mut of_stage.publishers
            };
            for (at, value) in result.timestamps().iter().zip(result.values()) {
                let at = u64::try_from(at.to_millis().unwrap_or_default()).unwrap_or_default();
                points.insert(UnixMs(at), *value);
            }
        }
    }
    Ok(())
}

fn query(id: String, metric: &str, stage: &StageArn, step_ms: u64) -> MetricDataQuery {
    let dimension = Dimension::builder().name("Stage").value(&stage.id).build();
    let metric = Metric::builder()
        .namespace("AWS/IVSRealTime")
        .metric_name(metric)
        .dimensions(dimension)
        .build();
    let period_s = i32::try_from(step_ms / 1_000).unwrap_or(i32::MAX);
    let stat = MetricStat::builder().metric(metric).period(period_s).stat("Average").build();
    MetricDataQuery::builder().id(id).metric_stat(stat).return_data(true).build()
}

fn failed<E>(region: &str, error: &SdkError<E>) -> StoreError
where
    SdkError<E>: std::error::Error + 'static,
{
    if let Some(why) = unusable_profile(error) {
        return StoreError::new(ErrorKind::Denied, format!("asking CloudWatch in {region}: {why}"));
    }
    // The SDK's own text names only the outermost cause.
    let cause = DisplayErrorContext(error).to_string().replace('\n', " ");
    let way_out = "needs the permission cloudwatch:GetMetricData, and credentials where the AWS SDK finds them";
    StoreError::caused(
        ErrorKind::Unavailable,
        format!("asking CloudWatch in {region} ({way_out})"),
        cause,
    )
}
