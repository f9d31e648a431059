//! Who may use the model now?
//!
//! A session takes one batch at a time. A query goes before every batch of
//! documents that has not begun, so that it waits for one small batch at most
//! while a long ingestion runs.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What a session is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Somebody waits for the answer.
    Query,
    /// One batch of many.
    Documents,
}

/// Sessions that threads share.
pub(crate) struct Sessions<S> {
    state: Mutex<State<S>>,
    freed: Condvar,
}

struct State<S> {
    idle: Vec<S>,
    queries_waiting: usize,
}

impl<S> Sessions<S> {
    pub(crate) fn new(sessions: Vec<S>) -> Self {
        Self {
            state: Mutex::new(State {
                idle: sessions,
                queries_waiting: 0,
            }),
            freed: Condvar::new(),
        }
    }

    /// Uses a session as soon as there is one for that purpose.
    pub(crate) fn with<R>(&self, purpose: For, work: impl FnOnce(&mut S) -> R) -> R {
        let mut taken = Taken {
            sessions: self,
            session: Some(self.take(purpose)),
        };
        // There always is one: it leaves `taken` only in `drop`.
        let session = taken.session.as_mut().expect("a session is taken");
        work(session)
    }

    fn take(&self, purpose: For) -> S {
        let mut state = self.lock();
        if purpose == For::Query {
            state.queries_waiting += 1;
        }
        loop {
            if (purpose == For::Query || state.queries_waiting == 0)
                && let Some(session) = state.idle.pop()
            {
                if purpose == For::Query {
                    state.queries_waiting -= 1;
                    // Documents may have been waiting for this query only.
                    self.freed.notify_all();
                }
                return session;
            }
            state = self
                .freed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session out of the pool; it goes back even if its work panics.
struct Taken<'a, S> {
    sessions: &'a Sessions<S>,
    session: Option<S>,
}

impl<S> Drop for Taken<'_, S> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.sessions.lock().idle.push(session);
            self.sessions.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn a_query_goes_before_batches_that_wait() {
        let sessions = Sessions::new(vec![()]);
        let (batches, asked) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (begun, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..60 {
                    sessions.with(For::Documents, |()| {
                        batches.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(5));
                    });
                }
            });
            scope.spawn(|| {
                while batches.load(Ordering::SeqCst) < 3 {
                    std::thread::yield_now();
                }
                asked.store(true, Ordering::SeqCst);
                begun.store(batches.load(Ordering::SeqCst), Ordering::SeqCst);
                sessions.with(For::Query, |()| {
                    answered.store(batches.load(Ordering::SeqCst), Ordering::SeqCst);
                });
            });
        });
        let waited = answered.load(Ordering::SeqCst) - begun.load(Ordering::SeqCst);
        assert!(waited <= 2, "{waited} batches went before");
        assert_eq!(batches.load(Ordering::SeqCst), 60);
    }

    #[test]
    fn a_session_whose_work_panicked_is_there_again() {
        let sessions = Sessions::new(vec![7]);
        let work = || sessions.with(For::Query, |_| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        assert_eq!(sessions.with(For::Documents, |session| *session), 7);
    }
}
