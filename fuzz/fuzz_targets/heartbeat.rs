//! Fuzzes the body of a heartbeat: `cargo +nightly fuzz run heartbeat` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::heartbeat(bytes);
});
