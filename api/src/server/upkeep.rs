//! What happens beside the requests?
//!
//! One thread makes writes visible, twice a second where there are any, and
//! writes down now and then what the next opening would have to replay. First of
//! all it opens the collections, so that the first query need not wait.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Problem;
use crate::state::{AppState, Phase};

const REFRESH_EVERY: Duration = Duration::from_millis(500);
const CHECKPOINT_EVERY: Duration = Duration::from_secs(300);

/// The thread beside the requests.
pub(super) struct Upkeep {
    thread: JoinHandle<()>,
    /// Dropped to end it.
    end: Sender<()>,
}

impl Upkeep {
    pub(super) fn begin(app: &AppState) -> Result<Self, Problem> {
        let (end, ended) = channel::<()>();
        let app = Arc::clone(app);
        let work = move || {
            app.service.warm_up();
            app.enter(Phase::Ready);
            let mut checked = Instant::now();
            while ended.recv_timeout(REFRESH_EVERY) == Err(RecvTimeoutError::Timeout) {
                app.service.refresh();
                app.metrics.upkeep();
                if checked.elapsed() >= CHECKPOINT_EVERY {
                    app.service.checkpoint();
                    checked = Instant::now();
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("upkeep".to_owned())
            .spawn(work)
            .map_err(|error| Problem::new("internal", 500, error.to_string()))?;
        Ok(Self { thread, end })
    }

    pub(super) fn end(self) {
        drop(self.end);
        // A panic there has been told already.
        let _ = self.thread.join();
    }
}
