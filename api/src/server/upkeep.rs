//! What happens beside the requests?
//!
//! One thread makes writes visible, twice a second where there are any. First of
//! all it opens the collections, so that the first query need not wait. What may
//! take long has threads of its own: one writes down now and then what the next
//! opening would have to replay, one reads through files that nobody reads, one
//! fits models to what was put, and one gives space back where much of a
//! log is dead.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Problem;
use crate::state::{AppState, Phase};

const REFRESH_EVERY: Duration = Duration::from_millis(500);
const CHECKPOINT_EVERY: Duration = Duration::from_secs(300);
/// How often it is looked whether a collection has grown so much that its model is
/// to be fitted to it.
const FIT_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked whether a collection's files are to be read through.
const SCRUB_EVERY: Duration = Duration::from_secs(10);
/// So much is read at once, and then the disk is left to others for a while:
/// about 40 MB a second at most.
const SCRUB_BYTES: u64 = 4 << 20;
const SCRUB_REST: Duration = Duration::from_millis(100);
/// How long their end is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The threads beside the requests.
pub(super) struct Upkeep {
    threads: Vec<Beside>,
}

/// One of them.
struct Beside {
    thread: JoinHandle<()>,
    /// Dropped to end it.
    end: Sender<()>,
}

impl Beside {
    fn begin(
        name: &str,
        work: impl FnOnce(&Receiver<()>) + Send + 'static,
    ) -> Result<Self, Problem> {
        let (end, ended) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&ended))
            .map_err(|error| Problem::new("internal", 500, error.to_string()))?;
        Ok(Self { thread, end })
    }
}

/// Waits; says whether it is to go on.
fn wait(ended: &Receiver<()>, time: Duration) -> bool {
    ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
}

impl Upkeep {
    pub(super) fn begin(app: &AppState) -> Result<Self, Problem> {
        let refreshing = Arc::clone(app);
        let mut threads = vec![Beside::begin("upkeep", move |ended| {
            let app = refreshing;
            app.service.warm_up();
            app.enter(Phase::Ready);
            while wait(ended, REFRESH_EVERY) {
                app.service.refresh();
                app.metrics.upkeep();
            }
        })?];
        let checking = Arc::clone(app);
        threads.push(Beside::begin("checkpoint", move |ended| {
            while wait(ended, CHECKPOINT_EVERY) {
                checking.service.checkpoint();
            }
        })?);
        let fitting = Arc::clone(app);
        threads.push(Beside::begin("fitting", move |ended| {
            while wait(ended, FIT_EVERY) {
                fitting.service.fit_where_due();
            }
        })?);
        let reading = Arc::clone(app);
        threads.push(Beside::begin("scrub", move |ended| {
            // Collections are opened when they are asked for.
            while wait(ended, SCRUB_EVERY) {
                let mut unslept = 0;
                reading.service.scrub(&mut |bytes| {
                    unslept += bytes;
                    if unslept < SCRUB_BYTES {
                        return true;
                    }
                    unslept = 0;
                    wait(ended, SCRUB_REST)
                });
            }
        })?);
        if let Some(dead) = app.config.compact_at {
            let app = Arc::clone(app);
            threads.push(Beside::begin("compaction", move |ended| {
                while wait(ended, app.config.compact_every) {
                    (app.service).compact_where_due(dead, app.config.compact_bytes);
                }
            })?);
        }
        Ok(Self { threads })
    }

    /// Ends them. A compaction under way is waited for, but not for long: what
    /// it leaves half done is cleared when the collection is opened again.
    pub(super) fn end(self) {
        let (ends, threads): (Vec<_>, Vec<_>) = (self.threads.into_iter())
            .map(|beside| (beside.end, beside.thread))
            .unzip();
        drop(ends);
        let last = Instant::now() + PATIENCE;
        for thread in threads {
            while !thread.is_finished() && Instant::now() < last {
                std::thread::sleep(Duration::from_millis(5));
            }
            if thread.is_finished() {
                // A panic there has been told already.
                let _ = thread.join();
            }
        }
    }
}
