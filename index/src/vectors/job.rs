//! Who freezes rows while others write and read?
//!
//! A thread of its own, which nobody waits for: what it has made is taken when
//! the next view is published. It ends early when its projection is closed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::freeze::Unfrozen;
use super::graph::Watch;
use super::segment::Segment;
use crate::IndexError;

type Frozen = Result<Option<Segment>, Unfrozen>;

/// Work under way, and what it was about.
pub(super) struct Job {
    /// The segments that the new one takes the place of, by number.
    pub(super) replaced: Vec<u64>,
    /// The number of the new one's file.
    pub(super) number: u64,
    ticket: Arc<Ticket>,
    thread: Option<JoinHandle<()>>,
}

/// By which others wait for work to end.
#[derive(Default)]
pub(crate) struct Ticket {
    state: Mutex<State>,
    is_done: Condvar,
    watch: Watch,
}

#[derive(Default)]
struct State {
    has_ended: bool,
    /// What was made, until it is taken.
    frozen: Option<Frozen>,
}

impl Ticket {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the work has ended, or that long; says whether it has.
    pub(crate) fn wait(&self, most: Duration) -> bool {
        let goes_on = |state: &mut State| !state.has_ended;
        let waited = self.is_done.wait_timeout_while(self.state(), most, goes_on);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.has_ended
    }

    /// How many vectors are linked, of how many.
    pub(crate) fn progress(&self) -> Freezing {
        let (linked, rows) = self.watch.progress();
        Freezing {
            linked: linked as u64,
            rows: rows as u64,
        }
    }

    fn end(&self, frozen: Frozen) {
        *self.state() = State {
            has_ended: true,
            frozen: Some(frozen),
        };
        self.is_done.notify_all();
    }
}

/// How far the freezing of vectors is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freezing {
    /// Vectors that are linked.
    pub linked: u64,
    /// Vectors that are to be linked; 0 before that is known.
    pub rows: u64,
}

impl Job {
    /// Begins work, beside others or at once.
    pub(super) fn begin(
        replaced: Vec<u64>,
        number: u64,
        is_beside: bool,
        work: impl FnOnce(&Watch) -> Frozen + Send + 'static,
    ) -> Self {
        let ticket = Arc::new(Ticket::default());
        let mine = Arc::clone(&ticket);
        let run = move || {
            // What a library asserts must not leave others waiting.
            let frozen = catch_unwind(AssertUnwindSafe(|| work(&mine.watch)));
            mine.end(frozen.unwrap_or_else(|_| Err(failed("building a graph panicked"))));
        };
        let thread = if is_beside {
            let name = "cento-freeze".to_owned();
            let spawned = std::thread::Builder::new().name(name).spawn(|| {
                give_way();
                run();
            });
            if let Err(error) = &spawned {
                ticket.end(Err(failed(&format!("no thread to build a graph: {error}"))));
            }
            spawned.ok()
        } else {
            run();
            None
        };
        Self {
            replaced,
            number,
            ticket,
            thread,
        }
    }

    /// What it has made, once it has ended.
    pub(super) fn result(&mut self) -> Option<Frozen> {
        self.ticket.state().frozen.take()
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ticket.state().has_ended
    }

    /// By which to wait for it.
    pub(super) fn ticket(&self) -> Arc<Ticket> {
        Arc::clone(&self.ticket)
    }
}

/// Lets queries and writers go first, with this thread and those it begins.
fn give_way() {
    // Where that is a thread's own affair; elsewhere it is the whole program's.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(LENIENCE);
}

/// Where both would like to run, a query gets three times as much of a processor.
#[cfg(target_os = "linux")]
const LENIENCE: i32 = 5;

fn failed(reason: &str) -> Unfrozen {
    Unfrozen::Failed(IndexError::Projection {
        projection: "vectors",
        reason: reason.to_owned(),
    })
}

impl Drop for Job {
    fn drop(&mut self) {
        self.ticket.watch.cancel();
        if let Some(thread) = self.thread.take() {
            // It has caught its panic, and looks at the mark often.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_goes_on_until_nobody_wants_it_and_whoever_waits_hears_of_its_end() {
        let work = |watch: &Watch| {
            while watch.goes_on().is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(Unfrozen::Cancelled)
        };
        let job = Job::begin(Vec::new(), 1, true, work);
        let ticket = job.ticket();
        assert!(!ticket.wait(Duration::from_millis(5)));
        assert_eq!(ticket.progress(), Freezing { linked: 0, rows: 0 });
        assert!(!job.has_ended());
        drop(job);
        assert!(ticket.wait(Duration::ZERO));
    }

    #[test]
    fn work_that_panics_has_failed() {
        let mut job = Job::begin(Vec::new(), 1, true, |_| panic!("as a library might"));
        assert!(job.ticket().wait(Duration::from_secs(60)));
        assert!(matches!(job.result(), Some(Err(Unfrozen::Failed(_)))));
    }
}
