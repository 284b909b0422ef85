//! Fuzzes many heartbeats, as JSON and NDJSON: `cargo +nightly fuzz run batch` from the
//! repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::batch(bytes);
});
