//! Which documents have been judged to answer which queries?
//!
//! Two formats, told apart by the first line:
//!
//! ```text
//! BEIR: a header, then tab-separated      TREC: no header, white space or tabs
//! query-id ⇥ corpus-id ⇥ score              1 0 doc-a 1
//! 1 ⇥ doc-a ⇥ 1                             1 0 doc-b 0
//! ```
//!
//! Grades are whole numbers. A document is relevant from grade 1; 0 and below
//! say that somebody looked and found nothing. In TREC's format a line with a
//! tab is split at tabs, so that ids may hold blanks; the second column is not
//! looked at, as trec_eval does not either.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::EvalError;
use crate::measures::Ideal;
use crate::text_file::Lines;

/// One judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Judgement {
    grade: i64,
    line: usize,
}

/// The judgements of a set, by query and document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qrels {
    path: PathBuf,
    queries: BTreeMap<String, BTreeMap<String, Judgement>>,
    digest: blake3::Hash,
}

const BEIR: [&str; 3] = ["query-id", "corpus-id", "score"];
const BEIR_COLUMNS: &str = "three columns split by tabs: query-id, corpus-id, score";
const TREC_COLUMNS: &str = "four columns: query, iteration, document, grade";

/// How the lines of a file are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Beir,
    Trec,
}

impl Qrels {
    /// Reads judgements of either format.
    ///
    /// # Errors
    /// A file that is missing, holds no judgement, has other columns or another
    /// order of them, a grade that is not a whole number, or a pair that is
    /// judged twice.
    pub fn load(path: &Path) -> Result<Self, EvalError> {
        Self::read(path, None)
    }

    /// Reads judgements that must be of BEIR's format.
    ///
    /// # Errors
    /// As [`Qrels::load`], and where the header is missing.
    pub fn load_beir(path: &Path) -> Result<Self, EvalError> {
        Self::read(path, Some(Layout::Beir))
    }

    fn read(path: &Path, expected: Option<Layout>) -> Result<Self, EvalError> {
        let mut lines = Lines::open(path)?;
        let mut queries: BTreeMap<String, BTreeMap<String, Judgement>> = BTreeMap::new();
        let mut layout = None;
        while let Some((number, line)) = lines.next()? {
            let Some(layout) = layout else {
                let found = expected.unwrap_or_else(|| guess(&line));
                layout = Some(found);
                if found == Layout::Beir {
                    check_header(path, number, &line)?;
                } else {
                    add(path, &mut queries, Layout::Trec, number, &line)?;
                }
                continue;
            };
            add(path, &mut queries, layout, number, &line)?;
        }
        if queries.is_empty() {
            return Err(EvalError::Empty {
                path: path.to_owned(),
                what: "judgements",
            });
        }
        Ok(Self {
            path: path.to_owned(),
            queries,
            digest: lines.digest(),
        })
    }

    /// The file they were read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hash of that file.
    pub(crate) fn digest(&self) -> blake3::Hash {
        self.digest
    }

    /// Checks that every judgement is of a query and a document of the set.
    ///
    /// # Errors
    /// The first line that is not.
    pub fn check(
        &self,
        queries: &HashSet<&str>,
        documents: &HashSet<String>,
    ) -> Result<(), EvalError> {
        let mut first: Option<(usize, EvalError)> = None;
        for (query, documents_judged) in &self.queries {
            for (document, judgement) in documents_judged {
                let line = judgement.line;
                if first.as_ref().is_some_and(|(earlier, _)| *earlier < line) {
                    continue;
                }
                let path = self.path.clone();
                if !queries.contains(query.as_str()) {
                    let id = query.clone();
                    first = Some((line, EvalError::UnknownQuery { path, line, id }));
                } else if !documents.contains(document) {
                    let id = document.clone();
                    first = Some((line, EvalError::UnknownDocument { path, line, id }));
                }
            }
        }
        first.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// The ids of the judged queries, in order of their bytes.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.queries.keys().map(String::as_str)
    }

    /// How many queries have a judgement.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether there is none; [`Qrels::load`] never gives such.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }

    /// Whether a query has a judgement.
    pub fn is_judged(&self, query: &str) -> bool {
        self.queries.contains_key(query)
    }

    /// The grade of a document for a query, if it was judged.
    pub fn grade(&self, query: &str, document: &str) -> Option<i64> {
        let judgement = self.queries.get(query)?.get(document)?;
        Some(judgement.grade)
    }

    /// The best order that the judgements of a query allow.
    pub fn ideal(&self, query: &str) -> Ideal {
        let judged = self.queries.get(query);
        Ideal::of(judged.into_iter().flatten().map(|(_, one)| one.grade))
    }
}

/// A header, or lines as BEIR has them, else TREC.
fn guess(first: &str) -> Layout {
    let is_header = BEIR.iter().any(|name| first.contains(name));
    if is_header || first.split('\t').count() == 3 {
        Layout::Beir
    } else {
        Layout::Trec
    }
}

fn check_header(path: &Path, line: usize, text: &str) -> Result<(), EvalError> {
    let found: Vec<&str> = text.split('\t').map(str::trim).collect();
    if found == BEIR {
        return Ok(());
    }
    Err(EvalError::Columns {
        path: path.to_owned(),
        line,
        expected: "the header query-id, corpus-id, score, split by tabs",
        found: shown(&found),
    })
}

fn add(
    path: &Path,
    queries: &mut BTreeMap<String, BTreeMap<String, Judgement>>,
    layout: Layout,
    line: usize,
    text: &str,
) -> Result<(), EvalError> {
    let columns = split(text, layout == Layout::Beir);
    let (query, document, grade) = match (layout, columns.as_slice()) {
        (Layout::Beir, &[query, document, grade]) => (query, document, grade),
        (Layout::Trec, &[query, _, document, grade]) => (query, document, grade),
        _ => {
            return Err(EvalError::Columns {
                path: path.to_owned(),
                line,
                expected: match layout {
                    Layout::Beir => BEIR_COLUMNS,
                    Layout::Trec => TREC_COLUMNS,
                },
                found: shown(&columns),
            });
        }
    };
    let grade = grade.parse().map_err(|_| EvalError::Grade {
        path: path.to_owned(),
        line,
        found: shorten(grade),
    })?;
    let judged = queries.entry(query.to_owned()).or_default();
    if let Some(first) = judged.insert(document.to_owned(), Judgement { grade, line }) {
        return Err(EvalError::DuplicatePair {
            path: path.to_owned(),
            line,
            first: first.line,
            query: query.to_owned(),
            document: document.to_owned(),
        });
    }
    Ok(())
}

/// The columns of a line: at tabs where there is one or must be one, else at
/// white space.
pub(crate) fn split(line: &str, tabs: bool) -> Vec<&str> {
    if tabs || line.contains('\t') {
        line.split('\t').map(str::trim).collect()
    } else {
        line.split_whitespace().collect()
    }
}

/// Columns as an error shows them.
pub(crate) fn shown(columns: &[&str]) -> String {
    let most = 8;
    let mut shown: Vec<String> = columns
        .iter()
        .take(most)
        .map(|text| shorten(text))
        .collect();
    if columns.len() > most {
        shown.push("…".to_owned());
    }
    let noun = if columns.len() == 1 {
        "column"
    } else {
        "columns"
    };
    format!("{} {noun}: {}", columns.len(), shown.join(", "))
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 40 {
        return text.to_owned();
    }
    let kept: String = text.chars().take(39).collect();
    format!("{kept}…")
}

/// Ids with the line on which each stands, refusing one that stands twice.
#[derive(Debug, Default)]
pub(crate) struct Ids(HashMap<String, usize>);

impl Ids {
    pub(crate) fn add(&mut self, path: &Path, line: usize, id: &str) -> Result<(), EvalError> {
        match self.0.insert(id.to_owned(), line) {
            None => Ok(()),
            Some(first) => Err(EvalError::DuplicateId {
                path: path.to_owned(),
                line,
                first,
                id: id.to_owned(),
            }),
        }
    }

    pub(crate) fn into_set(self) -> HashSet<String> {
        self.0.into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Qrels, EvalError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("test.tsv");
        std::fs::write(&path, text).expect("writable");
        Qrels::load(&path)
    }

    #[test]
    fn both_formats_say_the_same() {
        let beir = load("query-id\tcorpus-id\tscore\r\nq1\td 1\t2\r\nq1\td2\t-1\r\nq2\td2\t0\r\n");
        let trec = load("q1\t0\td 1\t2\nq1 0 d2 -1\nq2 Q0 d2 0\n");
        for qrels in [beir.expect("BEIR"), trec.expect("TREC")] {
            assert_eq!(qrels.queries().collect::<Vec<_>>(), ["q1", "q2"]);
            assert_eq!(qrels.grade("q1", "d 1"), Some(2));
            assert_eq!(qrels.grade("q1", "d2"), Some(-1));
            assert_eq!(qrels.grade("q3", "d2"), None);
            assert_eq!(qrels.ideal("q1").relevant(), 1);
            assert_eq!(qrels.ideal("q2").relevant(), 0);
        }
    }

    #[test]
    fn wrong_files_are_told_by_line() {
        let header = "query-id\tcorpus-id\tscore\n";
        for (text, expected) in [
            ("", "holds no judgements"),
            (header, "holds no judgements"),
            (
                "corpus-id\tquery-id\tscore\nd\tq\t1\n",
                "line 1: expected the header",
            ),
            (
                "query-id corpus-id score\nq d 1\n",
                "line 1: expected the header",
            ),
            ("q\td\t1\n", "line 1: expected the header"),
            (
                "q 0 d\n",
                "line 1: expected four columns: query, iteration, document, grade, found 3 columns: q, 0, d",
            ),
            ("q 0 d 1\nq d 1\n", "line 2: expected four columns"),
            ("q d 0 x\n", "the grade \"x\" is not a whole number"),
            (
                &format!("{header}q\td\t1.0\n"),
                "line 2: the grade \"1.0\" is not",
            ),
            (
                &format!("{header}q\td\t99999999999999999999\n"),
                "is not a whole number",
            ),
            (&format!("{header}q\td\n"), "line 2: expected three columns"),
            (
                &format!("{header}q\td\t1\n\nq\td\t1\n"),
                "line 4: query 'q' with document 'd' stands on line 2 already",
            ),
        ] {
            let error = load(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_first_unknown_id_of_the_file_is_named() {
        let qrels = load("query-id\tcorpus-id\tscore\nb\td\t1\na\te\t1\nc\td\t1\n").expect("good");
        let documents: HashSet<String> = ["d".to_owned()].into();
        let error = |queries: &[&str]| {
            let queries: HashSet<&str> = queries.iter().copied().collect();
            qrels
                .check(&queries, &documents)
                .map_err(|error| error.to_string())
        };
        assert!(
            error(&["a", "b"]).is_err_and(|said| said.contains("line 3: there is no document 'e'"))
        );
        assert!(
            error(&["a", "c"]).is_err_and(|said| said.contains("line 2: there is no query 'b'"))
        );
    }
}
