//! How does a cross-encoder judge a text?
//!
//! A network that reads a query and a text as one input and ends in one number, its
//! `logits`, from a folder as [`model_files`] finds it. Texts go through it a few at a
//! time in the order in which they are given, and between batches it is looked at the
//! clock. Of a pair that is too long for the model the end is left out.

use std::path::Path;
use std::thread;
use std::time::Instant;

use fastembed::{OnnxSource, RerankInitOptionsUserDefined, TextRerank, UserDefinedRerankingModel};
use tokenizers::{PaddingStrategy, Tokenizer};

use super::graph::{Inputs, LOGITS};
use super::model_files::{self, TOKENIZER};
use super::session::{For, Shared};
use super::{SPINNING, onnx_outline, runtime, settings, tokenizer_files};
use crate::{EmbedError, Reranker};

/// Texts that are judged together. A batch cannot be stopped, so it decides by how much
/// a deadline may be missed.
const BATCH: usize = 8;

/// A cross-encoder.
pub(crate) struct CrossEncoder {
    model: String,
    fingerprint: String,
    session: Shared<TextRerank>,
    batch: usize,
}

/// Opens the cross-encoder in a folder, or of a graph that is named itself.
pub(crate) fn open_reranker(path: &Path) -> Result<CrossEncoder, EmbedError> {
    let files = model_files::find(path)?;
    let unsupported = |reason: String| EmbedError::ModelUnsupported {
        path: files.graph.clone(),
        reason,
    };
    let wrong = |path: &Path, reason: String| EmbedError::ModelFile {
        path: path.to_path_buf(),
        reason,
    };
    let tokenizer_path = files.root.join(TOKENIZER);
    let tokenizer_json = model_files::read(&tokenizer_path)?;
    let settings = settings::read_settings(&files.root)?;
    let tokenizer = Tokenizer::from_bytes(&tokenizer_json)
        .map_err(|error| wrong(&tokenizer_path, error.to_string()))?;
    let bytes = model_files::read(&files.graph)?;
    let outline = onnx_outline::outline(&bytes)
        .map_err(|reason| wrong(&files.graph, format!("it is not an ONNX model: {reason}")))?;
    let inputs = Inputs::of(&outline).map_err(unsupported)?;
    let has_logits = outline.outputs.iter().any(|output| output.name == LOGITS);
    if !has_logits {
        let names: Vec<&str> = outline
            .outputs
            .iter()
            .map(|output| &output.name[..])
            .collect();
        return Err(unsupported(format!(
            "it gives {}, and a cross-encoder gives {LOGITS}: a score for a query and a text together",
            names.join(", ")
        )));
    }
    let external = model_files::read_external(&files.graph, outline.external)?;
    let longest = inputs
        .fixed_length
        .unwrap_or(usize::MAX)
        .min(settings.max_tokens);
    let mut hasher = blake3::Hasher::new();
    let named = external.iter().map(|(_, bytes)| &bytes[..]);
    for part in [&bytes[..], &tokenizer_json[..]].into_iter().chain(named) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let revision = &hasher.finalize().to_hex()[..16];
    let fingerprint = format!("{}@{revision}/rerank/{longest}", settings.name);

    let mut options = RerankInitOptionsUserDefined::new()
        .with_environment(runtime::environment()?)
        .with_max_length(longest)
        .with_intra_threads(thread::available_parallelism().map_or(1, usize::from));
    for (name, value) in SPINNING {
        options = options.with_session_config(name, value);
    }
    // The runtime itself reads weights that stand beside a graph.
    let source = OnnxSource::File(files.graph.clone());
    let parts = UserDefinedRerankingModel::new(
        source,
        tokenizer_files(&settings, &tokenizer, tokenizer_json),
    );
    let mut session = TextRerank::try_new_from_user_defined(parts, options)
        .map_err(|error| wrong(&files.graph, error.to_string()))?;
    if let (Some(length), Some(padding)) =
        (inputs.fixed_length, session.tokenizer.get_padding_mut())
    {
        padding.strategy = PaddingStrategy::Fixed(length);
    }
    let model = CrossEncoder {
        model: path.display().to_string(),
        fingerprint,
        session: Shared::new(session),
        batch: if inputs.one_at_a_time { 1 } else { BATCH },
    };
    model
        .judge("a", &["a"])
        .map_err(|error| unsupported(error.to_string()))?;
    Ok(model)
}

impl CrossEncoder {
    /// The scores of a batch.
    fn judge(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        let failed = |reason: String| EmbedError::Inference {
            model: self.model.clone(),
            reason,
        };
        let found = self
            .session
            .with(For::Query, |session| {
                session.rerank(query, texts, false, Some(texts.len()))
            })
            .map_err(|error| failed(error.to_string()))?;
        let mut scores = vec![f32::NAN; texts.len()];
        for judged in found {
            if let Some(score) = scores.get_mut(judged.index) {
                *score = judged.score;
            }
        }
        match scores.iter().position(|score| !score.is_finite()) {
            Some(text) => Err(EmbedError::NotFinite {
                model: self.model.clone(),
                begins: texts[text].chars().take(40).collect(),
            }),
            None => Ok(scores),
        }
    }
}

impl Reranker for CrossEncoder {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn rerank(
        &self,
        query: &str,
        texts: &[&str],
        deadline: Instant,
    ) -> Result<Vec<f32>, EmbedError> {
        let mut scores = Vec::with_capacity(texts.len());
        for batch in texts.chunks(self.batch) {
            if Instant::now() >= deadline {
                break;
            }
            scores.extend(self.judge(query, batch)?);
        }
        Ok(scores)
    }
}

#[cfg(test)]
#[path = "rerank_tests.rs"]
mod tests;
