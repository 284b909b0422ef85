//! Configuration of a stage, set by an operator. A stage needs none to be watched.

use std::collections::BTreeMap;

use crate::item::{Attr, AttrError, Item, number_or_zero, text};
use crate::limits::{STAGE_NAME_BYTES_MAX, STAGE_TAGS_MAX, TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX};
use crate::public_count::PublicCount;
use crate::time::UnixMs;

/// Configuration of a stage, set by an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageConfig {
    /// The stage's id.
    pub stage: String,
    /// Name for people.
    pub name: Option<String>,
    /// Customer who pays for the stage.
    pub customer: Option<String>,
    /// Other properties, which exports contain.
    pub tags: BTreeMap<String, String>,
    /// Its count as players and the public see it; `None` for the node's setting.
    pub public_count: Option<PublicCount>,
    /// Time of its creation, on the log's clock.
    pub created_at: UnixMs,
}

/// Reason why a configuration is refused. The text is for the sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageConfigError {
    /// A bound is exceeded.
    #[error("{what} has {found} {unit}; at most {max} are allowed")]
    LimitExceeded {
        /// Name of the part.
        what: &'static str,
        /// Size or number found.
        found: usize,
        /// Unit of that number.
        unit: &'static str,
        /// Maximum of that number.
        max: usize,
    },
    /// A tag's key is empty, which DynamoDB's maps do not allow.
    #[error("a tag's key is empty")]
    EmptyTagKey,
}

impl StageConfig {
    /// Checks the bounds, so that the configuration always fits an item.
    pub fn check(&self) -> Result<(), StageConfigError> {
        let within = |what, unit, found: usize, max| {
            if found <= max {
                Ok(())
            } else {
                Err(StageConfigError::LimitExceeded { what, found, unit, max })
            }
        };
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        within("name", "bytes", length(&self.name), STAGE_NAME_BYTES_MAX)?;
        within("customer", "bytes", length(&self.customer), STAGE_NAME_BYTES_MAX)?;
        within("tags", "entries", self.tags.len(), STAGE_TAGS_MAX)?;
        for (key, value) in &self.tags {
            if key.is_empty() {
                return Err(StageConfigError::EmptyTagKey);
            }
            within("a tag's key", "bytes", key.len(), TAG_KEY_BYTES_MAX)?;
            within("a tag's value", "bytes", value.len(), TAG_VALUE_BYTES_MAX)?;
        }
        Ok(())
    }

    /// Returns the item, for the stage's own key and for the list.
    #[must_use]
    pub fn to_item(&self) -> Item {
        let mut item = Item::from([
            ("stageArn".to_string(), Attr::S(self.stage.clone())),
            ("createdAt".to_string(), Attr::N(self.created_at.0)),
        ]);
        let mut put = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                item.insert(name.to_string(), Attr::S(value.clone()));
            }
        };
        put("name", &self.name);
        put("customer", &self.customer);
        put("publicCount", &self.public_count.map(|value| value.name().to_string()));
        if !self.tags.is_empty() {
            item.insert("tags".to_string(), Attr::StringMap(self.tags.clone()));
        }
        item
    }

    /// Reads the configuration of an item.
    ///
    /// # Errors
    /// Returns an [`AttrError`] if the stage's id is missing or of another type.
    pub fn from_item(item: &Item) -> Result<StageConfig, AttrError> {
        let optional = |name| text(item, name).ok().map(str::to_string);
        Ok(StageConfig {
            stage: text(item, "stageArn")?.to_string(),
            name: optional("name"),
            customer: optional("customer"),
            tags: match item.get("tags") {
                Some(Attr::StringMap(tags)) => tags.clone(),
                _ => BTreeMap::new(),
            },
            public_count: text(item, "publicCount").ok().map(read_public_count),
            created_at: UnixMs(number_or_zero(item, "createdAt")),
        })
    }
}

/// Reads a stored value. One that a later version has written is hidden, which reveals nothing.
fn read_public_count(name: &str) -> PublicCount {
    PublicCount::parse(name).unwrap_or(PublicCount::Hidden)
}

/// Returns the item of a stage in the list of those with a public count of their own.
#[must_use]
pub fn public_count_item(value: PublicCount) -> Item {
    Item::from([("publicCount".to_string(), Attr::S(value.name().to_string()))])
}

/// Reads the value of such an item.
///
/// # Errors
/// Returns an [`AttrError`] if it is missing or of another type.
pub fn public_count_of(item: &Item) -> Result<PublicCount, AttrError> {
    text(item, "publicCount").map(read_public_count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> StageConfig {
        StageConfig {
            stage: "s".into(),
            name: Some("The final".into()),
            customer: None,
            tags: BTreeMap::from([("sport".into(), "chess".into())]),
            public_count: Some(PublicCount::Rounded),
            created_at: UnixMs(5),
        }
    }

    #[test]
    fn a_public_count_is_stored_by_name_and_only_if_it_is_set() {
        let item = config().to_item();
        assert_eq!(item["publicCount"], Attr::S("rounded".into()));
        let unset = StageConfig { public_count: None, ..config() };
        assert!(!unset.to_item().contains_key("publicCount"));
        let mut later = item;
        later.insert("publicCount".into(), Attr::S("fuzzy".into()));
        let read = StageConfig::from_item(&later).unwrap().public_count;
        assert_eq!(read, Some(PublicCount::Hidden), "an unknown value reveals nothing");
        for value in PublicCount::ALL {
            assert_eq!(public_count_of(&public_count_item(value)), Ok(value));
        }
        assert!(public_count_of(&Item::new()).is_err());
    }

    #[test]
    fn round_trip() {
        assert_eq!(StageConfig::from_item(&config().to_item()).unwrap(), config());
        let bare = StageConfig { stage: "s".into(), ..StageConfig::default() };
        assert_eq!(StageConfig::from_item(&bare.to_item()).unwrap(), bare);
        assert!(StageConfig::from_item(&Item::new()).is_err());
    }

    #[test]
    fn stage_name_bytes_max_and_stage_tags_max() {
        let name = |bytes: usize| StageConfig { name: Some("n".repeat(bytes)), ..config() }.check();
        assert_eq!(name(STAGE_NAME_BYTES_MAX), Ok(()));
        assert_eq!(
            name(STAGE_NAME_BYTES_MAX + 1).unwrap_err().to_string(),
            "name has 257 bytes; at most 256 are allowed"
        );
        let tags = |n: usize, key: usize, value: usize| {
            let tag = |i| (format!("{i:0>key$}"), "v".repeat(value));
            StageConfig { tags: (0..n).map(tag).collect(), ..config() }.check().is_ok()
        };
        assert!(tags(STAGE_TAGS_MAX, TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX));
        assert!(!tags(STAGE_TAGS_MAX + 1, 3, 1));
        assert!(!tags(1, TAG_KEY_BYTES_MAX + 1, 1));
        assert!(!tags(1, 1, TAG_VALUE_BYTES_MAX + 1));
        let nameless =
            StageConfig { tags: BTreeMap::from([(String::new(), "v".into())]), ..config() };
        assert_eq!(nameless.check(), Err(StageConfigError::EmptyTagKey));
    }
}
