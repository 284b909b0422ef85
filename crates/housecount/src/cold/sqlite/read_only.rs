//! How the embedded cold tier's file is opened only to read: no file of its folder changes or comes
//! to be, also while a node writes to it.
//!
//! SQLite's own read-only mode is not enough: it makes an index (`-shm`) and a journal (`-wal`)
//! where there are none, and writes to an index that is there. So where both are there, they are
//! only read, and SQLite finds out itself whether a node has them open or one that was killed has
//! left them. Where there is no journal the file is all there is, and is read as one that never
//! changes; should a node begin to write to it meanwhile, the answer is an error and never a
//! mixture.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{ErrorKind, StoreError, StoreResult};

/// How every file of SQLite begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// What stays as it is in the path of a `file:` URI.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// A file to be read.
#[derive(Debug)]
pub(super) struct ReadOnly {
    /// Its name for SQLite, with how to open it.
    pub(super) uri: String,
    /// The file as it was found, where it must not change.
    pub(super) unchanged: Option<Unchanged>,
}

impl ReadOnly {
    /// Looks how a file can be read.
    ///
    /// # Errors
    /// `Missing` if there is no such file, `Corrupt` if it is not one of SQLite's, `Unavailable` if
    /// it can't be read.
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

/// A file that nobody wrote to since it was found.
#[derive(Debug)]
pub(super) struct Unchanged {
    file: PathBuf,
    found: Metadata,
}

impl Unchanged {
    /// Whether it is so: what was read is from one moment only then.
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
