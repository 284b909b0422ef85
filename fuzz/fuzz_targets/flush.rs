//! Fuzzes an item of a DynamoDB log: `cargo +nightly fuzz run flush` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::flush(bytes);
});
