//! How does a document come in, when is it safe, and when is it seen?
//!
//! A write is checked, then appended to the log, then applied to the
//! projections, all under one lock: there is one writer, and callers that come
//! while it waits for the disk share its next sync (`group.rs`). A write is
//! safe when the log has been synced, which is before `put` returns. It is seen
//! after the next [`Engine::refresh`], which publishes a [`View`] of all three
//! projections at one sequence by swapping one pointer.

mod compaction;
mod generation;
mod patch;
mod purge;
mod reindex;
pub(crate) mod salvage;
mod scrub;
pub(crate) mod snapshot;
mod write;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use arc_swap::ArcSwap;
use cento_core::{Chunk, ContentHash, CoreError, Document, DocumentId, GenerationNo, Sequence};

use crate::catalog::Catalog;
use crate::disk::{self, remove_dir};
use crate::group::{Group, GroupLimits};
use crate::log::{Log, log_dir, remove_strays};
use crate::log_record::Fit;
use crate::manifest::{GenerationState, Manifest, Root};
use crate::projections::{Projection, Recovery, generation_dir};
use crate::settings::{StoreOptions, Verify};
use crate::vectors::Freezing;
use crate::view::View;
use crate::{CollectionSettings, IndexError, fault};

pub use compaction::CompactionReport;
pub(crate) use compaction::dead_bytes;
pub(crate) use generation::{Follow, OpenGeneration};
pub use patch::{NewPatch, PatchOutcome};
pub use purge::{Held, Proven, PurgeReport};
pub use reindex::{DeriveLast, DerivedDocument, GenerationInfo, PendingDocument};
pub use salvage::{LostBytes, SalvageReport};
pub use scrub::ScrubReport;
pub use snapshot::SnapshotInfo;
pub use write::{Condition, DeleteOutcome};
use write::{Outcome, Request};

/// A document with its derivation: what `ingest` hands over.
#[derive(Debug, Clone)]
pub struct NewDocument {
    /// The document.
    pub document: Document,
    /// Its chunks: at least one, in order, apart.
    pub chunks: Vec<Chunk>,
    /// One vector a chunk, of unit length or all zeros.
    pub vectors: Vec<Vec<f32>>,
    /// What must stand under its id for it to be written.
    pub condition: Condition,
}

/// What became of one document of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum PutOutcome {
    /// It is on disk: acknowledged.
    Stored(Sequence),
    /// Its condition did not hold; nothing of it was written.
    Conflict {
        /// The write that put what stands there, if anything does.
        found: Option<Sequence>,
    },
    /// It was refused; nothing of it was written.
    Refused(CoreError),
}

/// One collection's engine.
pub struct Engine {
    root: Arc<Root>,
    options: StoreOptions,
    group: Group<Request, Result<Outcome, IndexError>>,
    writer: Mutex<Writer>,
    /// Held by what changes which files there are: one at a time, beside
    /// writes. Taken before the writer.
    maintenance: Mutex<()>,
    current: ArcSwap<View>,
    /// That of the serving generation, for what writers ask.
    catalog: ArcSwap<Catalog>,
    recovery: Recovery,
}

/// All that changes with a write.
struct Writer {
    log: Arc<Log>,
    serving: OpenGeneration,
    /// Follows the serving one.
    building: Option<OpenGeneration>,
    is_published: bool,
    /// Why nothing more can be written until the directory is opened anew.
    failure: Option<String>,
}

impl Engine {
    /// Makes the files of a new collection in an empty folder.
    pub(crate) fn create(dir: &Path, settings: &CollectionSettings) -> Result<(), IndexError> {
        let root = Root::create(dir, Manifest::new(settings))?;
        Log::begin(&root, Sequence(0))
    }

    /// Opens the collection in `dir` and brings its projections to the end of
    /// its log.
    pub(crate) fn open(dir: &Path, options: &StoreOptions) -> Result<Self, IndexError> {
        if options.verify == Verify::Quick {
            return Self::open_quickly(dir, options);
        }
        // What is not compared with the log is made anew from it.
        for entry in &Manifest::read_in(dir)?.generations {
            if entry.state != GenerationState::Serving {
                remove_dir(&generation_dir(dir, entry.folder))?;
            }
        }
        let engine = Self::open_quickly(dir, options)?;
        // A library may panic on bytes that it did not write.
        let sound = match catch_unwind(AssertUnwindSafe(|| engine.audit())) {
            Ok(Ok(report)) => report.is_clean(),
            Ok(Err(IndexError::Projection { .. })) | Err(_) => false,
            Ok(Err(error)) => return Err(error),
        };
        if sound {
            return Ok(engine);
        }
        let folders = engine.root.manifest().generations;
        drop(engine);
        for entry in folders {
            remove_dir(&generation_dir(dir, entry.folder))?;
        }
        let mut engine = Self::open_quickly(dir, options)?;
        engine.recovery.remade = Projection::ALL.map(Projection::name).to_vec();
        Ok(engine)
    }

    fn open_quickly(dir: &Path, options: &StoreOptions) -> Result<Self, IndexError> {
        let root = Arc::new(Root::open(dir)?);
        let manifest = root.manifest();
        if root.unsettled.is_none() {
            // On a disk that cannot be written to they stay, and do no harm.
            let _ = remove_leftovers(dir, &manifest);
        }
        let log = Arc::new(Log::open(Arc::clone(&root), options.segment_bytes)?);
        let mut recovery = Recovery {
            manifest_healed: root.healed,
            ..Recovery::default()
        };
        let mut open = |entry, follow| {
            OpenGeneration::open(dir, entry, &manifest, &log, &follow, options, &mut recovery)
        };
        let serving = manifest.serving().ok_or_else(|| IndexError::Format {
            path: dir.to_owned(),
            expected: "a serving generation".to_owned(),
            found: "none".to_owned(),
        })?;
        let mut serving = open(serving, Follow::Recover)?;
        let building = manifest.building().map(|entry| open(entry, Follow::Scan));
        let building = building.transpose()?;
        let view = serving.publish(&log.segments())?;
        let catalog = Arc::clone(&serving.projections.catalog);
        let engine = Self {
            group: Group::new(GroupLimits {
                delay: options.commit_delay,
                requests: options.commit_requests,
            }),
            writer: Mutex::new(Writer {
                log,
                serving,
                building,
                is_published: true,
                failure: root.unsettled.clone(),
            }),
            root,
            maintenance: Mutex::default(),
            options: options.clone(),
            current: ArcSwap::new(view),
            catalog: ArcSwap::new(catalog),
            recovery,
        };
        if engine.recovery.replayed > 0 {
            // So that the next opening need not do it again. If it fails, as
            // on a full disk, reading still works, and writing says why not.
            let _ = engine.checkpoint();
        }
        Ok(engine)
    }

    /// The configuration that writes are made for and queries see.
    pub fn settings(&self) -> Arc<CollectionSettings> {
        Arc::clone(self.view().settings())
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Keeps what the model of the serving generation has learned from the
    /// collection's text, for queries: any bytes, which only it can read. What it
    /// had learned before counts no more. Durable when this returns, and shown by
    /// the next view ([`View::artefact`]).
    ///
    /// # Errors
    /// [`IndexError::GenerationChanged`] if another configuration serves by now.
    pub fn fit(&self, generation: GenerationNo, artefact: Vec<u8>) -> Result<Sequence, IndexError> {
        let fit = Fit {
            generation,
            chunks: 0,
            artefact,
        };
        match self.submit(Request::Fit(fit))? {
            Outcome::Fit(sequence) => Ok(sequence),
            _ => Err(write::mixed_up()),
        }
    }

    /// Puts or replaces documents, whose chunks and vectors were made for
    /// `generation`.
    ///
    /// When this returns, every document whose outcome is
    /// [`PutOutcome::Stored`] survives any crash. Outcomes are in the order of
    /// the batch. Not yet visible to views: see [`Engine::refresh`].
    ///
    /// On an error, documents of the batch may or may not have been stored,
    /// each of them wholly or not at all.
    ///
    /// # Errors
    /// [`IndexError::GenerationChanged`] if another configuration serves by now:
    /// derive the documents anew.
    pub fn put(
        &self,
        generation: GenerationNo,
        batch: Vec<NewDocument>,
    ) -> Result<Vec<PutOutcome>, IndexError> {
        let view = self.view();
        if view.generation() != generation {
            return Err(IndexError::GenerationChanged {
                made_for: generation,
                serving: view.generation(),
            });
        }
        let request = Request::put(generation, view.settings(), batch);
        match self.submit(request)? {
            Outcome::Put(outcomes) => Ok(outcomes),
            _ => Err(write::mixed_up()),
        }
    }

    /// Deletes documents; says for each whether it was there. Durable when it
    /// returns, seen after the next refresh.
    pub fn delete(&self, ids: &[DocumentId]) -> Result<Vec<bool>, IndexError> {
        let ids = ids.iter().map(|id| (id.clone(), Condition::Always));
        let outcomes = self.delete_if(ids.collect())?;
        let was_there = |outcome: &DeleteOutcome| matches!(outcome, DeleteOutcome::Deleted(_));
        Ok(outcomes.iter().map(was_there).collect())
    }

    /// Deletes documents whose conditions hold. Durable when it returns, seen
    /// after the next refresh.
    pub fn delete_if(
        &self,
        ids: Vec<(DocumentId, Condition)>,
    ) -> Result<Vec<DeleteOutcome>, IndexError> {
        match self.submit(Request::Delete(ids))? {
            Outcome::Delete(outcomes) => Ok(outcomes),
            _ => Err(write::mixed_up()),
        }
    }

    /// The content hash of the newest version of a document, as writers see it
    /// (newer than any view).
    pub fn content_hash(&self, id: &DocumentId) -> Result<Option<ContentHash>, IndexError> {
        let version = self.catalog.load().version(id, Sequence(u64::MAX))?;
        Ok(version.map(|version| version.content_hash))
    }

    /// Makes every write so far visible and returns the view that shows it.
    pub fn refresh(&self) -> Result<Arc<View>, IndexError> {
        drop(self.published()?);
        Ok(self.view())
    }

    /// The same without waiting: nothing if somebody has the writer now, which
    /// a purge or the end of a reindexing may for long.
    ///
    /// # Errors
    /// As [`Engine::refresh`].
    pub fn try_refresh(&self) -> Result<Option<Arc<View>>, IndexError> {
        let taken = match self.writer.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Ok(writer) => writer,
        };
        let mut writer = self.able(taken)?;
        if writer.is_ahead() {
            self.publish(&mut writer)?;
        }
        Ok(Some(self.view()))
    }

    /// The writer, with every write so far published: none can come between.
    fn published(&self) -> Result<MutexGuard<'_, Writer>, IndexError> {
        let mut writer = self.writer()?;
        if writer.is_ahead() {
            self.publish(&mut writer)?;
        }
        Ok(writer)
    }

    /// Waits until vectors that are ready for it are frozen, shows them so, and
    /// writes all down. Others write and read meanwhile. Says why they could not be
    /// frozen, if so: nothing is lost by it, they are compared one by one until it
    /// is tried again.
    ///
    /// # Errors
    /// As [`Engine::checkpoint`].
    pub fn settle(&self) -> Result<Option<String>, IndexError> {
        self.settle_while(|_| true)
    }

    /// As [`Engine::settle`], as long as that is wanted: `goes_on` is told now and then
    /// how far it is, and ends the waiting by returning false.
    ///
    /// # Errors
    /// As [`Engine::checkpoint`].
    pub fn settle_while(
        &self,
        mut goes_on: impl FnMut(Freezing) -> bool,
    ) -> Result<Option<String>, IndexError> {
        const AWHILE: Duration = Duration::from_millis(100);
        'settling: loop {
            let freezing = self.published()?.serving.projections.vectors.freezing();
            let Some(ticket) = freezing else {
                break;
            };
            while !ticket.wait(AWHILE) {
                if !goes_on(ticket.progress()) {
                    break 'settling;
                }
            }
        }
        self.checkpoint()?;
        Ok(self.freezing_failure())
    }

    /// Whether vectors are being frozen, or have been and are not shown yet; also
    /// said where somebody has the writer now.
    pub fn is_freezing(&self) -> bool {
        let writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return true,
        };
        writer.serving.projections.vectors.freezing().is_some()
    }

    /// Why vectors could not be frozen when it was tried last, if they could not.
    pub fn freezing_failure(&self) -> Option<String> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer
            .serving
            .projections
            .vectors
            .failure()
            .map(str::to_owned)
    }

    /// Publishes what the serving generation holds.
    fn publish(&self, writer: &mut Writer) -> Result<(), IndexError> {
        let segments = writer.log.segments();
        let view = writer.guarded(|writer| writer.serving.publish(&segments))?;
        writer.is_published = true;
        self.catalog
            .store(Arc::clone(&writer.serving.projections.catalog));
        self.current.store(view);
        fault::point("view.published");
        writer.guarded(|writer| {
            if let Some(building) = &mut writer.building {
                building.erase_unseen()?;
            }
            writer.serving.erase_unseen()
        })
    }

    /// The newest published view.
    pub fn view(&self) -> Arc<View> {
        self.current.load_full()
    }

    /// Publishes and writes down all that opening would otherwise have to
    /// replay. Nothing depends on it but the time that the next opening takes.
    pub fn checkpoint(&self) -> Result<(), IndexError> {
        self.writer_at_checkpoint().map(drop)
    }

    /// The writer, with every write so far written down. Published and written
    /// down must be the same: a write between would be said to be on the disk
    /// and be nowhere.
    fn writer_at_checkpoint(&self) -> Result<MutexGuard<'_, Writer>, IndexError> {
        let mut writer = self.published()?;
        writer.checkpoint()?;
        Ok(writer)
    }

    /// Runs `audit` with writing held up, so that log and projections stand
    /// still. The newest view shows every write.
    pub(crate) fn with_writes_held<T>(
        &self,
        audit: impl FnOnce(&Log, &Catalog, &View) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let writer = self.published()?;
        audit(
            &writer.log,
            &writer.serving.projections.catalog,
            &self.view(),
        )
    }

    /// The root of its files, as it stands.
    pub(crate) fn manifest(&self) -> Manifest {
        self.root.manifest()
    }

    /// Whether somebody holds a view. Its files must not be closed then.
    pub(crate) fn is_read(&self) -> bool {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.serving.is_read(&self.view())
    }

    fn maintenance(&self) -> MutexGuard<'_, ()> {
        (self.maintenance.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, IndexError> {
        self.able(self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The writer, if it can still write.
    fn able<'a>(
        &self,
        writer: MutexGuard<'a, Writer>,
    ) -> Result<MutexGuard<'a, Writer>, IndexError> {
        match writer.failure.clone().or_else(|| self.root.failure()) {
            Some(reason) => Err(IndexError::WriterStopped { reason }),
            None => Ok(writer),
        }
    }
}

impl Writer {
    /// Runs a step that must not be half done: if it fails, or panics, the writer
    /// stops.
    fn guarded<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        // This is what a panic leaves behind.
        self.failure = Some("a step of it did not come to its end".to_owned());
        let result = step(self);
        self.failure = result.as_ref().err().map(ToString::to_string);
        result
    }

    /// Whether there is more to be seen than the newest view shows.
    fn is_ahead(&self) -> bool {
        !self.is_published || self.serving.projections.vectors.has_frozen()
    }

    /// Writes down what opening would otherwise have to replay; all of it has
    /// been published.
    fn checkpoint(&mut self) -> Result<(), IndexError> {
        self.guarded(|writer| {
            if let Some(building) = &mut writer.building {
                // Its texts and vectors are written down as a view of it.
                building.publish(&writer.log.segments())?;
                building.checkpoint()?;
            }
            writer.serving.checkpoint()
        })
    }
}

/// Removes what a crash left that the manifest does not name.
fn remove_leftovers(dir: &Path, manifest: &Manifest) -> Result<(), IndexError> {
    remove_strays(&log_dir(dir), manifest)?;
    let named: Vec<_> = (manifest.generations.iter())
        .map(|entry| generation_dir(dir, entry.folder))
        .collect();
    for path in disk::list(&dir.join("generations"))? {
        if !named.contains(&path) {
            remove_dir(&path)?;
        }
    }
    snapshot::remove_unfinished(dir)
}

#[cfg(test)]
pub(crate) mod tests {
    use cento_core::{ByteSpan, Metadata, TextKind};

    use super::*;

    #[test]
    fn a_panic_in_the_middle_of_a_step_stops_the_writer() {
        let dir = tempfile::tempdir().unwrap();
        Engine::create(dir.path(), &CollectionSettings::for_tests()).unwrap();
        let engine = Engine::open(dir.path(), &StoreOptions::default()).unwrap();
        let step = |_: &mut Writer| -> Result<(), IndexError> { panic!("in a library") };
        let panicked = catch_unwind(AssertUnwindSafe(|| engine.writer().unwrap().guarded(step)));
        assert!(panicked.is_err());
        let refused = engine.delete(&[DocumentId::new("a").unwrap()]);
        assert!(
            matches!(refused, Err(IndexError::WriterStopped { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn a_log_of_other_dimensions_is_skipped_and_reported() {
        let dir = tempfile::tempdir().unwrap();
        let settings = CollectionSettings::for_tests();
        Engine::create(dir.path(), &settings).unwrap();
        let engine = Engine::open(dir.path(), &StoreOptions::default()).unwrap();
        let new = new_document("a", "A text.", vec![1.0, 0.0, 0.0]);
        engine.put(engine.view().generation(), vec![new]).unwrap();
        drop(engine);
        // As an archive from elsewhere may have it.
        let mut manifest = Manifest::read_in(dir.path()).unwrap();
        manifest.generations[0].settings.dimensions = 4;
        manifest.write(dir.path()).unwrap();
        remove_dir(&generation_dir(dir.path(), manifest.generations[0].folder)).unwrap();
        let engine = Engine::open(dir.path(), &StoreOptions::default()).unwrap();
        let skipped = &engine.recovery().skipped;
        assert_eq!(skipped.len(), 1, "{skipped:?}");
        assert!(skipped[0].1.contains("3 dimensions, not 4"), "{skipped:?}");
        assert_eq!(engine.view().counts().documents, 0);
        engine.checkpoint().unwrap();
    }

    /// A document of one chunk.
    pub(crate) fn new_document(id: &str, text: &str, vector: Vec<f32>) -> NewDocument {
        NewDocument {
            document: Document {
                id: DocumentId::new(id).unwrap(),
                title: String::new(),
                source: None,
                metadata: Metadata::default(),
                text: text.to_owned(),
                kind: TextKind::Prose,
                content_hash: ContentHash::of([text.as_bytes()]),
            },
            chunks: vec![Chunk {
                span: ByteSpan {
                    start: 0,
                    end: text.len() as u64,
                },
                heading_path: Vec::new(),
                line: 1,
            }],
            vectors: vec![vector],
            condition: Condition::Always,
        }
    }
}
