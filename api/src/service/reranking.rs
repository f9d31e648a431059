//! Which model looks at the best candidates again, and where is it once it is open?

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cento_embed::{EmbedError, Reranker};
use cento_retrieve::{Rerank, RerankFailure, Reranked};

use super::{Service, locked};
use crate::Problem;
use crate::types::RerankQuery;

/// The reranking model of a service, opened when it is first needed. A model's name may
/// be a folder or a URL, so a request says only that it wants it.
pub(super) struct Reranking {
    model: Option<String>,
    opened: Mutex<Option<Arc<dyn Reranker>>>,
}

impl Reranking {
    pub(super) fn new(model: Option<String>) -> Self {
        Self {
            model,
            opened: Mutex::default(),
        }
    }

    /// The model, if a question wants it.
    fn wanted_by(&self, asked: Option<&RerankQuery>) -> Result<Option<Arc<dyn Reranker>>, Problem> {
        asked.map(|_| self.open()).transpose()
    }

    fn open(&self) -> Result<Arc<dyn Reranker>, Problem> {
        let Some(model) = &self.model else {
            let detail = "there is no reranking model here";
            return Err(Problem::new("no_reranker", 422, detail).with_help(
                "name it: --rerank=MODEL, or CENTO_RERANKER; a server's is named by `cento serve --reranker MODEL`",
            ));
        };
        let mut opened = locked(&self.opened);
        if let Some(reranker) = &*opened {
            return Ok(Arc::clone(reranker));
        }
        let reranker: Arc<dyn Reranker> = open_reranker(model)?;
        *opened = Some(Arc::clone(&reranker));
        Ok(reranker)
    }
}

/// Opens the reranking model of a name.
///
/// # Errors
/// What opening it says, with what to do about a model that judges.
pub fn open_reranker(model: &str) -> Result<Arc<dyn Reranker>, Problem> {
    match cento_embed::open_reranker(model) {
        Ok(reranker) => Ok(Arc::from(reranker)),
        Err(error @ EmbedError::ModelUnsupported { .. }) => {
            Err(Problem::from(error).with_help(
                "export it for text classification with one label: `optimum-cli export onnx --task text-classification`",
            ))
        }
        Err(EmbedError::UnknownModel { model }) => {
            let detail = format!("there is no reranking model at '{model}'");
            Err(Problem::new("unknown_model", 404, detail).with_help(
                "give a folder with a cross-encoder in ONNX's format, or URL#MODEL of a server",
            ))
        }
        Err(other) => Err(other.into()),
    }
}

/// How long a server of a model may take for the first text: it may have to read the
/// model.
const FIRST: Duration = Duration::from_secs(30);

impl Service {
    /// Opens the reranking model, if there is to be one, and has it judge a text, so that
    /// what is wrong with it is told before somebody asks. A server that only does not
    /// answer yet may do so later.
    ///
    /// # Errors
    /// What opening it and judging say, unless that may pass.
    pub fn open_reranker(&self) -> Result<(), Problem> {
        let Some(model) = &self.reranking.model else {
            return Ok(());
        };
        let reranker = self.reranking.open()?;
        match reranker.rerank("Which?", &["This."], Instant::now() + FIRST) {
            Ok(scores) if !scores.is_empty() => Ok(()),
            Ok(_) => {
                tracing::warn!(%model, "the reranking model has not answered yet");
                Ok(())
            }
            Err(error) => {
                let problem = Problem::from(&error);
                if !problem.retry {
                    return Err(problem);
                }
                tracing::warn!(%model, reason = %error, "the reranking model does not answer yet");
                Ok(())
            }
        }
    }

    /// Does something with the reranking that a question asks for.
    pub(super) fn with_rerank<T>(
        &self,
        asked: Option<&RerankQuery>,
        act: impl FnOnce(Option<Rerank<'_>>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let reranker = self.reranking.wanted_by(asked)?;
        let rerank = match (&reranker, asked) {
            (Some(reranker), Some(asked)) => {
                let deadline = u64::try_from(asked.deadline_ms).unwrap_or(u64::MAX);
                let deadline = Duration::from_millis(deadline);
                let rerank = Rerank::new(&**reranker, asked.head, deadline)?;
                Some(rerank.telling(failure))
            }
            _ => None,
        };
        act(rerank)
    }
}

/// A failure by the code that it has as an error.
fn failure(error: &EmbedError) -> RerankFailure {
    let problem = Problem::from(error);
    RerankFailure {
        code: problem.code,
        detail: problem.detail,
    }
}

/// Tells the log of a model that failed or judged nothing: the answer is given all the
/// same.
pub(super) fn note_failure(told: Option<&Reranked>) {
    if let Some(Reranked {
        model,
        head: 1..,
        judged: 0,
        deadline_ms,
        failed: None,
    }) = told
    {
        tracing::warn!(%model, deadline_ms, "nothing was reranked before the deadline");
    }
    if let Some(Reranked {
        model,
        failed: Some(failure),
        ..
    }) = told
    {
        let reason = &failure.detail;
        tracing::warn!(%model, %reason, "reranking failed; the fused order stands");
    }
}
