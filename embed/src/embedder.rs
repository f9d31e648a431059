//! What does every embedder promise?
//!
//! **The contract.**
//! - A vector has exactly [`Contract::dimensions`] finite components and unit
//!   length, so that a dot product is a cosine; or it is all zeros, when the
//!   model knows no token of the text. A zero vector is near nothing.
//! - The same text gives the same bits, alone or in a batch, on any thread.
//! - Of a text longer than [`Contract::max_tokens`] only the beginning counts.
//! - Prefixes that the model wants in front of queries or documents are put
//!   there by the embedder, never by the caller.
//! - Vectors may be compared only if their fingerprints are equal.

use rayon::prelude::*;

use crate::EmbedError;
use crate::static_model::StaticModel;

/// What an embedder promises about its vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// Identity of model, revision and pooling.
    pub fingerprint: String,
    /// How many components a vector has.
    pub dimensions: usize,
    /// The most tokens of a text that are looked at; `None` means all.
    pub max_tokens: Option<usize>,
    /// What a cosine of this model is worth beside lexical coverage, where the
    /// two are added: 1 for a model whose cosines tell as much as the query's
    /// words, less for a weaker one. Tuned by model, never by collection.
    pub cosine_weight: f32,
    /// Put in front of a query by the embedder itself.
    pub query_prefix: String,
    /// Put in front of a document by the embedder itself.
    pub document_prefix: String,
}

/// Turns texts into vectors, as the contract above says.
pub struct Embedder {
    model: StaticModel,
    contract: Contract,
}

impl Embedder {
    /// The model that is embedded in the binary.
    pub fn bundled() -> Result<Self, EmbedError> {
        let model = StaticModel::new(
            BUNDLED_NAME,
            include_bytes!("../../data/models/cento-static-en-v1/tokenizer.json"),
            include_bytes!("../../data/models/cento-static-en-v1/model.safetensors"),
        )?;
        let contract = Contract {
            fingerprint: model.fingerprint().to_owned(),
            dimensions: model.dimensions(),
            max_tokens: None,
            cosine_weight: BUNDLED_COSINE_WEIGHT,
            query_prefix: String::new(),
            document_prefix: String::new(),
        };
        Ok(Self { model, contract })
    }

    /// What it promises.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Embeds a query.
    pub fn embed_query(&self, text: &str) -> Vec<f32> {
        self.model.embed(text)
    }

    /// Embeds documents' texts, in order, on all threads of the current rayon
    /// pool.
    pub fn embed_documents(&self, texts: &[String]) -> Vec<Vec<f32>> {
        texts
            .par_iter()
            .map(|text| self.model.embed(text))
            .collect()
    }
}

const BUNDLED_NAME: &str = "cento-static-en-v1";
/// The best mean nDCG@10 on the sets kept for tuning (decision 0005); on each
/// of them it is above the better leg. `cargo bench --bench fusion` shows it.
const BUNDLED_COSINE_WEIGHT: f32 = 0.4;

#[cfg(test)]
mod tests {
    use super::*;

    fn embedder() -> Embedder {
        Embedder::bundled().expect("the bundled model is whole")
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn vectors_have_unit_length_or_are_zero() {
        let embedder = embedder();
        let dimensions = embedder.contract().dimensions;
        let long = "word ".repeat(10_000);
        for text in ["a", "Wie geht es?", "安装指南", "x\0y", "🙂", &long] {
            let vector = embedder.embed_query(text);
            assert_eq!(vector.len(), dimensions);
            let length = cosine(&vector, &vector).sqrt();
            let is_zero = vector.iter().all(|&x| x == 0.0);
            assert!(
                is_zero || (length - 1.0).abs() < 1e-5,
                "{text:.20}: {length}"
            );
        }
        for nothing in ["", "   ", "\u{200b}"] {
            assert!(embedder.embed_query(nothing).iter().all(|&x| x == 0.0));
        }
    }

    #[test]
    fn a_text_gives_the_same_bits_alone_and_in_a_batch() {
        let embedder = embedder();
        let texts: Vec<String> = (0..50).map(|i| format!("text number {i}")).collect();
        let batch = embedder.embed_documents(&texts);
        for (text, vector) in texts.iter().zip(batch) {
            assert_eq!(embedder.embed_query(text), vector);
        }
    }

    #[test]
    fn related_texts_are_nearer_than_unrelated_ones() {
        let embedder = embedder();
        let query = embedder.embed_query("how do I get my money back");
        let near = embedder.embed_query("The refund is paid to the original account.");
        let far = embedder.embed_query("Mount the antenna above the metal shelf.");
        assert!(cosine(&query, &near) > cosine(&query, &far));
    }
}
