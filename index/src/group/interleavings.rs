//! Does the queue keep its word however its callers are interleaved?
//!
//! The queue is compiled a second time here, over shuttle's locks and
//! channels, which stop at every step and let a scheduler say who goes on: in
//! every possible way where that can be done, else in many thousands of
//! ways drawn by chance. A deadlock, and so a lost wake-up, fails the test.
//!
//! An assertion within a commit would be just another panic of a commit, so
//! what the commits see is written down, and judged when all callers are done.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};

use queue::{Abandoned, Group, GroupLimits, Waiting};

#[path = "queue.rs"]
#[expect(clippy::duplicate_mod, reason = "over other locks it is another one")]
mod queue;

/// What the queue is made of here.
mod sync {
    use std::ops::{Deref, DerefMut};
    use std::sync::{LockResult, PoisonError};
    use std::time::Duration;

    use shuttle::sync as checked;
    pub(super) use shuttle::sync::mpsc::{RecvError, SyncSender, sync_channel};

    pub(super) struct Mutex<T>(checked::Mutex<T>);

    impl<T> Mutex<T> {
        pub(super) fn new(value: T) -> Self {
            Self(checked::Mutex::new(value))
        }

        pub(super) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(MutexGuard { lock: self, held })
        }
    }

    /// A guard that knows its lock, so that waiting can let go of it.
    pub(super) struct MutexGuard<'a, T> {
        lock: &'a Mutex<T>,
        held: checked::MutexGuard<'a, T>,
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.held
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.held
        }
    }

    /// A condition variable on which every wait runs out of time, after as
    /// many steps of the others as the scheduler likes: none, or until it
    /// would have been notified, or later. shuttle's own never runs out.
    pub(super) struct Condvar;

    impl Condvar {
        pub(super) fn new() -> Self {
            Self
        }

        pub(super) fn notify_one(&self) {}

        pub(super) fn wait_timeout_while<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _: Duration,
            _: impl FnMut(&mut T) -> bool,
        ) -> LockResult<(MutexGuard<'a, T>, ())> {
            let lock = guard.lock;
            drop(guard);
            shuttle::thread::yield_now();
            Ok((lock.lock().unwrap_or_else(PoisonError::into_inner), ()))
        }
    }
}

/// A writer's number and which of its requests it is.
type Request = (usize, usize);

/// What comes back: the request again, and how many were committed before it.
type Outcome = (Request, usize);

/// Who writes how much, and what their commits do.
#[derive(Clone, Copy)]
struct Case {
    writers: usize,
    each: usize,
    limits: GroupLimits,
    /// A commit takes so many and leaves the others.
    takes: usize,
    panics: Panics,
}

#[derive(Clone, Copy, PartialEq)]
enum Panics {
    Never,
    /// When it has taken this request, or one of them.
    Having(Request),
    /// When it is offered this request first, before it takes it.
    Before(Request),
}

impl Case {
    const fn new(writers: usize, each: usize) -> Self {
        Self {
            writers,
            each,
            limits: GroupLimits {
                delay: Duration::from_millis(1),
                requests: usize::MAX,
            },
            takes: usize::MAX,
            panics: Panics::Never,
        }
    }

    const fn without_delay(mut self) -> Self {
        self.limits.delay = Duration::ZERO;
        self
    }

    const fn of_at_most(mut self, requests: usize) -> Self {
        self.limits.requests = requests;
        self
    }
}

/// What one commit saw and did.
struct Entry {
    leader: Request,
    offered: Vec<Request>,
    taken: Vec<Request>,
    has_panicked: bool,
}

#[derive(Default)]
struct Journal {
    entries: Vec<Entry>,
    committed: Vec<Request>,
    is_committing: bool,
    have_overlapped: bool,
    /// What each caller got: nothing if its own commit panicked.
    answers: Vec<(Request, Option<Result<Outcome, Abandoned>>)>,
}

fn commit(
    case: Case,
    leader: Request,
    journal: &Mutex<Journal>,
    waiting: &mut Waiting<Request>,
) -> Vec<Outcome> {
    {
        let mut journal = journal.lock().unwrap();
        journal.have_overlapped |= journal.is_committing;
        journal.is_committing = true;
    }
    // This is where it takes its time.
    thread::yield_now();
    let mut journal = journal.lock().unwrap();
    journal.is_committing = false;
    let offered: Vec<_> = waiting.clone().collect();
    let refuses = offered.first().copied().map(Panics::Before) == Some(case.panics);
    let taken: Vec<_> = match refuses {
        true => Vec::new(),
        false => waiting.by_ref().take(case.takes).collect(),
    };
    let has_panicked = refuses || taken.iter().any(|&it| Panics::Having(it) == case.panics);
    let outcomes = (journal.committed.len()..)
        .zip(&taken)
        .map(|(position, &request)| (request, position))
        .collect();
    if !has_panicked {
        journal.committed.extend(&taken);
    }
    journal.entries.push(Entry {
        leader,
        offered,
        taken,
        has_panicked,
    });
    drop(journal);
    if has_panicked {
        // Not by `panic!`, which would tell the terminal of each.
        resume_unwind(Box::new("the disk is gone"));
    }
    outcomes
}

/// Lets the writers write, and returns what came of it.
fn play(case: Case) -> Journal {
    let group = Arc::new(Group::new(case.limits));
    let journal = Arc::new(Mutex::new(Journal::default()));
    let write = |writer| {
        let (group, journal) = (Arc::clone(&group), Arc::clone(&journal));
        move || {
            for ordinal in 0..case.each {
                let request = (writer, ordinal);
                let answer = catch_unwind(AssertUnwindSafe(|| {
                    group.submit(request, |waiting| commit(case, request, &journal, waiting))
                }));
                let mut journal = journal.lock().unwrap();
                journal.answers.push((request, answer.ok()));
            }
        }
    };
    // One of them writes here: a thread less is many interleavings fewer.
    let others: Vec<_> = (1..case.writers)
        .map(|writer| thread::spawn(write(writer)))
        .collect();
    write(0)();
    for other in others {
        other.join().unwrap();
    }
    assert_eq!(group.waiting(), 0, "nobody is left behind");
    std::mem::take(&mut *journal.lock().unwrap())
}

/// Fails where the queue did not keep its word.
fn judge(case: Case, journal: &Journal) {
    assert!(!journal.have_overlapped, "one commit at a time");
    let mut left: &[Request] = &[];
    for entry in &journal.entries {
        assert_eq!(entry.offered[0], entry.leader, "the longest waiting leads");
        assert!(entry.offered.len() <= case.limits.requests);
        assert!(entry.offered.starts_with(left), "what is left is first");
        left = &entry.offered[entry.taken.len().max(1)..];
    }
    assert!(left.is_empty(), "nothing is left");
    let leaders: Vec<_> = journal.entries.iter().map(|entry| entry.leader).collect();
    let all_apart = |requests: &[Request]| {
        let mut sorted = requests.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        sorted.len() == requests.len()
    };
    assert!(all_apart(&leaders), "nobody leads twice for one request");
    let taken: Vec<_> = journal
        .entries
        .iter()
        .flat_map(|entry| &entry.taken)
        .copied()
        .collect();
    assert!(all_apart(&taken), "nothing is taken twice");
    for writer in 0..case.writers {
        let own = |requests: &[Request]| -> Vec<usize> {
            let own = requests.iter().filter(|request| request.0 == writer);
            own.map(|request| request.1).collect()
        };
        assert!(
            own(&journal.committed).is_sorted(),
            "a writer's order is kept"
        );
    }
    assert_eq!(journal.answers.len(), case.writers * case.each);
    for (request, answer) in &journal.answers {
        let position = journal.committed.iter().position(|it| it == request);
        let entry = journal
            .entries
            .iter()
            .find(|entry| entry.taken.contains(request) || entry.leader == *request);
        let Some(entry) = entry else {
            panic!("{request:?} was answered without a commit");
        };
        let expected = match (entry.has_panicked, entry.leader == *request) {
            (false, _) => Some(Ok((*request, position.unwrap()))),
            (true, true) => None,
            (true, false) => Some(Err(Abandoned)),
        };
        assert_eq!(*answer, expected, "{request:?} got its own answer");
    }
}

/// What must have come up for a check to mean something.
#[derive(Debug, Default)]
struct Seen {
    runs: usize,
    largest_group: usize,
    left_some: usize,
    abandoned: usize,
}

/// Plays a case as often as the scheduler likes.
fn check(case: Case, scheduler: impl Scheduler + 'static) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let noted = Arc::clone(&seen);
    let runs = Runner::new(scheduler, Config::new()).run(move || {
        let journal = play(case);
        judge(case, &journal);
        let mut seen = noted.lock().unwrap();
        for entry in &journal.entries {
            seen.largest_group = seen.largest_group.max(entry.taken.len());
            seen.left_some += usize::from(entry.taken.len() < entry.offered.len());
        }
        let abandoned = |answer: &&(_, Option<Result<_, _>>)| matches!(answer.1, Some(Err(_)));
        seen.abandoned += journal.answers.iter().filter(abandoned).count();
    });
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    Seen { runs, ..seen }
}

/// Every interleaving; a case with more of them than this is too large.
fn check_all(case: Case) -> Seen {
    const MOST: usize = 200_000;
    let seen = check(case, DfsScheduler::new(Some(MOST), false));
    assert!(seen.runs < MOST, "not all of them: {seen:?}");
    seen
}

/// Some thousands, drawn evenly, and as many with few changes between threads,
/// which find other faults. `SHUTTLE_RANDOM_SEED` draws others.
fn check_many(case: Case) -> Seen {
    const RUNS: usize = 5_000;
    let even = check(case, RandomScheduler::new_from_seed(1, RUNS));
    let few = check(case, PctScheduler::new_from_seed(1, 3, RUNS));
    Seen {
        runs: even.runs + few.runs,
        largest_group: even.largest_group.max(few.largest_group),
        left_some: even.left_some + few.left_some,
        abandoned: even.abandoned + few.abandoned,
    }
}

#[test]
fn two_writers_are_served_once_each_however_they_meet() {
    let case = Case::new(2, 1);
    assert_eq!(check_all(case).largest_group, 2);
    assert_eq!(check_all(case.without_delay()).largest_group, 2);
    assert_eq!(check_all(case.of_at_most(1)).largest_group, 1);
    assert!(check_all(Case { takes: 1, ..case }).left_some > 0);
}

#[test]
fn three_writers_keep_their_order_and_get_their_own_outcomes() {
    let case = Case::new(3, 2);
    assert_eq!(check_many(case).largest_group, 3);
    assert_eq!(check_many(case.without_delay()).largest_group, 3);
    assert_eq!(check_many(case.of_at_most(1)).largest_group, 1);
}

#[test]
fn what_a_commit_leaves_is_the_first_of_the_next() {
    for case in [Case::new(3, 2), Case::new(3, 2).without_delay()] {
        let seen = check_many(Case { takes: 1, ..case });
        assert!(seen.left_some > 500, "{seen:?}");
    }
    let seen = check_many(Case {
        takes: 2,
        ..Case::new(4, 2)
    });
    assert!(seen.left_some > 500, "{seen:?}");
}

#[test]
fn a_commit_that_panics_leaves_nobody_waiting() {
    for writer in [0, 1] {
        let request = (writer, 0);
        for panics in [Panics::Having(request), Panics::Before(request)] {
            check_all(Case {
                panics,
                ..Case::new(2, 1)
            });
            let seen = check_many(Case {
                panics,
                ..Case::new(3, 2)
            });
            let abandons = matches!(panics, Panics::Having(_));
            assert_eq!(seen.abandoned > 100, abandons, "{seen:?}");
            // Some are left as well, both by it and by the others.
            let seen = check_many(Case {
                panics,
                takes: 2,
                ..Case::new(4, 2)
            });
            assert!(seen.left_some > 100, "{seen:?}");
        }
    }
}
