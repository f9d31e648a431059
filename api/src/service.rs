//! What can be asked of a data directory?
//!
//! Everything that the HTTP server answers, and the command line where it opens
//! the directory itself, is a method here: synchronous, in the types of
//! [`crate::types`], with every error as a [`Problem`]. The methods do work and
//! wait for disks; the server calls them through its pool only.

mod collections;
mod documents;
mod generations;
mod models;
mod queries;
mod reranking;
mod snapshots;
mod upkeep;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cento_core::CollectionName;
use cento_embed::{Embedder, EmbeddingCache};
use cento_index::{Counts, Engine, IndexError, Store, StoreOptions, View};

pub(crate) use generations::Change;
pub(crate) use models::MISMATCH_HELP;
pub use models::Models;
pub use reranking::open_reranker;
pub use snapshots::Export;

use crate::Problem;
use models::Embedders;
use reranking::Reranking;
use upkeep::Upkeep;

/// Settings of a [`Service`].
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// Which models a collection may be made with.
    pub models: Models,
    /// How many threads queries have for themselves, so that ingestions on the
    /// shared ones do not hold them up; 0 means that they share.
    pub query_threads: usize,
    /// About how many bytes of vectors are kept, so that neural and remote models
    /// embed no text twice; 0 means none.
    pub embedding_cache_bytes: u64,
    /// The model that looks at the best candidates again where a question asks for it:
    /// a folder, an ONNX file, or `URL#MODEL`.
    pub reranker: Option<String>,
    /// How the engine works.
    pub store: StoreOptions,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            models: Models::default(),
            query_threads: 0,
            embedding_cache_bytes: EmbeddingCache::DEFAULT_BYTES,
            reranker: None,
            store: StoreOptions::default(),
        }
    }
}

/// A data directory, owned by this process, with what queries and ingestions
/// need besides.
pub struct Service {
    store: Store,
    embedders: Embedders,
    reranking: Reranking,
    /// Threads for queries alone, if they have some.
    query_threads: Option<rayon::ThreadPool>,
    /// Collections that are being deleted or rebuilt.
    closed: Mutex<HashSet<CollectionName>>,
    /// What is to be done in the background, by collection.
    upkeep: Mutex<BTreeMap<CollectionName, Upkeep>>,
    /// Collections that are being reindexed: by one request at a time.
    reindexed: Mutex<HashSet<CollectionName>>,
}

/// How long a deletion or a rebuild waits for requests under way.
const PATIENCE: Duration = Duration::from_secs(1);

/// A collection in use, as one of its views shows it, with the model that fits
/// that view: a moment later another generation may serve. While it is held,
/// the collection is neither deleted nor rebuilt.
pub(crate) struct Opened {
    name: CollectionName,
    engine: Arc<Engine>,
    view: Arc<View>,
    embedder: Arc<dyn Embedder>,
}

impl Service {
    /// Opens a data directory, creating it if it is not there.
    ///
    /// # Errors
    /// `directory_in_use` if another process owns it.
    pub fn open(dir: &Path, options: ServiceOptions) -> Result<Self, Problem> {
        Self::over(Store::open_with(dir, options.store.clone())?, options)
    }

    /// Opens a data directory that must be there.
    ///
    /// # Errors
    /// `no_data_directory` if it is not, and as [`Service::open`].
    pub fn open_existing(dir: &Path, options: ServiceOptions) -> Result<Self, Problem> {
        let store = Store::open_existing_with(dir, options.store.clone())?;
        Self::over(store, options)
    }

    /// A service over an open data directory.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn over(store: Store, options: ServiceOptions) -> Result<Self, Problem> {
        let threads = match options.query_threads {
            0 => None,
            number => {
                let built = rayon::ThreadPoolBuilder::new()
                    .num_threads(number)
                    .thread_name(|i| format!("query-{i}"))
                    .build();
                Some(built.map_err(|error| Problem::new("internal", 500, error.to_string()))?)
            }
        };
        let cache = EmbeddingCache::of_directory(store.dir(), options.embedding_cache_bytes);
        Ok(Self {
            store,
            embedders: Embedders::new(options.models, cache),
            reranking: Reranking::new(options.reranker),
            query_threads: threads,
            closed: Mutex::default(),
            upkeep: Mutex::default(),
            reindexed: Mutex::default(),
        })
    }

    /// The data directory, for what has no method here.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A collection's engine, for what has no method here. Whoever holds it
    /// keeps the collection from being deleted or rebuilt.
    ///
    /// # Errors
    /// `unknown_collection`, `collection_in_use` while it is being deleted or
    /// rebuilt, and errors of the engine.
    pub fn engine(&self, name: &CollectionName) -> Result<Arc<Engine>, Problem> {
        if self.is_closed(name) {
            return Err(IndexError::CollectionInUse { name: name.clone() }.into());
        }
        let engine = self.store.collection(name)?;
        self.note_opened(name, &engine);
        Ok(engine)
    }

    /// Whether a collection is being deleted or rebuilt.
    fn is_closed(&self, name: &CollectionName) -> bool {
        locked(&self.closed).contains(name)
    }

    pub(crate) fn opened(&self, name: &CollectionName) -> Result<Opened, Problem> {
        let engine = self.engine(name)?;
        let view = engine.view();
        let embedder = self.embedders.of_view(name, &view)?;
        Ok(Opened {
            name: name.clone(),
            engine,
            view,
            embedder,
        })
    }

    /// Does something for which nobody else may hold the collection's engine.
    /// New requests for it are turned away meanwhile, and those under way are
    /// waited for, but not for long.
    fn alone<T>(
        &self,
        name: &CollectionName,
        act: impl Fn() -> Result<T, IndexError>,
    ) -> Result<T, Problem> {
        let in_use = || IndexError::CollectionInUse { name: name.clone() };
        let _closed = Apart::set(&self.closed, name).ok_or_else(in_use)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match act() {
                Err(IndexError::CollectionInUse { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                result => return Ok(result?),
            }
        }
    }

    /// Runs a query's work on the threads that queries have for themselves.
    /// Nothing in it may wait for a lock that other such work holds.
    fn on_query_threads<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.query_threads {
            Some(threads) => threads.install(work),
            None => work(),
        }
    }

    /// The sizes of the collections that are open, as they were last seen.
    pub fn sizes(&self) -> Vec<(CollectionName, Counts)> {
        let upkeep = locked(&self.upkeep);
        let sizes = upkeep
            .iter()
            .map(|(name, upkeep)| (name.clone(), upkeep.counts));
        sizes.collect()
    }
}

/// A collection that is set apart from others while this lives: closed to
/// requests, or to a second reindexing.
struct Apart<'a> {
    all: &'a Mutex<HashSet<CollectionName>>,
    name: &'a CollectionName,
}

impl<'a> Apart<'a> {
    /// Sets it apart, unless it is already.
    fn set(all: &'a Mutex<HashSet<CollectionName>>, name: &'a CollectionName) -> Option<Self> {
        let is_new = locked(all).insert(name.clone());
        is_new.then(|| Self { all, name })
    }
}

impl Drop for Apart<'_> {
    fn drop(&mut self) {
        locked(self.all).remove(self.name);
    }
}

/// Locks; what a panicking thread left behind is still true.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
