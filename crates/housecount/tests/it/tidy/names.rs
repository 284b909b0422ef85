//! Names of files and types. Every file is part of its crate, and the name of a public type is
//! defined once.

use std::collections::BTreeMap;
use std::path::Path;

use super::sources;

/// Files below a crate's `src`, including tests in files of their own.
fn of_src() -> Vec<(std::path::PathBuf, String)> {
    let is_src = |path: &Path| path.iter().any(|part| part == "src");
    sources().into_iter().filter(|(path, _)| is_src(path)).collect()
}

#[test]
fn no_file_is_dead() {
    let sources = of_src();
    for (path, _) in &sources {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if ["lib", "main"].contains(&&*stem) {
            continue;
        }
        let folder = path.parent().unwrap();
        // A module's parent is `mod.rs` or the crate's root beside it, or the file with the
        // folder's name.
        let (name, folder) = match &*stem {
            "mod" => (
                folder.file_name().unwrap().to_string_lossy().into_owned(),
                folder.parent().unwrap(),
            ),
            _ => (stem, folder),
        };
        let parents = [
            folder.join("mod.rs"),
            folder.join("lib.rs"),
            folder.join("main.rs"),
            folder.with_extension("rs"),
        ];
        let named = format!("mod {name};");
        let is_named =
            |text: &str| text.contains(&named) || text.contains(&format!("/{name}.rs\""));
        let is_alive = sources.iter().any(|(other, text)| {
            parents.contains(other) && is_named(text)
                || text.contains(&format!("without/{name}.rs\""))
        });
        assert!(is_alive, "no module names {}", path.display());
    }
}

#[test]
fn a_public_type_is_defined_once() {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in of_src() {
        // These types stand in for types of the same name.
        if path.iter().any(|part| part == "without") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in code.lines().map(str::trim) {
            let kinds = ["pub struct ", "pub enum ", "pub trait ", "pub type "];
            let Some(rest) = kinds.iter().find_map(|kind| line.strip_prefix(kind)) else {
                continue;
            };
            let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            // The `$name` of a macro is not a name.
            if !name.is_empty() {
                defined.entry(name.to_string()).or_default().push(path.display().to_string());
            }
        }
    }
    let twice: Vec<_> = defined.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(twice.is_empty(), "defined in several files: {twice:#?}");
}
