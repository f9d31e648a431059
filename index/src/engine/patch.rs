//! How does metadata change without parsing, cutting or embedding again?
//!
//! The document is put again with the same text, chunks and vectors, read from
//! its record in the log, under new chunk numbers: views that are held keep the
//! metadata they had.

use std::collections::HashSet;

use cento_core::{ChunkNo, CoreError, DocumentId, FieldTypes, MetadataPatch, Sequence};

use super::Engine;
use crate::IndexError;
use crate::catalog::Version;
use crate::log::Position;
use crate::log_record::{Change, Put, Record};

/// What became of one change of metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum PatchOutcome {
    /// It is on disk: acknowledged. Where nothing had to change, this is the
    /// sequence of the version that stands.
    Stored(Sequence),
    /// There is no such document.
    Unknown,
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
    pub fn patch_metadata(
        &self,
        patches: Vec<(DocumentId, MetadataPatch)>,
    ) -> Result<Vec<PatchOutcome>, IndexError> {
        let mut writer = self.writer()?;
        let state = &writer.projections.state;
        let mut next = Next {
            sequence: state.applied.sequence,
            chunk: state.next_chunk,
            fields: state.fields.clone(),
        };
        let mut seen = HashSet::new();
        let mut outcomes = Vec::with_capacity(patches.len());
        let mut records = Vec::new();
        for (id, patch) in patches {
            if seen.contains(&id) {
                outcomes.push(PatchOutcome::Refused(CoreError::DuplicateId { id }));
                continue;
            }
            let Some(version) = self.catalog.version(&id, Sequence(u64::MAX))? else {
                outcomes.push(PatchOutcome::Unknown);
                continue;
            };
            let (outcome, record) = self.patched(&version, &patch, &mut next)?;
            outcomes.push(outcome);
            records.extend(record);
            seen.insert(id);
        }
        writer.write(&self.log, records)?;
        Ok(outcomes)
    }

    /// The record that changes one document, if anything changes.
    fn patched(
        &self,
        version: &Version,
        patch: &MetadataPatch,
        next: &mut Next,
    ) -> Result<(PatchOutcome, Option<Record>), IndexError> {
        let mut put = self.read_put(version)?;
        let metadata = patch.apply(&put.outline.metadata);
        if metadata == put.outline.metadata {
            return Ok((PatchOutcome::Stored(version.sequence), None));
        }
        if let Err(reason) = next.fields.admit(&metadata) {
            return Ok((PatchOutcome::Refused(reason), None));
        }
        next.sequence = next.sequence.next();
        put.outline.metadata = metadata;
        put.outline.first_chunk = next.chunk;
        next.chunk = ChunkNo(next.chunk.0 + put.outline.chunks.len() as u64);
        let record = Record {
            sequence: next.sequence,
            change: Change::Put(put),
        };
        Ok((PatchOutcome::Stored(next.sequence), Some(record)))
    }

    /// Reads a whole put from the log. Its length stands before it.
    fn read_put(&self, version: &Version) -> Result<Box<Put>, IndexError> {
        let before = Position {
            offset: version.record.offset - 4,
            ..version.record
        };
        let length = self.log.read(before, 4)?;
        let length = <[u8; 4]>::try_from(length.as_slice()).map_or(0, u32::from_le_bytes);
        let bytes = self.log.read(version.record, length as usize)?;
        match Record::decode(&bytes).map(|record| record.change) {
            Some(Change::Put(put)) => Ok(put),
            _ => Err(self.log.damaged(version.record, "a put cannot be decoded")),
        }
    }
}

/// What the next record of a batch is given.
struct Next {
    sequence: Sequence,
    chunk: ChunkNo,
    fields: FieldTypes,
}
