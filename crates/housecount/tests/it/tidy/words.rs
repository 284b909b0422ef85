//! Ceilings for private words, and for comments that name nothing.
//!
//! Each ceiling is today's count. A change may lower a ceiling but never raise it. A count below
//! its ceiling fails too, so that the ceiling follows. This file isn't counted, since it names the
//! words.

use std::collections::HashMap;

use super::sources;

/// Words in identifiers, comments and strings, also as parts of identifiers: `told_ms`, `isTold`. A
/// star stands for any ending. Phrases with `so` or `is` count in comments and strings only.
const WORDS_MAX: [(&str, usize); 21] = [
    ("whence", 0),
    ("comer", 0),
    ("welcome", 0),
    ("unwelcome", 0),
    ("said", 0),
    ("told", 0),
    ("untold", 0),
    ("retold", 0),
    ("beaten", 0),
    ("heard", 0),
    ("guest", 0),
    ("anew", 0),
    ("whoever", 0),
    ("whom", 0),
    ("reckon*", 0),
    ("mended", 0),
    ("nobody", 0),
    ("somebody", 0),
    ("everybody", 0),
    ("so many", 0),
    ("is none", 0),
];
/// Doc comments that open with a clause instead of a noun or a verb: "What a player sends".
const CLAUSE_DOCS_MAX: usize = 0;
/// Doc comments that refer the reader to the module's text instead of describing the item.
const SEE_MODULE_MAX: usize = 0;
/// Sentences in comments of more than [`SENTENCE_WORDS_MAX`] words.
const LONG_SENTENCES_MAX: usize = 0;
/// Doc comments of one word and a full stop: "Where."
const ONE_WORD_DOCS_MAX: usize = 0;

/// Most words in a sentence that readers understand at once.
const SENTENCE_WORDS_MAX: usize = 25;
/// Words that open a clause.
#[rustfmt::skip]
const CLAUSES: [&str; 9] =
    ["What", "Who", "Whoever", "Whom", "Whose", "That", "So many", "So much", "So often"];

/// A part of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Code(&'a str),
    /// A string literal, with its quotes.
    Literal(&'a str),
    /// A comment up to the end of its line, with its slashes.
    Comment(&'a str),
}

/// The end of a string literal whose opening quote is at `quote`, and the length of its raw form's
/// hashes.
fn literal_end(text: &str, quote: usize) -> usize {
    let before = text[..quote].trim_end_matches('#');
    let hashes = quote - before.len();
    let is_raw = before.ends_with('r') && !before.ends_with("_r");
    let rest = &text[quote + 1..];
    if is_raw {
        let close = format!("\"{}", "#".repeat(hashes));
        return rest.find(&close).map_or(text.len(), |at| quote + 1 + at + close.len());
    }
    let mut is_escaped = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return quote + 2 + at,
            _ => {}
        }
    }
    text.len()
}

/// The end of a character literal or of a lifetime's tick at `tick`.
fn tick_end(text: &str, tick: usize) -> usize {
    let mut rest = text[tick + 1..].chars();
    match (rest.next(), rest.next()) {
        (Some('\\'), Some(escaped)) => {
            let after = tick + 2 + escaped.len_utf8();
            text[after..].find('\'').map_or(text.len(), |at| after + at + 1)
        }
        (Some(c), Some('\'')) => tick + 2 + c.len_utf8(),
        _ => tick + 1,
    }
}

/// The parts of a file in their order.
fn parts(text: &str) -> Vec<Part<'_>> {
    let bytes = text.as_bytes();
    let (mut parts, mut from, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let end = match bytes[at] {
            b'"' => literal_end(text, at),
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                text[at..].find('\n').map_or(text.len(), |length| at + length)
            }
            b'\'' => {
                at = tick_end(text, at);
                continue;
            }
            _ => {
                at += 1;
                continue;
            }
        };
        let is_comment = bytes[at] == b'/';
        parts.push(Part::Code(&text[from..at]));
        parts.push(if is_comment { Part::Comment } else { Part::Literal }(&text[at..end]));
        (from, at) = (end, end);
    }
    parts.push(Part::Code(&text[from..]));
    parts
}

/// Words of a text in lower case. Names are split as `snake_case` and `camelCase` are.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut was_small = false;
    for c in text.chars() {
        if !c.is_ascii_alphabetic() || c.is_ascii_uppercase() && was_small {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        if c.is_ascii_alphabetic() {
            word.push(c.to_ascii_lowercase());
        }
        was_small = c.is_ascii_lowercase();
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Comments of whole lines that follow each other, as one text without slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Comment {
    is_doc: bool,
    lines: Vec<String>,
}

fn comments(parts: &[Part<'_>]) -> Vec<Comment> {
    let mut comments: Vec<(&str, Comment)> = Vec::new();
    let mut goes_on = false;
    for part in parts {
        match part {
            // Between two lines of one comment there is one line break.
            Part::Code(code) => {
                goes_on &= code.trim().is_empty() && code.matches('\n').count() == 1
            }
            Part::Literal(_) => goes_on = false,
            Part::Comment(line) => {
                let slashes = ["///", "//!", "//"].into_iter().find(|of| line.starts_with(of));
                let slashes = slashes.unwrap_or_default();
                let text = line[slashes.len()..].trim().to_string();
                match comments.last_mut() {
                    Some((of, comment)) if goes_on && *of == slashes => comment.lines.push(text),
                    _ => {
                        let is_doc = slashes != "//";
                        comments.push((slashes, Comment { is_doc, lines: vec![text] }));
                    }
                }
                goes_on = true;
            }
        }
    }
    comments.into_iter().map(|(_, comment)| comment).collect()
}

impl Comment {
    /// Its sentences, without code, tables and headings.
    fn sentences(&self) -> Vec<String> {
        let (mut paragraphs, mut is_drawn) = (vec![String::new()], false);
        for line in &self.lines {
            is_drawn ^= line.starts_with("```");
            if line.starts_with("```") || is_drawn || line.starts_with(['|', '#']) {
                paragraphs.push(String::new());
                continue;
            }
            if line.is_empty() || line.starts_with("- ") {
                paragraphs.push(String::new());
            }
            if let Some(paragraph) = paragraphs.last_mut() {
                paragraph.push(' ');
                paragraph.push_str(line);
            }
        }
        paragraphs.iter().flat_map(|paragraph| sentences(paragraph)).collect()
    }

    fn opens_with_a_clause(&self) -> bool {
        let first = self.lines.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let follows = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '\'');
        self.is_doc && CLAUSES.iter().any(|open| first.strip_prefix(open).is_some_and(follows))
    }

    fn is_one_word(&self) -> bool {
        let text = self.lines.join(" ");
        self.is_doc && text.ends_with('.') && !text.contains(' ')
    }
}

/// The sentences of a paragraph: a full stop ends one unless a small letter follows.
fn sentences(paragraph: &str) -> Vec<String> {
    let (mut found, mut sentence) = (Vec::new(), Vec::new());
    let mut tokens = paragraph.split_whitespace().peekable();
    while let Some(token) = tokens.next() {
        sentence.push(token);
        let is_stop = token.trim_end_matches(['*', ')', '"', '\'']).ends_with(['.', '?', '!']);
        if is_stop && !tokens.peek().is_some_and(|next| next.starts_with(char::is_lowercase)) {
            found.push(sentence.join(" "));
            sentence.clear();
        }
    }
    found.extend((!sentence.is_empty()).then(|| sentence.join(" ")));
    found
}

/// All counts, each with its name.
#[derive(Debug, Default)]
struct Counts {
    words: HashMap<String, usize>,
    clause_docs: usize,
    see_module: usize,
    long_sentences: usize,
    one_word_docs: usize,
}

impl Counts {
    fn add_words(&mut self, text: &str, has_phrases: bool) {
        let words = words(text);
        let is_phrase = |pair: &&[String]| has_phrases && ["so", "is"].contains(&&*pair[0]);
        for pair in words.windows(2).filter(is_phrase) {
            *self.words.entry(pair.join(" ")).or_default() += 1;
        }
        words.into_iter().for_each(|word| *self.words.entry(word).or_default() += 1);
    }

    fn add(&mut self, text: &str) {
        let parts = parts(text);
        for part in &parts {
            match part {
                Part::Code(code) => self.add_words(code, false),
                // A path, such as serde's `Option::is_none`, is code.
                Part::Literal(literal) => self.add_words(literal, !literal.contains("::")),
                Part::Comment(_) => {}
            }
        }
        for comment in comments(&parts) {
            self.add_words(&comment.lines.join(" "), true);
            self.clause_docs += usize::from(comment.opens_with_a_clause());
            self.one_word_docs += usize::from(comment.is_one_word());
            self.see_module +=
                usize::from(comment.lines.join(" ").contains("See the module's text"));
            let is_long = |of: &String| of.split_whitespace().count() > SENTENCE_WORDS_MAX;
            self.long_sentences += comment.sentences().iter().filter(|of| is_long(of)).count();
        }
    }

    /// Number of occurrences of a word of [`WORDS_MAX`].
    fn of(&self, word: &str) -> usize {
        match word.strip_suffix('*') {
            Some(start) => {
                let begins =
                    |(word, _): &(&String, &usize)| word.starts_with(start) && !word.contains(' ');
                self.words.iter().filter(begins).map(|(_, count)| count).sum()
            }
            None => self.words.get(word).copied().unwrap_or_default(),
        }
    }
}

#[test]
fn private_words_and_empty_comments_only_become_fewer() {
    let mut counts = Counts::default();
    for (path, text) in sources() {
        if !path.ends_with("tidy/words.rs") {
            counts.add(&text);
        }
    }
    let words = WORDS_MAX.map(|(word, most)| (format!("`{word}`"), counts.of(word), most));
    let comments = [
        ("doc comments that open with a clause", counts.clause_docs, CLAUSE_DOCS_MAX),
        ("`See the module's text`", counts.see_module, SEE_MODULE_MAX),
        ("sentences of more than 25 words", counts.long_sentences, LONG_SENTENCES_MAX),
        ("doc comments of one word", counts.one_word_docs, ONE_WORD_DOCS_MAX),
    ];
    let comments = comments.map(|(what, count, most)| (what.to_string(), count, most));
    let wrong: Vec<String> = words
        .into_iter()
        .chain(comments)
        .filter(|(_, count, most)| count != most)
        .map(|(what, count, most)| {
            let advice = if count > most { "write it in other words" } else { "lower the ceiling" };
            format!("{what}: {count}, and the ceiling is {most}: {advice}")
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_kind_is_counted() {
    let example = r##"//! What was said, and who
//! ever said it so
//! many times.

/// Where.
fn is_none(told_ms: u64, isTold: Told, retold: &'a str) -> char { '"' } // nobody told

/// See the module's text.
///
/// - one two three four five six seven eight nine ten eleven twelve thirteen
/// - fourteen fifteen sixteen seventeen eighteen nineteen twenty and so on and on
const A: &str = r#"// somebody "said" is none"#; // "Said
/// One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
/// sixteen seventeen eighteen nineteen twenty. twenty-one twenty-two twenty-three, twenty-four
/// twenty-five twenty-six. Reckoned.
const B: &str = "\" /// What.";
"##;
    let mut counts = Counts::default();
    counts.add(example);
    let of = |word| counts.of(word);
    assert_eq!([of("said"), of("told"), of("retold"), of("reckon*")], [4, 4, 1, 1], "{counts:?}");
    assert_eq!([of("nobody"), of("somebody"), of("whoever"), of("what")], [1, 1, 0, 2]);
    assert_eq!([of("so many"), of("is none")], [1, 1], "across lines, and not of identifiers");
    assert_eq!([counts.clause_docs, counts.see_module], [1, 1]);
    assert_eq!([counts.long_sentences, counts.one_word_docs], [1, 1]);
}

#[test]
fn a_sentence_ends_at_a_full_stop() {
    let text = " One. Two (of `a.b`, i.e. of c). `Three`? 4 is four. And five";
    let sentences = sentences(text);
    assert_eq!(
        sentences,
        ["One.", "Two (of `a.b`, i.e. of c).", "`Three`?", "4 is four.", "And five"]
    );
}

#[test]
fn a_clause_is_told_from_a_noun() {
    let opens = |line: &str| {
        let comment = Comment { is_doc: true, lines: vec![line.to_string()] };
        comment.opens_with_a_clause()
    };
    let clauses = ["What a node has.", "Whose it is.", "So many at once.", "That it is open."];
    assert!(clauses.iter().all(|line| opens(line)));
    let nouns = ["Whatever.", "Whole numbers.", "Number of events.", "What's.", "So manyfold."];
    assert!(!nouns.iter().any(|line| opens(line)));
}
