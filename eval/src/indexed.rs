//! How does a judged set come into a collection, so that it can be asked?

use std::path::Path;
use std::sync::Arc;

use cento_core::CollectionName;
use cento_embed::Embedder;
use cento_index::{Engine, Store, View};
use cento_ingest::{Chunking, Event, Options, Report, collection_settings, fitted, ingest};
use serde::Serialize;

use crate::{Dataset, EvalError};

/// A set in a collection, ready to be asked.
pub struct Indexed {
    pub(crate) view: Arc<View>,
    pub(crate) embedder: Box<dyn Embedder>,
    /// What stands in the collection.
    pub corpus: CorpusCounts,
    /// Keeps the data directory's lock; dropped last.
    _store: Store,
}

/// How much was indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CorpusCounts {
    /// Documents that can be found.
    pub documents: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Documents of the set with nothing in them: they cannot be found and
    /// count as missed where they are judged.
    pub empty: u64,
    /// How many of the documents stood in the collection already.
    pub unchanged: u64,
}

/// Ingests a set into a collection of the data directory `dir`. The
/// collection's name holds the set's, the hash of its documents, the chunking
/// and the hash of the embedder's fingerprint, so that one directory serves
/// many sets and settings, and what stands in it is used again.
///
/// # Errors
/// A document of the set that cannot be ingested, other than for having no
/// text, and errors of the rooms below.
pub fn index(
    dataset: &Dataset,
    embedder: Box<dyn Embedder>,
    chunking: Chunking,
    filter_by: Option<&str>,
    dir: &Path,
    progress: &mut dyn FnMut(Event<'_>),
) -> Result<Indexed, EvalError> {
    let store = Store::open(dir)?;
    let settings = collection_settings(&*embedder, chunking);
    let name = name(dataset, &settings.embedder, chunking, filter_by)?;
    let mut fill = |engine: &Engine| -> Result<Report, EvalError> {
        let sources = dataset.sources(filter_by)?;
        let options = Options::default();
        Ok(ingest(engine, &*embedder, sources, &options, progress)?)
    };
    let mut engine = if store.collections()?.contains(&name) {
        store.collection(&name)?
    } else {
        store.create(&name, &settings)?
    };
    let mut report = fill(&engine)?;
    // Another version of cento made other documents of the same files. BM25
    // counts replaced documents until their segments are merged, so that a
    // figure would depend on what stood here before.
    if report.replaced > 0 {
        drop(engine);
        store.delete(&name)?;
        engine = store.create(&name, &settings)?;
        report = fill(&engine)?;
    }
    let empty = check(&report)? + dataset.empty_documents() as u64;
    engine.checkpoint()?;
    let view = engine.view();
    let embedder = fitted(&view, &*embedder)?.unwrap_or(embedder);
    let counts = view.counts();
    Ok(Indexed {
        view,
        embedder,
        corpus: CorpusCounts {
            documents: counts.documents,
            chunks: counts.chunks,
            empty,
            unchanged: report.unchanged,
        },
        _store: store,
    })
}

/// How many documents have no text; any other failure would make figures of
/// another set.
fn check(report: &Report) -> Result<u64, EvalError> {
    let is_empty =
        |failure: &&cento_ingest::Failure| failure.code == cento_ingest::ProblemCode::EmptyDocument;
    let empty = report.failures.iter().filter(is_empty).count() as u64;
    let other = report.failures.iter().find(|failure| !is_empty(failure));
    match other {
        Some(first) => Err(EvalError::Corpus {
            count: report.failed - empty,
            first: Box::new(first.clone()),
        }),
        None => Ok(empty),
    }
}

/// The collection's name, the same for the same documents, settings and model.
fn name(
    dataset: &Dataset,
    embedder: &str,
    chunking: Chunking,
    filter_by: Option<&str>,
) -> Result<CollectionName, EvalError> {
    let slug: String = (dataset.name().chars())
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(24)
        .collect();
    let made_by = format!("{embedder}\n{}", filter_by.unwrap_or_default());
    let made_by = blake3::hash(made_by.as_bytes()).to_hex();
    let corpus = dataset.corpus_digest();
    let name = format!(
        "s-{slug}-{}-{chunking}-{}",
        &corpus[..8],
        &made_by.as_str()[..8]
    );
    CollectionName::new(name).map_err(|error| EvalError::Index(error.into()))
}
