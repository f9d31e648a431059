//! What is known of a document beside its text?
//!
//! Metadata is a flat map from field to a scalar or a list of equal scalars.
//! A nested JSON object becomes fields with dotted names (`author.name`), a
//! JSON null means that the field is absent.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{CoreError, FieldType};

/// One value that a filter can compare.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Scalar {
    /// True or false.
    Boolean(bool),
    /// A finite number. Whole numbers of 2^53 or more are refused at the edge,
    /// because a double cannot tell them apart.
    Number(f64),
    /// A text; ordered byte by byte, so ISO 8601 dates order as dates.
    Text(String),
}

impl Scalar {
    /// The type of the value.
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::Boolean(_) => FieldType::Boolean,
            Self::Number(_) => FieldType::Number,
            Self::Text(_) => FieldType::Text,
        }
    }

    /// Reads a scalar from JSON; `field` names it in the error.
    pub fn from_json(field: &str, value: &Value) -> Result<Self, CoreError> {
        let wrong = |reason: &str| CoreError::FieldValue {
            field: field.to_owned(),
            reason: reason.to_owned(),
        };
        match value {
            Value::Bool(b) => Ok(Self::Boolean(*b)),
            Value::String(s) => Ok(Self::Text(s.clone())),
            Value::Number(n) => {
                let number = n
                    .as_f64()
                    .filter(|x| x.is_finite())
                    .ok_or_else(|| wrong("the number does not fit a double"))?;
                if number.fract() == 0.0 && number.abs() > MAX_WHOLE {
                    return Err(wrong(
                        "a whole number of 2^53 or more cannot be compared exactly; store it as text",
                    ));
                }
                Ok(Self::Number(number))
            }
            _ => Err(wrong("expected true, false, a number or a text")),
        }
    }

    /// The value as JSON; whole numbers are written without a fraction.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Boolean(b) => Value::from(*b),
            Self::Text(s) => Value::from(s.as_str()),
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            Self::Number(x) if x.fract() == 0.0 && x.abs() <= MAX_WHOLE => Value::from(*x as i64),
            Self::Number(x) => Value::from(*x),
        }
    }
}

/// 2^53 - 1: up to here no two whole numbers share a double.
const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;

/// The value of one metadata field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum MetadataValue {
    /// A single value.
    One(Scalar),
    /// Several values of one type; a filter matches if any of them matches.
    Many(Vec<Scalar>),
}

impl MetadataValue {
    /// All values of the field.
    pub fn scalars(&self) -> &[Scalar] {
        match self {
            Self::One(scalar) => std::slice::from_ref(scalar),
            Self::Many(scalars) => scalars,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::One(scalar) => scalar.to_json(),
            Self::Many(scalars) => scalars.iter().map(Scalar::to_json).collect(),
        }
    }
}

/// A document's metadata.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Metadata(BTreeMap<String, MetadataValue>);

impl Metadata {
    /// The longest field name, in bytes.
    pub const MAX_FIELD_BYTES: usize = 128;

    /// Reads metadata from a JSON object, flattening nested objects.
    pub fn from_json(object: &Map<String, Value>) -> Result<Self, CoreError> {
        let mut metadata = Self::default();
        metadata.add_object("", object)?;
        Ok(metadata)
    }

    fn add_object(&mut self, prefix: &str, object: &Map<String, Value>) -> Result<(), CoreError> {
        for (key, value) in object {
            let field = if prefix.is_empty() {
                key.clone()
            } else {
                format!("{prefix}.{key}")
            };
            check_field_name(&field)?;
            match value {
                Value::Null => {}
                Value::Object(nested) => self.add_object(&field, nested)?,
                Value::Array(items) => {
                    let scalars: Vec<Scalar> = items
                        .iter()
                        .map(|item| Scalar::from_json(&field, item))
                        .collect::<Result<_, _>>()?;
                    self.insert(field, MetadataValue::Many(scalars))?;
                }
                scalar => {
                    let one = MetadataValue::One(Scalar::from_json(&field, scalar)?);
                    self.insert(field, one)?;
                }
            }
        }
        Ok(())
    }

    /// Sets a field. An empty list means that the field is absent; a list of
    /// mixed types is refused, as is a field given twice.
    pub fn insert(&mut self, field: String, value: MetadataValue) -> Result<(), CoreError> {
        check_field_name(&field)?;
        let mut types = value.scalars().iter().map(Scalar::field_type);
        let Some(first) = types.next() else {
            return Ok(());
        };
        let wrong = |field: &str, reason: &str| CoreError::FieldValue {
            field: field.to_owned(),
            reason: reason.to_owned(),
        };
        if types.any(|other| other != first) {
            return Err(wrong(&field, "a list must hold values of one type"));
        }
        match self.0.entry(field) {
            Entry::Occupied(taken) => Err(wrong(taken.key(), "it is given twice")),
            Entry::Vacant(free) => {
                free.insert(value);
                Ok(())
            }
        }
    }

    /// These fields, and those of another that are not among them.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (field, value) in &other.0 {
            self.0.entry(field.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// The fields whose names are not left out.
    #[must_use]
    pub fn without(&self, leave_out: impl Fn(&str) -> bool) -> Self {
        let kept = self.0.iter().filter(|(field, _)| !leave_out(field));
        Self(
            kept.map(|(field, value)| (field.clone(), value.clone()))
                .collect(),
        )
    }

    /// The value of a field.
    pub fn get(&self, field: &str) -> Option<&MetadataValue> {
        self.0.get(field)
    }

    /// All fields, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MetadataValue)> {
        self.0.iter().map(|(field, value)| (field.as_str(), value))
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The metadata as a flat JSON object.
    pub fn to_json(&self) -> Map<String, Value> {
        self.0
            .iter()
            .map(|(field, value)| (field.clone(), value.to_json()))
            .collect()
    }
}

/// Refuses names that a filter could not name or that would not be kept.
pub(crate) fn check_field_name(field: &str) -> Result<(), CoreError> {
    let reason = if field.is_empty() || field.split('.').any(str::is_empty) {
        "a name, and each part between dots, needs at least one character"
    } else if field.len() > Metadata::MAX_FIELD_BYTES {
        "a name has at most 128 bytes"
    } else if field.chars().any(char::is_control) {
        "a name has no control characters"
    } else {
        return Ok(());
    };
    Err(CoreError::FieldName {
        field: field.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Metadata, CoreError> {
        Metadata::from_json(value.as_object().expect("object"))
    }

    #[test]
    fn nested_objects_become_dotted_fields_and_nulls_vanish() {
        let metadata = read(json!({"a": {"b": 1, "c": [true]}, "d": null, "e": []})).expect("ok");
        assert_eq!(
            Value::Object(metadata.to_json()),
            json!({"a.b": 1, "a.c": [true]})
        );
    }

    #[test]
    fn what_a_filter_could_not_compare_exactly_is_refused() {
        assert!(read(json!({"n": 9_007_199_254_740_993_i64})).is_err());
        assert!(read(json!({"n": u64::MAX})).is_err());
        assert!(read(json!({"l": [1, "a"]})).is_err());
        assert!(read(json!({"l": [[1]]})).is_err());
        assert!(read(json!({"a.b": 1, "a": {"b": 2}})).is_err());
        assert!(read(json!({"": 1})).is_err());
        assert!(read(json!({"a..b": 1})).is_err());
    }
}
