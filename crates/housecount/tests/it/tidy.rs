//! Rules of this repository that a machine can check. An unchecked rule will be broken.

mod columns;
mod names;
mod order;
mod public_api;
mod words;

use std::path::{Path, PathBuf};

/// Most lines that a file may have. A longer file holds more than one concept.
const LINES_MAX: usize = 460;

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 50);
    found
}

#[test]
fn every_file_says_what_it_owns() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} does not begin with //!", path.display());
    }
}

#[test]
fn files_are_short() {
    for (path, text) in sources() {
        let is_test = path.components().any(|c| c.as_os_str() == "tests");
        let lines = text.lines().count();
        assert!(is_test || lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

/// Most lines of a crate without tests. A larger one holds more than a newcomer can.
const CRATE_LINES_MAX: usize = 11_000;

#[test]
fn crates_are_small() {
    let mut crates = std::collections::BTreeMap::<String, usize>::new();
    for (path, text) in sources() {
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        let Some(src) = parts.iter().rposition(|part| part == "src") else { continue };
        let is_test = |part: &str| part == "tests" || part == "tests.rs";
        if parts[src..].iter().any(|part| is_test(part)) {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        *crates.entry(parts[src - 1].to_string()).or_default() += code.lines().count();
    }
    for (name, lines) in &crates {
        assert!(*lines < CRATE_LINES_MAX, "{name} has {lines} lines: {crates:?}");
    }
    assert!(crates.len() > 5, "{crates:?}");
}

#[test]
fn the_core_is_pure() {
    for (path, text) in sources() {
        let pure = ["housecount-codec", "housecount-core"];
        if !pure.iter().any(|name| path.to_string_lossy().contains(name)) {
            continue;
        }
        for banned in [
            "std::fs",
            "std::net",
            "std::thread",
            "std::env",
            "tokio",
            "SystemTime",
            "Instant::now",
        ] {
            assert!(!text.contains(banned), "{} uses {banned}", path.display());
        }
    }
}

#[test]
fn only_commands_print() {
    for (path, text) in sources() {
        let shown = path.to_string_lossy().into_owned();
        let may = ["/src/cmd/", "/tests/", "/examples/", "housecount-sim/src/main.rs"]
            .iter()
            .any(|here| shown.contains(here));
        assert!(may || !text.contains("println!"), "{shown} prints");
    }
}

/// A limit that no test names is a guess.
#[test]
fn every_bound_is_hit_by_a_test() {
    let sources = sources();
    let is_of_limits = |path: &Path| {
        path.ends_with("housecount-core/src/limits.rs") || path.iter().any(|part| part == "limits")
    };
    let limits = sources.iter().filter(|(path, _)| is_of_limits(path));
    let names = limits
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    let tests: String = sources
        .iter()
        .map(|(path, text)| {
            let is_test =
                path.components().any(|c| c.as_os_str() == "tests") || path.ends_with("tests.rs");
            let from = if is_test {
                0
            } else {
                text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len())
            };
            text[from..].to_string()
        })
        .collect();
    let is_silent = |name: &&str| !tests.contains(*name) && !tests.contains(&name.to_lowercase());
    let silent: Vec<&str> = names.filter(is_silent).collect();
    assert!(silent.is_empty(), "no test names {silent:?}");
}

#[test]
fn each_async_test_has_a_time_limit() {
    for (path, text) in sources() {
        let is_the_attribute = path.iter().any(|part| part == "housecount-test");
        let is_untimed = text.contains(concat!("#[tokio", "::test"));
        assert!(
            is_the_attribute || !is_untimed,
            "{}: use housecount_test::timed_test",
            path.display()
        );
    }
}
