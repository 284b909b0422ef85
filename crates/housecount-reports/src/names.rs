//! Numbers for names, in order of their first use.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Names and their numbers. All names are in one text, since there may be a million.
#[derive(Debug, Default)]
pub struct Names {
    text: String,
    /// End of each name in the text.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Names {
    /// Returns the number of names.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the name of a number.
    pub fn name(&self, number: usize) -> &str {
        slice(&self.text, &self.ends, number)
    }

    /// Returns the number of a name, which is new if the name is.
    pub fn number(&mut self, name: &str) -> u32 {
        let Names { text, ends, numbers, hasher } = self;
        let get = |number: u32| slice(text, ends, number as usize);
        let hash = hasher.hash_one(name);
        if let Some(number) = numbers.find(hash, |number| get(*number) == name) {
            return *number;
        }
        let number = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        numbers.insert_unique(hash, number, |number| hasher.hash_one(get(*number)));
        text.push_str(name);
        ends.push(text.len());
        number
    }
}

fn slice<'a>(text: &'a str, ends: &[usize], number: usize) -> &'a str {
    let begin = number.checked_sub(1).map_or(0, |before| ends[before]);
    &text[begin..ends[number]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let mut names = Names::default();
        let text = |n: u32| format!("viewer-{n}");
        for _ in 0..2 {
            for n in 0..2_000 {
                assert_eq!(names.number(&text(n)), n);
            }
        }
        assert_eq!(
            (names.number(""), names.number("viewer-"), names.number("")),
            (2_000, 2_001, 2_000)
        );
    }
}
