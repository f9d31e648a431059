//! What is fixed when a collection is created?

use std::fs;
use std::path::Path;

use cento_core::FieldTypes;
use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::disk::write_atomically;
use crate::error::IoContext;

/// A collection's configuration, fixed at its creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CollectionSettings {
    /// How the embedder is asked for: a model's name or directory.
    pub model: String,
    /// The fingerprint of the embedder that made every vector.
    pub embedder: String,
    /// How many dimensions its vectors have.
    pub dimensions: usize,
    /// The fingerprint of the chunker that cut every document.
    pub chunking: String,
    /// The types of fields that were declared at its creation.
    pub fields: FieldTypes,
}

const FORMAT: &str = "cento-collection";
const VERSION: u32 = 1;

/// The settings as their file holds them.
#[derive(Serialize, Deserialize)]
struct SettingsFile {
    format: String,
    version: u32,
    #[serde(flatten)]
    settings: CollectionSettings,
}

/// The file's name in a collection's directory.
pub(crate) const FILE_NAME: &str = "collection.json";

impl CollectionSettings {
    pub(crate) fn write(&self, path: &Path) -> Result<(), IndexError> {
        let file = SettingsFile {
            format: FORMAT.to_owned(),
            version: VERSION,
            settings: self.clone(),
        };
        let json = serde_json::to_vec_pretty(&file).map_err(|error| format_error(path, &error))?;
        write_atomically(path, &json)
    }

    pub(crate) fn read(path: &Path) -> Result<Self, IndexError> {
        let bytes = fs::read(path).on("cannot read", path)?;
        let file: SettingsFile =
            serde_json::from_slice(&bytes).map_err(|error| format_error(path, &error))?;
        if (file.format.as_str(), file.version) == (FORMAT, VERSION) && file.settings.dimensions > 0
        {
            Ok(file.settings)
        } else {
            let found = format!("{} version {}", file.format, file.version);
            Err(format_error(path, &found))
        }
    }
}

fn format_error(path: &Path, found: &dyn ToString) -> IndexError {
    IndexError::Format {
        path: path.to_owned(),
        expected: format!("{FORMAT} version {VERSION}"),
        found: found.to_string(),
    }
}
