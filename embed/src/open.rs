//! How is a model found by what a person calls it?

use crate::{Bundled, EmbedError, Embedder};

/// Opens the embedder of a name: [`Bundled::NAME`] is the one in the binary.
///
/// # Errors
/// [`EmbedError::UnknownModel`] if nothing is known by that name.
pub fn open(model: &str) -> Result<Box<dyn Embedder>, EmbedError> {
    if model == Bundled::NAME {
        return Ok(Box::new(Bundled::new()?));
    }
    Err(EmbedError::UnknownModel {
        model: model.to_owned(),
    })
}
