//! How does another system get the same texts and questions?
//!
//! Two files of JSON lines:
//!
//! ```text
//! documents.jsonl   {"id": "finance.md", "title": "finance.md", "text": "…"}
//! queries.jsonl     {"id": "0", "query": "…", "position": 0, "parity": "even"}
//! ```
//!
//! `text` is the canonical text, so that ranges of it can be handed back
//! ([`Candidates`](crate::Candidates)). `position` is the question's place in
//! its file; the even ones are for tuning.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::report::writing;
use crate::{Dataset, EvalError, Selection};

/// How much was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Documents with a text.
    pub documents: usize,
    /// Judged questions.
    pub queries: usize,
}

/// Writes both files into a folder, which is made if it is not there.
///
/// # Errors
/// [`EvalError::Write`], and a file of the set that cannot be read any more.
pub fn export(dataset: &Dataset, dir: &Path) -> Result<Exported, EvalError> {
    std::fs::create_dir_all(dir).map_err(|source| EvalError::Write {
        path: dir.to_owned(),
        source,
    })?;
    let documents = dataset.documents()?;
    writing(&dir.join("documents.jsonl"), |out| {
        for document in &documents {
            let (id, title, text) = (&document.id, &document.title, &document.text);
            writeln!(out, "{}", json!({"id": id, "title": title, "text": text}))?;
        }
        Ok(())
    })?;
    let questions = dataset.questions();
    writing(&dir.join("queries.jsonl"), |out| {
        for question in questions {
            let is_even = Selection::Even.holds(question.position);
            let parity = if is_even {
                Selection::Even
            } else {
                Selection::Odd
            };
            let line = json!({
                "id": question.id, "query": question.text,
                "position": question.position, "parity": parity,
            });
            writeln!(out, "{line}")?;
        }
        Ok(())
    })?;
    Ok(Exported {
        documents: documents.len(),
        queries: questions.len(),
    })
}
