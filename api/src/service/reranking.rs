//! Which model looks at the best candidates again, and where is it once it is open?

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cento_embed::{EmbedError, Reranker, open_reranker};
use cento_retrieve::{Rerank, Reranked};

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
            return Err(Problem::new("no_reranker", 422, detail)
                .with_help("start the server with --reranker MODEL, or leave rerank out"));
        };
        let mut opened = locked(&self.opened);
        if let Some(reranker) = &*opened {
            return Ok(Arc::clone(reranker));
        }
        let reranker: Arc<dyn Reranker> = Arc::from(open_reranker(model).map_err(told)?);
        *opened = Some(Arc::clone(&reranker));
        Ok(reranker)
    }
}

/// What to do about a model that embeds is something else than about one that judges.
fn told(error: EmbedError) -> Problem {
    match error {
        EmbedError::ModelUnsupported { .. } => Problem::from(error).with_help(
            "export it for text classification: `optimum-cli export onnx --task text-classification`",
        ),
        EmbedError::UnknownModel { model } => {
            let detail = format!("there is no reranking model at '{model}'");
            Problem::new("unknown_model", 404, detail).with_help(
                "give a folder with a cross-encoder in ONNX's format, or URL#MODEL of a server",
            )
        }
        other => other.into(),
    }
}

impl Service {
    /// Opens the reranking model, if there is to be one, so that what is wrong with it
    /// is told before somebody asks.
    ///
    /// # Errors
    /// What opening it says.
    pub fn open_reranker(&self) -> Result<(), Problem> {
        match self.reranking.model {
            Some(_) => self.reranking.open().map(|_| ()),
            None => Ok(()),
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
                Some(Rerank::new(&**reranker, asked.head, deadline)?)
            }
            _ => None,
        };
        act(rerank)
    }
}

/// Tells the log of a model that failed: the answer is given all the same.
pub(super) fn note_failure(told: Option<&Reranked>) {
    if let Some(Reranked {
        model,
        failed: Some(reason),
        ..
    }) = told
    {
        tracing::warn!(%model, %reason, "reranking failed; the fused order stands");
    }
}
