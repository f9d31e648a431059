//! How does a collection come to another model, or another way of cutting,
//! while it serves?
//!
//! One tailer builds another generation beside the serving one: it takes
//! documents that are pending there, cuts and embeds them as an ingestion would,
//! and hands the chunks and vectors in. New writes are pending, too, so it runs
//! behind them until little is left; that little is derived while writers wait,
//! for a bounded time, and the generation is switched to. Going back to a former
//! generation is the same way, with only what came in since to derive.
//!
//! A reindexing that is stopped, or killed, leaves a half-built generation; the
//! next one with the same settings goes on with it.

mod estimate;
mod nearness;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cento_core::{Document, GenerationNo};
use cento_embed::Embedder;
use cento_index::{CollectionSettings, DerivedDocument, Engine, PendingDocument};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use estimate::{Estimate, estimate};

use crate::fit::fit_at_the_end;
use crate::pipeline::{check_collection, collection_settings};
use crate::prepare::{Prepared, cut_again, guarded};
use crate::{Chunking, Failure, IngestError};
use nearness::Nearness;

/// A batch has about so many bytes of text, at least and at most: as many as
/// take about [`BATCH_TIME`], so that a stop is soon heard with a slow model.
const BATCH_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=4 << 20;
const BATCH_TIME: Duration = Duration::from_secs(1);

/// While writers wait, so many documents are derived before the time is looked
/// at: few enough for the slowest model, enough to keep all processors busy.
const LOCKED_DOCUMENTS: usize = 8;

/// How long what was derived may have to be replayed after a crash.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// What a reindexing did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReindexReport {
    /// The generation that was built.
    pub generation: GenerationNo,
    /// Documents that were cut and embedded.
    pub documents: u64,
    /// Their chunks.
    pub chunks: u64,
    /// How many texts of chunks the model embedded: those of the others were known
    /// from before.
    #[serde(default)]
    pub embedded: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// Whether it was stopped before its end. Then the former generation still
    /// serves, and the same reindexing goes on where this one ended.
    pub interrupted: bool,
    /// Documents that the chunker could not cut, and why: each is one chunk in
    /// the new generation. The first 100,000.
    pub whole: Vec<Failure>,
}

/// The most documents that a report lists as uncut.
const MAX_LISTED: usize = 100_000;

/// What happens during a reindexing.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReindexStep<'a> {
    /// It begins, or goes on.
    Started {
        /// The generation that is built.
        generation: GenerationNo,
        /// Documents that it has not derived yet.
        pending: u64,
    },
    /// A batch is done.
    Progress {
        /// What was done so far.
        report: &'a ReindexReport,
        /// About how many documents are left; more may come in.
        pending: u64,
    },
    /// The chunker could not cut a document, which becomes one chunk.
    Whole(&'a Failure),
}

/// Builds a generation with this embedder and this chunking, and switches to it.
///
/// With `force` also where the serving generation has the same settings.
///
/// # Errors
/// [`IngestError::NothingToChange`]; [`GenerationBuilding`] if another one is half built; errors of the embedder and the engine. After an
/// error the former generation serves, and the half-built one is kept.
///
/// [`GenerationBuilding`]: cento_index::IndexError::GenerationBuilding
pub fn reindex(
    engine: &Engine,
    embedder: &dyn Embedder,
    chunking: Chunking,
    force: bool,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(ReindexStep<'_>),
) -> Result<ReindexReport, IngestError> {
    let settings = target(engine, embedder, chunking);
    if !force && settings == *engine.settings() {
        return Err(IngestError::NothingToChange {
            model: settings.model,
            chunking: settings.chunking,
        });
    }
    let generation = engine.begin_generation(&settings)?;
    follow(engine, embedder, chunking, generation, stop, progress)
}

/// Goes back to a former generation, whose embedder this is: brings it to the
/// end of the log and switches to it.
///
/// # Errors
/// [`UnknownGeneration`]; [`GenerationServing`];
/// [`IngestError::ModelMismatch`] if it was built with another embedder; and as
/// [`reindex`].
///
/// [`UnknownGeneration`]: cento_index::IndexError::UnknownGeneration
/// [`GenerationServing`]: cento_index::IndexError::GenerationServing
pub fn rollback(
    engine: &Engine,
    embedder: &dyn Embedder,
    generation: GenerationNo,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(ReindexStep<'_>),
) -> Result<ReindexReport, IngestError> {
    let generations = engine.generations()?;
    let chunking = match generations.iter().find(|info| info.number == generation) {
        Some(info) => check_collection(&info.settings, embedder)?,
        // Refused by the engine, which says what there is.
        None => Chunking::default(),
    };
    engine.resume_generation(generation)?;
    follow(engine, embedder, chunking, generation, stop, progress)
}

/// The settings that a reindexing of this collection builds.
fn target(engine: &Engine, embedder: &dyn Embedder, chunking: Chunking) -> CollectionSettings {
    CollectionSettings {
        fields: engine.settings().fields.clone(),
        ..collection_settings(embedder, chunking)
    }
}

fn follow(
    engine: &Engine,
    embedder: &dyn Embedder,
    chunking: Chunking,
    generation: GenerationNo,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(ReindexStep<'_>),
) -> Result<ReindexReport, IngestError> {
    let begun = Instant::now();
    let mut tailer = Tailer {
        embedder,
        chunking,
        stop,
        progress,
        report: ReindexReport {
            generation,
            ..ReindexReport::default()
        },
    };
    let done = tailer.run(engine)?;
    tailer.report.interrupted = !done;
    if done {
        fit_at_the_end(engine, embedder);
    }
    tailer.report.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(tailer.report)
}

/// Follows the log with one generation.
struct Tailer<'a> {
    embedder: &'a dyn Embedder,
    chunking: Chunking,
    stop: &'a AtomicBool,
    progress: &'a mut dyn FnMut(ReindexStep<'_>),
    report: ReindexReport,
}

impl Tailer<'_> {
    /// Derives what is pending and switches; says whether it came to its end.
    fn run(&mut self, engine: &Engine) -> Result<bool, IngestError> {
        let generation = self.report.generation;
        let pending = engine.pending_count(generation)?;
        (self.progress)(ReindexStep::Started {
            generation,
            pending,
        });
        let mut bytes = *BATCH_BYTES.start();
        let mut nearness = Nearness::new(pending);
        let mut checkpointed = Instant::now();
        loop {
            if self.is_stopped() {
                return Ok(false);
            }
            if nearness.is_near() {
                let (begun, before) = (Instant::now(), self.report.documents);
                let left = self.switch(engine, nearness.locked_time())?;
                if left == 0 {
                    return Ok(true);
                }
                nearness.note_batch(self.report.documents - before, begun.elapsed());
                nearness.note_count(left);
                if self.is_stopped() {
                    continue;
                }
            }
            let begun = Instant::now();
            let batch = engine.pending(generation, bytes)?;
            let taken = batch.len() as u64;
            if taken > 0 {
                let derived = self.derive(batch)?;
                engine.derive(generation, derived)?;
            }
            let took = begun.elapsed();
            bytes = match took {
                took if took < BATCH_TIME / 2 => bytes * 2,
                took if took > BATCH_TIME => bytes / 2,
                _ => bytes,
            }
            .clamp(*BATCH_BYTES.start(), *BATCH_BYTES.end());
            nearness.note_batch(taken, took);
            if nearness.is_count_due() {
                nearness.note_count(engine.pending_count(generation)?);
            }
            self.tell(nearness.pending());
            if checkpointed.elapsed() >= CHECKPOINT_EVERY {
                engine.checkpoint()?;
                checkpointed = Instant::now();
            }
        }
    }

    /// Switches, deriving what is left while writers wait, for about so long at
    /// most. Says how many are left if that was not enough, or if it was stopped.
    fn switch(&mut self, engine: &Engine, locked_time: Duration) -> Result<u64, IngestError> {
        let generation = self.report.generation;
        let mut failure = None;
        // Waiting for the lock holds nobody up, so the first call begins it.
        let mut begun = None;
        let mut last = |pending: Vec<PendingDocument>| {
            let begun = *begun.get_or_insert_with(Instant::now);
            let mut pending = pending.into_iter().peekable();
            let mut all = Vec::with_capacity(pending.len());
            while pending.peek().is_some()
                && failure.is_none()
                && !self.is_stopped()
                && begun.elapsed() < locked_time
            {
                match self.derive(pending.by_ref().take(LOCKED_DOCUMENTS).collect()) {
                    Ok(derived) => all.extend(derived),
                    Err(IngestError::Index(error)) => return Err(error),
                    Err(error) => failure = Some(error),
                }
            }
            Ok(all)
        };
        let left = engine.switch(generation, Some(&mut last))?;
        match failure {
            Some(error) => Err(error),
            None => Ok(left),
        }
    }

    /// Cuts and embeds documents.
    fn derive(&mut self, batch: Vec<PendingDocument>) -> Result<Vec<DerivedDocument>, IngestError> {
        let chunking = self.chunking;
        let cut: Vec<_> = (batch.into_par_iter())
            .map(|pending| (pending.sequence, cut(pending.document, chunking)))
            .collect();
        let mut prepared = Vec::with_capacity(cut.len());
        for (sequence, (document, failure)) in cut {
            if let Some(failure) = failure {
                (self.progress)(ReindexStep::Whole(&failure));
                if self.report.whole.len() < MAX_LISTED {
                    self.report.whole.push(failure);
                }
            }
            prepared.push((sequence, document));
        }
        let inputs: Vec<String> = (prepared.par_iter())
            .flat_map_iter(|(_, prepared)| prepared.embedding_inputs())
            .collect();
        let recalled = self.embedder.embed_or_recall(&inputs)?;
        let mut vectors = recalled.vectors.into_iter();
        self.report.embedded += recalled.embedded as u64;
        self.report.documents += prepared.len() as u64;
        self.report.chunks += inputs.len() as u64;
        let derived = prepared.into_iter().map(|(sequence, prepared)| {
            let Prepared { document, chunks } = prepared;
            DerivedDocument {
                vectors: vectors.by_ref().take(chunks.len()).collect(),
                pending: PendingDocument { sequence, document },
                chunks,
            }
        });
        Ok(derived.collect())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn tell(&mut self, pending: u64) {
        (self.progress)(ReindexStep::Progress {
            report: &self.report,
            pending,
        });
    }
}

/// Cuts a document. One that the chunker cannot cut any more becomes one chunk,
/// so that it is still found and holds nobody up; the reason comes with it.
pub(crate) fn cut(document: Document, chunking: Chunking) -> (Prepared, Option<Failure>) {
    let kept = document.clone();
    match guarded(|| cut_again(document, chunking)) {
        Ok(prepared) => (prepared, None),
        Err(problem) => {
            let place = kept.id.as_str().to_owned();
            let chunks = Chunking::uncut(&kept.text);
            let whole = Prepared {
                document: kept,
                chunks,
            };
            (whole, Some(problem.at(place)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cento_core::{ContentHash, DocumentId, Metadata, TextKind};

    #[test]
    fn a_document_that_cannot_be_cut_is_one_chunk_and_told() {
        let document = Document {
            id: DocumentId::new("blank").expect("an id"),
            title: String::new(),
            source: None,
            metadata: Metadata::default(),
            content_hash: ContentHash::of([b"x".as_slice()]),
            text: " \n\t".to_owned(),
            kind: TextKind::Plain,
        };
        let (prepared, failure) = cut(document, Chunking::default());
        assert_eq!(prepared.chunks.len(), 1);
        assert_eq!(prepared.chunks[0].span.end, 3);
        assert_eq!(failure.expect("told").place, "blank");
    }
}
