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
    /// Nothing is known by that name.
    #[error("there is no model '{model}': it is neither the bundled one nor a directory")]
    UnknownModel {
        /// What was asked for.
        model: String,
    },
}
