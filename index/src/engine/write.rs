//! How does a request become records, and the records a commit?
//!
//! What needs no lock is done by the caller: chunks are checked, texts hashed,
//! vectors made bytes. Under the writer's lock a record gets its numbers, its
//! condition is looked at, and all records of the requests that wait become
//! one frame of the log and one sync. A request that touches a document that
//! another one of the group has touched waits for the next.

use std::collections::HashSet;

use cento_core::chunk::check_chunks;
use cento_core::{ChunkNo, CoreError, DocumentId, FieldTypes, GenerationNo, Sequence};

use super::patch::{NewPatch, PatchOutcome};
use super::reindex::Ready;
use super::{Engine, NewDocument, PutOutcome, Writer};
use crate::group::{Abandoned, Waiting};
use crate::log_record::{
    Change, Derivation, DerivedOutline, DocumentOutline, Fit, Layout, LoggedVectors, Put, Record,
};
use crate::projections::Stored;
use crate::{CollectionSettings, IndexError, fault};

/// What must stand under a document's id for a write to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Anything or nothing.
    #[default]
    Always,
    /// Nothing.
    Absent,
    /// The version that this write put
    /// ([`StoredOutline::sequence`](crate::StoredOutline::sequence)).
    Version(Sequence),
}

impl Condition {
    pub(super) fn holds(self, found: Option<Sequence>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => found.is_none(),
            Self::Version(wanted) => found == Some(wanted),
        }
    }
}

/// What became of one deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// It is gone, by this write.
    Deleted(Sequence),
    /// It was not there.
    Unknown,
    /// Its condition did not hold; it stands.
    Conflict {
        /// The write that put what stands there, if anything does.
        found: Option<Sequence>,
    },
}

/// A batch is written in commits of about so many bytes.
const COMMIT_BYTES: usize = 32 << 20;
/// The most bytes of text and vectors of one document: far above any setting,
/// and far below what a frame's length can say.
const MAX_DOCUMENT_BYTES: usize = 1 << 30;

/// What a caller wants written.
pub(super) enum Request {
    Put {
        generation: GenerationNo,
        documents: Vec<Prepared>,
    },
    Delete(Vec<(DocumentId, Condition)>),
    Patch(Vec<NewPatch>),
    Derive {
        generation: GenerationNo,
        ready: Vec<Ready>,
    },
    Fit(Fit),
}

/// What became of it.
pub(super) enum Outcome {
    Put(Vec<PutOutcome>),
    Delete(Vec<DeleteOutcome>),
    Patch(Vec<PatchOutcome>),
    Derive,
    Fit(Sequence),
}

/// A document that is ready but for its numbers, or why it is refused.
pub(super) enum Prepared {
    Put(Box<Put>, Condition),
    Refused(CoreError),
}

/// What the next record of a group is given.
pub(super) struct Next {
    pub(super) given: Given,
    pub(super) records: Vec<Record>,
}

/// What was given out last.
#[derive(Clone)]
pub(super) struct Given {
    sequence: Sequence,
    chunk: ChunkNo,
    /// That of the generation being built.
    pub(super) derived_chunk: Option<ChunkNo>,
    pub(super) fields: FieldTypes,
}

impl Next {
    fn mark(&self) -> Given {
        self.given.clone()
    }

    /// Takes back what was added since a mark.
    fn go_back(&mut self, records: usize, mark: Given) {
        self.records.truncate(records);
        self.given = mark;
    }

    /// Adds a put whose chunks are numbered from here on.
    pub(super) fn put(&mut self, mut put: Box<Put>) -> Sequence {
        if let Some(derivation) = &mut put.derivation {
            derivation.outline.first_chunk = self.given.chunk;
            self.given.chunk = ChunkNo(derivation.outline.numbers().end);
        }
        self.add(Change::Put(put))
    }

    pub(super) fn add(&mut self, change: Change) -> Sequence {
        self.given.sequence = self.given.sequence.next();
        self.records.push(Record {
            sequence: self.given.sequence,
            change,
        });
        self.given.sequence
    }
}

impl Request {
    /// Does all that can be done without the writer.
    pub(super) fn put(
        generation: GenerationNo,
        settings: &CollectionSettings,
        batch: Vec<NewDocument>,
    ) -> Self {
        let mut seen = HashSet::new();
        let documents = batch.into_iter().map(|new| {
            let condition = new.condition;
            match prepare(new, generation, settings, &mut seen) {
                Ok(put) => Prepared::Put(put, condition),
                Err(reason) => Prepared::Refused(reason),
            }
        });
        Self::Put {
            documents: documents.collect(),
            generation,
        }
    }

    /// The documents that it would change.
    fn ids(&self) -> Box<dyn Iterator<Item = &DocumentId> + '_> {
        match self {
            Self::Put { documents, .. } => {
                Box::new(documents.iter().filter_map(|prepared| match prepared {
                    Prepared::Put(put, _) => Some(&put.document.id),
                    Prepared::Refused(_) => None,
                }))
            }
            Self::Delete(ids) => Box::new(ids.iter().map(|(id, _)| id)),
            Self::Patch(patches) => Box::new(patches.iter().map(|new| &new.id)),
            Self::Derive { ready, .. } => Box::new(ready.iter().map(Ready::id)),
            Self::Fit(_) => Box::new(std::iter::empty()),
        }
    }
}

impl Engine {
    /// Hands a request to whoever commits next, and waits for its outcome.
    pub(super) fn submit(&self, request: Request) -> Result<Outcome, IndexError> {
        let committed = self.group.submit(request, |waiting| self.commit(waiting));
        committed.unwrap_or_else(|Abandoned| {
            Err(IndexError::WriterStopped {
                reason: "a commit did not come to its end".to_owned(),
            })
        })
    }

    /// Commits requests that wait, as many as go into one group.
    fn commit(&self, waiting: &mut Waiting<Request>) -> Vec<Result<Outcome, IndexError>> {
        let mut writer = match self.writer() {
            Ok(writer) => writer,
            Err(error) => return waiting.map(|_| Err(error.again())).collect(),
        };
        let mut next = writer.next();
        let mut touched: HashSet<DocumentId> = HashSet::new();
        let mut outcomes = Vec::new();
        let mut bytes = 0;
        while let Some(request) = waiting.next_if(|next| !next.ids().any(|id| touched.contains(id)))
        {
            touched.extend(request.ids().cloned());
            let (before, mark) = (next.records.len(), next.mark());
            let outcome = writer.records_of(request, &mut next);
            if outcome.is_err() {
                // What it has added so far is not written.
                next.go_back(before, mark);
            }
            bytes += next.records[before..].iter().map(size_of).sum::<usize>();
            outcomes.push(outcome);
            if bytes >= COMMIT_BYTES {
                break;
            }
        }
        if let Err(error) = writer.write(next.records) {
            for outcome in &mut outcomes {
                *outcome = Err(error.again());
            }
        }
        outcomes
    }
}

impl Writer {
    /// What the next record is given.
    pub(super) fn next(&self) -> Next {
        let state = &self.serving.projections.state;
        Next {
            given: Given {
                // Not what the projections hold: compaction may have dropped more.
                sequence: self.log.end().0,
                chunk: state.next_chunk,
                derived_chunk: None,
                fields: state.fields.clone(),
            },
            records: Vec::new(),
        }
    }

    /// The records of one request, and what it will be told once they are
    /// written.
    fn records_of(&mut self, request: Request, next: &mut Next) -> Result<Outcome, IndexError> {
        match request {
            Request::Put {
                generation,
                documents,
            } => {
                self.expect(generation)?;
                let outcomes = documents.into_iter().map(|new| self.put(new, next));
                Ok(Outcome::Put(outcomes.collect::<Result<_, _>>()?))
            }
            Request::Delete(ids) => {
                let mut gone = HashSet::new();
                let outcomes = ids
                    .into_iter()
                    .map(|(id, condition)| self.delete(id, condition, &mut gone, next));
                Ok(Outcome::Delete(outcomes.collect::<Result<_, _>>()?))
            }
            Request::Patch(patches) => {
                let mut seen = HashSet::new();
                let outcomes = (patches.into_iter()).map(|new| self.patch(new, &mut seen, next));
                Ok(Outcome::Patch(outcomes.collect::<Result<_, _>>()?))
            }
            Request::Derive { generation, ready } => {
                self.derive(generation, ready, next)?;
                Ok(Outcome::Derive)
            }
            Request::Fit(mut fit) => {
                self.expect(fit.generation)?;
                fit.chunks = self.serving.live.len();
                Ok(Outcome::Fit(next.add(Change::Fit(fit))))
            }
        }
    }

    fn expect(&self, generation: GenerationNo) -> Result<(), IndexError> {
        if self.serving.number == generation {
            Ok(())
        } else {
            Err(IndexError::GenerationChanged {
                made_for: generation,
                serving: self.serving.number,
            })
        }
    }

    /// The write that put what stands under an id.
    pub(super) fn standing(&self, id: &DocumentId) -> Result<Option<Sequence>, IndexError> {
        self.serving.projections.catalog.newest_put(id)
    }

    fn put(&self, new: Prepared, next: &mut Next) -> Result<PutOutcome, IndexError> {
        let (put, condition) = match new {
            Prepared::Put(put, condition) => (put, condition),
            Prepared::Refused(reason) => return Ok(PutOutcome::Refused(reason)),
        };
        if condition != Condition::Always {
            let found = self.standing(&put.document.id)?;
            if !condition.holds(found) {
                return Ok(PutOutcome::Conflict { found });
            }
        }
        if let Err(reason) = next.given.fields.admit(&put.document.metadata) {
            return Ok(PutOutcome::Refused(reason));
        }
        Ok(PutOutcome::Stored(next.put(put)))
    }

    fn delete(
        &self,
        id: DocumentId,
        condition: Condition,
        gone: &mut HashSet<DocumentId>,
        next: &mut Next,
    ) -> Result<DeleteOutcome, IndexError> {
        let found = self.standing(&id)?.filter(|_| !gone.contains(&id));
        if !condition.holds(found) {
            return Ok(DeleteOutcome::Conflict { found });
        }
        if found.is_none() {
            return Ok(DeleteOutcome::Unknown);
        }
        gone.insert(id.clone());
        Ok(DeleteOutcome::Deleted(next.add(Change::Delete(id))))
    }

    /// Writes records in commits of bounded size and applies them.
    pub(super) fn write(&mut self, records: Vec<Record>) -> Result<(), IndexError> {
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            let mut group = Vec::new();
            let mut encoded = Vec::new();
            let mut bytes = 0;
            while bytes < COMMIT_BYTES
                && let Some(record) = records.next()
            {
                let (record_bytes, layout) = encode(&record)?;
                bytes += record_bytes.len();
                encoded.push(record_bytes);
                group.push((record, layout));
            }
            let Some(last) = group.last().map(|(record, _)| record.sequence) else {
                return Ok(());
            };
            let appended = self.log.append(&encoded, last)?;
            // From here on the group is safe; a projection that fails now is
            // brought forward when the directory is opened anew.
            self.is_published = false;
            self.guarded(|writer| {
                let segments = writer.log.segments();
                for ((record, layout), place) in group.iter().zip(appended.places) {
                    let is_last = record.sequence == last;
                    let stored = Stored {
                        place,
                        layout: *layout,
                        resume: if is_last {
                            appended.end
                        } else {
                            appended.begin
                        },
                    };
                    writer.serving.apply(record, &stored, &segments)?;
                    if let Some(building) = &mut writer.building {
                        building.apply(record, &stored, &segments)?;
                    }
                    fault::point("commit.record_applied");
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// About how many bytes a record takes in the log.
fn size_of(record: &Record) -> usize {
    let vectors = |derivation: &Derivation| match &derivation.vectors {
        LoggedVectors::I8(codes) => codes.values().len(),
        LoggedVectors::F32 { values, .. } => values.len() * 4,
    };
    match &record.change {
        Change::Put(put) => put.text.len() + put.derivation.as_ref().map_or(0, vectors),
        Change::Derive(derive) => vectors(&derive.derivation),
        Change::Delete(_) => 0,
        Change::Fit(fit) => fit.artefact.len(),
    }
}

pub(super) fn encode(record: &Record) -> Result<(Vec<u8>, Layout), IndexError> {
    record.encode().map_err(|error| IndexError::Projection {
        projection: "log",
        reason: error.to_string(),
    })
}

/// A request was answered with another one's outcome.
pub(super) fn mixed_up() -> IndexError {
    IndexError::WriterStopped {
        reason: "an outcome was given to another caller".to_owned(),
    }
}

/// Checks all that a put can be refused for, but its metadata's types, and
/// makes it ready for the log.
fn prepare(
    new: NewDocument,
    generation: GenerationNo,
    settings: &CollectionSettings,
    seen: &mut HashSet<DocumentId>,
) -> Result<Box<Put>, CoreError> {
    let NewDocument {
        document,
        chunks,
        vectors,
        condition: _,
    } = new;
    let id = &document.id;
    let wrong = |reason: String| CoreError::Document {
        id: id.clone(),
        reason,
    };
    let derivation = derive(&document.text, &chunks, &vectors, generation, settings).map_err(
        |error| match error {
            Underivable::Wrong(reason) => wrong(reason),
            Underivable::Chunks(error) => error,
        },
    )?;
    if !seen.insert(id.clone()) {
        return Err(CoreError::DuplicateId { id: id.clone() });
    }
    Ok(Box::new(Put {
        document: DocumentOutline::of(&document),
        text: document.text,
        derivation: Some(derivation),
    }))
}

/// Why chunks and vectors are not those of a text.
pub(super) enum Underivable {
    Wrong(String),
    Chunks(CoreError),
}

/// Checks chunks and vectors and makes them ready for the log.
pub(super) fn derive(
    text: &str,
    chunks: &[cento_core::Chunk],
    vectors: &[Vec<f32>],
    generation: GenerationNo,
    settings: &CollectionSettings,
) -> Result<Derivation, Underivable> {
    let wrong = |reason: String| Err(Underivable::Wrong(reason));
    let dimensions = settings.dimensions;
    if chunks.is_empty() {
        return wrong("it has no text to index".to_owned());
    }
    if text.len() + chunks.len() * dimensions * 4 > MAX_DOCUMENT_BYTES {
        return wrong("its text and vectors take more than 1 GiB".to_owned());
    }
    check_chunks(text, chunks).map_err(Underivable::Chunks)?;
    if vectors.len() != chunks.len() {
        return wrong(format!(
            "it has {} vectors for {} chunks",
            vectors.len(),
            chunks.len()
        ));
    }
    for vector in vectors {
        if vector.len() != dimensions {
            return wrong(format!(
                "a vector has {} dimensions, the collection {dimensions}",
                vector.len()
            ));
        }
        if !vector.iter().all(|x| x.is_finite()) {
            return wrong("a vector has a component that is no number".to_owned());
        }
    }
    let outline = DerivedOutline::of(text, chunks, dimensions as u32, settings.precision)
        .map_err(Underivable::Chunks)?;
    Ok(Derivation {
        outline: DerivedOutline {
            generation,
            ..outline
        },
        vectors: LoggedVectors::of(settings.precision, dimensions, vectors),
    })
}
