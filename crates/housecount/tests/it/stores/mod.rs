//! What other programs, a full memory, a full disk and a vanished folder do to the stores, and to a
//! node over them.

mod data_folder;
mod embedded;
mod full_disk;
mod full_memory;
mod odd_entries;
