//! How does an archive come to a file or a bucket, and back?
//!
//! What is written appears whole or not at all: a file is written beside its
//! name, synced and renamed; an object is completed by its last request. Both
//! directions stream, so that memory does not depend on the archive's size.
//!
//! The functions are synchronous, as the libraries that make and read archives
//! are: they are called on threads that may wait, never by async code.

mod local;
#[cfg(feature = "s3")]
mod objects;

use std::io::{self, Read, Write};

use crate::Problem;
use crate::archive_place::{ArchivePlace, Kind};

/// Writes an archive to a place, replacing what is there.
///
/// `bytes` says how long it will be, at least roughly; a store takes an
/// object in a limited number of parts. `write` gets what to write to; if it
/// fails nothing is changed at the place, and its error is told, or what made
/// the writing fail.
///
/// # Errors
///
/// What `write` says, or what the disk or the store does.
pub fn upload<T, E: Into<Problem>>(
    target: &ArchivePlace,
    #[cfg_attr(
        not(feature = "s3"),
        expect(unused, reason = "a file takes any length")
    )]
    bytes: u64,
    write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, Problem> {
    match &target.kind {
        Kind::File(path) => {
            let mut file = local::NewFile::create(path)?;
            let written = write(&mut file).map_err(Into::into)?;
            file.finish()?;
            Ok(written)
        }
        Kind::Folder(_) => Err(names_no_archive(target)),
        #[cfg(feature = "s3")]
        Kind::Object(object) if object.prefix => Err(names_no_archive(target)),
        #[cfg(feature = "s3")]
        Kind::Object(object) => {
            let mut upload = objects::Upload::begin(object, bytes)?;
            match write(&mut upload) {
                Ok(written) => upload.finish().map(|()| written),
                Err(error) => {
                    upload.abort();
                    Err(error.into())
                }
            }
        }
    }
}

/// Opens the archive at a place.
///
/// # Errors
///
/// `archive_not_found`, or what the disk or the store says. What fails later
/// is told by the reader's own errors, from which the problem is found again.
pub fn download(source: &ArchivePlace) -> Result<Download, Problem> {
    let inner: Box<dyn Read + Send> = match &source.kind {
        Kind::File(path) => Box::new(local::open(path)?),
        Kind::Folder(_) => return Err(names_no_archive(source)),
        #[cfg(feature = "s3")]
        Kind::Object(object) if object.prefix => return Err(names_no_archive(source)),
        #[cfg(feature = "s3")]
        Kind::Object(object) => Box::new(objects::Object::open(object)?),
    };
    Ok(Download { inner })
}

/// The bytes of an archive, as they come.
pub struct Download {
    inner: Box<dyn Read + Send>,
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

fn names_no_archive(place: &ArchivePlace) -> Problem {
    let detail = format!("{place} names a folder, not an archive in it");
    Problem::new("invalid_place", 400, detail)
        .with_help("add the archive's name, which ends in .tar")
}
