//! How does a model come from a hub?
//!
//! By the hub's own protocol and into the cache that its other programs share,
//! through hf-hub. A model that is in the cache is used without asking anyone,
//! so that the same vectors come tomorrow; otherwise exactly the files that a
//! model needs are fetched, all of one commit. Only when the last one is there
//! does the cache say that it has the revision, so that a fetch cut off
//! half-way is never taken for a model.

use std::env;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use super::model_files::{self, GRAPHS, TOKENIZER};
use super::onnx_outline;
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
        let (owner, rest) = text.split_once('/')?;
        let (rest, graph) = match rest.split_once('/') {
            Some((rest, graph)) => (rest, Some(graph)),
            None => (rest, None),
        };
        let (name, revision) = match rest.split_once('@') {
            Some((name, revision)) => (name, Some(revision)),
            None => (rest, None),
        };
        let is_sound = is_plain(owner)
            && is_plain(name)
            && revision.is_none_or(is_plain)
            && graph.is_none_or(is_graph);
        is_sound.then(|| Self {
            repository: format!("{owner}/{name}"),
            revision: revision.map(str::to_owned),
            graph: graph.map(str::to_owned),
        })
    }

    fn repo(&self, revision: Option<&str>) -> Repo {
        let revision = revision.or(self.revision.as_deref()).unwrap_or("main");
        Repo::with_revision(
            self.repository.clone(),
            RepoType::Model,
            revision.to_owned(),
        )
    }
}

/// Whether a part of a path is neither empty, nor hidden, nor leads elsewhere.
fn is_plain(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphanumeric())
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn is_graph(path: &str) -> bool {
    path.ends_with(".onnx") && path.split('/').all(is_plain)
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
    /// Its address; `None` is hf-hub's own default.
    pub(crate) endpoint: Option<String>,
    /// The folder of its cache.
    pub(crate) cache: PathBuf,
    /// What proves to it who asks.
    pub(crate) token: Option<String>,
    /// Whether it must not be asked.
    pub(crate) offline: bool,
    /// For how long nothing at all may come.
    pub(crate) patience: Duration,
}

/// hf-hub itself would wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);

impl Hub {
    /// As the environment of this process says, by the names that the hub's
    /// other programs use.
    pub(crate) fn of_this_process() -> Result<Self, EmbedError> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let cache = variable("HF_HUB_CACHE")
            .map(PathBuf::from)
            .or_else(|| variable("HF_HOME").map(|home| PathBuf::from(home).join("hub")))
            .or_else(|| env::home_dir().map(|home| home.join(".cache/huggingface/hub")));
        let Some(cache) = cache else {
            return Err(EmbedError::HubCache {
                path: PathBuf::from("~"),
                reason: "there is no home folder, and HF_HOME is not set".to_owned(),
            });
        };
        let set = |name| {
            let value = variable(name).unwrap_or_default().to_lowercase();
            !matches!(&value[..], "" | "0" | "no" | "off" | "false")
        };
        Ok(Self {
            endpoint: variable("HF_ENDPOINT").map(|at| at.trim_end_matches('/').to_owned()),
            token: variable("HF_TOKEN")
                .map(|token| token.trim().to_owned())
                .or_else(|| Cache::new(cache.clone()).token()),
            cache,
            offline: set("HF_HUB_OFFLINE"),
            patience: PATIENCE,
        })
    }

    fn address(&self) -> String {
        self.endpoint
            .clone()
            .unwrap_or_else(|| "Hugging Face".to_owned())
    }
}

/// The folder of a model in the cache, or its graph if that was named.
pub(crate) fn fetch(name: &Name, hub: &Hub) -> Result<PathBuf, EmbedError> {
    if let Some(found) = cached(name, hub) {
        return Ok(found);
    }
    let unreachable = |reason: String| EmbedError::HubUnreachable {
        endpoint: hub.address(),
        model: name.to_string(),
        reason,
    };
    if hub.offline {
        return Err(unreachable("HF_HUB_OFFLINE is set".to_owned()));
    }
    let (signs, watched) = mpsc::channel();
    let (its_name, its_hub) = (name.clone(), hub.clone());
    thread::Builder::new()
        .name("hub".to_owned())
        .spawn(move || {
            let ended = Fetching {
                name: &its_name,
                hub: &its_hub,
                signs: &signs,
            }
            .all();
            // Nobody may be waiting any more.
            let _ = signs.send(Sign::Ended(ended));
        })
        .map_err(|error| unreachable(error.to_string()))?;
    loop {
        match watched.recv_timeout(hub.patience) {
            Ok(Sign::OfLife) => {}
            Ok(Sign::Ended(ended)) => {
                ended?;
                return cached(name, hub).ok_or_else(|| EmbedError::HubCache {
                    path: hub.cache.clone(),
                    reason: "what was fetched is not there".to_owned(),
                });
            }
            Err(RecvTimeoutError::Timeout) => {
                let seconds = hub.patience.as_secs();
                return Err(unreachable(format!("nothing came for {seconds} s")));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(unreachable("the fetch stopped unexpectedly".to_owned()));
            }
        }
    }
}

/// The models of which the cache has a whole one under the usual revision.
pub(crate) fn present(hub: &Hub) -> Vec<(Name, PathBuf)> {
    let Ok(entries) = fs::read_dir(&hub.cache) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let folder = entry.file_name();
        let repository = folder
            .to_str()
            .and_then(|name| name.strip_prefix("models--"));
        let name =
            repository.and_then(|repository| Name::parse(&repository.replacen("--", "/", 1)));
        if let Some(name) = name
            && let Some(path) = cached(&name, hub)
        {
            found.push((name, path));
        }
    }
    found.sort_by_key(|(name, _)| name.to_string());
    found
}

/// The model in the cache, if all of it is there.
pub(crate) fn cached(name: &Name, hub: &Hub) -> Option<PathBuf> {
    let cache = Cache::new(hub.cache.clone()).repo(name.repo(None));
    let tokenizer = cache.get(TOKENIZER)?;
    let folder = tokenizer.parent()?.to_path_buf();
    let path = match &name.graph {
        Some(graph) => folder.join(graph),
        None => folder,
    };
    let files = model_files::find(&path).ok()?;
    files.graph.is_file().then_some(path)
}

/// What a thread that fetches lets be known.
enum Sign {
    OfLife,
    Ended(Result<(), EmbedError>),
}

/// Counts bytes only as a sign that they still come.
struct Watched<'a>(&'a mpsc::Sender<Sign>);

impl Progress for Watched<'_> {
    fn init(&mut self, _size: usize, _file: &str) {}
    fn update(&mut self, _size: usize) {
        let _ = self.0.send(Sign::OfLife);
    }
    fn finish(&mut self) {}
}

struct Fetching<'a> {
    name: &'a Name,
    hub: &'a Hub,
    signs: &'a mpsc::Sender<Sign>,
}

impl Fetching<'_> {
    fn all(&self) -> Result<(), EmbedError> {
        let cache = Cache::new(self.hub.cache.clone());
        let mut builder = ApiBuilder::from_cache(cache.clone())
            .with_token(self.hub.token.clone())
            .with_progress(false);
        if let Some(endpoint) = &self.hub.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let api = builder.build().map_err(|error| self.failed(error))?;
        let info = api
            .repo(self.name.repo(None))
            .info()
            .map_err(|error| self.failed(error))?;
        if !is_plain(&info.sha) {
            return Err(self.no_hub("its commit has no proper name"));
        }
        let names: Vec<String> = info
            .siblings
            .into_iter()
            .map(|file| file.rfilename)
            .collect();
        let graph = self.graph_of(&names)?;
        let pinned = self.name.repo(Some(&info.sha));
        let repo = api.repo(pinned.clone());
        for name in names.iter().filter(|name| is_setting(name)) {
            self.one(&repo, &cache, &pinned, name)?;
        }
        let path = self.one(&repo, &cache, &pinned, &graph)?;
        let outline = onnx_outline::outline(&model_files::read(&path)?).map_err(|reason| {
            EmbedError::ModelFile {
                path: path.clone(),
                reason: format!("it is not an ONNX model: {reason}"),
            }
        })?;
        let folder = graph.rsplit_once('/').map_or("", |(folder, _)| folder);
        for name in outline.external {
            if name.split('/').all(is_plain) {
                let name = format!("{folder}/{name}");
                self.one(&repo, &cache, &pinned, name.trim_start_matches('/'))?;
            }
        }
        // From now on the cache has this revision.
        let revision = cache.repo(self.name.repo(None));
        revision
            .create_ref(&info.sha)
            .map_err(|error| self.cache_failed(&error.to_string()))
    }

    /// Fetches one file, unless it is there.
    fn one(
        &self,
        repo: &ApiRepo,
        cache: &Cache,
        pinned: &Repo,
        file: &str,
    ) -> Result<PathBuf, EmbedError> {
        if let Some(path) = cache.repo(pinned.clone()).get(file) {
            return Ok(path);
        }
        let _ = self.signs.send(Sign::OfLife);
        repo.download_with_progress(file, Watched(self.signs))
            .map_err(|error| self.failed(error))
    }

    /// The graph to fetch of all files that a repository has.
    fn graph_of(&self, names: &[String]) -> Result<String, EmbedError> {
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        let graphs: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| is_graph(name))
            .collect();
        if !has(TOKENIZER) {
            return Err(self.not_found(format!("it has no {TOKENIZER}")));
        }
        let found = match &self.name.graph {
            Some(named) => has(named).then_some(&named[..]),
            None => GRAPHS
                .into_iter()
                .find(|name| has(name))
                .or(match graphs[..] {
                    [only] => Some(only),
                    _ => None,
                }),
        };
        found.map(str::to_owned).ok_or_else(|| {
            self.not_found(match (graphs.is_empty(), &self.name.graph) {
                (true, _) => "it has no graph in ONNX's format".to_owned(),
                (false, Some(named)) => {
                    format!("it has no {named}, but {}", graphs.join(", "))
                }
                (false, None) => format!("name one of its graphs: {}", graphs.join(", ")),
            })
        })
    }

    fn not_found(&self, reason: String) -> EmbedError {
        EmbedError::HubNotFound {
            endpoint: self.hub.address(),
            model: self.name.to_string(),
            reason,
        }
    }

    fn no_hub(&self, reason: &str) -> EmbedError {
        EmbedError::HubUnreachable {
            endpoint: self.hub.address(),
            model: self.name.to_string(),
            reason: format!("it does not answer as a hub does: {reason}"),
        }
    }

    fn cache_failed(&self, reason: &str) -> EmbedError {
        EmbedError::HubCache {
            path: self.hub.cache.clone(),
            reason: reason.to_owned(),
        }
    }

    fn failed(&self, error: ApiError) -> EmbedError {
        use std::io::ErrorKind as Kind;
        let unreachable = |reason: String| EmbedError::HubUnreachable {
            endpoint: self.hub.address(),
            model: self.name.to_string(),
            reason,
        };
        match error {
            ApiError::RequestError(error) => match *error {
                ureq::Error::StatusCode(404) => self.not_found(
                    "there is no such model, revision or file; nor is there such a folder here"
                        .to_owned(),
                ),
                // A hub does not tell who may not see a model whether it is there.
                ureq::Error::StatusCode(status @ (401 | 403)) => EmbedError::HubForbidden {
                    endpoint: self.hub.address(),
                    model: self.name.to_string(),
                    reason: format!("status {status}: it is not there, or not for everybody"),
                },
                ureq::Error::StatusCode(status) => unreachable(format!("status {status}")),
                ureq::Error::Json(error) => self.no_hub(&error.to_string()),
                error => unreachable(error.to_string()),
            },
            ApiError::IoError(error) => match error.kind() {
                Kind::NotFound
                | Kind::PermissionDenied
                | Kind::StorageFull
                | Kind::QuotaExceeded
                | Kind::ReadOnlyFilesystem
                | Kind::NotADirectory
                | Kind::AlreadyExists => self.cache_failed(&error.to_string()),
                _ => unreachable(error.to_string()),
            },
            ApiError::LockAcquisition(_) => {
                self.cache_failed("another process is fetching the same file")
            }
            ApiError::InvalidResume => {
                self.cache_failed("it holds a damaged part of a file, whose name ends in .part")
            }
            ApiError::TooManyRetries(error) => self.failed(*error),
            error => self.no_hub(&error.to_string()),
        }
    }
}

/// Whether a file of a repository says how texts are treated.
fn is_setting(name: &str) -> bool {
    const SETTINGS: [&str; 8] = [
        TOKENIZER,
        "config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "cento.json",
    ];
    let pooling = name
        .strip_suffix("/config.json")
        .is_some_and(|folder| is_plain(folder) && folder.ends_with("Pooling"));
    SETTINGS.contains(&name) || pooling
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
