//! How do rows of codes lie in memory, and what is a query beside them?

use bytemuck::cast_slice;
use cento_core::CosineScore;

use super::codes::{Codes, inverse_length, quantise};
use super::kernels::{Kernels, LINE_BYTES, Rows, ZERO, stride};
use super::pages::{Line, with_large_pages};

/// Rows of codes, padded and aligned for the kernels, with 1 ÷ the length of
/// each, and the vectors themselves where they are kept.
#[derive(Debug, Clone)]
pub(crate) struct RowStore {
    dimensions: usize,
    lines: Vec<Line>,
    inverse_lengths: Vec<f32>,
    /// The vectors as they were given, or nothing at all.
    originals: Vec<f32>,
    slack: f32,
}

impl RowStore {
    /// No rows yet.
    pub(crate) fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            lines: Vec::new(),
            inverse_lengths: Vec::new(),
            originals: Vec::new(),
            slack: 0.0,
        }
    }

    /// No rows yet, and room for so many codes.
    pub(crate) fn with_room(dimensions: usize, rows: usize) -> Self {
        Self {
            lines: with_large_pages(rows * stride(dimensions) / LINE_BYTES),
            inverse_lengths: with_large_pages(rows),
            ..Self::new(dimensions)
        }
    }

    /// Appends rows, one after the other: with their vectors, or without as all
    /// others here.
    pub(crate) fn extend(&mut self, codes: &[i8], originals: &[f32]) {
        debug_assert!(codes.len().is_multiple_of(self.dimensions));
        debug_assert!(originals.is_empty() || originals.len() == codes.len());
        let mut vectors = originals.chunks_exact(self.dimensions);
        for row in codes.chunks_exact(self.dimensions) {
            let inverse = inverse_length(row);
            self.inverse_lengths.push(inverse);
            for part in row.chunks(LINE_BYTES) {
                let mut line = Line([ZERO; LINE_BYTES]);
                for (byte, code) in line.0.iter_mut().zip(part) {
                    *byte = code.cast_unsigned() ^ ZERO;
                }
                self.lines.push(line);
            }
            if let Some(vector) = vectors.next() {
                let error = vector.iter().zip(row);
                let error = error.map(|(x, &code)| (x - f32::from(code) * inverse).powi(2));
                self.slack = self.slack.max(error.sum::<f32>().sqrt());
            }
        }
        self.originals.extend_from_slice(originals);
    }

    /// Appends the rows of another of the same dimensions.
    pub(crate) fn append(&mut self, other: Space<'_>) {
        for row in 0..other.len() {
            self.append_row(other, row);
        }
    }

    /// Appends one row of another of the same dimensions.
    pub(crate) fn append_row(&mut self, other: Space<'_>, row: usize) {
        self.append_codes(other, row);
        self.originals.extend_from_slice(other.original(row));
        self.slack = self.slack.max(other.slack);
    }

    /// Appends the codes of one row of another of the same dimensions.
    pub(crate) fn append_codes(&mut self, other: Space<'_>, row: usize) {
        debug_assert_eq!(self.dimensions, other.dimensions);
        for line in other.rows.row(row).chunks_exact(LINE_BYTES) {
            let mut whole = Line([ZERO; LINE_BYTES]);
            whole.0.copy_from_slice(line);
            self.lines.push(whole);
        }
        self.inverse_lengths.push(other.inverse_lengths[row]);
    }

    /// What they are compared by.
    pub(crate) fn space(&self) -> Space<'_> {
        Space {
            dimensions: self.dimensions,
            rows: Rows::new(cast_slice(&self.lines), self.dimensions),
            inverse_lengths: &self.inverse_lengths,
            originals: &self.originals,
            slack: self.slack,
        }
    }
}

/// Rows among which a query looks for its neighbours.
#[derive(Clone, Copy)]
pub(crate) struct Space<'a> {
    pub(crate) dimensions: usize,
    pub(crate) rows: Rows<'a>,
    /// 1 ÷ the length of each row; 0 for a row of zeros.
    pub(crate) inverse_lengths: &'a [f32],
    /// The vectors as they were given, or nothing at all.
    pub(crate) originals: &'a [f32],
    /// How far a vector can be from what its codes stand for.
    pub(crate) slack: f32,
}

impl<'a> Space<'a> {
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

    /// The vector of a row as it was given; nothing where none is kept.
    pub(crate) fn original(self, row: usize) -> &'a [f32] {
        let first = row * self.dimensions;
        let whole = self.originals.get(first..first + self.dimensions);
        whole.unwrap_or_default()
    }

    /// The cosine of a unit query with a row; `None` for a row of zeros, which
    /// points nowhere. It is exact for the vector as it was given, or for what
    /// the codes say where that is not kept.
    pub(crate) fn cosine(self, query: &[f32], row: usize) -> Option<CosineScore> {
        let scale = self.inverse_lengths[row];
        let cosine = || match self.original(row) {
            [] => Kernels::best().dot_codes(query, self.rows.row(row)) * scale,
            vector => Kernels::best().dot(query, vector),
        };
        (scale > 0.0).then(|| CosineScore(cosine().clamp(-1.0, 1.0)))
    }
}

/// Codes that rows are compared with, and what their sums are worth.
#[derive(Clone, Copy)]
pub(crate) struct Probe<'a> {
    /// Padded like a row.
    codes: &'a [i8],
    /// What a row's offset adds to every sum.
    offset: i32,
    /// What makes a sum a cosine, but for the row's own length.
    scale: f32,
}

impl<'a> Probe<'a> {
    fn new(codes: &'a [i8], scale: f32) -> Self {
        let sum: i32 = codes.iter().map(|&code| i32::from(code)).sum();
        Self {
            codes,
            offset: sum * i32::from(ZERO),
            scale,
        }
    }

    /// A row as it is seen by others; `room` is for its codes.
    pub(crate) fn of_row(space: Space<'_>, row: u32, room: &'a mut Vec<i8>) -> Self {
        room.clear();
        let bytes = space.rows.row(row as usize).iter();
        room.extend(bytes.map(|byte| (byte ^ ZERO).cast_signed()));
        Self::new(room, space.inverse_lengths[row as usize])
    }

    /// Cosines with the rows named, as far as codes tell; 0 for a row of zeros.
    /// `sums` is room for them.
    #[inline]
    pub(crate) fn cosines<'s>(
        &self,
        space: Space<'s>,
        named: &'s [u32],
        sums: &'s mut [i32],
    ) -> impl Iterator<Item = f32> + use<'s> {
        Kernels::best().gather(space.rows, self.codes, named, sums);
        let (offset, scale) = (self.offset, self.scale);
        named.iter().zip(&*sums).map(move |(&row, sum)| {
            (sum - offset) as f32 * scale * space.inverse_lengths[row as usize]
        })
    }
}

/// A query, as the kernels compare it with codes.
pub(crate) struct Query<'a> {
    /// The query itself, of unit length.
    pub(crate) exact: &'a [f32],
    /// Its own codes.
    pub(crate) probe: Probe<'a>,
    /// How far from the cosine with a row's codes an approximate one can be.
    slack: f32,
}

impl<'a> Query<'a> {
    /// Prepares a query; `room` is for its codes.
    pub(crate) fn new(exact: &'a [f32], room: &'a mut Vec<i8>) -> Self {
        let largest = exact.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let step = largest / 127.0;
        room.clear();
        quantise(exact, room);
        let error = exact.iter().zip(&*room);
        let error = error.map(|(x, &code)| (x - f32::from(code) * step).powi(2));
        // By Cauchy and Schwarz a unit row sees no more of the error than its
        // length; the rest is for the rounding of floats.
        let slack = error.sum::<f32>().sqrt() + 1e-5;
        room.resize(stride(exact.len()), 0);
        Self {
            exact,
            probe: Probe::new(room, step),
            slack,
        }
    }

    /// How far from a row's cosine an approximate one can be.
    pub(crate) fn slack(&self, space: Space<'_>) -> f32 {
        self.slack + space.slack
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
            store.extend(Codes::quantise(100, &[wave(f32::from(seed))]).values(), &[]);
        }
        store.extend(&[0; 100], &[]);
        let exact = wave(0.77);
        let mut room = Vec::new();
        let query = Query::new(&exact, &mut room);
        let named: Vec<u32> = (0..store.space().len() as u32).collect();
        let mut sums = vec![0; named.len()];
        let mut widest = 0.0_f32;
        let cosines: Vec<f32> = (query.probe)
            .cosines(store.space(), &named, &mut sums)
            .collect();
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
    fn a_vector_that_is_kept_is_compared_as_it_was_given() {
        let vector = [0.6_f32, 0.0, -0.8, 0.0];
        let near = [0.597, 0.01, -0.802, 0.02];
        let mut store = RowStore::new(4);
        for original in [vector, near] {
            let mut codes = Vec::new();
            quantise(&original, &mut codes);
            store.extend(&codes, &original);
        }
        let space = store.space();
        assert_eq!(space.original(1), near);
        assert_eq!(space.cosine(&vector, 0).unwrap().0, 1.0);
        let exact: f32 = vector.iter().zip(near).map(|(a, b)| a * b).sum();
        assert!((space.cosine(&vector, 1).unwrap().0 - exact).abs() < 1e-7);
        // What codes say may be so far from it.
        let mut room = Vec::new();
        let query = Query::new(&vector, &mut room);
        let mut sums = [0; 2];
        for (at, by_codes) in (query.probe.cosines(space, &[0, 1], &mut sums)).enumerate() {
            let exact = space.cosine(&vector, at).unwrap().0;
            assert!((exact - by_codes).abs() <= query.slack(space));
        }
        assert!(space.slack > 0.0 && space.slack < 0.01);
    }

    #[test]
    fn rows_keep_their_codes_and_begin_on_lines() {
        let mut store = RowStore::new(70);
        let codes: Vec<i8> = (0..140).map(|i| (i - 70) as i8).collect();
        store.extend(&codes, &[]);
        let mut other = RowStore::new(70);
        other.append_row(store.space(), 1);
        other.append(store.space());
        let space = other.space();
        assert_eq!(space.len(), 3);
        assert_eq!(space.codes(0).values(), &codes[70..]);
        assert_eq!(space.codes(2).values(), &codes[70..]);
        assert!(space.rows.row(1).as_ptr().addr().is_multiple_of(LINE_BYTES));
    }
}
