//! A server in this process, for as long as a test needs it.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cento_api::{Models, Problem, ServerConfig, Service, ServiceOptions, serve};
use serde_json::json;
use tempfile::TempDir;

use crate::client::Client;

/// A server on a free port over a temporary directory.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), Problem>>>,
    pub(crate) data: TempDir,
}

impl Server {
    /// One with everything by default.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// One whose settings are changed.
    pub(crate) fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::over(tempfile::tempdir().unwrap(), change)
    }

    /// One over a directory that is there.
    pub(crate) fn over(data: TempDir, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig::new(data.path());
        config.bind.set_port(0);
        change(&mut config);
        let options = ServiceOptions {
            embedding_cache_bytes: config.embedding_cache_bytes,
            models: Models::Named(config.allowed_models.clone()),
            query_threads: 2,
            reranker: config.reranker.clone(),
            store: config.store.clone(),
        };
        let service = Service::open(&config.data, options).unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let (told, address) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            let ready = move |address| told.send(address).unwrap();
            let shutdown = async {
                let _ = ended.await;
            };
            runtime.block_on(serve(config, service, ready, shutdown))
        });
        let server = Self {
            address: address.recv().unwrap(),
            end: Some(end),
            thread: Some(thread),
            data,
        };
        server.until("it is ready", |client| client.get("/readyz").status == 200);
        server
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// One with a collection `docs`.
    pub(crate) fn with_docs(self) -> Self {
        let made = self
            .client()
            .post("/v1/collections", &json!({"name": "docs"}));
        assert_eq!(made.status, 201, "{}", made.text());
        self
    }

    /// Asks again until something is so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Client) -> bool) {
        let client = self.client();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so(&client) {
            assert!(Instant::now() < deadline, "it never came: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to end, without waiting.
    pub(crate) fn ask_to_end(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
    }

    /// Ends it and gives the directory back.
    pub(crate) fn end(mut self) -> TempDir {
        self.ask_to_end();
        self.thread.take().unwrap().join().unwrap().unwrap();
        let empty = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self.data, empty)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ask_to_end();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}
