//! Which vector belongs to which chunk, and which are nearest to a query?

use cento_core::{ChunkNo, CosineScore};
use rayon::prelude::*;
use roaring::RoaringTreemap;

use super::rows::{Query, RowStore, Space};

/// A run of vectors in order of their chunks' numbers; never changed once a
/// view holds it.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    numbers: Vec<ChunkNo>,
    rows: RowStore,
}

/// Rows that one task of an exact scan looks at.
const ROWS_PER_TASK: usize = 16_384;

impl Block {
    /// An empty block.
    pub(crate) fn empty(dimensions: usize) -> Self {
        Self {
            numbers: Vec::new(),
            rows: RowStore::new(dimensions),
        }
    }

    /// Appends vectors whose numbers are greater than all here.
    pub(crate) fn push(&mut self, numbers: impl IntoIterator<Item = ChunkNo>, values: &[i8]) {
        self.numbers.extend(numbers);
        self.rows.extend(values);
        debug_assert_eq!(self.numbers.len(), self.space().len());
    }

    /// Appends a row of another block.
    pub(crate) fn push_row(&mut self, other: &Self, row: usize) {
        self.numbers.push(other.numbers[row]);
        self.rows.append_row(&other.rows, row);
    }

    /// This block with another behind it.
    pub(crate) fn joined(&self, later: &Self) -> Self {
        let mut joined = self.clone();
        joined.numbers.extend(&later.numbers);
        joined.rows.append(&later.rows);
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

    /// A row as a vector of unit length (all zeros if the codes are).
    pub(crate) fn unit_vector(&self, row: usize) -> Vec<f32> {
        let space = self.space();
        let scale = space.inverse_lengths[row];
        let codes = space.codes(row);
        let unit = codes.values().iter().map(|&code| f32::from(code) * scale);
        unit.collect()
    }

    /// Compares the query with every allowed row, and keeps the `depth` best
    /// of each task: at least the `depth` best of the block.
    pub(crate) fn scan(
        &self,
        query: &Query<'_>,
        allowed: &RoaringTreemap,
        depth: usize,
    ) -> Vec<(ChunkNo, CosineScore)> {
        let scan = |task: usize| {
            let first = task * ROWS_PER_TASK;
            let last = (first + ROWS_PER_TASK).min(self.rows());
            let allowed = (first..last).filter(|&row| allowed.contains(self.numbers[row].0));
            let mut hits: Vec<_> = (super::scan::nearest(self.space(), query, allowed, depth))
                .into_iter()
                .map(|(row, score)| (self.numbers[row], score))
                .collect();
            keep_best(&mut hits, depth);
            hits
        };
        match self.rows().div_ceil(ROWS_PER_TASK) {
            0 => Vec::new(),
            1 => scan(0),
            tasks => (0..tasks).into_par_iter().flat_map_iter(scan).collect(),
        }
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
