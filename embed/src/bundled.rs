//! Which model is always there?

use std::borrow::Cow;

use crate::static_embedder::Static;
use crate::static_model::StaticModel;
use crate::{Contract, EmbedError, Embedder};

const TOKENIZER: &[u8] = include_bytes!("../../data/models/cento-static-en-v2/tokenizer.json");
const TABLE: &[u8] = include_bytes!("../../data/models/cento-static-en-v2/model.safetensors");

/// The static model that is embedded in the binary.
pub struct Bundled(Static);

impl Bundled {
    /// The name that [`open`](crate::open) knows it by.
    pub const NAME: &str = "cento-static-en-v2";

    /// What it was in earlier versions, which this one does not have.
    pub const FORMER: [&str; 1] = ["cento-static-en-v1"];

    /// How large its table and its tokenizer are.
    pub const BYTES: u64 = (TOKENIZER.len() + TABLE.len()) as u64;

    /// Reads it from the binary.
    pub fn new() -> Result<Self, EmbedError> {
        let model = StaticModel::new(Self::NAME, TOKENIZER, Cow::Borrowed(TABLE))?;
        Ok(Self(Static::new(Self::NAME.to_owned(), model)))
    }

    /// Hands over the tokens of a text that the model knows, in their order:
    /// those whose rows its vector is the sum of.
    pub fn tokens(&self, text: &str, each: impl FnMut(u32)) {
        self.0.model.tokens(text, each);
    }
}

impl Embedder for Bundled {
    fn contract(&self) -> &Contract {
        self.0.contract()
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        self.0.embed_query(text)
    }

    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.0.embed_documents(texts)
    }

    fn can_fit(&self) -> bool {
        self.0.can_fit()
    }

    fn fit(&self, texts: &[String]) -> Option<Vec<u8>> {
        self.0.fit(texts)
    }

    fn fitted(&self, artefact: Vec<u8>) -> Result<Box<dyn Embedder>, EmbedError> {
        self.0.fitted(artefact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::dot;

    fn embedder() -> Bundled {
        Bundled::new().expect("the bundled model is whole")
    }

    #[test]
    fn vectors_have_unit_length_or_are_zero() {
        let embedder = embedder();
        let dimensions = embedder.contract().dimensions;
        let long = "word ".repeat(10_000);
        for text in ["a", "Wie geht es?", "安装指南", "x\0y", "🙂", &long] {
            let vector = embedder.embed_query(text).expect("embedded");
            assert_eq!(vector.len(), dimensions);
            let length = dot(&vector, &vector).sqrt();
            let is_zero = vector.iter().all(|&x| x == 0.0);
            assert!(
                is_zero || (length - 1.0).abs() < 1e-5,
                "{text:.20}: {length}"
            );
        }
        for nothing in ["", "   ", "\u{200b}"] {
            let vector = embedder.embed_query(nothing).expect("embedded");
            assert!(vector.iter().all(|&x| x == 0.0));
        }
    }

    #[test]
    fn a_text_gives_the_same_bits_alone_and_in_a_batch() {
        let embedder = embedder();
        let texts: Vec<String> = (0..50).map(|i| format!("text number {i}")).collect();
        let batch = embedder.embed_documents(&texts).expect("embedded");
        for (text, vector) in texts.iter().zip(batch) {
            assert_eq!(embedder.embed_query(text).expect("embedded"), vector);
        }
    }

    #[test]
    fn related_texts_are_nearer_than_unrelated_ones() {
        let embedder = embedder();
        let query = embedder
            .embed_query("how do I get my money back")
            .expect("embedded");
        let near = embedder
            .embed_query("The refund is paid to the original account.")
            .expect("embedded");
        let far = embedder
            .embed_query("Mount the antenna above the metal shelf.")
            .expect("embedded");
        assert!(dot(&query, &near) > dot(&query, &far));
    }
}
