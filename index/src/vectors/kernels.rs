//! How are vectors compared as fast as this machine can?
//!
//! A set of kernels is chosen once, by what the processor has. Sums of codes
//! are integers, and sums of floats are added in one order everywhere, so that
//! every set gives the same bits.

#![allow(
    unsafe_code,
    reason = "kernels for instructions that not every processor has; each is tested against the portable one"
)]

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

/// Rows are padded to whole lines of so many bytes.
pub(crate) const LINE_BYTES: usize = 64;

/// What the padding of a row holds: the code 0.
pub(crate) const ZERO: u8 = 128;

/// Rows of codes as kernels want them: each a byte, offset by 128, and each row
/// padded to whole lines with [`ZERO`].
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    bytes: &'a [u8],
    stride: usize,
}

impl<'a> Rows<'a> {
    /// Wraps rows of codes for vectors of `dimensions`.
    pub(crate) fn new(bytes: &'a [u8], dimensions: usize) -> Self {
        let stride = stride(dimensions);
        assert!(bytes.len().is_multiple_of(stride), "rows are whole");
        Self { bytes, stride }
    }

    /// How many there are.
    pub(crate) fn len(self) -> usize {
        self.bytes.len() / self.stride
    }

    /// One row, with its padding.
    pub(crate) fn row(self, row: usize) -> &'a [u8] {
        &self.bytes[row * self.stride..(row + 1) * self.stride]
    }
}

/// The bytes of a row.
pub(crate) fn stride(dimensions: usize) -> usize {
    dimensions.next_multiple_of(LINE_BYTES)
}

/// The kernels for one kind of processor.
pub(crate) struct Kernels {
    /// The instructions used.
    pub(crate) name: &'static str,
    // Callers of both have made sure that the processor has them.
    /// Sums of row × query for the rows named. Every row named is there, the
    /// query is as long as a row, and there is room for every sum.
    gather: unsafe fn(rows: Rows<'_>, query: &[i8], named: &[u32], sums: &mut [i32]),
    /// Row × query, with the row's offset taken away.
    dot_codes: unsafe fn(query: &[f32], row: &[u8]) -> f32,
    /// Query × vector.
    dot: unsafe fn(query: &[f32], vector: &[f32]) -> f32,
}

impl Kernels {
    /// The best that this processor has.
    pub(crate) fn best() -> &'static Self {
        static BEST: OnceLock<&'static Kernels> = OnceLock::new();
        BEST.get_or_init(|| {
            let all = Self::available();
            let wanted = wanted();
            let named = all
                .iter()
                .find(|kernels| Some(kernels.name) == wanted.as_deref());
            named.or(all.first()).copied().unwrap_or(&portable::KERNELS)
        })
    }

    /// All that this processor has, the best one first.
    pub(crate) fn available() -> Vec<&'static Self> {
        let mut all: Vec<&'static Self> = Vec::new();
        #[cfg(target_arch = "x86_64")]
        all.extend(x86::available());
        #[cfg(target_arch = "aarch64")]
        all.extend(neon::available());
        all.push(&portable::KERNELS);
        all
    }

    /// For each row named, the sum of its bytes times the query's codes; the
    /// query is padded like a row, with zeros.
    ///
    /// # Panics
    /// If a row is named that is not there, the query is not as long as a row,
    /// or there is no room for every sum.
    pub(crate) fn gather(&self, rows: Rows<'_>, query: &[i8], named: &[u32], sums: &mut [i32]) {
        let last = named.iter().max().map_or(0, |&row| row as usize + 1);
        assert!(
            last <= rows.len() && query.len() == rows.stride && named.len() <= sums.len(),
            "a row, a query or room for sums is missing"
        );
        // SAFETY: all that is asked of the arguments was asserted just now, and
        // `available` hands out only what the processor has.
        unsafe { (self.gather)(rows, query, named, sums) }
    }

    /// The dot product of a query with a row of codes. What the row has beyond
    /// the query is its padding.
    pub(crate) fn dot_codes(&self, query: &[f32], row: &[u8]) -> f32 {
        // SAFETY: `available` hands out only what the processor has.
        unsafe { (self.dot_codes)(query, row) }
    }

    /// The dot product of a query with a vector of as many dimensions.
    pub(crate) fn dot(&self, query: &[f32], vector: &[f32]) -> f32 {
        // SAFETY: `available` hands out only what the processor has.
        unsafe { (self.dot)(query, vector) }
    }
}

/// Asks for what is wanted soon; a hint, which reads nothing.
#[inline(always)]
pub(crate) fn prefetch<T>(wanted: &[T]) {
    #[cfg(target_arch = "x86_64")]
    x86::prefetch(wanted);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = wanted;
}

/// Which kernels a test or a benchmark asks for.
fn wanted() -> Option<String> {
    #[cfg(feature = "faults")]
    return std::env::var("CENTO_KERNELS").ok();
    #[cfg(not(feature = "faults"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(seed: u32, many: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..many).map(|_| next()).collect()
    }

    #[test]
    fn every_set_of_kernels_gives_the_same_bits() {
        for dimensions in [
            1, 3, 15, 16, 17, 63, 64, 65, 127, 128, 256, 384, 500, 768, 1024, 1536,
        ] {
            let (stride, count) = (stride(dimensions), 23);
            let mut rows = bytes(7, count * stride);
            let mut query: Vec<i8> = (bytes(3, stride).iter()).map(|b| b.cast_signed()).collect();
            // The greatest sums that there can be.
            rows[..stride].fill(255);
            rows[stride..2 * stride].fill(1);
            for row in rows.chunks_exact_mut(stride) {
                row[dimensions..].fill(ZERO);
            }
            query[dimensions..].fill(0);
            if dimensions.is_multiple_of(2) {
                query[..dimensions].fill(-127);
            }
            let exact: Vec<f32> = query[..dimensions]
                .iter()
                .map(|&q| f32::from(q) / 31.7)
                .collect();
            let rows = Rows::new(&rows, dimensions);
            let named: Vec<u32> = (0..count as u32).rev().chain([5, 5, 0]).collect();
            let expected: Vec<i32> = (named.iter())
                .map(|&row| {
                    let pairs = rows.row(row as usize).iter().zip(&query);
                    pairs.map(|(&r, &q)| i32::from(r) * i32::from(q)).sum()
                })
                .collect();
            for kernels in Kernels::available() {
                let name = kernels.name;
                for many in 0..=named.len() {
                    let mut sums = vec![0; named.len()];
                    kernels.gather(rows, &query, &named[..many], &mut sums);
                    assert_eq!(sums[..many], expected[..many], "{name}, {dimensions}");
                }
                for row in 0..count {
                    let [ours, theirs] = [kernels, &portable::KERNELS]
                        .map(|kernels| kernels.dot_codes(&exact, rows.row(row)).to_bits());
                    assert_eq!(ours, theirs, "{name}, {dimensions}");
                }
                let other: Vec<f32> = exact.iter().rev().map(|x| x * 1.37 + 0.1).collect();
                let [ours, theirs] = [kernels, &portable::KERNELS]
                    .map(|kernels| kernels.dot(&exact, &other).to_bits());
                assert_eq!(ours, theirs, "{name}, {dimensions}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "is missing")]
    fn a_row_that_is_not_there_is_refused() {
        let rows = [ZERO; 128];
        Kernels::best().gather(Rows::new(&rows, 64), &[0; 64], &[2], &mut [0]);
    }
}
