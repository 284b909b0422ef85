//! Fuzzes a record of the log: `cargo +nightly fuzz run record` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::record(bytes);
});
