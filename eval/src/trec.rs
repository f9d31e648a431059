//! What did a system find, in the format that trec_eval reads?
//!
//! ```text
//! query Q0 document rank score tag
//! ```
//!
//! A line with a tab is split at tabs, so that ids may hold blanks, else at
//! white space; what is written here is split by tabs, which trec_eval reads as
//! well. As trec_eval does, the rank's column is not looked at: the order is by
//! score, compared as `f32`, greatest first, and where scores are equal by the
//! document's id, greatest first.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use crate::EvalError;
use crate::qrels::{shown, split};
use crate::text_file::{Lines, wrong_line};

/// What was found for one query, in trec_eval's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking(Vec<(String, f32)>);

impl Ranking {
    /// Puts documents with distinct ids in trec_eval's order.
    pub fn new(mut documents: Vec<(String, f32)>) -> Self {
        documents.sort_by(|(a, x), (b, y)| {
            // 0 and -0 are equal, and a score that is no number is the least,
            // so that the order is total.
            let by_score = y.partial_cmp(x);
            let by_score = by_score.unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()));
            by_score.then_with(|| b.cmp(a))
        });
        Self(documents)
    }

    /// The documents with their scores, best first.
    pub fn documents(&self) -> &[(String, f32)] {
        &self.0
    }
}

/// What was found for each query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run(BTreeMap<String, Ranking>);

impl Run {
    /// From rankings by query.
    pub fn new(rankings: impl IntoIterator<Item = (String, Ranking)>) -> Self {
        Self(rankings.into_iter().collect())
    }

    /// What was found for a query; nothing if the run does not name it.
    pub fn ranking(&self, query: &str) -> Option<&Ranking> {
        self.0.get(query)
    }

    /// The queries, in order of their ids.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Reads a run.
    ///
    /// # Errors
    /// A file that is missing or empty, a line that has not six columns or a
    /// score that is no number, or a document that stands twice for a query.
    pub fn load(path: &Path) -> Result<Self, EvalError> {
        let mut lines = Lines::open(path)?;
        let mut found: BTreeMap<String, HashMap<String, (f32, usize)>> = BTreeMap::new();
        while let Some((line, text)) = lines.next()? {
            let columns = split(&text, false);
            let &[query, _, document, _, score, _] = columns.as_slice() else {
                return Err(EvalError::Columns {
                    path: path.to_owned(),
                    line,
                    expected: "six columns: query, Q0, document, rank, score, tag",
                    found: shown(&columns),
                });
            };
            let number: Option<f64> = score.parse().ok().filter(|score: &f64| !score.is_nan());
            let Some(number) = number else {
                let reason = format!("the score {score:?} is not a number");
                return Err(wrong_line(path, line, reason));
            };
            #[expect(clippy::cast_possible_truncation, reason = "trec_eval keeps floats")]
            let entry = (number as f32, line);
            let documents = found.entry(query.to_owned()).or_default();
            if let Some((_, first)) = documents.insert(document.to_owned(), entry) {
                return Err(EvalError::DuplicatePair {
                    path: path.to_owned(),
                    line,
                    first,
                    query: query.to_owned(),
                    document: document.to_owned(),
                });
            }
        }
        if found.is_empty() {
            return Err(EvalError::Empty {
                path: path.to_owned(),
                what: "results",
            });
        }
        Ok(Self::new(found.into_iter().map(|(query, documents)| {
            let scored = documents.into_iter().map(|(id, (score, _))| (id, score));
            (query, Ranking::new(scored.collect()))
        })))
    }

    /// Writes the run, its scores so that they are read back unchanged.
    ///
    /// # Errors
    /// What writing says.
    pub fn write(&self, out: &mut impl Write, tag: &str) -> io::Result<()> {
        for (query, ranking) in &self.0 {
            for (rank, (document, score)) in (1..).zip(ranking.documents()) {
                let score = f64::from(*score);
                writeln!(out, "{query}\tQ0\t{document}\t{rank}\t{score}\t{tag}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Run, EvalError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("run.txt");
        std::fs::write(&path, text).expect("writable");
        Run::load(&path)
    }

    #[test]
    fn the_order_is_trec_evals_whatever_the_ranks_say() {
        // As floats the first two scores are equal.
        let run = load(
            "q Q0 a 1 1.00000001 t\nq Q0 b 9 1 t\nq Q0 c 2 0.5 t\nq Q0 d 3 -0 t\nq Q0 e 3 0 t\nq Q0 f 3 -inf t\n",
        );
        let run = run.expect("a run");
        let order: Vec<&str> = (run.ranking("q").expect("found").documents().iter())
            .map(|(id, _)| id.as_str())
            .collect();
        assert_eq!(order, ["b", "a", "c", "e", "d", "f"]);
        assert_eq!(run.ranking("p"), None);
    }

    #[test]
    fn a_run_is_read_back_as_it_was_written() {
        let scores = [0.1_f32, 1e-30, 3.4e38, 0.333_333_34, -0.25];
        let documents = (scores.iter().enumerate()).map(|(n, s)| (format!("d {n}"), *s));
        let run = Run::new([("q 1".to_owned(), Ranking::new(documents.collect()))]);
        let mut out = vec![];
        run.write(&mut out, "cento").expect("written");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(load(&text).expect("a run"), run);
    }

    #[test]
    fn wrong_files_are_told_by_line() {
        for (text, expected) in [
            ("\n\n", "holds no results"),
            ("q Q0 d 1 1.0\n", "line 1: expected six columns"),
            (
                "q Q0 d 1 1.0 t\nq Q0 e 1 nan t\n",
                "line 2: the score \"nan\" is not a number",
            ),
            ("q Q0 d 1 x t\n", "the score \"x\" is not a number"),
            (
                "q Q0 d 1 1 t\nq Q0 d 2 0 t\n",
                "line 2: query 'q' with document 'd' stands on line 1",
            ),
        ] {
            let error = load(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
