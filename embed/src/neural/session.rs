//! Who may use the model now?
//!
//! A session takes one batch at a time. A query goes before every batch of
//! documents that has not begun, so that it waits for one small batch at most
//! while a long ingestion runs. (Several sessions of fewer threads each were
//! tried: no more documents a second, slower queries, each with its own copy
//! of the weights.)

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a session is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Somebody waits for the answer.
    Query,
    /// One batch of many.
    Documents,
}

/// A session that threads share.
pub(crate) struct Shared<S> {
    session: Mutex<S>,
    queries_waiting: Mutex<usize>,
    no_query_waits: Condvar,
}

impl<S> Shared<S> {
    pub(crate) fn new(session: S) -> Self {
        Self {
            session: Mutex::new(session),
            queries_waiting: Mutex::new(0),
            no_query_waits: Condvar::new(),
        }
    }

    /// Uses the session as soon as it is free for that purpose.
    pub(crate) fn with<R>(&self, purpose: For, work: impl FnOnce(&mut S) -> R) -> R {
        let mut session = match purpose {
            For::Query => self.before_documents(),
            For::Documents => self.after_queries(),
        };
        work(&mut session)
    }

    fn before_documents(&self) -> MutexGuard<'_, S> {
        *lock(&self.queries_waiting) += 1;
        let session = lock(&self.session);
        *lock(&self.queries_waiting) -= 1;
        self.no_query_waits.notify_all();
        session
    }

    fn after_queries(&self) -> MutexGuard<'_, S> {
        loop {
            let mut waiting = lock(&self.queries_waiting);
            while *waiting > 0 {
                waiting = self
                    .no_query_waits
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            drop(waiting);
            let session = lock(&self.session);
            // One may have come while another batch ran.
            if *lock(&self.queries_waiting) == 0 {
                return session;
            }
        }
    }
}

/// A session that is waited for until a deadline and no longer.
pub(crate) struct Lone<S> {
    session: Mutex<S>,
    is_free: Mutex<bool>,
    freed: Condvar,
}

impl<S> Lone<S> {
    pub(crate) fn new(session: S) -> Self {
        Self {
            session: Mutex::new(session),
            is_free: Mutex::new(true),
            freed: Condvar::new(),
        }
    }

    /// Uses the session if it becomes free before the deadline.
    pub(crate) fn with_until<R>(
        &self,
        deadline: Instant,
        work: impl FnOnce(&mut S) -> R,
    ) -> Option<R> {
        let mut is_free = lock(&self.is_free);
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
            if *is_free {
                *is_free = false;
                break;
            }
            is_free = self
                .freed
                .wait_timeout(is_free, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(is_free);
        let _freeing = Freeing(self);
        Some(work(&mut lock(&self.session)))
    }
}

/// Frees a session when it is dropped, after a panic too.
struct Freeing<'a, S>(&'a Lone<S>);

impl<S> Drop for Freeing<'_, S> {
    fn drop(&mut self) {
        *lock(&self.0.is_free) = true;
        // All: one whose time is over would keep the news to itself.
        self.0.freed.notify_all();
    }
}

/// A session is as good after a panic as before: it keeps nothing of a batch.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_query_goes_before_batches_that_wait() {
        let session = Shared::new(Vec::new());
        let (running, is_running) = mpsc::channel();
        let (release, is_released) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let session = &session;
            scope.spawn(move || {
                session.with(For::Documents, |order| {
                    order.push("a batch that runs");
                    let _ = running.send(());
                    let _ = is_released.recv();
                });
                session.with(For::Documents, |order| order.push("the next batch"));
            });
            is_running.recv().expect("it runs");
            scope.spawn(move || session.with(For::Documents, |order| order.push("the next batch")));
            scope.spawn(move || session.with(For::Query, |order| order.push("the query")));
            while *lock(&session.queries_waiting) == 0 {
                std::thread::yield_now();
            }
            release.send(()).expect("it waits");
        });
        let order = session.session.into_inner().expect("not poisoned");
        let next = "the next batch";
        assert_eq!(order, ["a batch that runs", "the query", next, next]);
    }

    #[test]
    fn a_lone_session_is_waited_for_until_the_deadline_and_freed_by_a_panic() {
        let session = Lone::new(7);
        let soon = || Instant::now() + Duration::from_millis(20);
        let (running, is_running) = mpsc::channel();
        let (release, is_released) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let session = &session;
            scope.spawn(move || {
                session.with_until(soon(), |_| {
                    let _ = running.send(());
                    let _ = is_released.recv();
                })
            });
            is_running.recv().expect("it runs");
            assert_eq!(session.with_until(soon(), |it| *it), None);
            release.send(()).expect("it waits");
        });
        let work = || session.with_until(soon(), |_| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        assert_eq!(session.with_until(soon(), |it| *it), Some(7));
        let past = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(session.with_until(past, |it| *it), None);
    }

    #[test]
    fn a_session_whose_work_panicked_is_there_again() {
        let session = Shared::new(7);
        let work = || session.with(For::Query, |_| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        assert_eq!(session.with(For::Documents, |it| *it), 7);
    }
}
