//! What can be asked of `cento eval`?

use std::path::PathBuf;

use cento_embed::Bundled;
use cento_eval::{Measure, Selection};
use cento_ingest::Chunking;
use cento_retrieve::{Fusion, LEG_DEPTH, Legs, Rerank};
use clap::{Args as ClapArgs, Subcommand};

use super::EffortArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// Ingest a judged set, ask its questions, and measure the answers.
    ///
    /// The set's layout is told by its files: BEIR (corpus.jsonl,
    /// queries.jsonl, qrels/SPLIT.tsv), chunking-evaluation (questions_df.csv,
    /// corpora/), LegalBench-RAG (benchmarks/, corpus/), or cento's own
    /// (queries.jsonl, corpus/). Where documents are judged, rankings are
    /// measured as trec_eval does; where spans are, contexts are measured by
    /// the evidence they hold. The dense leg compares every vector, unless --recall or
    /// --ef is given.
    Run(EvalRunArgs),
    /// Measure another system's run against judgements, as trec_eval does.
    Measure(EvalMeasureArgs),
    /// Measure another system's candidates on a set judged by spans: packed
    /// into the same budgets, in the same wrapper, counted alike.
    ///
    /// FILE has a line a query, best candidate first: {"query_id": "0",
    /// "unit": "chars", "candidates": [{"document": "finance.md", "start": 120,
    /// "end": 980}]}. Ranges are of the texts that `cento eval export` writes,
    /// in bytes unless "unit" is "chars" (code points).
    Contexts(EvalContextsArgs),
    /// Write a set's canonical texts and questions for another system.
    ///
    /// documents.jsonl has {"id", "title", "text"} a line, queries.jsonl
    /// {"id", "query", "position", "parity"}.
    Export(EvalExportArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DatasetArgs {
    /// The folder of the judged set.
    #[arg(long, value_name = "DIR")]
    pub(crate) dataset: PathBuf,

    /// Which judgements: `test` unless given for BEIR, one benchmark of
    /// LegalBench-RAG instead of all.
    #[arg(long, value_name = "NAME")]
    pub(crate) split: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RowsArgs {
    /// Write the settings, their hash, the environment, and the figures of each
    /// query to this file, as JSON lines.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BudgetArgs {
    /// How many tokens contexts may have, where spans are judged.
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = cento_eval::Plan::BUDGETS,
        value_name = "COUNT,…"
    )]
    pub(crate) budgets: Vec<usize>,

    /// What counts the tokens: o200k, cl100k, or the path of a tokenizer.json.
    #[arg(long, default_value = "o200k", value_name = "NAME|FILE")]
    pub(crate) tokenizer: String,

    /// Which questions, by their place in their file from 0: all, even (for
    /// tuning) or odd (for reporting).
    #[arg(long, default_value_t = Selection::default())]
    pub(crate) queries: Selection,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct MeasureListArgs {
    /// What is measured of rankings: nDCG@K, MAP, MRR@K, recall@K, precision@K.
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = Measure::DEFAULT,
        value_name = "NAME,…"
    )]
    pub(crate) measures: Vec<Measure>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EvalRunArgs {
    #[command(flatten)]
    pub(crate) dataset: DatasetArgs,

    /// Which legs are asked: lexical, dense or hybrid.
    #[arg(long, default_value_t = Legs::default())]
    pub(crate) legs: Legs,

    /// How the lexical and the dense ranking become one: rrf, convex, absolute or
    /// adaptive.
    #[arg(long, default_value_t = Fusion::default())]
    pub(crate) fusion: Fusion,

    /// The embedder: the bundled one's name, a model's directory, or URL#MODEL.
    #[arg(long, default_value = Bundled::NAME, value_name = "NAME|DIR|URL#MODEL")]
    pub(crate) embedder: String,

    /// How documents are cut: default, or none (each is indexed whole).
    #[arg(long, default_value_t = Chunking::default())]
    pub(crate) chunking: Chunking,

    /// How many chunks each leg returns.
    #[arg(long, default_value_t = LEG_DEPTH, value_name = "COUNT")]
    pub(crate) depth: usize,

    #[command(flatten)]
    pub(crate) effort: EffortArgs,

    /// Rerank the best candidates with this model.
    #[arg(long, value_name = "DIR|URL#MODEL")]
    pub(crate) rerank: Option<String>,

    /// How many candidates are reranked.
    #[arg(long, default_value_t = Rerank::HEAD, requires = "rerank", value_name = "COUNT")]
    pub(crate) rerank_head: usize,

    /// Ask each query only of documents whose metadata field has the value that
    /// the query has there.
    #[arg(long, value_name = "metadata.FIELD")]
    pub(crate) filter_by: Option<String>,

    #[command(flatten)]
    pub(crate) measures: MeasureListArgs,

    #[command(flatten)]
    pub(crate) budgets: BudgetArgs,

    /// Keep the index in this directory and use what is there already; a
    /// temporary one is used otherwise.
    #[arg(long, value_name = "DIR")]
    pub(crate) index: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) rows: RowsArgs,

    /// Write the rankings to this file, in TREC's format.
    #[arg(long, value_name = "FILE")]
    pub(crate) run: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EvalMeasureArgs {
    /// The judgements, in BEIR's or TREC's format.
    #[arg(long, value_name = "FILE")]
    pub(crate) qrels: PathBuf,

    /// The run, in TREC's format: query Q0 document rank score tag.
    #[arg(long, value_name = "FILE")]
    pub(crate) run: PathBuf,

    #[command(flatten)]
    pub(crate) measures: MeasureListArgs,

    /// Print the figures of each query, too.
    #[arg(long)]
    pub(crate) per_query: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EvalContextsArgs {
    #[command(flatten)]
    pub(crate) dataset: DatasetArgs,

    /// The candidates, as JSON lines.
    #[arg(long, value_name = "FILE")]
    pub(crate) candidates: PathBuf,

    #[command(flatten)]
    pub(crate) budgets: BudgetArgs,

    #[command(flatten)]
    pub(crate) rows: RowsArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EvalExportArgs {
    #[command(flatten)]
    pub(crate) dataset: DatasetArgs,

    /// The folder to write to; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}
