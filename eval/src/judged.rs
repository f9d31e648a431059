//! Which questions have been judged, and what answers them?
//!
//! JSON lines, one query a line; blank lines are passed over:
//!
//! ```json
//! {"id": "q15", "query": "…", "language": "en",
//!  "evidence": [{"document": "policies/expenses.txt", "quote": "…", "start": 2130, "end": 2211}]}
//! ```
//!
//! `start` and `end` are byte offsets in the document's canonical text, given
//! together or not at all; without them the quote must occur once.

use std::collections::HashMap;
use std::path::Path;

use cento_core::{ByteSpan, DocumentId};
use serde::Deserialize;

use crate::EvalError;
use crate::text_file::{read_text, wrong_line};

/// A question with the passages that answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedQuery {
    /// Its name, unique in the set.
    pub id: String,
    /// The question as a person would put it.
    pub query: String,
    /// The language of the question, as a BCP 47 tag.
    pub language: String,
    /// The passages that answer it together; none if nothing does.
    pub evidence: Vec<Evidence>,
}

/// A passage that belongs to the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The document.
    pub document: DocumentId,
    /// Exactly the words that are meant.
    pub quote: String,
    /// Where they stand in the canonical text, if that is known already.
    pub span: Option<ByteSpan>,
}

// What stands in the file. Unknown keys are refused: a misspelt `start` would
// otherwise change what is measured without a word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryLine {
    id: String,
    query: String,
    language: String,
    evidence: Vec<EvidenceLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceLine {
    document: DocumentId,
    quote: String,
    start: Option<u64>,
    end: Option<u64>,
}

/// Reads a file of judged queries.
///
/// # Errors
/// [`EvalError::Read`] if the file cannot be read, else as [`parse`].
pub fn load(path: &Path) -> Result<Vec<JudgedQuery>, EvalError> {
    parse(path, &read_text(path)?)
}

/// Reads judged queries from JSON lines. The path only names them in errors.
///
/// # Errors
/// The first line that is not a judged query, an id that stands twice, or a
/// text without any query.
pub fn parse(path: &Path, text: &str) -> Result<Vec<JudgedQuery>, EvalError> {
    let mut queries = vec![];
    let mut lines_of_ids = HashMap::new();
    for (line, content) in (1..).zip(text.trim_start_matches('\u{FEFF}').lines()) {
        if content.trim().is_empty() {
            continue;
        }
        let query = parse_line(content).map_err(|reason| wrong_line(path, line, reason))?;
        if let Some(first) = lines_of_ids.insert(query.id.clone(), line) {
            return Err(EvalError::DuplicateId {
                path: path.to_owned(),
                line,
                first,
                id: query.id,
            });
        }
        queries.push(query);
    }
    if queries.is_empty() {
        return Err(EvalError::Empty {
            path: path.to_owned(),
            what: "judged queries",
        });
    }
    Ok(queries)
}

fn parse_line(content: &str) -> Result<JudgedQuery, String> {
    let line: QueryLine = serde_json::from_str(content).map_err(|error| error.to_string())?;
    for (name, value) in [
        ("id", &line.id),
        ("query", &line.query),
        ("language", &line.language),
    ] {
        if value.trim().is_empty() {
            return Err(format!("\"{name}\" is empty"));
        }
    }
    let evidence = (line.evidence.into_iter().enumerate())
        .map(|(place, evidence)| {
            parse_evidence(evidence).map_err(|reason| format!("evidence[{place}]: {reason}"))
        })
        .collect::<Result<_, _>>()?;
    Ok(JudgedQuery {
        id: line.id,
        query: line.query,
        language: line.language,
        evidence,
    })
}

fn parse_evidence(line: EvidenceLine) -> Result<Evidence, String> {
    if line.quote.is_empty() {
        return Err("\"quote\" is empty".to_owned());
    }
    let span = match (line.start, line.end) {
        (None, None) => None,
        (Some(start), Some(end)) => {
            let span = ByteSpan::new(start, end).map_err(|error| error.to_string())?;
            if span.len() != line.quote.len() as u64 {
                return Err(format!(
                    "\"start\" and \"end\" hold {} bytes, but the quote has {}",
                    span.len(),
                    line.quote.len()
                ));
            }
            Some(span)
        }
        _ => return Err("\"start\" and \"end\" are given together or not at all".to_owned()),
    };
    Ok(Evidence {
        document: line.document,
        quote: line.quote,
        span,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<JudgedQuery>, EvalError> {
        super::parse(Path::new("queries.jsonl"), text)
    }

    const GOOD: &str = r#"{"id": "q1", "query": "why?", "language": "en", "evidence": [{"document": "a.md", "quote": "so", "start": 3, "end": 5}, {"document": "b.html", "quote": "thus"}]}"#;
    const UNANSWERED: &str = r#"{"id": "q2", "query": "when?", "language": "en", "evidence": []}"#;

    #[test]
    fn spans_may_be_missing_and_evidence_too() {
        let queries = parse(&format!("{GOOD}\n\n{UNANSWERED}\n")).expect("good");
        assert_eq!(queries.len(), 2);
        assert_eq!(
            queries[0].evidence[0].span,
            Some(ByteSpan { start: 3, end: 5 })
        );
        assert_eq!(queries[0].evidence[1].span, None);
        assert!(queries[1].evidence.is_empty());
    }

    #[test]
    fn an_error_names_the_line_and_what_is_wrong() {
        for (change, expected) in [
            ((r#""why?""#, r#""""#), "\"query\" is empty"),
            ((r#""language": "en", "#, ""), "missing field `language`"),
            ((r#""end": 5"#, r#""ende": 5"#), "unknown field `ende`"),
            (
                (r#", "end": 5"#, ""),
                "evidence[0]: \"start\" and \"end\" are given together",
            ),
            (
                (r#""end": 5"#, r#""end": 9"#),
                "hold 6 bytes, but the quote has 2",
            ),
            ((r#""end": 5"#, r#""end": 1"#), "ends before it begins"),
            ((r#""so""#, r#""""#), "\"quote\" is empty"),
            ((r#""a.md""#, r#""""#), "not a document id"),
            ((r#"{"id""#, r#"id"#), "expected value"),
        ] {
            let line = GOOD.replacen(change.0, change.1, 1);
            let error = parse(&format!("{UNANSWERED}\n{line}")).expect_err("wrong");
            let said = error.to_string();
            assert!(said.starts_with("queries.jsonl, line 2: "), "{said}");
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn an_id_stands_once() {
        let error = parse(&format!("{GOOD}\n{UNANSWERED}\n{GOOD}")).expect_err("twice");
        assert!(matches!(
            error,
            EvalError::DuplicateId { line: 3, first: 1, id, .. } if id == "q1"
        ));
    }

    #[test]
    fn an_empty_file_is_no_judged_set() {
        assert!(matches!(parse("\n \n"), Err(EvalError::Empty { .. })));
        let dir = tempfile::tempdir().expect("a folder");
        let error = load(&dir.path().join("none.jsonl")).expect_err("missing");
        assert!(error.to_string().contains("none.jsonl"));
    }

    #[test]
    fn the_demo_set_is_one() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/demo/queries.jsonl");
        let queries = load(&demo).expect("the demo's judged queries");
        assert!(queries.iter().any(|query| query.evidence.is_empty()));
        assert!(queries.iter().any(|query| query.evidence.len() > 1));
    }
}
