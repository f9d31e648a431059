//! Which vector belongs to which chunk, and which are nearest to a query?

use cento_core::{ChunkNo, CosineScore};
use rayon::prelude::*;
use roaring::RoaringTreemap;

use super::codes::{Codes, dot, inverse_length};

/// A run of vectors in order of their chunks' numbers; never changed once a
/// view holds it.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    numbers: Vec<ChunkNo>,
    codes: Codes,
    inverse_lengths: Vec<f32>,
}

/// Rows that one task of an exact scan looks at.
const ROWS_PER_TASK: usize = 4096;

impl Block {
    /// An empty block.
    pub(crate) fn empty(dimensions: usize) -> Self {
        Self {
            numbers: Vec::new(),
            codes: Codes::new(dimensions, Vec::new()),
            inverse_lengths: Vec::new(),
        }
    }

    /// Appends vectors whose numbers are greater than all here.
    pub(crate) fn push(&mut self, numbers: impl IntoIterator<Item = ChunkNo>, values: &[i8]) {
        let known = self.codes.rows();
        self.numbers.extend(numbers);
        self.codes.extend(values);
        for row in known..self.codes.rows() {
            self.inverse_lengths
                .push(inverse_length(self.codes.row(row)));
        }
        debug_assert_eq!(self.numbers.len(), self.codes.rows());
    }

    /// This block with another behind it.
    pub(crate) fn joined(&self, later: &Self) -> Self {
        let mut joined = self.clone();
        joined.push(later.numbers.iter().copied(), later.codes.values());
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

    /// The codes of a row.
    pub(crate) fn codes(&self, row: usize) -> &[i8] {
        self.codes.row(row)
    }

    /// The row of a chunk.
    pub(crate) fn find(&self, number: ChunkNo) -> Option<usize> {
        self.numbers.binary_search(&number).ok()
    }

    /// A row as a vector of unit length (all zeros if the codes are).
    pub(crate) fn unit_vector(&self, row: usize) -> Vec<f32> {
        let scale = self.inverse_lengths[row];
        self.codes(row)
            .iter()
            .map(|&code| f32::from(code) * scale)
            .collect()
    }

    /// The cosine of a unit query with a row; `None` for a row of zeros, which
    /// points nowhere.
    pub(crate) fn cosine(&self, query: &[f32], row: usize) -> Option<CosineScore> {
        let scale = self.inverse_lengths[row];
        (scale > 0.0)
            .then(|| CosineScore((dot(query, self.codes.row(row)) * scale).clamp(-1.0, 1.0)))
    }

    /// Compares the query with every allowed row, and keeps the `depth` best
    /// of each task: at least the `depth` best of the block.
    pub(crate) fn scan(
        &self,
        query: &[f32],
        allowed: &RoaringTreemap,
        depth: usize,
    ) -> Vec<(ChunkNo, CosineScore)> {
        let tasks = self.rows().div_ceil(ROWS_PER_TASK);
        (0..tasks)
            .into_par_iter()
            .flat_map_iter(|task| {
                let first = task * ROWS_PER_TASK;
                let last = (first + ROWS_PER_TASK).min(self.rows());
                let mut hits: Vec<_> = (first..last)
                    .filter(|&row| allowed.contains(self.numbers[row].0))
                    .filter_map(|row| Some((self.numbers[row], self.cosine(query, row)?)))
                    .collect();
                keep_best(&mut hits, depth);
                hits
            })
            .collect()
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
