//! DynamoDB's API by an emulator in its own process (`tools/dynamodb`), which ends with the test
//! that started it.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};

/// A running emulator, which keeps everything in memory.
pub struct Emulator {
    process: Child,
    address: String,
    /// Connections without a call at present.
    idle: Mutex<Vec<TcpStream>>,
}

impl Emulator {
    pub fn start() -> Arc<Emulator> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../target/tools/dynamodb/debug/housecount-dynamodb"
        );
        assert!(Path::new(path).exists(), "there is no {path}: run ./test once, which builds it");
        let mut process =
            Command::new(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap().to_string();
        Arc::new(Emulator { process, address, idle: Mutex::default() })
    }

    /// Makes one call of DynamoDB's JSON protocol, and blocks until the answer. Takes the
    /// operation's name and the request's body; returns the answer's status and body.
    pub fn call(&self, operation: &str, body: &[u8]) -> (u16, String) {
        let idle = self.idle.lock().unwrap().pop();
        let mut stream = idle.unwrap_or_else(|| TcpStream::connect(&self.address).unwrap());
        stream.set_nodelay(true).unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\nx-amz-target: DynamoDB_20120810.{operation}\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut reader = BufReader::new(&mut stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        self.idle.lock().unwrap().push(stream);
        (status, String::from_utf8(answer).unwrap())
    }

    /// Makes a call that must succeed.
    pub fn done(&self, operation: &str, body: Value) -> Value {
        let (status, answer) = self.call(operation, body.to_string().as_bytes());
        assert_eq!(status, 200, "{operation}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Creates a table with the keys that housecount needs.
    pub fn make_table(&self, table: &str) {
        let attribute = |name| json!({ "AttributeName": name, "AttributeType": "S" });
        let key = |name, kind| json!({ "AttributeName": name, "KeyType": kind });
        self.done(
            "CreateTable",
            json!({
                "TableName": table, "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [attribute("pk"), attribute("sk")],
                "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
            }),
        );
    }

    /// An HTTP client for the SDK where time is simulated. A call is answered before any time
    /// passes.
    pub fn inline(self: &Arc<Self>) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(Inline(self.clone()));
        http_client_fn(move |_, _| connector.clone())
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Emulator({})", self.address)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Debug)]
struct Inline(Arc<Emulator>);

impl HttpConnector for Inline {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_string();
        let (status, body) = self.0.call(&operation, request.body().bytes().unwrap_or_default());
        let mut response =
            HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
        // A `date` header as DynamoDB sends it, since the log takes its time from there.
        let seconds = housecount_backend::clock::wall_clock().0 / 1_000;
        let date = DateTime::from_secs(seconds as i64).fmt(Format::HttpDate).unwrap();
        response.headers_mut().insert("date", date);
        HttpConnectorFuture::ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The emulator never outlives the test, however the test ends.
    #[test]
    fn an_emulator_ends_with_its_input() {
        let emulator = Emulator::start();
        let mut emulator = Arc::into_inner(emulator).unwrap();
        drop(emulator.process.stdin.take());
        assert!(emulator.process.wait().unwrap().success());
    }
}
