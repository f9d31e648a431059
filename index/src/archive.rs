//! How does a snapshot travel to another machine, and how is it known there
//! that all of it has come?
//!
//! A snapshot is a folder of files that do not change any more. [`export`]
//! writes it as one stream, [`import`] makes the folder again from such a
//! stream, or leaves nothing behind.
//!
//! The stream is a plain tar file, so that anybody can look inside:
//!
//! ```text
//! cento-archive.json      what it is, and of every file: path, bytes, BLAKE3
//! snapshot/manifest.json  the files, in the order of their paths
//! snapshot/log/00000001.log
//! cento-archive.end       that nothing is missing, and the hash of the first
//! ```
//!
//! There is one way only to write a given snapshot: the table of contents
//! determines every other byte of the stream. Importing therefore never
//! interprets an entry. It compares each tar header with the one that must
//! stand there, so links, devices, other paths, extended headers and damage
//! are all the same to it: bytes that are not the expected ones.
//!
//! The hashes find damage, not forgery: who can write an archive can write its
//! hashes too.

mod blocks;
mod contents;
mod export;
mod import;

pub use export::{archive_bytes, export};
pub use import::import;

use cento_core::CollectionName;

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveAbout {
    /// The collection that the snapshot was made of.
    pub collection: CollectionName,
    /// The snapshot's id: 1 to 100 of letters, digits, `-`, `_` and `.`, not
    /// beginning with a dot, so that it is a folder's name.
    pub snapshot: String,
    /// When the snapshot was made, in seconds since 1970.
    pub created: u64,
}

/// What has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// How many files the snapshot has.
    pub files: usize,
    /// The bytes of these files.
    pub bytes: u64,
    /// The bytes of the archive.
    pub archive_bytes: u64,
}
