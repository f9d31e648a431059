//! Which of a few texts answer a query best, read together with it?
//!
//! An embedder looks at a query and a text apart; a reranker reads both at once, which
//! says more and costs a run of a network for each text. So it judges only what
//! others have found, and only for so long.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use crate::EmbedError;

/// Judges how well texts answer a query.
pub trait Reranker: Send + Sync {
    /// Identity of the model, as far as it is known.
    fn fingerprint(&self) -> &str;

    /// A finite score for each text, in order, higher for a better answer, comparable
    /// only with those of the same call. Of the first ones alone, maybe of none, if the
    /// deadline came before all were judged: so texts come likely answers first.
    ///
    /// # Errors
    /// If the model fails, or its server does before the deadline.
    fn rerank(
        &self,
        query: &str,
        texts: &[&str],
        deadline: Instant,
    ) -> Result<Vec<f32>, EmbedError>;
}

impl fmt::Debug for dyn Reranker + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reranker")
            .field(&self.fingerprint())
            .finish()
    }
}

/// Opens the reranker of a name: `URL#MODEL` is one that a server runs, over the API
/// that Cohere's has (`URL/rerank`), asked as the variables say that begin with
/// `CENTO_RERANK_`; a folder or a graph in ONNX's format is a cross-encoder.
///
/// # Errors
/// As [`open`](crate::open).
pub fn open_reranker(model: &str) -> Result<Box<dyn Reranker>, EmbedError> {
    if crate::open::is_remote(model) {
        return open_remote(model);
    }
    open_neural(model, Path::new(model))
}

#[cfg(feature = "remote")]
fn open_remote(model: &str) -> Result<Box<dyn Reranker>, EmbedError> {
    use crate::remote::{Options, RemoteReranker};
    let options = Options::of_reranking()?;
    Ok(Box::new(RemoteReranker::new(model, options)?))
}

#[cfg(not(feature = "remote"))]
fn open_remote(_: &str) -> Result<Box<dyn Reranker>, EmbedError> {
    Err(EmbedError::NoRemoteModels)
}

#[cfg(feature = "fastembed")]
fn open_neural(model: &str, path: &Path) -> Result<Box<dyn Reranker>, EmbedError> {
    use crate::neural::open_reranker;
    if path.exists() {
        return Ok(Box::new(open_reranker(path)?));
    }
    Err(EmbedError::UnknownModel {
        model: model.to_owned(),
    })
}

#[cfg(not(feature = "fastembed"))]
fn open_neural(model: &str, path: &Path) -> Result<Box<dyn Reranker>, EmbedError> {
    let model = model.to_owned();
    match path.exists() {
        true => Err(EmbedError::NoNeuralModels { model }),
        false => Err(EmbedError::UnknownModel { model }),
    }
}
