//! The corpus of `fuzz/`, run as a test: whatever the bytes, an error or a chunk, and never a panic.

use std::path::Path;

use housecount_core::codec::seal;
use housecount_core::ledger::{Book, Chunk};

#[test]
fn the_fuzzing_corpus_is_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/chunk");
    let (mut read, mut refused) = (0, 0);
    for entry in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let Some((how, body)) = bytes.split_first() else { continue };
        // As the target takes it: the first byte says whether it is to be sealed.
        let mut bytes = body.to_vec();
        if how % 2 == 1 {
            seal(&mut bytes);
        }
        match Chunk::decode(&bytes) {
            Ok((chunk, link)) => {
                read += 1;
                let _ = Book::default().apply(&chunk, link, &mut ());
                if let Ok((again, _)) = Chunk::decode(&chunk.encode()) {
                    assert_eq!(again, chunk);
                }
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 10 && refused > 10, "{read} read, {refused} refused");
}
