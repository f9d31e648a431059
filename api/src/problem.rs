//! How is an error told to the world?
//!
//! One table maps every error of every room to a stable code, an HTTP status,
//! whether a retry helps, and what to do next. Programs rely on the code;
//! people read the detail and the help.

use std::borrow::Cow;
use std::io::ErrorKind;

use cento_core::CoreError;
use cento_embed::EmbedError;
use cento_eval::EvalError;
use cento_index::IndexError;
use cento_ingest::IngestError;
use cento_retrieve::RetrieveError;
use serde::{Deserialize, Serialize};

use crate::service::MISMATCH_HELP;

/// An error as the world sees it, in the terms of RFC 9457.
///
/// It reads back from what a server answers, so that a command that asks a
/// server tells the same error as one that asks the directory itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable, `snake_case`; never reused for another meaning.
    pub code: Cow<'static, str>,
    /// The HTTP status that goes with it.
    pub status: u16,
    /// What is wrong, this time.
    pub detail: String,
    /// What to do next; empty where the detail says it.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub help: Cow<'static, str>,
    /// Whether the same request may succeed later with nothing changed.
    pub retry: bool,
}

impl Problem {
    /// A problem that no room knows of, such as a wrong combination of
    /// arguments.
    pub fn new(code: &'static str, status: u16, detail: impl Into<String>) -> Self {
        Self {
            code: Cow::Borrowed(code),
            status,
            detail: detail.into(),
            help: Cow::Borrowed(""),
            retry: false,
        }
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn with_help(mut self, help: &'static str) -> Self {
        self.help = Cow::Borrowed(help);
        self
    }

    /// The same, for a request that may succeed later with nothing changed.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retry = true;
        self
    }
}

/// `str::is_empty`, as serde calls it.
fn is_empty(text: &str) -> bool {
    text.is_empty()
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.detail, self.code)
    }
}

impl std::error::Error for Problem {}

impl From<&CoreError> for Problem {
    fn from(error: &CoreError) -> Self {
        use CoreError as E;
        let (code, status) = match error {
            E::CollectionName { .. } => ("invalid_collection_name", 400),
            E::DocumentId { .. } => ("invalid_document_id", 400),
            E::Span { .. } => ("invalid_span", 400),
            E::Document { .. } => ("invalid_document", 422),
            E::DuplicateId { .. } => ("duplicate_id", 422),
            E::ZeroBudget => ("invalid_budget", 400),
            E::FieldName { .. } | E::FieldValue { .. } => ("invalid_metadata", 422),
            E::FieldTypeConflict { .. } => ("field_type_conflict", 422),
            E::FilterShape { .. } => ("invalid_filter", 400),
            E::UnknownField { .. } => ("unknown_filter_field", 400),
            E::FilterType { .. } => ("filter_type_mismatch", 400),
            E::FilterOperator { .. } => ("invalid_filter_operator", 400),
            // The enum may grow; a variant without a row here is our omission.
            _ => ("internal", 500),
        };
        Self::new(code, status, error.to_string())
    }
}

impl From<&IndexError> for Problem {
    fn from(error: &IndexError) -> Self {
        use IndexError as E;
        let new = |code, status| Self::new(code, status, error.to_string());
        match error {
            E::Invalid(core) => core.into(),
            E::UnknownCollection { .. } => new("unknown_collection", 404)
                .with_help("`cento list` names the collections; `cento ingest PATH` makes one"),
            E::CollectionExists { .. } => new("collection_exists", 409),
            E::CollectionInUse { .. } => new("collection_in_use", 409).retryable(),
            E::UnknownDocument { .. } => new("unknown_document", 404)
                .with_help("`cento list --collection NAME` names the documents"),
            E::GenerationChanged { .. } => new("generation_changed", 409)
                .with_help("send it again; what was stored counts as unchanged")
                .retryable(),
            E::UnknownGeneration { .. } => {
                new("unknown_generation", 404).with_help("`cento generation list` numbers them")
            }
            E::GenerationBuilding { .. } => new("generation_building", 409)
                .with_help("`cento reindex` goes on with it; `cento generation drop` gives it up"),
            E::GenerationServing { .. } => new("generation_serving", 409),
            E::UnknownSnapshot { .. } => {
                new("unknown_snapshot", 404).with_help("`cento snapshot list` names them")
            }
            E::SnapshotName { .. } => new("invalid_snapshot_name", 422),
            E::NoDataDirectory { .. } => new("no_data_directory", 404).with_help(
                "ingest something first, or say where the data is with --data or CENTO_DATA",
            ),
            E::DirectoryInUse { .. } => new("directory_in_use", 409)
                .with_help("wait for that process, end it, or use another --data directory")
                .retryable(),
            E::GenerationInUse { .. } => new("generation_in_use", 409)
                .with_help("wait until that query has ended")
                .retryable(),
            E::Format { .. } => new("unknown_format", 500).with_help(
                "a newer version of cento has written it, or its bytes have changed: then go back to a snapshot or a copy, or save what is whole: `cento doctor --collection NAME --salvage`",
            ),
            E::LogDamaged { .. } => new("log_damaged", 500).with_help(
                "bytes on the disk have changed; go back to a snapshot or a copy, or save what is whole: `cento doctor --collection NAME --salvage`",
            ),
            E::Projection { .. } => new("projection_failed", 500)
                .with_help("nothing is lost: `cento rebuild` makes it anew from the log"),
            E::WriterStopped { .. } => new("writer_stopped", 503)
                .with_help("mend the cause, then run the command again; opening recovers"),
            E::Archive { .. } => new("archive_invalid", 422).with_help(
                "fetch it again, or export the snapshot again; nothing was changed here",
            ),
            // A place that knows better than the system what is wrong says so.
            E::ArchiveStream { source, .. } => {
                let told = source
                    .get_ref()
                    .and_then(|told| told.downcast_ref::<Self>());
                told.cloned().unwrap_or_else(|| match source.kind() {
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => new("disk_full", 507)
                        .with_help("free some space; what was acknowledged is safe")
                        .retryable(),
                    _ => new("archive_transfer_failed", 502).retryable(),
                })
            }
            E::NotExportable { .. } => new("snapshot_not_exportable", 500)
                .with_help("make another snapshot and export that one"),
            E::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    new("disk_full", 507)
                        .with_help("free some space; what was acknowledged is safe")
                        .retryable()
                }
                ErrorKind::PermissionDenied => new("permission_denied", 500)
                    .with_help("check who owns the data directory and its files"),
                ErrorKind::ReadOnlyFilesystem => new("read_only", 500)
                    .with_help("cento needs to write to its data directory, even to read"),
                _ => new("io_error", 500),
            },
            _ => new("internal", 500),
        }
    }
}

impl From<&EmbedError> for Problem {
    fn from(error: &EmbedError) -> Self {
        use EmbedError as E;
        let new = |code, status| Self::new(code, status, error.to_string());
        match error {
            E::Format { .. } => new("model_format", 500),
            E::Artefact { .. } => new("artefact_unusable", 500)
                .with_help("`cento reindex --force` makes a generation whose model learns anew"),
            E::UnknownModel { .. } | E::NotOfHub { .. } => new("unknown_model", 404),
            E::FormerModel { .. } => new("model_mismatch", 409)
                .with_help("`cento reindex` moves a collection to this version's model; otherwise name that one"),
            E::NoNeuralModels { .. } => new("no_neural_models", 501)
                .with_help("use the bundled model, or a cento built with its default features"),
            E::ModelFilesMissing { .. } => new("model_files_missing", 422).with_help(
                "a model's folder has tokenizer.json and model.onnx, or onnx/model.onnx; another graph is named by its own path",
            ),
            E::ModelFile { .. } => new("model_file", 422)
                .with_help("fetch or export the model again; a broken download looks like this"),
            E::ModelUnsupported { .. } => new("model_unsupported", 422).with_help(
                "export it for feature extraction: `optimum-cli export onnx --task feature-extraction`",
            ),
            E::ModelUnreadable { .. } => new("model_unreadable", 500)
                .with_help("check who may read the model's folder and its files"),
            E::RuntimeMissing { .. } => new("runtime_missing", 500).with_help(
                "`pip install onnxruntime`, or set ORT_DYLIB_PATH to its library; the bundled model needs neither",
            ),
            E::RuntimeTooOld { .. } => new("runtime_too_old", 500).with_help(
                "`pip install --upgrade onnxruntime`, or set ORT_DYLIB_PATH to a newer library",
            ),
            E::RuntimeUnusable { .. } => new("runtime_unusable", 500).with_help(
                "it may be made for another processor or system; ORT_DYLIB_PATH names another one",
            ),
            E::HubNotFound { .. } => new("hub_model_not_found", 404)
                .with_help("check the name, and that the hub has the model in ONNX's format"),
            E::HubForbidden { .. } => new("hub_forbidden", 403)
                .with_help("accept the model's terms on the hub, and set HF_TOKEN"),
            E::HubUnreachable { .. } => new("hub_unreachable", 502)
                .with_help("a folder with the model's files needs no hub: give its path instead")
                .retryable(),
            E::HubCache { .. } => new("hub_cache", 500)
                .with_help("HF_HOME names another folder to keep models in"),
            E::NoRemoteModels => new("no_remote_models", 501)
                .with_help("use the bundled model, or a cento built with its default features"),
            E::RemoteName { .. } => new("remote_model_name", 422).with_help(
                "call it URL#MODEL, for example http://localhost:11434/v1#nomic-embed-text",
            ),
            E::RemoteSetting { .. } => new("remote_setting", 500)
                .with_help("set that variable otherwise where cento is started, or leave it out"),
            E::RemoteUnreachable { .. } => new("remote_unreachable", 503)
                .with_help("check the URL, and that the model's server runs; what was ingested before is kept")
                .retryable(),
            E::RemoteRefused { status, .. } => match status {
                _ if error.is_passing() => new("remote_refused", 503)
                    .with_help("the model's server is busy or broken: try again, or see its log; what was ingested before is kept")
                    .retryable(),
                401 | 403 => new("remote_refused", 502)
                    .with_help("give a key that may use the model: CENTO_EMBED_KEY or CENTO_EMBED_KEY_FILE, CENTO_RERANK_… for reranking"),
                404 => new("remote_refused", 502).with_help(
                    "check that the server has the model, and that the URL is its API's base, which mostly ends in /v1",
                ),
                _ => new("remote_refused", 502),
            },
            E::RemoteAnswer { .. } => new("remote_answer", 502)
                .with_help("check the URL, and what the model there is for: one that embeds does not rerank, nor the other way round"),
            E::RemoteTextTooLong { .. } => new("remote_text_too_long", 422).with_help(
                "cut into smaller chunks, or set CENTO_EMBED_MAX_CHARACTERS (CENTO_RERANK_… for reranking) to send only so much of a text",
            ),
            E::Inference { .. } => new("embedding_failed", 500),
            E::NotFinite { .. } => new("embedding_not_finite", 500)
                .with_help("the model may be broken, or be quantised too far"),
            _ => new("internal", 500),
        }
    }
}

impl From<&RetrieveError> for Problem {
    fn from(error: &RetrieveError) -> Self {
        use RetrieveError as E;
        let new = |code, status| Self::new(code, status, error.to_string());
        match error {
            E::EmptyQuery => new("empty_query", 400),
            E::QueryTooLong { .. } => new("query_too_long", 400)
                .with_help("ask a question; put long texts into the collection"),
            E::UnknownFusion { .. } => new("unknown_fusion", 400),
            E::UnknownLegs { .. } => new("unknown_legs", 400),
            E::Effort { .. } => new("invalid_effort", 400),
            E::Rerank { .. } => new("invalid_rerank", 400),
            E::Embed(embed) => embed.into(),
            E::UnknownTokenizer { .. } => new("unknown_tokenizer", 400),
            E::TokenizerRead { .. } => new("tokenizer_unreadable", 400),
            E::TokenizerFormat { .. } => new("tokenizer_format", 400),
            E::Index(index) => index.into(),
            E::TextMismatch { .. } => new("text_mismatch", 500),
            _ => new("internal", 500),
        }
    }
}

impl From<&IngestError> for Problem {
    fn from(error: &IngestError) -> Self {
        use IngestError as E;
        let new = |code, status| Self::new(code, status, error.to_string());
        match error {
            E::PathNotFound { .. } => new("path_not_found", 404),
            E::NothingToIngest { .. } => new("nothing_to_ingest", 422),
            E::ModelMismatch { .. } => new("model_mismatch", 409).with_help(MISMATCH_HELP),
            E::ChunkingMismatch { .. } => new("chunking_mismatch", 409)
                .with_help("`cento reindex --chunking default` cuts the collection anew"),
            E::NothingToChange { .. } => new("nothing_to_change", 409)
                .with_help("name another --embedder or --chunking, or say --force"),
            E::UnknownChunking { .. } => new("unknown_chunking", 400),
            E::Embed(embed) => embed.into(),
            E::Index(index) => index.into(),
            _ => new("internal", 500),
        }
    }
}

impl From<&EvalError> for Problem {
    fn from(error: &EvalError) -> Self {
        use EvalError as E;
        let new = |code, status| Self::new(code, status, error.to_string());
        match error {
            E::Read { .. } => new("dataset_unreadable", 404).with_help("check the path"),
            E::Write { .. } => new("output_unwritable", 500)
                .with_help("check that the folder is there and may be written to"),
            E::UnknownLayout { .. } => new("unknown_dataset_layout", 422),
            E::MissingFile { .. } => new("dataset_file_missing", 404),
            E::Line { .. } => new("dataset_line_invalid", 422),
            E::Columns { .. } => new("dataset_columns", 422),
            E::Grade { .. } => new("dataset_grade", 422),
            E::DuplicateId { .. } => new("dataset_duplicate_id", 422),
            E::DuplicatePair { .. } => new("dataset_duplicate_judgement", 422),
            E::UnknownQuery { .. } => new("dataset_unknown_query", 422),
            E::UnknownDocument { .. } => new("dataset_unknown_document", 422),
            E::Empty { .. } => new("dataset_empty", 422),
            E::Evidence { .. } => new("dataset_evidence_mismatch", 422),
            E::UnknownMeasure { .. } => new("unknown_measure", 400),
            E::UnknownSelection { .. } => new("unknown_selection", 400),
            E::NotForThisSet(_) => new("not_for_this_dataset", 400),
            E::QueryField { .. } => new("dataset_query_field", 422),
            E::Corpus { .. } => new("dataset_document_invalid", 422),
            E::Query { source, .. } => Self {
                detail: error.to_string(),
                ..Self::from(&**source)
            },
            E::Retrieve(retrieve) => retrieve.into(),
            E::Rerank { .. } => new("rerank_incomplete", 500)
                .with_help("give --rerank-head fewer candidates, or mend what the model says"),
            E::Embed(embed) => embed.into(),
            E::Index(index) => index.into(),
            E::Ingest(ingest) => ingest.into(),
            _ => new("internal", 500),
        }
    }
}

macro_rules! from_owned {
    ($($error:ty),+) => {$(
        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::from(&error)
            }
        }
    )+};
}

from_owned!(
    CoreError,
    IndexError,
    EmbedError,
    RetrieveError,
    IngestError,
    EvalError
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_full_disk_is_told_from_other_failures_and_may_be_retried() {
        let io = |kind: ErrorKind| {
            Problem::from(&IndexError::Io {
                action: "cannot write",
                path: PathBuf::from("log"),
                source: kind.into(),
            })
        };
        assert_eq!(io(ErrorKind::StorageFull).code, "disk_full");
        assert!(io(ErrorKind::StorageFull).retry);
        assert_eq!(io(ErrorKind::NotFound).code, "io_error");
        assert!(!io(ErrorKind::NotFound).retry);
    }

    #[test]
    fn a_remote_model_that_may_answer_later_is_told_from_one_that_will_not() {
        let refused = |status| {
            Problem::from(&EmbedError::RemoteRefused {
                server: "http://localhost/v1".to_owned(),
                model: "m".to_owned(),
                status,
                message: "no".to_owned(),
            })
        };
        for status in [429, 500, 503] {
            let problem = refused(status);
            assert!(problem.retry && problem.status == 503, "{status}");
        }
        for status in [400, 401, 404, 501] {
            let problem = refused(status);
            assert!(!problem.retry && problem.status == 502, "{status}");
        }
    }

    #[test]
    fn an_error_keeps_its_code_through_every_room() {
        let zero = || CoreError::ZeroBudget;
        let through_index = IndexError::Invalid(zero());
        let through_retrieve = RetrieveError::Index(IndexError::Invalid(zero()));
        let through_ingest = IngestError::Index(IndexError::Invalid(zero()));
        for problem in [
            Problem::from(&zero()),
            Problem::from(&through_index),
            Problem::from(&through_retrieve),
            Problem::from(&through_ingest),
        ] {
            assert_eq!((&*problem.code, problem.status), ("invalid_budget", 400));
        }
    }
}
