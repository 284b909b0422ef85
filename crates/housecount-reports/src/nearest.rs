//! The known name nearest to an unknown one, for "did you mean", through the crate `strsim`.

/// Names further apart than this are different names, not one name mistyped.
const DISTANCE_MAX: usize = 2;

/// Edit distance of two names, in characters.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    strsim::levenshtein(a, b)
}

/// Returns the known name that `name` is probably a misspelling of.
#[must_use]
pub fn nearest<'a>(known: impl IntoIterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    let near = known.into_iter().map(|known| (distance(known, name), known)).min()?;
    (near.0 <= DISTANCE_MAX).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_has_a_nearest_one_and_another_name_has_none() {
        let known = ["from", "to", "step", "limit", "cursor", "stage"];
        for (name, expected) in [
            ("form", Some("from")),
            ("stage[]", Some("stage")),
            ("Limit", Some("limit")),
            ("curser", Some("cursor")),
            ("since", None),
            ("", Some("to")),
        ] {
            assert_eq!(nearest(known, name), expected, "{name}");
        }
        assert_eq!(nearest([], "x"), None);
    }
}
