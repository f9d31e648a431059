//! How do documents come into a collection, quickly and in bounded memory?
//!
//! One thread reads, and has each batch parsed, cut and embedded on all
//! processors, while the caller's thread writes the batch before. At no time
//! are there more than two batches.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use cento_core::{CoreError, DocumentId, FieldTypes, GenerationNo, Sequence};
use cento_embed::Embedder;
use cento_index::{CollectionSettings, Engine, Precision, PutOutcome};

use crate::batch::{Batch, make};
use crate::fit::fit_at_the_end;
use crate::problem::{Problem, ProblemCode};
use crate::read::{Raw, Reader};
use crate::seen::Seen;
use crate::walk::{Found, Root, Source, find};
use crate::{Chunking, Event, IngestError, Report};

/// A batch ends with the document that brings it to one of these.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
const BATCH_DOCUMENTS: usize = 256;

/// How long documents may be on disk and not yet be found.
const REFRESH_EVERY: Duration = Duration::from_secs(5);

/// How many documents of the collection are looked at in one go when those
/// that are gone are sought.
const PAGE: usize = 1000;

/// Settings of an ingestion.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The largest document, in bytes of its file or JSONL line.
    pub max_document_bytes: u64,
    /// Folders that are never entered: the data directory, which may lie in a
    /// folder that is ingested.
    pub exclude: Vec<PathBuf>,
    /// Set by another thread to stop after the batch that is being written.
    pub stop: &'a AtomicBool,
    /// Whether the ingestion makes what it writes visible, and fits the embedder's
    /// queries to it where that is due. Where it does not, somebody else does.
    pub refresh: bool,
}

impl Default for Options<'_> {
    /// 32 MiB, nothing excluded, never stopped, refreshed.
    fn default() -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self {
            max_document_bytes: 32 * 1024 * 1024,
            exclude: Vec::new(),
            stop: &NEVER,
            refresh: true,
        }
    }
}

/// Ingests everything that the sources hold, in their order. When it returns,
/// what it has written can be found, unless the options leave that to others.
///
/// A document that cannot be ingested is named in the report and does not end
/// the ingestion.
///
/// # Errors
///
/// A path that is not there, paths without a file, a collection made with
/// another model or chunker, and errors of the engine. What was committed
/// before stays.
pub fn ingest(
    engine: &Engine,
    embedder: &dyn Embedder,
    sources: Vec<Source>,
    options: &Options<'_>,
    progress: &mut dyn FnMut(Event<'_>),
) -> Result<Report, IngestError> {
    let begun = Instant::now();
    let view = engine.view();
    let chunking = check_collection(view.settings(), embedder)?;
    let generation = view.generation();
    drop(view);
    let Found {
        inputs,
        roots,
        unreadable,
        bytes,
    } = find(sources, &options.exclude)?;
    progress(Event::Started {
        files: inputs.len(),
        bytes,
    });
    let mut seen = Seen::default();
    let mut ingestion = Ingestion {
        engine,
        generation,
        report: Report::default(),
        progress,
        refresh: options.refresh,
        refreshed: Instant::now(),
    };
    for (source, failure) in unreadable {
        seen.doubt(&source);
        ingestion.fail(failure);
    }
    let reader = Reader::new(inputs, options.max_document_bytes);
    let end = std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(0);
        let maker = Maker {
            engine,
            embedder,
            chunking,
            stop: options.stop,
        };
        let worker = scope.spawn(move || maker.work(reader, seen, &sender));
        let mut discarded = false;
        let mut outcome = Ok(());
        for batch in receiver {
            discarded = options.stop.load(Ordering::Relaxed);
            if discarded {
                break;
            }
            outcome = batch.and_then(|batch| ingestion.write(batch));
            if outcome.is_err() {
                break;
            }
        }
        // The receiver is gone now, so that the worker ends.
        let end = worker.join().map_err(|_| IngestError::WorkerLost)?;
        outcome.map(|()| end.filter(|_| !discarded))
    })?;
    if options.refresh {
        engine.refresh()?;
    }
    let mut report = ingestion.report;
    match end {
        Some(seen) => report.gone = gone(engine, &roots, &seen)?,
        None => report.interrupted = true,
    }
    if options.refresh && !report.interrupted {
        fit_at_the_end(engine, embedder);
    }
    report.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// The settings of a new collection that this embedder and this chunking can
/// fill.
pub fn collection_settings(embedder: &dyn Embedder, chunking: Chunking) -> CollectionSettings {
    let contract = embedder.contract();
    CollectionSettings {
        model: contract.model.clone(),
        embedder: contract.fingerprint.clone(),
        dimensions: contract.dimensions,
        precision: if contract.is_quantised {
            Precision::I8
        } else {
            Precision::F32
        },
        chunking: chunking.fingerprint().to_owned(),
        fields: FieldTypes::default(),
    }
}

/// Vectors of two models, or chunks of two chunkers, cannot be compared.
pub(crate) fn check_collection(
    expected: &CollectionSettings,
    embedder: &dyn Embedder,
) -> Result<Chunking, IngestError> {
    let found = &embedder.contract().fingerprint;
    if expected.embedder != *found {
        return Err(IngestError::ModelMismatch {
            expected: expected.embedder.clone(),
            found: found.clone(),
        });
    }
    Chunking::of_fingerprint(&expected.chunking)
}

/// The reading side of an ingestion.
struct Maker<'a> {
    engine: &'a Engine,
    embedder: &'a dyn Embedder,
    chunking: Chunking,
    stop: &'a AtomicBool,
}

impl Maker<'_> {
    /// Makes batches until everything is read; returns what was met, or
    /// nothing if it was stopped before.
    fn work(
        &self,
        mut reader: Reader,
        mut seen: Seen,
        batches: &SyncSender<Result<Batch, IngestError>>,
    ) -> Option<Seen> {
        loop {
            let raws = next_batch(&mut reader, self.stop);
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if raws.is_empty() {
                return Some(seen);
            }
            let batch = make(raws, self.engine, self.embedder, self.chunking, &mut seen);
            let failed = batch.is_err();
            // The writer has gone away if it failed or was stopped.
            if batches.send(batch).is_err() || failed {
                return None;
            }
        }
    }
}

fn next_batch(reader: &mut Reader, stop: &AtomicBool) -> Vec<Raw> {
    let mut raws = Vec::new();
    let mut bytes = 0;
    while bytes < BATCH_BYTES && raws.len() < BATCH_DOCUMENTS && !stop.load(Ordering::Relaxed) {
        let Some(raw) = reader.next() else { break };
        bytes += raw.size;
        raws.push(raw);
    }
    raws
}

/// The writing side of an ingestion.
struct Ingestion<'a> {
    engine: &'a Engine,
    /// For which chunks and vectors are made.
    generation: GenerationNo,
    report: Report,
    progress: &'a mut dyn FnMut(Event<'_>),
    refresh: bool,
    refreshed: Instant,
}

impl Ingestion<'_> {
    fn write(&mut self, batch: Batch) -> Result<(), IngestError> {
        let Batch {
            documents,
            places,
            unchanged,
            failures,
            bytes_read,
            embedded,
        } = batch;
        self.report.unchanged += unchanged;
        self.report.bytes_read += bytes_read;
        self.report.embedded += embedded;
        for failure in failures {
            self.fail(failure);
        }
        if !documents.is_empty() {
            let outlines: Vec<(DocumentId, u64)> = documents
                .iter()
                .map(|new| (new.document.id.clone(), new.chunks.len() as u64))
                .collect();
            let outcomes = self.engine.put(self.generation, documents)?;
            let mut ids = Vec::with_capacity(outcomes.len());
            let mut last = Sequence(0);
            for (((id, chunks), (place, replaces)), outcome) in
                outlines.into_iter().zip(places).zip(outcomes)
            {
                match outcome {
                    PutOutcome::Stored(sequence) => {
                        ids.push(id);
                        last = last.max(sequence);
                        self.report.chunks += chunks;
                        self.report.replaced += u64::from(replaces);
                        self.report.added += u64::from(!replaces);
                    }
                    PutOutcome::Refused(error) => self.fail(refusal(&error).at(place.to_string())),
                    PutOutcome::Conflict { found } => {
                        self.fail(conflict(found).at(place.to_string()));
                    }
                }
            }
            if !ids.is_empty() {
                (self.progress)(Event::Committed {
                    ids: &ids,
                    sequence: last,
                });
            }
        }
        if self.refresh && self.refreshed.elapsed() >= REFRESH_EVERY {
            self.engine.refresh()?;
            self.refreshed = Instant::now();
        }
        (self.progress)(Event::Progress(&self.report));
        Ok(())
    }

    fn fail(&mut self, failure: crate::Failure) {
        (self.progress)(Event::Failed(&failure));
        self.report.fail(failure);
    }
}

/// Why a document whose condition does not hold is not written.
fn conflict(found: Option<Sequence>) -> Problem {
    let stands = match found {
        Some(sequence) => format!("the version of write {sequence} stands"),
        None => "there is no such document".to_owned(),
    };
    let message = format!("{stands}: read it again, and decide anew");
    Problem::new(ProblemCode::VersionConflict, message)
}

/// Why the engine refuses a document.
fn refusal(error: &CoreError) -> Problem {
    match error {
        CoreError::FieldTypeConflict { .. } => Problem::new(
            ProblemCode::FieldTypeConflict,
            format!("{error}: change the value, or give the field another name"),
        ),
        _ => Problem::new(ProblemCode::InvalidDocument, error.to_string()),
    }
}

/// The documents of the collection that came from the given paths and are not
/// there any more.
fn gone(engine: &Engine, roots: &[Root], seen: &Seen) -> Result<Vec<DocumentId>, IngestError> {
    let mut gone = Vec::new();
    if roots.is_empty() {
        return Ok(gone);
    }
    let view = engine.view();
    let mut after: Option<DocumentId> = None;
    loop {
        let page = view.documents(after.as_ref(), PAGE)?;
        for document in &page {
            let Some(source) = &document.source else {
                continue;
            };
            if roots.iter().any(|root| root.holds(source))
                && !seen.accounts_for(&document.id, source)
            {
                gone.push(document.id.clone());
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.id.clone()),
            _ => return Ok(gone),
        }
    }
}
