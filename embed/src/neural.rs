//! How does a neural network embed a text?
//!
//! Any text-embedding model in ONNX's format, through fastembed and an ONNX
//! Runtime that is found when the first such model is opened. A folder of files
//! ([`model_files`]) says what the graph takes and gives ([`onnx_outline`]) and
//! how its texts are treated ([`settings`]); what can be said about it without
//! running it is said before a runtime is asked for ([`runtime`]). Texts of
//! like length go through it together ([`batches`]), queries before documents
//! ([`session`]); one that is too long goes in parts ([`windows`]).

mod batches;
mod graph;
pub(crate) mod hub;
mod known;
pub(crate) mod model_files;
pub(crate) mod onnx_outline;
mod rerank;
mod runtime;
mod session;
mod settings;
mod windows;

use std::path::Path;
use std::thread;

use fastembed::{
    InitOptionsUserDefined, OutputKey, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel,
};
use rayon::prelude::*;
use serde_json::json;
use tokenizers::{PaddingStrategy, Tokenizer};

use crate::{Contract, EmbedError, Embedder};
use batches::{Limits, batches};
use graph::Graph;
pub(crate) use hub::Name as HubName;
use model_files::{ModelFiles, TOKENIZER};
pub(crate) use rerank::open_reranker;
use session::{For, Shared};
use settings::{Pad, Settings};

/// A neural model.
pub(crate) struct Neural {
    contract: Contract,
    session: Shared<TextEmbedding>,
    /// For counting: neither cuts off nor pads.
    tokenizer: Tokenizer,
    /// Tokens of a query and of a document that hold nothing.
    empty: [usize; 2],
    limits: Limits,
}

/// Tokens of a batch, padding included, for each thread. More is no faster: a
/// thread has enough to do, and a batch outgrows its cache. Fewer costs short
/// texts dearly. And a query may have to wait for one batch.
const BATCH_TOKENS_PER_THREAD: usize = 128;

/// The most texts of a batch; only very short ones come near it.
const BATCH_TEXTS: usize = 64;

/// Threads that spin take the processor from the other rooms, so they do only while a
/// model runs: waking them costs more than an operator of a short text.
const SPINNING: [(&str, &str); 2] = [
    ("session.intra_op.allow_spinning", "1"),
    ("session.force_spinning_stop", "1"),
];

/// Opens the model in a folder, or of a graph that is named itself.
pub(crate) fn open_path(path: &Path) -> Result<Neural, EmbedError> {
    let files = model_files::find(path)?;
    let named = if path.is_file() {
        &files.graph
    } else {
        &files.root
    };
    let Some(model) = named.to_str() else {
        return Err(EmbedError::ModelFile {
            path: named.clone(),
            reason: "its path is not UTF-8".to_owned(),
        });
    };
    Neural::open(&files, model)
}

impl Neural {
    fn open(files: &ModelFiles, model: &str) -> Result<Self, EmbedError> {
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
        let mut settings = settings::read_settings(&files.root)?;
        let tokenizer = Tokenizer::from_bytes(&tokenizer_json)
            .map_err(|error| wrong(&tokenizer_path, error.to_string()))?;
        let bytes = model_files::read(&files.graph)?;
        let outline = onnx_outline::outline(&bytes)
            .map_err(|reason| wrong(&files.graph, format!("it is not an ONNX model: {reason}")))?;
        let graph = Graph::of(&outline, &settings).map_err(unsupported)?;
        if let Some(length) = graph.fixed_length {
            settings.max_tokens = settings.max_tokens.min(length);
        }
        let external = model_files::read_external(&files.graph, outline.external)?;

        let fingerprint = fingerprint(&settings, &graph, &bytes, &external, &tokenizer_json);
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut parts = UserDefinedEmbeddingModel::new(
            bytes,
            tokenizer_files(&settings, &tokenizer, tokenizer_json),
        );
        for (name, bytes) in external {
            parts = parts.with_external_initializer(name, bytes);
        }
        let mut session = start(parts, &graph, &settings, threads)?
            .map_err(|error| wrong(&files.graph, error.to_string()))?;
        let probe = session.embed(["a"], None);
        let probe = probe.map_err(|error| unsupported(error.to_string()))?;
        let dimensions = match &probe[..] {
            [vector] if !vector.is_empty() && vector.iter().all(|x| x.is_finite()) => vector.len(),
            _ => return Err(unsupported("it gives no vector for a text".to_owned())),
        };
        let mut counting = session.tokenizer.clone();
        counting.with_padding(None);
        let uncut = counting.with_truncation(None);
        uncut.map_err(|error| wrong(&tokenizer_path, error.to_string()))?;
        let mut neural = Self {
            contract: Contract {
                model: model.to_owned(),
                fingerprint,
                dimensions,
                max_tokens: Some(settings.max_tokens),
                cosine_weight: settings.cosine_weight,
                standout: settings.standout,
                is_quantised: false,
                query_prefix: settings.query_prefix,
                document_prefix: settings.document_prefix,
            },
            session: Shared::new(session),
            tokenizer: counting,
            empty: [0; 2],
            limits: Limits {
                texts: if graph.one_at_a_time { 1 } else { BATCH_TEXTS },
                tokens: BATCH_TOKENS_PER_THREAD * threads,
            },
        };
        neural.empty = [
            neural.count(&neural.contract.query_prefix)?,
            neural.count(&neural.contract.document_prefix)?,
        ];
        Ok(neural)
    }

    /// The tokens of a text, all of them.
    fn count(&self, text: &str) -> Result<usize, EmbedError> {
        let encoding = self.tokenizer.encode_fast(text, true);
        let encoding = encoding.map_err(|error| self.failed(error.to_string()))?;
        Ok(encoding.len())
    }

    fn failed(&self, reason: String) -> EmbedError {
        EmbedError::Inference {
            model: self.contract.model.clone(),
            reason,
        }
    }

    /// Embeds prefixed texts in one go.
    fn run(&self, purpose: For, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let vectors = self
            .session
            .with(purpose, |session| session.embed(texts, Some(texts.len())))
            .map_err(|error| self.failed(error.to_string()))?;
        if vectors.len() != texts.len() {
            return Err(self.failed(format!(
                "{} vectors came for {} texts",
                vectors.len(),
                texts.len()
            )));
        }
        for (vector, text) in vectors.iter().zip(texts) {
            if vector.len() != self.contract.dimensions {
                return Err(self.failed(format!(
                    "a vector has {} components, not {}",
                    vector.len(),
                    self.contract.dimensions
                )));
            }
            if !vector.iter().all(|x| x.is_finite()) {
                return Err(EmbedError::NotFinite {
                    model: self.contract.model.clone(),
                    begins: text.chars().take(40).collect(),
                });
            }
        }
        Ok(vectors)
    }

    /// A text in pieces that the model looks at as a whole; none if it holds nothing.
    fn pieces(&self, purpose: For, text: &str) -> Result<Vec<Piece>, EmbedError> {
        let (prefix, empty) = match purpose {
            For::Query => (&self.contract.query_prefix, self.empty[0]),
            For::Documents => (&self.contract.document_prefix, self.empty[1]),
        };
        let most = self.contract.max_tokens.unwrap_or(usize::MAX);
        // Of a very long one it is not asked how many tokens it has in all.
        if text.len() <= windows::PART {
            let whole = format!("{prefix}{text}");
            let length = self.count(&whole)?;
            if length <= empty {
                return Ok(Vec::new());
            }
            if length <= most {
                return Ok(vec![Piece {
                    text: whole,
                    length,
                    tokens: length - empty,
                }]);
            }
        }
        let windows = windows::windows(&self.tokenizer, text, most.saturating_sub(empty));
        let windows = windows.map_err(|error| self.failed(error.to_string()))?;
        let piece = |window: windows::Window| Piece {
            text: format!("{prefix}{}", &text[window.bytes]),
            length: (empty + window.tokens).min(most),
            tokens: window.tokens,
        };
        Ok(windows.into_iter().map(piece).collect())
    }

    /// The vectors of texts in pieces.
    fn embed(&self, purpose: For, texts: &[Vec<Piece>]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let of_text = (texts.iter().enumerate())
            .flat_map(|(text, pieces)| pieces.iter().map(move |piece| (text, piece)));
        let of_text: Vec<(usize, &Piece)> = of_text.collect();
        let lengths: Vec<usize> = of_text.iter().map(|(_, piece)| piece.length).collect();
        let mut found: Vec<Vec<(Vec<f32>, usize)>> = vec![Vec::new(); texts.len()];
        for batch in batches(&lengths, self.limits) {
            let together: Vec<&str> = batch.iter().map(|&i| &of_text[i].1.text[..]).collect();
            let embedded = self.run(purpose, &together)?;
            for (i, vector) in batch.into_iter().zip(embedded) {
                let (text, piece) = of_text[i];
                found[text].push((vector, piece.tokens));
            }
        }
        let vectors = found.into_iter().map(|mut found| match found.len() {
            0 => self.zero(),
            1 => found.swap_remove(0).0,
            _ => windows::mean(&found, self.contract.dimensions),
        });
        Ok(vectors.collect())
    }

    fn zero(&self) -> Vec<f32> {
        vec![0.0; self.contract.dimensions]
    }
}

impl Embedder for Neural {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let pieces = vec![self.pieces(For::Query, text)?];
        let vector = self.embed(For::Query, &pieces)?.pop();
        Ok(vector.unwrap_or_else(|| self.zero()))
    }

    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let pieces: Result<Vec<Vec<Piece>>, EmbedError> = texts
            .par_iter()
            .map(|text| self.pieces(For::Documents, text))
            .collect();
        self.embed(For::Documents, &pieces?)
    }
}

/// What goes through the model at once of a text: all of it, if it is not too long.
struct Piece {
    /// With the prefix in front.
    text: String,
    /// Tokens that go through the model.
    length: usize,
    /// Tokens of the text itself.
    tokens: usize,
}

/// Gives a model's parts to the runtime.
fn start(
    mut parts: UserDefinedEmbeddingModel,
    graph: &Graph,
    settings: &Settings,
    threads: usize,
) -> Result<Result<TextEmbedding, fastembed::Error>, EmbedError> {
    parts.pooling = Some(graph.pooling.clone());
    parts.output_key = Some(OutputKey::ByOrder(graph.output));
    let mut options = InitOptionsUserDefined::new()
        .with_environment(runtime::environment()?)
        .with_max_length(settings.max_tokens)
        .with_intra_threads(threads);
    for (name, value) in SPINNING {
        options = options.with_session_config(name, value);
    }
    Ok(
        TextEmbedding::try_new_from_user_defined(parts, options).map(|mut session| {
            let padding = session.tokenizer.get_padding_mut();
            if let (Some(length), Some(padding)) = (graph.fixed_length, padding) {
                padding.strategy = PaddingStrategy::Fixed(length);
            }
            session
        }),
    )
}

/// What fastembed wants to be told of a tokenizer, from what the settings say.
fn tokenizer_files(
    settings: &Settings,
    tokenizer: &Tokenizer,
    tokenizer_json: Vec<u8>,
) -> TokenizerFiles {
    let Pad { token, id } = &settings.pad;
    let id = id
        .or_else(|| tokenizer.token_to_id(token).map(u64::from))
        .unwrap_or(0);
    let mut special_tokens = settings.special_tokens.clone();
    if let Some(tokens) = special_tokens.as_object_mut() {
        // One that the vocabulary lacks would get a number that the graph lacks.
        tokens.retain(|_, token| {
            let token = token.as_str().or_else(|| token["content"].as_str());
            token.is_some_and(|token| tokenizer.token_to_id(token).is_some())
        });
    }
    let config = json!({ "model_max_length": settings.max_tokens, "pad_token": token });
    TokenizerFiles {
        tokenizer_file: tokenizer_json,
        config_file: json!({ "pad_token_id": id }).to_string().into_bytes(),
        special_tokens_map_file: special_tokens.to_string().into_bytes(),
        tokenizer_config_file: config.to_string().into_bytes(),
    }
}

/// Identity of everything that a vector depends on.
fn fingerprint(
    settings: &Settings,
    graph: &Graph,
    bytes: &[u8],
    external: &[(String, Vec<u8>)],
    tokenizer_json: &[u8],
) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(bytes);
    part(tokenizer_json);
    for (name, bytes) in external {
        part(name.as_bytes());
        part(bytes);
    }
    let treatment = json!({
        "output": graph.output,
        "pooling": graph.pooling_name,
        "max_tokens": settings.max_tokens,
        "longer": "mean of windows",
        "query_prefix": settings.query_prefix,
        "document_prefix": settings.document_prefix,
        "special_tokens": settings.special_tokens,
    });
    part(treatment.to_string().as_bytes());
    let revision = &hasher.finalize().to_hex()[..16];
    let Settings {
        name, max_tokens, ..
    } = settings;
    format!("{name}@{revision}/{}/{max_tokens}", graph.pooling_name)
}

/// Opens a model of a hub, fetched if the cache lacks it.
pub(crate) fn open_hub(name: &HubName) -> Result<Neural, EmbedError> {
    // Without a runtime, nothing is worth fetching.
    runtime::environment()?;
    let path = hub::fetch(name, &hub::Hub::of_this_process()?)?;
    let files = model_files::find(&path)?;
    Neural::open(&files, &name.to_string())
}

#[cfg(test)]
mod tests;
