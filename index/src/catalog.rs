//! The catalog: which documents are there, and where in the log?
//!
//! A sled tree of small rows: ids, offsets, counts, hashes; never a text, and
//! never the only copy of anything. Keys:
//!
//! ```text
//! d | document id | 0 | sequence (big-endian)  → Standing
//! c | first chunk number (big-endian)          → Version
//! p | sequence of the put (big-endian)         → Pending
//! m | state, m | format                        → one value each
//! ```
//!
//! Rows are written once. A version that was replaced or deleted keeps its
//! rows until no view can ask for them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cento_core::{ChunkNo, ContentHash, DocumentId, FieldTypes, Sequence};
use roaring::RoaringTreemap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::applied::Applied;
use crate::disk::{create_dir, remove_dir};
use crate::log::Place;
use crate::log_record::Layout;

/// Written to a fresh catalog; another value means another format.
const FORMAT: &str = "cento-catalog 3";

const STATE: &[u8] = b"mstate";
const FORMAT_KEY: &[u8] = b"mformat";

/// sled's own threads hold its lock for a moment after it was closed. Thrown
/// away in that moment, its folder would be written to by two.
const LOCKED_FOR: Duration = Duration::from_secs(5);
const LOCKED_STEP: Duration = Duration::from_millis(2);

/// What follows from all writes so far; entered with each of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) applied: Applied,
    /// The number that the next chunk gets.
    pub(crate) next_chunk: ChunkNo,
    pub(crate) fields: FieldTypes,
    /// What the model has learned from the collection, if it has.
    pub(crate) fitted: Option<Fitted>,
}

/// What a model has learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fitted {
    pub(crate) place: Place,
    /// How many chunks there were then.
    pub(crate) chunks: u64,
    /// The artefact's CRC-32C.
    pub(crate) checksum: u32,
}

/// One version of a document, as the log holds it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// The write that made it: the put, or what was derived from it later.
    pub(crate) sequence: Sequence,
    /// Its put record.
    pub(crate) document: Place,
    /// The record that holds its chunks and vectors: the same one, or a later.
    pub(crate) derived: Place,
    /// Where the parts stand in these records.
    pub(crate) layout: Layout,
    pub(crate) first_chunk: ChunkNo,
    pub(crate) chunks: u32,
    pub(crate) content_hash: ContentHash,
}

impl Version {
    /// Whether a chunk belongs to it.
    pub(crate) fn holds(&self, number: ChunkNo) -> bool {
        self.numbers().contains(&number.0)
    }

    /// The numbers of its chunks.
    pub(crate) fn numbers(&self) -> std::ops::Range<u64> {
        self.first_chunk.0..self.first_chunk.0 + u64::from(self.chunks)
    }
}

/// What a write made of a document.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Standing {
    /// It stands, and this is its first chunk.
    Version(ChunkNo),
    /// It was put for another generation, and this one has not derived it yet.
    Pending,
    Deleted,
}

/// A document that this generation has not derived yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) id: DocumentId,
    pub(crate) document: Place,
    pub(crate) document_bytes: u32,
    pub(crate) content_hash: ContentHash,
}

/// A version that the newest view does not show any more.
#[derive(Debug, Clone)]
pub(crate) struct Retired {
    pub(crate) id: DocumentId,
    /// The write whose rows are to go.
    pub(crate) sequence: Sequence,
    pub(crate) standing: Standing,
    /// The write that retired it.
    pub(crate) by: Sequence,
}

/// What one write changes.
pub(crate) enum Entry<'a> {
    Version(&'a Version),
    Pending(&'a Pending),
    Deleted,
}

/// The catalog of one collection.
pub(crate) struct Catalog {
    dir: PathBuf,
    db: sled::Db,
}

impl Catalog {
    /// Opens the catalog in `dir`. One that sled cannot open, or of another
    /// format, is thrown away, to be filled again from the log; says whether
    /// that was so.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<(Self, bool), IndexError> {
        let opened = Self::try_open(dir, cache_bytes).and_then(|catalog| {
            catalog.check_format()?;
            Ok(catalog)
        });
        match opened {
            Ok(catalog) => return Ok((catalog, false)),
            // Whoever reads it goes on to do so, and to write what sled holds.
            Err(error @ IndexError::GenerationInUse { .. }) => return Err(error),
            Err(_) => remove_dir(dir)?,
        }
        let catalog = Self::try_open(dir, cache_bytes)?;
        catalog.check_format()?;
        Ok((catalog, true))
    }

    fn try_open(dir: &Path, cache_bytes: u64) -> Result<Self, IndexError> {
        create_dir(dir)?;
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes);
        let mut waited = Duration::ZERO;
        loop {
            // sled panics on some damaged files instead of returning an error.
            let opened = catch_unwind(AssertUnwindSafe(|| config.open()))
                .map_err(|_| failed("sled panicked while opening it"))?;
            match opened {
                Ok(db) => {
                    return Ok(Self {
                        dir: dir.to_owned(),
                        db,
                    });
                }
                Err(error) if is_locked(&error) => {
                    if waited >= LOCKED_FOR {
                        let path = dir.to_owned();
                        return Err(IndexError::GenerationInUse { path });
                    }
                    std::thread::sleep(LOCKED_STEP);
                    waited += LOCKED_STEP;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn check_format(&self) -> Result<(), IndexError> {
        match self.db.get(FORMAT_KEY).map_err(failed)? {
            Some(found) if found == FORMAT.as_bytes() => Ok(()),
            None if self.db.is_empty() => {
                self.db
                    .insert(FORMAT_KEY, FORMAT.as_bytes())
                    .map_err(failed)?;
                Ok(())
            }
            _ => Err(failed("it is of another format")),
        }
    }

    /// Throws everything away, to be filled again from the log.
    pub(crate) fn reset(&self) -> Result<(), IndexError> {
        self.db.clear().map_err(failed)?;
        self.check_format()
    }

    /// What the catalog knows of the collection as a whole.
    pub(crate) fn state(&self) -> Result<State, IndexError> {
        Ok(self.value(STATE)?.unwrap_or_default())
    }

    /// Enters what a write made of a document, in one atomic batch. What was
    /// pending of it until then is not any more.
    pub(crate) fn enter(
        &self,
        id: &DocumentId,
        sequence: Sequence,
        entry: &Entry<'_>,
        state: &State,
    ) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        if let Some((before, Standing::Pending)) = self.newest(id, Sequence(u64::MAX))? {
            batch.remove(pending_key(before).to_vec());
        }
        let standing = match entry {
            Entry::Version(version) => {
                batch.insert(chunk_key(version.first_chunk).to_vec(), encode(version)?);
                Standing::Version(version.first_chunk)
            }
            Entry::Pending(pending) => {
                batch.insert(pending_key(sequence).to_vec(), encode(pending)?);
                Standing::Pending
            }
            Entry::Deleted => Standing::Deleted,
        };
        batch.insert(document_key(id, sequence), encode(&standing)?);
        batch.insert(STATE, encode(state)?);
        self.db.apply_batch(batch).map_err(failed)
    }

    /// Enters a write that changes nothing here.
    pub(crate) fn pass(&self, state: &State) -> Result<(), IndexError> {
        self.db.insert(STATE, encode(state)?).map_err(failed)?;
        Ok(())
    }

    /// Documents that this generation has not derived yet, oldest first.
    pub(crate) fn pending(&self, limit: usize) -> Result<Vec<Pending>, IndexError> {
        let rows = self.db.scan_prefix(b"p").take(limit);
        rows.map(|row| decode(&row.map_err(failed)?.1)).collect()
    }

    /// The one that a write put.
    pub(crate) fn pending_at(&self, sequence: Sequence) -> Result<Option<Pending>, IndexError> {
        self.value(&pending_key(sequence))
    }

    /// How many there are.
    pub(crate) fn pending_count(&self) -> u64 {
        self.db.scan_prefix(b"p").count() as u64
    }

    /// The version of a document that stood at `at`.
    pub(crate) fn version(
        &self,
        id: &DocumentId,
        at: Sequence,
    ) -> Result<Option<Version>, IndexError> {
        match self.newest(id, at)? {
            Some((_, Standing::Version(first_chunk))) => self.version_at(first_chunk),
            _ => Ok(None),
        }
    }

    /// The put that a document's newest state comes from, derived or not;
    /// `None` if there is no such document.
    pub(crate) fn newest_put(&self, id: &DocumentId) -> Result<Option<Sequence>, IndexError> {
        Ok(match self.newest(id, Sequence(u64::MAX))? {
            None | Some((_, Standing::Deleted)) => None,
            Some((sequence, Standing::Pending)) => Some(sequence),
            Some((_, Standing::Version(first_chunk))) => {
                let version = self.version_at(first_chunk)?;
                version.map(|version| version.document.sequence)
            }
        })
    }

    /// The newest row of a document up to `at`: its sequence, and what that
    /// write made of it.
    pub(crate) fn newest(
        &self,
        id: &DocumentId,
        at: Sequence,
    ) -> Result<Option<(Sequence, Standing)>, IndexError> {
        let range = document_key(id, Sequence(0))..=document_key(id, at);
        match self.db.range(range).next_back() {
            None => Ok(None),
            Some(row) => {
                let (key, value) = row.map_err(failed)?;
                let (_, sequence) = parse_document_key(&key)?;
                Ok(Some((sequence, decode(&value)?)))
            }
        }
    }

    /// The version that a chunk belongs to.
    pub(crate) fn version_of(&self, number: ChunkNo) -> Result<Option<Version>, IndexError> {
        let mut before = self.db.range(chunk_key(ChunkNo(0))..=chunk_key(number));
        match before.next_back() {
            None => Ok(None),
            Some(row) => {
                let version: Version = decode(&row.map_err(failed)?.1)?;
                Ok(Some(version).filter(|version| version.holds(number)))
            }
        }
    }

    fn version_at(&self, first_chunk: ChunkNo) -> Result<Option<Version>, IndexError> {
        self.value(&chunk_key(first_chunk))
    }

    /// The documents that stood at `at`, in order of id, after a given one.
    pub(crate) fn documents(
        &self,
        at: Sequence,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<(DocumentId, Version)>, IndexError> {
        let mut found: Vec<(DocumentId, Version)> = Vec::new();
        // All rows of one id are adjacent, oldest first: the last one up to
        // `at` decides.
        let mut current: Option<(DocumentId, Standing)> = None;
        let start = match after {
            Some(id) => document_key(id, Sequence(u64::MAX)),
            None => b"d".to_vec(),
        };
        for row in self.db.range(start..b"e".to_vec()) {
            let (key, value) = row.map_err(failed)?;
            let (id, sequence) = parse_document_key(&key)?;
            if after == Some(&id) || sequence > at {
                continue;
            }
            if current.as_ref().is_some_and(|(other, _)| *other != id) {
                self.take_live(current.take(), &mut found)?;
                if found.len() == limit {
                    return Ok(found);
                }
            }
            current = Some((id, decode(&value)?));
        }
        self.take_live(current, &mut found)?;
        found.truncate(limit);
        Ok(found)
    }

    fn take_live(
        &self,
        row: Option<(DocumentId, Standing)>,
        found: &mut Vec<(DocumentId, Version)>,
    ) -> Result<(), IndexError> {
        if let Some((id, Standing::Version(first_chunk))) = row {
            let version = self
                .version_at(first_chunk)?
                .ok_or_else(|| failed(format!("the version row of '{id}' is missing")))?;
            found.push((id, version));
        }
        Ok(())
    }

    /// The numbers of all chunks of all documents, and how many documents.
    ///
    /// Called on open, when no view exists; rows that none will ask for again
    /// are erased on the way.
    pub(crate) fn sweep(&self) -> Result<(RoaringTreemap, u64), IndexError> {
        let mut dead_rows = sled::Batch::default();
        let mut standing: Vec<ChunkNo> = Vec::new();
        // All rows of one id are adjacent, and only the last of them stands:
        // the others, and a deletion's mark, are dead.
        let mut newest: Option<(sled::IVec, Standing)> = None;
        let mut rows = self.db.scan_prefix(b"d");
        loop {
            let next = match rows.next().transpose().map_err(failed)? {
                Some((key, value)) => Some((key, decode::<Standing>(&value)?)),
                None => None,
            };
            if let Some((key, stands)) = newest.take() {
                let is_last = match &next {
                    Some((later, _)) => id_part(&key)? != id_part(later)?,
                    None => true,
                };
                match stands {
                    Standing::Version(first_chunk) if is_last => standing.push(first_chunk),
                    Standing::Pending if is_last => {}
                    _ => dead_rows.remove(key),
                }
            }
            if next.is_none() {
                break;
            }
            newest = next;
        }
        let mut live = RoaringTreemap::new();
        standing.sort_unstable();
        let mut missing = standing.iter().peekable();
        for row in self.db.scan_prefix(b"c") {
            let (key, value) = row.map_err(failed)?;
            let version: Version = decode(&value)?;
            if missing.next_if_eq(&&version.first_chunk).is_some() {
                live.insert_range(version.numbers());
            } else {
                dead_rows.remove(key);
            }
        }
        if let Some(first_chunk) = missing.next() {
            return Err(failed(format!(
                "the row of the version that begins with chunk {first_chunk} is missing"
            )));
        }
        self.db.apply_batch(dead_rows).map_err(failed)?;
        Ok((live, standing.len() as u64))
    }

    /// Erases rows that no view can ask for any more.
    pub(crate) fn erase(&self, retired: &[Retired]) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        for row in retired {
            batch.remove(document_key(&row.id, row.sequence));
            if let Standing::Version(first_chunk) = row.standing {
                batch.remove(chunk_key(first_chunk).to_vec());
            }
        }
        self.db.apply_batch(batch).map_err(failed)
    }

    /// Visits every version that stands.
    pub(crate) fn for_each_version(
        &self,
        mut visit: impl FnMut(&DocumentId, &Version) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut after = None;
        loop {
            let page = self.documents(Sequence(u64::MAX), after.as_ref(), 4096)?;
            for (id, version) in &page {
                visit(id, version)?;
            }
            match page.into_iter().last() {
                Some((id, _)) => after = Some(id),
                None => return Ok(()),
            }
        }
    }

    /// Visits all rows of versions, those of retired ones included; says how many
    /// there are.
    pub(crate) fn for_each_version_row(
        &self,
        mut visit: impl FnMut(&Version),
    ) -> Result<u64, IndexError> {
        let mut rows = 0;
        for row in self.db.scan_prefix(b"c") {
            visit(&decode(&row.map_err(failed)?.1)?);
            rows += 1;
        }
        Ok(rows)
    }

    /// Asks sled to write what it holds in memory.
    pub(crate) fn flush(&self) -> Result<(), IndexError> {
        self.db.flush().map_err(failed)?;
        crate::disk::sync_dir(&self.dir)
    }

    fn value<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, IndexError> {
        match self.db.get(key).map_err(failed)? {
            Some(bytes) => decode(&bytes).map(Some),
            None => Ok(None),
        }
    }
}

fn document_key(id: &DocumentId, sequence: Sequence) -> Vec<u8> {
    // Ids have no control characters, so the 0 ends them and keeps their order.
    let mut key = Vec::with_capacity(id.as_str().len() + 10);
    key.push(b'd');
    key.extend_from_slice(id.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&sequence.0.to_be_bytes());
    key
}

/// What is the same in all keys of one document.
fn id_part(key: &[u8]) -> Result<&[u8], IndexError> {
    let id = key.split_last_chunk::<8>().map(|(rest, _)| rest);
    id.ok_or_else(|| failed("a document's key cannot be read"))
}

fn parse_document_key(key: &[u8]) -> Result<(DocumentId, Sequence), IndexError> {
    let parsed = key.split_last_chunk::<8>().and_then(|(rest, sequence)| {
        let id = rest.strip_prefix(b"d")?.strip_suffix(b"\0")?;
        let id = DocumentId::new(std::str::from_utf8(id).ok()?).ok()?;
        Some((id, Sequence(u64::from_be_bytes(*sequence))))
    });
    parsed.ok_or_else(|| failed("a document's key cannot be read"))
}

fn pending_key(sequence: Sequence) -> [u8; 9] {
    let mut key = [b'p'; 9];
    key[1..].copy_from_slice(&sequence.0.to_be_bytes());
    key
}

fn chunk_key(number: ChunkNo) -> [u8; 9] {
    let mut key = [b'c'; 9];
    key[1..].copy_from_slice(&number.0.to_be_bytes());
    key
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, IndexError> {
    postcard::to_stdvec(value).map_err(failed)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, IndexError> {
    postcard::from_bytes(bytes).map_err(failed)
}

/// Whether sled could not open its files because somebody has them open; it
/// tells so in words alone.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(_)) && error.to_string().contains("could not acquire lock")
}

fn failed(reason: impl ToString) -> IndexError {
    IndexError::Projection {
        projection: "catalog",
        reason: reason.to_string(),
    }
}
