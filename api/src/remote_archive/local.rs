//! How is a file written so that its name never stands for half of it?

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::Problem;

/// A file that gets its name when it is whole. Dropped before, it goes away.
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
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        // Two programs that write the same archive do not meet.
        name.push(format!(".{}.partial", std::process::id()));
        let beside = path.with_file_name(name);
        // Two threads of one program do: the second is refused.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&beside)
            .map_err(|error| problem("cannot create", &beside, &error))?;
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
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()
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
