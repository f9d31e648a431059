//! How does a command get hold of a collection?

use std::path::Path;
use std::sync::Arc;

use cento_api::Problem;
use cento_core::CollectionName;
use cento_embed::{Bundled, Embedder};
use cento_index::{Engine, Store};
use cento_ingest::{Chunking, collection_settings};

use crate::output;

/// A data directory with one of its collections.
pub(crate) struct Session {
    pub(crate) store: Store,
    pub(crate) name: CollectionName,
    pub(crate) engine: Arc<Engine>,
    pub(crate) embedder: Box<dyn Embedder>,
    /// Whether the collection was made just now.
    pub(crate) is_new: bool,
}

/// Opens a collection that must be there.
pub(crate) fn open(data: &Path, collection: &str) -> Result<Session, Problem> {
    let name = name(collection)?;
    let store = Store::open_existing(data).map_err(|error| Problem::from(&error))?;
    let engine = store
        .collection(&name)
        .map_err(|error| Problem::from(&error))?;
    session(store, name, engine, false)
}

/// Opens a collection, making it and the data directory if they are not there.
pub(crate) fn open_or_create(data: &Path, collection: &str) -> Result<Session, Problem> {
    let name = name(collection)?;
    let store = Store::open(data).map_err(|error| Problem::from(&error))?;
    let known = store.collections().map_err(|error| Problem::from(&error))?;
    if known.contains(&name) {
        let engine = store
            .collection(&name)
            .map_err(|error| Problem::from(&error))?;
        return session(store, name, engine, false);
    }
    let embedder = embedder(Bundled::NAME)?;
    let engine = store
        .create(&name, &collection_settings(&*embedder, Chunking::default()))
        .map_err(|error| Problem::from(&error))?;
    Ok(Session {
        store,
        name,
        engine,
        embedder,
        is_new: true,
    })
}

/// Says what opening had to mend, if anything.
pub(crate) fn tell_recovery(name: &CollectionName, engine: &Engine) {
    let recovery = engine.recovery();
    for projection in &recovery.remade {
        output::note(format_args!(
            "note: the {projection} of '{name}' could not be used and was made anew from the log"
        ));
    }
    if recovery.cut_bytes > 0 {
        output::note(format_args!(
            "note: a write to '{name}' that was never acknowledged was cut off ({})",
            output::bytes(recovery.cut_bytes)
        ));
    }
}

/// Checks a collection's name.
pub(crate) fn name(collection: &str) -> Result<CollectionName, Problem> {
    CollectionName::new(collection).map_err(|error| Problem::from(&error))
}

fn session(
    store: Store,
    name: CollectionName,
    engine: Arc<Engine>,
    is_new: bool,
) -> Result<Session, Problem> {
    tell_recovery(&name, &engine);
    let embedder = embedder(&engine.settings().model)?;
    let expected = &engine.settings().embedder;
    let found = &embedder.contract().fingerprint;
    if expected != found {
        let detail = format!(
            "collection '{name}' was embedded by {expected}, but this program carries {found}"
        );
        return Err(Problem::new("model_mismatch", 409, detail)
            .with_help("use the version of cento that made it, or ingest into a new collection"));
    }
    Ok(Session {
        store,
        name,
        engine,
        embedder,
        is_new,
    })
}

fn embedder(model: &str) -> Result<Box<dyn Embedder>, Problem> {
    cento_embed::open(model).map_err(|error| Problem::from(&error))
}
