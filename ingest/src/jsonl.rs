//! Which document does a line of a JSONL file hold?

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cento_core::{DocumentId, Metadata, Sequence};
use cento_index::Condition;
use serde_json::{Map, Value};

use crate::problem::{Problem, ProblemCode};

/// What a line says.
#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) id: DocumentId,
    pub(crate) title: String,
    pub(crate) content: Content,
    pub(crate) source: Option<String>,
    pub(crate) metadata: Metadata,
    /// What must stand under its id.
    pub(crate) condition: Condition,
}

/// What a line gives of its document.
#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// The canonical text itself.
    Text(String),
    /// A file, to be parsed as its bytes and the document's id say.
    File(Vec<u8>),
}

/// Reads `{"id": …, "title": …, "text": …, "source": …, "metadata": {…}, …}`.
///
/// `id` (or `_id`, as the BEIR datasets write it) is a text or a whole number
/// and is required, as is either `text` or `content_base64`, the bytes of a file
/// of any kind that can be ingested, in standard Base64. `if_version` is the version that
/// must stand under its id, 0 for none. Every other key is a metadata field, beside those of
/// `metadata`.
pub(crate) fn read(line: &[u8]) -> Result<Record, Problem> {
    let wrong = |message: String| Problem::new(ProblemCode::InvalidJsonl, message);
    let line = std::str::from_utf8(line).map_err(|e| {
        wrong(format!(
            "byte {} of the line is not UTF-8: JSONL is always UTF-8",
            e.valid_up_to() + 1
        ))
    })?;
    let mut object: Map<String, Value> = serde_json::from_str(line).map_err(|e| {
        let shape = if e.is_data() {
            "the line is not a JSON object"
        } else {
            "the line is not valid JSON"
        };
        wrong(format!(
            "{shape}: {e}; each line is one document, {{\"id\": …, \"text\": …}}"
        ))
    })?;
    let id = match object
        .shift_remove("id")
        .or_else(|| object.shift_remove("_id"))
    {
        Some(Value::String(id)) => id,
        Some(Value::Number(id)) if id.is_i64() || id.is_u64() => id.to_string(),
        Some(_) => return Err(wrong("\"id\" must be a text or a whole number".to_owned())),
        None => {
            return Err(wrong(
                "there is no \"id\": give each document one that is its own".to_owned(),
            ));
        }
    };
    let id = DocumentId::new(id).map_err(invalid)?;
    let text = optional_text(&mut object, "text")?;
    let file = optional_text(&mut object, "content_base64")?;
    let content = match (text, file) {
        (Some(text), None) => Content::Text(text),
        (None, Some(encoded)) => Content::File(BASE64.decode(encoded).map_err(|error| {
            wrong(format!(
                "\"content_base64\" is not standard Base64 with padding: {error}"
            ))
        })?),
        (Some(_), Some(_)) => {
            return Err(wrong(
                "\"text\" and \"content_base64\" are both given: give one".to_owned(),
            ));
        }
        (None, None) => {
            return Err(wrong(
                "there is no \"text\": give the document's text, or a file as \"content_base64\""
                    .to_owned(),
            ));
        }
    };
    let title = optional_text(&mut object, "title")?.unwrap_or_default();
    let source = optional_text(&mut object, "source")?;
    let condition = match object.shift_remove("if_version") {
        None | Some(Value::Null) => Condition::Always,
        Some(version) => match version.as_u64() {
            Some(0) => Condition::Absent,
            Some(version) => Condition::Version(Sequence(version)),
            None => {
                return Err(wrong(
                    "\"if_version\" must be a whole number: a document's sequence, or 0 where none may be".to_owned(),
                ));
            }
        },
    };
    let metadata = match object.shift_remove("metadata") {
        Some(Value::Object(mut fields)) => {
            if let Some(twice) = object.keys().find(|key| fields.contains_key(*key)) {
                return Err(wrong(format!(
                    "\"{twice}\" is given beside \"metadata\" and in it"
                )));
            }
            fields.append(&mut object);
            fields
        }
        Some(Value::Null) | None => object,
        Some(_) => return Err(wrong("\"metadata\" must be an object".to_owned())),
    };
    Ok(Record {
        id,
        title: title.split_whitespace().collect::<Vec<_>>().join(" "),
        content,
        source,
        metadata: Metadata::from_json(&metadata).map_err(invalid)?,
        condition,
    })
}

fn optional_text(object: &mut Map<String, Value>, key: &str) -> Result<Option<String>, Problem> {
    match object.shift_remove(key) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Null) | None => Ok(None),
        Some(_) => Err(Problem::new(
            ProblemCode::InvalidJsonl,
            format!("\"{key}\" must be a text"),
        )),
    }
}

fn invalid(error: cento_core::CoreError) -> Problem {
    Problem::new(ProblemCode::InvalidDocument, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> ProblemCode {
        read(line.as_bytes()).expect_err(line).code
    }

    #[test]
    fn other_keys_are_metadata() {
        let line = r#"{"_id": 7, "title": " A\nb ", "text": "t", "source": "s", "year": 2024, "metadata": {"tags": ["x"]}}"#;
        let record = read(line.as_bytes()).expect("valid");
        assert_eq!(record.id.as_str(), "7");
        assert_eq!(record.title, "A b");
        assert_eq!(record.source.as_deref(), Some("s"));
        let metadata = Value::Object(record.metadata.to_json());
        assert_eq!(metadata, serde_json::json!({"tags": ["x"], "year": 2024}));
    }

    #[test]
    fn a_version_that_must_stand_is_no_metadata() {
        let condition = |version: &str| {
            let line = format!("{{\"id\": 1, \"text\": \"x\", \"if_version\": {version}}}");
            let record = read(line.as_bytes()).expect("valid");
            assert!(record.metadata.is_empty());
            record.condition
        };
        assert_eq!(condition("0"), Condition::Absent);
        assert_eq!(condition("7"), Condition::Version(Sequence(7)));
        assert_eq!(condition("null"), Condition::Always);
    }

    #[test]
    fn what_is_not_a_document_is_named() {
        for line in [
            "not json",
            "[1]",
            "{\"text\": \"x\"}",
            "{\"id\": 1.5, \"text\": \"x\"}",
            "{\"id\": 1}",
            "{\"id\": 1, \"text\": 2}",
            "{\"id\": 1, \"content_base64\": \"x\"}",
            "{\"id\": 1, \"content_base64\": \"eA==\", \"text\": \"x\"}",
            "{\"id\": 1, \"text\": \"x\", \"metadata\": 3}",
            "{\"id\": 1, \"text\": \"x\", \"if_version\": -1}",
            "{\"id\": 1, \"text\": \"x\", \"if_version\": \"3\"}",
            "{\"id\": 1, \"text\": \"x\", \"a\": 1, \"metadata\": {\"a\": 2}}",
        ] {
            assert_eq!(code(line), ProblemCode::InvalidJsonl, "{line}");
        }
        let nested = "[".repeat(100_000);
        assert_eq!(code(&nested), ProblemCode::InvalidJsonl);
        assert_eq!(
            code("{\"id\": \"\", \"text\": \"x\"}"),
            ProblemCode::InvalidDocument
        );
        assert_eq!(
            code("{\"id\": 1, \"text\": \"x\", \"a\": [1, \"b\"]}"),
            ProblemCode::InvalidDocument
        );
        let error = read(b"{\"id\": \"\xFF\"}").expect_err("not UTF-8");
        assert!(error.message.contains("UTF-8"));
    }
}
