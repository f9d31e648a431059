//! How does metadata change without parsing, cutting or embedding again?
//!
//! The document is put again with the same text, chunks and vectors, read from
//! its records in the log, under new chunk numbers: views that are held keep
//! the metadata they had.

use std::collections::HashSet;

use cento_core::{CoreError, DocumentId, MetadataPatch, Sequence};

use super::write::{Condition, Next, Outcome, Request, mixed_up};
use super::{Engine, Writer};
use crate::IndexError;
use crate::catalog::Version;
use crate::log_record::{Change, Derivation, Put, Record};
use crate::projections::read_put;

/// A change of one document's metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPatch {
    /// The document.
    pub id: DocumentId,
    /// The change.
    pub patch: MetadataPatch,
    /// What must stand under the id for the change to be made.
    pub condition: Condition,
}

/// What became of one change of metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum PatchOutcome {
    /// It is on disk: acknowledged. Where nothing had to change, this is the
    /// sequence of the version that stands.
    Stored(Sequence),
    /// There is no such document.
    Unknown,
    /// Its condition did not hold; nothing of it was written.
    Conflict {
        /// The write that put what stands there.
        found: Option<Sequence>,
    },
    /// It was refused; nothing of it was written.
    Refused(CoreError),
}

impl Engine {
    /// Changes the metadata of documents. Their content hashes stay, so that
    /// ingesting an unchanged source again does not undo the change.
    ///
    /// Durable when it returns, seen after the next refresh. Outcomes are in
    /// the order of the batch, which is held in memory with the texts of its
    /// documents; an id that stands in it twice is refused the second time.
    pub fn patch_metadata(&self, patches: Vec<NewPatch>) -> Result<Vec<PatchOutcome>, IndexError> {
        match self.submit(Request::Patch(patches))? {
            Outcome::Patch(outcomes) => Ok(outcomes),
            _ => Err(mixed_up()),
        }
    }
}

impl Writer {
    /// Adds the record that changes one document, if anything changes.
    pub(super) fn patch(
        &self,
        new: NewPatch,
        seen: &mut HashSet<DocumentId>,
        next: &mut Next,
    ) -> Result<PatchOutcome, IndexError> {
        let NewPatch {
            id,
            patch,
            condition,
        } = new;
        if seen.contains(&id) {
            return Ok(PatchOutcome::Refused(CoreError::DuplicateId { id }));
        }
        let catalog = &self.serving.projections.catalog;
        let version = catalog.version(&id, Sequence(u64::MAX))?;
        let found = version.as_ref().map(|version| version.document.sequence);
        if found.is_some() {
            seen.insert(id);
        }
        if !condition.holds(found) {
            return Ok(PatchOutcome::Conflict { found });
        }
        let Some(version) = version else {
            return Ok(PatchOutcome::Unknown);
        };
        let mut put = self.read(&version)?;
        let metadata = patch.apply(&put.document.metadata);
        if metadata == put.document.metadata {
            return Ok(PatchOutcome::Stored(version.document.sequence));
        }
        if let Err(reason) = next.given.fields.admit(&metadata) {
            return Ok(PatchOutcome::Refused(reason));
        }
        put.document.metadata = metadata;
        Ok(PatchOutcome::Stored(next.put(put)))
    }

    /// Reads a whole put from the log, with what the serving generation
    /// derived from it.
    fn read(&self, version: &Version) -> Result<Box<Put>, IndexError> {
        let segments = self.log.segments();
        let mut put = read_put(&segments, &version.document)?;
        if version.derived.sequence != version.document.sequence {
            let bytes = segments.record(&version.derived)?;
            put.derivation = match Record::decode(&bytes).map(|(record, _)| record.change) {
                Some(Change::Derive(derive)) => Some(derive.derivation),
                _ => None,
            };
        }
        let serving = self.serving.number;
        let is_mine = |derivation: &Derivation| derivation.outline.generation == serving;
        if put.derivation.as_ref().is_some_and(is_mine) {
            Ok(put)
        } else {
            Err(segments.damaged(&version.derived, "a derivation cannot be decoded"))
        }
    }
}
