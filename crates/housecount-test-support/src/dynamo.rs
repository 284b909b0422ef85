//! DynamoDB's API on a loopback port, over the emulator, with faults on demand.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use housecount_stores::cold::{ColdTarget, DynamoCold};
use housecount_stores::log::{DynamoLog, DynamoTarget};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::emulator::Emulator;

/// Number of coming calls that go wrong, by kind.
#[derive(Debug, Default)]
pub struct Faults {
    /// Calls that are answered as throttled.
    pub throttled: AtomicU32,
    /// Batches that leave all but one item unprocessed.
    pub unprocessed: AtomicU32,
    /// Calls that are applied, and then answered with 500.
    pub lying: AtomicU32,
    /// Transactions and puts that are answered as if another transaction held their items.
    pub conflicts: AtomicU32,
    /// UpdateContinuousBackups calls that come too early. The emulator doesn't know the call, so
    /// all of them are answered here.
    pub too_early: AtomicU32,
    /// Calls that were answered by the emulator.
    pub answered: AtomicU32,
    /// Connections that their client has closed. A client whose attempt times out does that, so an
    /// answer may be lost that was sent and billed.
    pub hung_up: AtomicU32,
    /// Consumption according to the answers that were sent, and to those that were lost.
    pub billed: Capacity,
    pub unbilled: Capacity,
    /// Text whose BatchWriteItems are refused as invalid; empty for none.
    pub refuses: Mutex<String>,
    /// Whether the next put of a ledger chunk hangs for ever. Its sender is then known by the port
    /// that it used.
    pub hold_chunk: AtomicBool,
    /// Port of the sender whose chunk hangs; zero before.
    pub held_from: AtomicU16,
}

/// Consumed capacity by the emulator's own account, in half units.
#[derive(Debug, Default)]
pub struct Capacity {
    pub writes: AtomicU32,
    pub reads: AtomicU32,
    /// Conditional writes that were refused, whose answers don't name their consumption.
    pub refused: AtomicU32,
}

impl Capacity {
    fn add(&self, operation: &str, status: u16, answer: &str) {
        let answer: Value = serde_json::from_str(answer).unwrap_or_default();
        let of =
            |consumed: &Value| (consumed["CapacityUnits"].as_f64().unwrap_or(0.0) * 2.0) as u32;
        let consumed = &answer["ConsumedCapacity"];
        let halves =
            consumed.as_array().map_or_else(|| of(consumed), |all| all.iter().map(of).sum());
        let is_read = matches!(operation, "GetItem" | "Query");
        if is_read { &self.reads } else { &self.writes }.fetch_add(halves, Ordering::SeqCst);
        let is_refused =
            status == 400 && answer["__type"].to_string().contains("ConditionalCheckFailed");
        self.refused.fetch_add(u32::from(is_refused), Ordering::SeqCst);
    }
}

/// Uses up one fault if there is one left.
fn take(fault: &AtomicU32) -> bool {
    fault.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

/// A DynamoDB for one test.
pub struct Dynamo {
    pub emulator: Arc<Emulator>,
    pub faults: Arc<Faults>,
    pub port: u16,
    server: JoinHandle<()>,
}

impl Dynamo {
    pub async fn start() -> Dynamo {
        let (emulator, faults) = (Emulator::start(), Arc::new(Faults::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(serve(listener, emulator.clone(), faults.clone()));
        Dynamo { emulator, faults, port, server }
    }

    /// Address on which it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// URL of a cold tier on it.
    pub fn url(&self, table: &str) -> String {
        url_at(&self.endpoint(), table)
    }

    /// Opens a cold tier in a table on it.
    pub async fn cold(&self, table: &str) -> DynamoCold {
        cold_at(&self.endpoint(), table).await
    }

    /// Opens a log in a table on it; `more` is a parameter such as `flush=40ms`.
    pub async fn log(&self, table: &str, more: &str) -> DynamoLog {
        log_at(&self.endpoint(), table, more).await
    }

    /// Creates a table with the keys that housecount needs.
    pub fn make_table(&self, table: &str) {
        self.emulator.make_table(table);
    }

    /// Makes one call that bypasses the faults, as other programs see the table.
    pub fn call(&self, operation: &str, body: Value) -> Value {
        self.emulator.done(operation, body)
    }

    /// Snapshots of a stage, as other programs query them.
    pub fn snapshots(&self, table: &str, stage: &str) -> Vec<Value> {
        let answer = self.call(
            "Query",
            json!({
                "TableName": table,
                "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
                "ExpressionAttributeValues": {
                    ":pk": { "S": format!("STAGE#{stage}") }, ":sk": { "S": "SNAPSHOT#" },
                },
            }),
        );
        answer["Items"].as_array().cloned().unwrap_or_default()
    }
}

fn url_at(endpoint: &str, table: &str) -> String {
    format!("dynamodb://{table}?region=eu-west-1&endpoint={endpoint}")
}

/// Opens a cold tier in a table behind an endpoint.
pub async fn cold_at(endpoint: &str, table: &str) -> DynamoCold {
    match ColdTarget::parse(&url_at(endpoint, table), "unused") {
        Ok(Some(ColdTarget::Dynamo(address))) => {
            DynamoCold::open_as(&address, Some(("test", "test"))).await
        }
        other => panic!("{other:?}"),
    }
}

/// Opens a log in a table behind an endpoint; `more` is a parameter such as `flush=40ms`.
pub async fn log_at(endpoint: &str, table: &str, more: &str) -> DynamoLog {
    let url = format!("{}&{more}", url_at(endpoint, table));
    let target = DynamoTarget::parse(url.trim_start_matches("dynamodb:")).unwrap();
    DynamoLog::open_as(&target, Some(("test", "test"))).await
}

impl Drop for Dynamo {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, emulator: Arc<Emulator>, faults: Arc<Faults>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (emulator, faults) = (emulator.clone(), faults.clone());
        connections.spawn(async move {
            let called = faults.clone();
            let service =
                service_fn(move |request| answer(request, emulator.clone(), called.clone()));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            faults.hung_up.fetch_add(1, Ordering::SeqCst);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    emulator: Arc<Emulator>,
    faults: Arc<Faults>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.headers().get("x-amz-target").and_then(|t| t.to_str().ok()).unwrap_or("");
    let operation = target.rsplit('.').next().unwrap_or_default().to_string();
    let came_by = request
        .headers()
        .get("host")
        .and_then(|host| host.to_str().ok()?.rsplit(':').next()?.parse().ok());
    let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let is_chunk = operation == "PutItem" && String::from_utf8_lossy(&body).contains("\"LEDGER#");
    if is_chunk && faults.hold_chunk.swap(false, Ordering::SeqCst) {
        faults.held_from.store(came_by.unwrap_or(0), Ordering::SeqCst);
        std::future::pending::<()>().await;
    }
    if take(&faults.throttled) {
        let kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
        return Ok(response(400, json!({ "__type": kind, "message": "slow down" }).to_string()));
    }
    if matches!(&*operation, "PutItem" | "TransactWriteItems") && take(&faults.conflicts) {
        return Ok(response(400, conflict(&operation).to_string()));
    }
    if operation == "UpdateContinuousBackups" {
        let kind = "com.amazonaws.dynamodb.v20120810#ContinuousBackupsUnavailableException";
        return Ok(match take(&faults.too_early) {
            true => response(400, json!({ "__type": kind, "message": "not yet" }).to_string()),
            false => response(200, "{}".to_string()),
        });
    }
    let refuses = faults.refuses.lock().unwrap().clone();
    if operation == "BatchWriteItem"
        && !refuses.is_empty()
        && String::from_utf8_lossy(&body).contains(&refuses)
    {
        let kind = "com.amazon.coral.validate#ValidationException";
        let message = "One or more parameter values were invalid";
        return Ok(response(400, json!({ "__type": kind, "message": message }).to_string()));
    }
    if operation == "BatchWriteItem" && take(&faults.unprocessed) {
        return Ok(partly(&emulator, &body, &faults));
    }
    let called = operation.clone();
    let call = tokio::task::spawn_blocking(move || emulator.call(&called, &body));
    let (status, text) = call.await.unwrap();
    if take(&faults.lying) {
        faults.unbilled.add(&operation, status, &text);
        return Ok(response(
            500,
            json!({ "__type": "InternalServerError", "message": "lie" }).to_string(),
        ));
    }
    faults.answered.fetch_add(1, Ordering::SeqCst);
    faults.billed.add(&operation, status, &text);
    Ok(response(status, text))
}

/// DynamoDB's answer to a write on an item that a transaction holds.
fn conflict(operation: &str) -> Value {
    let text = "Transaction is ongoing for the item";
    if operation == "PutItem" {
        let kind = "com.amazonaws.dynamodb.v20120810#TransactionConflictException";
        return json!({ "__type": kind, "message": text });
    }
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    let reasons = json!([{ "Code": "TransactionConflict", "Message": text }]);
    json!({ "__type": kind, "Message": "Transaction cancelled", "CancellationReasons": reasons })
}

/// Writes one item of a batch, and returns the others as unprocessed.
fn partly(emulator: &Emulator, body: &[u8], faults: &Faults) -> Response<Full<Bytes>> {
    let mut asked: Value = serde_json::from_slice(body).unwrap();
    let mut left = json!({});
    for (table, requests) in asked["RequestItems"].as_object_mut().unwrap() {
        let requests = requests.as_array_mut().unwrap();
        left[table] = Value::from(requests.split_off(1));
    }
    let (status, answer) = emulator.call("BatchWriteItem", asked.to_string().as_bytes());
    faults.billed.add("BatchWriteItem", status, &answer);
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    answer["UnprocessedItems"] = left;
    response(status, answer.to_string())
}

fn response(status: u16, body: String) -> Response<Full<Bytes>> {
    let response =
        Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
    response.body(Full::new(Bytes::from(body))).unwrap()
}
