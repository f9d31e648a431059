//! How do the vectors of many texts vary, and how is that evened out?
//!
//! Matrices are square, row after row. Sums are made in one order whatever the
//! number of threads, so that the same texts give the same bytes.

use rayon::prelude::*;

/// The mean of vectors, and the covariance of so many of them at most, from all
/// over.
pub(crate) fn moments(
    vectors: &[Vec<f32>],
    most: usize,
    dimensions: usize,
) -> (Vec<f32>, Vec<f64>) {
    /// Rows of the matrix for which the vectors are gone through at once.
    const ROWS: usize = 16;
    let count = vectors.len().max(1) as f64;
    let mut sum = vec![0.0_f64; dimensions];
    for vector in vectors {
        for (sum, &x) in sum.iter_mut().zip(vector) {
            *sum += f64::from(x);
        }
    }
    let mean: Vec<f32> = sum.iter().map(|sum| (sum / count) as f32).collect();
    let taken = vectors.len().min(most);
    let taken: Vec<&[f32]> = (0..taken)
        .map(|at| vectors[at * vectors.len() / taken].as_slice())
        .collect();
    let count = taken.len().max(1) as f64;
    let mut covariance = vec![0.0_f64; dimensions * dimensions];
    covariance
        .par_chunks_mut(ROWS * dimensions)
        .enumerate()
        .for_each(|(block, rows)| {
            let first = block * ROWS;
            let mut centred = vec![0.0_f32; dimensions];
            // In floats for a while, as their sums are exact enough then.
            for part in taken.chunks(256) {
                let mut sums = vec![0.0_f32; rows.len()];
                for vector in part {
                    for ((centred, x), mean) in centred.iter_mut().zip(*vector).zip(&mean) {
                        *centred = x - mean;
                    }
                    for (row, sums) in sums.chunks_exact_mut(dimensions).enumerate() {
                        let factor = centred[first + row];
                        for (sum, x) in sums.iter_mut().zip(&centred) {
                            *sum += factor * x;
                        }
                    }
                }
                for (total, sum) in rows.iter_mut().zip(sums) {
                    *total += f64::from(sum);
                }
            }
            for total in rows {
                *total /= count;
            }
        });
    (mean, covariance)
}

/// What evens out how much vectors of this covariance vary in each direction, and
/// leaves how much they do in all: V = W · √(tr A ÷ tr(W · A · W)), with W =
/// [`inverse_root`]; nothing if nothing varies.
pub(crate) fn whitening(a: &[f64], dimensions: usize, shrinkage: f64) -> Option<Vec<f32>> {
    let root = inverse_root(a, dimensions, shrinkage)?;
    let wide: Vec<f64> = root.iter().map(|&x| f64::from(x)).collect();
    let trace = |matrix: &[f64]| -> f64 {
        let diagonal = matrix.iter().step_by(dimensions + 1);
        diagonal.sum()
    };
    let evened = times(&times(&wide, a, dimensions), &wide, dimensions);
    let scale = (trace(a) / trace(&evened)).sqrt() as f32;
    let scaled: Vec<f32> = root.iter().map(|x| x * scale).collect();
    scaled.iter().all(|x| x.is_finite()).then_some(scaled)
}

/// (A + shrinkage · mean of A's diagonal · I)^(-1/2) of a covariance, by the
/// iteration of Newton and Schulz (Higham, *Functions of Matrices*, 2008, 6.3);
/// nothing if nothing varies.
fn inverse_root(a: &[f64], dimensions: usize, shrinkage: f64) -> Option<Vec<f32>> {
    const STEPS: usize = 40;
    /// A product with the matrix itself is so near to the unit matrix at the end.
    const NEAR: f64 = 1e-6;
    let diagonal = |row: usize| row * (dimensions + 1);
    let trace: f64 = (0..dimensions).map(|row| a[diagonal(row)]).sum();
    let added = shrinkage * trace / dimensions as f64;
    if !added.is_normal() || added < 1e-12 {
        return None;
    }
    let mut y = a.to_vec();
    for row in 0..dimensions {
        y[diagonal(row)] += added;
    }
    // No eigenvalue is greater than this, so that the iteration comes to an end.
    let bound = y.iter().map(|x| x * x).sum::<f64>().sqrt();
    y.iter_mut().for_each(|x| *x /= bound);
    let mut z = vec![0.0; dimensions * dimensions];
    for row in 0..dimensions {
        z[diagonal(row)] = 1.0;
    }
    for _ in 0..STEPS {
        let mut t = times(&z, &y, dimensions);
        let mut error = 0.0_f64;
        for (at, x) in t.iter_mut().enumerate() {
            let unit = if at % (dimensions + 1) == 0 { 1.0 } else { 0.0 };
            error = error.max((*x - unit).abs());
            *x = 1.5 * unit - 0.5 * *x;
        }
        if error < NEAR {
            break;
        }
        y = times(&y, &t, dimensions);
        z = times(&t, &z, dimensions);
    }
    let scale = bound.sqrt().recip();
    let root: Vec<f32> = z.iter().map(|x| (x * scale) as f32).collect();
    root.iter().all(|x| x.is_finite()).then_some(root)
}

fn times(a: &[f64], b: &[f64], dimensions: usize) -> Vec<f64> {
    let mut out = vec![0.0; dimensions * dimensions];
    out.par_chunks_mut(dimensions)
        .zip(a.par_chunks(dimensions))
        .for_each(|(out, row)| {
            for (&factor, b) in row.iter().zip(b.chunks_exact(dimensions)) {
                for (sum, x) in out.iter_mut().zip(b) {
                    *sum += factor * x;
                }
            }
        });
    out
}

/// A vector times a matrix.
pub(crate) fn product(vector: &[f32], matrix: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; vector.len()];
    for (&factor, row) in vector.iter().zip(matrix.chunks_exact(vector.len())) {
        for (sum, x) in out.iter_mut().zip(row) {
            *sum += factor * x;
        }
    }
    out
}

/// What tests compare vectors of unit length by.
#[cfg(test)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_times_itself_times_the_matrix_is_one() {
        const N: usize = 24;
        let vectors: Vec<Vec<f32>> = (0..400_u32)
            .map(|i| {
                let wave = |j: usize| ((i * 37 + 11) as f32 * (j + 1) as f32 * 0.37).sin();
                (0..N).map(|j| wave(j) / (1 + j * j) as f32).collect()
            })
            .collect();
        let (mean, covariance) = moments(&vectors, 1000, N);
        let by_hand = |i: usize, j: usize| -> f64 {
            let terms = vectors
                .iter()
                .map(|v| f64::from((v[i] - mean[i]) * (v[j] - mean[j])));
            terms.sum::<f64>() / 400.0
        };
        for (i, j) in [(0, 0), (3, 3), (0, 5), (23, 1)] {
            assert!((covariance[i * N + j] - by_hand(i, j)).abs() < 1e-7);
        }
        let even = whitening(&covariance, N, 0.1).expect("they vary");
        let even: Vec<f64> = even.into_iter().map(f64::from).collect();
        let evened = times(&times(&even, &covariance, N), &even, N);
        let trace = |matrix: &[f64]| -> f64 { matrix.iter().step_by(N + 1).sum() };
        assert!((trace(&evened) / trace(&covariance) - 1.0).abs() < 1e-4);
        let root = inverse_root(&covariance, N, 0.1).expect("they vary");
        let root: Vec<f64> = root.into_iter().map(f64::from).collect();
        let trace: f64 = (0..N).map(|i| covariance[i * (N + 1)]).sum();
        let mut shrunk = covariance;
        for i in 0..N {
            shrunk[i * (N + 1)] += 0.1 * trace / N as f64;
        }
        let one = times(&times(&root, &root, N), &shrunk, N);
        for (at, x) in one.into_iter().enumerate() {
            let unit = f64::from(u8::from(at % (N + 1) == 0));
            assert!((x - unit).abs() < 1e-3, "{at}: {x}");
        }
    }

    #[test]
    fn where_nothing_varies_there_is_no_root() {
        let (_, covariance) = moments(&vec![vec![0.5; 8]; 3], 100, 8);
        assert_eq!(inverse_root(&covariance, 8, 0.1), None);
    }
}
