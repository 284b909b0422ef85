//! Width of a line: at most 100 columns, so that two files fit beside each other.
//!
//! rustfmt enforces this for most code. It doesn't break strings, and it doesn't look into macros.

use super::sources;

/// Columns of a line of code or of a comment.
const COLUMNS_MAX: usize = 100;
/// Number of longer lines in macros, such as `proptest!`. Lower it when you break one; never raise
/// it.
const LONG_LINES_MAX: usize = 81;

/// Whether a line has a string that would change if the line were broken.
fn has_text(line: &str) -> bool {
    line.contains('"') || line.contains("://")
}

/// Long lines of a file, each with its number. Strings over several lines and code blocks in
/// comments are left out.
fn long_lines(text: &str) -> Vec<(usize, &str)> {
    let (mut found, mut is_drawn, mut is_string) = (Vec::new(), false, false);
    for (number, line) in (1..).zip(text.lines()) {
        let comment = line.trim_start().strip_prefix("//");
        match comment.map(|text| text.trim_start_matches(['/', '!']).trim_start()) {
            Some(text) if text.starts_with("```") => is_drawn = !is_drawn,
            Some(_) => {}
            None => is_drawn = false,
        }
        let was_string = is_string;
        if comment.is_none() && line.matches('"').count() % 2 == 1 {
            is_string = !is_string;
        }
        if line.chars().count() > COLUMNS_MAX && !is_drawn && !was_string && !has_text(line) {
            found.push((number, line));
        }
    }
    found
}

#[test]
fn lines_fit_into_100_columns() {
    let sources = sources();
    let long = sources.iter().flat_map(|(path, text)| {
        long_lines(text).into_iter().map(move |(number, _)| format!("{}:{number}", path.display()))
    });
    let long: Vec<String> = long.collect();
    assert_eq!(long.len(), LONG_LINES_MAX, "longer than {COLUMNS_MAX} columns: {long:#?}");
}

#[test]
fn a_long_line_is_found() {
    let long = format!("    let sum = {};", ["1"; 60].join(" + "));
    assert_eq!(long_lines(&format!("//! A file.\n{long}\n")), [(2, long.as_str())]);
    assert_eq!(long_lines(&format!("//! {}\n", "word ".repeat(19))), [], "100 columns fit");
}
