//! The ledger's decoder: whatever the bytes, an error or a chunk, in bounded time and memory.
//!
//! The first byte says how the rest is taken: as it is, or sealed, so that the checksum doesn't stop everything.
//! `cargo +nightly fuzz run chunk` from the repository's root. tests/it/ledger/corpus.rs runs the corpus in `./test`.

#![no_main]

use housecount_core::codec::seal;
use housecount_core::ledger::{Book, Chunk};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if how % 2 == 1 {
        seal(&mut bytes);
    }
    if let Ok((chunk, link)) = Chunk::decode(&bytes) {
        let mut book = Book::default();
        if book.apply(&chunk, link, &mut ()).is_ok() {
            book.carried().for_each(drop);
        }
        // Some that no writer makes (the same viewer many times) pack so well that they are refused; none changes.
        if let Ok((again, _)) = Chunk::decode(&chunk.encode()) {
            assert_eq!(again, chunk);
        }
    }
});
