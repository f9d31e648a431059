//! Which models are on this machine, and how large are they?

use std::fs;
use std::path::{Path, PathBuf};

use crate::static_embedder::{is_static, size as size_of_static};
use crate::{Bundled, EmbedError};

/// A model that can be opened without asking anyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalModel {
    /// What [`open`](crate::open) knows it by.
    pub model: String,
    /// Where it is; absent if it is in the binary.
    pub place: Option<PathBuf>,
    /// The size of what it is made of: weights and tokenizer.
    pub bytes: u64,
}

/// The bundled model, and those of a hub that are in the cache it shares with the
/// hub's other programs.
pub fn local_models() -> Vec<LocalModel> {
    let mut models = vec![LocalModel {
        model: Bundled::NAME.to_owned(),
        place: None,
        bytes: Bundled::BYTES,
    }];
    models.extend(of_hub());
    models
}

/// A model's size, if it is on this machine.
pub fn local_bytes(model: &str) -> Option<u64> {
    if model == Bundled::NAME {
        return Some(Bundled::BYTES);
    }
    let path = Path::new(model);
    if is_static(path) {
        return size_of_static(path);
    }
    size_of_neural(model, path)
}

/// Brings a model of a hub into the cache, if it is not there, and says where it is.
///
/// # Errors
/// As [`open`](crate::open), if the name is none of a hub's, or the hub does not give
/// it.
pub fn pull(model: &str) -> Result<PathBuf, EmbedError> {
    of_name(model)
}

#[cfg(feature = "fastembed")]
mod neural {
    use super::{EmbedError, LocalModel, Path, PathBuf, file_size};
    use crate::neural::hub::{Hub, fetch, present};
    use crate::neural::{HubName, model_files, onnx_outline};

    /// In bytes.
    const MOST_WITH_WEIGHTS_OUTSIDE: u64 = 64 << 20;

    pub(super) fn of_hub() -> Vec<LocalModel> {
        let Ok(hub) = Hub::of_this_process() else {
            return Vec::new();
        };
        let found = present(&hub).into_iter().map(|(name, place)| LocalModel {
            bytes: size_at(&place).unwrap_or_default(),
            model: name.to_string(),
            place: Some(place),
        });
        found.collect()
    }

    pub(super) fn size_of_neural(model: &str, path: &Path) -> Option<u64> {
        if path.exists() {
            return size_at(path);
        }
        let hub = Hub::of_this_process().ok()?;
        size_at(&crate::neural::hub::cached(&HubName::parse(model)?, &hub)?)
    }

    fn size_at(path: &Path) -> Option<u64> {
        let files = model_files::find(path).ok()?;
        let graph = file_size(&files.graph)?;
        // Weights that do not fit into a graph stand beside it, and it is small.
        let names = match graph < MOST_WITH_WEIGHTS_OUTSIDE {
            true => std::fs::read(&files.graph).ok()?,
            false => Vec::new(),
        };
        let outside = onnx_outline::outline(&names).map_or_else(
            |_| Vec::new(),
            |outline| outline.external.into_iter().collect(),
        );
        let folder = files.graph.parent()?;
        let outside = outside
            .iter()
            .filter_map(|name| file_size(&folder.join(name)));
        let tokenizer = file_size(&files.root.join(model_files::TOKENIZER))?;
        Some(graph + tokenizer + outside.sum::<u64>())
    }

    pub(super) fn of_name(model: &str) -> Result<PathBuf, EmbedError> {
        match HubName::parse(model) {
            Some(name) => fetch(&name, &Hub::of_this_process()?),
            None => Err(EmbedError::NotOfHub {
                model: model.to_owned(),
            }),
        }
    }
}

#[cfg(not(feature = "fastembed"))]
mod neural {
    use super::{EmbedError, LocalModel, Path, PathBuf};

    pub(super) fn of_hub() -> Vec<LocalModel> {
        Vec::new()
    }

    pub(super) fn size_of_neural(_: &str, _: &Path) -> Option<u64> {
        None
    }

    pub(super) fn of_name(model: &str) -> Result<PathBuf, EmbedError> {
        Err(EmbedError::NoNeuralModels {
            model: model.to_owned(),
        })
    }
}

use neural::{of_hub, of_name, size_of_neural};

/// The size of a file that is there; of what a link leads to.
pub(crate) fn file_size(path: &Path) -> Option<u64> {
    let about = fs::metadata(path).ok()?;
    about.is_file().then_some(about.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_model_is_always_there_and_as_large_in_its_folder() {
        let models = local_models();
        assert_eq!(models[0].model, Bundled::NAME);
        assert_eq!(models[0].place, None);
        assert!(models[0].bytes > 1 << 20);
        assert_eq!(local_bytes(Bundled::NAME), Some(models[0].bytes));
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/models/");
        let folder = format!("{folder}{}", Bundled::NAME);
        assert_eq!(local_bytes(&folder), Some(models[0].bytes));
        assert_eq!(local_bytes("no/such-model"), None);
    }

    #[test]
    fn only_a_name_on_a_hub_is_pulled() {
        let error = pull("no-such-model").expect_err("it is none");
        if cfg!(feature = "fastembed") {
            assert!(matches!(error, EmbedError::NotOfHub { .. }), "{error:?}");
        } else {
            assert!(
                matches!(error, EmbedError::NoNeuralModels { .. }),
                "{error:?}"
            );
        }
    }
}
