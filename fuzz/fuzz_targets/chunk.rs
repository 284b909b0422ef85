//! Fuzzes a chunk of the ledger: `cargo +nightly fuzz run chunk` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::chunk(bytes);
});
