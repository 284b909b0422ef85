//! The setting `public_count`.

use housecount_core::public_count::PublicCount;

use super::{ConfigError, Layers};

/// Reads the setting; `None` if it is empty.
///
/// # Errors
/// Returns a `ConfigError` for any other text than the names of [`PublicCount`].
pub fn setting(layers: &Layers) -> Result<Option<PublicCount>, ConfigError> {
    let wrong = || layers.invalid("public_count", "it must be exact, rounded or hidden, or empty");
    let text = Some(layers.text("public_count")?).filter(|text| !text.is_empty());
    text.map(|text| PublicCount::parse(&text).ok_or_else(wrong)).transpose()
}
