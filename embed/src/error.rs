//! What can be wrong with a model?

/// An error of an embedder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// A model's file is not what its name says.
    #[error("the model's {file} is not of Model2Vec's format: {reason}")]
    Format {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}
