//! How does a collection change its model or its chunking while it serves?
//!
//! Another generation is begun beside the serving one. It follows the log like
//! any other; documents that were put for the serving one are pending in it
//! until somebody derives them: cuts and embeds them, and hands the chunks and
//! vectors in. When none is pending any more, it is switched to under the
//! writer's lock. The former one is kept as it stands; going back to it is the
//! same way again, with only the documents to derive that came in since.

use std::path::PathBuf;
use std::sync::Arc;

use cento_core::{Chunk, ChunkNo, Document, DocumentId, GenerationNo, Sequence};

use super::write::{Next, Outcome, Request, Underivable, derive, mixed_up};
use super::{Engine, Follow, OpenGeneration, Writer};
use crate::catalog::Pending;
use crate::disk::{create_dir, remove_dir};
use crate::log::Segments;
use crate::log_record::{Change, Derivation, Derive};
use crate::manifest::{GenerationEntry, GenerationState};
use crate::projections::{Recovery, generation_dir, read_put};
use crate::{CollectionSettings, IndexError, fault};

/// A configuration of a collection, as its manifest has it.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationInfo {
    /// Its number.
    pub number: GenerationNo,
    /// What it is for.
    pub state: GenerationState,
    /// When it was begun, in seconds since 1970.
    pub created: u64,
    /// Its configuration.
    pub settings: CollectionSettings,
    /// Documents that it has not derived yet. `None` for a former generation:
    /// it is not followed.
    pub pending: Option<u64>,
}

/// A document that a generation has not derived yet.
#[derive(Debug, Clone)]
pub struct PendingDocument {
    /// The write that put it.
    pub sequence: Sequence,
    /// The document.
    pub document: Document,
}

impl PendingDocument {
    fn read(segments: &Segments, row: &Pending) -> Result<Self, IndexError> {
        Ok(Self {
            sequence: row.document.sequence,
            document: read_put(segments, &row.document)?.into_document(),
        })
    }
}

/// What was derived from one.
#[derive(Debug, Clone)]
pub struct DerivedDocument {
    /// From which.
    pub pending: PendingDocument,
    /// Its chunks: at least one, in order, apart.
    pub chunks: Vec<Chunk>,
    /// One vector a chunk, of unit length or all zeros.
    pub vectors: Vec<Vec<f32>>,
}

/// A derivation that is ready but for its numbers.
pub(super) struct Ready {
    of: Sequence,
    id: DocumentId,
    derivation: Derivation,
}

impl Ready {
    pub(super) fn id(&self) -> &DocumentId {
        &self.id
    }
}

impl Engine {
    /// The configurations of this collection, oldest first.
    pub fn generations(&self) -> Result<Vec<GenerationInfo>, IndexError> {
        let writer = self.writer()?;
        let entries = self.root.manifest().generations;
        Ok(entries
            .into_iter()
            .map(|entry| {
                let open = [Some(&writer.serving), writer.building.as_ref()];
                let open = open
                    .into_iter()
                    .flatten()
                    .find(|g| g.number == entry.number);
                GenerationInfo {
                    number: entry.number,
                    state: entry.state,
                    created: entry.created,
                    pending: open.map(|open| open.projections.catalog.pending_count()),
                    settings: entry.settings,
                }
            })
            .collect())
    }

    /// Begins another generation beside the serving one. If one with the same
    /// settings is being built already, as after a crash, that one goes on.
    ///
    /// # Errors
    /// [`IndexError::GenerationBuilding`] if another one is being built.
    pub fn begin_generation(
        &self,
        settings: &CollectionSettings,
    ) -> Result<GenerationNo, IndexError> {
        let _alone = self.maintenance();
        let mut settings = settings.clone();
        let fields = {
            let writer = self.writer()?;
            settings.fields = writer.serving.settings.fields.clone();
            writer.serving.projections.state.fields.clone()
        };
        if let Some(building) = self.root.manifest().building() {
            let number = building.number;
            if building.settings != settings {
                return Err(IndexError::GenerationBuilding { number });
            }
            self.open_building(number)?;
            return Ok(number);
        }
        let number = self.root.update(|manifest| {
            let number = manifest.add_generation(&settings, GenerationState::Building);
            // A field's type is the collection's: one that only values have fixed
            // must not be another in a generation that has not met them.
            if let Some(entry) = manifest.generation_mut(number) {
                entry.fields = fields;
            }
            number
        })?;
        fault::point("generation.begun");
        self.open_building(number).inspect_err(|_| {
            // It would be gone on with otherwise, or keep others from beginning.
            let _ = self.give_up(number);
        })?;
        Ok(number)
    }

    /// Takes a former generation up again, to go back to it: it is brought to
    /// the log's end, and what came in since it served is pending in it.
    ///
    /// # Errors
    /// [`IndexError::UnknownGeneration`]; [`IndexError::GenerationBuilding`] if
    /// another one is being built.
    pub fn resume_generation(&self, number: GenerationNo) -> Result<(), IndexError> {
        let _alone = self.maintenance();
        drop(self.writer()?);
        match self.root.manifest().building() {
            Some(building) if building.number == number => return self.open_building(number),
            Some(building) => {
                return Err(IndexError::GenerationBuilding {
                    number: building.number,
                });
            }
            None => {}
        }
        let entry = self.entry(number)?;
        if entry.state == GenerationState::Serving {
            return Err(IndexError::GenerationServing { number });
        }
        self.note_state(number, GenerationState::Building)?;
        fault::point("generation.resumed");
        self.open_building(number).inspect_err(|_| {
            let _ = self.note_state(number, entry.state);
        })
    }

    fn note_state(&self, number: GenerationNo, state: GenerationState) -> Result<(), IndexError> {
        self.root.update(|manifest| {
            if let Some(entry) = manifest.generation_mut(number) {
                entry.state = state;
            }
        })
    }

    /// Documents that the generation being built has not derived yet, oldest
    /// first, of about so many bytes and at least one if there is any.
    pub fn pending(
        &self,
        generation: GenerationNo,
        bytes: u64,
    ) -> Result<Vec<PendingDocument>, IndexError> {
        const AT_MOST: usize = 1024;
        let (rows, segments) = {
            let writer = self.writer()?;
            let building = writer.building(generation)?;
            let rows = building.projections.catalog.pending(AT_MOST)?;
            (rows, writer.log.segments())
        };
        let mut found = Vec::new();
        let mut taken = 0;
        for row in rows {
            if taken >= bytes && !found.is_empty() {
                break;
            }
            let pending = PendingDocument::read(&segments, &row)?;
            taken += pending.document.text.len() as u64;
            found.push(pending);
        }
        Ok(found)
    }

    /// How many documents the generation being built has not derived yet.
    pub fn pending_count(&self, generation: GenerationNo) -> Result<u64, IndexError> {
        let writer = self.writer()?;
        let building = writer.building(generation)?;
        Ok(building.projections.catalog.pending_count())
    }

    /// Hands in what was derived for the generation being built. What was
    /// replaced or deleted meanwhile is passed over. Durable when it returns.
    ///
    /// # Errors
    /// [`IndexError::Invalid`] if chunks and vectors are not those of their
    /// text; then nothing of the batch was written.
    pub fn derive(
        &self,
        generation: GenerationNo,
        batch: Vec<DerivedDocument>,
    ) -> Result<(), IndexError> {
        let settings = {
            let writer = self.writer()?;
            Arc::clone(&writer.building(generation)?.settings)
        };
        let ready = batch
            .into_iter()
            .map(|derived| make_ready(derived, generation, &settings))
            .collect::<Result<_, _>>()?;
        match self.submit(Request::Derive { generation, ready })? {
            Outcome::Derive => Ok(()),
            _ => Err(mixed_up()),
        }
    }

    /// Lets the generation being built serve, if it has derived everything;
    /// otherwise says how many documents are pending. With `last` those are
    /// derived under the writer's lock, so that no write can come between:
    /// writers wait meanwhile.
    ///
    /// The one that has served is kept, as many of them as the store's options
    /// say.
    pub fn switch(
        &self,
        generation: GenerationNo,
        last: Option<&mut DeriveLast<'_>>,
    ) -> Result<u64, IndexError> {
        let _alone = self.maintenance();
        let mut writer = self.writer()?;
        if let Some(derive) = last {
            loop {
                let building = writer.building(generation)?;
                let rows = building.projections.catalog.pending(64)?;
                if rows.is_empty() {
                    break;
                }
                let settings = Arc::clone(&building.settings);
                let segments = writer.log.segments();
                let pending = rows.iter().map(|row| PendingDocument::read(&segments, row));
                let pending = pending.collect::<Result<Vec<_>, _>>()?;
                let derived = derive(pending)?;
                let ready = (derived.into_iter())
                    .map(|derived| make_ready(derived, generation, &settings))
                    .collect::<Result<Vec<_>, _>>()?;
                if ready.is_empty() {
                    break;
                }
                let mut next = writer.next();
                writer.derive(generation, ready, &mut next)?;
                writer.write(next.records)?;
            }
        }
        let pending = (writer.building(generation)?.projections.catalog).pending_count();
        if pending > 0 {
            return Ok(pending);
        }
        self.switch_now(&mut writer, generation)?;
        Ok(0)
    }

    fn switch_now(&self, writer: &mut Writer, generation: GenerationNo) -> Result<(), IndexError> {
        let left_at = writer.serving.projections.applied().sequence;
        let former = writer.serving.number;
        let kept = self.options.former_generations;
        // What both hold is written down first, so that opening is quick.
        self.publish(writer)?;
        writer.checkpoint()?;
        fault::point("generation.before_switch");
        let serving = &writer.serving;
        let dropped = self.root.update(|manifest| {
            // It is not followed any more, and compaction goes on.
            serving.note_in(manifest);
            for entry in &mut manifest.generations {
                if entry.number == generation {
                    entry.state = GenerationState::Serving;
                    entry.left_at = None;
                } else if entry.number == former {
                    entry.state = GenerationState::Former;
                    entry.left_at = Some(left_at);
                }
            }
            let formers = (manifest.generations.iter())
                .filter(|entry| entry.state == GenerationState::Former);
            let mut formers: Vec<_> = formers.map(|e| (e.left_at, e.number)).collect();
            formers.sort_unstable();
            formers.truncate(formers.len().saturating_sub(kept));
            let is_dropped = |number| formers.iter().any(|(_, dropped)| *dropped == number);
            manifest.give_up(|entry| is_dropped(entry.number))
        })?;
        fault::point("generation.switched");
        if let Some(building) = writer.building.take() {
            writer.serving = building;
        }
        self.publish(writer)?;
        for entry in dropped {
            // Leftovers go when the collection is opened again.
            let _ = remove_dir(&self.generation_dir(entry.folder));
        }
        fault::point("generation.dropped");
        Ok(())
    }

    /// Gives a generation up that is not serving, and removes what it holds.
    ///
    /// # Errors
    /// [`IndexError::UnknownGeneration`], [`IndexError::GenerationServing`].
    pub fn drop_generation(&self, number: GenerationNo) -> Result<(), IndexError> {
        let _alone = self.maintenance();
        drop(self.writer()?);
        if self.entry(number)?.state == GenerationState::Serving {
            return Err(IndexError::GenerationServing { number });
        }
        self.give_up(number)
    }

    fn give_up(&self, number: GenerationNo) -> Result<(), IndexError> {
        let mut writer = self.writer()?;
        let entry = self.entry(number)?;
        (self.root).update(|manifest| manifest.give_up(|entry| entry.number == number))?;
        if writer.building.as_ref().is_some_and(|b| b.number == number) {
            writer.building = None;
        }
        fault::point("generation.given_up");
        remove_dir(&self.generation_dir(entry.folder))
    }

    /// Opens the generation that the manifest says is being built, unless it is
    /// open. Most of the log it follows beside writes, the rest between two.
    fn open_building(&self, number: GenerationNo) -> Result<(), IndexError> {
        let log = {
            let writer = self.writer()?;
            if writer.building.is_some() {
                return Ok(());
            }
            Arc::clone(&writer.log)
        };
        let entry = self.entry(number)?;
        create_dir(&self.generation_dir(entry.folder))?;
        let mut recovery = Recovery::default();
        let mut building = OpenGeneration::open(
            self.root.dir(),
            &entry,
            &self.root.manifest(),
            &log,
            &Follow::Scan,
            &self.options,
            &mut recovery,
        )?;
        fault::point("generation.opened");
        let mut writer = self.writer()?;
        building.follow(&writer.log, &Follow::Scan)?;
        writer.building = Some(building);
        Ok(())
    }

    fn entry(&self, number: GenerationNo) -> Result<GenerationEntry, IndexError> {
        let manifest = self.root.manifest();
        let found = manifest.generation(number).cloned();
        found.ok_or_else(|| IndexError::UnknownGeneration {
            number,
            known: (manifest.generations.iter())
                .map(|entry| entry.number.to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    pub(super) fn generation_dir(&self, folder: u64) -> PathBuf {
        generation_dir(self.root.dir(), folder)
    }
}

/// Derives documents while writers wait.
pub type DeriveLast<'a> =
    dyn FnMut(Vec<PendingDocument>) -> Result<Vec<DerivedDocument>, IndexError> + 'a;

/// Makes a derivation ready for the log.
fn make_ready(
    derived: DerivedDocument,
    generation: GenerationNo,
    settings: &CollectionSettings,
) -> Result<Ready, IndexError> {
    let DerivedDocument {
        pending: PendingDocument { sequence, document },
        chunks,
        vectors,
    } = derived;
    let derivation = derive(&document.text, &chunks, &vectors, generation, settings);
    let derivation = derivation.map_err(|error| match error {
        Underivable::Chunks(error) => error,
        Underivable::Wrong(reason) => cento_core::CoreError::Document {
            id: document.id.clone(),
            reason,
        },
    })?;
    Ok(Ready {
        of: sequence,
        id: document.id,
        derivation,
    })
}

impl Writer {
    /// Refuses what cannot be done beside the building of a generation.
    pub(super) fn expect_none_building(&self) -> Result<(), IndexError> {
        match &self.building {
            Some(OpenGeneration { number, .. }) => {
                Err(IndexError::GenerationBuilding { number: *number })
            }
            None => Ok(()),
        }
    }

    /// The generation being built, if it is this one.
    fn building(&self, number: GenerationNo) -> Result<&OpenGeneration, IndexError> {
        let building = self.building.as_ref().filter(|open| open.number == number);
        building.ok_or_else(|| IndexError::UnknownGeneration {
            number,
            known: match &self.building {
                Some(open) => format!("{} is being built", open.number),
                None => "none is being built".to_owned(),
            },
        })
    }

    /// Adds the records of derivations that are still wanted.
    pub(super) fn derive(
        &self,
        generation: GenerationNo,
        ready: Vec<Ready>,
        next: &mut Next,
    ) -> Result<(), IndexError> {
        let building = self.building(generation)?;
        let catalog = &building.projections.catalog;
        // The generation's own count; records of one group are for one only.
        let mut chunk = next
            .given
            .derived_chunk
            .unwrap_or(building.projections.state.next_chunk);
        for Ready {
            of,
            id,
            mut derivation,
        } in ready
        {
            if catalog.pending_at(of)?.is_none_or(|row| row.id != id) {
                continue;
            }
            derivation.outline.first_chunk = chunk;
            chunk = ChunkNo(derivation.outline.numbers().end);
            next.add(Change::Derive(Box::new(Derive { of, id, derivation })));
        }
        next.given.derived_chunk = Some(chunk);
        Ok(())
    }
}
