//! How does a document come in, when is it safe, and when is it seen?
//!
//! A write is checked, then appended to the log, then applied to the three
//! projections, all under one lock: there is one writer. It is safe when the
//! log has been synced, which is before `put` returns. It is seen after the
//! next [`Engine::refresh`], which publishes a [`View`] of all three
//! projections at one sequence by swapping one pointer.

mod patch;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use cento_core::chunk::check_chunks;
use cento_core::{Chunk, ChunkNo, ContentHash, CoreError, Document, DocumentId, Sequence};
use roaring::RoaringTreemap;

use crate::catalog::{Catalog, Retired};
use crate::disk::remove_dir;
use crate::log::{Log, Position};
use crate::log_record::{Change, Outline, Put, Record, join};
use crate::projections::{Projections, Recovery, before_commit};
use crate::vectors::Codes;
use crate::view::{View, ViewParts};
use crate::{CollectionSettings, IndexError};

pub use patch::PatchOutcome;

/// A document with its derivation: what `ingest` hands over.
#[derive(Debug, Clone)]
pub struct NewDocument {
    /// The document.
    pub document: Document,
    /// Its chunks: at least one, in order, apart.
    pub chunks: Vec<Chunk>,
    /// One vector a chunk, of unit length or all zeros.
    pub vectors: Vec<Vec<f32>>,
}

/// What became of one document of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum PutOutcome {
    /// It is on disk: acknowledged.
    Stored(Sequence),
    /// It was refused; nothing of it was written.
    Refused(CoreError),
}

/// A batch is written in commits of about so many bytes.
const COMMIT_BYTES: usize = 32 << 20;
/// The most bytes of text and codes of one document: far above any setting,
/// and far below what a frame's length can say.
const MAX_DOCUMENT_BYTES: usize = 1 << 30;

/// One collection's engine.
pub struct Engine {
    settings: CollectionSettings,
    log: Arc<Log>,
    catalog: Arc<Catalog>,
    writer: Mutex<Writer>,
    current: ArcSwap<View>,
    recovery: Recovery,
}

/// All that changes with a write.
struct Writer {
    projections: Projections,
    /// The chunks of all documents, as of the last write.
    live: RoaringTreemap,
    documents: u64,
    retired: Vec<Retired>,
    views: Vec<Weak<View>>,
    is_published: bool,
    /// Why nothing more can be written until the directory is opened anew.
    failure: Option<String>,
}

impl Engine {
    /// Opens the collection in `dir` and brings its projections to the end of
    /// its log. A projection that cannot follow is thrown away, once, and made
    /// anew.
    pub(crate) fn open(dir: &Path, settings: &CollectionSettings) -> Result<Self, IndexError> {
        match Self::try_open(dir, settings.clone()) {
            Err(IndexError::Projection { projection, .. }) => {
                remove_dir(&dir.join(projection))?;
                let mut engine = Self::try_open(dir, settings.clone())?;
                engine.recovery.remade.push(projection);
                Ok(engine)
            }
            opened => opened,
        }
    }

    fn try_open(dir: &Path, settings: CollectionSettings) -> Result<Self, IndexError> {
        let log = Arc::new(Log::open(&dir.join("log"))?);
        let (mut projections, recovery) = Projections::open(dir, settings.dimensions, &log)?;
        projections.state.fields.declare(&settings.fields);
        let catalog = Arc::clone(&projections.catalog);
        let (live, documents) = catalog.sweep()?;
        let mut writer = Writer {
            projections,
            live,
            documents,
            retired: Vec::new(),
            views: Vec::new(),
            is_published: false,
            failure: None,
        };
        let view = writer.publish(&log)?;
        let engine = Self {
            settings,
            log,
            catalog,
            writer: Mutex::new(writer),
            current: ArcSwap::new(view),
            recovery,
        };
        if engine.recovery.replayed > 0 {
            // So that the next opening need not do it again. If it fails, as
            // on a full disk, reading still works, and writing says why not.
            let _ = engine.checkpoint();
        }
        Ok(engine)
    }

    /// What was fixed at the collection's creation.
    pub fn settings(&self) -> &CollectionSettings {
        &self.settings
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Puts or replaces documents.
    ///
    /// When this returns, every document whose outcome is
    /// [`PutOutcome::Stored`] survives any crash. Outcomes are in the order of
    /// the batch. Not yet visible to views: see [`Engine::refresh`].
    ///
    /// On an error, documents of the batch may or may not have been stored,
    /// each of them wholly or not at all.
    pub fn put(&self, batch: Vec<NewDocument>) -> Result<Vec<PutOutcome>, IndexError> {
        let mut writer = self.writer()?;
        let state = &writer.projections.state;
        let mut sequence = state.applied.sequence;
        let mut next_chunk = state.next_chunk;
        let mut fields = state.fields.clone();
        let mut seen = HashSet::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut records = Vec::new();
        for new in batch {
            let checked = check(&new, self.settings.dimensions, &seen).and_then(|()| {
                fields.admit(&new.document.metadata)?;
                Outline::of(
                    &new.document,
                    &new.chunks,
                    self.settings.dimensions as u32,
                    next_chunk,
                )
            });
            match checked {
                Err(reason) => outcomes.push(PutOutcome::Refused(reason)),
                Ok(outline) => {
                    sequence = sequence.next();
                    next_chunk = ChunkNo(next_chunk.0 + new.chunks.len() as u64);
                    outcomes.push(PutOutcome::Stored(sequence));
                    seen.insert(new.document.id);
                    records.push(Record {
                        sequence,
                        change: Change::Put(Box::new(Put {
                            outline,
                            outline_bytes: 0,
                            text: new.document.text,
                            codes: Codes::quantise(self.settings.dimensions, &new.vectors),
                        })),
                    });
                }
            }
        }
        writer.write(&self.log, records)?;
        Ok(outcomes)
    }

    /// Deletes documents; says for each whether it was there. Durable when it
    /// returns, seen after the next refresh.
    pub fn delete(&self, ids: &[DocumentId]) -> Result<Vec<bool>, IndexError> {
        let mut writer = self.writer()?;
        let mut sequence = writer.projections.applied().sequence;
        let mut gone = HashSet::new();
        let mut were_there = Vec::with_capacity(ids.len());
        let mut records = Vec::new();
        for id in ids {
            let is_there =
                self.catalog.version(id, Sequence(u64::MAX))?.is_some() && gone.insert(id.clone());
            were_there.push(is_there);
            if is_there {
                sequence = sequence.next();
                records.push(Record {
                    sequence,
                    change: Change::Delete(id.clone()),
                });
            }
        }
        writer.write(&self.log, records)?;
        Ok(were_there)
    }

    /// The content hash of the newest version of a document, as writers see it
    /// (newer than any view).
    pub fn content_hash(&self, id: &DocumentId) -> Result<Option<ContentHash>, IndexError> {
        let version = self.catalog.version(id, Sequence(u64::MAX))?;
        Ok(version.map(|version| version.content_hash))
    }

    /// Makes every write so far visible and returns the view that shows it.
    pub fn refresh(&self) -> Result<Arc<View>, IndexError> {
        let mut writer = self.writer()?;
        if writer.is_published {
            return Ok(self.view());
        }
        let view = writer.guarded(|writer| writer.publish(&self.log))?;
        self.current.store(Arc::clone(&view));
        writer.guarded(|writer| writer.erase_unseen(&self.catalog))?;
        Ok(view)
    }

    /// The newest published view.
    pub fn view(&self) -> Arc<View> {
        self.current.load_full()
    }

    /// Publishes and writes down all that opening would otherwise have to
    /// replay. Nothing depends on it but the time that the next opening takes.
    pub fn checkpoint(&self) -> Result<(), IndexError> {
        self.refresh()?;
        let mut writer = self.writer()?;
        writer.guarded(|writer| {
            let Writer {
                projections, live, ..
            } = writer;
            let applied = projections.applied();
            projections.vectors.checkpoint(applied, live)?;
            projections.text.finish_merges()?;
            projections.catalog.flush()
        })
    }

    /// Runs `audit` with writing held up, so that log and projections stand
    /// still. The newest view shows every write.
    pub(crate) fn with_writes_held<T>(
        &self,
        audit: impl FnOnce(&Log, &Catalog, &View) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        self.refresh()?;
        let _writer = self.writer()?;
        audit(&self.log, &self.catalog, &self.view())
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, IndexError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match &writer.failure {
            Some(reason) => Err(IndexError::WriterStopped {
                reason: reason.clone(),
            }),
            None => Ok(writer),
        }
    }
}

impl Writer {
    /// Writes records in commits of bounded size and applies them.
    fn write(&mut self, log: &Log, records: Vec<Record>) -> Result<(), IndexError> {
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            let mut group = Vec::new();
            let mut encoded = Vec::new();
            let mut bytes = 0;
            while bytes < COMMIT_BYTES
                && let Some(mut record) = records.next()
            {
                let record_bytes = encode(&mut record)?;
                bytes += record_bytes.len();
                encoded.push(record_bytes);
                group.push(record);
            }
            let (payload, offsets) = join(&encoded);
            let (at, next) = log.append(&payload)?;
            // From here on the group is safe; a projection that fails now is
            // brought forward when the directory is opened anew.
            self.is_published = false;
            self.guarded(|writer| {
                for (i, (record, offset)) in group.iter().zip(&offsets).enumerate() {
                    let place = Position {
                        segment: at.segment,
                        offset: at.offset + offset,
                    };
                    let is_last = i + 1 == offsets.len();
                    let position = if is_last { next } else { before_commit(at) };
                    writer.apply(record, place, position)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn apply(
        &mut self,
        record: &Record,
        place: Position,
        position: Position,
    ) -> Result<(), IndexError> {
        let id = match &record.change {
            Change::Put(put) => &put.outline.id,
            Change::Delete(id) => id,
        };
        let catalog = Arc::clone(&self.projections.catalog);
        let before = catalog.newest_row(id, Sequence(u64::MAX))?;
        if let Some((sequence, first_chunk)) = before {
            if let Some(version) = catalog.version(id, sequence)? {
                let first = version.first_chunk.0;
                self.live
                    .remove_range(first..first + u64::from(version.chunks));
                self.documents -= 1;
            }
            self.retired.push(Retired {
                id: id.clone(),
                sequence,
                first_chunk,
                by: record.sequence,
            });
        }
        self.projections.apply(record, place, position)?;
        if let Change::Put(put) = &record.change {
            let first = put.outline.first_chunk.0;
            self.live
                .insert_range(first..first + put.outline.chunks.len() as u64);
            self.documents += 1;
        }
        Ok(())
    }

    fn publish(&mut self, log: &Arc<Log>) -> Result<Arc<View>, IndexError> {
        let applied = self.projections.applied();
        let view = Arc::new(View::new(ViewParts {
            sequence: applied.sequence,
            fields: self.projections.state.fields.clone(),
            documents: self.documents,
            text: self.projections.text.publish(applied)?,
            vectors: self.projections.vectors.publish(&self.live),
            live: Arc::new(self.live.clone()),
            catalog: Arc::clone(&self.projections.catalog),
            log: Arc::clone(log),
        }));
        self.views.retain(|view| view.strong_count() > 0);
        self.views.push(Arc::downgrade(&view));
        self.is_published = true;
        Ok(view)
    }

    /// Erases the catalog's rows that no living view can ask for.
    fn erase_unseen(&mut self, catalog: &Catalog) -> Result<(), IndexError> {
        let oldest = self
            .views
            .iter()
            .filter_map(Weak::upgrade)
            .map(|view| view.sequence())
            .min();
        let (unseen, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.retired)
            .into_iter()
            .partition(|row| oldest.is_none_or(|oldest| row.by <= oldest));
        self.retired = kept;
        catalog.erase(&unseen)
    }

    /// Runs a step that must not be half done: if it fails, the writer stops.
    fn guarded<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let result = step(self);
        if let Err(error) = &result {
            self.failure = Some(error.to_string());
        }
        result
    }
}

fn encode(record: &mut Record) -> Result<Vec<u8>, IndexError> {
    let mut bytes = Vec::new();
    record
        .encode(&mut bytes)
        .map_err(|error| IndexError::Projection {
            projection: "log",
            reason: error.to_string(),
        })?;
    if let Change::Put(put) = &mut record.change {
        // Known only now that it is encoded; the catalog keeps it.
        let length = bytes.get(9..13).and_then(|length| length.try_into().ok());
        put.outline_bytes = length.map_or(0, u32::from_le_bytes);
    }
    Ok(bytes)
}

/// Checks all that a put can be refused for, but its metadata's types.
fn check(
    new: &NewDocument,
    dimensions: usize,
    seen: &HashSet<DocumentId>,
) -> Result<(), CoreError> {
    let id = &new.document.id;
    let wrong = |reason: String| CoreError::Document {
        id: id.clone(),
        reason,
    };
    if new.chunks.is_empty() {
        return Err(wrong("it has no text to index".to_owned()));
    }
    if new.document.text.len() + new.chunks.len() * dimensions > MAX_DOCUMENT_BYTES {
        return Err(wrong(
            "its text and vectors take more than 1 GiB".to_owned(),
        ));
    }
    check_chunks(&new.document.text, &new.chunks)?;
    if new.vectors.len() != new.chunks.len() {
        return Err(wrong(format!(
            "it has {} vectors for {} chunks",
            new.vectors.len(),
            new.chunks.len()
        )));
    }
    for vector in &new.vectors {
        if vector.len() != dimensions {
            return Err(wrong(format!(
                "a vector has {} dimensions, the collection {dimensions}",
                vector.len()
            )));
        }
        if !vector.iter().all(|x| x.is_finite()) {
            return Err(wrong(
                "a vector has a component that is no number".to_owned(),
            ));
        }
    }
    if seen.contains(id) {
        Err(CoreError::DuplicateId { id: id.clone() })
    } else {
        Ok(())
    }
}
