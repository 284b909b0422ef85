//! The message for a part that this binary was built without.

/// Names the missing cargo feature and how to get it.
#[must_use]
pub fn missing(feature: &str) -> String {
    format!(
        "this binary was built without the feature `{feature}`; rebuild it with --features full"
    )
}
