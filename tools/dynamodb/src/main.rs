//! DynamoDB's API on a loopback port, over an emulator in memory, for tests.
//!
//! Prints its address as the first line, and ends when its standard input ends. So it never
//! outlives the test that started it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;

use dynoxide::{Database, DynoxideError};

/// Most bytes in a request's body. DynamoDB takes 16 MB.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("housecount-dynamodb: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let database = Database::memory()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let database = database.clone();
            // A broken connection concerns only its client.
            std::thread::spawn(move || serve(&database, stream).ok());
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Answers the requests of a connection, one after the other.
fn serve(database: &Database, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
    while let Some(Request { operation, body }) = read(&mut reader)? {
        let (status, answer) = call(database, &operation, &body);
        let reason = if status == 200 { "OK" } else { "Error" };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: application/x-amz-json-1.0\r\ndate: {}\r\ncontent-length: {}\r\n\r\n",
            httpdate::fmt_http_date(std::time::SystemTime::now()),
            answer.len()
        );
        writer.write_all(&[head.as_bytes(), answer.as_bytes()].concat())?;
    }
    Ok(())
}

/// One call of DynamoDB's JSON protocol.
struct Request {
    /// The operation's name, from `x-amz-target: DynamoDB_20120810.<operation>`.
    operation: String,
    body: Vec<u8>,
}

/// Reads a request; returns `None` at the connection's end.
fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let (mut operation, mut length, mut line) = (String::new(), 0, String::new());
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => {
                operation = value.rsplit('.').next().unwrap_or_default().trim().to_string()
            }
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    if length > BODY_BYTES_MAX {
        return Err(std::io::Error::other("the body is too large"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { operation, body }))
}

/// Answers one call; returns the answer's status and body.
fn call(database: &Database, operation: &str, body: &[u8]) -> (u16, String) {
    match answer(database, operation, body) {
        Ok(body) => (200, body),
        Err(error) => (error.status_code(), error.to_json()),
    }
}

fn answer(database: &Database, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
    macro_rules! call {
        ($method:ident) => {{
            let request = serde_json::from_slice(body)
                .map_err(|e| DynoxideError::SerializationException(e.to_string()))?;
            serde_json::to_string(&database.$method(request)?)
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
        "ListTables" => call!(list_tables),
        "PutItem" => call!(put_item),
        "Query" => call!(query),
        "Scan" => call!(scan),
        "TransactWriteItems" => call!(transact_write_items),
        "UpdateItem" => call!(update_item),
        "UpdateTimeToLive" => call!(update_time_to_live),
        _ => Err(DynoxideError::UnsupportedCapability(format!(
            "{operation} is not part of the emulator"
        ))),
    }
}
