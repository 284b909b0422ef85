//! The cold tier in DynamoDB, through the official SDK.

mod scan;
mod table;
mod transact;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, PutRequest, ReturnConsumedCapacity,
    ReturnValuesOnConditionCheckFailure, WriteRequest,
};
use housecount_backend::cold::bulk::Bulk;
use housecount_backend::cold::{
    Cold, Condition, KeyedItem, KeyedRow, Page, PutOutcome, TransactOutcome, Write, by_stored_key,
};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::meter::{Meter, Purpose};
use housecount_backend::retry::backoff::Backoff;
use housecount_core::item::Item;
use housecount_core::keys::{Key, KeyRange};
use housecount_core::limits::WRITE_BATCH_ITEMS;
use housecount_core::units;

pub use self::table::{TableOptions, TableState};
use self::transact::{Expression, is_conflict};
use crate::dynamo::attr::{self, from_sdk, key_attributes, sort_key};
use crate::dynamo::consumed;
use crate::dynamo::{Address, connect, failure};

/// Number of batches in flight at once.
const BATCHES_MAX: usize = 8;
/// Number of times that a batch's unprocessed items are sent again before the call fails as
/// throttled.
pub(super) const UNPROCESSED_RETRIES_MAX: u32 = 8;
/// Waits before items are sent again: the first and the longest.
const RESEND_WAIT_FIRST: Duration = Duration::from_millis(50);
const RESEND_WAIT_MAX: Duration = Duration::from_secs(5);

/// Returns the waits between attempts of a call that DynamoDB did not execute, or not completely.
pub(super) const fn resend_backoff() -> Backoff {
    Backoff::new(RESEND_WAIT_FIRST, RESEND_WAIT_MAX)
}

/// The cold tier in a table of DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamoCold {
    pub(super) client: Client,
    pub(super) table: String,
    /// The address for people.
    pub(super) shown: String,
    pub(super) meter: Meter,
    /// Purpose that reads are metered as, instead of the purpose of their keys.
    read_for: Option<Purpose>,
}

/// Opens the cold tier in a table, which may be unreachable.
///
/// # Errors
/// Returns no error.
pub(super) async fn open(address: &Address) -> StoreResult<Arc<dyn Bulk>> {
    Ok(Arc::new(DynamoCold::open(address).await))
}

impl DynamoCold {
    /// Opens a cold tier in a table, which may be unreachable.
    pub async fn open(address: &Address) -> DynamoCold {
        DynamoCold::open_as(address, None).await
    }

    /// Opens as `open` does, with these keys (id and secret) instead of the SDK's credential chain.
    pub async fn open_as(address: &Address, keys: Option<(&str, &str)>) -> DynamoCold {
        let Address { table, region, endpoint } = address;
        DynamoCold {
            client: connect::client(region.as_deref(), endpoint.as_deref(), keys).await,
            table: table.clone(),
            shown: address.to_string(),
            meter: Meter::default(),
            read_for: None,
        }
    }

    /// Converts an SDK error into a `StoreError`, with the remedy if there is one.
    pub(super) fn failed<E>(&self, doing: &str, error: SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        failure::failed(&self.shown, doing, error)
    }

    /// Writes requests in batches, several at once.
    pub(super) async fn write(
        &self,
        purpose: Purpose,
        requests: Vec<WriteRequest>,
    ) -> StoreResult<()> {
        let mut batches =
            requests.chunks(WRITE_BATCH_ITEMS).map(<[_]>::to_vec).collect::<Vec<_>>().into_iter();
        let mut under_way = tokio::task::JoinSet::new();
        loop {
            while under_way.len() < BATCHES_MAX
                && let Some(batch) = batches.next()
            {
                let cold = self.clone();
                under_way.spawn(async move { cold.write_batch(purpose, batch).await });
            }
            match under_way.join_next().await {
                None => return Ok(()),
                Some(Ok(done)) => done?,
                Some(Err(e)) => {
                    return Err(StoreError::caused(ErrorKind::Unavailable, "writing a batch", e));
                }
            }
        }
    }

    /// Sends one BatchWriteItem, and its unprocessed items again. The SDK doesn't retry those.
    async fn write_batch(&self, purpose: Purpose, mut batch: Vec<WriteRequest>) -> StoreResult<()> {
        let mut backoff = resend_backoff();
        for _ in 0..=UNPROCESSED_RETRIES_MAX {
            let call = self.client.batch_write_item().request_items(&self.table, batch);
            let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
            let answer = call.map_err(|e| self.failed("writing to", e))?;
            self.meter.add(purpose, consumed::written(answer.consumed_capacity()));
            batch = answer
                .unprocessed_items
                .and_then(|mut left| left.remove(&self.table))
                .unwrap_or_default();
            if batch.is_empty() {
                return Ok(());
            }
            backoff.wait().await;
        }
        let left = batch.len();
        Err(StoreError::new(
            ErrorKind::Throttled,
            format!("{} left {left} items unprocessed", self.shown),
        ))
    }
}

#[async_trait]
impl Cold for DynamoCold {
    async fn check(&self) -> StoreResult<()> {
        self.check_table().await
    }

    async fn put(&self, records: Vec<KeyedItem>) -> StoreResult<()> {
        let Some(purpose) = records.first().map(|record| Purpose::of(&record.key)) else {
            return Ok(());
        };
        let records = by_stored_key(records);
        let mut requests = Vec::with_capacity(records.len());
        for record in &records {
            let put = PutRequest::builder().set_item(Some(to_sdk(record))).build();
            let put =
                put.map_err(|e| StoreError::caused(ErrorKind::Unsupported, "building a put", e))?;
            requests.push(WriteRequest::builder().put_request(put).build());
        }
        self.write(purpose, requests).await?;
        self.meter.put(records.iter().map(stored_bytes).sum());
        Ok(())
    }

    async fn put_if(&self, record: KeyedItem, condition: Condition) -> StoreResult<PutOutcome> {
        let purpose = Purpose::of(&record.key);
        let put = self
            .client
            .put_item()
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .table_name(&self.table)
            .set_item(Some(to_sdk(&record)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Expression { text, names, values } = Expression::of(&condition);
        let put = put
            .condition_expression(text)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values);
        let mut backoff = resend_backoff();
        let mut answer = put.clone().send().await;
        for _ in 0..UNPROCESSED_RETRIES_MAX {
            // A transaction holds the item, and will finish in a moment.
            let Err(error) = &answer else { break };
            if !is_conflict(error) {
                break;
            }
            backoff.wait().await;
            answer = put.clone().send().await;
        }
        match answer {
            Ok(answer) => {
                self.meter.add(purpose, consumed::written(answer.consumed_capacity()));
                self.meter.put(stored_bytes(&record));
                Ok(PutOutcome::Done)
            }
            Err(error) => {
                let Some(there) = refused_by(&error) else {
                    return Err(self.failed("writing to", error));
                };
                // DynamoDB charges a refused write too, by the larger of both items, but doesn't
                // report it.
                let bytes = |item| units::item_bytes(&record.key.pk(), &record.key.sk(), item);
                self.meter.add(purpose, units::write(bytes(&record.item).max(bytes(&there))));
                // The SDK retried after a lost answer, so the existing item may be the one that
                // this call put.
                Ok(if there == record.item {
                    PutOutcome::Done
                } else {
                    PutOutcome::ConditionFailed(there)
                })
            }
        }
    }

    async fn transact(&self, writes: Vec<Write>) -> StoreResult<TransactOutcome> {
        self.write_all_or_none(&writes).await
    }

    async fn get(&self, key: &Key) -> StoreResult<Option<Item>> {
        let purpose = self.read_for.unwrap_or(Purpose::of(key));
        let key = key_attributes(&key.pk(), &key.sk());
        let get =
            self.client.get_item().table_name(&self.table).set_key(Some(key)).consistent_read(true);
        let get = get.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = get.send().await.map_err(|e| self.failed("reading", e))?;
        self.meter.add(purpose, consumed::read(answer.consumed_capacity()));
        Ok(answer.item.map(from_sdk))
    }

    async fn query(&self, range: &KeyRange, page: &Page) -> StoreResult<Vec<KeyedRow>> {
        if range.first > range.last {
            return Ok(Vec::new()); // DynamoDB would return an error
        }
        let text = |s: &str| AttributeValue::S(s.to_string());
        let purpose = self.read_for.unwrap_or(Purpose::of_range(range));
        let mut rows = Vec::new();
        let mut from = page.after.as_ref().map(|sk| key_attributes(&range.pk, sk));
        loop {
            let left = page.limit.saturating_sub(rows.len());
            if left == 0 {
                return Ok(rows);
            }
            let query = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
                .expression_attribute_values(":pk", text(&range.pk))
                .expression_attribute_values(":first", text(&range.first))
                .expression_attribute_values(":last", text(&range.last))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .consistent_read(page.consistent)
                .scan_index_forward(!page.backwards)
                .limit(i32::try_from(left).unwrap_or(i32::MAX))
                .set_exclusive_start_key(from.take());
            let answer = query.send().await.map_err(|e| self.failed("reading", e))?;
            self.meter.add(purpose, consumed::read(answer.consumed_capacity()));
            let items = answer.items.unwrap_or_default();
            rows.extend(items.into_iter().map(|item| (sort_key(&item), from_sdk(item))));
            match answer.last_evaluated_key {
                Some(key) => from = Some(key),
                None => return Ok(rows),
            }
        }
    }

    async fn delete(&self, keys: Vec<Key>) -> StoreResult<()> {
        let Some(purpose) = keys.first().map(Purpose::of) else { return Ok(()) };
        let stored: BTreeSet<(String, String)> =
            keys.iter().map(|key| (key.pk(), key.sk())).collect();
        let mut requests = Vec::with_capacity(stored.len());
        for (pk, sk) in &stored {
            let delete = DeleteRequest::builder().set_key(Some(key_attributes(pk, sk))).build();
            let delete = delete
                .map_err(|e| StoreError::caused(ErrorKind::Unsupported, "building a delete", e))?;
            requests.push(WriteRequest::builder().delete_request(delete).build());
        }
        self.write(purpose, requests).await
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    fn metered_as_reads(self: Arc<Self>) -> Arc<dyn Cold> {
        Arc::new(DynamoCold { read_for: Some(Purpose::Reads), ..(*self).clone() })
    }

    async fn stored_bytes(&self) -> StoreResult<Option<u64>> {
        self.table_bytes().await
    }
}

/// Bytes that a record takes in DynamoDB, its index included.
pub(super) fn stored_bytes(record: &KeyedItem) -> u64 {
    units::item_bytes(&record.key.pk(), &record.key.sk(), &record.item)
        .saturating_add(units::INDEX_BYTES)
}

/// Returns the existing item, if a put failed because of its condition.
fn refused_by(error: &SdkError<PutItemError>) -> Option<Item> {
    match error.as_service_error() {
        Some(PutItemError::ConditionalCheckFailedException(refused)) => {
            Some(from_sdk(refused.item().cloned().unwrap_or_else(HashMap::new)))
        }
        _ => None,
    }
}

pub(super) fn to_sdk(record: &KeyedItem) -> attr::Attributes {
    attr::to_sdk(&record.key.pk(), &record.key.sk(), &record.item)
}
