//! Fuzzes a message on a WebSocket: `cargo +nightly fuzz run message` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::message(bytes);
});
