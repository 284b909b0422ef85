//! Limits of keys: the stages that a key may read or change, by their ids and by their customer.
//!
//! A limit without a pattern covers all ids, and one without a customer all customers. With both, a
//! stage must meet both.

use housecount_core::ids::StageId;
use housecount_core::limits::{KEY_PATTERNS_MAX, STAGE_NAME_BYTES_MAX};

/// Character of a pattern that stands for any characters, also for none.
const ANY: char = '*';

/// Pattern of stage ids.
#[derive(Clone, Debug, PartialEq, Eq)]
enum StagePattern {
    /// The id itself.
    Exact(Box<str>),
    /// Parts between the `*` of a pattern: at least two.
    Parts(Vec<Box<str>>),
}

impl StagePattern {
    fn parse(text: &str) -> StagePattern {
        if !text.contains(ANY) {
            return StagePattern::Exact(text.into());
        }
        StagePattern::Parts(text.split(ANY).map(Into::into).collect())
    }

    /// Whether an id matches. Each part is looked for once, at its first place after the part
    /// before, so the time is bounded by the two lengths.
    fn matches(&self, stage: &str) -> bool {
        let parts = match self {
            StagePattern::Exact(id) => return **id == *stage,
            StagePattern::Parts(parts) => parts,
        };
        let [first, between @ .., last] = &parts[..] else { return false };
        let Some(mut rest) = stage.strip_prefix(&**first) else { return false };
        for part in between {
            let Some(at) = rest.find(&**part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(&**last)
    }
}

/// Stages that a key is limited to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLimit {
    customer: Option<Box<str>>,
    /// Patterns of which a stage must match one; `None` for all stages.
    stages: Option<Vec<StagePattern>>,
}

impl KeyLimit {
    /// Creates the limit to a customer, to stages, or to both. Returns `None` if neither is given.
    ///
    /// # Errors
    /// Returns a text that names the value and what is wrong with it.
    pub fn new(
        customer: Option<&str>,
        stages: Option<&[String]>,
    ) -> Result<Option<KeyLimit>, String> {
        if customer.is_some_and(str::is_empty) {
            return Err("customer is empty; leave it out, or name one".to_string());
        }
        if customer.is_some_and(|customer| customer.len() > STAGE_NAME_BYTES_MAX) {
            return Err(format!("customer has more than {STAGE_NAME_BYTES_MAX} bytes"));
        }
        if stages.is_some_and(<[String]>::is_empty) {
            return Err("stages is empty; leave it out, or name some".to_string());
        }
        let count = stages.map_or(0, <[String]>::len);
        if count > KEY_PATTERNS_MAX {
            return Err(format!(
                "stages has {count} patterns; at most {KEY_PATTERNS_MAX} are allowed"
            ));
        }
        for pattern in stages.into_iter().flatten() {
            // A pattern has the characters and the length of an id.
            StageId::check(pattern).map_err(|error| format!("stages: `{pattern}`: {error}"))?;
        }
        let parsed =
            |texts: &[String]| texts.iter().map(|text| StagePattern::parse(text)).collect();
        let limit = KeyLimit { customer: customer.map(Into::into), stages: stages.map(parsed) };
        let is_limited = limit.customer.is_some() || limit.stages.is_some();
        Ok(is_limited.then_some(limit))
    }

    /// Creates the limit to one stage, in whose id a `*` is a character like others.
    #[must_use]
    pub fn of_stage(stage: &StageId) -> KeyLimit {
        let stages = vec![StagePattern::Exact(stage.as_str().into())];
        KeyLimit { customer: None, stages: Some(stages) }
    }

    /// Returns the customer that the key is limited to.
    #[must_use]
    pub fn customer(&self) -> Option<&str> {
        self.customer.as_deref()
    }

    /// Whether the key names the ids of its stages, and not only their customer.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        self.stages.is_some()
    }

    /// Whether the limit covers stages of this id, whatever their customer.
    #[must_use]
    pub fn matches_id(&self, stage: &str) -> bool {
        let matches = |all: &Vec<StagePattern>| all.iter().any(|pattern| pattern.matches(stage));
        self.stages.as_ref().is_none_or(matches)
    }

    /// Whether the limit covers a stage while it has this customer.
    #[must_use]
    pub fn covers(&self, stage: &str, customer: Option<&str>) -> bool {
        self.matches_id(stage) && self.customer().is_none_or(|wanted| customer == Some(wanted))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(customer: Option<&str>, stages: &[&str]) -> KeyLimit {
        let stages: Vec<String> = stages.iter().map(ToString::to_string).collect();
        let stages = Some(&stages[..]).filter(|stages| !stages.is_empty());
        KeyLimit::new(customer, stages).unwrap().unwrap()
    }

    #[test]
    fn a_star_stands_for_any_characters_and_other_characters_for_themselves() {
        for (pattern, inside, outside) in [
            ("match-1", &["match-1"][..], &["match-10", "xmatch-1", "match-"][..]),
            ("match-*", &["match-", "match-1", "match-a*b"], &["match", "xmatch-1", "Match-1"]),
            ("*-eu", &["-eu", "a-eu", "-eu-eu"], &["a-eu1", "eu"]),
            ("a*b*c", &["abc", "a1b2c", "abbcc", "abcbc"], &["acb", "ab", "bc", "abcd"]),
            ("ab*ba", &["abba", "ab1ba"], &["aba", "ab"]),
            ("*", &["a", "*"], &[]),
            ("a**b", &["ab", "a1b"], &["a"]),
            ("a?[b]", &["a?[b]"], &["axb", "a?b"]),
        ] {
            let limit = limit(None, &[pattern]);
            inside.iter().for_each(|id| assert!(limit.matches_id(id), "{pattern} has {id}"));
            outside.iter().for_each(|id| assert!(!limit.matches_id(id), "{pattern} has no {id}"));
        }
    }

    proptest! {
        /// Compares with the definition: a star takes every number of characters.
        #[test]
        fn patterns_match_as_they_are_defined(pattern in "[ab*]{1,7}", id in "[ab]{1,7}") {
            fn matches(pattern: &[u8], id: &[u8]) -> bool {
                match (pattern, id) {
                    ([], []) => true,
                    ([b'*', rest @ ..], _) => (0..=id.len()).any(|n| matches(rest, &id[n..])),
                    ([one, rest @ ..], [other, ids @ ..]) if one == other => matches(rest, ids),
                    _ => false,
                }
            }
            let expected = matches(pattern.as_bytes(), id.as_bytes());
            prop_assert_eq!(limit(None, &[&pattern]).matches_id(&id), expected);
        }
    }

    #[test]
    fn a_stage_must_meet_both_limits() {
        let both = limit(Some("ACME"), &["match-*", "cup"]);
        assert!(both.covers("match-1", Some("ACME")) && both.covers("cup", Some("ACME")));
        for (stage, customer) in [
            ("match-1", None),
            ("match-1", Some("acme")),
            ("match-1", Some("")),
            ("news", Some("ACME")),
        ] {
            assert!(!both.covers(stage, customer), "{stage} {customer:?}");
        }
        let stages = limit(None, &["match-*"]);
        assert!(stages.covers("match-1", None) && stages.covers("match-1", Some("any")));
        let customer = limit(Some("ACME"), &[]);
        assert!(customer.covers("any", Some("ACME")) && !customer.has_patterns());
        let one = KeyLimit::of_stage(&StageId::parse("a*").unwrap());
        assert!(one.matches_id("a*") && !one.matches_id("ab"));
        assert_eq!(KeyLimit::new(None, None), Ok(None));
    }

    #[test]
    fn key_patterns_max_and_what_else_is_refused() {
        let stages = |count: usize| vec!["a*".to_string(); count];
        assert!(KeyLimit::new(None, Some(&stages(KEY_PATTERNS_MAX))).is_ok());
        let long = "x".repeat(STAGE_NAME_BYTES_MAX + 1);
        for (customer, stages, named) in [
            (None, stages(KEY_PATTERNS_MAX + 1), "has 33 patterns; at most 32"),
            (None, vec![String::new()], "stages: ``"),
            (None, vec!["a b".to_string()], "stages: `a b`"),
            (None, Vec::new(), "stages is empty"),
            (Some(""), stages(1), "customer is empty"),
            (Some(&*long), stages(1), "customer has more than 256 bytes"),
        ] {
            let error = KeyLimit::new(customer, Some(&stages)).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
