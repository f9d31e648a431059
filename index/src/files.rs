//! How does a file get onto the disk so that a crash leaves the old or the
//! new one, never half of one?

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::IndexError;
use crate::error::IoContext;

/// Makes a directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), IndexError> {
    File::open(dir)
        .and_then(|handle| handle.sync_all())
        .on("cannot sync the directory", dir)
}

/// Writes a whole file: a temporary one beside it, synced, then renamed.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), IndexError> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).on("cannot create", &temporary)?;
    file.write_all(bytes).on("cannot write", &temporary)?;
    file.sync_all().on("cannot sync", &temporary)?;
    drop(file);
    fs::rename(&temporary, path).on("cannot rename to", path)?;
    match path.parent() {
        Some(dir) => sync_dir(dir),
        None => Ok(()),
    }
}

/// Creates a directory, with its parents, and makes every new entry durable.
pub(crate) fn create_dir(dir: &Path) -> Result<(), IndexError> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .filter(|ancestor| !ancestor.as_os_str().is_empty())
        .take_while(|ancestor| !ancestor.is_dir())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(dir).on("cannot create the directory", dir)?;
    for created in missing {
        match created.parent() {
            Some(parent) if parent.as_os_str().is_empty() => sync_dir(Path::new("."))?,
            Some(parent) => sync_dir(parent)?,
            None => {}
        }
    }
    Ok(())
}

/// Removes a directory and all in it; one that is not there is no error.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), IndexError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).on("cannot remove", dir)
        }
        _ => Ok(()),
    }
}
