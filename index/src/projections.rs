//! How do the three projections of a generation follow the log, and how are
//! they brought forward when they have fallen behind?
//!
//! The same function applies a record to the projections whether it has just
//! been written or is replayed. Each projection says how far it has come; a
//! record that it already holds is passed over, so replay is idempotent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cento_core::{ChunkNo, ContentHash, CoreError, GenerationNo, Sequence};
use serde::{Deserialize, Serialize};

use crate::applied::Applied;
use crate::catalog::{Catalog, Entry, Fitted, Pending, Standing, State, Version};
use crate::log::{Logged, Place, Position, Segments};
use crate::log_record::{Change, Derivation, Layout, Put, Record};
use crate::manifest::{Epoch, GenerationEntry, Manifest};
use crate::settings::StoreOptions;
use crate::text::Text;
use crate::vectors::Vectors;
use crate::{IndexError, fault};

/// The writer's side of all three projections.
pub(crate) struct Projections {
    pub(crate) generation: GenerationNo,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) text: Text,
    pub(crate) vectors: Vectors,
    /// What the catalog holds; the other two may lag behind only in recovery.
    pub(crate) state: State,
    dimensions: usize,
    epoch: Epoch,
    text_applied: Applied,
    vectors_applied: Applied,
}

/// What opening found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Writes that at least one projection did not hold yet.
    pub replayed: u64,
    /// Bytes of a commit that was never acknowledged, cut off the log's end.
    pub cut_bytes: u64,
    /// Projections that could not be used and were made anew.
    pub remade: Vec<&'static str>,
    /// Writes of the log that no projection could take, and why.
    pub skipped: Vec<(Sequence, String)>,
    /// Whether the manifest was damaged and taken from its copy.
    pub manifest_healed: bool,
}

/// What a record brings for a generation, and the put that it was made from.
struct Derived<'a> {
    derivation: &'a Derivation,
    document: Place,
    document_bytes: u32,
    content_hash: ContentHash,
}

/// Where a record is, and its parts in it.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) place: Place,
    pub(crate) layout: Layout,
    /// Where replay goes on after it.
    pub(crate) resume: Position,
}

/// The folder of a generation's projections.
pub(crate) fn generation_dir(collection: &Path, folder: u64) -> PathBuf {
    collection.join("generations").join(format!("{folder:08}"))
}

/// One of the three projections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Projection {
    /// Ids and places.
    Catalog,
    /// Words and metadata.
    Text,
    /// Vectors.
    Vectors,
}

impl Projection {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Catalog, Self::Text, Self::Vectors];

    /// Its name, which is that of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Text => "text",
            Self::Vectors => "vectors",
        }
    }
}

impl Projections {
    /// Opens a generation's projections as they are on disk, emptying those
    /// that have followed another log. The names of those that have to be
    /// filled anew come with it.
    pub(crate) fn open(
        dir: &Path,
        entry: &GenerationEntry,
        manifest: &Manifest,
        options: &StoreOptions,
    ) -> Result<(Self, Vec<&'static str>), IndexError> {
        let mut remade = Vec::new();
        let (catalog, is_fresh) = Catalog::open(&dir.join("catalog"), options.catalog_cache_bytes)?;
        if is_fresh {
            remade.push("catalog");
        }
        let (mut text, is_fresh) = Text::open(&dir.join("text"), options.text_arena_bytes)?;
        if is_fresh {
            remade.push("text");
        }
        let dimensions = entry.settings.dimensions;
        let (mut vectors, is_fresh) =
            Vectors::open(&dir.join("vectors"), dimensions, options.vectors)?;
        if is_fresh {
            remade.push("vectors");
        }
        let follows = |applied: Applied| {
            applied == Applied::default()
                || (applied.epoch == manifest.epoch && applied.sequence >= manifest.forgotten)
        };
        let mut state = catalog.state().unwrap_or_default();
        if state == State::default() || !follows(state.applied) {
            if state != State::default() {
                remade.push("catalog");
            }
            catalog.reset()?;
            state = State::default();
        }
        if !follows(text.applied()) {
            remade.push("text");
            text.reset()?;
        }
        if !follows(vectors.applied()) {
            remade.push("vectors");
            vectors.reset()?;
        }
        state.fields.declare(&entry.fields);
        state.next_chunk = state.next_chunk.max(entry.next_chunk);
        let projections = Self {
            generation: entry.number,
            text_applied: text.applied(),
            vectors_applied: vectors.applied(),
            catalog: Arc::new(catalog),
            text,
            vectors,
            state,
            epoch: manifest.epoch,
            dimensions: entry.settings.dimensions,
        };
        Ok((projections, remade))
    }

    /// The least that all three hold: where replay begins.
    pub(crate) fn least_applied(&self) -> Applied {
        let applied = [self.state.applied, self.text_applied, self.vectors_applied];
        applied
            .into_iter()
            .min_by_key(|applied| applied.sequence)
            .unwrap_or_default()
    }

    /// The last write that any of them holds: it was acknowledged.
    pub(crate) fn most_applied(&self) -> Sequence {
        (self.state.applied.sequence)
            .max(self.text_applied.sequence)
            .max(self.vectors_applied.sequence)
    }

    /// Replays one record. One that cannot be decoded, or that a projection
    /// refuses as it is, is skipped and reported: it must not keep all others
    /// from being found.
    pub(crate) fn replay(
        &mut self,
        logged: &Logged<'_>,
        segments: &Segments,
        recovery: &mut Recovery,
    ) -> Result<(), IndexError> {
        let sequence = logged.place.sequence;
        let Some((record, layout)) = Record::decode(logged.bytes) else {
            let reason = "its bytes have a right checksum and are no record".to_owned();
            recovery.skip(sequence, reason);
            return Ok(());
        };
        let stored = Stored {
            place: logged.place,
            layout,
            resume: logged.resume,
        };
        match self.apply(&record, &stored, segments) {
            Ok(any) => recovery.replayed += u64::from(any),
            Err(IndexError::Invalid(reason)) => recovery.skip(sequence, reason.to_string()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Applies one record to every projection that does not hold it yet; says
    /// whether any did not. `segments` is where the put of a later derivation
    /// is read from.
    pub(crate) fn apply(
        &mut self,
        record: &Record,
        stored: &Stored,
        segments: &Segments,
    ) -> Result<bool, IndexError> {
        let applied = Applied {
            epoch: self.epoch,
            sequence: record.sequence,
            position: stored.resume,
        };
        let lacks = |other: Applied| other.sequence < record.sequence;
        let lack = [
            lacks(self.state.applied),
            lacks(self.text_applied),
            lacks(self.vectors_applied),
        ];
        if lack == [false; 3] {
            return Ok(false);
        }
        let derived = self.derived_by(record, stored, lack[0])?;
        // A derivation of its own record has its text there, a later one elsewhere.
        // Where the text has followed, it may have been replaced and dropped since.
        let put = match (&record.change, &derived) {
            (Change::Derive(_), Some(derived)) if lack[1] => {
                Some(read_put(segments, &derived.document)?)
            }
            _ => None,
        };
        let put = match &record.change {
            Change::Put(put) => Some(&**put),
            _ => put.as_deref(),
        };
        if let (Some(put), Some(derived)) = (put, &derived) {
            self.check(put, derived.derivation)?;
        }
        if lack[0] {
            self.enter(record, derived.as_ref(), stored, applied)?;
            fault::point("projection.entered");
        }
        if lack[1] {
            self.apply_to_text(record, put, derived.as_ref())?;
            self.text_applied = applied;
        }
        if lack[2] {
            if let Some(Derived { derivation, .. }) = derived {
                let first = derivation.outline.first_chunk;
                self.vectors.put(first, &derivation.vectors);
            }
            self.vectors_applied = applied;
        }
        Ok(true)
    }

    /// What a record brings for this generation, if it stands. `is_new` says
    /// whether the catalog has yet to take it.
    fn derived_by<'a>(
        &self,
        record: &'a Record,
        stored: &Stored,
        is_new: bool,
    ) -> Result<Option<Derived<'a>>, IndexError> {
        let is_mine = |derivation: &Derivation| derivation.outline.generation == self.generation;
        match &record.change {
            Change::Put(put) => {
                let mine = put.derivation.as_ref().filter(|found| is_mine(found));
                Ok(mine.map(|derivation| Derived {
                    derivation,
                    document: stored.place,
                    document_bytes: stored.layout.document_bytes,
                    content_hash: put.document.content_hash,
                }))
            }
            Change::Delete(_) | Change::Fit(_) => Ok(None),
            Change::Derive(derive) if !is_mine(&derive.derivation) => Ok(None),
            Change::Derive(derive) if is_new => {
                // Wanted only while the version that it was made from stands.
                let newest = self.catalog.newest(&derive.id, Sequence(u64::MAX))?;
                if newest != Some((derive.of, Standing::Pending)) {
                    return Ok(None);
                }
                let pending = self.catalog.pending_at(derive.of)?;
                Ok(pending.map(|pending| Derived {
                    derivation: &derive.derivation,
                    document: pending.document,
                    document_bytes: pending.document_bytes,
                    content_hash: pending.content_hash,
                }))
            }
            Change::Derive(derive) => {
                // The catalog is ahead of the others and has judged already. If
                // it has erased the version since, a later record removes or
                // replaces what would be entered now.
                let first = derive.derivation.outline.first_chunk;
                let version = self.catalog.version_of(first)?;
                let version = version.filter(|version| version.sequence == record.sequence);
                Ok(version.map(|version| Derived {
                    derivation: &derive.derivation,
                    document: version.document,
                    document_bytes: version.layout.document_bytes,
                    content_hash: version.content_hash,
                }))
            }
        }
    }

    /// Refuses what no projection can take, before any has: a log may come from
    /// elsewhere.
    fn check(&self, put: &Put, derivation: &Derivation) -> Result<(), CoreError> {
        let found = derivation.outline.dimensions as usize;
        if found != self.dimensions {
            let expected = self.dimensions;
            return Err(CoreError::Document {
                id: put.document.id.clone(),
                reason: format!("its vectors have {found} dimensions, not {expected}"),
            });
        }
        let mut chunks = derivation.outline.chunks.iter();
        chunks.try_for_each(|chunk| chunk.span.slice(&put.text).map(drop))
    }

    fn apply_to_text(
        &mut self,
        record: &Record,
        put: Option<&Put>,
        derived: Option<&Derived<'_>>,
    ) -> Result<(), IndexError> {
        match (&record.change, put, derived) {
            (_, Some(put), Some(derived)) => {
                self.text
                    .put(&put.document, &put.text, &derived.derivation.outline)
            }
            // Deleted, or replaced by a version that is still to be derived.
            (Change::Put(put), ..) => self.text.delete(&put.document.id),
            (Change::Delete(id), ..) => self.text.delete(id),
            (Change::Derive(_) | Change::Fit(_), ..) => Ok(()),
        }
    }

    fn enter(
        &mut self,
        record: &Record,
        derived: Option<&Derived<'_>>,
        stored: &Stored,
        applied: Applied,
    ) -> Result<(), IndexError> {
        let mut state = State {
            applied,
            ..self.state.clone()
        };
        if let Change::Put(put) = &record.change {
            // The types were checked when the document was put.
            state.fields.admit(&put.document.metadata)?;
        }
        let sequence = record.sequence;
        let Some(id) = record.id() else {
            if let Change::Fit(fit) = &record.change
                && fit.generation == self.generation
            {
                state.fitted = Some(Fitted {
                    place: stored.place,
                    chunks: fit.chunks,
                    checksum: crc32c::crc32c(&fit.artefact),
                });
            }
            self.catalog.pass(&state)?;
            self.state = state;
            return Ok(());
        };
        match (&record.change, derived) {
            (_, Some(derived)) => {
                let outline = &derived.derivation.outline;
                state.next_chunk = state.next_chunk.max(ChunkNo(outline.numbers().end));
                let version = Version {
                    sequence,
                    document: derived.document,
                    derived: stored.place,
                    layout: Layout {
                        document_bytes: derived.document_bytes,
                        ..stored.layout
                    },
                    first_chunk: outline.first_chunk,
                    chunks: outline.count(),
                    content_hash: derived.content_hash,
                };
                let entry = Entry::Version(&version);
                self.catalog.enter(id, sequence, &entry, &state)?;
            }
            (Change::Put(put), None) => {
                let pending = Pending {
                    id: id.clone(),
                    document: stored.place,
                    document_bytes: stored.layout.document_bytes,
                    content_hash: put.document.content_hash,
                };
                let entry = Entry::Pending(&pending);
                self.catalog.enter(id, sequence, &entry, &state)?;
            }
            (Change::Delete(_), None) => {
                self.catalog.enter(id, sequence, &Entry::Deleted, &state)?;
            }
            (Change::Derive(_) | Change::Fit(_), None) => self.catalog.pass(&state)?,
        }
        self.state = state;
        Ok(())
    }

    /// Takes note that nothing more is to be followed up to where a scan has
    /// ended: what stood there compaction has dropped, or it is for others.
    pub(crate) fn advance(
        &mut self,
        sequence: Sequence,
        position: Position,
    ) -> Result<(), IndexError> {
        let end = Applied {
            epoch: self.epoch,
            sequence,
            position,
        };
        if self.state.applied != end {
            let state = State {
                applied: end,
                ..self.state.clone()
            };
            self.catalog.pass(&state)?;
            self.state = state;
        }
        self.text_applied = end;
        self.vectors_applied = end;
        Ok(())
    }

    /// Where the log stands for all three.
    pub(crate) fn applied(&self) -> Applied {
        self.state.applied
    }
}

/// Reads a whole put from the log.
pub(crate) fn read_put(segments: &Segments, place: &Place) -> Result<Box<Put>, IndexError> {
    let bytes = segments.record(place)?;
    match Record::decode(&bytes) {
        Some((record, _)) if record.sequence == place.sequence => match record.change {
            Change::Put(put) => Ok(put),
            _ => Err(segments.damaged(place, "a put was expected here")),
        },
        _ => Err(segments.damaged(place, "a put cannot be decoded")),
    }
}

impl Recovery {
    /// At most so many skipped writes are named.
    const MAX_SKIPPED: usize = 100;

    fn skip(&mut self, sequence: Sequence, reason: String) {
        if self.skipped.len() < Self::MAX_SKIPPED
            && self.skipped.iter().all(|(known, _)| *known != sequence)
        {
            self.skipped.push((sequence, reason));
        }
    }
}
