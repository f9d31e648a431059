//! Which judged sets can be read, and what do they hold?
//!
//! A layout is told by its files; nothing else has to be said:
//!
//! | layout | files | judged by |
//! |---|---|---|
//! | BEIR | `corpus.jsonl`, `queries.jsonl`, `qrels/SPLIT.tsv` | documents |
//! | chunking-evaluation | `questions_df.csv`, `corpora/*` | spans, in code points |
//! | LegalBench-RAG | `benchmarks/SPLIT.json`, `corpus/**` | spans, in code points |
//! | cento's own | `queries.jsonl`, `corpus/**` | spans, in bytes |
//!
//! Judgements by spans are checked when the set is opened: every span becomes
//! bytes of the canonical text that cento's own ingestion makes of the file,
//! and the text there must be the quote that the judgement gives.

mod beir;
mod chunking_evaluation;
mod files;
mod legalbench;
mod own;
mod spans;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cento_core::{ByteSpan, Document, DocumentId, Filter};
use cento_ingest::{Chunking, Source, prepare};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::EvalError;
use crate::qrels::Qrels;

/// How a set's files are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Documents and queries in JSON lines, judgements by document.
    Beir,
    /// Chroma's "Evaluating Chunking": questions with excerpts.
    ChunkingEvaluation,
    /// LegalBench-RAG: questions with snippets.
    LegalbenchRag,
    /// Our own, as `data/demo` has it: questions with quotes.
    Cento,
}

/// A question of a set that somebody has judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Its name, unique in the set.
    pub id: String,
    /// What is asked.
    pub text: String,
    /// Its place in the file, from 0, questions that nobody judged included.
    pub position: usize,
    /// What else its line says, for filters.
    pub metadata: Map<String, Value>,
    /// What answers it, as bytes of canonical texts; empty where documents are
    /// judged, and where nothing answers it.
    pub evidence: Vec<(DocumentId, ByteSpan)>,
}

/// Which questions are asked. The even ones are for tuning, the odd ones for
/// reporting, so that no figure is reported that something was tuned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// Those at 0, 2, 4, … of the file.
    Even,
    /// Those at 1, 3, 5, … of the file.
    Odd,
}

impl Selection {
    /// Its name: `all`, `even` or `odd`.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Even => "even",
            Self::Odd => "odd",
        }
    }

    /// Whether a question at this place of its file is asked.
    pub fn holds(self, position: usize) -> bool {
        match self {
            Self::All => true,
            Self::Even => position.is_multiple_of(2),
            Self::Odd => !position.is_multiple_of(2),
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Selection {
    type Err = EvalError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = [Self::All, Self::Even, Self::Odd].into_iter();
        let mut found = found.filter(|selection| selection.name() == name);
        found.next().ok_or_else(|| EvalError::UnknownSelection {
            name: name.to_owned(),
        })
    }
}

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Where a set's documents are.
enum Corpus {
    Beir(beir::Corpus),
    Files(Vec<files::CorpusFile>),
}

/// A judged set.
pub struct Dataset {
    name: String,
    layout: Layout,
    split: Option<String>,
    corpus: Corpus,
    questions_path: PathBuf,
    questions: Vec<Question>,
    qrels: Option<Qrels>,
    /// Of the documents, by which an index of them is known.
    corpus_digest: blake3::Hash,
    /// Of questions and judgements.
    judgements_digest: blake3::Hash,
}

/// The split of a BEIR set unless another one is asked for.
const DEFAULT_SPLIT: &str = "test";

impl Dataset {
    /// Reads the set in a folder. `split` chooses the judgements of a BEIR set
    /// (`test` unless it is given) or one benchmark of LegalBench-RAG (all of
    /// them unless it is given).
    ///
    /// # Errors
    /// A folder of no known layout, a file that is missing, and whatever is
    /// wrong with a line: an id that is unknown or stands twice, other columns,
    /// grades that are no whole numbers, spans that do not hold their quote.
    pub fn open(dir: &Path, split: Option<&str>) -> Result<Self, EvalError> {
        let name = dir.canonicalize().ok();
        let name = name.as_deref().and_then(Path::file_name);
        let name = name.map_or("set".to_owned(), |name| name.to_string_lossy().into_owned());
        let has = |file: &str| dir.join(file).exists();
        if has("corpus.jsonl") || has("qrels") {
            return Self::open_beir(dir, name, split.unwrap_or(DEFAULT_SPLIT));
        }
        let (layout, set) = if has("benchmarks") {
            (Layout::LegalbenchRag, legalbench::read(dir, split)?)
        } else if split.is_some() {
            return Err(EvalError::NotForThisSet(
                "only BEIR sets and LegalBench-RAG have splits: leave --split out".to_owned(),
            ));
        } else if has("questions_df.csv") || has("corpora") {
            (Layout::ChunkingEvaluation, chunking_evaluation::read(dir)?)
        } else if has("queries.jsonl") && has("corpus") {
            (Layout::Cento, own::read(dir)?)
        } else if dir.is_dir() {
            return Err(EvalError::UnknownLayout {
                dir: dir.to_owned(),
                known: "expected corpus.jsonl, queries.jsonl and qrels/ (BEIR), questions_df.csv and corpora/ (chunking-evaluation), benchmarks/ and corpus/ (LegalBench-RAG), or queries.jsonl and corpus/ (cento's own)".to_owned(),
            });
        } else {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(crate::text_file::unreadable(dir, source));
        };
        Ok(Self {
            name,
            layout,
            split: split.map(str::to_owned),
            corpus_digest: files::digest(&set.files),
            corpus: Corpus::Files(set.files),
            questions_path: set.path,
            questions: set.questions,
            qrels: None,
            judgements_digest: set.digest,
        })
    }

    fn open_beir(dir: &Path, name: String, split: &str) -> Result<Self, EvalError> {
        let qrels_path = beir::qrels_path(dir, split)?;
        let (corpus, documents) = beir::Corpus::open(dir)?;
        let (questions_path, all, digest) = beir::questions(dir)?;
        let qrels = Qrels::load_beir(&qrels_path)?;
        let known: HashSet<&str> = all.iter().map(|one| one.id.as_str()).collect();
        qrels.check(&known, &documents)?;
        let questions = (all.into_iter())
            .filter(|question| qrels.is_judged(&question.id))
            .collect();
        let mut both = blake3::Hasher::new();
        both.update(digest.as_bytes());
        both.update(qrels.digest().as_bytes());
        Ok(Self {
            name,
            layout: Layout::Beir,
            split: Some(split.to_owned()),
            corpus_digest: corpus.digest(),
            corpus: Corpus::Beir(corpus),
            questions_path,
            questions,
            qrels: Some(qrels),
            judgements_digest: both.finalize(),
        })
    }

    /// The name of the set's folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its files are laid out.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Which judgements these are, where the set has several.
    pub fn split(&self) -> Option<&str> {
        self.split.as_deref()
    }

    /// The judged questions, in the order of their file.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// The file of the questions.
    pub fn questions_path(&self) -> &Path {
        &self.questions_path
    }

    /// The judgements by document, where the set is judged so.
    pub fn qrels(&self) -> Option<&Qrels> {
        self.qrels.as_ref()
    }

    /// Documents with neither text nor title: they cannot be found, and count
    /// as missed where they are judged.
    pub fn empty_documents(&self) -> usize {
        match &self.corpus {
            Corpus::Beir(corpus) => corpus.empty(),
            Corpus::Files(_) => 0,
        }
    }

    /// The hash of all documents, in hexadecimal.
    pub fn corpus_digest(&self) -> String {
        self.corpus_digest.to_hex().to_string()
    }

    /// The hash of questions and judgements, in hexadecimal.
    pub fn judgements_digest(&self) -> String {
        self.judgements_digest.to_hex().to_string()
    }

    /// The set's documents for an ingestion. Their ids and sources do not
    /// depend on where the set lies, so that an index of it can be used again.
    /// Of the metadata only the field to filter by is kept, as text.
    pub(crate) fn sources(&self, filter_by: Option<&str>) -> Result<Vec<Source>, EvalError> {
        match &self.corpus {
            Corpus::Beir(corpus) => Ok(vec![Source::Stream {
                name: beir::CORPUS.to_owned(),
                reader: Box::new(corpus.reader(filter_by)?),
            }]),
            Corpus::Files(_) if filter_by.is_some() => Err(EvalError::NotForThisSet(
                "only the documents of BEIR sets have metadata to filter by".to_owned(),
            )),
            Corpus::Files(files) => Ok((files.iter())
                .map(|file| Source::Memory {
                    name: file.name.clone(),
                    bytes: file.bytes.clone().into(),
                })
                .collect()),
        }
    }

    /// The filter of a question: documents whose field is the question's own.
    ///
    /// # Errors
    /// [`EvalError::QueryField`] if the question has no such value.
    pub(crate) fn filter(&self, question: &Question, field: &str) -> Result<Filter, EvalError> {
        beir::filter(&question.metadata, field).ok_or_else(|| EvalError::QueryField {
            path: self.questions_path.clone(),
            query: question.id.clone(),
            field: field.to_owned(),
        })
    }

    /// The documents as ingestion makes them, with their canonical texts;
    /// empty ones are left out.
    ///
    /// # Errors
    /// A file of the set that cannot be read any more.
    pub fn documents(&self) -> Result<Vec<Document>, EvalError> {
        match &self.corpus {
            Corpus::Files(files) => Ok(files::documents(files)),
            Corpus::Beir(corpus) => {
                let mut documents = vec![];
                corpus.each(None, |line| {
                    let made = prepare(beir::CORPUS, line.as_bytes(), Chunking::Whole);
                    documents.extend(made.into_iter().flatten().map(|one| one.document));
                })?;
                Ok(documents)
            }
        }
    }
}
