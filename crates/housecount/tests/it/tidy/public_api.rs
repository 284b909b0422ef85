//! The size of the engine's public API, and of what it exports to housecount's own crates.

use std::path::Path;

/// Most items of the engine's public API.
const PUBLIC_ITEMS_MAX: usize = 25;
/// Most items that the engine exports to housecount's own crates.
const INTERNAL_ITEMS_MAX: usize = 120;

/// Names that the `pub use` statements of a text export. A glob would hide how many they are.
fn exported(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for statement in text.split("pub use ").skip(1) {
        let path = statement.split(';').next().unwrap_or_default();
        assert!(!path.contains('*'), "`pub use {path}` exports everything");
        let list = path.split_once('{').map_or(path, |(_, list)| list.trim_end_matches('}'));
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let source = name.split(" as ").next().unwrap_or_default();
            names.push(source.rsplit("::").next().unwrap_or_default().to_string());
        }
    }
    names
}

/// Public items of the engine's module of this name, which some folder of it has.
fn items_of(module: &str) -> usize {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../housecount-engine/src");
    let rooms = ["ledger", "archive", "snapshots", "stages"];
    let files = rooms.map(|room| src.join(room).join(format!("{module}.rs")));
    let text: String = files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect();
    assert!(!text.is_empty(), "no module `{module}`");
    let starts = ["pub fn", "pub async fn", "pub struct", "pub enum", "pub type", "pub const"];
    text.lines().filter(|line| starts.iter().any(|start| line.starts_with(start))).count()
}

fn source(name: &str) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../housecount-engine/src");
    std::fs::read_to_string(src.join(name)).unwrap()
}

#[test]
fn the_engine_has_a_small_public_api() {
    let lib = source("lib.rs");
    let names = exported(&lib);
    assert!(names.len() <= PUBLIC_ITEMS_MAX, "{} items: {names:?}", names.len());
    let public: Vec<&str> = lib.lines().filter(|line| line.starts_with("pub mod")).collect();
    assert_eq!(public, ["pub mod internals;"], "all other modules are private");
}

#[test]
fn internals_are_counted() {
    let names = exported(&source("internals.rs"));
    // A module counts as all that it exports.
    let is_module = |name: &String| {
        name.chars().all(|c| c.is_lowercase())
            && ["read", "chain", "chunks", "fence", "scan", "history"].contains(&name.as_str())
    };
    let (modules, items): (Vec<_>, Vec<_>) = names.iter().partition(|name| is_module(name));
    let modules: std::collections::BTreeSet<_> = modules.into_iter().collect();
    let within: usize = modules.iter().map(|module| items_of(module)).sum();
    let count = items.len() + within;
    assert!(count > 50, "{names:?}");
    assert!(count <= INTERNAL_ITEMS_MAX, "{count} items: {items:?}, and {within} of {modules:?}");
}

#[test]
fn each_name_of_a_list_counts() {
    let text = "pub use a::{B, c as d};\npub use e::F;\nuse g::H;\npub use crate::i::{self, J};";
    assert_eq!(exported(text), ["B", "c", "F", "self", "J"]);
}
