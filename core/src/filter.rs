//! Which documents may be found?
//!
//! One syntax tree, one validator, one meaning. Every dialect (JSON, the
//! command line's shorthand, other systems' filters) is translated into this
//! tree at the edge.
//!
//! **Meaning.** A field may hold several values. `eq`, `in` and the order
//! comparisons are true when *any* value of the field satisfies them, so they
//! are false where the field is absent. `ne` is the negation of `eq` and `nin`
//! of `in`, so they are true where the field is absent. Numbers compare as
//! doubles, texts byte by byte, false before true. `and` of nothing is true,
//! `or` of nothing is false.

mod json;
#[cfg(feature = "openapi")]
mod schema;

use crate::{CoreError, DocumentId, FieldType, FieldTypes, Metadata, Scalar};

/// What a filter looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FieldRef {
    /// The document's id; written `id`. Supports `eq ne in nin exists`.
    DocumentId,
    /// A metadata field; written `metadata.NAME`, or `NAME` where that is not
    /// `id`.
    Metadata(String),
}

impl FieldRef {
    /// Reads a field's written form.
    pub fn parse(key: &str) -> Self {
        match key.strip_prefix("metadata.") {
            Some(name) => Self::Metadata(name.to_owned()),
            None if key == "id" => Self::DocumentId,
            None => Self::Metadata(key.to_owned()),
        }
    }

    /// The written form.
    pub fn key(&self) -> String {
        match self {
            Self::DocumentId => "id".to_owned(),
            Self::Metadata(name) => format!("metadata.{name}"),
        }
    }
}

/// How a field is compared with one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal, or absent.
    Ne,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
}

impl Comparison {
    const ALL: [(&'static str, Self); 6] = [
        ("eq", Self::Eq),
        ("ne", Self::Ne),
        ("gt", Self::Gt),
        ("gte", Self::Gte),
        ("lt", Self::Lt),
        ("lte", Self::Lte),
    ];

    /// The comparison as filters write it.
    fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, comparison)| *comparison == self);
        named.map_or("eq", |(name, _)| name)
    }

    /// Whether `left OP right` holds for two values; values of different types
    /// are never equal and have no order.
    pub fn holds(self, left: &Scalar, right: &Scalar) -> bool {
        use std::cmp::Ordering;
        let order = match (left, right) {
            (Scalar::Boolean(a), Scalar::Boolean(b)) => Some(a.cmp(b)),
            (Scalar::Number(a), Scalar::Number(b)) => a.partial_cmp(b),
            (Scalar::Text(a), Scalar::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            _ => None,
        };
        match self {
            Self::Eq => order == Some(Ordering::Equal),
            Self::Ne => order != Some(Ordering::Equal),
            Self::Gt => order == Some(Ordering::Greater),
            Self::Gte => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Self::Lt => order == Some(Ordering::Less),
            Self::Lte => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        }
    }
}

/// Whether a field's value must stand in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Membership {
    /// One of the field's values is in the set.
    In,
    /// None of them is, or the field is absent.
    Nin,
}

/// A condition on documents.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// A field against one value: `{"type":"eq","key":"team","value":"ops"}`.
    Compare {
        /// The field.
        field: FieldRef,
        /// The comparison.
        comparison: Comparison,
        /// The value on the right-hand side.
        value: Scalar,
    },
    /// A field against a set: `{"type":"in","key":"team","value":["ops"]}`.
    Member {
        /// The field.
        field: FieldRef,
        /// In the set, or not.
        membership: Membership,
        /// The set; at least one value.
        values: Vec<Scalar>,
    },
    /// The field is present: `{"type":"exists","key":"team"}`.
    Exists {
        /// The field.
        field: FieldRef,
    },
    /// All hold: `{"type":"and","filters":[…]}`.
    And(Vec<Filter>),
    /// At least one holds: `{"type":"or","filters":[…]}`.
    Or(Vec<Filter>),
    /// It does not hold: `{"type":"not","filter":{…}}`.
    Not(Box<Filter>),
}

impl Filter {
    /// The deepest nesting that is read.
    pub const MAX_DEPTH: usize = 32;
    /// The most conditions and set members, together, that are read.
    pub const MAX_TERMS: usize = 1024;

    /// Checks every field and value against a collection's fields.
    pub fn validate(&self, fields: &FieldTypes) -> Result<(), CoreError> {
        match self {
            Self::Compare {
                field,
                comparison,
                value,
            } => {
                let ordered = !matches!(comparison, Comparison::Eq | Comparison::Ne);
                if ordered && *field == FieldRef::DocumentId {
                    return Err(CoreError::FilterOperator {
                        field: field.key(),
                        reason: "a document's id has no order: use eq, ne, in, nin or exists",
                    });
                }
                check_type(field, value, fields)
            }
            Self::Member { field, values, .. } => values
                .iter()
                .try_for_each(|value| check_type(field, value, fields)),
            Self::Exists { field } => field_type(field, fields).map(|_| ()),
            Self::And(filters) | Self::Or(filters) => filters
                .iter()
                .try_for_each(|filter| filter.validate(fields)),
            Self::Not(filter) => filter.validate(fields),
        }
    }

    /// Whether a document passes: the meaning that every faster evaluation
    /// must agree with.
    pub fn matches(&self, id: &DocumentId, metadata: &Metadata) -> bool {
        let any = |field: &FieldRef, test: &dyn Fn(&Scalar) -> bool| match field {
            FieldRef::DocumentId => test(&Scalar::Text(id.as_str().to_owned())),
            FieldRef::Metadata(name) => metadata
                .get(name)
                .is_some_and(|value| value.scalars().iter().any(test)),
        };
        match self {
            Self::Compare {
                field,
                comparison: Comparison::Ne,
                value,
            } => !any(field, &|found| Comparison::Eq.holds(found, value)),
            Self::Compare {
                field,
                comparison,
                value,
            } => any(field, &|found| comparison.holds(found, value)),
            Self::Member {
                field,
                membership,
                values,
            } => {
                let found = any(field, &|found| {
                    values
                        .iter()
                        .any(|value| Comparison::Eq.holds(found, value))
                });
                found == (*membership == Membership::In)
            }
            Self::Exists { field } => any(field, &|_| true),
            Self::And(filters) => filters.iter().all(|filter| filter.matches(id, metadata)),
            Self::Or(filters) => filters.iter().any(|filter| filter.matches(id, metadata)),
            Self::Not(filter) => !filter.matches(id, metadata),
        }
    }
}

fn field_type(field: &FieldRef, fields: &FieldTypes) -> Result<FieldType, CoreError> {
    match field {
        FieldRef::DocumentId => Ok(FieldType::Text),
        FieldRef::Metadata(name) => fields.get(name).ok_or_else(|| CoreError::UnknownField {
            field: name.clone(),
            known: fields.names(),
        }),
    }
}

fn check_type(field: &FieldRef, value: &Scalar, fields: &FieldTypes) -> Result<(), CoreError> {
    let expected = field_type(field, fields)?;
    let found = value.field_type();
    if expected == found {
        return Ok(());
    }
    Err(CoreError::FilterType {
        field: field.key(),
        expected,
        found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn metadata(value: &Value) -> Metadata {
        Metadata::from_json(value.as_object().expect("object")).expect("valid")
    }

    fn passes(filter: Value, document: Value) -> bool {
        let id = DocumentId::new("d1").expect("valid");
        Filter::from_json(&filter)
            .expect("a filter")
            .matches(&id, &metadata(&document))
    }

    #[test]
    fn a_list_matches_if_any_value_does() {
        let tags = json!({"tags": ["a", "b"]});
        assert!(passes(
            json!({"type":"eq","key":"tags","value":"b"}),
            tags.clone()
        ));
        assert!(!passes(
            json!({"type":"ne","key":"tags","value":"b"}),
            tags.clone()
        ));
        assert!(passes(
            json!({"type":"in","key":"tags","value":["x","a"]}),
            tags.clone()
        ));
        assert!(!passes(
            json!({"type":"nin","key":"tags","value":["x","a"]}),
            tags
        ));
    }

    #[test]
    fn an_absent_field_is_unequal_to_everything_and_in_no_order() {
        let none = json!({});
        assert!(passes(
            json!({"type":"ne","key":"x","value":1}),
            none.clone()
        ));
        assert!(passes(
            json!({"type":"nin","key":"x","value":[1]}),
            none.clone()
        ));
        assert!(!passes(
            json!({"type":"lt","key":"x","value":1}),
            none.clone()
        ));
        assert!(!passes(json!({"type":"exists","key":"x"}), none));
    }

    #[test]
    fn the_documents_id_can_be_asked_for() {
        assert!(passes(
            json!({"type":"eq","key":"id","value":"d1"}),
            json!({})
        ));
        assert!(!passes(
            json!({"type":"eq","key":"metadata.id","value":"d1"}),
            json!({})
        ));
    }

    #[test]
    fn connectives_of_nothing_have_their_neutral_value() {
        assert!(passes(json!({"type":"and","filters":[]}), json!({})));
        assert!(!passes(json!({"type":"or","filters":[]}), json!({})));
    }

    #[test]
    fn validation_knows_the_collections_fields() {
        let mut fields = FieldTypes::default();
        fields
            .admit(&metadata(&json!({"year": 2024})))
            .expect("admitted");
        let check = |filter: Value| {
            Filter::from_json(&filter)
                .expect("a filter")
                .validate(&fields)
        };
        assert!(check(json!({"type":"gt","key":"year","value":2000})).is_ok());
        assert!(matches!(
            check(json!({"type":"gt","key":"yeer","value":2000})),
            Err(CoreError::UnknownField { .. })
        ));
        assert!(matches!(
            check(json!({"type":"eq","key":"year","value":"2000"})),
            Err(CoreError::FilterType { .. })
        ));
        assert!(matches!(
            check(json!({"type":"gt","key":"id","value":"a"})),
            Err(CoreError::FilterOperator { .. })
        ));
    }
}
