//! What can be asked for on the command line?

mod eval;
mod keeping;
mod models;

use std::net::SocketAddr;
use std::path::PathBuf;

use cento_api::ServerConfig;
use cento_api::types::RerankQuery;
use cento_index::Effort;
use cento_ingest::Chunking;
use cento_retrieve::{Fusion, Legs, Rerank, RetrieveError, effort};
use clap::{Args as ClapArgs, Parser, Subcommand};

pub(crate) use eval::*;
pub(crate) use keeping::*;
pub(crate) use models::*;

/// Turns a heap of documents into the best possible context for a prompt:
/// ranked, deduplicated, cited to the byte, within an exact token budget.
#[derive(Debug, Parser)]
#[command(name = "cento", version, about, max_term_width = 100)]
pub(crate) struct Args {
    /// The data directory.
    #[arg(
        long,
        global = true,
        env = "CENTO_DATA",
        default_value = "./cento-data",
        value_name = "DIR"
    )]
    pub(crate) data: PathBuf,

    /// Ask the server at this URL instead of opening the data directory.
    ///
    /// A server that owns the data directory is found without it.
    #[arg(long, global = true, env = "CENTO_URL", value_name = "URL")]
    pub(crate) url: Option<String>,

    /// Print JSON instead of text; errors too, on standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// How much is verified before a collection is opened: quick (the manifest,
    /// lengths, the end of the log) or full (every byte).
    #[arg(
        long,
        global = true,
        env = "CENTO_VERIFY",
        default_value = "quick",
        value_name = "HOW"
    )]
    pub(crate) verify: VerifyArg,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ingest the bundled handbook into a temporary store and ask it three questions.
    Demo(DemoArgs),
    /// Bring files, folders or standard input into a collection.
    Ingest(IngestArgs),
    /// Find the best chunks for a query.
    Search(SearchArgs),
    /// Fill a token budget with the best passages for a query.
    ///
    /// The context goes to standard output, its citations to standard error.
    Context(ContextArgs),
    /// Name the collections, or the documents of one.
    List(ListArgs),
    /// Show a collection, or a document with its chunks.
    Show(ShowArgs),
    /// Delete documents, or a whole collection.
    Delete(DeleteArgs),
    /// Serve the data directory over HTTP.
    ///
    /// Prints its address when it listens; /openapi.json describes what can be
    /// asked. Ends in order at SIGTERM or Ctrl-C.
    Serve(ServeArgs),
    /// Compare the catalog, text and vectors with the log, document by document.
    Doctor(DoctorArgs),
    /// Make the catalog, text and vectors anew from the log.
    Rebuild(RebuildArgs),
    /// Keep moments of a collection, go back to them, and carry them elsewhere.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Embed and cut a collection anew, while it serves.
    ///
    /// Says first what it will cost. The former configuration is kept: see
    /// `cento generation rollback`.
    Reindex(ReindexArgs),
    /// Name a collection's configurations, and go back to a former one.
    #[command(subcommand)]
    Generation(GenerationCommand),
    /// Give back the space of what was replaced and deleted.
    Compact(EachCollection),
    /// Remove deleted content for good, and prove it.
    Purge(PurgeArgs),
    /// Name, fetch, verify and measure embedding models.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Measure retrieval on judged sets.
    #[command(subcommand)]
    Eval(EvalCommand),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct OneCollection {
    /// The collection.
    #[arg(
        short,
        long,
        env = "CENTO_COLLECTION",
        default_value = "default",
        value_name = "NAME"
    )]
    pub(crate) collection: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EachCollection {
    /// The collection; all of them if none is named.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) collection: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) each: EachCollection,

    /// Save what is whole of a damaged log, put the damaged files aside, and
    /// say what is lost. Nothing answers for the collection meanwhile.
    #[arg(long, requires = "collection")]
    pub(crate) salvage: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// Serve the handbook afterwards, until Ctrl-C.
    #[arg(long)]
    pub(crate) serve: bool,

    /// Where to serve it.
    #[arg(long, default_value_t = ServerConfig::DEFAULT_BIND, requires = "serve", value_name = "IP:PORT")]
    pub(crate) bind: SocketAddr,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "CENTO_BIND", default_value_t = ServerConfig::DEFAULT_BIND, value_name = "IP:PORT")]
    pub(crate) bind: SocketAddr,

    /// Allow an address that other machines can reach. There is no
    /// authentication yet: something else must guard the port.
    #[arg(long)]
    pub(crate) allow_remote: bool,

    /// A name that requests may give in `Host`, besides the local ones.
    #[arg(long = "allowed-host", value_name = "NAME")]
    pub(crate) allowed_hosts: Vec<String>,

    /// A model that collections may be made with, besides the bundled one: a
    /// directory with an ONNX model, a name on the hub, or URL#MODEL on a
    /// server.
    #[arg(long = "embedder", value_name = "NAME|DIR|URL#MODEL")]
    pub(crate) embedders: Vec<String>,

    /// The model that reranks where a question asks for it: a directory with a
    /// cross-encoder in ONNX's format, or URL#MODEL of a server that reranks as
    /// Cohere's API does.
    #[arg(long, env = "CENTO_RERANKER", value_name = "DIR|URL#MODEL")]
    pub(crate) reranker: Option<String>,

    /// The largest document, in bytes.
    #[arg(long, default_value_t = 32 * 1024 * 1024, value_name = "BYTES")]
    pub(crate) max_document_bytes: u64,

    /// Compact a log when this share (0 to 1) of its closed part is dead, or
    /// `off`.
    #[arg(
        long,
        env = "CENTO_COMPACT_AT",
        default_value = "0.5",
        value_name = "SHARE|off"
    )]
    pub(crate) compact_at: CompactAt,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct IngestArgs {
    /// Files and folders (.gitignore is honoured), or `-` for standard input.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) collection: OneCollection,

    /// The model of a new collection: the bundled one unless a directory with
    /// an ONNX model, a name on the hub, or URL#MODEL is given: a model of a
    /// server that embeds as OpenAI's API does.
    #[arg(long, value_name = "NAME|DIR|URL#MODEL")]
    pub(crate) embedder: Option<String>,

    /// How documents of a new collection are cut: default, or none.
    #[arg(long, value_name = "NAME")]
    pub(crate) chunking: Option<Chunking>,

    /// The largest document, in bytes.
    #[arg(long, default_value_t = 32 * 1024 * 1024, value_name = "BYTES")]
    pub(crate) max_document_bytes: u64,

    /// End with exit code 3 if any document failed.
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct QueryArgs {
    /// What to look for.
    #[arg(value_name = "QUERY")]
    pub(crate) query: String,

    #[command(flatten)]
    pub(crate) collection: OneCollection,

    /// Only documents that pass: `team=ops`, `year>=2024`, `id!=a.md`, or JSON
    /// as in `{"type":"in","key":"team","value":["ops","dev"]}`. Several must
    /// all pass.
    #[arg(short, long = "filter", value_name = "FILTER")]
    pub(crate) filters: Vec<String>,

    /// Which legs are asked: lexical, dense or hybrid.
    #[arg(long, default_value_t = Legs::default())]
    pub(crate) legs: Legs,

    /// How the lexical and the dense ranking become one: rrf, convex, absolute or
    /// adaptive.
    #[arg(long, default_value_t = Fusion::default())]
    pub(crate) fusion: Fusion,

    #[command(flatten)]
    pub(crate) effort: EffortArgs,

    #[command(flatten)]
    pub(crate) rerank: RerankArgs,
}

/// Whether a model looks at the best candidates again.
#[derive(Debug, ClapArgs)]
pub(crate) struct RerankArgs {
    /// Rerank the best candidates: with this model, a directory with a cross-encoder
    /// in ONNX's format or URL#MODEL of a server that reranks as Cohere's API does. If
    /// none is named: with that of the server that answers, or else CENTO_RERANKER.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_name = "DIR|URL#MODEL"
    )]
    pub(crate) rerank: Option<String>,

    /// How many candidates are reranked.
    #[arg(long, default_value_t = Rerank::HEAD, requires = "rerank", value_name = "COUNT")]
    pub(crate) rerank_head: usize,

    /// How long that may take. What is not judged by then stays in its order behind
    /// what is.
    #[arg(
        long,
        default_value_t = RerankQuery::default().deadline_ms,
        requires = "rerank",
        value_name = "MILLISECONDS"
    )]
    pub(crate) rerank_deadline_ms: usize,
}

impl RerankArgs {
    /// The model that is named, if one is.
    pub(crate) fn model(&self) -> Option<&str> {
        self.rerank.as_deref().filter(|model| !model.is_empty())
    }

    /// What is asked for, if anything is.
    pub(crate) fn asked(&self) -> Option<RerankQuery> {
        self.rerank.as_ref().map(|_| RerankQuery {
            head: self.rerank_head,
            deadline_ms: self.rerank_deadline_ms,
        })
    }
}

/// How hard the dense leg looks: one of these.
#[derive(Debug, ClapArgs)]
#[group(multiple = false)]
pub(crate) struct EffortArgs {
    /// The share of the nearest vectors that the dense leg is to find, on average:
    /// above 0 and up to 1.
    #[arg(long, value_name = "SHARE")]
    pub(crate) recall: Option<f32>,

    /// How many of the best a walk through a graph of vectors keeps in sight.
    #[arg(long, value_name = "COUNT")]
    pub(crate) ef: Option<usize>,

    /// Compare every vector.
    #[arg(long)]
    pub(crate) exact: bool,
}

impl EffortArgs {
    /// The effort that was asked for, or this one.
    pub(crate) fn or(&self, default: Effort) -> Result<Effort, RetrieveError> {
        match (self.recall, self.ef, self.exact) {
            (None, None, false) => Ok(default),
            (recall, ef, exact) => effort(recall, ef, exact),
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) query: QueryArgs,

    /// The most chunks to print.
    #[arg(short = 'n', long, default_value_t = 10, value_name = "COUNT")]
    pub(crate) limit: usize,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ContextArgs {
    #[command(flatten)]
    pub(crate) query: QueryArgs,

    /// The most tokens that the whole context may have.
    #[arg(short = 't', long, default_value_t = 4000, value_name = "COUNT")]
    pub(crate) max_tokens: usize,

    /// What counts the tokens: o200k, cl100k, or the path of a tokenizer.json.
    #[arg(long, default_value = "o200k", value_name = "NAME|FILE")]
    pub(crate) tokenizer: String,

    /// Print what became of every candidate, too.
    #[arg(long)]
    pub(crate) receipt: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ListArgs {
    /// List the documents of this collection.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) collection: Option<String>,

    /// List only documents whose id comes after this one.
    #[arg(long, requires = "collection", value_name = "ID")]
    pub(crate) after: Option<String>,

    /// The most documents to list.
    #[arg(short = 'n', long, default_value_t = 100, value_name = "COUNT")]
    pub(crate) limit: usize,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ShowArgs {
    /// The document; without it, the collection is shown.
    #[arg(value_name = "ID")]
    pub(crate) document: Option<String>,

    #[command(flatten)]
    pub(crate) collection: OneCollection,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DeleteArgs {
    /// The documents.
    #[arg(
        value_name = "ID",
        required_unless_present_any = ["all", "filters"],
        conflicts_with_all = ["all", "filters"]
    )]
    pub(crate) documents: Vec<String>,

    /// Delete all documents that pass, written as for `search`.
    #[arg(short, long = "filter", value_name = "FILTER", conflicts_with = "all")]
    pub(crate) filters: Vec<String>,

    #[command(flatten)]
    pub(crate) collection: OneCollection,

    /// Delete the whole collection.
    #[arg(long)]
    pub(crate) all: bool,
}
