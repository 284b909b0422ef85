//! Opening the embedded cold tier's file for reading only. No file of its folder is changed or
//! created, also while a node writes to it.
//!
//! SQLite's own read-only mode is not enough. It creates an index (`-shm`) and a journal (`-wal`)
//! if they don't exist, and writes to an existing index. So there are two cases:
//! - If both files exist, they are only read. SQLite then detects whether a node has them open or a
//!   killed node has left them.
//! - Without a journal the file is complete, and is read as one that never changes. If a node
//!   begins to write to it meanwhile, the answer is an error and never a mixture.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// First bytes of every file of SQLite.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Characters that are escaped in the path of a `file:` URI.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// A file to be read, and how to open it.
#[derive(Debug)]
pub(super) struct ReadOnly {
    /// URI of the file for SQLite, with the mode to open it in.
    pub(super) uri: String,
    /// State in which the file was found, where it must not change.
    pub(super) unchanged: Option<Unchanged>,
}

impl ReadOnly {
    /// Decides how a file can be read.
    ///
    /// # Errors
    /// Returns `Missing` if the file doesn't exist, `Corrupt` if it is not one of SQLite's, and
    /// `Unavailable` if it can't be read. Returns `Unsupported` if reading it would need a write.
    pub(super) fn of(file: &Path) -> StoreResult<ReadOnly> {
        let failed = |e| {
            StoreError::caused(ErrorKind::Unavailable, format!("reading {}", file.display()), e)
        };
        let file = &match fs::canonicalize(file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::new(
                    ErrorKind::Missing,
                    format!("there is no {}", file.display()),
                ));
            }
            found => found.map_err(failed)?,
        };
        let found = fs::metadata(file).map_err(failed)?;
        if !found.is_file() {
            let context = format!("{} is not a file", file.display());
            return Err(StoreError::new(ErrorKind::Corrupt, context));
        }
        check_begins(file).map_err(failed)??;
        let path = file.to_str().ok_or_else(|| {
            let context = format!("the folder's name is not UTF-8: {}", file.display());
            StoreError::new(ErrorKind::Unsupported, context)
        })?;
        let uri = format!("file://{}", utf8_percent_encode(path, ESCAPED));
        let journal_bytes = fs::metadata(beside(file, "-wal")).ok().map(|journal| journal.len());
        let has_index = beside(file, "-shm").exists();
        match journal_bytes {
            Some(_) if has_index => {
                Ok(ReadOnly { uri: format!("{uri}?mode=ro&readonly_shm=1"), unchanged: None })
            }
            None | Some(0) => {
                let unchanged = Some(Unchanged { file: file.clone(), found });
                Ok(ReadOnly { uri: format!("{uri}?immutable=1"), unchanged })
            }
            Some(_) => {
                let context = format!(
                    "{} has a journal (-wal) without its index (-shm), so it can't be read without writing; start and stop a \
                     node on this folder, or on a copy of it, once",
                    file.display()
                );
                Err(StoreError::new(ErrorKind::Unsupported, context))
            }
        }
    }
}

/// A file that must not be written to while it is read.
#[derive(Debug)]
pub(super) struct Unchanged {
    file: PathBuf,
    found: Metadata,
}

impl Unchanged {
    /// Whether the file is still unchanged. Only then everything that was read is from one moment.
    pub(super) fn is_so(&self) -> bool {
        fs::metadata(&self.file).is_ok_and(|now| {
            now.len() == self.found.len() && now.modified().ok() == self.found.modified().ok()
        })
    }
}

fn check_begins(file: &Path) -> std::io::Result<StoreResult<()>> {
    let mut begins = Vec::with_capacity(MAGIC.len());
    File::open(file)?.take(MAGIC.len() as u64).read_to_end(&mut begins)?;
    let what = match begins.as_slice() {
        [] => "is empty",
        begins if begins != MAGIC => "is not a store of housecount's",
        _ => return Ok(Ok(())),
    };
    Ok(Err(StoreError::new(ErrorKind::Corrupt, format!("{} {what}", file.display()))))
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
