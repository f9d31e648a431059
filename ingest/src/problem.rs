//! What is wrong with one document?

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why one document cannot be ingested.
///
/// The code's spelling ([`ProblemCode::as_str`]) is stable: programs may rely
/// on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemCode {
    /// It is not text.
    BinaryFile,
    /// It is a document of a kind that is not supported yet.
    UnsupportedFormat,
    /// Its bytes are no text in any encoding that we know.
    InvalidEncoding,
    /// It is larger than the limit.
    TooLarge,
    /// A line of a JSONL file is not a document.
    InvalidJsonl,
    /// Its id was taken earlier in the same ingestion.
    DuplicateId,
    /// It has no text.
    EmptyDocument,
    /// Its id, title or metadata cannot be kept.
    InvalidDocument,
    /// A metadata field has another type than the collection has fixed for it.
    FieldTypeConflict,
    /// Another version stands than the one it was to replace.
    VersionConflict,
    /// The system does not let us read it.
    Unreadable,
    /// A parser gave up on it.
    ParseFailed,
}

impl ProblemCode {
    /// The stable spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BinaryFile => "binary_file",
            Self::UnsupportedFormat => "unsupported_format",
            Self::InvalidEncoding => "invalid_encoding",
            Self::TooLarge => "too_large",
            Self::InvalidJsonl => "invalid_jsonl",
            Self::DuplicateId => "duplicate_id",
            Self::EmptyDocument => "empty_document",
            Self::InvalidDocument => "invalid_document",
            Self::FieldTypeConflict => "field_type_conflict",
            Self::VersionConflict => "version_conflict",
            Self::Unreadable => "unreadable",
            Self::ParseFailed => "parse_failed",
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One document that was not ingested, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// Where it is: a path, or `path:line` in a JSONL file.
    pub place: String,
    /// What kind of problem it is.
    pub code: ProblemCode,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place, self.message, self.code)
    }
}

/// A problem before it is known where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: ProblemCode,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(code: ProblemCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn at(self, place: impl Into<String>) -> Failure {
        Failure {
            place: place.into(),
            code: self.code,
            message: self.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_alike_for_people_and_programs() {
        for code in [ProblemCode::BinaryFile, ProblemCode::InvalidJsonl] {
            let json = serde_json::to_value(code).expect("json");
            assert_eq!(json, code.as_str());
        }
    }
}
