//! How is Chroma's "Evaluating Chunking" read?
//!
//! `questions_df.csv` has the columns `question`, `references`, `corpus_id`;
//! `references` is a JSON list of `{"content", "start_index", "end_index"}` in
//! code points of the file `corpora/CORPUS_ID.md`. A question's id is its
//! place in the file, from 0.

use std::path::Path;

use serde::Deserialize;
use serde_json::Map;

use super::Question;
use super::files::{self, CorpusFile};
use super::spans::{Snippet, SpanSet, Texts};
use crate::EvalError;
use crate::qrels::shown;
use crate::text_file::{read_bytes, wrong_line};

const COLUMNS: [&str; 3] = ["question", "references", "corpus_id"];

#[derive(Deserialize)]
struct Reference {
    content: String,
    start_index: u64,
    end_index: u64,
}

pub(super) fn read(dir: &Path) -> Result<SpanSet, EvalError> {
    let path = files::present(dir, "questions_df.csv")?;
    let files = files::read(&files::present(dir, "corpora")?, None)?;
    let texts = Texts::of(&files);
    let bytes = read_bytes(&path)?;
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .has_headers(false)
        .from_reader(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes));
    let mut questions = vec![];
    let mut rows = 0;
    for record in reader.records() {
        let record = record.map_err(|error| wrong_csv(&path, &error))?;
        let line = record.position().map_or(1, csv::Position::line);
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        rows += 1;
        let columns: Vec<&str> = record.iter().collect();
        let is_header = rows == 1;
        let expected = if is_header {
            columns == COLUMNS
        } else {
            columns.len() == COLUMNS.len()
        };
        if !expected {
            return Err(EvalError::Columns {
                path,
                line,
                expected: "the columns question, references, corpus_id",
                found: shown(&columns),
            });
        }
        if is_header {
            continue;
        }
        let position = rows - 2;
        let id = position.to_string();
        if columns[0].trim().is_empty() {
            return Err(wrong_line(&path, line, "\"question\" is empty"));
        }
        let references: Vec<Reference> = serde_json::from_str(columns[1])
            .map_err(|error| wrong_line(&path, line, format!("\"references\": {error}")))?;
        let document = file_of(&files, columns[2]);
        let evidence = (references.iter())
            .map(|reference| {
                let snippet = Snippet {
                    document,
                    start: reference.start_index,
                    end: reference.end_index,
                    quote: &reference.content,
                };
                texts.find(&path, &id, &snippet)
            })
            .collect::<Result<_, _>>()?;
        questions.push(Question {
            id,
            text: columns[0].to_owned(),
            position,
            metadata: Map::new(),
            evidence,
        });
    }
    if questions.is_empty() {
        return Err(EvalError::Empty {
            path,
            what: "questions",
        });
    }
    Ok(SpanSet {
        files,
        path,
        questions,
        digest: blake3::hash(&bytes),
    })
}

/// The file of a corpus: its name without the ending is the corpus's id.
fn file_of<'a>(files: &'a [CorpusFile], corpus: &'a str) -> &'a str {
    let stem = |file: &&CorpusFile| {
        let name = file
            .name
            .rsplit_once('.')
            .map_or(&*file.name, |(stem, _)| stem);
        name == corpus
    };
    (files.iter().find(stem)).map_or(corpus, |file| &file.name)
}

fn wrong_csv(path: &Path, error: &csv::Error) -> EvalError {
    let line = error.position().map_or(1, csv::Position::line);
    let line = usize::try_from(line).unwrap_or(usize::MAX);
    wrong_line(path, line, error.to_string())
}
