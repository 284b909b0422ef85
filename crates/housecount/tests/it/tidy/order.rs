//! The order of rooms. No room uses one that comes after it, so no cycle of rooms can exist.
//!
//! A room is a folder of a crate's `src`, or a file beside these folders.

use std::collections::BTreeSet;
use std::path::Path;

use super::sources;

/// Crates, and the rooms of each, lowest first.
#[rustfmt::skip]
const CRATES: &[(&str, &[&str])] = &[
    ("housecount-codec", &["bytes", "bits", "id_shapes", "range_coder", "lib"]),
    ("housecount-core", &[
        "prefetch", "time", "beat_schedule", "limits", "ids", "labels", "label_sets",
        "event", "batch",
        "mutants", "handle", "record", "span", "id_arena", "fold", "roster", "bridge", "clock",
        "item", "body", "units", "fence", "flush", "keys", "snapshot", "heartbeat", "lease", "lib",
        "coarse_clock", "public_count", "stage", "version",
    ]),
    ("housecount-archive", &["params", "session_table", "chunk", "lib"]),
    ("housecount-ledger", &[
        "owner", "new_entries", "chunk", "entry", "book", "draft", "rename", "watch", "totals",
        "curve", "views", "lib",
    ]),
    ("housecount-backend", &[
        "error", "meter", "sim", "clock", "rng", "retry", "threads", "workers", "cold", "log",
        "tasks", "lib",
    ]),
    ("housecount-metrics", &[
        "labels", "list", "cost", "format", "holds", "polls", "process", "lib",
    ]),
    ("housecount-engine", &[
        "log", "rfc3339", "traced", "hub", "cold", "ingest", "live", "ledger",
        "snapshots", "archive", "stages", "follower", "engine", "internals", "lib",
    ]),
    ("housecount-cost", &[
        "money", "prices", "redis_size", "wire", "own_usage", "plans", "sizing", "whole", "managed",
        "bill", "crossover", "guard", "read", "report", "tracker", "answer", "sampler", "lib",
    ]),
    ("housecount-reports", &[
        "nearest", "calendar", "request", "distribution", "figures", "views", "retention", "names",
        "movements", "audience", "value_totals", "by_value", "labelled", "broadcasts",
        "ranking", "spreadsheet", "configs", "filter", "read",
        "customers", "final_hours", "usage", "usage_rows", "verify", "lib",
    ]),
    ("housecount-net", &[
        "service_url", "address_policy", "traffic", "byte_queue", "tickets", "tls_stream", "tls",
        "client", "outbound", "lib",
    ]),
    ("housecount-events", &[
        "event", "state", "sample", "batch", "checkpoint", "chain", "lease", "role", "webhooks",
        "settings", "evaluator", "sampler", "writer", "service", "lib",
    ]),
    ("housecount-stores", &[
        "features", "folder", "dynamo", "without", "cold", "log", "lib",
    ]),
    ("housecount-access", &[
        "cache_table", "origin", "cors", "direct", "labels", "auth", "admission", "lib",
    ]),
    ("housecount-wire", &[
        "accept", "socket", "timeouts", "unread", "write_timeout", "connection", "h2", "lib",
    ]),
    ("housecount-problem", &["problem", "causes", "limited_keys", "lib"]),
    ("housecount-body", &["gzip", "body", "heartbeat_json", "batch_body", "lib"]),
    ("housecount-server", &[
        "node", "http", "lib",
    ]),
    ("housecount-sim", &[
        "plan", "oracle", "digest", "active_faults", "world", "archive_check", "events", "nodes",
        "checks", "lib", "main", "operator", "streams", "player", "standstill", "run", "soak",
    ]),
    ("housecount-test", &["lib"]),
    ("housecount-test-support", &[
        "certificates", "cold", "faulty", "emulator", "dynamo", "redis", "sentinel", "stage",
        "committed_crowd", "hour", "lib",
    ]),
    ("housecount", &[
        "without", "config", "app", "copy", "export", "forget", "ivs", "load", "otlp", "report", "cmd",
        "lib", "main",
    ]),
];

/// A file's crate and room, for files of `src`.
fn room(path: &Path) -> Option<(String, String)> {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let src = parts.iter().rposition(|part| part == "src")?;
    let room = parts.get(src + 1)?.trim_end_matches(".rs").to_string();
    Some((parts.get(src.checked_sub(1)?)?.clone(), room))
}

/// Rooms that a text names after `crate::`, outside its tests and comments.
fn uses(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> =
        code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let word = |text: &str| {
        text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().map(String::from)
    };
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => found.extend(outer(group).split(',').filter_map(word)),
            None => found.extend(word(rest)),
        }
    }
    found
}

/// The text of `crate::{one, two::{three, four}}` after its first brace, up to its end and without
/// inner braces.
fn outer(group: &str) -> String {
    let mut depth = 0;
    let mut outer = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ if depth == 0 => outer.push(c),
            _ => {}
        }
    }
    outer
}

/// Violations of the order: a room that is not in it, or one that uses a room after it.
fn broken(order: &[&str], room: &str, text: &str) -> Vec<String> {
    let place = |room: &str| order.iter().position(|known| *known == room);
    let Some(here) = place(room) else {
        return vec![format!("`{room}` is not in the order of rooms")];
    };
    let later = |used: &String| place(used).is_some_and(|there| there > here);
    uses(text)
        .into_iter()
        .filter(later)
        .map(|used| format!("`{room}` uses `{used}`, which comes after it"))
        .collect()
}

#[test]
fn no_room_uses_one_that_comes_after_it() {
    let mut rooms = BTreeSet::new();
    for (path, text) in sources() {
        let Some((of, room)) = room(&path) else { continue };
        let Some((_, order)) = CRATES.iter().find(|(name, _)| *name == of) else {
            panic!("{of} has no order of rooms");
        };
        rooms.insert((of.clone(), room.clone()));
        if path.file_name().is_some_and(|name| name == "tests.rs")
            || path.iter().any(|part| part == "tests")
        {
            continue;
        }
        let broken = broken(order, &room, &text);
        assert!(broken.is_empty(), "{}: {}", path.display(), broken.join("; "));
    }
    for (of, order) in CRATES {
        let gone: Vec<&&str> = order
            .iter()
            .filter(|room| !rooms.contains(&((*of).to_string(), (**room).to_string())))
            .collect();
        assert!(gone.is_empty(), "{of} has no rooms {gone:?}");
    }
}

#[test]
fn a_circle_is_found() {
    let order = ["low", "high"];
    assert_eq!(broken(&order, "high", "use crate::low::A;"), Vec::<String>::new());
    for text in
        ["use crate::high::A;", "use crate::{low, high::{A, B}};", "fn a() { crate::high::b() }"]
    {
        assert_eq!(
            broken(&order, "low", text),
            ["`low` uses `high`, which comes after it"],
            "{text}"
        );
    }
    assert_eq!(broken(&order, "low", "use crate::{low::{high}};"), Vec::<String>::new());
    assert_eq!(
        broken(&order, "low", "//! crate::high\n#[cfg(test)]\nmod tests { use crate::high; }"),
        Vec::<String>::new()
    );
    assert_eq!(broken(&order, "new", "").len(), 1);
}
