//! What can go wrong in the engine, and whose fault is it?

use std::path::{Path, PathBuf};

use cento_core::{CollectionName, CoreError, DocumentId, GenerationNo};

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The caller's fault: a word of the house was misused.
    #[error(transparent)]
    Invalid(#[from] CoreError),
    /// The caller's fault: there is no such collection.
    #[error("no collection '{name}' here; there is: {known}")]
    UnknownCollection {
        /// The name asked for.
        name: CollectionName,
        /// The names there are, joined for reading.
        known: String,
    },
    /// The caller's fault: the collection is already there.
    #[error("collection '{name}' is already there")]
    CollectionExists {
        /// The name.
        name: CollectionName,
    },
    /// Nobody's fault: something is going on in the collection.
    #[error("collection '{name}' is being used by another request")]
    CollectionInUse {
        /// The name.
        name: CollectionName,
    },
    /// The caller's fault: there is no such document.
    #[error("no document '{id}' in this collection")]
    UnknownDocument {
        /// The id asked for.
        id: DocumentId,
    },
    /// Nobody's fault: the configuration was switched while something was
    /// made for the former one.
    #[error("this was made for generation {made_for}, and generation {serving} serves by now")]
    GenerationChanged {
        /// For which it was made.
        made_for: GenerationNo,
        /// Which one serves.
        serving: GenerationNo,
    },
    /// The caller's fault: there is no such generation.
    #[error("no generation {number} can be used here; there is: {known}")]
    UnknownGeneration {
        /// The number asked for.
        number: GenerationNo,
        /// What there is, for reading.
        known: String,
    },
    /// Nobody's fault: one generation is built at a time.
    #[error("generation {number} is being built; let it finish, or drop it")]
    GenerationBuilding {
        /// The one being built.
        number: GenerationNo,
    },
    /// The caller's fault: what serves can be neither dropped nor gone back to.
    #[error("generation {number} is serving")]
    GenerationServing {
        /// The one that serves.
        number: GenerationNo,
    },
    /// The caller's fault: there is no such snapshot.
    #[error("no snapshot '{id}' here; there is: {known}")]
    UnknownSnapshot {
        /// The name asked for.
        id: String,
        /// The names there are, joined for reading.
        known: String,
    },
    /// The caller's fault: the name is taken or cannot be one.
    #[error("a snapshot cannot be called '{id}': {reason}")]
    SnapshotName {
        /// The name.
        id: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The caller's fault: the data directory is not there.
    #[error("no data directory at {path}")]
    NoDataDirectory {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Nobody's fault: another process owns the data directory.
    #[error("the data directory {path} is in use by {holder}")]
    DirectoryInUse {
        /// The directory.
        path: PathBuf,
        /// Who holds it, as the lock file tells.
        holder: String,
        /// Where it can be asked, if it is a server.
        address: Option<String>,
    },
    /// A file is of another format or of a newer version than this program.
    #[error("{path} is not a file that this version can read: expected {expected}, found {found}")]
    Format {
        /// The file.
        path: PathBuf,
        /// The format and version expected.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// Nobody's fault: a generation that has served is taken up again while a
    /// query that began when it served still reads it.
    #[error("{path} is still read by a query that began when its generation served")]
    GenerationInUse {
        /// The catalog that is read.
        path: PathBuf,
    },
    /// Our fault or the disk's: bytes in the middle of the log are not what was
    /// written. Nothing is dropped silently.
    #[error("the log is damaged: {path} at byte {offset}: {reason}")]
    LogDamaged {
        /// The segment.
        path: PathBuf,
        /// Where the damaged frame begins.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Our fault: a projection failed; it can be rebuilt from the log.
    #[error("the {projection} projection failed: {reason}")]
    Projection {
        /// Which of the three.
        projection: &'static str,
        /// What its engine said.
        reason: String,
    },
    /// An earlier failure left this engine unable to write; nothing that was
    /// acknowledged is lost, and opening the directory again recovers it.
    #[error("writing stopped after an earlier failure: {reason}")]
    WriterStopped {
        /// The failure.
        reason: String,
    },
    /// The fault of who made the archive, or of what carried it: its bytes are
    /// not those of one whole archive.
    #[error("this is no whole archive of a snapshot: {reason}")]
    Archive {
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody's fault: an archive could not be read from where it comes from,
    /// or written to where it goes.
    #[error("{action}: {source}")]
    ArchiveStream {
        /// What was tried, e.g. "cannot read the archive".
        action: &'static str,
        /// What the other side said.
        source: std::io::Error,
    },
    /// Our fault or the disk's: a snapshot's folder holds what no snapshot
    /// has, or it changes.
    #[error("the snapshot in {path} cannot be exported: {reason}")]
    NotExportable {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Our fault or the disk's: a file could not be read or written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried, e.g. "cannot write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl IndexError {
    /// The same error once more, for another caller whom it has struck too.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Io {
                action,
                path,
                source,
            } => Self::Io {
                action,
                path: path.clone(),
                source: match source.raw_os_error() {
                    Some(code) => std::io::Error::from_raw_os_error(code),
                    None => std::io::Error::new(source.kind(), source.to_string()),
                },
            },
            Self::GenerationChanged { made_for, serving } => Self::GenerationChanged {
                made_for: *made_for,
                serving: *serving,
            },
            Self::LogDamaged {
                path,
                offset,
                reason,
            } => Self::LogDamaged {
                path: path.clone(),
                offset: *offset,
                reason: reason.clone(),
            },
            Self::Projection { projection, reason } => Self::Projection {
                projection,
                reason: reason.clone(),
            },
            Self::WriterStopped { reason } => Self::WriterStopped {
                reason: reason.clone(),
            },
            other => Self::WriterStopped {
                reason: other.to_string(),
            },
        }
    }
}

/// Shorthand for the many places where a file's error needs the file's name.
pub(crate) trait IoContext<T> {
    /// Names what was tried and on which file.
    fn on(self, action: &'static str, path: &Path) -> Result<T, IndexError>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, IndexError> {
        self.map_err(|source| IndexError::Io {
            action,
            path: path.to_owned(),
            source,
        })
    }
}
