//! Administration of the table: create, describe, check and delete. Every step may be done twice.

use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableOutput;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification,
    ProvisionedThroughput, ScalarAttributeType, TableDescription, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};

use super::DynamoCold;
use crate::dynamo::failure;

/// Attribute that DynamoDB's TTL reads.
const TTL_ATTRIBUTE: &str = "ttl";
/// Interval between two checks of a table that is being created or deleted.
const POLL: Duration = Duration::from_millis(500);
/// Number of checks after which a table counts as not ready. DynamoDB takes some ten seconds.
const READY_POLLS_MAX: u32 = 600;

/// Options for creating the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// Provisioned read and write units per second, instead of paying per request.
    pub provisioned: Option<(u32, u32)>,
    /// Whether DynamoDB makes continuous backups.
    pub point_in_time_recovery: bool,
}

/// State of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableState {
    /// Status in DynamoDB's words, such as `ACTIVE` or `CREATING`.
    pub status: String,
    /// `PAY_PER_REQUEST` or `PROVISIONED`.
    pub billing: String,
    /// Whether expired items are deleted.
    pub ttl: bool,
    /// Number of items, as DynamoDB last counted them (up to six hours ago).
    pub items: u64,
    /// Number of bytes, counted likewise.
    pub bytes: u64,
}

impl DynamoCold {
    /// Creates the table unless it exists, waits until it is ready, and switches TTL on.
    ///
    /// `say` is called with each step that was done.
    ///
    /// # Errors
    /// Returns `Schema` if a table of that name has other keys.
    pub async fn create_table(
        &self,
        options: &TableOptions,
        mut say: impl FnMut(&str),
    ) -> StoreResult<()> {
        match self.describe().await? {
            Some(_) if options.provisioned.is_some() => {
                say("The table is there; its capacity is not changed.")
            }
            Some(_) => say("The table is there."),
            None => {
                self.send_create(options).await?;
                say("The table is being created.");
            }
        }
        self.wait_until_active().await?;
        say("The table is ACTIVE.");
        self.check_table().await?;
        if self.switch_ttl_on().await? {
            say("TTL is switched on for the attribute `ttl`.");
        } else {
            say("TTL is on for the attribute `ttl`.");
        }
        if options.point_in_time_recovery {
            self.switch_recovery_on().await?;
            say("Point-in-time recovery is on.");
        }
        Ok(())
    }

    /// Returns the state of the table; `None` if it doesn't exist.
    pub async fn table_state(&self) -> StoreResult<Option<TableState>> {
        let Some(table) = self.describe().await? else { return Ok(None) };
        let count = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        Ok(Some(TableState {
            status: table.table_status().map_or("UNKNOWN", TableStatus::as_str).to_string(),
            billing: table
                .billing_mode_summary()
                .and_then(|b| b.billing_mode())
                .map_or("PROVISIONED", BillingMode::as_str)
                .to_string(),
            ttl: self.is_ttl_on().await?,
            items: count(table.item_count()),
            bytes: count(table.table_size_bytes()),
        }))
    }

    /// Returns the bytes of the table, as DynamoDB last counted them; `None` if it doesn't exist.
    pub(super) async fn table_bytes(&self) -> StoreResult<Option<u64>> {
        let bytes = self.describe().await?.and_then(|table| table.table_size_bytes());
        Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()))
    }

    /// Deletes the table and everything in it, and waits until it is gone. Returns false if it
    /// didn't exist.
    pub async fn delete_table(&self) -> StoreResult<bool> {
        let call = self.client.delete_table().table_name(&self.table).send().await;
        match call {
            Err(e) if e.code() == Some("ResourceNotFoundException") => return Ok(false),
            Err(e) => return Err(self.failed("deleting", e)),
            Ok(_) => {}
        }
        for _ in 0..READY_POLLS_MAX {
            if self.describe().await?.is_none() {
                return Ok(true);
            }
            tokio::time::sleep(POLL).await;
        }
        Err(self.not_ready("is still being deleted"))
    }

    /// Checks that the table exists and has the right keys.
    pub(super) async fn check_table(&self) -> StoreResult<()> {
        let Some(table) = self.describe().await? else {
            return Err(self.missing());
        };
        let keys = shown_keys(&table);
        if keys == "pk (S) HASH, sk (S) RANGE" {
            return Ok(());
        }
        let text = format!(
            "{} has the keys {keys}, and housecount needs pk (S) HASH, sk (S) RANGE; choose another table",
            self.shown
        );
        Err(StoreError::new(ErrorKind::Schema, text))
    }

    async fn describe(&self) -> StoreResult<Option<TableDescription>> {
        match self.client.describe_table().table_name(&self.table).send().await {
            Ok(DescribeTableOutput { table, .. }) => Ok(table),
            Err(e) if e.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(e) => Err(self.failed("describing", e)),
        }
    }

    async fn send_create(&self, options: &TableOptions) -> StoreResult<()> {
        let built =
            |e| StoreError::caused(ErrorKind::Unsupported, "describing the table to create", e);
        let mut create = self.client.create_table().table_name(&self.table);
        for (name, key_type) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let attribute = AttributeDefinition::builder().attribute_name(name);
            let attribute =
                attribute.attribute_type(ScalarAttributeType::S).build().map_err(built)?;
            let key = KeySchemaElement::builder().attribute_name(name).key_type(key_type).build();
            create = create.attribute_definitions(attribute).key_schema(key.map_err(built)?);
        }
        create = match options.provisioned {
            None => create.billing_mode(BillingMode::PayPerRequest),
            Some((read, write)) => {
                let units = ProvisionedThroughput::builder()
                    .read_capacity_units(i64::from(read))
                    .write_capacity_units(i64::from(write));
                create
                    .billing_mode(BillingMode::Provisioned)
                    .provisioned_throughput(units.build().map_err(built)?)
            }
        };
        match create.send().await {
            // Another caller was faster.
            Err(e) if e.code() == Some("ResourceInUseException") => Ok(()),
            Err(e) => Err(self.failed("creating", e)),
            Ok(_) => Ok(()),
        }
    }

    async fn wait_until_active(&self) -> StoreResult<()> {
        for _ in 0..READY_POLLS_MAX {
            let table = self.describe().await?;
            if table.and_then(|t| t.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(self.not_ready("is not ACTIVE yet"))
    }

    /// Builds the error for a table that doesn't exist.
    pub(super) fn missing(&self) -> StoreError {
        failure::missing(&self.shown)
    }

    fn not_ready(&self, what: &str) -> StoreError {
        StoreError::new(ErrorKind::Unavailable, format!("{} {what}; try again", self.shown))
    }

    async fn is_ttl_on(&self) -> StoreResult<bool> {
        let call = self.client.describe_time_to_live().table_name(&self.table).send().await;
        let answer = call.map_err(|e| self.failed("describing", e))?;
        let ttl = answer.time_to_live_description;
        let is_ours = ttl.as_ref().is_some_and(|ttl| ttl.attribute_name() == Some(TTL_ATTRIBUTE));
        let status = ttl.and_then(|ttl| ttl.time_to_live_status);
        Ok(is_ours
            && matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)))
    }

    /// Switches TTL on, for which CreateTable has no field. Returns false if it was on.
    async fn switch_ttl_on(&self) -> StoreResult<bool> {
        if self.is_ttl_on().await? {
            return Ok(false);
        }
        let ttl = TimeToLiveSpecification::builder().attribute_name(TTL_ATTRIBUTE).enabled(true);
        let ttl = ttl
            .build()
            .map_err(|e| StoreError::caused(ErrorKind::Unsupported, "describing the TTL", e))?;
        let call = self.client.update_time_to_live().table_name(&self.table);
        match call.time_to_live_specification(ttl).send().await {
            Ok(_) => Ok(true),
            // Another caller was faster.
            Err(_) if self.is_ttl_on().await? => Ok(false),
            Err(e) => Err(self.failed("switching TTL on for", e)),
        }
    }

    async fn switch_recovery_on(&self) -> StoreResult<()> {
        let recovery = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(true)
            .build();
        let recovery = recovery
            .map_err(|e| StoreError::caused(ErrorKind::Unsupported, "describing the backups", e))?;
        for _ in 0..READY_POLLS_MAX {
            let call = self.client.update_continuous_backups().table_name(&self.table);
            match call.point_in_time_recovery_specification(recovery.clone()).send().await {
                Ok(_) => return Ok(()),
                // A table that has just been created is not ready for it yet.
                Err(e) if e.code() == Some("ContinuousBackupsUnavailableException") => {}
                Err(e) => return Err(self.failed("switching point-in-time recovery on for", e)),
            }
            tokio::time::sleep(POLL).await;
        }
        Err(self.not_ready("is not ready for point-in-time recovery yet"))
    }
}

/// The key schema for people, HASH first.
fn shown_keys(table: &TableDescription) -> String {
    let kind = |name: &str| {
        let attribute = table.attribute_definitions().iter().find(|a| a.attribute_name() == name);
        attribute.map_or("?", |a| a.attribute_type().as_str())
    };
    let mut keys: Vec<_> = table.key_schema().iter().collect();
    keys.sort_by_key(|k| *k.key_type() != KeyType::Hash);
    let shown = keys.iter().map(|k| {
        let name = k.attribute_name();
        format!("{name} ({}) {}", kind(name), k.key_type().as_str())
    });
    shown.collect::<Vec<_>>().join(", ")
}
