//! How may a server be set up?

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use cento_embed::EmbeddingCache;
use cento_index::StoreOptions;

use crate::Problem;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The data directory; made if it is not there.
    pub data: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Whether it may listen where other machines can reach it. There is no
    /// authentication yet, so this must be asked for.
    pub allow_remote: bool,
    /// Names, besides the local ones, that requests may name in `Host`. On an
    /// address that is not local every name is taken unless some stand here.
    pub allowed_hosts: Vec<String>,
    /// Models that collections may be made with, besides the bundled one.
    pub allowed_models: Vec<String>,
    /// About how many bytes of vectors are kept, so that neural and remote models
    /// embed no text twice; 0 means none.
    pub embedding_cache_bytes: u64,
    /// The model that looks at the best candidates again where a question asks for it:
    /// a folder, an ONNX file, or `URL#MODEL`.
    pub reranker: Option<String>,
    /// How the engine works.
    pub store: StoreOptions,
    /// The log is compacted where at least this share (0 to 1) of its closed
    /// part is dead; never if absent.
    pub compact_at: Option<f64>,
    /// How many bytes the closed part of a log has at least where it is
    /// compacted without being asked.
    pub compact_bytes: u64,
    /// How often that is looked at.
    pub compact_every: Duration,
    /// The largest document in bytes, as a text, a line of a stream, or a file.
    pub max_document_bytes: u64,
    /// The largest body of a JSON request in bytes.
    pub max_json_bytes: usize,
    /// How many queries and reads run at once; 0 means as many as processors.
    pub queries: usize,
    /// How many of them may wait for their turn, and of those that are reranked.
    pub queries_waiting: usize,
    /// How many queries that are reranked run at once: most of the time they wait for
    /// the model.
    pub reranks: usize,
    /// How many writes of JSON requests run at once; 0 means half as many as
    /// processors, and at least one.
    pub writes: usize,
    /// How many of them may wait for their turn.
    pub writes_waiting: usize,
    /// How many audits, rebuilds, compactions, purges and works on snapshots
    /// run at once.
    pub upkeep: usize,
    /// How many of them may wait for their turn.
    pub upkeep_waiting: usize,
    /// How many streams of documents are taken in at once.
    pub streams: usize,
    /// How many connections may be open at once.
    pub connections: usize,
    /// How long the head of a request may take, and how long a connection may
    /// be idle between requests.
    pub header_timeout: Duration,
    /// How long a client may neither send what it has begun nor read what it
    /// has asked for.
    pub idle_timeout: Duration,
    /// How long a request may take from its body's first byte to its answer,
    /// streams aside.
    pub request_timeout: Duration,
    /// How long requests under way may take once the server is asked to end, and
    /// how long it may then take to write down what opening would have to replay.
    pub shutdown_timeout: Duration,
}

impl ServerConfig {
    /// Where a server listens unless something else is said.
    pub const DEFAULT_BIND: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7878);

    /// A server over a data directory with everything by default.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            bind: Self::DEFAULT_BIND,
            allow_remote: false,
            allowed_hosts: Vec::new(),
            allowed_models: Vec::new(),
            embedding_cache_bytes: EmbeddingCache::DEFAULT_BYTES,
            reranker: None,
            store: StoreOptions::default(),
            compact_at: Some(0.5),
            compact_bytes: 64 << 20,
            compact_every: Duration::from_secs(300),
            max_document_bytes: 32 << 20,
            max_json_bytes: 32 << 20,
            queries: 0,
            queries_waiting: 64,
            reranks: 8,
            writes: 0,
            writes_waiting: 16,
            upkeep: 2,
            upkeep_waiting: 4,
            streams: 4,
            connections: 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(120),
            shutdown_timeout: Duration::from_secs(30),
        }
    }

    /// Refuses an address that others can reach unless that was asked for.
    pub(crate) fn check_bind(&self) -> Result<(), Problem> {
        if self.bind.ip().is_loopback() || self.allow_remote {
            return Ok(());
        }
        let detail = format!(
            "{} can be reached from other machines, and there is no authentication",
            self.bind
        );
        Err(Problem::new("unsafe_bind", 400, detail)
            .with_help("listen on 127.0.0.1, or allow it if something else guards the port"))
    }

    /// How many queries run at once.
    pub(crate) fn queries_running(&self) -> usize {
        match self.queries {
            0 => processors(),
            number => number,
        }
    }

    /// How many writes run at once.
    pub(crate) fn writes_running(&self) -> usize {
        match self.writes {
            0 => (processors() / 2).max(1),
            number => number,
        }
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
