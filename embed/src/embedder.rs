//! What does every embedder promise?
//!
//! **The contract.**
//! - A vector has exactly [`Contract::dimensions`] finite components and unit
//!   length, so that a dot product is a cosine; or it is all zeros, when the
//!   model knows no token of the text. A zero vector is near nothing.
//! - The same text gives the same vector on any thread. The bundled model gives
//!   the same bits alone and in a batch; a neural one may differ in the last
//!   bits, because a runtime adds in another order when a batch is padded. Of a
//!   remote one it is believed.
//! - A text longer than [`Contract::max_tokens`] is embedded in windows, and its
//!   vector is the mean of theirs: nothing is cut off unseen.
//! - Prefixes that the model wants in front of queries or documents are put
//!   there by the embedder, never by the caller.
//! - Vectors may be compared only if their fingerprints are equal.
//! - Some models learn from a collection's texts ([`Embedder::fit`]). What they
//!   learn changes the vectors of queries alone, never those of documents.

use serde::Deserialize;

use crate::EmbedError;

/// What an embedder promises about its vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// How the model is asked for, so that [`open`](crate::open) finds it
    /// again: a name, a directory, or a server's address with a name.
    pub model: String,
    /// Identity of model, revision, pooling, prefixes and length.
    pub fingerprint: String,
    /// How many components a vector has.
    pub dimensions: usize,
    /// The most tokens of a text that are looked at at once; `None` means all, or
    /// as many as a remote model's server does not refuse.
    pub max_tokens: Option<usize>,
    /// What a cosine of this model is worth beside lexical coverage, where the
    /// two are added: 1 for a model whose cosines tell as much as the query's
    /// words, less for a weaker one. Tuned by model, never by collection.
    pub cosine_weight: f32,
    /// How to tell from a query's cosines whether the model knows what it is asked
    /// about; `None` where nobody has found out.
    pub standout: Option<Standout>,
    /// Whether a byte a component, scaled by the largest, keeps all that its
    /// vectors say. Otherwise they are kept as they are.
    pub is_quantised: bool,
    /// Put in front of a query by the embedder itself.
    pub query_prefix: String,
    /// Put in front of a document by the embedder itself.
    pub document_prefix: String,
}

/// By how much the nearest text of a collection is nearer to a query, in cosine, than its
/// texts are on average, where the model knows what it is asked about. In a language that
/// it does not know, everything is about as near (decision 0024).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standout {
    /// From so much on the model is believed wholly.
    pub at: f32,
    /// What a cosine is worth beside lexical coverage then.
    pub weight: f32,
}

impl Standout {
    /// So much is left of the weight in any case: where words say nothing, cosines decide.
    const LEAST: f32 = 0.001;

    /// What a cosine is worth where the nearest text stands out by so much: less with the
    /// cube of what is missing.
    pub fn weight_at(self, standout: f32) -> f32 {
        let share = (standout / self.at).clamp(0.0, 1.0);
        // The greater of a number and none is the number.
        self.weight * share.powi(3).max(Self::LEAST)
    }
}

/// Documents' vectors, of which some may have been known before.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// A vector for each text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// How many texts had to be embedded for them.
    pub embedded: usize,
}

/// Turns texts into vectors, as the contract above says.
pub trait Embedder: Send + Sync {
    /// What it promises.
    fn contract(&self) -> &Contract;

    /// Embeds a query.
    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError>;

    /// Embeds documents' texts, in order, on as many processors as it can use.
    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError>;

    /// The same vectors, of which those that are known from before are not embedded
    /// again (see [`cached`](crate::cached)). [`embed_documents`](Self::embed_documents)
    /// always embeds.
    ///
    /// # Errors
    /// As [`embed_documents`](Self::embed_documents).
    fn embed_or_recall(&self, texts: &[String]) -> Result<Recalled, EmbedError> {
        Ok(Recalled {
            vectors: self.embed_documents(texts)?,
            embedded: texts.len(),
        })
    }

    /// Whether embedding a text costs so much more than reading its vector from a
    /// file that the vector is worth keeping.
    fn is_costly(&self) -> bool {
        false
    }

    /// Whether it learns from collections.
    fn can_fit(&self) -> bool {
        false
    }

    /// What it learns from texts of a collection for queries to it, as bytes for
    /// [`fitted`](Self::fitted); the same for the same texts in the same order.
    /// `None` if it does not learn, or there is nothing to learn from.
    fn fit(&self, texts: &[String]) -> Option<Vec<u8>> {
        let _ = texts;
        None
    }

    /// This embedder with what it has learned: fingerprint and documents' vectors
    /// are the same.
    ///
    /// # Errors
    /// [`EmbedError::Artefact`] if the bytes are not what this model has learned.
    fn fitted(&self, artefact: Vec<u8>) -> Result<Box<dyn Embedder>, EmbedError> {
        let _ = artefact;
        Err(EmbedError::Artefact {
            reason: format!("'{}' does not learn", self.contract().model),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_believed_as_far_as_the_nearest_stands_out() {
        let standout = Standout {
            at: 0.5,
            weight: 2.0,
        };
        for (found, weight) in [
            (0.5, 2.0),
            (0.9, 2.0),
            (0.25, 0.25),
            (0.0, 0.002),
            (-0.1, 0.002),
            (f32::NAN, 0.002),
        ] {
            assert!((standout.weight_at(found) - weight).abs() < 1e-6, "{found}");
        }
    }
}
