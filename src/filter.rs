//! How is a filter written on the command line?
//!
//! Either as JSON, or as `FIELD OP VALUE` with `= != >= <= > <`. A value that
//! reads as a boolean or a number is one; quotes make it a text. Where the
//! collection already knows the field's type, that decides instead.

use cento_api::Problem;
use cento_core::{CollectionName, Comparison, FieldRef, FieldType, FieldTypes, Filter, Scalar};
use serde_json::Value;

use crate::target::Target;

/// Longer signs first, so that `>=` is not read as `>`.
const OPERATORS: [(&str, Comparison); 6] = [
    ("!=", Comparison::Ne),
    (">=", Comparison::Gte),
    ("<=", Comparison::Lte),
    ("=", Comparison::Eq),
    (">", Comparison::Gt),
    ("<", Comparison::Lt),
];

/// Reads all `--filter` arguments for a question to a collection.
pub(crate) fn asked(
    arguments: &[String],
    target: &Target,
    collection: &CollectionName,
) -> Result<Option<Value>, Problem> {
    if arguments.is_empty() {
        return Ok(None);
    }
    let fields = target.collection(collection)?.fields;
    let filter = parse(arguments, &fields)?;
    Ok(filter.as_ref().map(Filter::to_json))
}

/// Reads all `--filter` arguments; `None` if there is none.
fn parse(arguments: &[String], fields: &FieldTypes) -> Result<Option<Filter>, Problem> {
    let mut filters = arguments
        .iter()
        .map(|argument| parse_one(argument, fields))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(match filters.len() {
        0 => None,
        1 => filters.pop(),
        _ => Some(Filter::And(filters)),
    })
}

fn parse_one(argument: &str, fields: &FieldTypes) -> Result<Filter, Problem> {
    let wrong = |reason: String| Problem::new("invalid_filter", 400, reason);
    if argument.trim_start().starts_with('{') {
        let value = serde_json::from_str(argument)
            .map_err(|error| wrong(format!("the filter is not JSON: {error}")))?;
        return Filter::from_json(&value).map_err(|error| Problem::from(&error));
    }
    let place = argument.find(['!', '>', '<', '=']);
    let parts = place.and_then(|at| {
        let (field, rest) = argument.split_at(at);
        let (sign, comparison) = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign))?;
        Some((field.trim(), *comparison, rest[sign.len()..].trim()))
    });
    match parts {
        Some((field, comparison, value)) if !field.is_empty() && !value.is_empty() => {
            let field = FieldRef::parse(field);
            let value = scalar(value, &field, fields);
            Ok(Filter::Compare {
                field,
                comparison,
                value,
            })
        }
        _ => Err(wrong(format!(
            "'{argument}' is not a filter: write FIELD=VALUE (or != >= <= > <), or JSON as in {{\"type\":\"exists\",\"key\":\"FIELD\"}}"
        ))),
    }
}

fn scalar(written: &str, field: &FieldRef, fields: &FieldTypes) -> Scalar {
    let known = match field {
        FieldRef::DocumentId => Some(FieldType::Text),
        FieldRef::Metadata(name) => fields.get(name),
    };
    let quoted = written
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    if known == Some(FieldType::Text) || quoted.is_some() {
        return Scalar::Text(quoted.unwrap_or(written).to_owned());
    }
    let number = || written.parse().ok().filter(|x: &f64| x.is_finite());
    match written {
        "true" => Scalar::Boolean(true),
        "false" => Scalar::Boolean(false),
        _ => number().map_or_else(|| Scalar::Text(written.to_owned()), Scalar::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cento_core::Metadata;
    use serde_json::json;

    fn fields() -> FieldTypes {
        let metadata = json!({"year": 2024, "zip": "01234", "open": true});
        let metadata = Metadata::from_json(metadata.as_object().unwrap()).unwrap();
        let mut fields = FieldTypes::default();
        fields.admit(&metadata).unwrap();
        fields
    }

    fn one(argument: &str) -> Filter {
        parse(&[argument.to_owned()], &fields()).unwrap().unwrap()
    }

    #[test]
    fn shorthand_and_json_mean_the_same() {
        for (short, long) in [
            (
                "year>=2024",
                json!({"type":"gte","key":"year","value":2024}),
            ),
            (
                "year != 2024",
                json!({"type":"ne","key":"year","value":2024}),
            ),
            (
                "zip=01234",
                json!({"type":"eq","key":"zip","value":"01234"}),
            ),
            ("open=true", json!({"type":"eq","key":"open","value":true})),
            (
                "id=a=b.md",
                json!({"type":"eq","key":"id","value":"a=b.md"}),
            ),
            ("new=\"5\"", json!({"type":"eq","key":"new","value":"5"})),
        ] {
            assert_eq!(one(short), one(&long.to_string()), "{short}");
        }
    }

    #[test]
    fn several_must_all_pass() {
        let both = ["year>2000".to_owned(), "open=true".to_owned()];
        let parsed = parse(&both, &fields()).unwrap().unwrap();
        assert!(matches!(parsed, Filter::And(filters) if filters.len() == 2));
        assert!(parse(&[], &fields()).unwrap().is_none());
    }

    #[test]
    fn what_is_no_filter_is_told() {
        for wrong in ["", "year", "=5", "year=", "{\"type\":}", "year!5"] {
            let error = parse(&[wrong.to_owned()], &fields()).unwrap_err();
            assert_eq!(error.code, "invalid_filter", "{wrong}");
        }
    }
}
