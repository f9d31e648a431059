//! When may a request be sent?
//!
//! Requests with documents take turns: so many at once, and no more a minute
//! than is allowed, evenly. A query does not wait for them; it counts, so that
//! those behind it wait the longer. Where a server asks to wait, all wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How soon a thread that waits notices that it need not any more.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Whose turn it is.
pub(crate) struct Turns {
    most_at_once: usize,
    /// The time between two requests.
    gap: Duration,
    state: Mutex<State>,
    given_back: Condvar,
}

struct State {
    running: usize,
    /// When the next request may be sent.
    next: Instant,
    /// Until when the server wants to be left alone.
    held_until: Instant,
}

/// The right to send documents, one request after the other, until it is
/// dropped.
pub(crate) struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.given_back.notify_one();
    }
}

impl Turns {
    pub(crate) fn new(most_at_once: usize, requests_per_minute: Option<u32>) -> Self {
        let now = Instant::now();
        Self {
            most_at_once: most_at_once.max(1),
            gap: requests_per_minute.map_or(Duration::ZERO, |requests| {
                Duration::from_secs(60) / requests.max(1)
            }),
            state: Mutex::new(State {
                running: 0,
                next: now,
                held_until: now,
            }),
            given_back: Condvar::new(),
        }
    }

    /// Waits for the right to send documents; `None` if it is not needed any
    /// more.
    pub(crate) fn take(&self, stop: &AtomicBool) -> Option<Turn<'_>> {
        let mut state = self.state();
        loop {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            if state.running < self.most_at_once {
                break;
            }
            let waited = self.given_back.wait_timeout(state, LOOK_EVERY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.running += 1;
        drop(state);
        Some(Turn(self))
    }

    /// Waits until a request with documents may be sent.
    pub(crate) fn wait_to_send(&self, stop: &AtomicBool) {
        let now = Instant::now();
        let at = {
            let mut state = self.state();
            let at = state.next.max(now);
            state.next = at + self.gap;
            at.max(state.held_until)
        };
        pause(at.saturating_duration_since(now), stop);
    }

    /// Counts a query, and says how long the server wants to be left alone.
    pub(crate) fn count_query(&self) -> Duration {
        let now = Instant::now();
        let mut state = self.state();
        state.next = state.next.max(now) + self.gap;
        state.held_until.saturating_duration_since(now)
    }

    /// Notes that the server wants to be left alone for so long.
    pub(crate) fn hold(&self, time: Duration) {
        let mut state = self.state();
        state.held_until = state.held_until.max(Instant::now() + time);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sleeps, unless what is waited for is not needed any more.
pub(crate) fn pause(time: Duration, stop: &AtomicBool) {
    let end = Instant::now() + time;
    while !stop.load(Ordering::Relaxed) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(LOOK_EVERY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ON: AtomicBool = AtomicBool::new(false);

    #[test]
    fn no_more_than_so_many_have_a_turn_at_once() {
        let turns = Turns::new(2, None);
        let first = turns.take(&ON);
        let _second = turns.take(&ON);
        let stopped = AtomicBool::new(true);
        assert!(turns.take(&stopped).is_none());
        drop(first);
        assert!(turns.take(&ON).is_some());
    }

    #[test]
    fn requests_of_a_minute_come_evenly_and_queries_do_not_wait() {
        // One every 30 ms.
        let turns = Turns::new(9, Some(2000));
        let begun = Instant::now();
        turns.wait_to_send(&ON);
        turns.wait_to_send(&ON);
        assert!(begun.elapsed() >= Duration::from_millis(30));
        assert_eq!(turns.count_query(), Duration::ZERO);
        turns.wait_to_send(&ON);
        assert!(begun.elapsed() >= Duration::from_millis(90));
    }

    #[test]
    fn a_server_that_wants_to_be_left_alone_is_by_all() {
        let turns = Turns::new(9, None);
        let begun = Instant::now();
        turns.hold(Duration::from_millis(200));
        assert!(turns.count_query() > Duration::from_millis(50));
        turns.wait_to_send(&ON);
        assert!(begun.elapsed() >= Duration::from_millis(200));
        turns.hold(Duration::from_secs(3600));
        turns.wait_to_send(&AtomicBool::new(true));
    }
}
