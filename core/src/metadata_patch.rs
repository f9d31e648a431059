//! How does a document's metadata change while its text stays?

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{CoreError, Metadata};

/// A change of metadata, in the sense of a JSON merge patch (RFC 7396).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetadataPatch {
    set: Metadata,
    remove: BTreeSet<String>,
}

impl MetadataPatch {
    /// Reads a merge patch: a value sets its field, `null` removes it with all
    /// below it, and an object goes into its members.
    ///
    /// # Errors
    /// As [`Metadata::from_json`].
    pub fn from_json(object: &Map<String, Value>) -> Result<Self, CoreError> {
        let mut remove = BTreeSet::new();
        find_replaced("", object, &mut remove);
        Ok(Self {
            set: Metadata::from_json(object)?,
            remove,
        })
    }

    /// The metadata after the change.
    #[must_use]
    pub fn apply(&self, metadata: &Metadata) -> Metadata {
        let kept = metadata.without(|field| {
            self.remove.iter().any(|removed| {
                let rest = field.strip_prefix(removed.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        });
        self.set.clone().or(&kept)
    }
}

/// Notes every member that is not an object: what stood there, or below it,
/// does not stand any more.
fn find_replaced(prefix: &str, object: &Map<String, Value>, found: &mut BTreeSet<String>) {
    for (key, value) in object {
        let field = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Object(nested) => find_replaced(&field, nested, found),
            _ => {
                found.insert(field);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(before: Value, patch: Value) -> Value {
        let before = Metadata::from_json(before.as_object().expect("object")).expect("valid");
        let patch = MetadataPatch::from_json(patch.as_object().expect("object")).expect("valid");
        Value::Object(patch.apply(&before).to_json())
    }

    #[test]
    fn a_value_sets_null_removes_and_the_rest_stays() {
        let before = json!({"team": "ops", "year": 2024, "tags": ["a"]});
        let after = patched(before, json!({"year": 2025, "tags": null, "new": true}));
        assert_eq!(after, json!({"team": "ops", "year": 2025, "new": true}));
    }

    #[test]
    fn nested_members_are_changed_one_by_one() {
        let before = json!({"author": {"name": "A", "mail": "a@b.example"}, "authority": 1});
        let one = patched(before.clone(), json!({"author": {"mail": null}}));
        assert_eq!(one, json!({"author.name": "A", "authority": 1}));
        let all = patched(before.clone(), json!({"author": null}));
        assert_eq!(all, json!({"authority": 1}));
        let replaced = patched(before, json!({"author": "A"}));
        assert_eq!(replaced, json!({"author": "A", "authority": 1}));
    }

    #[test]
    fn an_empty_list_removes_as_it_does_in_metadata() {
        assert_eq!(
            patched(json!({"a": [1], "b": 2}), json!({"a": []})),
            json!({"b": 2})
        );
    }
}
