//! Fuzzes the stored progress of a webhook:
//! `cargo +nightly fuzz run webhook` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::webhook(bytes);
});
