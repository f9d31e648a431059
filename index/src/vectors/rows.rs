//! How do rows of codes lie in memory, and what is a query beside them?

#![allow(
    unsafe_code,
    reason = "rows begin on lines of the cache, which a vector of bytes cannot promise"
)]

use cento_core::CosineScore;

use super::codes::{Codes, inverse_length};
use super::kernels::{Kernels, LINE_BYTES, Rows, ZERO, stride};

/// Sixty-four bytes that begin where a line of the cache begins.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE_BYTES]);

/// Rows of codes, padded and aligned for the kernels, with 1 ÷ the length of
/// each.
#[derive(Debug, Clone)]
pub(crate) struct RowStore {
    dimensions: usize,
    lines: Vec<Line>,
    inverse_lengths: Vec<f32>,
}

impl RowStore {
    /// No rows yet.
    pub(crate) fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            lines: Vec::new(),
            inverse_lengths: Vec::new(),
        }
    }

    /// Appends rows of codes, one after the other.
    pub(crate) fn extend(&mut self, values: &[i8]) {
        debug_assert!(values.len().is_multiple_of(self.dimensions));
        for row in values.chunks_exact(self.dimensions) {
            self.inverse_lengths.push(inverse_length(row));
            for part in row.chunks(LINE_BYTES) {
                let mut line = Line([ZERO; LINE_BYTES]);
                for (byte, code) in line.0.iter_mut().zip(part) {
                    *byte = code.cast_unsigned() ^ ZERO;
                }
                self.lines.push(line);
            }
        }
    }

    /// Appends the rows of another of the same dimensions.
    pub(crate) fn append(&mut self, other: &Self) {
        debug_assert_eq!(self.dimensions, other.dimensions);
        self.lines.extend_from_slice(&other.lines);
        self.inverse_lengths.extend(&other.inverse_lengths);
    }

    /// Appends one row of another of the same dimensions.
    pub(crate) fn append_row(&mut self, other: &Self, row: usize) {
        let lines = stride(self.dimensions) / LINE_BYTES;
        let of_row = &other.lines[row * lines..(row + 1) * lines];
        self.lines.extend_from_slice(of_row);
        self.inverse_lengths.push(other.inverse_lengths[row]);
    }

    /// What they are compared by.
    pub(crate) fn space(&self) -> Space<'_> {
        let bytes = self.lines.len() * LINE_BYTES;
        // SAFETY: a line is an array of 64 bytes and nothing else, so that many
        // of them are so many bytes; both are borrowed for as long as `self`.
        let bytes = unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), bytes) };
        Space {
            dimensions: self.dimensions,
            rows: Rows::new(bytes, self.dimensions),
            inverse_lengths: &self.inverse_lengths,
        }
    }
}

/// Rows among which a query looks for its neighbours.
#[derive(Clone, Copy)]
pub(crate) struct Space<'a> {
    dimensions: usize,
    pub(crate) rows: Rows<'a>,
    /// 1 ÷ the length of each row; 0 for a row of zeros.
    pub(crate) inverse_lengths: &'a [f32],
}

impl Space<'_> {
    /// How many rows there are.
    pub(crate) fn len(self) -> usize {
        self.inverse_lengths.len()
    }

    /// The codes of a row.
    pub(crate) fn codes(self, row: usize) -> Codes {
        let bytes = &self.rows.row(row)[..self.dimensions];
        let codes = bytes.iter().map(|byte| (byte ^ ZERO).cast_signed());
        Codes::new(self.dimensions, codes.collect())
    }

    /// The cosine of a unit query with a row; `None` for a row of zeros, which
    /// points nowhere. It is exact for what the codes say.
    pub(crate) fn cosine(self, query: &[f32], row: usize) -> Option<CosineScore> {
        let scale = self.inverse_lengths[row];
        let dot = || Kernels::best().dot_codes(query, self.rows.row(row));
        (scale > 0.0).then(|| CosineScore((dot() * scale).clamp(-1.0, 1.0)))
    }
}

/// A query, as the kernels compare it with codes.
pub(crate) struct Query<'a> {
    /// The query itself, of unit length.
    pub(crate) exact: &'a [f32],
    /// Its own codes, padded like a row.
    codes: Vec<i8>,
    /// What a row's offset adds to every sum.
    offset: i32,
    /// What one step of its codes is worth.
    step: f32,
    /// How far from the exact cosine an approximate one can be.
    pub(crate) slack: f32,
}

impl<'a> Query<'a> {
    /// Prepares a query.
    pub(crate) fn new(exact: &'a [f32]) -> Self {
        let codes = Codes::quantise(exact.len(), &[exact]);
        let mut codes = codes.values().to_vec();
        let largest = exact.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let step = largest / 127.0;
        let error = exact.iter().zip(&codes);
        let error = error.map(|(x, &code)| (x - f32::from(code) * step).powi(2));
        // By Cauchy and Schwarz a unit row sees no more of the error than its
        // length; the rest is for the rounding of floats.
        let slack = error.sum::<f32>().sqrt() + 1e-5;
        codes.resize(stride(exact.len()), 0);
        let sum: i32 = codes.iter().map(|&code| i32::from(code)).sum();
        Self {
            exact,
            codes,
            offset: sum * i32::from(ZERO),
            step,
            slack,
        }
    }

    /// Cosines with the rows named, each at most [`slack`](Self::slack) from the
    /// exact one; 0 for a row of zeros. `sums` is room for them.
    pub(crate) fn cosines<'s>(
        &'s self,
        space: Space<'s>,
        named: &'s [u32],
        sums: &'s mut [i32],
    ) -> impl Iterator<Item = f32> + 's {
        Kernels::best().gather(space.rows, &self.codes, named, sums);
        named.iter().zip(&*sums).map(move |(&row, sum)| {
            (sum - self.offset) as f32 * self.step * space.inverse_lengths[row as usize]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approximate_cosines_are_within_their_slack() {
        let wave = |seed: f32| -> Vec<f32> {
            let vector: Vec<f32> = (0..100).map(|i| (seed * (i * i) as f32).sin()).collect();
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vector.iter().map(|x| x / length).collect()
        };
        let mut store = RowStore::new(100);
        for seed in 1..200_u8 {
            store.extend(Codes::quantise(100, &[wave(f32::from(seed))]).values());
        }
        store.extend(&[0; 100]);
        let exact = wave(0.77);
        let query = Query::new(&exact);
        let named: Vec<u32> = (0..store.space().len() as u32).collect();
        let mut sums = vec![0; named.len()];
        let mut widest = 0.0_f32;
        let cosines: Vec<f32> = query.cosines(store.space(), &named, &mut sums).collect();
        for (row, cosine) in cosines.iter().enumerate() {
            match store.space().cosine(&exact, row) {
                Some(exact) => widest = widest.max((exact.0 - cosine).abs()),
                None => assert_eq!(*cosine, 0.0),
            }
        }
        assert!(
            widest > 0.0 && widest < query.slack,
            "{widest} {}",
            query.slack
        );
        assert!(query.slack < 0.02);
    }

    #[test]
    fn rows_keep_their_codes_and_begin_on_lines() {
        let mut store = RowStore::new(70);
        let codes: Vec<i8> = (0..140).map(|i| (i - 70) as i8).collect();
        store.extend(&codes);
        let mut other = RowStore::new(70);
        other.append_row(&store, 1);
        other.append(&store);
        let space = other.space();
        assert_eq!(space.len(), 3);
        assert_eq!(space.codes(0).values(), &codes[70..]);
        assert_eq!(space.codes(2).values(), &codes[70..]);
        assert!(space.rows.row(1).as_ptr().addr().is_multiple_of(LINE_BYTES));
    }
}
