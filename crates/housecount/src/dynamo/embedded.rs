//! The embedded engine: DynamoDB's API over SQLite in this process, by the crate `dynoxide-rs`, which is used
//! in this file only.
//!
//! It is an emulator, and says of itself that it is no production DynamoDB. What we rely on is checked by the
//! contract suite and by the restart tests: puts, queries and conditions answer as DynamoDB's, and a put that
//! was answered is on the disk. It never deletes expired items by itself (see `tasks/sweep`).

use std::fmt;

use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use dynoxide::{Database, DynoxideError};

use crate::clock::wall;
use crate::error::{ErrorKind, StoreError, StoreResult};
use crate::workers::aside;

/// An engine; clones share it.
#[derive(Clone)]
pub struct Engine {
    database: Database,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// An engine that forgets everything with the process. For tests.
    ///
    /// # Errors
    /// SQLite can't be started.
    pub fn memory() -> StoreResult<Engine> {
        let failed = |e: DynoxideError| {
            StoreError::caused(ErrorKind::Unavailable, "opening an engine in memory", e.to_string())
        };
        Ok(Engine { database: Database::memory().map_err(failed)? })
    }

    /// One call of DynamoDB's JSON protocol: the operation's name and the request's body to the answer's
    /// status and body. Blocks.
    #[must_use]
    pub fn call(&self, operation: &str, body: &[u8]) -> (u16, String) {
        match self.answer(operation, body) {
            Ok(body) => (200, body),
            Err(error) => (error.status_code(), error.to_json()),
        }
    }

    fn answer(&self, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
        let db = &self.database;
        macro_rules! call {
            ($method:ident) => {{
                let request = serde_json::from_slice(body)
                    .map_err(|e| DynoxideError::SerializationException(e.to_string()))?;
                serde_json::to_string(&db.$method(request)?)
                    .map_err(|e| DynoxideError::InternalServerError(e.to_string()))
            }};
        }
        match operation {
            "BatchWriteItem" => call!(batch_write_item),
            "CreateTable" => call!(create_table),
            "DeleteItem" => call!(delete_item),
            "DeleteTable" => call!(delete_table),
            "DescribeTable" => call!(describe_table),
            "DescribeTimeToLive" => call!(describe_time_to_live),
            "GetItem" => call!(get_item),
            "PutItem" => call!(put_item),
            "Query" => call!(query),
            "Scan" => call!(scan),
            "TransactWriteItems" => call!(transact_write_items),
            "UpdateItem" => call!(update_item),
            "UpdateTimeToLive" => call!(update_time_to_live),
            _ => Err(DynoxideError::UnsupportedCapability(format!("{operation} is not part of the engine"))),
        }
    }

    /// The engine as the SDK's way out: requests go to it instead of the network.
    pub(super) fn connector(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(InProcess { engine: self.clone() });
        http_client_fn(move |_, _| connector.clone())
    }
}

#[derive(Debug)]
struct InProcess {
    engine: Engine,
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let engine = self.engine.clone();
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default().to_string();
            let body = request.body().bytes().unwrap_or_default().to_vec();
            // SQLite blocks: on its own thread, so that no heartbeat waits for a disk.
            let answer = aside(move || engine.call(&operation, &body));
            let (status, body) = answer.await.map_err(|e| ConnectorError::other(e.into(), None))?;
            let status = StatusCode::try_from(status).map_err(|e| ConnectorError::other(e.into(), None))?;
            let mut response = HttpResponse::new(status, SdkBody::from(body));
            // As DynamoDB has it: the log takes its time from there.
            response.headers_mut().insert("date", super::clock::http_date(wall()));
            Ok(response)
        })
    }
}
