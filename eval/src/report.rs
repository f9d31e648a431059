//! What does a run leave behind?
//!
//! A [`Report`] in one piece, and rows in JSON lines for whoever wants to look
//! closer. The first line of rows is `{"row": "header", …}` with settings,
//! their hash and the environment; then one line a query, `{"row": "query",
//! …}`, or one a query and budget, `{"row": "context", …}`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::EvalError;
use crate::contexts::{ContextMeans, ContextRow};
use crate::documents::{Means, QueryRow};
use crate::indexed::CorpusCounts;
use crate::provenance::{Environment, Settings};
use crate::trec::Run;

/// What a run found out.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// All that decides the figures.
    pub settings: Settings,
    /// Their hash.
    pub settings_hash: String,
    /// Where it was measured.
    pub environment: Environment,
    /// What was indexed; absent where another system was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corpus: Option<CorpusCounts>,
    /// The figures of rankings; absent where evidence was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<Means>,
    /// The figures of contexts, one a budget; absent where documents were
    /// measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contexts: Option<Vec<ContextMeans>>,
    /// How long the queries took together, in milliseconds.
    pub queries_ms: u64,
}

/// The figures of each query.
#[derive(Debug, Clone)]
pub enum Rows {
    /// Of rankings.
    Queries(Vec<QueryRow>),
    /// Of contexts.
    Contexts(Vec<ContextRow>),
}

impl Report {
    /// Writes the header and the rows to a file.
    ///
    /// # Errors
    /// [`EvalError::Write`].
    pub fn write_rows(&self, rows: &Rows, path: &Path) -> Result<(), EvalError> {
        writing(path, |out| {
            let header = json!({
                "row": "header",
                "settings": self.settings,
                "settings_hash": self.settings_hash,
                "environment": self.environment,
                "corpus": self.corpus,
            });
            writeln!(out, "{header}")?;
            match rows {
                Rows::Queries(rows) => lines(out, "query", rows),
                Rows::Contexts(rows) => lines(out, "context", rows),
            }
        })
    }
}

#[derive(Serialize)]
struct Row<'a, R> {
    row: &'static str,
    #[serde(flatten)]
    figures: &'a R,
}

fn lines<R: Serialize>(out: &mut impl Write, row: &'static str, rows: &[R]) -> std::io::Result<()> {
    for figures in rows {
        serde_json::to_writer(&mut *out, &Row { row, figures })?;
        writeln!(out)?;
    }
    Ok(())
}

/// Writes a run in TREC's format.
///
/// # Errors
/// [`EvalError::Write`].
pub fn write_run(run: &Run, tag: &str, path: &Path) -> Result<(), EvalError> {
    writing(path, |out| run.write(out, tag))
}

pub(crate) fn writing(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), EvalError> {
    let attempt = || {
        let mut out = BufWriter::new(File::create(path)?);
        write(&mut out)?;
        out.flush()
    };
    attempt().map_err(|source| EvalError::Write {
        path: path.to_owned(),
        source,
    })
}
