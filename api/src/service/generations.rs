//! How does a collection change its model or its way of cutting?

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cento_core::{CollectionName, GenerationNo, Sequence};
use cento_embed::{Bundled, Embedder};
use cento_index::{CollectionSettings, Engine, GenerationState, IndexError};
use cento_ingest::{Chunking, Estimate, ReindexReport, ReindexStep, estimate, reindex, rollback};

use super::{Apart, Service};
use crate::Problem;
use crate::types::{Generation, GenerationList, Reindex};

/// A change of a collection's configuration that is ready to run: everything
/// that can be wrong with the request has been looked at.
pub(crate) struct Change {
    name: CollectionName,
    engine: Arc<Engine>,
    embedder: Arc<dyn Embedder>,
    to: To,
}

enum To {
    Settings { chunking: Chunking, force: bool },
    Former(GenerationNo),
}

impl Change {
    /// The last write that queries of the collection see.
    pub(crate) fn sequence(&self) -> Sequence {
        self.engine.view().sequence()
    }
}

impl Service {
    /// A collection's configurations.
    ///
    /// # Errors
    /// `unknown_collection`.
    pub fn generations(&self, name: &CollectionName) -> Result<GenerationList, Problem> {
        let found = self.engine(name)?.generations()?.into_iter();
        let generations = found.map(|info| Generation {
            number: info.number,
            state: info.state,
            created: info.created,
            pending: info.pending,
            settings: info.settings,
        });
        Ok(GenerationList {
            generations: generations.collect(),
        })
    }

    /// Gives up a former or a half-built generation.
    ///
    /// # Errors
    /// `unknown_collection`, `unknown_generation`, `generation_serving`.
    pub fn drop_generation(
        &self,
        name: &CollectionName,
        number: GenerationNo,
    ) -> Result<(), Problem> {
        self.engine(name)?.drop_generation(number)?;
        // What was derived for it is dead in the log from now on.
        self.note_written(name);
        Ok(())
    }

    /// What a reindexing will cost.
    ///
    /// # Errors
    /// `unknown_collection`, `model_not_allowed`, and what opening the model
    /// says.
    pub fn estimate(&self, name: &CollectionName, asked: &Reindex) -> Result<Estimate, Problem> {
        let engine = self.engine(name)?;
        let (model, chunking) = wanted(&engine, asked)?;
        let embedder = (self.embedders).for_changed(asked.embedder.as_deref(), &model)?;
        Ok(estimate(&engine, &*embedder, chunking)?)
    }

    /// Embeds and cuts a collection anew while it serves, and switches to that.
    /// A half-built generation is gone on with.
    ///
    /// # Errors
    /// `unknown_collection`, `model_not_allowed`, `nothing_to_change`,
    /// `generation_building` if another one is half built, and `reindexing` if
    /// another request is at it already.
    pub fn reindex(
        &self,
        name: &CollectionName,
        asked: &Reindex,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(ReindexStep<'_>),
    ) -> Result<ReindexReport, Problem> {
        let change = self.prepare_reindex(name, asked)?;
        self.change(&change, stop, progress)
    }

    /// Goes back to a former generation; to the one that served last if none is
    /// named.
    ///
    /// # Errors
    /// `unknown_generation`, `generation_serving`, `model_mismatch` if its
    /// model is not what it was, and as [`Service::reindex`].
    pub fn rollback(
        &self,
        name: &CollectionName,
        number: Option<GenerationNo>,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(ReindexStep<'_>),
    ) -> Result<ReindexReport, Problem> {
        let change = self.prepare_rollback(name, number)?;
        self.change(&change, stop, progress)
    }

    pub(crate) fn prepare_reindex(
        &self,
        name: &CollectionName,
        asked: &Reindex,
    ) -> Result<Change, Problem> {
        let engine = self.engine(name)?;
        let (model, chunking) = wanted(&engine, asked)?;
        let embedder = (self.embedders).for_changed(asked.embedder.as_deref(), &model)?;
        Ok(Change {
            name: name.clone(),
            embedder,
            engine,
            to: To::Settings {
                chunking,
                force: asked.force,
            },
        })
    }

    pub(crate) fn prepare_rollback(
        &self,
        name: &CollectionName,
        number: Option<GenerationNo>,
    ) -> Result<Change, Problem> {
        let engine = self.engine(name)?;
        let generations = engine.generations()?;
        let found = match number {
            Some(number) => generations.iter().find(|info| info.number == number),
            None => (generations.iter()).rfind(|info| info.state == GenerationState::Former),
        };
        let Some(found) = found else {
            let known: Vec<_> = (generations.iter())
                .map(|info| info.number.to_string())
                .collect();
            let known = known.join(", ");
            let number = number.unwrap_or_default();
            return Err(IndexError::UnknownGeneration { number, known }.into());
        };
        let number = found.number;
        if found.state == GenerationState::Serving {
            return Err(IndexError::GenerationServing { number }.into());
        }
        Ok(Change {
            name: name.clone(),
            embedder: self.embedders.of_settings(name, &found.settings)?,
            engine,
            to: To::Former(number),
        })
    }

    pub(crate) fn change(
        &self,
        change: &Change,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(ReindexStep<'_>),
    ) -> Result<ReindexReport, Problem> {
        let Change {
            name,
            engine,
            embedder,
            to,
        } = change;
        let _alone = Apart::set(&self.reindexed, name).ok_or_else(|| reindexing(name))?;
        self.note_written(name);
        let result = match to {
            To::Settings { chunking, force } => {
                // What a remote model says under its name may be another model's now.
                if *force && embedder.is_costly() {
                    self.embedders.forget_texts()?;
                }
                reindex(engine, &**embedder, *chunking, *force, stop, progress)
            }
            To::Former(number) => rollback(engine, &**embedder, *number, stop, progress),
        };
        self.note_written(name);
        Ok(result?)
    }
}

/// What a second request is told. The first may take hours, so asking again in
/// a second would not help.
fn reindexing(name: &CollectionName) -> Problem {
    let detail = format!("collection '{name}' is being reindexed by another request already");
    Problem::new("reindexing", 409, detail)
        .with_help("`cento generation list` says how many documents are still pending")
}

/// The model that the collection has, and the chunking that is wanted: what is
/// not said is as in the half-built generation, which is gone on with, or else
/// as it is. The bundled model of an earlier version is followed by this one's.
fn wanted(engine: &Engine, asked: &Reindex) -> Result<(String, Chunking), Problem> {
    let generations = engine.generations()?;
    let building = (generations.into_iter()).find(|info| info.state == GenerationState::Building);
    let base: CollectionSettings = match building {
        Some(info) => info.settings,
        None => (*engine.settings()).clone(),
    };
    // A chunker that is not in this program is followed by the usual one.
    let as_it_is = || Chunking::of_fingerprint(&base.chunking).unwrap_or_default();
    let chunking = asked.chunking.unwrap_or_else(as_it_is);
    let model = match Bundled::FORMER.contains(&base.model.as_str()) {
        true => Bundled::NAME.to_owned(),
        false => base.model,
    };
    Ok((model, chunking))
}
