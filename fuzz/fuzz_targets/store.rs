//! Fuzzes the address of a store: `cargo +nightly fuzz run store` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::store(bytes);
});
