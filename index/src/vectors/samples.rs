//! On which vectors are the parts of a graph tried?

use super::block::Block;
use super::codes::Codes;
use cento_core::ChunkNo;

/// Vectors that crowd around seven directions, so that ranks are close.
pub(super) fn crowd(count: usize, dimensions: usize) -> Vec<Vec<f32>> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    let centres: Vec<Vec<f32>> = (0..7)
        .map(|_| (0..dimensions).map(|_| next()).collect())
        .collect();
    (0..count)
        .map(|row| {
            let near = centres[row % 7].iter().map(|x| x + 0.1 * next());
            let vector: Vec<f32> = near.collect();
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vector.iter().map(|x| x / length).collect()
        })
        .collect()
}

/// A block of vectors, whose chunks have the numbers from `first` on.
pub(super) fn block(vectors: &[Vec<f32>], first: u64, keeps_originals: bool) -> Block {
    let dimensions = vectors[0].len();
    let codes = Codes::quantise(dimensions, vectors);
    let mut block = Block::empty(dimensions);
    let originals = if keeps_originals {
        vectors.concat()
    } else {
        Vec::new()
    };
    let numbers = (first..).take(vectors.len()).map(ChunkNo);
    block.push(numbers, codes.values(), &originals);
    block
}
