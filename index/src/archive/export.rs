//! How is a snapshot written as one stream?
//!
//! In two passes: the hashes stand before the files. The second pass hashes
//! again, because an archive whose hashes do not fit its files would only be
//! noticed when it is needed.

use std::io::Write;
use std::path::Path;

use blake3::{Hash, Hasher};

use super::blocks::{self, BLOCK};
use super::contents::{CONTENTS, Contents, LAST, Listed};
use super::{ArchiveAbout, ArchiveSummary};
use crate::IndexError;
use crate::disk::{self, DiskFile, EntryKind};

/// Writes the snapshot in a folder as one archive.
///
/// The same snapshot gives the same bytes. Folders without files are not
/// carried. Who wants to know beforehand how long the archive will be asks
/// [`archive_bytes`].
///
/// # Errors
///
/// [`IndexError::NotExportable`] if something in the folder is not a plain
/// file, or changes meanwhile; [`IndexError::ArchiveStream`] if `out` fails.
pub fn export(
    dir: &Path,
    about: &ArchiveAbout,
    out: &mut (impl Write + ?Sized),
) -> Result<ArchiveSummary, IndexError> {
    let refuse = |reason| not_exportable(dir, reason);
    let mut listed = files(dir)?;
    for file in &mut listed {
        let mut hasher = Hasher::new();
        let open = DiskFile::open_to_read(&dir.join(&file.path))?;
        open.read_in_pieces(file.bytes, |piece| {
            hasher.update(piece);
            Ok(())
        })?;
        file.blake3 = hasher.finalize();
    }
    let contents = Contents::new(about, listed).map_err(refuse)?;
    let json = contents.to_json().map_err(refuse)?;

    let mut stream = Stream { out, written: 0 };
    let header = |name: &str, bytes| contents.header(name, bytes).map_err(refuse);
    stream.entry(&header(CONTENTS, json.len() as u64)?, &json)?;
    for file in &contents.files {
        stream.write(&header(&file.entry(), file.bytes)?)?;
        let open = DiskFile::open_to_read(&dir.join(&file.path))?;
        let mut hasher = Hasher::new();
        open.read_in_pieces(file.bytes, |piece| {
            hasher.update(piece);
            stream.write(piece)
        })?;
        if open.bytes()? != file.bytes || hasher.finalize() != file.blake3 {
            return Err(refuse(format!("'{}' changed meanwhile", file.path)));
        }
        stream.pad(file.bytes)?;
    }
    let last = contents.last(&json).map_err(refuse)?;
    stream.entry(&header(LAST, last.len() as u64)?, &last)?;
    stream.write(&blocks::END)?;
    stream.out.flush().map_err(cannot_write)?;
    Ok(ArchiveSummary {
        files: contents.files.len(),
        bytes: contents.bytes().map_err(refuse)?,
        archive_bytes: stream.written,
    })
}

/// How long the archive of a snapshot will be, to the byte, without reading
/// its files.
///
/// # Errors
///
/// As [`export`].
pub fn archive_bytes(dir: &Path, about: &ArchiveAbout) -> Result<u64, IndexError> {
    let refuse = |reason| not_exportable(dir, reason);
    let contents = Contents::new(about, files(dir)?).map_err(refuse)?;
    let json = contents.to_json().map_err(refuse)?;
    let last = contents.last(&json).map_err(refuse)?;
    let entry = |bytes: u64| BLOCK as u64 + bytes + blocks::padding(bytes) as u64;
    let files: u64 = contents.files.iter().map(|file| entry(file.bytes)).sum();
    Ok(entry(json.len() as u64) + files + entry(last.len() as u64) + blocks::END.len() as u64)
}

/// The files below a folder, not yet hashed.
fn files(dir: &Path) -> Result<Vec<Listed>, IndexError> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in disk::list(&folder)? {
            let below = path.strip_prefix(dir).unwrap_or(&path);
            let Some(name) = below.to_str() else {
                let reason = format!("'{}' is not UTF-8", below.display());
                return Err(not_exportable(dir, reason));
            };
            match disk::kind(&path)? {
                EntryKind::Directory => folders.push(path),
                EntryKind::File { bytes } => found.push(Listed {
                    path: name.to_owned(),
                    bytes,
                    blake3: Hash::from_bytes([0; 32]),
                }),
                EntryKind::Other => {
                    let reason = format!("'{name}' is neither a file nor a folder");
                    return Err(not_exportable(dir, reason));
                }
            }
        }
    }
    Ok(found)
}

fn not_exportable(dir: &Path, reason: String) -> IndexError {
    IndexError::NotExportable {
        path: dir.to_owned(),
        reason,
    }
}

fn cannot_write(source: std::io::Error) -> IndexError {
    IndexError::ArchiveStream {
        action: "cannot write the archive",
        source,
    }
}

/// Where the archive goes, and how far it has come.
struct Stream<'a, W: ?Sized> {
    out: &'a mut W,
    written: u64,
}

impl<W: Write + ?Sized> Stream<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        self.out.write_all(bytes).map_err(cannot_write)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self, bytes: u64) -> Result<(), IndexError> {
        self.write(&[0; BLOCK][..blocks::padding(bytes)])
    }

    fn entry(&mut self, header: &[u8; BLOCK], bytes: &[u8]) -> Result<(), IndexError> {
        self.write(header)?;
        self.write(bytes)?;
        self.pad(bytes.len() as u64)
    }
}
