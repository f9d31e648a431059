//! How is a filter written in JSON?

use serde_json::{Value, json};

use super::{Comparison, FieldRef, Filter, Membership};
use crate::{CoreError, Scalar};

impl Filter {
    /// Reads a filter from JSON. Only its shape is checked here; whether it
    /// fits a collection is [`Filter::validate`]'s question.
    pub fn from_json(value: &Value) -> Result<Self, CoreError> {
        let mut terms = 0;
        read(value, "filter", 1, &mut terms)
    }

    /// The filter in the JSON that [`Filter::from_json`] reads.
    pub fn to_json(&self) -> Value {
        let all = |filters: &[Self]| filters.iter().map(Self::to_json).collect::<Vec<_>>();
        match self {
            Self::Compare {
                field,
                comparison,
                value,
            } => json!({"type": comparison.name(), "key": field.key(), "value": value.to_json()}),
            Self::Member {
                field,
                membership,
                values,
            } => {
                let kind = match membership {
                    Membership::In => "in",
                    Membership::Nin => "nin",
                };
                let values: Vec<Value> = values.iter().map(Scalar::to_json).collect();
                json!({"type": kind, "key": field.key(), "value": values})
            }
            Self::Exists { field } => json!({"type": "exists", "key": field.key()}),
            Self::And(filters) => json!({"type": "and", "filters": all(filters)}),
            Self::Or(filters) => json!({"type": "or", "filters": all(filters)}),
            Self::Not(filter) => json!({"type": "not", "filter": filter.to_json()}),
        }
    }
}

fn read(value: &Value, at: &str, depth: usize, terms: &mut usize) -> Result<Filter, CoreError> {
    let wrong = |reason: String| CoreError::FilterShape { reason };
    if depth > Filter::MAX_DEPTH {
        return Err(wrong(format!(
            "nested deeper than {} levels",
            Filter::MAX_DEPTH
        )));
    }
    count(terms, 1)?;
    let object = value
        .as_object()
        .ok_or_else(|| wrong(format!("{at} must be an object with a \"type\"")))?;
    let kind = object.get("type").and_then(Value::as_str).ok_or_else(|| {
        wrong(format!(
            "{at} has no \"type\" (eq, ne, gt, gte, lt, lte, in, nin, exists, and, or, not)"
        ))
    })?;
    let allow = |keys: &[&str]| match object.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(other) => Err(wrong(format!(
            "{at} of type {kind} has an unexpected \"{other}\" (it takes {})",
            keys.join(", ")
        ))),
        None => Ok(()),
    };
    let field = || {
        object
            .get("key")
            .and_then(Value::as_str)
            .filter(|key| !key.is_empty())
            .map(FieldRef::parse)
            .ok_or_else(|| {
                wrong(format!(
                    "{at} of type {kind} needs a \"key\", a field's name"
                ))
            })
    };
    let operand = || {
        object
            .get("value")
            .ok_or_else(|| wrong(format!("{at} of type {kind} needs a \"value\"")))
    };
    if let Some(&(_, comparison)) = Comparison::ALL.iter().find(|(name, _)| *name == kind) {
        allow(&["type", "key", "value"])?;
        let field = field()?;
        let value = Scalar::from_json(&field.key(), operand()?)?;
        return Ok(Filter::Compare {
            field,
            comparison,
            value,
        });
    }
    match kind {
        "in" | "nin" => {
            allow(&["type", "key", "value"])?;
            let field = field()?;
            let items = operand()?
                .as_array()
                .filter(|items| !items.is_empty())
                .ok_or_else(|| {
                    wrong(format!(
                        "{at} of type {kind} needs a list of values, not empty"
                    ))
                })?;
            count(terms, items.len())?;
            let values = items
                .iter()
                .map(|item| Scalar::from_json(&field.key(), item))
                .collect::<Result<_, _>>()?;
            let membership = if kind == "in" {
                Membership::In
            } else {
                Membership::Nin
            };
            Ok(Filter::Member {
                field,
                membership,
                values,
            })
        }
        "exists" => {
            allow(&["type", "key"])?;
            Ok(Filter::Exists { field: field()? })
        }
        "and" | "or" => {
            allow(&["type", "filters"])?;
            let items = object
                .get("filters")
                .and_then(Value::as_array)
                .ok_or_else(|| wrong(format!("{at} of type {kind} needs \"filters\", a list")))?;
            let filters = items
                .iter()
                .enumerate()
                .map(|(i, item)| read(item, &format!("{at}.filters[{i}]"), depth + 1, terms))
                .collect::<Result<_, _>>()?;
            Ok(if kind == "and" {
                Filter::And(filters)
            } else {
                Filter::Or(filters)
            })
        }
        "not" => {
            allow(&["type", "filter"])?;
            let inner = object
                .get("filter")
                .ok_or_else(|| wrong(format!("{at} of type not needs a \"filter\"")))?;
            let inner = read(inner, &format!("{at}.filter"), depth + 1, terms)?;
            Ok(Filter::Not(Box::new(inner)))
        }
        other => Err(wrong(format!(
            "{at} has the unknown type \"{other}\" (eq, ne, gt, gte, lt, lte, in, nin, exists, and, or, not)"
        ))),
    }
}

fn count(terms: &mut usize, more: usize) -> Result<(), CoreError> {
    *terms += more;
    if *terms > Filter::MAX_TERMS {
        return Err(CoreError::FilterShape {
            reason: format!("more than {} conditions and values", Filter::MAX_TERMS),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_filters_say_where_and_what() {
        for (bad, expected) in [
            (json!([]), "must be an object"),
            (json!({"key":"a"}), "no \"type\""),
            (json!({"type":"like","key":"a","value":"b"}), "unknown type"),
            (json!({"type":"eq","value":1}), "needs a \"key\""),
            (json!({"type":"eq","key":"a"}), "needs a \"value\""),
            (json!({"type":"eq","key":"a","value":[1]}), "expected true"),
            (json!({"type":"in","key":"a","value":[]}), "not empty"),
            (
                json!({"type":"eq","key":"a","value":1,"x":2}),
                "unexpected \"x\"",
            ),
            (
                json!({"type":"and","filters":[{"type":"not"}]}),
                "filter.filters[0]",
            ),
        ] {
            let error = Filter::from_json(&bad).expect_err("refused").to_string();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }

    #[test]
    fn a_hostile_filter_is_refused_not_followed() {
        let mut deep = json!({"type":"exists","key":"a"});
        for _ in 0..40 {
            deep = json!({"type":"not","filter":deep});
        }
        assert!(Filter::from_json(&deep).is_err());
        let wide: Vec<i64> = (0..5000).collect();
        assert!(Filter::from_json(&json!({"type":"in","key":"a","value":wide})).is_err());
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_filter() {
        let written = json!({"type": "and", "filters": [
            {"type": "eq", "key": "id", "value": "a.md"},
            {"type": "ne", "key": "metadata.id", "value": "x"},
            {"type": "gt", "key": "metadata.n", "value": 1},
            {"type": "gte", "key": "metadata.n", "value": 1.5},
            {"type": "not", "filter": {"type": "lt", "key": "metadata.n", "value": 2}},
            {"type": "or", "filters": [
                {"type": "lte", "key": "metadata.n", "value": -3},
                {"type": "in", "key": "metadata.tags", "value": ["a", "b"]},
                {"type": "nin", "key": "metadata.open", "value": [true]},
                {"type": "exists", "key": "metadata.team"},
            ]},
        ]});
        let filter = Filter::from_json(&written).expect("a filter");
        assert_eq!(filter.to_json(), written);
    }
}
