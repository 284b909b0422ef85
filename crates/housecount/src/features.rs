//! The message about a part that this binary was built without.

/// Names the missing cargo feature and the way out.
#[must_use]
pub fn missing(feature: &str) -> String {
    format!(
        "this binary was built without the feature `{feature}`; rebuild it with --features full"
    )
}
