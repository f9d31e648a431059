//! How is a model found by what a person calls it?

use std::path::Path;

use crate::static_embedder::{Static, is_static};
use crate::{Bundled, EmbedError, Embedder};

/// Opens the embedder of a name:
/// - [`Bundled::NAME`] is the one in the binary;
/// - `URL#MODEL` is a model that a server runs: `URL` begins with `http://` or
///   `https://` and is the base of an API like OpenAI's. How it is asked says
///   the environment of this process, in variables that begin with
///   `CENTO_EMBED_`;
/// - a folder that is there holds a static model, if its `config.json` says that it is
///   one of Model2Vec's, or else a neural one, and an ONNX file that is
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
    if Bundled::FORMER.contains(&model) {
        return Err(EmbedError::FormerModel {
            model: model.to_owned(),
        });
    }
    // A hub's names and paths of folders that are there begin otherwise.
    if is_remote(model) {
        return open_remote(model);
    }
    let path = Path::new(model);
    if is_static(path) {
        return Ok(Box::new(Static::open(path)?));
    }
    open_neural(model, path)
}

/// Whether a name can only be meant as a remote model's.
pub(crate) fn is_remote(model: &str) -> bool {
    ["http://", "https://"].into_iter().any(|scheme| {
        let begins = model.get(..scheme.len());
        begins.is_some_and(|begins| begins.eq_ignore_ascii_case(scheme))
    })
}

#[cfg(feature = "remote")]
fn open_remote(model: &str) -> Result<Box<dyn Embedder>, EmbedError> {
    use crate::remote::{Options, Remote};
    let options = Options::of_this_process()?;
    Ok(Box::new(Remote::open(model, options)?))
}

#[cfg(not(feature = "remote"))]
fn open_remote(_: &str) -> Result<Box<dyn Embedder>, EmbedError> {
    Err(EmbedError::NoRemoteModels)
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
    fn the_bundled_model_of_an_earlier_version_is_told_from_what_never_was() {
        for model in Bundled::FORMER {
            assert!(matches!(error(model), EmbedError::FormerModel { .. }));
            assert!(error(model).to_string().contains(Bundled::NAME));
        }
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
    fn only_what_begins_as_an_address_is_a_remote_model() {
        for name in ["http://h/v1#m", "HTTPS://h#m", "http://"] {
            assert!(is_remote(name), "{name}");
            let error = error(name.split('#').next().unwrap_or_default());
            if cfg!(feature = "remote") {
                assert!(matches!(error, EmbedError::RemoteName { .. }), "{error:?}");
            } else {
                assert!(matches!(error, EmbedError::NoRemoteModels), "{error:?}");
            }
        }
        for name in ["", "owner/name", "./http", "ftp://h#m", "http:/h", "é"] {
            assert!(!is_remote(name), "{name}");
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
