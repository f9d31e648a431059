//! How is LegalBench-RAG read?
//!
//! `benchmarks/NAME.json` is `{"tests": [{"query", "snippets": [{"file_path",
//! "span": [start, end], "answer"}]}]}`, with code points of the file
//! `corpus/FILE_PATH`. A question's id is `NAME-N`, N its place in the file,
//! from 0. With one benchmark asked for, only the folder of that name below
//! `corpus/` is ingested, if there is one.

use std::path::Path;

use serde::Deserialize;
use serde_json::Map;

use super::Question;
use super::files;
use super::spans::{Snippet, SpanSet, Texts};
use crate::EvalError;
use crate::text_file::{read_text, unreadable, wrong_line};

#[derive(Deserialize)]
struct Benchmark {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    query: String,
    snippets: Vec<JudgedSnippet>,
}

#[derive(Deserialize)]
struct JudgedSnippet {
    file_path: String,
    span: (u64, u64),
    answer: String,
}

pub(super) fn read(dir: &Path, split: Option<&str>) -> Result<SpanSet, EvalError> {
    let corpus = files::present(dir, "corpus")?;
    let benchmarks = dir.join("benchmarks");
    let names = match split {
        Some(name) => {
            files::present(&benchmarks, &format!("{name}.json"))?;
            vec![name.to_owned()]
        }
        None => names(&benchmarks)?,
    };
    let within = split.filter(|name| corpus.join(name).is_dir());
    let files = files::read(&corpus, within)?;
    let texts = Texts::of(&files);
    let mut questions = vec![];
    let mut digest = blake3::Hasher::new();
    for name in names {
        let path = benchmarks.join(format!("{name}.json"));
        let text = read_text(&path)?;
        digest.update(text.as_bytes());
        let benchmark: Benchmark = serde_json::from_str(text.trim_start_matches('\u{FEFF}'))
            .map_err(|error| {
                let said = error.to_string();
                let what = said.split(" at line ").next().unwrap_or_default();
                let reason = format!("column {}: {what}", error.column());
                wrong_line(&path, error.line().max(1), reason)
            })?;
        for (position, test) in benchmark.tests.into_iter().enumerate() {
            let id = format!("{name}-{position}");
            if test.query.trim().is_empty() {
                let reason = format!("the query of test {position} is empty");
                return Err(wrong_line(&path, 1, reason));
            }
            let evidence = (test.snippets.iter())
                .map(|judged| {
                    let snippet = Snippet {
                        document: &judged.file_path,
                        start: judged.span.0,
                        end: judged.span.1,
                        quote: &judged.answer,
                    };
                    texts.find(&path, &id, &snippet)
                })
                .collect::<Result<_, _>>()?;
            questions.push(Question {
                id,
                text: test.query,
                position,
                metadata: Map::new(),
                evidence,
            });
        }
    }
    if questions.is_empty() {
        return Err(EvalError::Empty {
            path: benchmarks,
            what: "questions",
        });
    }
    Ok(SpanSet {
        files,
        path: benchmarks,
        questions,
        digest: digest.finalize(),
    })
}

/// The benchmarks there are, in order of their names.
fn names(dir: &Path) -> Result<Vec<String>, EvalError> {
    let wrong = |source| unreadable(dir, source);
    let mut names = vec![];
    for entry in std::fs::read_dir(dir).map_err(wrong)? {
        let name = entry.map_err(wrong)?.file_name();
        let name = name.to_string_lossy();
        names.extend(name.strip_suffix(".json").map(str::to_owned));
    }
    names.sort();
    if names.is_empty() {
        return Err(EvalError::Empty {
            path: dir.to_owned(),
            what: "benchmarks (NAME.json)",
        });
    }
    Ok(names)
}
