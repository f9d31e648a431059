//! What can be wrong with a model?
//!
//! Each variant says whose matter it is: the caller's (a name, a folder or a
//! kind of model that cannot be used), the machine's (a runtime that is missing
//! or too old, a hub that cannot be reached), or ours.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::Bundled;

/// An error of an embedder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// Ours: a file of the bundled model is not what its name says.
    #[error("the model's {file} is not of Model2Vec's format: {reason}")]
    Format {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Ours: what a model has learned from a collection cannot be used.
    #[error("what the model has learned from the collection cannot be used: {reason}")]
    Artefact {
        /// What is wrong with it.
        reason: String,
    },
    /// The caller's: nothing is known by that name.
    #[error(
        "there is no model '{model}': it is neither the bundled one, nor a folder or ONNX file that is there, nor a name of the form owner/name, nor URL#MODEL"
    )]
    UnknownModel {
        /// What was asked for.
        model: String,
    },
    /// Ours: an earlier version had another model in the binary.
    #[error(
        "'{model}' was the bundled model of an earlier version, which this one does not have: its own is '{}'",
        Bundled::NAME
    )]
    FormerModel {
        /// What was asked for.
        model: String,
    },
    /// The caller's: only a model of a hub can be fetched.
    #[error("'{model}' is no name on a hub: those are of the form owner/name")]
    NotOfHub {
        /// What was asked for.
        model: String,
    },
    /// The caller's: this build has only the bundled model.
    #[error(
        "'{model}' would be a neural model, and this build has none: it was built without the feature `fastembed`"
    )]
    NoNeuralModels {
        /// What was asked for.
        model: String,
    },
    /// The caller's: a file that an embedding model needs is not there.
    #[error("{} is no model's folder: {missing}", directory.display())]
    ModelFilesMissing {
        /// Where they were looked for.
        directory: PathBuf,
        /// What is missing, and what was found instead.
        missing: String,
    },
    /// The caller's: a model's file is not what its name says.
    #[error("{} cannot be used: {reason}", path.display())]
    ModelFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller's: a sound model of a kind that is not served.
    #[error("{} is not a model that can be used for this: {reason}", path.display())]
    ModelUnsupported {
        /// The model.
        path: PathBuf,
        /// What it has or lacks.
        reason: String,
    },
    /// The machine's: a model's file is there and cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    ModelUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The machine's: no ONNX Runtime was found.
    #[error(
        "ONNX Runtime is not installed where cento looks: {}",
        listed(looked_in)
    )]
    RuntimeMissing {
        /// Every place that was looked in, in order.
        looked_in: Vec<PathBuf>,
    },
    /// The machine's: the only ONNX Runtime found is too old.
    #[error("ONNX Runtime at {} is version {found}; {needed} or newer is needed", path.display())]
    RuntimeTooOld {
        /// Where it is.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The oldest version that will do.
        needed: &'static str,
    },
    /// The machine's: an ONNX Runtime is there and cannot be loaded.
    #[error("ONNX Runtime at {} cannot be loaded: {reason}", path.display())]
    RuntimeUnusable {
        /// Where it is.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The caller's: the hub does not have that model, or not as ONNX.
    #[error("the hub ({endpoint}) has no usable model '{model}': {reason}")]
    HubNotFound {
        /// The hub's address or name.
        endpoint: String,
        /// What was asked for.
        model: String,
        /// What is not there.
        reason: String,
    },
    /// The caller's: the hub has the model but does not give it to this caller.
    #[error("the hub ({endpoint}) does not give '{model}' to this caller: {reason}")]
    HubForbidden {
        /// The hub's address or name.
        endpoint: String,
        /// What was asked for.
        model: String,
        /// What it answered.
        reason: String,
    },
    /// The machine's: the hub could not be asked, and its cache has no such model.
    #[error(
        "'{model}' is neither here nor in the hub's cache, and the hub ({endpoint}) could not be asked: {reason}"
    )]
    HubUnreachable {
        /// The hub's address or name.
        endpoint: String,
        /// What was asked for.
        model: String,
        /// Why not.
        reason: String,
    },
    /// The machine's: what the hub gave could not be kept.
    #[error("the hub's cache {} cannot be used: {reason}", path.display())]
    HubCache {
        /// The cache's folder.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The caller's: this build asks no servers.
    #[error(
        "a model whose name begins with http:// or https:// is a remote one, and this build has none: it was built without the feature `remote`"
    )]
    NoRemoteModels,
    /// The caller's: a remote model is called `URL#MODEL`, and this is not that.
    #[error("'{model}' is no name of a remote model: {reason}")]
    RemoteName {
        /// What was asked for, without what may be secret in it.
        model: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller's: a setting of remote models cannot be used.
    #[error("{variable} cannot be used: {reason}")]
    RemoteSetting {
        /// The environment's variable.
        variable: Cow<'static, str>,
        /// What is wrong with it.
        reason: String,
    },
    /// The server's, or the network's: it could not be asked, or did not answer.
    #[error("the model server {server} cannot be reached: {reason}")]
    RemoteUnreachable {
        /// Its address.
        server: String,
        /// What happened, and how often it was tried.
        reason: String,
    },
    /// The server's, or the caller's: it answered that it does not embed.
    #[error("the model server {server} refused model '{model}' with status {status}: {message}")]
    RemoteRefused {
        /// Its address.
        server: String,
        /// The model.
        model: String,
        /// The HTTP status.
        status: u16,
        /// What it said, shortened.
        message: String,
    },
    /// The server's: what it answered are not the vectors that were asked for.
    #[error("the model server {server} answered for model '{model}' what cannot be used: {reason}")]
    RemoteAnswer {
        /// Its address.
        server: String,
        /// The model.
        model: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller's: a text is longer than the server takes.
    #[error(
        "a text of {characters} characters is too long for model '{model}' of {server}; it begins with {begins:?}; the server says, with status {status}: {message}"
    )]
    RemoteTextTooLong {
        /// Its address.
        server: String,
        /// The model.
        model: String,
        /// The HTTP status.
        status: u16,
        /// The text's first characters.
        begins: String,
        /// How many it has, prefix included.
        characters: usize,
        /// What the server said, shortened.
        message: String,
    },
    /// Ours: the model failed at a text.
    #[error("the model {model} could not embed: {reason}")]
    Inference {
        /// The model.
        model: String,
        /// What the runtime said.
        reason: String,
    },
    /// The model's: a vector has a component that is no number.
    #[error("the model {model} gave a vector that is not finite; the text begins with {begins:?}")]
    NotFinite {
        /// The model.
        model: String,
        /// The text's first characters.
        begins: String,
    },
}

impl EmbedError {
    /// Whether the same may go well when it is tried again: a server that cannot be
    /// reached, or that refused for the moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::RemoteUnreachable { .. } => true,
            // 424 is Text Embeddings Inference's: the model failed at this batch. From
            // 520 on they are proxies': there is no server behind them just now.
            Self::RemoteRefused { status, .. } => matches!(
                status,
                408 | 409 | 424 | 425 | 429 | 500 | 502..=504 | 520..=524 | 529
            ),
            _ => false,
        }
    }
}

/// The first places by name, the others by number.
fn listed(paths: &[PathBuf]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = paths
        .iter()
        .take(SHOWN)
        .map(|path| path.display().to_string())
        .collect();
    match paths.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}
