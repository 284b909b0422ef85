//! A file that gets its name once it is complete: it is written under another name, and renamed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::rng;

/// Opens the output of an export for `write`: a file, or standard output for `-`.
///
/// # Errors
/// Returns the error of `write`, or `Unavailable` if the file can't be written.
pub async fn write_atomically<T>(
    out: &Path,
    write: impl AsyncFnOnce(Box<dyn Write + Send>) -> StoreResult<T>,
) -> StoreResult<T> {
    if out.as_os_str() == "-" {
        return write(Box::new(std::io::stdout())).await;
    }
    let failed = |e: std::io::Error| {
        StoreError::caused(ErrorKind::Unavailable, format!("writing {}", out.display()), e)
    };
    let mut name = out.as_os_str().to_owned();
    name.push(format!(".{:08x}.part", rng::random::<u32>()));
    let part = TempFile(PathBuf::from(name));
    let file = File::create_new(&part.0).map_err(failed)?;
    let written = write(Box::new(BufWriter::new(file))).await?;
    File::open(&part.0).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(&part.0, out).map_err(failed)?;
    Ok(written)
}

/// An incomplete file, which is deleted unless it gets its name.
struct TempFile(PathBuf);

impl Drop for TempFile {
    fn drop(&mut self) {
        // A renamed file no longer exists under this path.
        let _ = std::fs::remove_file(&self.0);
    }
}
