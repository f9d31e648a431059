//! A small snapshot, and what tests do with archives of it.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use cento_core::CollectionName;
use cento_index::IndexError;
use cento_index::archive::{ArchiveAbout, export, import};
use tempfile::TempDir;

pub(crate) const FILES: [(&str, &[u8]); 5] = [
    ("log/00000001.log", b"what was put in"),
    ("log/00000002.log", &[7; 1024]),
    ("manifest.json", b"{\"format\":\"cento-snapshot\"}"),
    ("vectors/00000001.codes", &[0x80; 513]),
    ("vectors/empty", b""),
];

pub(crate) fn about() -> ArchiveAbout {
    ArchiveAbout {
        collection: CollectionName::new("handbook").unwrap(),
        snapshot: "2026-07-01.a".to_owned(),
        created: 1_782_864_000,
    }
}

pub(crate) fn write_files(dir: &Path, files: &[(&str, &[u8])]) {
    for (path, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

pub(crate) fn snapshot() -> TempDir {
    let dir = TempDir::new().unwrap();
    write_files(dir.path(), &FILES);
    dir
}

pub(crate) fn archive() -> Vec<u8> {
    let mut bytes = Vec::new();
    export(snapshot().path(), &about(), &mut bytes).unwrap();
    bytes
}

/// Imports into a fresh folder; whatever a refusal leaves behind, beside it
/// too, fails the test.
pub(crate) fn try_import(bytes: &[u8]) -> Result<ArchiveAbout, IndexError> {
    try_import_from(&mut &*bytes)
}

pub(crate) fn try_import_from(input: &mut dyn Read) -> Result<ArchiveAbout, IndexError> {
    let room = TempDir::new().unwrap();
    let inner = room.path().join("data");
    fs::create_dir(&inner).unwrap();
    let result = import(input, &inner.join("incoming"));
    let left: Vec<_> = fs::read_dir(&inner).unwrap().collect();
    assert_eq!(left.len(), usize::from(result.is_ok()), "{left:?}");
    assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1);
    result
}

/// Why the archive is refused.
pub(crate) fn refusal(bytes: &[u8]) -> String {
    refusal_of(&mut &*bytes)
}

pub(crate) fn refusal_of(input: &mut dyn Read) -> String {
    match try_import_from(input) {
        Err(IndexError::Archive { reason }) => reason,
        other => panic!("not refused as an archive: {other:?}"),
    }
}

/// A stream that breaks off with an error instead of an end.
pub(crate) struct Broken<'a>(pub(crate) &'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            read => Ok(read),
        }
    }
}
