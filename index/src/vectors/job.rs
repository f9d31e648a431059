//! Who freezes rows while others write and read?
//!
//! A thread of its own, which nobody waits for: what it has made is taken when
//! the next view is published. It ends early when its projection is closed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::freeze::Unfrozen;
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
    is_cancelled: AtomicBool,
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

    /// Waits until the work has ended.
    pub(crate) fn wait(&self) {
        let waited = self
            .is_done
            .wait_while(self.state(), |state| !state.has_ended);
        drop(waited);
    }

    fn end(&self, frozen: Frozen) {
        *self.state() = State {
            has_ended: true,
            frozen: Some(frozen),
        };
        self.is_done.notify_all();
    }
}

impl Job {
    /// Begins work, beside others or at once.
    pub(super) fn begin(
        replaced: Vec<u64>,
        number: u64,
        is_beside: bool,
        work: impl FnOnce(&AtomicBool) -> Frozen + Send + 'static,
    ) -> Self {
        let ticket = Arc::new(Ticket::default());
        let mine = Arc::clone(&ticket);
        let run = move || {
            // What a library asserts must not leave others waiting.
            let frozen = catch_unwind(AssertUnwindSafe(|| work(&mine.is_cancelled)));
            mine.end(frozen.unwrap_or_else(|_| Err(failed("building a graph panicked"))));
        };
        let thread = if is_beside {
            let name = "cento-freeze".to_owned();
            let spawned = std::thread::Builder::new().name(name).spawn(run);
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

fn failed(reason: &str) -> Unfrozen {
    Unfrozen::Failed(IndexError::Projection {
        projection: "vectors",
        reason: reason.to_owned(),
    })
}

impl Drop for Job {
    fn drop(&mut self) {
        self.ticket.is_cancelled.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has caught its panic, and looks at the mark often.
            let _ = thread.join();
        }
    }
}
