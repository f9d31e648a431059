//! How does a table of token vectors embed a text?
//!
//! Model2Vec's format: `tokenizer.json`, and `model.safetensors` with a tensor
//! `embeddings` (tokens × dimensions) and maybe a tensor `weights` (one number a
//! token). A text's vector is the sum of its tokens' rows, each times its weight,
//! scaled to unit length. Unknown tokens count nothing. A row is codes of a byte
//! and a scale; of floats it is made so (`table`).

mod table;

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::EmbedError;
use crate::wordpiece::WordPiece;
use table::{Scaled, Table};

/// A static model. The bundled one's table stays where the binary has it.
pub(crate) struct StaticModel {
    splitter: Splitter,
    unknown: Option<u32>,
    table: Cow<'static, [u8]>,
    rows: Range<usize>,
    weights: Vec<f32>,
    dimensions: usize,
    fingerprint: String,
}

/// What makes tokens of a text.
enum Splitter {
    /// Our own, for the recipe that it knows.
    WordPiece(Box<WordPiece>),
    /// For every other recipe, many times slower.
    Any(Box<Tokenizer>, Option<u32>),
}

const TOKENIZER: &str = "tokenizer.json";
const TABLE: &str = "model.safetensors";

impl StaticModel {
    /// Reads a model from its two files' bytes.
    pub(crate) fn new(
        name: &str,
        tokenizer_json: &[u8],
        table: Cow<'static, [u8]>,
    ) -> Result<Self, EmbedError> {
        let wrong = |file, reason: String| EmbedError::Format { file, reason };
        let splitter = Splitter::new(tokenizer_json).map_err(|reason| wrong(TOKENIZER, reason))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(tokenizer_json).update(&table);
        let revision = &hasher.finalize().to_hex()[..16];
        let Table {
            tokens,
            dimensions,
            begins,
            scaled,
            weights,
        } = Table::read(&table).map_err(|reason| wrong(TABLE, reason))?;
        if let Some(largest) = splitter.largest_id()
            && largest as usize >= tokens
        {
            let reason = format!("it has a token {largest}, the table {tokens} rows");
            return Err(wrong(TOKENIZER, reason));
        }
        let (table, rows, weights) = match scaled {
            // The rows are looked up in place: the table is by far the largest
            // part of the model, and it is mapped with the binary.
            None => (table, begins..begins + tokens * dimensions, weights),
            Some(Scaled { codes, scales }) => {
                let rows = 0..codes.len();
                let both = scales.iter().zip(&weights);
                (Cow::Owned(codes), rows, both.map(|(s, w)| s * w).collect())
            }
        };
        Ok(Self {
            unknown: splitter.unknown(),
            splitter,
            table,
            rows,
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

    /// Hands over the tokens of a text that count, in their order.
    pub(crate) fn tokens(&self, text: &str, mut each: impl FnMut(u32)) {
        self.splitter.tokens(text, |id| {
            if Some(id) != self.unknown {
                each(id);
            }
        });
    }

    /// A token's codes, and what they are to be multiplied by.
    pub(crate) fn row(&self, token: u32) -> (&[u8], f32) {
        let token = token as usize;
        let rows = &self.table[self.rows.clone()];
        let row = &rows[token * self.dimensions..][..self.dimensions];
        (row, self.weights[token])
    }

    /// The vectors of texts.
    pub(crate) fn embed_all(&self, texts: &[String]) -> Vec<Vec<f32>> {
        texts.par_iter().map(|text| self.embed(text)).collect()
    }

    /// The vector of a text.
    pub(crate) fn embed(&self, text: &str) -> Vec<f32> {
        let mut sum = vec![0.0_f32; self.dimensions];
        // Rows are added four at a time: so sums are loaded and stored once
        // for four rows, and the rows are fetched at once. Each component
        // still adds token after token, and so has the same bits.
        let mut waiting = [0; 4];
        let mut count = 0;
        self.tokens(text, |id| {
            waiting[count] = id;
            count += 1;
            if count == waiting.len() {
                self.add(waiting, &mut sum);
                count = 0;
            }
        });
        for &id in &waiting[..count] {
            self.add([id], &mut sum);
        }
        unit(sum)
    }

    /// Adds the rows of tokens to a sum, each times its weight.
    #[inline(never)]
    fn add<const N: usize>(&self, ids: [u32; N], sum: &mut [f32]) {
        /// Components whose sums stay in registers while rows are added.
        const BLOCK: usize = 32;
        let all = &self.table[self.rows.clone()];
        let rows = ids.map(|id| &all[id as usize * self.dimensions..][..self.dimensions]);
        let weights = ids.map(|id| self.weights[id as usize]);
        let blocks = rows.map(|row| row.as_chunks::<BLOCK>().0);
        let (sums, rest) = sum.as_chunks_mut::<BLOCK>();
        for (number, sums) in sums.iter_mut().enumerate() {
            for (blocks, weight) in blocks.iter().zip(weights) {
                for (sum, code) in sums.iter_mut().zip(blocks[number]) {
                    *sum += weight * f32::from(code.cast_signed());
                }
            }
        }
        let begin = self.dimensions - rest.len();
        for (row, weight) in rows.iter().zip(weights) {
            for (sum, &code) in rest.iter_mut().zip(&row[begin..]) {
                *sum += weight * f32::from(code.cast_signed());
            }
        }
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

impl Splitter {
    fn new(json: &[u8]) -> Result<Self, String> {
        // What is not our recipe may be another, or nothing; the crate knows.
        if let Ok(wordpiece) = WordPiece::of(json) {
            return Ok(Self::WordPiece(Box::new(wordpiece)));
        }
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        // A table has no positions: padding and truncation would only cost.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| error.to_string())?;
        let unknown = unknown(json, &tokenizer);
        Ok(Self::Any(Box::new(tokenizer), unknown))
    }

    /// The token that stands for what the model does not know.
    fn unknown(&self) -> Option<u32> {
        match self {
            Self::WordPiece(wordpiece) => Some(wordpiece.unknown()),
            Self::Any(_, unknown) => *unknown,
        }
    }

    /// The largest number of a token, if there are tokens.
    fn largest_id(&self) -> Option<u32> {
        match self {
            Self::WordPiece(wordpiece) => Some(wordpiece.largest_id()),
            Self::Any(tokenizer, _) => tokenizer.get_vocab(true).into_values().max(),
        }
    }

    fn tokens(&self, text: &str, each: impl FnMut(u32)) {
        match self {
            Self::WordPiece(wordpiece) => wordpiece.tokens(text, each),
            // A text that has no tokenization has no known token.
            Self::Any(tokenizer, _) => {
                if let Ok(encoding) = tokenizer.encode_fast(text, false) {
                    encoding.get_ids().iter().copied().for_each(each);
                }
            }
        }
    }
}

/// Which token a tokenizer of any recipe has for what it does not know: by name, or
/// by number as Unigram's say it.
fn unknown(json: &[u8], tokenizer: &Tokenizer) -> Option<u32> {
    let file: Value = serde_json::from_slice(json).ok()?;
    let model = &file["model"];
    match model["unk_token"].as_str() {
        Some(token) => tokenizer.token_to_id(token),
        None => u32::try_from(model["unk_id"].as_u64()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::*;

    #[test]
    fn files_that_are_no_model_are_refused_by_name() {
        let tokenizer = include_bytes!("../../data/models/cento-static-en-v2/tokenizer.json");
        let cases: [(&[u8], &'static [u8], &str); 3] = [
            (b"{}", b"", "tokenizer.json"),
            (tokenizer, b"not a table", "model.safetensors"),
            (tokenizer, &[255; 64], "model.safetensors"),
        ];
        for (tokenizer, table, expected) in cases {
            let error = StaticModel::new("x", tokenizer, Cow::Borrowed(table))
                .err()
                .expect("refused");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn tokens_and_vectors_are_those_of_the_recipe() {
        let model = StaticModel::new(
            "golden",
            include_bytes!("../../data/models/cento-static-en-v2/tokenizer.json"),
            Cow::Borrowed(include_bytes!(
                "../../data/models/cento-static-en-v2/model.safetensors"
            )),
        )
        .expect("the bundled model is whole");
        let golden = include_str!("../../data/models/cento-static-en-v2/golden.json");
        let golden: Value = serde_json::from_str(golden).expect("JSON");
        let rows = golden.as_array().expect("a list");
        assert!(rows.len() >= 8);
        for row in rows {
            let text = row["text"].as_str().expect("a text");
            let mut ids: Vec<u64> = Vec::new();
            model.tokens(text, |id| ids.push(id.into()));
            let expected: Vec<u64> = row["ids"]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(Value::as_u64)
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

    #[test]
    fn rows_that_are_added_together_give_the_bits_of_rows_added_one_by_one() {
        // Neither a multiple of a block nor less than one.
        let dimensions = 40;
        let json = include_bytes!("../../data/models/cento-static-en-v2/tokenizer.json");
        let tokens = 60_000;
        let codes: Vec<u8> = (0..tokens * dimensions)
            .map(|i| ((i * 2_654_435_761) >> 13) as u8)
            .collect();
        let weights: Vec<f32> = (0..tokens).map(|i| 0.1 + i as f32 / 777.0).collect();
        let bytes: Vec<u8> = weights.iter().flat_map(|x| x.to_le_bytes()).collect();
        let view = |dtype, shape, data| TensorView::new(dtype, shape, data).expect("a tensor");
        let tensors = [
            (
                "embeddings",
                view(Dtype::I8, vec![tokens, dimensions], &codes),
            ),
            ("weights", view(Dtype::F32, vec![tokens], &bytes)),
        ];
        let table = safetensors::serialize(tensors, None).expect("a table");
        let model = StaticModel::new("x", json, Cow::Owned(table)).expect("a model");
        for count in 0..10 {
            let text = "seven wondrous unaffable words here".repeat(count);
            let mut sum = vec![0.0_f32; dimensions];
            model.tokens(&text, |id| {
                let row = &codes[id as usize * dimensions..][..dimensions];
                for (sum, code) in sum.iter_mut().zip(row) {
                    *sum += weights[id as usize] * f32::from(code.cast_signed());
                }
            });
            let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
            let expected: Vec<f32> = sum
                .iter()
                .map(|x| if length > 0.0 { x / length } else { 0.0 })
                .collect();
            assert_eq!(model.embed(&text), expected);
        }
    }

    #[test]
    fn another_recipe_is_left_to_the_crate() {
        let json = include_str!("../../data/models/cento-static-en-v2/tokenizer.json");
        let table = include_bytes!("../../data/models/cento-static-en-v2/model.safetensors");
        let ours = StaticModel::new("x", json.as_bytes(), Cow::Borrowed(table)).expect("a model");
        assert!(matches!(ours.splitter, Splitter::WordPiece(_)));
        let cased = json.replace(r#""lowercase":true"#, r#""lowercase":false"#);
        let theirs =
            StaticModel::new("x", cased.as_bytes(), Cow::Borrowed(table)).expect("a model");
        assert!(matches!(theirs.splitter, Splitter::Any(..)));
        let tokens = |model: &StaticModel, text: &str| {
            let mut tokens = Vec::new();
            model.tokens(text, |id| tokens.push(id));
            tokens
        };
        let text = "the unaffable xylophone, [CLS] 🙂 again";
        assert_eq!(tokens(&theirs, text), tokens(&ours, text));
        assert_eq!(theirs.embed(text), ours.embed(text));
        // Without capitals in its vocabulary a word with one is unknown.
        assert!(tokens(&theirs, "Again").is_empty());
        assert_eq!(tokens(&ours, "Again").len(), 1);
    }
}
