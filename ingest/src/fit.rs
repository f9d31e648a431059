//! When does a model learn from a collection, and from which of its texts?
//!
//! Some models learn what words mean in a collection
//! ([`Embedder::fit`](cento_embed::Embedder::fit)). They do when there are
//! enough texts, and again when there are twice as many as then, or half. What is
//! learned stands in the log, so that the same view gives the same answers.

use cento_core::Sequence;
use cento_core::chunk::model_input;
use cento_embed::Embedder;
use cento_index::{Engine, StoredChunk, View};
use rayon::prelude::*;

use crate::IngestError;

/// From fewer chunks nothing is learned: it does not pay (decision 0020).
const LEAST: u64 = 20;
/// At most so many chunks are learned from, drawn from all over: enough for words
/// to be weighed, and a second's work.
const MOST: u64 = 20_000;
/// So many are read at once.
const AT_ONCE: usize = 1024;

/// Lets the embedder learn from a collection that it has embedded, if it has not
/// yet, or if the collection has grown to twice the size since, or shrunk to half.
/// Says by which write. What is learned is seen by the next view.
///
/// # Errors
/// Of the engine: if texts cannot be read, or what was learned not be written.
pub fn fit_if_due(
    engine: &Engine,
    embedder: &dyn Embedder,
) -> Result<Option<Sequence>, IngestError> {
    let view = engine.view();
    let chunks = view.counts().chunks;
    let is_due = match view.fitted() {
        None => chunks >= LEAST,
        Some(learned) => chunks >= 2 * learned.chunks || 2 * chunks <= learned.chunks,
    };
    match is_due {
        true => fit(&view, engine, embedder),
        false => Ok(None),
    }
}

/// Lets the embedder learn anew from what stands, where it has learned before:
/// nothing is left then of what it learned from texts that are gone. Without an
/// embedder it is all forgotten.
///
/// # Errors
/// As [`fit_if_due`].
pub fn fit_anew(
    engine: &Engine,
    embedder: Option<&dyn Embedder>,
) -> Result<Option<Sequence>, IngestError> {
    let view = engine.view();
    if view.fitted().is_none() {
        return Ok(None);
    }
    let learned = match embedder {
        Some(embedder) => fit(&view, engine, embedder)?,
        None => None,
    };
    match learned {
        None => Ok(Some(engine.fit(view.generation(), Vec::new())?)),
        learned => Ok(learned),
    }
}

/// The same at the end of an ingestion, with what it shows. The ingestion is done by
/// then: if fitting fails, that is told to the log, and it is due again next time.
pub(crate) fn fit_at_the_end(engine: &Engine, embedder: &dyn Embedder) {
    let fitted = fit_if_due(engine, embedder).and_then(|fitted| {
        if fitted.is_some() {
            engine.refresh()?;
        }
        Ok(())
    });
    if let Err(error) = fitted {
        tracing::warn!(%error, "the model could not be fitted to what was ingested");
    }
}

fn fit(
    view: &View,
    engine: &Engine,
    embedder: &dyn Embedder,
) -> Result<Option<Sequence>, IngestError> {
    if view.settings().embedder != embedder.contract().fingerprint || !embedder.can_fit() {
        return Ok(None);
    }
    let sample = view.sample(None, MOST);
    let texts: Vec<Vec<String>> = sample
        .par_chunks(AT_ONCE)
        .map(|numbers| {
            let chunks = view.chunks(numbers)?;
            Ok::<_, IngestError>(chunks.iter().map(input).collect())
        })
        .collect::<Result<_, _>>()?;
    match embedder.fit(&texts.concat()) {
        Some(artefact) => Ok(Some(engine.fit(view.generation(), artefact)?)),
        None => Ok(None),
    }
}

/// The embedder with what it has learned from a collection by this view; `None` if
/// that is nothing.
///
/// # Errors
/// If it cannot be read, or is not what this embedder has learned.
pub fn fitted(
    view: &View,
    embedder: &dyn Embedder,
) -> Result<Option<Box<dyn Embedder>>, IngestError> {
    match view.artefact()? {
        Some(artefact) if !artefact.is_empty() => Ok(Some(embedder.fitted(artefact)?)),
        _ => Ok(None),
    }
}

/// What the embedder was given for a chunk.
fn input(chunk: &StoredChunk) -> String {
    model_input(&chunk.document.title, &chunk.heading_path, &chunk.text)
}
