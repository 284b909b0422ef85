//! All parsers of external bytes, as the targets of `fuzz/` and their bounded run in the tests call
//! them.
//!
//! Any bytes must be read or refused, without a panic and without more memory than the input
//! justifies. Each target returns whether it read the bytes, so that a corpus that reaches no code
//! is visible.

use housecount_access::labels::LabelKeys;
use housecount_archive::ArchiveDecoder;
use housecount_body::batch_body::{BatchForm, parse_many};
use housecount_body::heartbeat_json::HeartbeatRequest;
use housecount_codec::bytes::seal;
use housecount_core::event::EventKind;
use housecount_core::flush::NumberTables;
use housecount_core::ids::{StageId, ViewerId};
use housecount_core::item::{Attr, Item};
use housecount_core::record;
use housecount_core::time::UnixMs;
use housecount_events::batch::EventBatch;
use housecount_events::checkpoint;
use housecount_events::state::AudienceState;
use housecount_events::webhooks::progress::WebhookProgress;
use housecount_events::webhooks::queue::DeliveryQueue;
use housecount_ledger::{Book, Chunk};
use housecount_server::http::extract::check_percent_encoding;
use housecount_server::http::ws::message::Message;
use housecount_stores::cold::ColdTarget;
use housecount_stores::log::LogTarget;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

/// A fuzz target, which returns whether it could read the bytes.
pub type Target = fn(&[u8]) -> bool;

/// All targets, by the names of their corpora.
pub const TARGETS: [(&str, Target); 12] = [
    ("archive", archive),
    ("flush", flush),
    ("chunk", chunk),
    ("record", record),
    ("heartbeat", heartbeat),
    ("batch", batch),
    ("message", message),
    ("path", path),
    ("store", store),
    ("events", events),
    ("event_state", event_state),
    ("webhook", webhook),
];

/// Returns the body after the first byte, which selects its form. An odd byte seals the body, so
/// that the checksum does not stop every input.
fn unsealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let (how, body) = bytes.split_first()?;
    let mut body = body.to_vec();
    if how % 2 == 1 {
        seal(&mut body);
    }
    Some(body)
}

/// Reads a chunk of the archive, and the same chunk again as its successor.
#[must_use]
pub fn archive(bytes: &[u8]) -> bool {
    let Some(bytes) = unsealed(bytes) else { return false };
    let (mut reader, mut entries) = (ArchiveDecoder::default(), 0);
    let is_read = reader.read(&bytes, |_| entries += 1).is_ok();
    assert!(is_read || entries == 0, "half of a chunk was decoded");
    let _ = reader.read(&bytes, |_| ());
    is_read
}

/// Reads a chunk of the ledger.
#[must_use]
pub fn chunk(bytes: &[u8]) -> bool {
    let Some(bytes) = unsealed(bytes) else { return false };
    let Ok((chunk, link)) = Chunk::decode(&bytes) else { return false };
    let mut book = Book::default();
    if book.apply(&chunk, link, &mut ()).is_ok() {
        book.open_spans().for_each(drop);
    }
    // Some chunks that no writer makes (the same viewer many times) pack so well that decoding
    // refuses them. No other chunk changes.
    if let Ok((again, _)) = Chunk::decode(&chunk.encode()) {
        assert_eq!(again, chunk);
    }
    true
}

/// Reads a record of the log.
#[must_use]
pub fn record(bytes: &[u8]) -> bool {
    let Some(bytes) = unsealed(bytes) else { return false };
    let Ok(entries) = record::decode(&bytes) else { return false };
    assert!(entries.len() <= bytes.len(), "{} events of {} bytes", entries.len(), bytes.len());
    if !entries.is_empty() {
        let again = record::encode(&entries);
        assert_eq!(record::decode(&again).as_deref(), Ok(&entries[..]));
    }
    true
}

/// Reads an item of a DynamoDB log, the first of its epoch or raw.
#[must_use]
pub fn flush(bytes: &[u8]) -> bool {
    let Some(bytes) = unsealed(bytes) else { return false };
    let mut books = NumberTables::default();
    let Ok(flushed) = books.read(1, UnixMs(1_790_000_000_000), &bytes) else { return false };
    // A second read gives the same result, with the book that the first one made.
    let again = books.read(1, UnixMs(1_790_000_000_000), &bytes);
    assert!(again.is_ok_and(|again| again.attended == flushed.attended));
    true
}

/// Reads the body of `POST /v1/heartbeat`.
#[must_use]
pub fn heartbeat(bytes: &[u8]) -> bool {
    HeartbeatRequest::parse(bytes).is_ok_and(|body| is_good(&body))
}

/// Whether the ids of a heartbeat are good, and its labels where a node has two keys.
fn is_good(body: &HeartbeatRequest<'_>) -> bool {
    let keys = LabelKeys::new(vec!["country".to_string(), "device".to_string()]);
    let Ok(labels) = keys.unwrap_or_default().of_json(body.labels.map_or("{}", RawValue::get))
    else {
        return false;
    };
    if let Some(labels) = labels {
        assert_eq!(labels.labels().pairs().count(), 2, "{labels:?}");
    }
    body.to_event(EventKind::Beat).is_ok()
}

/// Reads the body of `POST /v1/heartbeats`, in each form.
#[must_use]
pub fn batch(bytes: &[u8]) -> bool {
    let read = |form| {
        let Ok(parsed) = parse_many(bytes, form) else { return 0 };
        assert!(
            parsed.len() <= bytes.len(),
            "{} heartbeats of {} bytes",
            parsed.len(),
            bytes.len()
        );
        let good = parsed.iter().filter_map(|(_, body)| body.as_ref().ok());
        good.filter(|body| is_good(body)).count()
    };
    [BatchForm::Json, BatchForm::Lines, BatchForm::Either].into_iter().map(read).sum::<usize>() > 0
}

/// Reads a message on a WebSocket.
#[must_use]
pub fn message(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(message) = Message::parse(text) else { return false };
    message.ids().is_none_or(|ids| is_good(&ids))
}

/// Reads a percent-encoded id in a request's path.
#[must_use]
pub fn path(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if check_percent_encoding(text).is_err() {
        return false;
    }
    let Ok(decoded) = percent_decode_str(text).decode_utf8() else { return false };
    assert!(decoded.len() <= text.len());
    StageId::parse(&decoded).is_ok() | ViewerId::parse(&decoded).is_ok()
}

/// Reads the address of a log or of a cold tier, which is shown without its password.
#[must_use]
pub fn store(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let log = LogTarget::parse(text);
    if let Ok(log) = &log {
        drop(log.to_string());
    }
    log.is_ok() | ColdTarget::parse(text, "table").is_ok()
}

/// Reads a stored batch of events.
#[must_use]
pub fn events(bytes: &[u8]) -> bool {
    let Some(bytes) = unsealed(bytes) else { return false };
    let Ok(batch) = EventBatch::decode(&bytes) else { return false };
    let count = batch.events.len();
    assert!(count <= bytes.len(), "{count} events of {} bytes", bytes.len());
    let mut state = AudienceState::default();
    batch.events.iter().for_each(|event| state.apply(event));
    assert_eq!(EventBatch::decode(&batch.encode()), Ok(batch));
    true
}

/// Reads a stored part of the state that events leave.
#[must_use]
pub fn event_state(bytes: &[u8]) -> bool {
    let Some(bytes) = unsealed(bytes) else { return false };
    let mut state = AudienceState::default();
    if checkpoint::decode_into(&mut state, &bytes).is_err() {
        return false;
    }
    assert!(state.open.len() <= bytes.len(), "{} stages", state.open.len());
    let mut again = AudienceState::default();
    for part in checkpoint::encode(&state) {
        assert_eq!(checkpoint::decode_into(&mut again, &part), Ok(()));
    }
    assert_eq!(again, state);
    true
}

/// Reads the stored progress of a webhook, and continues its queue.
#[must_use]
pub fn webhook(bytes: &[u8]) -> bool {
    let Some(bytes) = unsealed(bytes) else { return false };
    let item = Item::from([("waiting".to_string(), Attr::B(bytes.clone()))]);
    let Ok(progress) = WebhookProgress::from_item(&item) else { return false };
    let count = progress.waiting.len();
    assert!(count <= bytes.len(), "{count} numbers of {} bytes", bytes.len());
    let queue = DeliveryQueue::resume(progress.read_to, progress.waiting.clone());
    assert_eq!(queue.pending(), count);
    assert_eq!(WebhookProgress::from_item(&progress.to_item()), Ok(progress));
    true
}
