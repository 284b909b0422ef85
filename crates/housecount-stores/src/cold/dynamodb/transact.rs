//! Transactions of the cold tier: all writes or none, through DynamoDB's TransactWriteItems.
//!
//! Only puts and deletes are used, so that a node needs no permissions but `PutItem` and
//! `DeleteItem`. An item is checked by putting the same item under a condition.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, Put as SdkPut, ReturnConsumedCapacity,
    TransactWriteItem,
};
use housecount_backend::cold::{Condition, TransactOutcome, Write};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::meter::Purpose;
use housecount_core::units;
use housecount_core::units::Units;

use super::DynamoCold;
use super::{UNPROCESSED_RETRIES_MAX, resend_backoff, stored_bytes, to_sdk};
use crate::dynamo::attr::{self, Attributes, key_attributes};
use crate::dynamo::consumed;

/// A condition in DynamoDB's syntax.
pub(super) struct Expression {
    pub text: &'static str,
    pub names: Option<std::collections::HashMap<String, String>>,
    pub values: Option<Attributes>,
}

impl Expression {
    pub(super) fn of(condition: &Condition) -> Expression {
        let (text, name, value) = match condition {
            Condition::Absent => {
                return Expression { text: "attribute_not_exists(pk)", names: None, values: None };
            }
            Condition::AbsentOrAtMost { attr, value } => {
                let value = AttributeValue::N(value.to_string());
                ("attribute_not_exists(pk) OR #attr <= :value", attr, value)
            }
            Condition::Equals { attr: name, value } => ("#attr = :value", name, attr::value(value)),
        };
        let names = Some([("#attr".to_string(), name.to_string())].into());
        Expression { text, names, values: Some([(":value".to_string(), value)].into()) }
    }
}

/// Outcome of one attempt.
enum AttemptOutcome {
    Done,
    Refused,
    /// Another transaction holds one of the items, or the table is throttled. A retry may succeed.
    Conflict,
}

/// Whether a put met another transaction on its item.
pub(super) fn is_conflict(error: &SdkError<PutItemError>) -> bool {
    matches!(error.as_service_error(), Some(PutItemError::TransactionConflictException(_)))
}

impl DynamoCold {
    pub(super) async fn write_all_or_none(&self, writes: &[Write]) -> StoreResult<TransactOutcome> {
        let mut backoff = resend_backoff();
        for _ in 0..=UNPROCESSED_RETRIES_MAX {
            match self.try_transaction(writes).await? {
                AttemptOutcome::Done => return Ok(TransactOutcome::Done),
                AttemptOutcome::Refused => return Ok(TransactOutcome::ConditionFailed),
                AttemptOutcome::Conflict => backoff.wait().await,
            }
        }
        let context = format!("{}: other transactions hold the same items; try again", self.shown);
        Err(StoreError::new(ErrorKind::Throttled, context))
    }

    async fn try_transaction(&self, writes: &[Write]) -> StoreResult<AttemptOutcome> {
        let Some(purpose) = writes.first().map(|write| Purpose::of(write.key())) else {
            return Ok(AttemptOutcome::Done);
        };
        let items = writes
            .iter()
            .map(|write| self.transact_item(write))
            .collect::<StoreResult<Vec<_>>>()?;
        let call = self.client.transact_write_items().set_transact_items(Some(items));
        let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let error = match call.send().await {
            Ok(answer) => {
                self.meter.add(purpose, consumed::written(answer.consumed_capacity()));
                let puts = writes.iter().filter_map(|write| match write {
                    Write::Put { record, .. } => Some(stored_bytes(record)),
                    Write::Delete(_) => None,
                });
                self.meter.put(puts.sum());
                return Ok(AttemptOutcome::Done);
            }
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                let outcome = judge(canceled.cancellation_reasons());
                let outcome = outcome.ok_or_else(|| self.failed("writing to", error))?;
                // DynamoDB charges a refused transaction too, but doesn't report it.
                if matches!(outcome, AttemptOutcome::Refused) {
                    self.meter.add(
                        purpose,
                        writes.iter().map(units_of).fold(Units::default(), Units::plus),
                    );
                }
                Ok(outcome)
            }
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => {
                Ok(AttemptOutcome::Conflict)
            }
            _ => Err(self.failed("writing to", error)),
        }
    }

    fn transact_item(&self, write: &Write) -> StoreResult<TransactWriteItem> {
        let failed = |e| StoreError::caused(ErrorKind::Unsupported, "building a transaction", e);
        let item = TransactWriteItem::builder();
        Ok(match write {
            Write::Put { record, condition } => {
                let mut put =
                    SdkPut::builder().table_name(&self.table).set_item(Some(to_sdk(record)));
                if let Some(Expression { text, names, values }) =
                    condition.as_ref().map(Expression::of)
                {
                    put = put
                        .condition_expression(text)
                        .set_expression_attribute_names(names)
                        .set_expression_attribute_values(values);
                }
                item.put(put.build().map_err(failed)?).build()
            }
            Write::Delete(key) => {
                let key = key_attributes(&key.pk(), &key.sk());
                let delete = Delete::builder().table_name(&self.table).set_key(Some(key));
                item.delete(delete.build().map_err(failed)?).build()
            }
        })
    }
}

/// Interprets a cancelled transaction; `None` if it is a failure.
fn judge(reasons: &[CancellationReason]) -> Option<AttemptOutcome> {
    let mut outcome = None;
    for reason in reasons {
        match reason.code() {
            None | Some("None") => {}
            Some("ConditionalCheckFailed") => outcome = outcome.or(Some(AttemptOutcome::Refused)),
            Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => {
                outcome = Some(AttemptOutcome::Conflict);
            }
            Some(_) => return None,
        }
    }
    outcome
}

fn units_of(write: &Write) -> Units {
    let bytes = match write {
        Write::Put { record, .. } => {
            units::item_bytes(&record.key.pk(), &record.key.sk(), &record.item)
        }
        Write::Delete(_) => 0,
    };
    units::write_in_transaction(bytes)
}
