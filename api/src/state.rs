//! What do all handlers share?

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::body::Bytes;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::cpu_pool::{Admission, CpuPool, Lane};
use crate::http::guard::Hosts;
use crate::http::observe::RequestIds;
use crate::metrics::Metrics;
use crate::service::Service;
use crate::{Problem, ServerConfig, openapi};

/// Shared by all handlers of a server.
pub(crate) type AppState = Arc<App>;

/// A server's insides.
pub(crate) struct App {
    pub(crate) service: Arc<Service>,
    pub(crate) config: ServerConfig,
    pub(crate) pool: CpuPool,
    pub(crate) metrics: Metrics,
    pub(crate) hosts: Hosts,
    pub(crate) request_ids: RequestIds,
    /// Cancelled when what is under way must end now.
    pub(crate) ending: CancellationToken,
    pub(crate) openapi: Bytes,
    phase: AtomicU8,
}

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Collections are being opened.
    Starting = 0,
    Ready = 1,
    /// What is under way is finished.
    Stopping = 2,
}

impl App {
    pub(crate) fn new(service: Arc<Service>, config: ServerConfig) -> Result<AppState, Problem> {
        Ok(Arc::new(Self {
            pool: CpuPool::new(&config),
            metrics: Metrics::new()?,
            hosts: Hosts::new(&config),
            request_ids: RequestIds::new(),
            ending: CancellationToken::new(),
            openapi: openapi::json().into(),
            phase: AtomicU8::new(Phase::Starting as u8),
            service,
            config,
        }))
    }

    /// Enters a phase; none is entered twice or left backwards.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }

    /// Runs a request's work in a lane.
    ///
    /// # Errors
    /// What the work says; `overloaded`; `timeout` if there is no answer in
    /// time.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&Service) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let limit = self.config.request_timeout;
        match timeout(limit, self.long_work(lane, work)).await {
            Ok(result) => result,
            Err(_) => {
                let detail = format!("there was no answer within {} s", limit.as_secs_f64());
                Err(Problem::new("timeout", 504, detail).retryable())
            }
        }
    }

    /// The same for work that may take as long as it takes.
    pub(crate) async fn long_work<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&Service) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let service = Arc::clone(&self.service);
        let admission = self.admit(lane).await?;
        self.pool.run(admission, move || work(&service)).await?
    }

    /// Waits for a place in a lane; counts those who are turned away.
    pub(crate) async fn admit(&self, lane: Lane) -> Result<Admission, Problem> {
        let admitted = self.pool.admit(lane).await;
        if admitted.is_err() {
            self.metrics.rejected(lane);
        }
        admitted
    }
}
