//! The folder of an embedded store: private to its owner, held by one process at a time, and
//! watched.
//!
//! SQLite keeps its files open. If they are deleted under a running node, they still take writes,
//! which are lost with the process. So before a store reports a write as done, it compares the
//! files at its paths with those that it opened.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use housecount_backend::error::{ErrorKind, StoreError, StoreResult};

/// Mode of a folder: private, because it contains viewers' ids.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Mode bits of other users.
const OTHERS_MODE: u32 = 0o077;
/// Mode bit of a folder that many users share, such as /tmp.
const SHARED_MODE: u32 = 0o1000;
/// Name of the locked file.
const LOCK: &str = "lock";

/// A folder that this process holds for the lifetime of this value. The operating system releases
/// it however the process ends.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
    known: Vec<KnownFile>,
}

/// Identity of a file at its opening.
#[derive(Debug)]
struct KnownFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl DataFolder {
    /// Creates the folder if it is missing, makes it private, and holds it. `database` is the name
    /// of the store's file in it.
    ///
    /// # Errors
    /// Returns `Held` if another process holds the folder, and `Unavailable` if it can't be created
    /// or written.
    pub fn open(path: &Path, database: &str) -> StoreResult<DataFolder> {
        let failed = |e| unopened(path, path, e);
        make_private(path, &[LOCK, database]).map_err(failed)?;
        let mut folder =
            DataFolder { path: path.to_path_buf(), _lock: folder_lock(path)?, known: Vec::new() };
        folder.know(LOCK).map_err(failed)?;
        // SQLite gives its other files the mode of the first.
        private_file(&path.join(database)).map_err(failed)?;
        for further in ["-wal", "-shm"].map(|end| path.join(format!("{database}{end}"))) {
            if further.exists() {
                close_to_others(&further, FILE_MODE);
            }
        }
        Ok(folder)
    }

    /// Path of a file in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Watches a file that the store has just opened.
    ///
    /// # Errors
    /// Returns `Unavailable` if the file does not exist.
    pub fn watch(&mut self, name: &str) -> StoreResult<()> {
        self.know(name).map_err(|e| {
            StoreError::caused(
                ErrorKind::Unavailable,
                format!("opening {}", self.path(name).display()),
                e,
            )
        })
    }

    fn know(&mut self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        let (device, inode) = identity(&std::fs::metadata(&path)?);
        self.known.push(KnownFile { path, device, inode });
        Ok(())
    }

    /// Checks that the watched files are still the ones at their paths. It takes a few system
    /// calls, without any input or output.
    ///
    /// # Errors
    /// Returns `Unavailable` with the path of a file that was deleted, moved or replaced.
    pub fn check(&self) -> StoreResult<()> {
        self.known.iter().try_for_each(KnownFile::check)
    }
}

/// A folder that this process holds for reading. No node can start on it meanwhile.
#[derive(Debug)]
pub struct FolderHold {
    _lock: File,
}

/// Holds a folder and changes nothing in it. Returns `None` if no store was ever opened in it for
/// writing.
///
/// # Errors
/// Returns `Held` if another process holds it, and `Unavailable` if its lock file can't be opened.
pub fn hold_to_read(folder: &Path) -> StoreResult<Option<FolderHold>> {
    match File::open(folder.join(LOCK)) {
        Ok(file) => locked(folder, file).map(|lock| Some(FolderHold { _lock: lock })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let context = format!("opening {}", folder.join(LOCK).display());
            Err(StoreError::caused(ErrorKind::Unavailable, context, error))
        }
    }
}

impl KnownFile {
    fn check(&self) -> StoreResult<()> {
        let what = match std::fs::metadata(&self.path) {
            Ok(found) if identity(&found) == (self.device, self.inode) => return Ok(()),
            Ok(_) => "was replaced",
            Err(e) if e.kind() == io::ErrorKind::NotFound => "was deleted or moved",
            Err(e) => {
                let text = format!("can't read the metadata of {}", self.path.display());
                return Err(StoreError::caused(ErrorKind::Unavailable, text, e));
            }
        };
        let text = format!(
            "{} {what} while the node runs; put it back, or restart the node",
            self.path.display()
        );
        Err(StoreError::new(ErrorKind::Unavailable, text))
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// The error for a folder, or a file in it, that can't be opened for writing.
fn unopened(folder: &Path, path: &Path, error: io::Error) -> StoreError {
    let context = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            let folder = folder.display();
            format!(
                "the folder {folder} and its files must be writable for the user that runs housecount"
            )
        }
        _ => format!("opening {}", path.display()),
    };
    StoreError::caused(ErrorKind::Unavailable, context, error)
}

fn folder_lock(folder: &Path) -> StoreResult<File> {
    let path = folder.join(LOCK);
    locked(folder, private_file(&path).map_err(|e| unopened(folder, &path, e))?)
}

fn locked(folder: &Path, file: File) -> StoreResult<File> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::new(
            ErrorKind::Held,
            format!(
                "{} is in use by another housecount; stop it, or choose another folder with --data",
                folder.display()
            ),
        )),
        Err(TryLockError::Error(e)) => Err(unopened(folder, &folder.join(LOCK), e)),
    }
}

/// Opens a file that only its owner can read, and creates it if it is missing.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(FILE_MODE).open(path)?;
    close_to_others(path, FILE_MODE);
    Ok(file)
}

/// Creates a private folder, or makes an existing one private if it is empty or contains one of
/// `ours`. A shared folder such as /tmp stays as it is. Its files are private all the same, but
/// other users can create files with the same names.
///
/// # Errors
/// Returns the I/O error if the folder is missing and can't be created.
pub fn make_private(path: &Path, ours: &[&str]) -> io::Result<()> {
    if !path.exists() {
        // Only the folder itself is private, since its parents may be for other users.
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above)?;
        }
        return DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path);
    }
    let is_empty = || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let is_ours = ours.iter().any(|name| path.join(name).exists()) || is_empty();
    let is_shared = std::fs::metadata(path)?.permissions().mode() & SHARED_MODE != 0;
    if is_ours && !is_shared {
        close_to_others(path, FOLDER_MODE);
    } else if is_open_to_others(path) {
        tracing::warn!(folder = %path.display(), "other users can enter the folder of a store; choose a folder for housecount alone");
    }
    Ok(())
}

fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & OTHERS_MODE != 0)
}

/// Makes a file private to its owner. Logs a warning if that fails, for example because another
/// user owns the file.
fn close_to_others(path: &Path, mode: u32) {
    if is_open_to_others(path)
        && let Err(error) = std::fs::set_permissions(path, Permissions::from_mode(mode))
    {
        tracing::warn!(%error, path = %path.display(), "other users can read a store's file; run chmod {mode:o} on it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_is_held_once() {
        let folder = tempfile::tempdir().unwrap();
        let held = DataFolder::open(folder.path(), "db").unwrap();
        let error = DataFolder::open(folder.path(), "db").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Held);
        drop(held);
        DataFolder::open(folder.path(), "db").unwrap();
    }

    #[test]
    fn only_its_owner_reads_it() {
        let above = tempfile::tempdir().unwrap();
        set_mode(above.path(), 0o755);
        let path = above.path().join("a/b");
        DataFolder::open(&path, "db").unwrap();
        assert_eq!(
            (mode(&path), mode(&path.join("lock")), mode(&path.join("db"))),
            (0o700, 0o600, 0o600)
        );
        assert_eq!(mode(above.path()), 0o755, "the parent folder keeps its mode");
    }

    #[test]
    fn an_older_versions_folder_is_taken_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["db", "db-wal", "db-shm", "lock"] {
            std::fs::write(path.join(name), "").unwrap();
            set_mode(&path.join(name), 0o664);
        }
        set_mode(path, 0o775);
        DataFolder::open(path, "db").unwrap();
        assert_eq!(mode(path), 0o700);
        for name in ["db", "db-wal", "db-shm", "lock"] {
            assert_eq!(mode(&path.join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn a_folder_that_others_share_stays_theirs() {
        for (shared, file) in [(0o1777, None), (0o755, Some("other"))] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path();
            if let Some(file) = file {
                std::fs::write(path.join(file), "").unwrap();
            }
            set_mode(path, shared);
            DataFolder::open(path, "db").unwrap();
            assert_eq!((mode(path), mode(&path.join("db"))), (shared, 0o600));
        }
    }

    #[test]
    fn a_file_that_is_gone_or_replaced_is_named() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("data");
        let mut folder = DataFolder::open(&path, "db").unwrap();
        folder.watch("db").unwrap();
        folder.check().unwrap();
        let (aside, db) = (above.path().join("aside"), path.join("db"));
        let error = |folder: &DataFolder| {
            let error = folder.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            error.to_string()
        };
        std::fs::rename(&db, &aside).unwrap();
        assert!(error(&folder).starts_with(&format!("{} was deleted or moved", db.display())));
        std::fs::write(&db, "").unwrap();
        assert!(error(&folder).starts_with(&format!("{} was replaced", db.display())));
        std::fs::rename(&aside, &db).unwrap();
        folder.check().unwrap();
        // The folder with all its content; a copy is not the same.
        std::fs::rename(&path, &aside).unwrap();
        assert!(error(&folder).contains("lock was deleted or moved"));
        std::fs::create_dir(&path).unwrap();
        for name in ["db", "lock"] {
            std::fs::copy(aside.join(name), path.join(name)).unwrap();
        }
        assert!(error(&folder).contains("lock was replaced"));
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
        folder.check().unwrap();
    }
}
