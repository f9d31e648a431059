//! Which models may be used, and where are those that are open?

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cento_core::CollectionName;
use cento_embed::{Bundled, Embedder, EmbeddingCache, cached};
use cento_index::{CollectionSettings, FitInfo, View};
use cento_ingest::fitted;

use super::locked;
use crate::Problem;

/// Which models a collection may be made with. A model's name may be a folder,
/// so a server must not take it from a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Models {
    /// Any that can be opened: for the one who owns the machine.
    #[default]
    Any,
    /// The bundled one and these.
    Named(Vec<String>),
}

impl Models {
    pub(super) fn allow(&self, model: &str) -> Result<(), Problem> {
        match self {
            Self::Named(names) if model != Bundled::NAME && !names.iter().any(|n| n == model) => {
                let mut known = vec![Bundled::NAME];
                known.extend(names.iter().map(String::as_str));
                let detail = format!(
                    "this server does not offer a model '{model}'; it offers: {}",
                    known.join(", ")
                );
                Err(Problem::new("model_not_allowed", 422, detail)
                    .with_help("start the server with that model to offer it"))
            }
            _ => Ok(()),
        }
    }
}

/// What to do where a collection's model is not what it was.
pub(crate) const MISMATCH_HELP: &str =
    "`cento reindex` embeds the collection anew; or use the model that made it";

/// The embedders that have been opened, by the name they were asked for.
pub(super) struct Embedders {
    pub(super) models: Models,
    /// Texts that costly ones have embedded before.
    cache: Arc<EmbeddingCache>,
    opened: Mutex<HashMap<String, Slot>>,
    /// The last one fitted to each collection, with what it was fitted by.
    fitted: Mutex<HashMap<CollectionName, Fitted>>,
}

/// Opening a model can take seconds: those who want the same one wait for it,
/// the others do not.
type Slot = Arc<Mutex<Option<Arc<dyn Embedder>>>>;

/// What is learned from one collection takes some megabytes: of so many it is kept,
/// and read again from their logs where there are more.
const MOST_FITTED: usize = 32;

type Fitted = (FitInfo, Arc<dyn Embedder>);

impl Embedders {
    pub(super) fn new(models: Models, cache: EmbeddingCache) -> Self {
        Self {
            models,
            cache: Arc::new(cache),
            opened: Mutex::default(),
            fitted: Mutex::default(),
        }
    }

    /// The embedder for a new collection: the bundled one if none is named.
    ///
    /// # Errors
    /// `model_not_allowed`, and what opening it says.
    pub(super) fn for_new(&self, model: Option<&str>) -> Result<Arc<dyn Embedder>, Problem> {
        let model = model.unwrap_or(Bundled::NAME);
        self.models.allow(model)?;
        self.open(model)
    }

    /// The embedder for a collection that is made anew: of a model that is
    /// offered, or of the one that it has.
    pub(super) fn for_changed(
        &self,
        named: Option<&str>,
        model: &str,
    ) -> Result<Arc<dyn Embedder>, Problem> {
        match named {
            Some(named) if named != model => self.for_new(Some(named)),
            _ => self.open(model),
        }
    }

    /// The embedder that made a collection's vectors.
    ///
    /// # Errors
    /// `model_mismatch` if what is found by its name is another one now.
    pub(super) fn of_settings(
        &self,
        name: &CollectionName,
        settings: &CollectionSettings,
    ) -> Result<Arc<dyn Embedder>, Problem> {
        let embedder = self.open(&settings.model)?;
        let expected = &settings.embedder;
        let found = &embedder.contract().fingerprint;
        if expected == found {
            return Ok(embedder);
        }
        let detail = format!(
            "collection '{name}' was embedded by {expected}, but '{}' is {found} now",
            settings.model
        );
        Err(Problem::new("model_mismatch", 409, detail).with_help(MISMATCH_HELP))
    }

    /// The same for what a view shows, with what it has learned from the collection
    /// by then.
    pub(super) fn of_view(
        &self,
        name: &CollectionName,
        view: &View,
    ) -> Result<Arc<dyn Embedder>, Problem> {
        let plain = self.of_settings(name, view.settings())?;
        let Some(info) = view.fitted() else {
            return Ok(plain);
        };
        if let Some((when, embedder)) = locked(&self.fitted).get(name)
            && *when == info
            && embedder.contract().fingerprint == plain.contract().fingerprint
        {
            return Ok(Arc::clone(embedder));
        }
        let embedder = fitted(view, &*plain)?.map_or(plain, Arc::from);
        let mut kept = locked(&self.fitted);
        if kept.len() >= MOST_FITTED {
            kept.clear();
        }
        kept.insert(name.clone(), (info, Arc::clone(&embedder)));
        Ok(embedder)
    }

    /// Forgets which texts were embedded before, documents' and queries'.
    ///
    /// # Errors
    /// `io_error` if their vectors cannot be removed.
    pub(super) fn forget_texts(&self) -> Result<(), Problem> {
        // Queries are remembered by the models that are open.
        locked(&self.opened).clear();
        locked(&self.fitted).clear();
        self.cache.clear().map_err(|error| {
            let detail = format!("the cache of embeddings cannot be removed: {error}");
            Problem::new("io_error", 500, detail)
        })
    }

    /// Forgets a collection.
    pub(super) fn forget(&self, name: &CollectionName) {
        locked(&self.fitted).remove(name);
    }

    fn open(&self, model: &str) -> Result<Arc<dyn Embedder>, Problem> {
        let slot = Arc::clone(locked(&self.opened).entry(model.to_owned()).or_default());
        let mut slot = locked(&slot);
        if let Some(embedder) = &*slot {
            return Ok(Arc::clone(embedder));
        }
        let embedder = cached(cento_embed::open(model)?, Arc::clone(&self.cache));
        let embedder: Arc<dyn Embedder> = Arc::from(embedder);
        *slot = Some(Arc::clone(&embedder));
        Ok(embedder)
    }
}
