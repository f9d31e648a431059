//! How are vectors compared on any processor?
//!
//! The bodies are compiled again for processors with wider registers, where the
//! compiler does better with them than by hand.

use super::{Kernels, Rows, ZERO};

pub(super) static KERNELS: Kernels = Kernels {
    name: "portable",
    gather,
    dot_codes,
    dot,
};

fn gather(rows: Rows<'_>, query: &[i8], named: &[u32], sums: &mut [i32]) {
    for (sum, &row) in sums.iter_mut().zip(named) {
        let row = rows.row(row as usize);
        let products = row.iter().zip(query);
        *sum = products.map(|(&r, &q)| i32::from(r) * i32::from(q)).sum();
    }
}

/// Partial sums, so that the compiler may use vector registers; their order is
/// fixed, so that the same query gives the same bits everywhere.
const LANES: usize = 16;

/// The dot product of a query with a row of codes.
#[inline(always)]
pub(super) fn dot_codes(query: &[f32], row: &[u8]) -> f32 {
    let code = |byte: u8| f32::from((byte ^ ZERO).cast_signed());
    let mut sums = [0.0_f32; LANES];
    let row = &row[..query.len()];
    let mut queries = query.chunks_exact(LANES);
    let mut rows = row.chunks_exact(LANES);
    for (q, r) in (&mut queries).zip(&mut rows) {
        for lane in 0..LANES {
            sums[lane] += q[lane] * code(r[lane]);
        }
    }
    let rest = queries.remainder().iter().zip(rows.remainder());
    let rest: f32 = rest.map(|(q, &r)| q * code(r)).sum();
    sums.iter().sum::<f32>() + rest
}

/// The dot product of a query with a vector.
#[inline(always)]
pub(super) fn dot(query: &[f32], vector: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let vector = &vector[..query.len()];
    let mut queries = query.chunks_exact(LANES);
    let mut vectors = vector.chunks_exact(LANES);
    for (q, v) in (&mut queries).zip(&mut vectors) {
        for lane in 0..LANES {
            sums[lane] += q[lane] * v[lane];
        }
    }
    let rest = queries.remainder().iter().zip(vectors.remainder());
    let rest: f32 = rest.map(|(q, v)| q * v).sum();
    sums.iter().sum::<f32>() + rest
}
