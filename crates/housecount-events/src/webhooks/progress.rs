//! Stored progress of a webhook: the events that wait, and how its deliveries fare.
//!
//! docs/FORMATS.md lists the attributes of the item. Times are in ms. Zero and an empty text stand
//! for no value.
//!
//! Bytes of `waiting`, version 1:
//! ```text
//! u8      version = 1
//! varint  count of numbers, then for each: varint difference to the one before
//! u32 LE  CRC-32 (IEEE) of all before
//! ```

use std::collections::BTreeSet;

use housecount_backend::cold::{Cold, Condition, KeyedItem, PutOutcome};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_codec::bytes::{ByteReader, DecodeError, put_varint, seal};
use housecount_core::item::{Attr, Item, bytes, number_or_zero, text};
use housecount_core::keys::Key;
use housecount_core::limits::WEBHOOK_PENDING_MAX;
use housecount_core::time::UnixMs;

/// Version that this program writes, and the only one so far.
const VERSION: u8 = 1;
/// Bytes of a stored error.
const ERROR_BYTES_MAX: usize = 200;
const READ_TO: &str = "readTo";
const WAITING: &str = "waiting";

/// Progress of a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookProgress {
    /// Number of the last event that was looked at.
    pub read_to: u64,
    /// Numbers of the events up to it that wait.
    pub waiting: BTreeSet<u64>,
    /// Accepted events.
    pub delivered: u64,
    /// Events that were given up.
    pub given_up: u64,
    /// Time of the last accepted delivery; zero for none.
    pub accepted_at: UnixMs,
    /// Time of the first failed delivery since then; zero for none.
    pub failing_since: UnixMs,
    /// Reason of the last failed delivery since then.
    pub error: String,
    /// Time of the oldest event that waits; zero for none.
    pub oldest_at: UnixMs,
}

impl WebhookProgress {
    /// Records an accepted delivery at `now`. Returns the time for which deliveries have failed.
    pub fn accept(&mut self, now: UnixMs) -> Option<u64> {
        self.delivered += 1;
        self.accepted_at = now;
        self.error.clear();
        let since = std::mem::take(&mut self.failing_since);
        (since != UnixMs::ZERO).then(|| now.since(since))
    }

    /// Records a failed delivery at `now`. Returns whether it is the first one since the last
    /// accepted one.
    pub fn fail(&mut self, now: UnixMs, why: &str) -> bool {
        let end = (0..=ERROR_BYTES_MAX.min(why.len())).rev().find(|end| why.is_char_boundary(*end));
        self.error = why[..end.unwrap_or(0)].to_string();
        let is_first = self.failing_since == UnixMs::ZERO;
        if is_first {
            self.failing_since = now;
        }
        is_first
    }

    /// Returns the item.
    #[must_use]
    pub fn to_item(&self) -> Item {
        let numbers = [
            (READ_TO, self.read_to),
            ("delivered", self.delivered),
            ("givenUp", self.given_up),
            ("acceptedAt", self.accepted_at.0),
            ("failingSince", self.failing_since.0),
            ("oldestAt", self.oldest_at.0),
        ];
        let mut item: Item =
            numbers.into_iter().map(|(name, n)| (name.to_string(), Attr::N(n))).collect();
        item.insert(WAITING.to_string(), Attr::B(encode(&self.waiting)));
        if !self.error.is_empty() {
            item.insert("error".to_string(), Attr::S(self.error.clone()));
        }
        item
    }

    /// Reads the progress of an item.
    ///
    /// # Errors
    /// Returns the reason why the item is damaged.
    pub fn from_item(item: &Item) -> Result<WebhookProgress, String> {
        let waiting = bytes(item, WAITING).map_err(|e| e.to_string())?;
        let time = |name| UnixMs(number_or_zero(item, name));
        Ok(WebhookProgress {
            read_to: number_or_zero(item, READ_TO),
            waiting: decode(waiting).map_err(|e| e.to_string())?,
            delivered: number_or_zero(item, "delivered"),
            given_up: number_or_zero(item, "givenUp"),
            accepted_at: time("acceptedAt"),
            failing_since: time("failingSince"),
            error: text(item, "error").unwrap_or_default().to_string(),
            oldest_at: time("oldestAt"),
        })
    }

    /// Reads the progress of a webhook; `None` if none is stored.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt` for a damaged item.
    pub async fn load(cold: &dyn Cold, name: &str) -> StoreResult<Option<WebhookProgress>> {
        let key = Key::WebhookProgress { name: name.to_string() };
        let Some(item) = cold.get(&key).await? else { return Ok(None) };
        let damaged = |e: String| {
            StoreError::new(ErrorKind::Corrupt, format!("the progress of the webhook {name}: {e}"))
        };
        WebhookProgress::from_item(&item).map(Some).map_err(damaged)
    }

    /// Stores the progress. Returns false if another node has stored further progress.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`.
    pub async fn store(&self, cold: &dyn Cold, name: &str) -> StoreResult<bool> {
        let key = Key::WebhookProgress { name: name.to_string() };
        let record = KeyedItem { key, item: self.to_item() };
        let condition = Condition::AbsentOrAtMost { attr: READ_TO, value: self.read_to };
        Ok(cold.put_if(record, condition).await? == PutOutcome::Done)
    }
}

fn encode(waiting: &BTreeSet<u64>) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_varint(&mut out, waiting.len() as u64);
    let mut before = 0;
    for number in waiting {
        put_varint(&mut out, number - before);
        before = *number;
    }
    seal(&mut out);
    out
}

fn decode(bytes: &[u8]) -> Result<BTreeSet<u64>, DecodeError> {
    let mut reader = ByteReader::open(bytes, VERSION)?;
    let (at, count) = (reader.at(), reader.varint()?);
    // A resumed queue may hold its earlier events and new ones.
    if count > 2 * WEBHOOK_PENDING_MAX as u64 {
        return Err(DecodeError::Invalid { what: "the number of waiting events", at });
    }
    let (mut waiting, mut number) = (BTreeSet::new(), 0_u64);
    for _ in 0..count {
        let at = reader.at();
        let next = number.checked_add(reader.varint()?);
        number = next.ok_or(DecodeError::Invalid { what: "the number of an event", at })?;
        waiting.insert(number);
    }
    reader.finish()?;
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn progress_of_version_1_is_frozen() {
        let mut progress = WebhookProgress {
            read_to: 1_000,
            waiting: [7, 900, 1_000].into(),
            given_up: 1,
            oldest_at: UnixMs(1_790_000_000_000),
            ..WebhookProgress::default()
        };
        assert_eq!(progress.accept(UnixMs(5)), None);
        assert!(progress.fail(UnixMs(6), "no answer within 15 s"));
        assert!(!progress.fail(UnixMs(7), "it answers 500"));
        let item = progress.to_item();
        assert_eq!(WebhookProgress::from_item(&item), Ok(progress.clone()));
        assert_eq!(HEXLOWER.encode(bytes(&item, WAITING).unwrap()), FROZEN);
        let number = |name| number_or_zero(&item, name);
        assert_eq!(
            (number("readTo"), number("delivered"), number("givenUp"), number("oldestAt")),
            (1_000, 1, 1, 1_790_000_000_000)
        );
        assert_eq!((number("acceptedAt"), number("failingSince")), (5, 6));
        assert_eq!(text(&item, "error"), Ok("it answers 500"));
        assert_eq!(progress.accept(UnixMs(10)), Some(4));
        assert!(!progress.to_item().contains_key("error"));
    }

    const FROZEN: &str = "010307fd06642bd27001";

    #[test]
    fn an_error_is_cut_at_a_character() {
        let mut progress = WebhookProgress::default();
        progress.fail(UnixMs(1), &"é".repeat(150));
        assert_eq!(progress.error, "é".repeat(ERROR_BYTES_MAX / 2));
    }

    #[test]
    fn webhook_pending_max_bounds_what_is_decoded() {
        let all = |count: u64| encode(&(1..=count).collect());
        let max = 2 * WEBHOOK_PENDING_MAX as u64;
        assert_eq!(decode(&all(max)).unwrap().len() as u64, max);
        assert!(decode(&all(max + 1)).is_err());
        assert!(WebhookProgress::from_item(&Item::new()).is_err());
    }
}
