//! An item of the cold tier: named attributes, with the types of DynamoDB that housecount uses.

use std::collections::BTreeMap;

/// Value of an attribute. Numbers are unsigned, because housecount stores counts and times, and
/// neither is negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attr {
    /// Text (`S`).
    S(String),
    /// A number (`N`).
    N(u64),
    /// Bytes (`B`).
    B(Vec<u8>),
    /// A truth value (`BOOL`).
    Bool(bool),
    /// Text by name (`M` of `S`).
    StringMap(BTreeMap<String, String>),
}

/// An item's attributes by name, its keys left out.
pub type Item = BTreeMap<String, Attr>;

/// Error for a stored item that lacks an attribute, or has one of another type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attribute `{name}` is missing or of another type")]
pub struct AttrError {
    /// Name of the attribute.
    pub name: &'static str,
}

/// Returns the number at `name`.
pub fn number(item: &Item, name: &'static str) -> Result<u64, AttrError> {
    match item.get(name) {
        Some(Attr::N(n)) => Ok(*n),
        _ => Err(AttrError { name }),
    }
}

/// Returns the number at `name`, or 0 if an older version or another program wrote none.
#[must_use]
pub fn number_or_zero(item: &Item, name: &'static str) -> u64 {
    number(item, name).unwrap_or(0)
}

/// Returns the text at `name`.
pub fn text<'a>(item: &'a Item, name: &'static str) -> Result<&'a str, AttrError> {
    match item.get(name) {
        Some(Attr::S(s)) => Ok(s),
        _ => Err(AttrError { name }),
    }
}

/// Returns the bytes at `name`.
pub fn bytes<'a>(item: &'a Item, name: &'static str) -> Result<&'a [u8], AttrError> {
    match item.get(name) {
        Some(Attr::B(b)) => Ok(b),
        _ => Err(AttrError { name }),
    }
}
