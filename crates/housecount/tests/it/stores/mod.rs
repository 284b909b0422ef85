//! A node over its stores, after other programs, a full memory, a full disk or a vanished folder.

mod data_folder;
mod embedded;
mod full_disk;
mod full_memory;
mod odd_entries;
