//! Which files are the vectors of a generation?
//!
//! A file that is not named here is not there. It is replaced as a whole, so
//! that rows move from one file to another in one moment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fresh::fresh_path;
use super::segment::{Segment, segment_path};
use crate::IndexError;
use crate::disk::{self, remove_file};
use crate::manifest::Checked;

const FILE: Checked = Checked {
    kind: "cento-vectors",
    version: 1,
};

const NAME: &str = "list.json";

/// The files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct List {
    /// The number that the next file gets.
    pub(super) next: u64,
    /// The file of rows that are not frozen yet.
    pub(super) fresh: u64,
    /// Segments, in order of their chunks.
    pub(super) segments: Vec<Entry>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) number: u64,
    bytes: u64,
    /// Its header's: another file under this name is noticed.
    crc32c: u32,
}

impl Entry {
    pub(super) fn of(segment: &Segment) -> Self {
        Self {
            number: segment.number,
            bytes: segment.bytes(),
            crc32c: segment.checksum(),
        }
    }
}

impl List {
    /// Whether there is one.
    pub(super) fn is_in(dir: &Path) -> bool {
        path(dir).exists()
    }

    pub(super) fn read(dir: &Path) -> Result<Self, IndexError> {
        FILE.read(&path(dir))
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), IndexError> {
        FILE.write(&path(dir), self)
    }

    /// Removes every file that it does not name, but for one.
    pub(super) fn remove_others(&self, dir: &Path, but: Option<&Path>) -> Result<(), IndexError> {
        let segments = self
            .segments
            .iter()
            .map(|entry| segment_path(dir, entry.number));
        let mut named: BTreeSet<PathBuf> = segments.collect();
        named.extend([path(dir), fresh_path(dir, self.fresh)]);
        named.extend(but.map(Path::to_owned));
        for found in disk::list(dir)? {
            if !named.contains(&found) {
                if found.is_dir() {
                    disk::remove_dir(&found)?;
                } else {
                    remove_file(&found)?;
                }
            }
        }
        Ok(())
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}
