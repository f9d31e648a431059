//! How do the three projections follow the log, and how are they brought
//! forward when they have fallen behind?
//!
//! The same function applies a record to the projections whether it has just
//! been written or is replayed. Each projection says how far it has come; a
//! record that it already holds is passed over, so replay is idempotent.

use std::path::Path;
use std::sync::Arc;

use cento_core::{ChunkNo, Sequence};

use crate::IndexError;
use crate::applied::Applied;
use crate::catalog::{Catalog, State, Version};
use crate::log::{Log, Position};
use crate::log_record::{Change, Record, split};
use crate::text::Text;
use crate::vectors::Vectors;

/// The writer's side of all three projections.
pub(crate) struct Projections {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) text: Text,
    pub(crate) vectors: Vectors,
    /// What the catalog holds; the other two may lag behind only in recovery.
    pub(crate) state: State,
    text_applied: Applied,
    vectors_applied: Applied,
}

/// What opening found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Writes that at least one projection did not hold yet.
    pub replayed: u64,
    /// Bytes of a commit that was never acknowledged, cut off the log's end.
    pub cut_bytes: u64,
    /// Projections that could not be used and were made anew.
    pub remade: Vec<&'static str>,
}

impl Projections {
    /// Opens the projections in a collection's directory and brings them to
    /// the end of the log.
    pub(crate) fn open(
        dir: &Path,
        dimensions: usize,
        log: &Log,
    ) -> Result<(Self, Recovery), IndexError> {
        let mut remade = Vec::new();
        let (catalog, is_fresh) = Catalog::open(&dir.join("catalog"))?;
        if is_fresh {
            remade.push("catalog");
        }
        let (mut text, is_fresh) = Text::open(&dir.join("text"))?;
        if is_fresh {
            remade.push("text");
        }
        let mut vectors = Vectors::open(&dir.join("vectors"), dimensions)?;
        // A projection that does not stand at the end of one of our commits
        // has followed another log, and its rows mean nothing here.
        let mut state = catalog.state().unwrap_or_default();
        if !log.is_boundary(state.applied.position)? || state == State::default() {
            if state != State::default() {
                remade.push("catalog");
            }
            catalog.reset()?;
            state = State::default();
        }
        if !log.is_boundary(text.applied().position)? {
            remade.push("text");
            text.reset()?;
        }
        if !log.is_boundary(vectors.applied().position)? {
            remade.push("vectors");
            vectors.reset()?;
        }
        let mut projections = Self {
            text_applied: text.applied(),
            vectors_applied: vectors.applied(),
            catalog: Arc::new(catalog),
            text,
            vectors,
            state,
        };
        let recovery = Recovery {
            remade,
            ..projections.catch_up(log)?
        };
        Ok((projections, recovery))
    }

    fn catch_up(&mut self, log: &Log) -> Result<Recovery, IndexError> {
        let mut recovery = Recovery::default();
        let from = [
            self.state.applied.position,
            self.text_applied.position,
            self.vectors_applied.position,
        ];
        let from = from.into_iter().min().unwrap_or_default();
        let mut last: Option<Sequence> = None;
        recovery.cut_bytes = log.replay(from, |at, payload, next| {
            let damaged = || log.damaged(at, "a commit with a right checksum cannot be decoded");
            let records = split(payload).ok_or_else(damaged)?;
            let count = records.len();
            for (i, (offset, bytes)) in records.into_iter().enumerate() {
                let record = Record::decode(bytes).ok_or_else(damaged)?;
                check_order(&mut last, &record, log, at)?;
                let place = Position {
                    segment: at.segment,
                    offset: at.offset + offset,
                };
                let position = if i + 1 == count {
                    next
                } else {
                    before_commit(at)
                };
                if self.apply(&record, place, position)? {
                    recovery.replayed += 1;
                }
            }
            Ok(())
        })?;
        Ok(recovery)
    }

    /// Applies one record to every projection that does not hold it yet; says
    /// whether any did not. `place` is where the record begins, `position`
    /// where replay would go on after it.
    pub(crate) fn apply(
        &mut self,
        record: &Record,
        place: Position,
        position: Position,
    ) -> Result<bool, IndexError> {
        let applied = Applied {
            sequence: record.sequence,
            position,
        };
        let lacks = |other: Applied| other.sequence < record.sequence;
        let mut any = false;
        if lacks(self.state.applied) {
            any = true;
            self.enter(record, place, applied)?;
        }
        if lacks(self.text_applied) {
            any = true;
            match &record.change {
                Change::Put(put) => self.text.put(put)?,
                Change::Delete(id) => self.text.delete(id)?,
            }
            self.text_applied = applied;
        }
        if lacks(self.vectors_applied) {
            any = true;
            if let Change::Put(put) = &record.change {
                self.vectors.put(put.outline.first_chunk, &put.codes);
            }
            self.vectors_applied = applied;
        }
        Ok(any)
    }

    fn enter(
        &mut self,
        record: &Record,
        place: Position,
        applied: Applied,
    ) -> Result<(), IndexError> {
        let mut state = State {
            applied,
            ..self.state.clone()
        };
        match &record.change {
            Change::Put(put) => {
                let outline = &put.outline;
                let chunks = outline.chunks.len() as u32;
                // The types were checked when the document was put.
                state.fields.admit(&outline.metadata)?;
                state.next_chunk = ChunkNo(outline.first_chunk.0 + u64::from(chunks));
                let version = Version {
                    sequence: record.sequence,
                    record: place,
                    outline_bytes: put.outline_bytes,
                    first_chunk: outline.first_chunk,
                    chunks,
                    content_hash: outline.content_hash,
                };
                self.catalog.put(&outline.id, &version, &state)?;
            }
            Change::Delete(id) => self.catalog.delete(id, record.sequence, &state)?,
        }
        self.state = state;
        Ok(())
    }

    /// Where the log stands for all three.
    pub(crate) fn applied(&self) -> Applied {
        self.state.applied
    }
}

/// Records are numbered without a gap: one that is missing is damage, even
/// where every frame is whole.
pub(crate) fn check_order(
    last: &mut Option<Sequence>,
    record: &Record,
    log: &Log,
    at: Position,
) -> Result<(), IndexError> {
    let expected = last.map(Sequence::next);
    if expected.is_some_and(|expected| expected != record.sequence) {
        return Err(log.damaged(at, "writes are missing before this commit"));
    }
    *last = Some(record.sequence);
    Ok(())
}

/// The position of a commit whose payload begins at `at`.
pub(crate) fn before_commit(at: Position) -> Position {
    Position {
        segment: at.segment,
        offset: at.offset - crate::frames::FRAME_HEAD_BYTES,
    }
}
