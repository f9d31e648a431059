//! What does a table of token vectors hold?

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// What `model.safetensors` says.
pub(super) struct Table {
    pub(super) tokens: usize,
    pub(super) dimensions: usize,
    /// Where its rows begin, in bytes.
    pub(super) begins: usize,
    /// The rows as codes, if they are not codes as they are.
    pub(super) scaled: Option<Scaled>,
    /// A number for each token.
    pub(super) weights: Vec<f32>,
}

/// Rows of numbers as codes, each row with what it is to be multiplied by.
pub(super) struct Scaled {
    pub(super) codes: Vec<u8>,
    pub(super) scales: Vec<f32>,
}

impl Table {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        // Tables with fewer rows than tokens say by it which token has which row.
        if tensors.tensor("mapping").is_ok() {
            return Err("tables whose tokens share rows (`mapping`) are not read".to_owned());
        }
        let embeddings = tensors.tensor("embeddings");
        let embeddings = embeddings.map_err(|error| format!("tensor embeddings: {error}"))?;
        let &[tokens, dimensions] = embeddings.shape() else {
            return Err("`embeddings` is not a matrix".to_owned());
        };
        if tokens == 0 || dimensions == 0 {
            return Err(format!("`embeddings` is of {tokens} × {dimensions}"));
        }
        let weights = match tensors.tensor("weights") {
            Ok(weights) => numbers("weights", &weights)?,
            Err(_) => vec![1.0; tokens],
        };
        if weights.len() != tokens {
            let found = weights.len();
            return Err(format!("`weights` has {found} numbers for {tokens} rows"));
        }
        let scaled = match embeddings.dtype() {
            Dtype::I8 => None,
            _ => Some(codes_of(&numbers("embeddings", &embeddings)?, dimensions)),
        };
        Ok(Self {
            tokens,
            dimensions,
            begins: embeddings.data().as_ptr().addr() - bytes.as_ptr().addr(),
            scaled,
            weights,
        })
    }
}

/// The numbers of a tensor of floats, each of which must be one.
fn numbers(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let data = tensor.data();
    let numbers: Vec<f32> = match tensor.dtype() {
        Dtype::F64 => {
            let eights = data.as_chunks::<8>().0.iter();
            eights
                .map(|eight| f64::from_le_bytes(*eight) as f32)
                .collect()
        }
        Dtype::F32 => {
            let fours = data.as_chunks::<4>().0.iter();
            fours.map(|four| f32::from_le_bytes(*four)).collect()
        }
        Dtype::F16 => {
            let twos = data.as_chunks::<2>().0.iter();
            twos.map(|two| of_half(u16::from_le_bytes(*two))).collect()
        }
        Dtype::BF16 => {
            let twos = data.as_chunks::<2>().0.iter();
            let wide = twos.map(|two| u32::from(u16::from_le_bytes(*two)) << 16);
            wide.map(f32::from_bits).collect()
        }
        other => {
            return Err(format!(
                "`{name}` is of {other:?}, not of I8, F16, BF16, F32 or F64"
            ));
        }
    };
    match numbers.iter().all(|number| number.is_finite()) {
        true => Ok(numbers),
        false => Err(format!("`{name}` holds what is no number")),
    }
}

/// A float of 16 bits, which is one of 32 with another bias.
fn of_half(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let rest = u32::from(bits & 0x7fff);
    match rest >> 10 {
        // Below the least normal number steps are even.
        0 => f32::from_bits(sign | (rest as f32 * 2.0_f32.powi(-24)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | (rest & 0x3ff) << 13),
        _ => f32::from_bits(sign | ((rest << 13) + ((127 - 15) << 23))),
    }
}

/// Codes of a byte, of which the largest in a row is 127.
fn codes_of(numbers: &[f32], dimensions: usize) -> Scaled {
    let mut codes = Vec::with_capacity(numbers.len());
    let rows = numbers.chunks_exact(dimensions);
    let scales = rows.map(|row| {
        let largest = row.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let scale = largest / 127.0;
        let code = |x: &f32| match scale > 0.0 {
            true => (x / scale).round() as i8,
            false => 0,
        };
        codes.extend(row.iter().map(|x| code(x).cast_unsigned()));
        scale
    });
    let scales = scales.collect();
    Scaled { codes, scales }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> Result<Table, String> {
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            let view = TensorView::new(*dtype, shape.clone(), data).expect("a tensor");
            (*name, view)
        });
        Table::read(&safetensors::serialize(views, None).expect("a table"))
    }

    fn singles(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn rows_of_floats_become_codes_that_say_nearly_the_same() {
        let numbers = [0.5_f32, -1.0, 0.003, 0.0, 0.0, 0.0, 1e-6, 2e-6, -3e-6];
        let halves = [0x3800_u16, 0xbc00, 0x1a25, 0, 0, 0, 0x0011, 0x0022, 0x8032];
        let doubles = numbers.iter().flat_map(|&x| f64::from(x).to_le_bytes());
        let halves = halves.iter().flat_map(|x| x.to_le_bytes());
        let short = numbers
            .iter()
            .flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes());
        for (dtype, data) in [
            (Dtype::F64, doubles.collect()),
            (Dtype::F32, singles(&numbers)),
            (Dtype::F16, halves.collect()),
            (Dtype::BF16, short.collect()),
        ] {
            let read = table(&[("embeddings", dtype, vec![3, 3], data)]).expect("a table");
            assert_eq!((read.tokens, read.dimensions), (3, 3));
            assert_eq!(read.weights, [1.0; 3]);
            let Scaled { codes, scales } = read.scaled.expect("codes");
            for (at, expected) in numbers.iter().enumerate() {
                let scale = scales[at / 3];
                let found = scale * f32::from(codes[at].cast_signed());
                // Half a code, and what a number of 16 bits leaves out.
                let most = scale * 0.51 + expected.abs() * 0.02;
                assert!((found - expected).abs() <= most, "{found} {expected}");
            }
        }
    }

    #[test]
    fn halves_are_what_they_are_everywhere() {
        for (bits, expected) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 2.0_f32.powi(-14)),
            (0x0001, 2.0_f32.powi(-24)),
            (0x83ff, -1023.0 * 2.0_f32.powi(-24)),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(of_half(bits), expected, "{bits:x}");
        }
        assert!(of_half(0x7e00).is_nan());
    }

    #[test]
    fn what_is_no_table_is_refused_with_the_reason() {
        let codes = ("embeddings", Dtype::I8, vec![2, 2], vec![1; 4]);
        let error = |tensors: &[_]| table(tensors).err().expect("refused");
        let mapping = ("mapping", Dtype::I64, vec![1], vec![0; 8]);
        assert!(error(&[codes.clone(), mapping]).contains("mapping"));
        let one = ("weights", Dtype::F32, vec![1], singles(&[1.0]));
        assert!(error(&[codes.clone(), one]).contains("1 numbers for 2 rows"));
        let odd = ("weights", Dtype::F32, vec![2], singles(&[1.0, f32::NAN]));
        assert!(error(&[codes, odd]).contains("no number"));
        let whole = ("embeddings", Dtype::I32, vec![1, 1], vec![0; 4]);
        assert!(error(&[whole]).contains("I32"));
        let flat = ("embeddings", Dtype::I8, vec![4], vec![0; 4]);
        assert!(error(&[flat]).contains("matrix"));
        assert!(error(&[]).contains("embeddings"));
    }
}
