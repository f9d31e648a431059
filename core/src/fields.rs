//! Which fields may a filter name, and what does each hold?

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::metadata::check_field_name;
use crate::{CoreError, Metadata};

/// What a metadata field holds; a list of values has the type of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// True or false.
    Boolean,
    /// A number.
    Number,
    /// A text.
    Text,
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
        })
    }
}

/// The fields of a collection: declared, or inferred from the first value that
/// each field gets, and fixed from then on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, FieldType>, example = json!({"team": "text", "year": "number"})))]
pub struct FieldTypes(BTreeMap<String, FieldType>);

impl FieldTypes {
    /// Checks a document's metadata against the fields and adds the fields it
    /// is the first to have. On an error nothing is added.
    ///
    /// Returns whether a field was added.
    pub fn admit(&mut self, metadata: &Metadata) -> Result<bool, CoreError> {
        let mut added = Vec::new();
        for (field, value) in metadata.iter() {
            let Some(found) = value.scalars().first().map(crate::Scalar::field_type) else {
                continue;
            };
            match self.0.get(field) {
                None => added.push((field.to_owned(), found)),
                Some(&expected) if expected == found => {}
                Some(&expected) => {
                    return Err(CoreError::FieldTypeConflict {
                        field: field.to_owned(),
                        expected,
                        found,
                    });
                }
            }
        }
        let any = !added.is_empty();
        self.0.extend(added);
        Ok(any)
    }

    /// Adds a field before any document has it.
    ///
    /// # Errors
    /// [`CoreError::FieldName`] if no document could have such a field.
    pub fn add(&mut self, field: String, kind: FieldType) -> Result<(), CoreError> {
        check_field_name(&field)?;
        self.0.insert(field, kind);
        Ok(())
    }

    /// Adds the fields of a declaration that are not there yet.
    pub fn declare(&mut self, declared: &Self) {
        for (field, kind) in &declared.0 {
            self.0.entry(field.clone()).or_insert(*kind);
        }
    }

    /// The type of a field, if any document has it.
    pub fn get(&self, field: &str) -> Option<FieldType> {
        self.0.get(field).copied()
    }

    /// All fields, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, FieldType)> {
        self.0.iter().map(|(field, kind)| (field.as_str(), *kind))
    }

    /// The names joined for reading, for error messages.
    pub fn names(&self) -> String {
        if self.0.is_empty() {
            return "none".to_owned();
        }
        self.0.keys().cloned().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_value_fixes_the_type_and_a_refusal_adds_nothing() {
        let read = |value: serde_json::Value| {
            Metadata::from_json(value.as_object().expect("object")).expect("valid")
        };
        let mut fields = FieldTypes::default();
        assert_eq!(fields.admit(&read(json!({"year": 2024}))), Ok(true));
        assert_eq!(fields.admit(&read(json!({"year": [2025]}))), Ok(false));
        let before = fields.clone();
        assert!(fields.admit(&read(json!({"new": 1, "year": "x"}))).is_err());
        assert_eq!(fields, before);
    }
}
