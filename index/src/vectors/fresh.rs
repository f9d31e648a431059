//! How are rows kept on the disk until they are frozen?
//!
//! In a framed file, appended to at each checkpoint. The last frame says how far
//! the projection has followed the log.
//!
//! ```text
//! payload: epoch, sequence, segment, offset, rows u64 | chunks u64 | codes | vectors f32, or nothing
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cento_core::{ChunkNo, Sequence};

use super::block::Block;
use crate::applied::Applied;
use crate::disk::{DiskFile, sync_dir};
use crate::frames::{self, Format, Frame, HEADER_BYTES, Salt};
use crate::log::Position;
use crate::manifest::Epoch;
use crate::{IndexError, fault};

const FORMAT: Format = Format {
    kind: b"centovec",
    version: 3,
};

/// Rows in one frame of the file.
const ROWS_PER_FRAME: usize = 16_384;

/// A row of a block.
pub(super) type Row = (Arc<Block>, usize);

/// The file of rows that are not frozen yet.
pub(super) struct FreshFile {
    file: DiskFile,
    salt: Salt,
    end: u64,
    /// How far the file has followed the log.
    pub(super) applied: Applied,
    /// The greatest chunk in it.
    pub(super) last: Option<ChunkNo>,
}

/// The path of the file of this number.
pub(super) fn fresh_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.vectors"))
}

impl FreshFile {
    /// A new file with these rows, durable when it returns.
    pub(super) fn create(path: &Path, applied: Applied, rows: &[Row]) -> Result<Self, IndexError> {
        let file = DiskFile::create(path)?;
        let salt = FORMAT.begin(&file)?;
        let mut fresh = Self {
            file,
            salt,
            end: HEADER_BYTES,
            applied: Applied::default(),
            last: None,
        };
        if applied != Applied::default() {
            fresh.write(applied, rows)?;
        }
        fresh.file.sync_data()?;
        path.parent().map_or(Ok(()), sync_dir)?;
        Ok(fresh)
    }

    /// Opens a file, keeping of it what is whole; its rows come with it.
    pub(super) fn open(path: &Path, dimensions: usize) -> Result<(Self, Block), IndexError> {
        let file = DiskFile::open(path)?;
        let mut fresh = Self {
            salt: FORMAT.check(&file)?,
            file,
            end: HEADER_BYTES,
            applied: Applied::default(),
            last: None,
        };
        let bytes = fresh.file.bytes()?;
        let mut block = Block::empty(dimensions);
        while let Frame::Whole { payload, end } =
            frames::read(&fresh.file, fresh.salt, fresh.end, bytes)?
        {
            let Some((applied, rows)) = decode(&payload, dimensions) else {
                break;
            };
            fresh.last = rows.chunks.last().copied().or(fresh.last);
            block.push(rows.chunks, &rows.codes, &rows.originals);
            fresh.applied = applied;
            fresh.end = end;
        }
        if fresh.end < bytes {
            // A torn or damaged rest comes again from the log.
            fresh.file.set_bytes(fresh.end)?;
        }
        Ok((fresh, block))
    }

    /// Appends rows, and that the log has been followed so far.
    pub(super) fn append(&mut self, applied: Applied, rows: &[Row]) -> Result<(), IndexError> {
        let before = (self.end, self.applied, self.last);
        let appended = self.write(applied, rows).and_then(|()| {
            fault::point("vectors.written");
            self.file.sync_data()
        });
        if appended.is_err() {
            (self.end, self.applied, self.last) = before;
        }
        fault::point("vectors.synced");
        appended
    }

    /// Only the last frame says `applied`, the others still what was before, so
    /// that a file cut between them is brought forward again.
    fn write(&mut self, applied: Applied, rows: &[Row]) -> Result<(), IndexError> {
        let mut parts = rows.chunks(ROWS_PER_FRAME).peekable();
        let mut part = parts.next().unwrap_or(&[]);
        loop {
            let stamp = if parts.peek().is_none() {
                applied
            } else {
                self.applied
            };
            let frame = frames::encode(self.salt, &encode(stamp, part));
            self.file.write_all_at(&frame, self.end)?;
            self.end += frame.len() as u64;
            match parts.next() {
                Some(next) => part = next,
                None => break,
            }
        }
        self.applied = applied;
        if let Some((block, row)) = rows.last() {
            self.last = Some(block.number(*row));
        }
        Ok(())
    }
}

fn encode(applied: Applied, rows: &[Row]) -> Vec<u8> {
    let mut payload = Vec::new();
    for number in [
        applied.epoch.0,
        applied.sequence.0,
        applied.position.segment,
        applied.position.offset,
        rows.len() as u64,
    ] {
        payload.extend_from_slice(&number.to_le_bytes());
    }
    for (block, row) in rows {
        payload.extend_from_slice(&block.number(*row).0.to_le_bytes());
    }
    for (block, row) in rows {
        let codes = block.space().codes(*row);
        payload.extend(codes.values().iter().map(|&code| code.cast_unsigned()));
    }
    for (block, row) in rows {
        let original = block.space().original(*row);
        payload.extend(original.iter().flat_map(|x| x.to_le_bytes()));
    }
    payload
}

struct Rows {
    chunks: Vec<ChunkNo>,
    codes: Vec<i8>,
    originals: Vec<f32>,
}

fn decode(payload: &[u8], dimensions: usize) -> Option<(Applied, Rows)> {
    let (words, _) = payload.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    let applied = Applied {
        epoch: Epoch(words.next()?),
        sequence: Sequence(words.next()?),
        position: Position {
            segment: words.next()?,
            offset: words.next()?,
        },
    };
    let rows = usize::try_from(words.next()?).ok()?;
    let codes_at = rows.checked_mul(8)?.checked_add(40)?;
    let values = rows.checked_mul(dimensions)?;
    let (codes, originals) = payload.get(codes_at..)?.split_at_checked(values)?;
    if !originals.is_empty() && Some(originals.len()) != values.checked_mul(4) {
        return None;
    }
    let (floats, _) = originals.as_chunks::<4>();
    Some((
        applied,
        Rows {
            chunks: words.take(rows).map(ChunkNo).collect(),
            codes: codes.iter().map(|byte| byte.cast_signed()).collect(),
            originals: floats.iter().map(|x| f32::from_le_bytes(*x)).collect(),
        },
    ))
}
