//! Which vector belongs to which chunk, and which are nearest to a query?

use cento_core::{ChunkNo, CosineScore};
use rayon::prelude::*;

use super::allowed::{ByChunk, Rows};
use super::rows::{Query, RowStore, Space};
use super::segment::next_identity;

/// A run of vectors in order of their chunks' numbers; never changed once a
/// view holds it.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// Its number in this process.
    identity: u64,
    numbers: Vec<ChunkNo>,
    rows: RowStore,
}

/// Rows that one task of an exact scan looks at.
const ROWS_PER_TASK: usize = 16_384;

impl Block {
    /// An empty block.
    pub(crate) fn empty(dimensions: usize) -> Self {
        Self {
            identity: next_identity(),
            numbers: Vec::new(),
            rows: RowStore::new(dimensions),
        }
    }

    /// Appends vectors whose numbers are greater than all here.
    pub(crate) fn push(
        &mut self,
        numbers: impl IntoIterator<Item = ChunkNo>,
        codes: &[i8],
        originals: &[f32],
    ) {
        self.numbers.extend(numbers);
        self.rows.extend(codes, originals);
        debug_assert_eq!(self.numbers.len(), self.space().len());
    }

    /// Appends a row of another block.
    pub(crate) fn push_row(&mut self, other: &Self, row: usize) {
        self.numbers.push(other.numbers[row]);
        self.rows.append_row(other.space(), row);
    }

    /// This block with another behind it.
    pub(crate) fn joined(&self, later: &Self) -> Self {
        let mut joined = self.clone();
        joined.identity = next_identity();
        joined.numbers.extend(&later.numbers);
        joined.rows.append(later.space());
        joined
    }

    /// How many vectors it holds.
    pub(crate) fn rows(&self) -> usize {
        self.numbers.len()
    }

    /// The chunk of a row.
    pub(crate) fn number(&self, row: usize) -> ChunkNo {
        self.numbers[row]
    }

    /// What its rows are compared by.
    pub(crate) fn space(&self) -> Space<'_> {
        self.rows.space()
    }

    /// The row of a chunk.
    pub(crate) fn find(&self, number: ChunkNo) -> Option<usize> {
        self.numbers.binary_search(&number).ok()
    }

    /// Compares the query with every allowed row, and keeps the `depth` best
    /// of each task: at least the `depth` best of the block. Says how many rows
    /// that was.
    pub(crate) fn scan(
        &self,
        query: &Query<'_>,
        rows: &Rows,
        depth: usize,
        hits: &mut Vec<(ChunkNo, CosineScore)>,
    ) -> u64 {
        let scan = |task: usize| {
            let first = task * ROWS_PER_TASK;
            let last = (first + ROWS_PER_TASK).min(self.rows());
            let is_allowed = |row: &usize| match rows {
                Rows::All => true,
                Rows::None => false,
                Rows::Some(mask) => mask.has(*row as u32),
            };
            let allowed = (first..last).filter(is_allowed);
            let mut hits: Vec<_> = (super::scan::nearest(self.space(), query, allowed, depth))
                .into_iter()
                .map(|(row, score)| (self.numbers[row], score))
                .collect();
            keep_best(&mut hits, depth);
            hits
        };
        match self.rows().div_ceil(ROWS_PER_TASK) {
            0 => {}
            1 => hits.extend(scan(0)),
            tasks => hits.par_extend((0..tasks).into_par_iter().flat_map_iter(scan)),
        }
        match rows {
            Rows::All => self.rows() as u64,
            Rows::None => 0,
            Rows::Some(mask) => mask.count() as u64,
        }
    }
}

impl ByChunk for Block {
    fn identity(&self) -> u64 {
        self.identity
    }

    fn count(&self) -> usize {
        self.rows()
    }

    fn span(&self) -> (ChunkNo, ChunkNo) {
        let first = self.numbers.first().copied().unwrap_or_default();
        (first, self.numbers.last().copied().unwrap_or_default())
    }

    fn by_chunk(&self) -> impl Iterator<Item = (ChunkNo, u32)> {
        self.numbers.iter().copied().zip(0..)
    }

    fn row_of(&self, chunk: ChunkNo) -> Option<u32> {
        self.find(chunk).map(|row| row as u32)
    }
}

/// Sorts hits best first, ties by chunk number, and keeps `depth` of them.
pub(crate) fn keep_best(hits: &mut Vec<(ChunkNo, CosineScore)>, depth: usize) {
    let best_first =
        |a: &(ChunkNo, CosineScore), b: &(ChunkNo, CosineScore)| b.1.cmp(&a.1).then(a.0.cmp(&b.0));
    if depth == 0 {
        hits.clear();
    } else if hits.len() > depth {
        hits.select_nth_unstable_by(depth - 1, best_first);
        hits.truncate(depth);
    }
    hits.sort_unstable_by(best_first);
}
