//! How are collections, documents, chunks and moments named?

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{CoreError, TextHash};

/// The name of a collection: 1 to 64 of `a-z`, `0-9`, `-`, `_`, beginning with
/// a letter or digit, so that it is a folder's name on every file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", example = "handbook"))]
#[serde(try_from = "String", into = "String")]
pub struct CollectionName(String);

impl CollectionName {
    /// Checks and wraps a name.
    pub fn new(name: impl Into<String>) -> Result<Self, CoreError> {
        let name = name.into();
        let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let all_allowed = name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
        if begins_well && all_allowed && name.len() <= 64 {
            Ok(Self(name))
        } else {
            Err(CoreError::CollectionName { name })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CollectionName {
    type Error = CoreError;
    fn try_from(name: String) -> Result<Self, CoreError> {
        Self::new(name)
    }
}

impl From<CollectionName> for String {
    fn from(name: CollectionName) -> Self {
        name.0
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The caller's name for a document, unique in its collection.
///
/// 1 to 1,024 bytes of UTF-8 without control characters; it is compared byte
/// by byte, with no normalisation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 1024, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$", example = "guide/install.md"))]
#[serde(try_from = "String", into = "String")]
pub struct DocumentId(String);

impl DocumentId {
    /// The longest id, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Checks and wraps an id.
    pub fn new(id: impl Into<String>) -> Result<Self, CoreError> {
        let id = id.into();
        let reason = if id.is_empty() {
            "it is empty".to_owned()
        } else if id.len() > Self::MAX_BYTES {
            format!("it has {} bytes", id.len())
        } else if let Some(c) = id.chars().find(|c| c.is_control()) {
            format!("it has the control character U+{:04X}", u32::from(c))
        } else {
            return Ok(Self(id));
        };
        Err(CoreError::DocumentId { reason })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DocumentId {
    type Error = CoreError;
    fn try_from(id: String) -> Result<Self, CoreError> {
        Self::new(id)
    }
}

impl From<DocumentId> for String {
    fn from(id: DocumentId) -> Self {
        id.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A chunk's number inside the engine: given out by the log, never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct ChunkNo(pub u64);

impl fmt::Display for ChunkNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The place of a write in the order of all writes of a collection.
///
/// 0 is the moment before the first write.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = u64, example = 12))]
pub struct Sequence(pub u64);

impl Sequence {
    /// The next moment.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of a configuration (model, chunking) built over a collection's
/// log, from 1. 0 stands for none.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = u32, example = 1))]
pub struct GenerationNo(pub u32);

impl fmt::Display for GenerationNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A chunk's public id: `document#hash`, or `document#hash.n` for the n-th
/// repetition of an equal text in the same document.
///
/// It is content-addressed: it stays as long as the text stands, wherever
/// other parts of the document move.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, example = "guide/install.md#af1349b9f5f9a1a6"))]
pub struct ChunkId(String);

impl ChunkId {
    /// Builds the id of the chunk whose text hashes to `hash` and which is
    /// preceded by `occurrence` chunks of equal text in the same document.
    pub fn new(document: &DocumentId, hash: TextHash, occurrence: u32) -> Self {
        let short = hash.short();
        Self(if occurrence == 0 {
            format!("{document}#{short}")
        } else {
            format!("{document}#{short}.{occurrence}")
        })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_name_is_a_safe_folder_name() {
        for good in ["docs", "a", "2024-q1", "x_y"] {
            assert!(CollectionName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Docs", "../up", "-x", "a b", "é", &"x".repeat(65)] {
            assert!(CollectionName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_document_id_may_be_any_printable_text() {
        assert!(DocumentId::new("zh/安装指南.md").is_ok());
        for bad in ["", "a\nb", "a\0b", &"x".repeat(1025)] {
            assert!(DocumentId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_read_from_json_are_checked_too() {
        assert!(serde_json::from_str::<DocumentId>("\"\"").is_err());
        assert!(serde_json::from_str::<CollectionName>("\"a/b\"").is_err());
    }

    #[test]
    fn equal_chunks_of_one_document_have_different_ids() {
        let document = DocumentId::new("a.md").expect("valid");
        let hash = TextHash::of("same");
        let first = ChunkId::new(&document, hash, 0);
        let second = ChunkId::new(&document, hash, 1);
        assert_ne!(first, second);
        assert!(second.as_str().starts_with(first.as_str()));
    }
}
