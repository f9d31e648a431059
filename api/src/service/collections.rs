//! How are collections made, shown and deleted?

use cento_core::{CollectionName, FieldTypes};
use cento_index::Engine;
use cento_ingest::collection_settings;

use super::Service;
use crate::Problem;
use crate::types::{
    CollectionInfo, CollectionList, CollectionSummary, FittedTo, NewCollection, UnusableCollection,
};

impl Service {
    /// Makes a collection.
    ///
    /// # Errors
    /// `collection_exists`, `model_not_allowed`, `unknown_model`, and
    /// `invalid_metadata` for a field that no document could have.
    pub fn create_collection(&self, new: &NewCollection) -> Result<CollectionInfo, Problem> {
        let mut fields = FieldTypes::default();
        for (field, kind) in &new.fields {
            fields.add(field.clone(), *kind)?;
        }
        let embedder = self.embedders.for_new(new.embedder.as_deref())?;
        let mut settings = collection_settings(&*embedder, new.chunking);
        settings.fields = fields;
        let engine = self.store.create(&new.name, &settings)?;
        self.note_opened(&new.name, &engine);
        Ok(info(&new.name, &engine))
    }

    /// Makes a collection unless it is there; says whether it was made.
    ///
    /// # Errors
    /// As [`Service::create_collection`].
    pub fn ensure_collection(&self, new: &NewCollection) -> Result<bool, Problem> {
        if self.store.collections()?.contains(&new.name) {
            return Ok(false);
        }
        self.create_collection(new).map(|_| true)
    }

    /// All collections. One that cannot be opened does not hide the others.
    pub fn collections(&self) -> Result<CollectionList, Problem> {
        let mut list = CollectionList {
            collections: Vec::new(),
            unusable: Vec::new(),
        };
        for name in self.store.collections()? {
            match self.engine(&name) {
                Ok(engine) => {
                    let counts = engine.view().counts();
                    list.collections.push(CollectionSummary {
                        name,
                        documents: counts.documents,
                        chunks: counts.chunks,
                    });
                }
                // Deleted since the names were read.
                Err(problem) if problem.code == "unknown_collection" => {}
                Err(problem) => {
                    tracing::warn!(collection = %name, %problem, "a collection cannot be listed");
                    let code = problem.code.into_owned();
                    list.unusable.push(UnusableCollection { name, code });
                }
            }
        }
        Ok(list)
    }

    /// One collection.
    ///
    /// # Errors
    /// `unknown_collection`.
    pub fn collection(&self, name: &CollectionName) -> Result<CollectionInfo, Problem> {
        Ok(info(name, &*self.engine(name)?))
    }

    /// Deletes a collection and everything in it.
    ///
    /// # Errors
    /// `unknown_collection`; `collection_in_use` if a request is under way that
    /// does not end soon, such as an ingestion.
    pub fn delete_collection(&self, name: &CollectionName) -> Result<(), Problem> {
        self.alone(name, || self.store.delete(name))?;
        self.note_closed(name);
        self.embedders.forget(name);
        Ok(())
    }

    /// Deletes a collection that was never written to, such as one made for an
    /// ingestion that brought nothing; says whether it was.
    ///
    /// # Errors
    /// As [`Service::delete_collection`].
    pub fn withdraw_if_empty(&self, name: &CollectionName) -> Result<bool, Problem> {
        // Not the view at hand: it may be older than what was acknowledged. An
        // engine that cannot tell has written something.
        let is_empty = (self.engine(name)?.refresh()).is_ok_and(|view| view.sequence().0 == 0);
        if is_empty {
            self.delete_collection(name)?;
        }
        Ok(is_empty)
    }
}

pub(super) fn info(name: &CollectionName, engine: &Engine) -> CollectionInfo {
    let view = engine.view();
    let counts = view.counts();
    CollectionInfo {
        name: name.clone(),
        documents: counts.documents,
        chunks: counts.chunks,
        generation: view.generation(),
        sequence: view.sequence(),
        fitted: view.fitted().map(|info| FittedTo {
            sequence: info.sequence,
            chunks: info.chunks,
        }),
        fields: view.fields().clone(),
        settings: (**view.settings()).clone(),
    }
}
