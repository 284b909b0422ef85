//! Labels of sessions: a value for each of a few keys, such as a country or a device.
//!
//! A session's labels are those of its earliest beat. The log carries them only beside a session's
//! ids, so a steady beat takes no more bytes. They also carry their *age*: how long before the
//! event they were first seen. So a log that was rewritten, or cut off at its start, still tells
//! which of two claims is the earlier one.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::limits::{
    LABEL_KEY_BYTES_MAX, LABEL_KEYS_MAX, LABEL_VALUE_BYTES_MAX, VIEWER_LABELS_MAX,
};

/// Separator of keys, and of values. No id and no label has a control character.
pub const SEPARATOR: char = '\u{1}';
/// Value in place of all values beyond a limit of different ones.
pub const OTHER: &str = "other";

/// Reason why a text is not a key or a value of a label. The text is for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The key has another form.
    #[error(
        "a label's key has 1 to {LABEL_KEY_BYTES_MAX} bytes of lower-case letters, digits, _ and -"
    )]
    Key,
    /// The value is longer, or has a control character.
    #[error("a label's value has at most {LABEL_VALUE_BYTES_MAX} bytes and no control characters")]
    Value,
    /// There are too many keys, a key is repeated or out of order, or a value has no key.
    #[error("a session has at most {LABEL_KEYS_MAX} labels, each with another key")]
    Keys,
}

/// Checks the rule of a key.
///
/// # Errors
/// Returns `Key` if it breaks the rule.
pub fn check_key(key: &str) -> Result<(), LabelError> {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    let is_key = (1..=LABEL_KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(is_allowed);
    if is_key { Ok(()) } else { Err(LabelError::Key) }
}

/// Checks the rule of a value. The empty text stands for "no value".
///
/// # Errors
/// Returns `Value` if it breaks the rule.
pub fn check_value(value: &str) -> Result<(), LabelError> {
    let is_value = value.len() <= LABEL_VALUE_BYTES_MAX && !value.chars().any(char::is_control);
    if is_value { Ok(()) } else { Err(LabelError::Value) }
}

/// Labels of a session, as an event carries them.
///
/// ```
/// use housecount_core::labels::SessionLabels;
///
/// let labels = SessionLabels::parse("country\u{1}device", "NO\u{1}phone", 0).unwrap();
/// let pairs: Vec<_> = labels.pairs().collect();
/// assert_eq!(pairs, [("country", "NO"), ("device", "phone")]);
/// assert_eq!(SessionLabels::NONE.pairs().count(), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionLabels<'a> {
    keys: &'a str,
    values: &'a str,
    age_ms: u64,
}

impl<'a> SessionLabels<'a> {
    /// The labels of a session without any.
    pub const NONE: SessionLabels<'static> = SessionLabels { keys: "", values: "", age_ms: 0 };

    /// Parses keys in ascending order and as many values, each separated by [`SEPARATOR`].
    ///
    /// # Errors
    /// Returns the first broken rule.
    pub fn parse(
        keys: &'a str,
        values: &'a str,
        age_ms: u64,
    ) -> Result<SessionLabels<'a>, LabelError> {
        let labels = SessionLabels { keys, values, age_ms };
        if keys.is_empty() {
            return if values.is_empty() { Ok(SessionLabels::NONE) } else { Err(LabelError::Keys) };
        }
        keys.split(SEPARATOR).try_for_each(check_key)?;
        values.split(SEPARATOR).try_for_each(check_value)?;
        let count = keys.split(SEPARATOR).count();
        let is_whole = count == values.split(SEPARATOR).count() && count <= LABEL_KEYS_MAX;
        let is_sorted = keys.split(SEPARATOR).is_sorted_by(|a, b| a < b);
        if is_whole && is_sorted { Ok(labels) } else { Err(LabelError::Keys) }
    }

    /// Returns the labels with texts that [`parse`](Self::parse) has checked.
    pub(crate) fn of_checked(keys: &'a str, values: &'a str, age_ms: u64) -> SessionLabels<'a> {
        SessionLabels { keys, values, age_ms }
    }

    /// Returns whether the session has no labels.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns how long before the event the labels were first seen.
    #[must_use]
    pub fn age_ms(&self) -> u64 {
        self.age_ms
    }

    /// Returns the same labels with another age.
    #[must_use]
    pub fn aged(self, age_ms: u64) -> SessionLabels<'a> {
        if self.is_none() { SessionLabels::NONE } else { SessionLabels { age_ms, ..self } }
    }

    /// Returns the keys, separated by [`SEPARATOR`].
    #[must_use]
    pub fn keys(&self) -> &'a str {
        self.keys
    }

    /// Returns the values in the order of their keys, separated by [`SEPARATOR`].
    #[must_use]
    pub fn values(&self) -> &'a str {
        self.values
    }

    /// Iterates over keys and values. A value may be empty.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let keys = self.keys.split(SEPARATOR).filter(|key| !key.is_empty());
        keys.zip(self.values.split(SEPARATOR))
    }
}

/// Separator of a key from its value in a text of [`ViewerLabels`].
const OF_KEY: char = '\u{2}';

/// Labels of a viewer on a stage at one time: the union of its sessions' labels.
///
/// A viewer with a phone and a television has two values of `device` while both play. So the times
/// of one viewer with different labels never overlap. Their sum is the viewer's watch time. The sum
/// of those with a value is that value's watch time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewerLabels(Arc<str>);

impl Default for ViewerLabels {
    fn default() -> ViewerLabels {
        ViewerLabels("".into())
    }
}

impl ViewerLabels {
    /// Returns the labels of one session. Empty values are left out.
    #[must_use]
    pub fn of(session: &SessionLabels<'_>) -> ViewerLabels {
        ViewerLabels::collect(session.pairs().filter(|(_, value)| !value.is_empty()))
    }

    /// Collects pairs of key and value, in any order. A value is empty where a session lacks the
    /// key, and only where another session of the viewer has it. Pairs beyond
    /// [`VIEWER_LABELS_MAX`] are left out, since no reader takes more.
    #[must_use]
    pub fn collect<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> ViewerLabels {
        let mut pairs: SmallVec<[(&str, &str); 4]> = pairs.into_iter().collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs.truncate(VIEWER_LABELS_MAX);
        let mut text = String::new();
        for (key, value) in pairs {
            if !text.is_empty() {
                text.push(SEPARATOR);
            }
            text.push_str(key);
            text.push(OF_KEY);
            text.push_str(value);
        }
        ViewerLabels(text.into())
    }

    /// Parses the text of labels.
    ///
    /// # Errors
    /// Returns the first broken rule. Pairs are in ascending order, each once, and at most
    /// [`VIEWER_LABELS_MAX`].
    pub fn parse(text: &str) -> Result<ViewerLabels, LabelError> {
        let mut before = None;
        for (n, pair) in text.split(SEPARATOR).filter(|_| !text.is_empty()).enumerate() {
            let pair = pair.split_once(OF_KEY).ok_or(LabelError::Keys)?;
            check_key(pair.0)?;
            check_value(pair.1)?;
            if before.is_some_and(|before| before >= pair) || n >= VIEWER_LABELS_MAX {
                return Err(LabelError::Keys);
            }
            before = Some(pair);
        }
        Ok(ViewerLabels(text.into()))
    }

    /// Returns the text of the labels: pairs in ascending order, a byte 1 between two, and a byte 2
    /// between a key and its value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether there are no labels.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over keys and values in ascending order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split(SEPARATOR).filter_map(|pair| pair.split_once(OF_KEY))
    }

    /// Iterates over the values of a key, at least one. The empty value stands for sessions that
    /// have none.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        let mut values =
            self.pairs().filter(move |pair| pair.0 == key).map(|pair| pair.1).peekable();
        let none = values.peek().is_none().then_some("");
        none.into_iter().chain(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::VIEWER_LABELS_BYTES_MAX;

    #[test]
    fn label_keys_max_of_the_longest_keys_and_values_are_labels() {
        let key = |n: usize| format!("{n}{}", "k".repeat(LABEL_KEY_BYTES_MAX - 1));
        let keys = |n: usize| (0..n).map(key).collect::<Vec<_>>().join("\u{1}");
        let value = "é".repeat(LABEL_VALUE_BYTES_MAX / 2);
        let values = |n: usize| vec![&*value; n].join("\u{1}");
        let n = LABEL_KEYS_MAX;
        let (all, all_values) = (keys(n), values(n));
        let labels = SessionLabels::parse(&all, &all_values, 7).unwrap();
        assert_eq!((labels.pairs().count(), labels.age_ms()), (n, 7));
        assert_eq!(SessionLabels::parse(&keys(n + 1), &values(n + 1), 0), Err(LabelError::Keys));
        assert_eq!(SessionLabels::parse(&keys(n), &values(n - 1), 0), Err(LabelError::Keys));
    }

    #[test]
    fn label_key_bytes_max_and_label_value_bytes_max_are_kept() {
        for bad in ["", "Country", "a b", "é", &"k".repeat(LABEL_KEY_BYTES_MAX + 1)] {
            assert_eq!(check_key(bad), Err(LabelError::Key), "{bad:?}");
        }
        for bad in ["a\u{1}b\u{2}", "line\n", &"v".repeat(LABEL_VALUE_BYTES_MAX + 1)] {
            assert_eq!(check_value(bad), Err(LabelError::Value), "{bad:?}");
        }
        assert_eq!((check_key("x-1_y"), check_value("")), (Ok(()), Ok(())));
    }

    #[test]
    fn keys_are_in_order_and_once() {
        for keys in ["b\u{1}a", "a\u{1}a"] {
            assert_eq!(SessionLabels::parse(keys, "x\u{1}y", 0), Err(LabelError::Keys));
        }
        assert_eq!(SessionLabels::parse("", "x", 0), Err(LabelError::Keys));
        assert_eq!(SessionLabels::parse("", "", 9), Ok(SessionLabels::NONE));
        let labels = SessionLabels::parse("a\u{1}b", "\u{1}y", 3).unwrap();
        assert_eq!(labels.pairs().collect::<Vec<_>>(), [("a", ""), ("b", "y")]);
        assert_eq!(labels.aged(0).age_ms(), 0);
        assert_eq!(SessionLabels::NONE.aged(5), SessionLabels::NONE);
    }

    #[test]
    fn viewer_labels_are_a_set_of_pairs() {
        let phone = SessionLabels::parse("country\u{1}device", "NO\u{1}phone", 0).unwrap();
        let labels = ViewerLabels::of(&phone);
        assert_eq!(labels.as_str(), "country\u{2}NO\u{1}device\u{2}phone");
        assert_eq!(labels.values("device").collect::<Vec<_>>(), ["phone"]);
        assert_eq!(labels.values("plan").collect::<Vec<_>>(), [""]);
        let both = ViewerLabels::collect(labels.pairs().chain([("device", "tv"), ("country", "")]));
        assert_eq!(both.values("device").collect::<Vec<_>>(), ["phone", "tv"]);
        assert_eq!(both.values("country").collect::<Vec<_>>(), ["", "NO"]);
        assert_eq!(ViewerLabels::parse(both.as_str()), Ok(both));
        assert_eq!(ViewerLabels::parse(""), Ok(ViewerLabels::default()));
        for bad in ["country", "b\u{2}x\u{1}a\u{2}x", "a\u{2}x\u{1}a\u{2}x", "A\u{2}x", "\u{1}"] {
            assert!(ViewerLabels::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn viewer_labels_max_pairs_of_viewer_labels_bytes_max_are_read() {
        let pairs: Vec<String> = (0..=VIEWER_LABELS_MAX).map(|n| format!("{n:05}")).collect();
        let of = |n: usize| ViewerLabels::collect(pairs[..n].iter().map(|value| ("k", &**value)));
        assert!(ViewerLabels::parse(of(VIEWER_LABELS_MAX).as_str()).is_ok());
        // What is collected can be read, whatever a viewer's sessions have.
        assert!(of(VIEWER_LABELS_MAX + 1) == of(VIEWER_LABELS_MAX));
        let too_many = format!("{}\u{1}k\u{2}x", of(VIEWER_LABELS_MAX).as_str());
        assert_eq!(ViewerLabels::parse(&too_many), Err(LabelError::Keys));
        // The longest pairs fit the bound of a text in bytes.
        let key = "k".repeat(LABEL_KEY_BYTES_MAX);
        let width = LABEL_VALUE_BYTES_MAX;
        let long: Vec<String> = (0..VIEWER_LABELS_MAX).map(|n| format!("{n:0width$}")).collect();
        let labels = ViewerLabels::collect(long.iter().map(|value| (&*key, &**value)));
        assert_eq!(labels.as_str().len(), VIEWER_LABELS_BYTES_MAX - 1);
    }
}
