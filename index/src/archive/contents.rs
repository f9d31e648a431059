//! What does an archive say is in it, and what may it say?
//!
//! The table of contents comes from another machine, perhaps from an enemy.
//! Whatever of it is used as a path, a length or a name is checked here, before
//! the first file is made. Exporting passes through the same checks, so that
//! what can be exported can be imported.

use std::collections::HashSet;

use blake3::Hash;
use cento_core::CollectionName;
use serde::{Deserialize, Serialize};

use super::ArchiveAbout;
use super::blocks;

/// The name of the first entry.
pub(super) const CONTENTS: &str = "cento-archive.json";
/// The name of the last entry.
pub(super) const LAST: &str = "cento-archive.end";

const FORMAT: &str = "cento-archive";
const VERSION: u32 = 1;

/// More files than a snapshot of any size has; each of them costs an open file
/// and a sync, so a bound keeps a small archive from keeping a machine busy.
const MAX_FILES: usize = 65_536;
/// Room for as many files with long paths.
pub(super) const MAX_CONTENTS: u64 = 32 << 20;
const MAX_DEPTH: usize = 8;
const MAX_NAME: usize = 100;

/// One file of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) bytes: u64,
    #[serde(with = "hex")]
    pub(super) blake3: Hash,
}

impl Listed {
    /// The name of its entry. The folder keeps the snapshot's own names apart
    /// from ours.
    pub(super) fn entry(&self) -> String {
        format!("snapshot/{}", self.path)
    }
}

/// The table of contents: the first entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    format: String,
    version: u32,
    collection: CollectionName,
    snapshot: String,
    created: u64,
    pub(super) files: Vec<Listed>,
}

/// What every version's table of contents begins with.
#[derive(Deserialize)]
struct Stamp {
    format: String,
    version: u32,
}

/// The last entry.
#[derive(Serialize)]
struct Last {
    format: &'static str,
    files: usize,
    bytes: u64,
    #[serde(with = "hex")]
    contents: Hash,
}

impl Contents {
    /// Lists these files.
    pub(super) fn new(about: &ArchiveAbout, mut files: Vec<Listed>) -> Result<Self, String> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let contents = Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            collection: about.collection.clone(),
            snapshot: about.snapshot.clone(),
            created: about.created,
            files,
        };
        contents.check()?;
        Ok(contents)
    }

    /// Reads what came from elsewhere.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let unreadable = |error| format!("{CONTENTS} cannot be understood: {error}");
        let stamp: Stamp = serde_json::from_slice(bytes).map_err(unreadable)?;
        if stamp.format != FORMAT {
            return Err(format!("{CONTENTS} is not a table of contents of cento's"));
        }
        if stamp.version != VERSION {
            return Err(format!(
                "it is of version {}, and this program reads version {VERSION}",
                stamp.version
            ));
        }
        let contents: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        contents.check()?;
        Ok(contents)
    }

    /// The bytes of the first entry.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, String> {
        let json = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        if json.len() as u64 > MAX_CONTENTS {
            return Err(format!(
                "its table of contents is over {MAX_CONTENTS} bytes"
            ));
        }
        Ok(json)
    }

    /// The bytes of the last entry, for a table of contents of these bytes.
    pub(super) fn last(&self, contents: &[u8]) -> Result<Vec<u8>, String> {
        let last = Last {
            format: "cento-archive-end",
            files: self.files.len(),
            bytes: self.bytes()?,
            contents: blake3::hash(contents),
        };
        serde_json::to_vec_pretty(&last).map_err(|error| error.to_string())
    }

    /// The header of an entry of this archive.
    pub(super) fn header(&self, name: &str, bytes: u64) -> Result<[u8; blocks::BLOCK], String> {
        blocks::header(name, bytes, self.created).ok_or_else(|| too_long(name))
    }

    /// The bytes of all files.
    pub(super) fn bytes(&self) -> Result<u64, String> {
        let mut lengths = self.files.iter().map(|file| file.bytes);
        lengths
            .try_fold(0, u64::checked_add)
            .ok_or_else(|| "its files claim more bytes than can be counted".to_owned())
    }

    pub(super) fn about(self) -> ArchiveAbout {
        ArchiveAbout {
            collection: self.collection,
            snapshot: self.snapshot,
            created: self.created,
        }
    }

    fn check(&self) -> Result<(), String> {
        if !is_name(&self.snapshot) || self.snapshot.starts_with('.') {
            let id = self.snapshot.escape_debug();
            return Err(format!("'{id}' cannot be a snapshot's id"));
        }
        if self.files.is_empty() {
            return Err("there are no files in it".to_owned());
        }
        if self.files.len() > MAX_FILES {
            let files = self.files.len();
            return Err(format!("it has {files} files; at most {MAX_FILES} can be"));
        }
        self.bytes()?;
        let mut previous: Option<&Listed> = None;
        let mut directories = HashSet::new();
        for file in &self.files {
            check_path(file)?;
            if let Some(previous) = previous.filter(|previous| previous.path >= file.path) {
                let (before, path) = (&previous.path, &file.path);
                return Err(if before == path {
                    format!("'{path}' is listed twice")
                } else {
                    format!("'{path}' is listed after '{before}', out of order")
                });
            }
            let slashes = file.path.match_indices('/');
            directories.extend(slashes.map(|(at, _)| &file.path[..at]));
            previous = Some(file);
        }
        match self
            .files
            .iter()
            .find(|file| directories.contains(&*file.path))
        {
            Some(file) => Err(format!(
                "'{}' is listed as a file and as a folder",
                file.path
            )),
            None => Ok(()),
        }
    }
}

/// A path has only names that mean the same on every file system, so that
/// joining it to a folder stays inside that folder.
fn check_path(file: &Listed) -> Result<(), String> {
    let path = &file.path;
    let shown = path.escape_debug();
    if path.split('/').count() > MAX_DEPTH {
        return Err(format!("the path '{shown}' is over {MAX_DEPTH} names deep"));
    }
    if !path.split('/').all(is_name) {
        return Err(format!(
            "the path '{shown}' is not made of names of letters, digits, '-', '_' and '.'"
        ));
    }
    match blocks::header(&file.entry(), file.bytes, 0) {
        Some(_) => Ok(()),
        None => Err(too_long(path)),
    }
}

fn too_long(path: &str) -> String {
    format!("the path '{path}' is too long")
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let special = matches!(name, "" | "." | "..");
    !special && name.len() <= MAX_NAME && name.chars().all(allowed)
}

/// Hashes as people compare them.
mod hex {
    use blake3::Hash;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &Hash, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hash.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(from)?;
        Hash::from_hex(text).map_err(D::Error::custom)
    }
}
