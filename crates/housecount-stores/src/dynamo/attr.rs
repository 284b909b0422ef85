//! Conversion of items between core's types and the SDK's.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use housecount_core::item::{Attr, Item};

/// Attributes of a stored item, keys included.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

pub(crate) fn to_sdk(pk: &str, sk: &str, item: &Item) -> Attributes {
    let attrs = item.iter().map(|(name, attr)| (name.clone(), value(attr)));
    attrs.chain(key_attributes(pk, sk)).collect()
}

pub(crate) fn key_attributes(pk: &str, sk: &str) -> Attributes {
    let text = |s: &str| AttributeValue::S(s.to_string());
    HashMap::from([("pk".to_string(), text(pk)), ("sk".to_string(), text(sk))])
}

pub(crate) fn value(attr: &Attr) -> AttributeValue {
    match attr {
        Attr::S(s) => AttributeValue::S(s.clone()),
        Attr::N(n) => AttributeValue::N(n.to_string()),
        Attr::B(b) => AttributeValue::B(Blob::new(b.clone())),
        Attr::Bool(b) => AttributeValue::Bool(*b),
        Attr::StringMap(texts) => AttributeValue::M(
            texts
                .iter()
                .map(|(name, text)| (name.clone(), AttributeValue::S(text.clone())))
                .collect(),
        ),
    }
}

/// Converts an item without its keys. Attributes of types that housecount doesn't use belong to
/// other programs, and are skipped.
pub(crate) fn from_sdk(attributes: Attributes) -> Item {
    let known = |(name, value)| match value {
        AttributeValue::S(s) => Some((name, Attr::S(s))),
        AttributeValue::N(n) => n.parse().ok().map(|n| (name, Attr::N(n))),
        AttributeValue::B(b) => Some((name, Attr::B(b.into_inner()))),
        AttributeValue::Bool(b) => Some((name, Attr::Bool(b))),
        AttributeValue::M(map) => {
            let texts = map.into_iter().filter_map(|(k, v)| v.as_s().ok().map(|s| (k, s.clone())));
            Some((name, Attr::StringMap(texts.collect())))
        }
        _ => None,
    };
    attributes
        .into_iter()
        .filter(|(name, _)| name != "pk" && name != "sk")
        .filter_map(known)
        .collect()
}

/// The sort key of a stored item.
pub(crate) fn sort_key(attributes: &Attributes) -> String {
    attributes.get("sk").and_then(|sk| sk.as_s().ok()).cloned().unwrap_or_default()
}

/// The partition key of a stored item.
pub(crate) fn partition_key(attributes: &Attributes) -> String {
    attributes.get("pk").and_then(|pk| pk.as_s().ok()).cloned().unwrap_or_default()
}

/// Whether all attributes are of types that housecount writes, so that [`from_sdk`] skips none.
pub(crate) fn is_ours(attributes: &Attributes) -> bool {
    attributes.values().all(|value| match value {
        AttributeValue::S(_) | AttributeValue::B(_) | AttributeValue::Bool(_) => true,
        AttributeValue::N(n) => n.parse::<u64>().is_ok(),
        AttributeValue::M(map) => map.values().all(|value| value.is_s()),
        _ => false,
    })
}
