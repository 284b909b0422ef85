//! Fuzzes an id in a path: `cargo +nightly fuzz run path` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::path(bytes);
});
