//! What can be wrong with a word: every error of this crate.
//!
//! All of them are the caller's fault, because nothing here touches the world.

use crate::fields::FieldType;
use crate::ids::DocumentId;

/// A value that cannot be one of the house's words.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// A collection's name is empty, too long, or has a forbidden character.
    #[error(
        "'{name}' is not a collection name: use 1 to 64 of a-z, 0-9, '-' and '_', beginning with a letter or digit"
    )]
    CollectionName {
        /// The name as it was given.
        name: String,
    },
    /// A document's id is empty, too long, or has a control character.
    #[error(
        "not a document id: {reason} (an id is 1 to 1,024 bytes of UTF-8 without control characters)"
    )]
    DocumentId {
        /// What is wrong with it.
        reason: String,
    },
    /// A span that ends before it begins, or cuts a character.
    #[error("bytes {start}..{end} are not a span of this text: {reason}")]
    Span {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A document that cannot be indexed as it is.
    #[error("document '{id}': {reason}")]
    Document {
        /// The document.
        id: DocumentId,
        /// What is wrong with it.
        reason: String,
    },
    /// The same id twice in one batch.
    #[error("document '{id}' stands twice in one batch: the first was kept, this one was not")]
    DuplicateId {
        /// The document.
        id: DocumentId,
    },
    /// A budget of zero tokens.
    #[error("a budget of 0 tokens leaves room for nothing: ask for at least 1")]
    ZeroBudget,
    /// A metadata field's name cannot be used.
    #[error("'{field}' cannot be a metadata field: {reason}")]
    FieldName {
        /// The name as it was given.
        field: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A metadata value that is neither a scalar nor a list of equal scalars.
    #[error("metadata field '{field}': {reason}")]
    FieldValue {
        /// The field.
        field: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// A field holds another type than the collection has fixed for it.
    #[error("metadata field '{field}' holds {expected} in this collection, but here {found}")]
    FieldTypeConflict {
        /// The field.
        field: String,
        /// The type that the collection has fixed.
        expected: FieldType,
        /// The type that was given.
        found: FieldType,
    },
    /// A filter that is not of the documented shape.
    #[error("not a filter: {reason}")]
    FilterShape {
        /// What is wrong, with the place.
        reason: String,
    },
    /// A filter names a field that no document of the collection has.
    #[error("no document of this collection has a field '{field}'; known fields: {known}")]
    UnknownField {
        /// The field.
        field: String,
        /// The fields there are, joined for reading.
        known: String,
    },
    /// A filter compares a field with a value of another type.
    #[error("filter on '{field}': the field holds {expected}, but the filter gives {found}")]
    FilterType {
        /// The field.
        field: String,
        /// The field's type.
        expected: FieldType,
        /// The type of the filter's value.
        found: FieldType,
    },
    /// A comparison that the field does not support.
    #[error("filter on '{field}': {reason}")]
    FilterOperator {
        /// The field.
        field: String,
        /// Why the operator does not apply.
        reason: &'static str,
    },
}
