//! Fuzzes a stored batch of events: `cargo +nightly fuzz run events` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::events(bytes);
});
