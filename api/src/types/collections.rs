//! What is said of collections?

use std::collections::BTreeMap;

use cento_core::{CollectionName, FieldType, FieldTypes, GenerationNo, Sequence};
use cento_index::CollectionSettings;
use cento_ingest::Chunking;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A collection to be made. Its model and its way of cutting change later by
/// reindexing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "handbook", "fields": {"team": "text", "year": "number"}}))]
pub struct NewCollection {
    /// Its name.
    pub name: CollectionName,
    /// The model that embeds its documents and queries: the bundled one unless
    /// another is named. A server takes only those it was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedder: Option<String>,
    /// How its documents are cut.
    #[serde(default)]
    pub chunking: Chunking,
    /// Metadata fields with their types, so that a filter may name them before
    /// a document has them. Fields that are not declared get the type of the
    /// first value that is put in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldType>,
}

impl NewCollection {
    /// A collection with everything by default.
    pub fn named(name: CollectionName) -> Self {
        Self {
            name,
            embedder: None,
            chunking: Chunking::default(),
            fields: BTreeMap::new(),
        }
    }
}

/// All collections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CollectionList {
    /// Those that can be used, by name.
    pub collections: Vec<CollectionSummary>,
    /// Those that could not be opened, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<UnusableCollection>,
}

/// A collection in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectionSummary {
    /// Its name.
    pub name: CollectionName,
    /// How many documents can be found in it.
    pub documents: u64,
    /// How many chunks they have.
    pub chunks: u64,
}

/// A collection that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnusableCollection {
    /// Its name.
    pub name: CollectionName,
    /// The code of the problem, e.g. `log_damaged`.
    pub code: String,
}

/// A collection with its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CollectionInfo {
    /// Its name.
    pub name: CollectionName,
    /// How many documents can be found in it.
    pub documents: u64,
    /// How many chunks they have.
    pub chunks: u64,
    /// The configuration that serves.
    pub generation: GenerationNo,
    /// The last write that can be seen.
    pub sequence: Sequence,
    /// What the queries of its model were fitted to; null if they were not, as with
    /// models that cannot be fitted and in collections of a few chunks.
    pub fitted: Option<FittedTo>,
    /// The metadata fields that a filter may name, with their types.
    pub fields: FieldTypes,
    /// Its configuration.
    pub settings: CollectionSettings,
}

/// To what the queries of a collection's model were fitted last. It happens by
/// itself when there are chunks enough, and again when there are twice as many or
/// half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FittedTo {
    /// The write that did it.
    pub sequence: Sequence,
    /// How many chunks there were then.
    pub chunks: u64,
}
