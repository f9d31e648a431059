//! How does a table of token vectors embed a text?
//!
//! Model2Vec's format: `tokenizer.json`, and `model.safetensors` with a tensor
//! `embeddings` (tokens × dimensions, here `I8`) and a tensor `weights` (one
//! `F32` a token). A text's vector is the sum of its tokens' rows, each times
//! its weight, scaled to unit length. Unknown tokens count nothing.

use std::ops::Range;

use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};
use tokenizers::Tokenizer;

use crate::EmbedError;

/// A static model whose table stays where the binary put it.
pub(crate) struct StaticModel {
    tokenizer: Tokenizer,
    unknown: Option<u32>,
    table: &'static [u8],
    rows: Range<usize>,
    weights: Vec<f32>,
    dimensions: usize,
    fingerprint: String,
}

const TOKENIZER: &str = "tokenizer.json";
const TABLE: &str = "model.safetensors";

impl StaticModel {
    /// Reads a model from its two files' bytes.
    pub(crate) fn new(
        name: &str,
        tokenizer_json: &[u8],
        table: &'static [u8],
    ) -> Result<Self, EmbedError> {
        let wrong = |file, reason: String| EmbedError::Format { file, reason };
        let mut tokenizer = Tokenizer::from_bytes(tokenizer_json)
            .map_err(|error| wrong(TOKENIZER, error.to_string()))?;
        // A table has no positions: padding and truncation would only cost.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| wrong(TOKENIZER, error.to_string()))?;
        let tensors =
            SafeTensors::deserialize(table).map_err(|error| wrong(TABLE, error.to_string()))?;
        let tensor = |name: &str| {
            tensors
                .tensor(name)
                .map_err(|error| wrong(TABLE, format!("tensor {name}: {error}")))
        };
        let embeddings = tensor("embeddings")?;
        let &[tokens, dimensions] = embeddings.shape() else {
            return Err(wrong(TABLE, "`embeddings` is not a matrix".to_owned()));
        };
        if embeddings.dtype() != Dtype::I8 || tokens == 0 || dimensions == 0 {
            let found = format!("{:?} of {tokens} × {dimensions}", embeddings.dtype());
            return Err(wrong(TABLE, format!("`embeddings` is {found}, not I8")));
        }
        let weights = tensor("weights")?;
        if weights.dtype() != Dtype::F32 || weights.shape() != [tokens] {
            let found = format!("{:?} of {:?}", weights.dtype(), weights.shape());
            return Err(wrong(
                TABLE,
                format!("`weights` is {found}, not F32 of {tokens}"),
            ));
        }
        let known = tokenizer.get_vocab_size(true);
        if known > tokens {
            let reason = format!("it has {known} tokens, the table {tokens} rows");
            return Err(wrong(TOKENIZER, reason));
        }
        let weights: Vec<f32> = weights
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        if !weights.iter().all(|weight| weight.is_finite()) {
            return Err(wrong(TABLE, "a weight is no number".to_owned()));
        }
        // The rows are looked up in place: the table is by far the largest
        // part of the model, and it is mapped with the binary.
        let begins = embeddings.data().as_ptr().addr() - table.as_ptr().addr();
        let mut hasher = blake3::Hasher::new();
        hasher.update(tokenizer_json).update(table);
        let revision = &hasher.finalize().to_hex()[..16];
        Ok(Self {
            unknown: tokenizer.token_to_id("[UNK]"),
            tokenizer,
            table,
            rows: begins..begins + tokens * dimensions,
            weights,
            dimensions,
            fingerprint: format!("{name}@{revision}/mean"),
        })
    }

    /// Identity of table, tokenizer and pooling.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Components of a vector.
    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The tokens of a text that count.
    pub(crate) fn tokens(&self, text: &str) -> Vec<u32> {
        // WordPiece has an answer for every text; were there none, the text
        // would have no known token.
        let encoding = self.tokenizer.encode_fast(text, false);
        let ids = encoding.map_or_else(|_| Vec::new(), |encoding| encoding.get_ids().to_vec());
        ids.into_iter()
            .filter(|&id| Some(id) != self.unknown)
            .collect()
    }

    /// A token's codes, and what they are to be multiplied by.
    pub(crate) fn row(&self, token: u32) -> (&[u8], f32) {
        let token = token as usize;
        let rows = &self.table[self.rows.clone()];
        let row = &rows[token * self.dimensions..(token + 1) * self.dimensions];
        (row, self.weights[token])
    }

    /// The vector of tokens.
    pub(crate) fn pool(&self, tokens: &[u32]) -> Vec<f32> {
        let mut sum = vec![0.0_f32; self.dimensions];
        for &token in tokens {
            let (row, weight) = self.row(token);
            for (component, &code) in sum.iter_mut().zip(row) {
                *component += weight * f32::from(code.cast_signed());
            }
        }
        unit(sum)
    }

    /// The vector of a text.
    pub(crate) fn embed(&self, text: &str) -> Vec<f32> {
        self.pool(&self.tokens(text))
    }

    /// The vectors of texts.
    pub(crate) fn embed_all(&self, texts: &[String]) -> Vec<Vec<f32>> {
        texts.par_iter().map(|text| self.embed(text)).collect()
    }
}

/// The same vector of unit length, or zeros.
pub(crate) fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 && length.is_finite() {
        for component in &mut vector {
            *component /= length;
        }
    } else {
        vector.fill(0.0);
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_model_are_refused_by_name() {
        let tokenizer = include_bytes!("../../data/models/cento-static-en-v1/tokenizer.json");
        let cases: [(&[u8], &'static [u8], &str); 3] = [
            (b"{}", b"", "tokenizer.json"),
            (tokenizer, b"not a table", "model.safetensors"),
            (tokenizer, &[255; 64], "model.safetensors"),
        ];
        for (tokenizer, table, expected) in cases {
            let error = StaticModel::new("x", tokenizer, table)
                .err()
                .expect("refused");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn tokens_and_vectors_are_those_of_the_recipe() {
        let model = StaticModel::new(
            "golden",
            include_bytes!("../../data/models/cento-static-en-v1/tokenizer.json"),
            include_bytes!("../../data/models/cento-static-en-v1/model.safetensors"),
        )
        .expect("the bundled model is whole");
        let golden = include_str!("../../data/models/cento-static-en-v1/golden.json");
        let golden: serde_json::Value = serde_json::from_str(golden).expect("JSON");
        let rows = golden.as_array().expect("a list");
        assert!(rows.len() >= 8);
        for row in rows {
            let text = row["text"].as_str().expect("a text");
            let ids: Vec<u64> = model.tokens(text).into_iter().map(u64::from).collect();
            let expected: Vec<u64> = row["ids"]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(serde_json::Value::as_u64)
                .collect();
            assert_eq!(ids, expected, "{text}");
            let vector = model.embed(text);
            for (i, expected) in row["first"].as_array().expect("a list").iter().enumerate() {
                let difference = f64::from(vector[i]) - expected.as_f64().expect("a number");
                assert!(
                    difference.abs() < 2e-6,
                    "{text}: component {i} is off by {difference}"
                );
            }
        }
    }
}
