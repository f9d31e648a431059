//! How is a filter described to a program?

use std::borrow::Cow;

use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{Comparison, Filter};

impl PartialSchema for Filter {
    fn schema() -> RefOr<Schema> {
        // The description is a constant; a test reads it.
        match serde_json::from_value(description()) {
            Ok(schema) => RefOr::T(schema),
            Err(_) => RefOr::T(Schema::Object(ObjectBuilder::new().build())),
        }
    }
}

impl ToSchema for Filter {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Filter")
    }
}

fn description() -> Value {
    let scalar = json!({"oneOf": [{"type": "boolean"}, {"type": "number"}, {"type": "string"}]});
    let key = json!({"type": "string", "minLength": 1, "description": "`id`, or a metadata field"});
    let itself = json!({"$ref": "#/components/schemas/Filter"});
    let shape = |types: Vec<&str>, members: Vec<(&str, &Value)>| {
        let mut properties = json!({"type": {"type": "string", "enum": types}});
        let mut required = vec!["type"];
        for (name, schema) in members {
            properties[name] = schema.clone();
            required.push(name);
        }
        json!({
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": false
        })
    };
    let comparisons = Comparison::ALL.map(|(name, _)| name).to_vec();
    let values = json!({"type": "array", "items": scalar, "minItems": 1});
    let filters = json!({"type": "array", "items": itself});
    json!({
        "description": "A condition on documents, at most 32 levels deep and 1,024 terms wide. A field may hold several values: `eq`, `in` and the order comparisons hold if any of them does; `ne` and `nin` are their negations.",
        "example": {"type": "and", "filters": [
            {"type": "eq", "key": "team", "value": "support"},
            {"type": "gte", "key": "year", "value": 2024}
        ]},
        "oneOf": [
            shape(comparisons, vec![("key", &key), ("value", &scalar)]),
            shape(vec!["in", "nin"], vec![("key", &key), ("value", &values)]),
            shape(vec!["exists"], vec![("key", &key)]),
            shape(vec!["and", "or"], vec![("filters", &filters)]),
            shape(vec!["not"], vec![("filter", &itself)]),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_a_schema_of_every_shape() {
        let written = serde_json::to_value(Filter::schema()).expect("json");
        assert_eq!(
            written["oneOf"].as_array().map(Vec::len),
            Some(5),
            "{written}"
        );
        assert_eq!(written["oneOf"][0]["properties"]["type"]["enum"][0], "eq");
        assert_eq!(written["oneOf"][4]["additionalProperties"], false);
    }
}
