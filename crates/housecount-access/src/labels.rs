//! Labels of sessions at the edge: their keys, and their values in tokens, headers and bodies.

use std::fmt;
use std::sync::Arc;

use housecount_core::event::SessionLabels;
use housecount_core::labels::{LabelError, OTHER, SEPARATOR, check_value};
use housecount_core::limits::{LABEL_KEY_BYTES_MAX, LABEL_KEYS_MAX, LABEL_VALUE_BYTES_MAX};
use hyper::HeaderMap;
use hyper::header::HeaderName;
use serde::Deserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::Value;

/// Settings of labels.
#[derive(Clone, Debug, Default)]
pub struct LabelSettings {
    /// `labels`
    pub keys: LabelKeys,
    /// `labels_from.*`: headers that a trusted proxy sets, by key
    pub headers: Vec<(String, HeaderName)>,
}

impl LabelSettings {
    /// Returns the values in the headers of a request that a trusted proxy has sent. A value that
    /// is too long is cut, since no client can shorten it.
    #[must_use]
    pub fn of_headers(&self, headers: &HeaderMap) -> Option<LabelValues> {
        let value = |key: &str| {
            let (_, name) = self.headers.iter().find(|(known, _)| known == key)?;
            // Of several lines, the nearest proxy has written the last.
            let value =
                str::from_utf8(headers.get_all(name).iter().next_back()?.as_bytes()).ok()?;
            let value = &value[..value.floor_char_boundary(LABEL_VALUE_BYTES_MAX)];
            check_value(value).is_ok().then_some(value)
        };
        self.keys.collect(|key| value(key).unwrap_or(""))
    }
}

/// Keys of labels that sessions have on this node, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelKeys(Arc<str>);

impl Default for LabelKeys {
    fn default() -> LabelKeys {
        LabelKeys("".into())
    }
}

impl LabelKeys {
    /// Creates the keys with these names, in any order.
    ///
    /// # Errors
    /// Returns a `LabelError` for a name that is not a key, or for too many or repeated ones.
    pub fn new(mut names: Vec<String>) -> Result<LabelKeys, LabelError> {
        names.sort_unstable();
        let separator = SEPARATOR.to_string();
        let no_values = separator.repeat(names.len().saturating_sub(1));
        let keys = LabelKeys(names.join(&separator).into());
        SessionLabels::parse(&keys.0, &no_values, 0)?;
        Ok(keys)
    }

    /// Whether sessions have no labels here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the keys.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(SEPARATOR).filter(|key| !key.is_empty())
    }

    /// Collects a checked value for each key. Returns `None` if all are empty.
    pub(crate) fn collect<'v>(
        &self,
        mut value: impl FnMut(&str) -> &'v str,
    ) -> Option<LabelValues> {
        let values: Vec<&str> = self.iter().map(&mut value).collect();
        let has_value = values.iter().any(|value| !value.is_empty());
        let joined = || values.join(&SEPARATOR.to_string()).into();
        has_value.then(|| LabelValues { keys: self.clone(), values: joined() })
    }

    /// Merges the values of several sources. For each key, the first source with a value wins.
    #[must_use]
    pub fn merge<const N: usize>(&self, sources: [Option<&LabelValues>; N]) -> Option<LabelValues> {
        let mut sources = sources.map(|source| source.map(|source| source.values.split(SEPARATOR)));
        self.collect(|_| {
            let mut values: Vec<&str> =
                sources.iter_mut().flatten().filter_map(Iterator::next).collect();
            values.retain(|value| !value.is_empty());
            values.first().copied().unwrap_or("")
        })
    }

    /// Returns the values in a token's claim. Other keys are ignored, since an issuer may serve
    /// several installations.
    ///
    /// # Errors
    /// Returns a text for the token's sender.
    pub fn of_claim(&self, claim: &Value) -> Result<Option<LabelValues>, &'static str> {
        if self.is_empty() || claim.is_null() {
            return Ok(None);
        }
        let claim = claim.as_object().ok_or("its `labels` are not an object")?;
        let value = |key: &str| claim.get(key).filter(|value| !value.is_null());
        let is_good = |value: &Value| value.as_str().is_some_and(|text| check_value(text).is_ok());
        if !self.iter().filter_map(value).all(is_good) {
            return Err(
                "a value in its `labels` is not a string of at most 32 bytes without control \
                 characters",
            );
        }
        Ok(self.collect(|key| value(key).and_then(Value::as_str).unwrap_or("")))
    }

    /// Reads the field `labels` of a body, as JSON.
    ///
    /// # Errors
    /// Returns a text for the sender, which names the key.
    pub fn of_json(&self, json: &str) -> Result<Option<LabelValues>, String> {
        let mut text = serde_json::Deserializer::from_str(json);
        let values = (&mut text).deserialize_map(BodyLabels(self)).map_err(|error| {
            let why = error.to_string();
            // The position counts from the beginning of the field.
            why.rsplit_once(" at line ").map_or(why.as_str(), |(why, _)| why).to_string()
        })?;
        let mut values = values.iter();
        Ok(self.collect(|_| values.next().map_or("", String::as_str)))
    }
}

/// Values of labels, of one source or merged. At least one is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelValues {
    keys: LabelKeys,
    /// In the order of the keys, separated as in [`SessionLabels`].
    values: Box<str>,
}

impl LabelValues {
    /// Returns the values of an event's labels, if they have these keys.
    #[must_use]
    pub fn of(keys: &LabelKeys, labels: &SessionLabels<'_>) -> Option<LabelValues> {
        let is_same = !labels.is_none() && labels.keys() == &*keys.0;
        is_same.then(|| LabelValues { keys: keys.clone(), values: labels.values().into() })
    }

    /// Returns the labels for an event.
    #[must_use]
    pub fn labels(&self) -> SessionLabels<'_> {
        SessionLabels::parse(&self.keys.0, &self.values, 0).unwrap_or(SessionLabels::NONE)
    }

    /// Returns the labels with [`OTHER`] in place of each value.
    pub(crate) fn all_other(&self) -> LabelValues {
        let values = self.values.split(SEPARATOR);
        let other = values.map(|value| if value.is_empty() { value } else { OTHER });
        let other = other.collect::<Vec<_>>().join(&SEPARATOR.to_string());
        LabelValues { keys: self.keys.clone(), values: other.into() }
    }
}

/// Reader of the labels of a body: a value for each key, in their order.
struct BodyLabels<'k>(&'k LabelKeys);

impl<'de> Visitor<'de> for BodyLabels<'_> {
    type Value = [String; LABEL_KEYS_MAX];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let keys = self.0;
        let mut values = Self::Value::default();
        while let Some(key) = fields.next_key::<String>()? {
            let wrong = |why: &dyn fmt::Display| A::Error::custom(format!("`{key}`: {why}"));
            let Some(n) = keys.iter().position(|known| known == key) else {
                let shown = &key[..key.floor_char_boundary(LABEL_KEY_BYTES_MAX)];
                let names = keys.iter().collect::<Vec<_>>().join(", ");
                let names = if keys.is_empty() { "none" } else { &names };
                let why = format!("`{shown}` is not one of this node's labels ({names})");
                return Err(A::Error::custom(why));
            };
            let value: Option<String> = fields.next_value().map_err(|why| wrong(&why))?;
            let value = value.unwrap_or_default();
            check_value(&value).map_err(|why| wrong(&why))?;
            values[n] = value;
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::limits::LABEL_KEYS_MAX;
    use serde_json::json;

    use super::*;

    fn keys(names: &[&str]) -> LabelKeys {
        LabelKeys::new(names.iter().map(|name| name.to_string()).collect()).unwrap()
    }

    fn pairs(values: &Option<LabelValues>) -> Vec<(&str, &str)> {
        values.iter().flat_map(|values| values.labels().pairs()).collect()
    }

    #[test]
    fn label_keys_max_and_order() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let sorted = keys(&["device", "country"]);
        assert_eq!(sorted.iter().collect::<Vec<_>>(), ["country", "device"]);
        assert!(keys(&[]).is_empty() && keys(&[]).iter().next().is_none());
        assert_eq!(LabelKeys::new(names(&["a", "a"])), Err(LabelError::Keys));
        assert_eq!(LabelKeys::new(names(&["A"])), Err(LabelError::Key));
        let many: Vec<String> = (0..=LABEL_KEYS_MAX).map(|n| n.to_string()).collect();
        assert!(LabelKeys::new(many[1..].to_vec()).is_ok());
        assert_eq!(LabelKeys::new(many), Err(LabelError::Keys));
    }

    #[test]
    fn the_first_source_with_a_value_wins_for_each_key() {
        let keys = keys(&["country", "device", "plan"]);
        let of = |json: &str| keys.of_json(json).unwrap();
        let (token, header) = (of(r#"{"plan":"gold"}"#), of(r#"{"plan":"","country":"NO"}"#));
        let body = of(r#"{"plan":"free","country":"SE","device":"tv"}"#);
        let merged = keys.merge([token.as_ref(), header.as_ref(), body.as_ref()]);
        assert_eq!(pairs(&merged), [("country", "NO"), ("device", "tv"), ("plan", "gold")]);
        assert_eq!(keys.merge([None, None]), None);
        let last = merged.unwrap();
        assert_eq!(LabelValues::of(&keys, &last.labels()), Some(last));
        assert_eq!(LabelValues::of(&keys, &SessionLabels::NONE), None);
    }

    #[test]
    fn a_body_may_have_configured_keys_with_short_strings_only() {
        let keys = keys(&["country", "device"]);
        assert_eq!(keys.of_json("{}"), Ok(None));
        assert_eq!(keys.of_json(r#"{"device":null,"country":""}"#), Ok(None));
        let escaped = keys.of_json(r#"{"device":"Z\u006fë"}"#).unwrap();
        assert_eq!(pairs(&escaped), [("country", ""), ("device", "Zoë")]);
        let long = "x".repeat(LABEL_VALUE_BYTES_MAX + 1);
        for (json, why) in [
            ("7", "invalid type: integer `7`, expected an object of strings".to_string()),
            ("[]", "invalid type: sequence, expected an object of strings".to_string()),
            (
                r#"{"colour":1}"#,
                "`colour` is not one of this node's labels (country, device)".to_string(),
            ),
            (
                r#"{"device":1}"#,
                "`device`: invalid type: integer `1`, expected a string".to_string(),
            ),
            (r#"{"device":"a\u0001b"}"#, format!("`device`: {}", LabelError::Value)),
            (&format!(r#"{{"device":"{long}"}}"#), format!("`device`: {}", LabelError::Value)),
            (
                &format!(r#"{{"{long}":""}}"#),
                format!("`{}` is not one of this node's labels (country, device)", &long[1..]),
            ),
        ] {
            assert_eq!(keys.of_json(json), Err(why), "{json}");
        }
        let none = LabelKeys::default().of_json(r#"{"device":"tv"}"#);
        assert_eq!(none, Err("`device` is not one of this node's labels (none)".to_string()));
    }

    #[test]
    fn a_claim_may_have_other_keys_of_any_type() {
        let keys = keys(&["country"]);
        let good = keys.of_claim(&json!({ "country": "NO", "colour": 7 })).unwrap();
        assert_eq!(pairs(&good), [("country", "NO")]);
        for none in [json!({}), json!({ "country": null }), json!({ "colour": "red" }), json!(null)]
        {
            assert_eq!(keys.of_claim(&none), Ok(None), "{none}");
        }
        let long = "x".repeat(LABEL_VALUE_BYTES_MAX + 1);
        for bad in [json!(["NO"]), json!({ "country": 7 }), json!({ "country": long })] {
            assert!(keys.of_claim(&bad).is_err(), "{bad}");
            assert_eq!(LabelKeys::default().of_claim(&bad), Ok(None), "{bad}");
        }
    }

    #[test]
    fn of_a_header_the_last_line_counts_and_is_cut() {
        let header = |name: &str| (name.to_string(), format!("x-{name}").parse().unwrap());
        let settings = LabelSettings {
            keys: keys(&["city", "country", "device"]),
            headers: vec![header("city"), header("country")],
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-device", "tv".parse().unwrap());
        assert_eq!(settings.of_headers(&headers), None, "no header is set for this key");
        headers.append("x-country", "SE".parse().unwrap());
        headers.append("x-country", "NO".parse().unwrap());
        let city = format!("{}é", "x".repeat(LABEL_VALUE_BYTES_MAX - 1));
        headers.insert("x-city", city.as_str().parse().unwrap());
        let found = settings.of_headers(&headers);
        assert_eq!(pairs(&found)[..2], [("city", &city[..31]), ("country", "NO")]);
    }
}
