//! How is a file written so that its name never stands for half of it?

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Problem;

/// A file that gets its name when it is whole. Dropped before, it goes away; what
/// a process that was killed has left goes when the same archive is written
/// again.
///
/// Until then it has a name beside that nobody else has, and is locked as long
/// as its process lives: two that write the same archive do not meet, the last
/// one's stands in the end, and neither takes the other's for a leftover. Process
/// numbers tell nothing apart here: in a container they are always the same.
pub(super) struct NewFile {
    file: BufWriter<File>,
    /// The name beside, until the file has its own.
    beside: Option<PathBuf>,
    path: PathBuf,
}

impl NewFile {
    pub(super) fn create(path: &Path) -> Result<Self, Problem> {
        match fs::symlink_metadata(path) {
            Ok(there) if !there.is_file() => {
                let detail = format!("{} is there and is not a plain file", path.display());
                return Err(Problem::new("invalid_place", 400, detail));
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(problem("cannot write", path, &error));
            }
            Ok(_) | Err(_) => {}
        }
        remove_leftovers(path);
        let (beside, file) = create_beside(path)?;
        Ok(Self {
            file: BufWriter::with_capacity(256 << 10, file),
            beside: Some(beside),
            path: path.to_owned(),
        })
    }

    /// Gives the file its name, when its bytes are on the disk.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let path = self.path.clone();
        self.publish()
            .map_err(|error| problem("cannot write", &path, &error))
    }

    fn publish(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        if let Some(beside) = &self.beside {
            fs::rename(beside, &self.path)?;
            self.beside = None;
        }
        File::open(folder_of(&self.path))?.sync_all()
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file
            .write(bytes)
            .map_err(|error| told("cannot write", &self.path, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file
            .flush()
            .map_err(|error| told("cannot write", &self.path, error))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(beside) = self.beside.take() {
            // Nobody is left to tell; the name says what it is.
            let _ = fs::remove_file(beside);
        }
    }
}

/// What names beside begin with, and end with.
fn around(path: &Path) -> (OsString, &'static str) {
    let mut begin = OsString::from(".");
    begin.push(path.file_name().unwrap_or_default());
    begin.push(".");
    (begin, ".partial")
}

/// Creates a file beside a path, and locks it.
fn create_beside(path: &Path) -> Result<(PathBuf, File), Problem> {
    let (begin, end) = around(path);
    loop {
        let mut name = begin.clone();
        // The standard library draws the keys of its hash maps at random.
        name.push(format!("{:016x}{end}", RandomState::new().hash_one(0)));
        let beside = path.with_file_name(name);
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&beside)
            .and_then(|file| Ok((lock(&file, &beside)?, file)));
        match created {
            Ok((true, file)) => return Ok((beside, file)),
            Ok((false, _)) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(problem("cannot create", &beside, &error)),
        }
    }
}

/// Locks a file that was just opened. False if somebody else was faster, and
/// holds it or has removed it.
fn lock(file: &File, at: &Path) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        // Some file systems know no locks. Nothing there is a leftover then.
        Err(TryLockError::Error(_)) => return Ok(true),
    }
    let (held, named) = (file.metadata()?, fs::symlink_metadata(at));
    Ok(named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())))
}

/// Removes what processes that are gone have left of the same archive. What
/// cannot be removed is in nobody's way.
fn remove_leftovers(path: &Path) {
    let (begin, end) = around(path);
    let is_ours = |name: &OsStr| {
        let inner = name
            .as_encoded_bytes()
            .strip_prefix(begin.as_encoded_bytes());
        let inner = inner.and_then(|inner| inner.strip_suffix(end.as_bytes()));
        inner.is_some_and(|inner| !inner.is_empty() && inner.iter().all(u8::is_ascii_hexdigit))
    };
    let entries = fs::read_dir(folder_of(path));
    for entry in entries.into_iter().flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file
            && is_ours(&entry.file_name())
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Opens a plain file: opening a pipe would wait for another program.
pub(super) fn open(path: &Path) -> Result<File, Problem> {
    let cannot = |error: io::Error| problem("cannot read", path, &error);
    let there = fs::metadata(path).map_err(cannot)?;
    if !there.is_file() {
        let detail = format!("{} is not a plain file", path.display());
        return Err(Problem::new("invalid_place", 400, detail));
    }
    File::open(path).map_err(cannot)
}

/// An error that carries its problem, for those who only know `io::Error`.
/// A signal that interrupts stays what it is, so that the writing goes on.
fn told(action: &str, path: &Path, error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::Interrupted => error,
        kind => io::Error::new(kind, problem(action, path, &error)),
    }
}

fn problem(action: &str, path: &Path, error: &io::Error) -> Problem {
    let detail = format!("{action} {}: {error}", path.display());
    match error.kind() {
        ErrorKind::NotFound => Problem::new("archive_not_found", 404, detail)
            .with_help("check the path; the folder of a new archive must be there"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Problem::new("disk_full", 507, detail)
                .with_help("free some space; nothing has been changed")
                .retryable()
        }
        ErrorKind::PermissionDenied => Problem::new("permission_denied", 500, detail)
            .with_help("check who may use that file and its folder"),
        ErrorKind::ReadOnlyFilesystem => Problem::new("read_only", 500, detail),
        _ => Problem::new("io_error", 500, detail),
    }
}
