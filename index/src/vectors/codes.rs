//! How is a vector kept in one byte a dimension?
//!
//! A vector is scaled so that its largest component is ±127 and rounded. Its
//! length is not kept: cosine does not need it, and the length of the codes
//! themselves is computed again when they are read. A cosine against a query
//! in `f32` is therefore exact for the decoded vector.

/// Rows of codes, all of one number of dimensions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Codes {
    dimensions: usize,
    values: Vec<i8>,
}

impl Codes {
    /// Wraps rows of codes; the values are a whole number of rows.
    pub(crate) fn new(dimensions: usize, values: Vec<i8>) -> Self {
        debug_assert!(dimensions > 0 && values.len().is_multiple_of(dimensions));
        Self { dimensions, values }
    }

    /// Quantises vectors of `dimensions` finite components.
    pub(crate) fn quantise(dimensions: usize, vectors: &[impl AsRef<[f32]>]) -> Self {
        let mut values = Vec::with_capacity(vectors.len() * dimensions);
        for vector in vectors {
            quantise(vector.as_ref(), &mut values);
        }
        Self::new(dimensions, values)
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// One row.
    pub(crate) fn row(&self, row: usize) -> &[i8] {
        &self.values[row * self.dimensions..(row + 1) * self.dimensions]
    }

    /// All rows, one after the other.
    pub(crate) fn values(&self) -> &[i8] {
        &self.values
    }
}

/// Appends the codes of a vector.
pub(crate) fn quantise(vector: &[f32], values: &mut Vec<i8>) {
    let largest = vector.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, reason = "within ±127 by the scale")]
    values.extend(vector.iter().map(|x| (x * scale).round() as i8));
}

/// 1 ÷ the length of a row; 0 for a row of zeros, whose cosines are then 0.
pub(crate) fn inverse_length(row: &[i8]) -> f32 {
    let squares: i64 = row
        .iter()
        .map(|&code| i64::from(code) * i64::from(code))
        .sum();
    if squares == 0 {
        0.0
    } else {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a score's precision is enough"
        )]
        let inverse = (1.0 / (squares as f64).sqrt()) as f32;
        inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantising_keeps_the_direction() {
        let vector: Vec<f32> = (0..50_u8).map(|i| f32::from(i % 7) - 3.0).collect();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        let codes = Codes::quantise(50, &[&vector]);
        let pairs = vector.iter().zip(codes.row(0));
        let dot: f32 = pairs.map(|(x, &code)| x * f32::from(code)).sum();
        let cosine = dot / length * inverse_length(codes.row(0));
        assert!((cosine - 1.0).abs() < 1e-4, "{cosine}");
    }

    #[test]
    fn a_zero_vector_has_zero_cosines() {
        let codes = Codes::quantise(3, &[vec![0.0; 3]]);
        assert_eq!(codes.rows(), 1);
        assert_eq!(inverse_length(codes.row(0)), 0.0);
    }
}
