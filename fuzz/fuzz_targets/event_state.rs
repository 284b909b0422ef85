//! Fuzzes a stored part of the state that events leave:
//! `cargo +nightly fuzz run event_state` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = housecount_fuzz_targets::event_state(bytes);
});
