//! Through which door does tantivy reach the disk?
//!
//! Through its own, a directory of mapped files. While faults are on, each of
//! its steps passes through [`crate::fault`] first, as those of
//! [`crate::disk`] do.
//!
//! What tantivy 0.27 makes durable, as its source has it: a file that it has
//! written is synced when it is terminated (`fdatasync`); all names are synced
//! before `meta.json` is replaced, and not after it. So a commit that returned
//! may be gone after a power cut, and the one before it is there instead. The
//! log fills the gap.

use std::path::Path;

use tantivy::directory::MmapDirectory;
use tantivy::directory::error::OpenDirectoryError;

/// Opens the directory that tantivy works in.
#[cfg(not(feature = "faults"))]
pub(super) fn open(dir: &Path) -> Result<MmapDirectory, OpenDirectoryError> {
    MmapDirectory::open(dir)
}

/// Opens the directory that tantivy works in.
#[cfg(feature = "faults")]
pub(super) fn open(dir: &Path) -> Result<hurt::FaultyDirectory, OpenDirectoryError> {
    Ok(hurt::FaultyDirectory::new(MmapDirectory::open(dir)?, dir))
}

#[cfg(test)]
#[cfg(feature = "faults")]
mod tests;

#[cfg(feature = "faults")]
mod hurt {
    //! What happens around tantivy's steps while faults are on?

    use std::io::{self, BufWriter, Write};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use tantivy::Directory;
    use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
    use tantivy::directory::{
        AntiCallToken, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite,
        WatchCallback, WatchHandle, WritePtr,
    };

    use crate::fault::{self, Identity, Op, Step};

    /// tantivy's directory, with a hook before each step.
    #[derive(Debug, Clone)]
    pub(in crate::text) struct FaultyDirectory {
        inner: MmapDirectory,
        dir: PathBuf,
    }

    impl FaultyDirectory {
        pub(super) fn new(inner: MmapDirectory, dir: &Path) -> Self {
            Self {
                inner,
                dir: dir.to_owned(),
            }
        }

        fn check(&self, op: Op, path: &Path) -> Result<(), OpenReadError> {
            fault::check(op, &self.dir.join(path))
                .map_err(|error| OpenReadError::wrap_io_error(error, path.to_owned()))
        }
    }

    impl Directory for FaultyDirectory {
        fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
            self.check(Op::Open, path)?;
            self.inner.get_file_handle(path)
        }

        fn delete(&self, path: &Path) -> Result<(), DeleteError> {
            let full = self.dir.join(path);
            let removed = fault::step(Step::Remove(&full), || {
                self.inner.delete(path).map_err(|error| match error {
                    DeleteError::FileDoesNotExist(_) => io::ErrorKind::NotFound.into(),
                    DeleteError::IoError { io_error, .. } => copy(&io_error),
                })
            });
            removed.map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => DeleteError::FileDoesNotExist(path.to_owned()),
                _ => DeleteError::IoError {
                    io_error: Arc::new(error),
                    filepath: path.to_owned(),
                },
            })
        }

        fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
            self.check(Op::Read, path)?;
            self.inner.exists(path)
        }

        fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
            let full = self.dir.join(path);
            let opened = fault::step(Step::Create(&full), || {
                let writer = self.inner.open_write(path).map_err(|error| match error {
                    OpenWriteError::FileAlreadyExists(_) => io::ErrorKind::AlreadyExists.into(),
                    OpenWriteError::IoError { io_error, .. } => copy(&io_error),
                })?;
                Ok(FaultyWriter {
                    // Nothing has been written, so nothing is in its buffer.
                    inner: writer
                        .into_inner()
                        .map_err(io::IntoInnerError::into_error)?,
                    identity: Identity::at(&full)?,
                    path: full.clone(),
                    offset: 0,
                })
            });
            let writer = opened.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => OpenWriteError::FileAlreadyExists(path.to_owned()),
                _ => OpenWriteError::wrap_io_error(error, path.to_owned()),
            })?;
            Ok(BufWriter::new(Box::new(writer)))
        }

        fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
            self.check(Op::Read, path)?;
            self.inner.atomic_read(path)
        }

        fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
            fault::replace(&self.dir.join(path), data, || {
                self.inner.atomic_write(path, data)
            })
        }

        fn sync_directory(&self) -> io::Result<()> {
            fault::step(Step::SyncDir(&self.dir), || self.inner.sync_directory())
        }

        /// An empty file that nobody reads; no journal needs it.
        fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
            fault::check(Op::Open, &self.dir.join(&lock.filepath))
                .map_err(LockError::wrap_io_error)?;
            self.inner.acquire_lock(lock)
        }

        fn watch(&self, watch_callback: WatchCallback) -> tantivy::Result<WatchHandle> {
            self.inner.watch(watch_callback)
        }
    }

    /// tantivy keeps its errors behind a counter; the step wants its own.
    fn copy(error: &io::Error) -> io::Error {
        error.raw_os_error().map_or_else(
            || io::Error::new(error.kind(), error.to_string()),
            io::Error::from_raw_os_error,
        )
    }

    struct FaultyWriter {
        inner: Box<dyn TerminatingWrite + Send + Sync>,
        identity: Identity,
        path: PathBuf,
        offset: u64,
    }

    impl Write for FaultyWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let inner = &mut self.inner;
            fault::write(&self.identity, &self.path, bytes, self.offset, |bytes| {
                inner.write_all(bytes)
            })?;
            self.offset += bytes.len() as u64;
            Ok(bytes.len())
        }

        /// tantivy's own does nothing here, and syncs nothing.
        fn flush(&mut self) -> io::Result<()> {
            self.inner.flush()
        }
    }

    impl TerminatingWrite for FaultyWriter {
        fn terminate_ref(&mut self, token: AntiCallToken) -> io::Result<()> {
            let inner = &mut self.inner;
            fault::step(Step::Sync(&self.identity, &self.path), || {
                inner.terminate_ref(token)
            })
        }
    }
}
