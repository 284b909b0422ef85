//! Metadata of a partition, stored in an item of its own. A node writes it when it creates the
//! partition, and a few times an hour.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::PartitionMeta;
use housecount_backend::meter::Purpose;
use housecount_core::fold::HandleKey;
use housecount_core::item::{Attr, Item, number, number_or_zero};
use housecount_core::keys::{LOG_META_SK, log_pk};
use housecount_core::time::UnixMs;
use tokio::time::Instant;

use super::DynamoLog;
use crate::dynamo::attr::{from_sdk, key_attributes, to_sdk};
use crate::dynamo::consumed;

/// Interval at which the metadata is read again. Another node may have changed it, or the table may
/// have been replaced.
const META_EVERY: Duration = Duration::from_secs(30);

/// Contents of the item.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meta {
    pub(super) origin: PartitionMeta,
    /// Records before this time are no longer needed.
    pub(super) trimmed: UnixMs,
}

impl Meta {
    fn of(item: &Item) -> Meta {
        let time = |name| UnixMs(number_or_zero(item, name));
        let origin = PartitionMeta {
            created_at: time("born"),
            is_complete: number_or_zero(item, "whole") == 1,
            last_tended_at: time("attended"),
            committed: time("committed"),
            key: HandleKey(number_or_zero(item, "key")),
        };
        Meta { origin, trimmed: time("trimmed") }
    }
}

impl DynamoLog {
    /// Returns the metadata, cached for [`META_EVERY`] unless `is_forced`.
    pub(super) async fn origin(&self, partition: u16, is_forced: bool) -> StoreResult<Meta> {
        let known = self.past(partition).meta;
        if let Some((at, meta)) = known
            && !is_forced
            && at.elapsed() < META_EVERY
        {
            return Ok(meta);
        }
        let meta = self.meta(partition, is_forced || known.is_none()).await?;
        let mut past = self.past(partition);
        let mut meta = meta;
        if let Some((_, known)) = past.meta
            && known.origin.created_at == meta.origin.created_at
        {
            // An answer may be older than what this handle has written itself.
            let (before, now) = (known.origin, &mut meta.origin);
            now.is_complete |= before.is_complete;
            now.last_tended_at = now.last_tended_at.max(before.last_tended_at);
            now.committed = now.committed.max(before.committed);
            now.key = if now.key == HandleKey::default() { before.key } else { now.key };
        } else if past.meta.is_some() {
            (past.attended_sent, past.attended_unsent, past.trimmed) =
                (UnixMs::ZERO, UnixMs::ZERO, UnixMs::ZERO);
        }
        past.attended_sent = past.attended_sent.max(meta.origin.last_tended_at);
        past.trimmed = past.trimmed.max(meta.trimmed);
        past.meta = Some((Instant::now(), meta));
        Ok(meta)
    }

    /// Reads a partition's metadata, and creates the partition if it doesn't exist.
    pub(super) async fn meta(&self, partition: u16, is_consistent: bool) -> StoreResult<Meta> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key_attributes(&log_pk(partition), LOG_META_SK)))
            .consistent_read(is_consistent)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = get.send().await.map_err(|e| self.failed("reading the log in", e))?;
        self.meter.add(Purpose::Log, consumed::read(answer.consumed_capacity()));
        let Some(item) = answer.item.map(from_sdk) else {
            return match is_consistent {
                true => self.create_meta(partition).await,
                false => Box::pin(self.meta(partition, true)).await,
            };
        };
        for (name, here) in
            [("partitions", u64::from(self.partitions)), ("flush", self.pace.flush_ms)]
        {
            // A value that isn't a number was written by another program, and is ignored.
            let Ok(there) = number(&item, name) else { continue };
            if there != here {
                let unit = if name == "flush" { "ms" } else { "" };
                let text = format!(
                    "the log in {} has {name}={there}{unit}, but this node is configured with {here}{unit}; set &{name}={there}{unit}",
                    self.shown
                );
                return Err(StoreError::new(ErrorKind::Schema, text));
            }
        }
        Ok(Meta::of(&item))
    }

    async fn create_meta(&self, partition: u16) -> StoreResult<Meta> {
        self.calibrate_clock(partition).await?;
        let numbers = [
            ("born", self.pace.now().0),
            ("partitions", u64::from(self.partitions)),
            ("flush", self.pace.flush_ms),
        ];
        let item: Item = numbers.map(|(name, n)| (name.to_string(), Attr::N(n))).into();
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(to_sdk(&log_pk(partition), LOG_META_SK, &item)))
            .condition_expression("attribute_not_exists(pk)")
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match put.send().await {
            Ok(answer) => {
                self.meter.add(Purpose::Log, consumed::written(answer.consumed_capacity()))
            }
            // Another node was faster.
            Err(error)
                if matches!(
                    error.as_service_error(),
                    Some(PutItemError::ConditionalCheckFailedException(_))
                ) => {}
            Err(error) => return Err(self.failed("creating the log in", error)),
        }
        Box::pin(self.meta(partition, true)).await
    }

    /// Changes a partition's metadata if it was created at `born` and `condition` holds as well.
    ///
    /// Otherwise nothing changes. `numbers` are set. Names in conditions are `#name`, values
    /// `:name`.
    pub(super) async fn update_meta(
        &self,
        partition: u16,
        born: UnixMs,
        numbers: &[(&str, u64)],
        condition: &str,
    ) -> StoreResult<()> {
        let sets: Vec<String> =
            numbers.iter().map(|(name, _)| format!("#{name} = :{name}")).collect();
        let with_born = || numbers.iter().copied().chain([("born", born.0)]);
        let names: HashMap<_, _> =
            with_born().map(|(name, _)| (format!("#{name}"), name.to_string())).collect();
        let values =
            with_born().map(|(name, n)| (format!(":{name}"), AttributeValue::N(n.to_string())));
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key_attributes(&log_pk(partition), LOG_META_SK)))
            .update_expression(format!("SET {}", sets.join(", ")))
            .condition_expression(format!("#born = :born{condition}"))
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values.collect()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match update.send().await {
            Ok(answer) => {
                self.meter.add(Purpose::Log, consumed::written(answer.consumed_capacity()));
                Ok(())
            }
            Err(error)
                if matches!(
                    error.as_service_error(),
                    Some(UpdateItemError::ConditionalCheckFailedException(_))
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(self.failed("updating the log in", error)),
        }
    }
}
