//! Where does the work of requests run, and how much of it at once?
//!
//! All CPU work of requests, and all waiting for disks, goes through
//! [`CpuPool::run`]. Each kind of work has a lane of its own: so many run at
//! once, so many wait for their turn, and one more is told to come back later
//! (429). An endless queue would only turn a busy server into a slow one, whose
//! clients have long gone away when their turn comes.
//!
//! A request that is dropped while it waits leaves the queue and its work never
//! begins. Work that has begun runs to its end, and keeps its place until then:
//! what is abandoned cannot pile up.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Problem, ServerConfig};

/// A kind of work with bounds of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Queries and reads: short, on all processors.
    Query,
    /// Queries that are reranked: they may wait for another machine, and no other query
    /// waits for them.
    Rerank,
    /// Writes of JSON requests: fewer, so that they do not starve queries.
    Write,
    /// What keeps a collection in order and may take minutes: no write of
    /// another collection waits for it.
    Upkeep,
    /// Streams of documents: they wait for their clients most of the time.
    Stream,
}

impl Lane {
    pub(crate) const ALL: [Self; 5] = [
        Self::Query,
        Self::Rerank,
        Self::Write,
        Self::Upkeep,
        Self::Stream,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Rerank => "rerank",
            Self::Write => "write",
            Self::Upkeep => "upkeep",
            Self::Stream => "stream",
        }
    }
}

/// The lanes of a server.
pub(crate) struct CpuPool {
    query: LaneState,
    rerank: LaneState,
    write: LaneState,
    upkeep: LaneState,
    stream: LaneState,
}

struct LaneState {
    running: Arc<Semaphore>,
    most_running: usize,
    waiting: AtomicUsize,
    most_waiting: usize,
}

/// The right to run in a lane, until it is dropped.
pub(crate) struct Admission {
    _permit: OwnedSemaphorePermit,
}

impl CpuPool {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        Self {
            query: LaneState::new(config.queries_running(), config.queries_waiting),
            rerank: LaneState::new(config.reranks.max(1), config.queries_waiting),
            write: LaneState::new(config.writes_running(), config.writes_waiting),
            upkeep: LaneState::new(config.upkeep.max(1), config.upkeep_waiting),
            // Who waits here would wait for another client, not for us.
            stream: LaneState::new(config.streams.max(1), 0),
        }
    }

    /// Waits for the right to run in a lane.
    ///
    /// # Errors
    /// `overloaded` if the lane and its queue are full.
    pub(crate) async fn admit(&self, lane: Lane) -> Result<Admission, Problem> {
        let state = self.lane(lane);
        if let Ok(permit) = Arc::clone(&state.running).try_acquire_owned() {
            return Ok(Admission { _permit: permit });
        }
        let _place = state.queue().ok_or_else(|| overloaded(lane))?;
        match Arc::clone(&state.running).acquire_owned().await {
            Ok(permit) => Ok(Admission { _permit: permit }),
            Err(_) => Err(shutting_down()),
        }
    }

    /// Runs admitted work and waits for its end. It gives its admission back
    /// when it ends, whoever still waits for it. A panic in it goes on here.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        admission: Admission,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let span = tracing::Span::current();
        let joined = tokio::task::spawn_blocking(move || {
            let _admission = admission;
            span.in_scope(work)
        });
        match joined.await {
            Ok(result) => Ok(result),
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(_) => Err(shutting_down()),
        }
    }

    /// How many run in a lane, and how many wait.
    pub(crate) fn load(&self, lane: Lane) -> (usize, usize) {
        let state = self.lane(lane);
        let running = state.most_running - state.running.available_permits();
        (running, state.waiting.load(Ordering::Relaxed))
    }

    /// Waits until nothing runs in a lane, and lets nothing in from then on.
    pub(crate) async fn drain(&self, lane: Lane) {
        let state = self.lane(lane);
        let all = u32::try_from(state.most_running).unwrap_or(u32::MAX);
        if let Ok(permits) = state.running.acquire_many(all).await {
            permits.forget();
        }
        state.running.close();
    }

    fn lane(&self, lane: Lane) -> &LaneState {
        match lane {
            Lane::Query => &self.query,
            Lane::Rerank => &self.rerank,
            Lane::Write => &self.write,
            Lane::Upkeep => &self.upkeep,
            Lane::Stream => &self.stream,
        }
    }
}

impl LaneState {
    fn new(most_running: usize, most_waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(most_running)),
            most_running,
            waiting: AtomicUsize::new(0),
            most_waiting,
        }
    }

    /// A place in the queue, if there is one.
    fn queue(&self) -> Option<Place<'_>> {
        let taken = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < self.most_waiting).then_some(waiting + 1)
            });
        taken.ok().map(|_| Place(&self.waiting))
    }
}

/// A place in a queue, until it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn overloaded(lane: Lane) -> Problem {
    let (code, detail) = match lane {
        Lane::Query | Lane::Rerank => ("overloaded", "too many queries are waiting already"),
        Lane::Write => ("overloaded", "too many writes are waiting already"),
        Lane::Upkeep => ("overloaded", "too much upkeep is waiting already"),
        Lane::Stream => ("overloaded", "too many streams are being taken in already"),
    };
    Problem::new(code, 429, detail)
        .with_help("wait as long as Retry-After says, then send it again")
        .retryable()
}

pub(crate) fn shutting_down() -> Problem {
    Problem::new("shutting_down", 503, "this server is ending")
        .with_help("send it again when a server is there")
        .retryable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    fn pool(running: usize, waiting: usize) -> Arc<CpuPool> {
        let config = ServerConfig {
            queries: running,
            queries_waiting: waiting,
            ..ServerConfig::new("unused")
        };
        Arc::new(CpuPool::new(&config))
    }

    /// Work that runs until it is told to end.
    fn held(pool: &Arc<CpuPool>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel::<()>();
        let pool = Arc::clone(pool);
        let task = tokio::spawn(async move {
            let work = move || {
                let _ = receiver.recv();
            };
            let admission = pool.admit(Lane::Query).await.expect("admitted");
            pool.run(admission, work).await.expect("runs");
        });
        (sender, task)
    }

    async fn until(is_so: impl Fn() -> bool) {
        for _ in 0..1000 {
            if is_so() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("it never came");
    }

    #[tokio::test]
    async fn one_runs_one_waits_and_the_next_is_turned_away() {
        let pool = pool(1, 1);
        let (first, running) = held(&pool);
        until(|| pool.load(Lane::Query) == (1, 0)).await;
        let (second, waiting) = held(&pool);
        until(|| pool.load(Lane::Query) == (1, 1)).await;
        let refused = pool.admit(Lane::Query).await.err().expect("full");
        assert_eq!((&*refused.code, refused.status), ("overloaded", 429));
        assert!(refused.retry);
        drop((first, second));
        running.await.expect("ends");
        waiting.await.expect("ends");
        assert_eq!(pool.load(Lane::Query), (0, 0));
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_queue_and_what_runs_keeps_its_place() {
        let pool = pool(1, 1);
        let (first, running) = held(&pool);
        until(|| pool.load(Lane::Query) == (1, 0)).await;
        let (_second, waiting) = held(&pool);
        until(|| pool.load(Lane::Query) == (1, 1)).await;
        waiting.abort();
        until(|| pool.load(Lane::Query) == (1, 0)).await;
        running.abort();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(pool.load(Lane::Query), (1, 0), "the work has not ended");
        drop(first);
        until(|| pool.load(Lane::Query) == (0, 0)).await;
    }

    #[tokio::test]
    async fn a_panic_gives_the_place_back_and_goes_on() {
        let pool = pool(1, 0);
        let inner = Arc::clone(&pool);
        let task = tokio::spawn(async move {
            let admission = inner.admit(Lane::Query).await.expect("admitted");
            inner.run(admission, || panic!("on purpose")).await
        });
        assert!(task.await.expect_err("panics").is_panic());
        assert_eq!(pool.load(Lane::Query), (0, 0));
    }
}
