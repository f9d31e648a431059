//! How is a model found by what a person calls it?

use std::path::Path;

use crate::{Bundled, EmbedError, Embedder};

/// Opens the embedder of a name:
/// - [`Bundled::NAME`] is the one in the binary;
/// - a folder that is there holds a neural model, and an ONNX file that is
///   there is one of several graphs of the folder it is in;
/// - `owner/name` is a neural model on a hub, fetched once into its cache.
///   `owner/name@revision` fetches another revision than `main`, and
///   `owner/name/path/to/model.onnx` another graph than the usual one.
///
/// [`Contract::model`](crate::Contract::model) of what is opened finds it
/// again from anywhere: a relative path is made absolute.
///
/// # Errors
/// Each [`EmbedError`] but those of embedding itself.
pub fn open(model: &str) -> Result<Box<dyn Embedder>, EmbedError> {
    if model == Bundled::NAME {
        return Ok(Box::new(Bundled::new()?));
    }
    open_neural(model, Path::new(model))
}

#[cfg(feature = "fastembed")]
fn open_neural(model: &str, path: &Path) -> Result<Box<dyn Embedder>, EmbedError> {
    use crate::neural::{HubName, open_hub, open_path};
    if path.exists() {
        return Ok(Box::new(open_path(path)?));
    }
    match HubName::parse(model) {
        Some(name) => Ok(Box::new(open_hub(&name)?)),
        None => Err(EmbedError::UnknownModel {
            model: model.to_owned(),
        }),
    }
}

#[cfg(not(feature = "fastembed"))]
fn open_neural(model: &str, path: &Path) -> Result<Box<dyn Embedder>, EmbedError> {
    let model = model.to_owned();
    if path.exists() || model.contains('/') {
        return Err(EmbedError::NoNeuralModels { model });
    }
    Err(EmbedError::UnknownModel { model })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(model: &str) -> EmbedError {
        match open(model) {
            Err(error) => error,
            Ok(_) => panic!("{model} was opened"),
        }
    }

    #[test]
    fn the_bundled_model_is_opened_by_its_name() {
        let model = open(Bundled::NAME).expect("the bundled model is whole");
        assert_eq!(model.contract().model, Bundled::NAME);
    }

    #[test]
    fn what_is_neither_here_nor_a_name_on_a_hub_is_unknown() {
        for model in ["", "no-such-model"] {
            assert!(
                matches!(error(model), EmbedError::UnknownModel { .. }),
                "{model}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_model_is_not_asked_of_a_hub() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let error = error(file);
        if cfg!(feature = "fastembed") {
            assert!(
                matches!(error, EmbedError::ModelFilesMissing { .. }),
                "{error:?}"
            );
        } else {
            assert!(
                matches!(error, EmbedError::NoNeuralModels { .. }),
                "{error:?}"
            );
        }
    }
}
