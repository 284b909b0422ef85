//! One process a data folder: a lock that the operating system gives back however the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::{ErrorKind, StoreError, StoreResult};

/// Holds a folder for as long as it lives.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder if it isn't there, and holds it.
    ///
    /// # Errors
    /// `Held` if another process has it; `Unavailable` if it can't be made or written.
    pub fn take(folder: &Path) -> StoreResult<FolderLock> {
        let failed = |e| {
            StoreError::caused(ErrorKind::Unavailable, format!("opening the folder {}", folder.display()), e)
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::new(
                ErrorKind::Held,
                format!(
                    "{} is in use by another housecount; stop it, or choose another folder with --data",
                    folder.display()
                ),
            )),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_once() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::take(folder.path()).unwrap();
        let error = FolderLock::take(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Held);
        drop(held);
        FolderLock::take(folder.path()).unwrap();
    }
}
