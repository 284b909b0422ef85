//! The stores after other programs, a full memory or a vanished folder, and with damaged files.

mod data_folder;
mod embedded;
mod full_memory;
mod odd_entries;
