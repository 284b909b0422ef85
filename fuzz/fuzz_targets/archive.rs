//! Fuzzes a chunk of the archive: `cargo +nightly fuzz run archive` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::archive(bytes);
});
