//! How does a stream become a snapshot's folder, and only if all of it is
//! there and nothing else?

use std::io::{ErrorKind, Read};
use std::path::Path;

use blake3::Hasher;

use super::ArchiveAbout;
use super::blocks::{self, BLOCK};
use super::contents::{CONTENTS, Contents, LAST, Listed, MAX_CONTENTS};
use crate::IndexError;
use crate::disk::{self, DiskFile};

/// Makes the folder `into` from an archive and says what it is.
///
/// `into` must not be there; the folder above it must. When this returns,
/// every byte has been compared with its hash and is on the disk, and the
/// stream has been read to its end. When it fails, `into` is gone again. A
/// process that is killed leaves it behind, half made: give it a name that is
/// cleared at the next start, and rename it when it is complete.
///
/// # Errors
///
/// [`IndexError::Archive`] if the bytes are not those of one whole archive;
/// [`IndexError::ArchiveStream`] if they cannot be read.
pub fn import(input: &mut (impl Read + ?Sized), into: &Path) -> Result<ArchiveAbout, IndexError> {
    let mut stream = Stream { input, taken: 0 };
    // Nothing is made for what is not an archive at all.
    let (contents, json) = read_contents(&mut stream)?;
    disk::create_new_dir(into)?;
    let made = unpack(&mut stream, &contents, &json, into);
    if let Err(error) = made {
        // The first failure is the one to tell; on a full or broken disk the
        // second would be of the same cause.
        let _ = disk::remove_dir(into);
        return Err(error);
    }
    Ok(contents.about())
}

fn read_contents<R: Read + ?Sized>(
    stream: &mut Stream<'_, R>,
) -> Result<(Contents, Vec<u8>), IndexError> {
    let block = stream.block("its first header")?;
    if block.starts_with(&[0x1f, 0x8b]) || block.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Err(refused("it is compressed; decompress it first"));
    }
    let bytes = blocks::length(&block).unwrap_or(u64::MAX);
    // The length is believed as far as it takes to read the table of contents;
    // then the whole header is compared.
    if !block.starts_with(CONTENTS.as_bytes()) {
        return Err(refused(format!("it does not begin with {CONTENTS}")));
    }
    if bytes > MAX_CONTENTS {
        return Err(refused(format!(
            "{CONTENTS} claims more than {MAX_CONTENTS} bytes"
        )));
    }
    let mut json = Vec::new();
    stream.pieces(bytes, CONTENTS, |piece| {
        json.extend_from_slice(piece);
        Ok(())
    })?;
    let contents = Contents::parse(&json).map_err(refused)?;
    let expected = contents.header(CONTENTS, bytes).map_err(refused)?;
    if block != expected {
        return Err(refused(blocks::difference(&block, &expected)));
    }
    stream.padding(bytes, CONTENTS)?;
    Ok((contents, json))
}

fn unpack<R: Read + ?Sized>(
    stream: &mut Stream<'_, R>,
    contents: &Contents,
    json: &[u8],
    into: &Path,
) -> Result<(), IndexError> {
    for file in &contents.files {
        let expected = contents.header(&file.entry(), file.bytes);
        stream.header(&expected.map_err(refused)?, &file.path)?;
        unpack_file(stream, file, into)?;
    }

    let last = contents.last(json).map_err(refused)?;
    let bytes = last.len() as u64;
    stream.header(&contents.header(LAST, bytes).map_err(refused)?, LAST)?;
    let mut found = Vec::new();
    stream.pieces(bytes, LAST, |piece| {
        found.extend_from_slice(piece);
        Ok(())
    })?;
    if found != last {
        let reason = format!("{LAST} does not fit {CONTENTS}: one of them is damaged");
        return Err(refused(reason));
    }
    stream.padding(bytes, LAST)?;
    stream.end()?;

    // Each folder's entries, then the new folder's own name.
    let mut folders: Vec<&Path> = contents
        .files
        .iter()
        .flat_map(|file| Path::new(&file.path).ancestors().skip(1))
        .collect();
    folders.sort();
    folders.dedup();
    for folder in folders {
        disk::sync_dir(&into.join(folder))?;
    }
    match into.parent() {
        Some(parent) if parent.as_os_str().is_empty() => disk::sync_dir(Path::new(".")),
        Some(parent) => disk::sync_dir(parent),
        None => Ok(()),
    }
}

fn unpack_file<R: Read + ?Sized>(
    stream: &mut Stream<'_, R>,
    file: &Listed,
    into: &Path,
) -> Result<(), IndexError> {
    let path = into.join(&file.path);
    if let Some(folder) = path.parent() {
        disk::create_dir(folder)?;
    }
    // On a file system that takes 'A' and 'a' for the same, the second of them
    // is refused here.
    let made = DiskFile::create_new(&path)?;
    let mut hasher = Hasher::new();
    let mut offset = 0;
    stream.pieces(file.bytes, &file.path, |piece| {
        hasher.update(piece);
        made.write_all_at(piece, offset)?;
        offset += piece.len() as u64;
        Ok(())
    })?;
    if hasher.finalize() != file.blake3 {
        let reason = format!(
            "the bytes of '{}' are not those that were exported",
            file.path
        );
        return Err(refused(reason));
    }
    stream.padding(file.bytes, &file.path)?;
    made.sync_data()
}

fn refused(reason: impl Into<String>) -> IndexError {
    IndexError::Archive {
        reason: reason.into(),
    }
}

/// Where the archive comes from, and how much of it has been taken.
struct Stream<'a, R: ?Sized> {
    input: &'a mut R,
    taken: u64,
}

impl<R: Read + ?Sized> Stream<'_, R> {
    /// As many bytes as there are, up to the buffer's length.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, IndexError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(IndexError::ArchiveStream {
                        action: "cannot read the archive",
                        source,
                    });
                }
            }
        }
        self.taken += filled as u64;
        Ok(filled)
    }

    fn exact(&mut self, buffer: &mut [u8], what: &str) -> Result<(), IndexError> {
        if self.fill(buffer)? == buffer.len() {
            return Ok(());
        }
        let taken = self.taken;
        Err(refused(format!(
            "it ends after {taken} bytes, within {what}"
        )))
    }

    fn block(&mut self, what: &str) -> Result<[u8; BLOCK], IndexError> {
        let mut block = [0; BLOCK];
        self.exact(&mut block, what)?;
        Ok(block)
    }

    fn header(&mut self, expected: &[u8; BLOCK], what: &str) -> Result<(), IndexError> {
        let block = self.block(&format!("the header of '{what}'"))?;
        if block == *expected {
            return Ok(());
        }
        Err(refused(blocks::difference(&block, expected)))
    }

    /// An entry's bytes, piece by piece: memory does not depend on what an
    /// archive claims.
    fn pieces(
        &mut self,
        bytes: u64,
        what: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut buffer = vec![0; disk::PIECE];
        let mut left = bytes;
        while left > 0 {
            let piece = usize::try_from(left).map_or(disk::PIECE, |left| left.min(disk::PIECE));
            self.exact(&mut buffer[..piece], &format!("'{what}'"))?;
            each(&buffer[..piece])?;
            left -= piece as u64;
        }
        Ok(())
    }

    fn padding(&mut self, bytes: u64, what: &str) -> Result<(), IndexError> {
        let mut padding = [0; BLOCK];
        let padding = &mut padding[..blocks::padding(bytes)];
        self.exact(padding, &format!("'{what}'"))?;
        if padding.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        Err(refused(format!(
            "there is something behind the bytes of '{what}'"
        )))
    }

    fn end(&mut self) -> Result<(), IndexError> {
        let mut end = blocks::END;
        self.exact(&mut end, "its end")?;
        if end != blocks::END {
            return Err(refused(format!("something stands behind {LAST}")));
        }
        if self.fill(&mut [0])? > 0 {
            return Err(refused("something follows its end"));
        }
        Ok(())
    }
}
