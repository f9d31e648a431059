//! Through which door does everything of ours reach the disk, and what is
//! there after a crash?
//!
//! Every file that this crate writes itself is written, synced, renamed and
//! removed here, but for the lock, which no crash may leave behind anyway; sled
//! and tantivy have doors of their own. Nothing is durable
//! before it has been synced: a file's bytes by [`DiskFile::sync_data`], its
//! name by [`sync_dir`] of the directory that holds it. Each step passes
//! through [`crate::fault`], where tests make it fail, die, or be forgotten.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::IndexError;
use crate::error::IoContext;
use crate::fault::{self, Identity, Step};

/// An open file that knows its name.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    path: PathBuf,
    identity: Identity,
}

impl DiskFile {
    /// Creates a file, or empties the one that is there.
    pub(crate) fn create(path: &Path) -> Result<Self, IndexError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = fault::step(Step::Create(path), || options.open(path));
        Self::new(file.on("cannot create", path)?, path)
    }

    /// Opens a file that is there, for reading and writing.
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = fault::step(Step::Open(path), || options.open(path));
        Self::new(file.on("cannot open", path)?, path)
    }

    /// Opens a file that will not be changed any more.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, IndexError> {
        let file = fault::step(Step::Open(path), || File::open(path));
        Self::new(file.on("cannot open", path)?, path)
    }

    fn new(file: File, path: &Path) -> Result<Self, IndexError> {
        Ok(Self {
            identity: Identity::of(&file).on("cannot open", path)?,
            file,
            path: path.to_owned(),
        })
    }

    /// Where it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, to be mapped.
    pub(crate) fn as_file(&self) -> &File {
        &self.file
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> Result<u64, IndexError> {
        let metadata = fault::step(Step::Read(&self.path), || self.file.metadata());
        Ok(metadata.on("cannot read", &self.path)?.len())
    }

    /// Fills the buffer from an offset on.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), IndexError> {
        let step = Step::Read(&self.path);
        fault::step(step, || self.file.read_exact_at(buffer, offset)).on("cannot read", &self.path)
    }

    /// Writes at an offset. Not durable before [`DiskFile::sync_data`].
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), IndexError> {
        fault::write(&self.identity, &self.path, bytes, offset, |bytes| {
            self.file.write_all_at(bytes, offset)
        })
        .on("cannot write to", &self.path)
    }

    /// Cuts or lengthens the file.
    pub(crate) fn set_bytes(&self, bytes: u64) -> Result<(), IndexError> {
        let step = Step::Truncate(&self.identity, &self.path, bytes);
        fault::step(step, || self.file.set_len(bytes)).on("cannot set the length of", &self.path)
    }

    /// Waits until every byte written so far, and the length, are on the disk.
    pub(crate) fn sync_data(&self) -> Result<(), IndexError> {
        let step = Step::Sync(&self.identity, &self.path);
        fault::step(step, || self.file.sync_data()).on("cannot sync", &self.path)
    }

    /// Reads what stands between two offsets.
    pub(crate) fn read_range(&self, from: u64, to: u64) -> Result<Vec<u8>, IndexError> {
        let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)];
        self.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }

    /// Creates a file that must not be there.
    pub(crate) fn create_new(path: &Path) -> Result<Self, IndexError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = fault::step(Step::Create(path), || options.open(path));
        Self::new(file.on("cannot create", path)?, path)
    }

    /// Reads the first `bytes` of the file, [`PIECE`] by piece.
    pub(crate) fn read_in_pieces(
        &self,
        bytes: u64,
        mut each: impl FnMut(&[u8]) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut buffer = vec![0; PIECE];
        let mut offset = 0;
        while offset < bytes {
            let piece = usize::try_from(bytes - offset).map_or(PIECE, |left| left.min(PIECE));
            self.read_exact_at(&mut buffer[..piece], offset)?;
            each(&buffer[..piece])?;
            offset += piece as u64;
        }
        Ok(())
    }
}

/// Makes a directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), IndexError> {
    let sync = || File::open(dir)?.sync_all();
    fault::step(Step::SyncDir(dir), sync).on("cannot sync the directory", dir)
}

/// Gives a file or a directory another name, replacing a file of that name.
/// Durable after [`sync_dir`] of both parents.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), IndexError> {
    fault::step(Step::Rename(from, to), || fs::rename(from, to)).on("cannot rename to", to)
}

/// Gives a file a second name. Durable after [`sync_dir`] of `to`'s parent.
pub(crate) fn hard_link(from: &Path, to: &Path) -> Result<(), IndexError> {
    fault::step(Step::Link(from, to), || fs::hard_link(from, to)).on("cannot link to", to)
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, IndexError> {
    fault::step(Step::Read(path), || fs::read(path)).on("cannot read", path)
}

/// Writes a whole file: a temporary one beside it, synced, then renamed, and
/// the name synced.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), IndexError> {
    let temporary = path.with_extension("tmp");
    let file = DiskFile::create(&temporary)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    drop(file);
    rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_dir)
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
    fault::step(Step::MakeDir(dir), || fs::create_dir_all(dir))
        .on("cannot create the directory", dir)?;
    for created in missing {
        match created.parent() {
            Some(parent) if parent.as_os_str().is_empty() => sync_dir(Path::new("."))?,
            Some(parent) => sync_dir(parent)?,
            None => {}
        }
    }
    Ok(())
}

/// The paths of a directory's entries, in order of names; none if it is not
/// there.
pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>, IndexError> {
    let entries = match fault::step(Step::Read(dir), || fs::read_dir(dir)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.on("cannot list", dir)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.on("cannot list", dir)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove_file(path: &Path) -> Result<(), IndexError> {
    let removed = fault::step(Step::Remove(path), || fs::remove_file(path));
    unless_missing(removed).on("cannot remove", path)
}

/// Removes a directory and all in it; one that is not there is no error.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), IndexError> {
    let removed = fault::step(Step::RemoveDir(dir), || fs::remove_dir_all(dir));
    unless_missing(removed).on("cannot remove", dir)
}

fn unless_missing(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// How many bytes are read or written at once where a file is streamed.
pub(crate) const PIECE: usize = 256 << 10;

/// Creates a directory that must not be there. Durable after [`sync_dir`] of
/// its parent.
pub(crate) fn create_new_dir(dir: &Path) -> Result<(), IndexError> {
    fault::step(Step::MakeDir(dir), || fs::create_dir(dir)).on("cannot create the directory", dir)
}

/// What stands under a path, links not followed.
pub(crate) enum EntryKind {
    /// A plain file.
    File {
        /// Its length.
        bytes: u64,
    },
    /// A directory.
    Directory,
    /// A link, a device, a pipe, a socket.
    Other,
}

/// Says what stands under a path.
pub(crate) fn kind(path: &Path) -> Result<EntryKind, IndexError> {
    let metadata = fs::symlink_metadata(path).on("cannot read", path)?;
    Ok(match metadata.file_type() {
        kind if kind.is_file() => EntryKind::File {
            bytes: metadata.len(),
        },
        kind if kind.is_dir() => EntryKind::Directory,
        _ => EntryKind::Other,
    })
}
