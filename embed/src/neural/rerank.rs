//! How does a cross-encoder judge a text?
//!
//! A network that reads a query and a text as one input and ends in one number, its
//! `logits`, from a folder as [`model_files`] finds it. Texts go through it a few at a
//! time in the order in which they are given: first one alone, to see how long that
//! takes, then as many as there is time for. Of a pair that is too long for the model
//! the longer one's end is left out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fastembed::{OnnxSource, RerankInitOptionsUserDefined, TextRerank, UserDefinedRerankingModel};
use tokenizers::{PaddingStrategy, Tokenizer};

use super::graph::{Inputs, LOGITS};
use super::model_files::{self, TOKENIZER};
use super::onnx_outline::{FLOAT, Value};
use super::session::Lone;
use super::{SPINNING, onnx_outline, runtime, settings, tokenizer_files};
use crate::{EmbedError, Reranker};

/// The most texts that are judged together: more are no faster, and a batch cannot be
/// stopped.
const BATCH: usize = 8;

/// Long enough to see that a model judges at all.
const PROBE: Duration = Duration::from_secs(600);

/// A cross-encoder.
pub(crate) struct CrossEncoder {
    model: String,
    fingerprint: String,
    session: Lone<TextRerank>,
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
    is_score(&outline.outputs, settings.labels).map_err(unsupported)?;
    let external = model_files::read_external(&files.graph, outline.external)?;
    let longest = inputs
        .fixed_length
        .unwrap_or(usize::MAX)
        .min(settings.max_tokens);
    let fingerprint = {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        add(&bytes);
        add(&tokenizer_json);
        add(settings.special_tokens.to_string().as_bytes());
        add(format!("{:?}", settings.pad).as_bytes());
        for (name, bytes) in &external {
            add(name.as_bytes());
            add(bytes);
        }
        let revision = &hasher.finalize().to_hex()[..16];
        format!("{}@{revision}/rerank/{longest}", settings.name)
    };
    // The runtime reads them again, and twice is too much at once.
    drop(external);

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
        session: Lone::new(session),
        batch: if inputs.one_at_a_time { 1 } else { BATCH },
    };
    // What a graph does not say of its shapes shows itself here, in a panic if need be.
    let tried = catch_unwind(AssertUnwindSafe(|| {
        model.judge("a", &["a"], &mut Pace::default(), Instant::now() + PROBE)
    }));
    match tried {
        Ok(Ok(_)) => Ok(model),
        Ok(Err(error)) => Err(unsupported(error.to_string())),
        Err(_) => Err(unsupported(format!(
            "its output {LOGITS} is not one number for a query and a text"
        ))),
    }
}

/// Whether there is an output of one number for each pair, as the graph says or else the
/// configuration's number of labels; the error says why not.
fn is_score(outputs: &[Value], labels: Option<usize>) -> Result<(), String> {
    let Some(logits) = outputs.iter().find(|output| output.name == LOGITS) else {
        let names: Vec<&str> = outputs.iter().map(|output| &output.name[..]).collect();
        return Err(format!(
            "it gives {}, and a cross-encoder gives {LOGITS}: a score for a query and a text together",
            names.join(", ")
        ));
    };
    if logits.element.is_some_and(|element| element != FLOAT) {
        return Err(format!("its output {LOGITS} is not of float32"));
    }
    let classes = |classes: u64| {
        Err(format!(
            "its output {LOGITS} has {classes} numbers for a query and a text: it tells classes apart, and a cross-encoder gives one score"
        ))
    };
    match (logits.shape.as_deref(), labels) {
        (Some([_, Some(1)]), _) | (None | Some([_, None]), None | Some(1)) => Ok(()),
        (None | Some([_, None]), Some(labels)) => classes(labels as u64),
        (Some([_, Some(many)]), _) => classes(*many),
        (Some(shape), _) => Err(format!(
            "its output {LOGITS} has {} dimensions, and a cross-encoder's has 2: pairs and one score",
            shape.len()
        )),
    }
}

impl CrossEncoder {
    /// The scores of the first texts, as many as there is time for once the model is free;
    /// `None` if that is not before the deadline. `pace` is what was found out of how
    /// long a text takes.
    fn judge(
        &self,
        query: &str,
        texts: &[&str],
        pace: &mut Pace,
        deadline: Instant,
    ) -> Result<Option<Vec<f32>>, EmbedError> {
        let judged = self.session.with_until(deadline, |session| {
            let begun = Instant::now();
            let left = deadline.saturating_duration_since(begun);
            let texts = &texts[..pace.next(left, self.batch).min(texts.len())];
            if texts.is_empty() {
                return None;
            }
            let found = session.rerank(query, texts, false, Some(texts.len()));
            pace.took(texts.len(), begun.elapsed());
            Some((texts.len(), found))
        });
        let (judged, found) = match judged.flatten() {
            None => return Ok(None),
            Some((judged, Ok(found))) => (judged, found),
            Some((_, Err(error))) => {
                return Err(EmbedError::Inference {
                    model: self.model.clone(),
                    reason: error.to_string(),
                });
            }
        };
        let texts = &texts[..judged];
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
            None => Ok(Some(scores)),
        }
    }
}

/// How fast texts are judged, as far as it is known.
#[derive(Debug, Default)]
struct Pace {
    /// How many were judged together last, and how long each took.
    last: Option<(usize, Duration)>,
}

impl Pace {
    fn took(&mut self, texts: usize, time: Duration) {
        let parts = u32::try_from(texts).unwrap_or(u32::MAX).max(1);
        self.last = Some((texts, time / parts));
    }

    /// How many texts come next: one at first, to see how long that takes, then at most
    /// twice as many as before, and no more than there is time for.
    fn next(&self, left: Duration, most: usize) -> usize {
        let Some((before, each)) = self.last else {
            return 1;
        };
        let affordable = (1..=most)
            .rev()
            .find(|&texts| each.as_secs_f64() * texts as f64 <= left.as_secs_f64());
        affordable.unwrap_or(0).min(2 * before)
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
        let mut pace = Pace::default();
        while scores.len() < texts.len() {
            let rest = &texts[scores.len()..];
            let Some(judged) = self.judge(query, rest, &mut pace, deadline)? else {
                break;
            };
            scores.extend(judged);
        }
        Ok(scores)
    }
}

#[cfg(test)]
#[path = "rerank_tests.rs"]
mod tests;
