//! How does a model come from a hub?

use std::fmt;
use std::path::PathBuf;

use crate::EmbedError;

/// What a model is called on a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    repository: String,
    revision: Option<String>,
    graph: Option<String>,
}

impl Name {
    /// Reads `owner/name`, `owner/name@revision`, `owner/name/path/to.onnx`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let sound = |part: &str| {
            let mut letters = part.chars();
            letters.next().is_some_and(|c| c.is_ascii_alphanumeric())
                && letters.all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let mut parts = text.splitn(3, '/');
        let owner = parts.next()?;
        let (name, revision) = match parts.next()?.split_once('@') {
            Some((name, revision)) => (name, Some(revision)),
            None => (text.split('/').nth(1)?, None),
        };
        let graph = parts.next();
        let graph_is_sound =
            graph.is_none_or(|graph| graph.ends_with(".onnx") && graph.split('/').all(sound));
        let is_sound = sound(owner) && sound(name) && revision.is_none_or(sound) && graph_is_sound;
        is_sound.then(|| Self {
            repository: format!("{owner}/{name}"),
            revision: revision.map(str::to_owned),
            graph: graph.map(str::to_owned),
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        if let Some(graph) = &self.graph {
            write!(f, "/{graph}")?;
        }
        Ok(())
    }
}

/// Where a hub is, and where what it gave is kept.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    pub(crate) endpoint: String,
}

impl Hub {
    /// As the environment of this process says.
    pub(crate) fn of_this_process() -> Result<Self, EmbedError> {
        Ok(Self {
            endpoint: "https://huggingface.co".to_owned(),
        })
    }
}

/// The folder of a model in the cache, or its graph if that was named.
pub(crate) fn fetch(name: &Name, hub: &Hub) -> Result<PathBuf, EmbedError> {
    Err(EmbedError::HubUnreachable {
        endpoint: hub.endpoint.clone(),
        model: name.to_string(),
        reason: "this build does not fetch yet".to_owned(),
    })
}
