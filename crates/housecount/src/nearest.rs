//! The known name nearest to one that is not known, for "did you mean".

/// Names further apart than this are different names, not one name mistyped.
const DISTANCE_MAX: usize = 2;

/// Edit distance of two names, in bytes. Names are short.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
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
