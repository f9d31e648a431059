//! How is a segment written that does not hold every record of its time?
//!
//! Compaction drops records, salvaging misses some, restoring leaves numbers
//! out. Such a segment accounts for all numbers of its range and ends with a
//! table of the records that it has.

use std::path::Path;

use cento_core::Sequence;

use super::create_segment;
use super::segments::encode_table;
use crate::disk::DiskFile;
use crate::frames::{self, FRAME_HEAD_BYTES, HEADER_BYTES, Salt};
use crate::log_record::join;
use crate::manifest::{Sealed, SegmentEntry};
use crate::{IndexError, fault};

/// Frames of about so many bytes are written.
const FRAME_BYTES: usize = 1 << 20;

/// Writes a segment whose records are found by a table at its end.
pub(crate) struct SegmentWriter {
    entry: SegmentEntry,
    file: DiskFile,
    salt: Salt,
    offset: u64,
    /// Records of the next frame.
    waiting: Vec<Vec<u8>>,
    numbers: Vec<Sequence>,
    waiting_bytes: usize,
    table: Vec<(Sequence, u64)>,
}

impl SegmentWriter {
    /// Begins a segment that may hold writes from `first` on.
    pub(crate) fn begin(dir: &Path, number: u64, first: Sequence) -> Result<Self, IndexError> {
        let (entry, file, salt) = create_segment(dir, number, first)?;
        Ok(Self {
            entry,
            file,
            salt,
            offset: HEADER_BYTES,
            waiting: Vec::new(),
            numbers: Vec::new(),
            waiting_bytes: 0,
            table: Vec::new(),
        })
    }

    /// What it is, before it has an end.
    pub(crate) fn entry(&self) -> &SegmentEntry {
        &self.entry
    }

    /// How long it is, but for what waits for the next frame.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset
    }

    /// Adds a record; numbers rise.
    pub(crate) fn add(&mut self, sequence: Sequence, record: Vec<u8>) -> Result<(), IndexError> {
        self.waiting_bytes += record.len();
        self.waiting.push(record);
        self.numbers.push(sequence);
        if self.waiting_bytes >= FRAME_BYTES {
            self.write_frame()?;
        }
        Ok(())
    }

    fn write_frame(&mut self) -> Result<(), IndexError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (payload, offsets) = join(&self.waiting);
        let begin = self.offset + FRAME_HEAD_BYTES;
        let numbers = self.numbers.drain(..);
        self.table.extend(
            numbers
                .zip(offsets)
                .map(|(number, offset)| (number, begin + offset)),
        );
        self.write(&payload)?;
        self.waiting.clear();
        self.waiting_bytes = 0;
        Ok(())
    }

    fn write(&mut self, payload: &[u8]) -> Result<(), IndexError> {
        let frame = frames::encode(self.salt, payload);
        self.file.write_all_at(&frame, self.offset)?;
        self.offset += frame.len() as u64;
        Ok(())
    }

    /// Ends and syncs it. `last` is the last write that it accounts for,
    /// whether it holds it or not.
    pub(crate) fn finish(mut self, last: Sequence) -> Result<SegmentEntry, IndexError> {
        self.write_frame()?;
        let table_at = self.offset;
        self.write(&encode_table(&self.table))?;
        fault::point("compaction.table_written");
        self.file.sync_data()?;
        Ok(SegmentEntry {
            sealed: Some(Sealed {
                last,
                bytes: self.offset,
            }),
            table: Some(table_at),
            ..self.entry
        })
    }
}
