//! All rows of a table in DynamoDB, for a copy. This is the only Scan that housecount has.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{PutRequest, ReturnConsumedCapacity, WriteRequest};
use housecount_backend::cold::bulk::{Bulk, ScanPage, StoredRow};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::meter::Purpose;
use housecount_core::units;

use super::DynamoCold;
use crate::dynamo::attr::{self, from_sdk, is_ours, key_attributes, partition_key, sort_key};
use crate::dynamo::consumed;

#[async_trait]
impl Bulk for DynamoCold {
    async fn scan(&self, after: Option<(String, String)>) -> StoreResult<ScanPage> {
        let after = after.map(|(pk, sk)| key_attributes(&pk, &sk));
        let scan = self.client.scan().table_name(&self.table).consistent_read(true);
        let scan = scan
            .set_exclusive_start_key(after)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = scan.send().await.map_err(|e| self.failed("reading", e))?;
        self.meter.add(Purpose::Reads, consumed::read(answer.consumed_capacity()));
        let next = answer.last_evaluated_key.map(|key| (partition_key(&key), sort_key(&key)));
        let mut page = ScanPage { next, ..ScanPage::default() };
        for attributes in answer.items.unwrap_or_default() {
            let (pk, sk) = (partition_key(&attributes), sort_key(&attributes));
            if is_ours(&attributes) {
                page.rows.push(StoredRow { pk, sk, item: from_sdk(attributes) });
            } else {
                page.foreign.push((pk, sk));
            }
        }
        Ok(page)
    }

    async fn put_rows(&self, rows: Vec<StoredRow>) -> StoreResult<()> {
        let bytes = rows.iter().map(|row| units::item_bytes(&row.pk, &row.sk, &row.item)).sum();
        let mut requests = Vec::with_capacity(rows.len());
        for row in rows {
            let item = attr::to_sdk(&row.pk, &row.sk, &row.item);
            let put = PutRequest::builder().set_item(Some(item)).build();
            let put =
                put.map_err(|e| StoreError::caused(ErrorKind::Unsupported, "building a put", e))?;
            requests.push(WriteRequest::builder().put_request(put).build());
        }
        self.write(Purpose::Ledger, requests).await?;
        self.meter.put(bytes);
        Ok(())
    }

    async fn rows_about(&self) -> StoreResult<u64> {
        Ok(self.table_state().await?.ok_or_else(|| self.missing())?.items)
    }
}
