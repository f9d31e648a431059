//! Who commits, when, and for whom?
//!
//! Nobody leads while nobody waits. The caller who finds it so leads one
//! group, its own request first, and then hands the lead to whoever waits
//! longest; everybody else sleeps until the outcome comes, or the lead.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::time::Duration;
use std::vec;

use super::sync::{Condvar, Mutex, MutexGuard, RecvError, SyncSender, sync_channel};

/// How large a group grows, and how long it may wait for that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupLimits {
    /// The longest wait for the writers of the last group to come back; zero
    /// for none. A small part of what a sync takes is a good measure.
    pub delay: Duration,
    /// The most requests that are offered to one commit; at least one is.
    pub requests: usize,
}

/// The commit that took a request died: nobody knows how far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the commit that took this request did not come to its end")]
pub(crate) struct Abandoned;

/// Requests offered to a commit, in the order of their arrival. It takes as
/// many from the front as it wants; what it leaves is offered first next time.
pub(crate) type Waiting<R> = Peekable<vec::IntoIter<R>>;

/// Writers that commit together.
pub(crate) struct Group<R, O> {
    limits: GroupLimits,
    queue: Mutex<Queue<R, O>>,
    /// Told when as many wait as the leader waits for.
    gathered: Condvar,
}

struct Queue<R, O> {
    /// Who waits, the longest first. Never empty without a leader.
    seats: VecDeque<Seat<R, O>>,
    is_led: bool,
    /// How many were seen at the end of the last group, served or waiting:
    /// so many are likely to be there again in a moment.
    seen: usize,
    /// For how many the leader waits now.
    wanted: Option<usize>,
}

struct Seat<R, O> {
    request: R,
    /// Dropped without a word, it tells the caller that it was abandoned.
    caller: SyncSender<Word<O>>,
}

/// What a waiting caller is told.
enum Word<O> {
    Lead,
    Outcome(O),
}

impl<R, O> Group<R, O> {
    pub(crate) fn new(limits: GroupLimits) -> Self {
        Self {
            limits,
            queue: Mutex::new(Queue {
                seats: VecDeque::new(),
                is_led: false,
                seen: 0,
                wanted: None,
            }),
            gathered: Condvar::new(),
        }
    }

    /// Hands in a request and waits for its outcome.
    ///
    /// Some caller's `commit` runs for all that wait, one at a time. It is
    /// offered what waits in the order of arrival, takes as many requests from
    /// the front as it wants, but at least one, and returns the outcome of
    /// each it took, in their order. What it leaves stays at the head of the
    /// queue. It must not submit to the same group: that would wait for itself.
    ///
    /// # Errors
    /// [`Abandoned`] if the commit that took the request panicked.
    ///
    /// # Panics
    /// If this caller's own `commit` does, or if it takes nothing or returns
    /// another number of outcomes than it took. The others whose requests it
    /// took are told that they are abandoned; the rest go on waiting.
    pub(crate) fn submit(
        &self,
        request: R,
        commit: impl FnOnce(&mut Waiting<R>) -> Vec<O>,
    ) -> Result<O, Abandoned> {
        // One place is enough, so that no word is ever waited for by the one
        // who gives it: the lead is heard before an outcome is sent.
        let (caller, words) = sync_channel(1);
        let mut word = if self.enter(Seat { request, caller }) {
            Ok(Word::Lead)
        } else {
            words.recv()
        };
        if let Ok(Word::Lead) = word {
            self.lead(commit);
            // Its own request was the first of its group.
            word = words.recv();
        }
        match word {
            Ok(Word::Outcome(outcome)) => Ok(outcome),
            Ok(Word::Lead) | Err(RecvError) => Err(Abandoned),
        }
    }

    /// Takes a seat at the end of the queue. Returns whether the lead comes
    /// with it.
    fn enter(&self, seat: Seat<R, O>) -> bool {
        let mut queue = self.queue();
        queue.seats.push_back(seat);
        let is_gathered = queue.wanted == Some(queue.seats.len());
        let is_first = !std::mem::replace(&mut queue.is_led, true);
        drop(queue);
        if is_gathered {
            self.gathered.notify_one();
        }
        is_first
    }

    /// Commits one group and hands the lead over.
    fn lead(&self, commit: impl FnOnce(&mut Waiting<R>) -> Vec<O>) {
        let group = self.gather();
        let offered = group.len();
        let (requests, mut callers): (Vec<R>, VecDeque<_>) = group
            .into_iter()
            .map(|seat| (seat.request, seat.caller))
            .unzip();
        let mut waiting = requests.into_iter().peekable();
        // Of what the panic may have left half done only `waiting` is looked
        // at, and that has lost no more than what was taken from it.
        let committed = catch_unwind(AssertUnwindSafe(|| {
            let outcomes = commit(&mut waiting);
            let taken = offered - waiting.len();
            assert!(taken > 0, "a commit took none of {offered} requests");
            // With one too few or too many nobody can tell whose they are.
            assert_eq!(outcomes.len(), taken, "a commit's outcomes");
            outcomes
        }));
        if waiting.len() == offered {
            // Only after a panic. It ends the leader's own request, taken or
            // not: otherwise it would be committed with nobody to hear of it.
            waiting.next();
        }
        let taken: Vec<_> = callers.drain(..offered - waiting.len()).collect();
        let rest = waiting
            .zip(callers)
            .map(|(request, caller)| Seat { request, caller });
        // First the lead, so that the next commit is under way while the
        // callers of this one wake up.
        self.hand_over(taken.len(), rest.rev());
        match committed {
            Ok(outcomes) => {
                for (caller, outcome) in taken.into_iter().zip(outcomes) {
                    // A caller stays until it has heard its outcome.
                    let _ = caller.send(Word::Outcome(outcome));
                }
            }
            Err(panic) => {
                drop(taken);
                resume_unwind(panic)
            }
        }
    }

    /// Takes what waits, after having waited for more where more is likely.
    fn gather(&self) -> Vec<Seat<R, O>> {
        let most = self.limits.requests.max(1);
        let mut queue = self.queue();
        let wanted = queue.seen.min(most);
        if queue.seats.len() < wanted && !self.limits.delay.is_zero() {
            queue.wanted = Some(wanted);
            queue = self
                .gathered
                .wait_timeout_while(queue, self.limits.delay, |queue| queue.seats.len() < wanted)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            queue.wanted = None;
        }
        let group = queue.seats.len().min(most);
        queue.seats.drain(..group).collect()
    }

    /// Puts what a commit left back to the head of the queue, `rest` being in
    /// reverse, and gives the lead to the first who waits.
    fn hand_over(&self, served: usize, rest: impl Iterator<Item = Seat<R, O>>) {
        let mut queue = self.queue();
        for seat in rest {
            queue.seats.push_front(seat);
        }
        queue.seen = served + queue.seats.len();
        let next = queue.seats.front().map(|seat| seat.caller.clone());
        queue.is_led = next.is_some();
        drop(queue);
        if let Some(next) = next {
            // A caller stays until it has heard its outcome.
            let _ = next.send(Word::Lead);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<R, O>> {
        // Nothing that can panic runs under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tests ask about.
#[cfg(test)]
#[allow(dead_code, reason = "not every test that compiles it asks for all")]
impl<R, O> Group<R, O> {
    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue().seats.len()
    }

    /// Whether a leader has taken its group and not yet handed over.
    pub(super) fn is_committing(&self) -> bool {
        let queue = self.queue();
        queue.is_led && queue.seats.is_empty()
    }

    /// Whether a leader waits for more.
    pub(super) fn is_gathering(&self) -> bool {
        self.queue().wanted.is_some()
    }
}
