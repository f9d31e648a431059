//! Do real threads share commits as they should?

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::{Abandoned, Group, GroupLimits, Waiting};

/// Longer than any test takes that does not wait it out.
const LONG: Duration = Duration::from_secs(60);

fn group(delay: Duration, requests: usize) -> Group<u32, u32> {
    Group::new(GroupLimits { delay, requests })
}

/// Serves all: the outcome is the request plus a hundred.
fn serve(waiting: &mut Waiting<u32>) -> Vec<u32> {
    waiting.map(|request| request + 100).collect()
}

/// Lets 0 commit, has `others` come in order meanwhile, and then lets the
/// commit end. `commit` is what the others do; returns what each of them got.
fn while_one_commits(
    group: &Group<u32, u32>,
    others: u32,
    commit: impl Fn(&mut Waiting<u32>) -> Vec<u32> + Sync,
) -> Vec<thread::Result<Result<u32, Abandoned>>> {
    let (go_on, is_over): (Sender<()>, Receiver<()>) = channel();
    thread::scope(|scope| {
        let first = scope.spawn(move || {
            group.submit(0, |waiting| {
                assert_eq!(is_over.recv(), Ok(()));
                serve(waiting)
            })
        });
        let commit = &commit;
        wait_until(|| group.is_committing());
        let others: Vec<_> = (1..=others)
            .map(|request| {
                wait_until(|| group.waiting() + 1 == request as usize);
                scope.spawn(move || group.submit(request, commit))
            })
            .collect();
        wait_until(|| group.waiting() == others.len());
        go_on.send(()).unwrap();
        assert_eq!(first.join().unwrap(), Ok(100));
        others.into_iter().map(ScopedJoinHandle::join).collect()
    })
}

fn wait_until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "it never was so");
        thread::yield_now();
    }
}

/// A commit that notes what it was offered and takes so many.
fn noting(groups: &Mutex<Vec<Vec<u32>>>, takes: usize) -> impl Fn(&mut Waiting<u32>) -> Vec<u32> {
    move |waiting| {
        groups.lock().unwrap().push(waiting.clone().collect());
        let taken = waiting.by_ref().take(takes);
        taken.map(|request| request + 100).collect()
    }
}

fn outcomes(answers: Vec<thread::Result<Result<u32, Abandoned>>>) -> Vec<u32> {
    answers
        .into_iter()
        .map(|answer| answer.unwrap().unwrap())
        .collect()
}

#[test]
fn a_lone_writer_never_waits() {
    let begin = Instant::now();
    let group = group(LONG, 64);
    for request in 0..1_000 {
        assert_eq!(group.submit(request, serve), Ok(request + 100));
    }
    assert!(begin.elapsed() < LONG);
}

#[test]
fn those_who_come_during_a_commit_share_the_next_in_their_order() {
    let group = group(Duration::ZERO, 64);
    let groups = Mutex::default();
    let answers = while_one_commits(&group, 5, noting(&groups, usize::MAX));
    assert_eq!(outcomes(answers), [101, 102, 103, 104, 105]);
    assert_eq!(*groups.lock().unwrap(), [[1, 2, 3, 4, 5]]);
}

#[test]
fn a_group_is_no_larger_than_its_limit() {
    for (limit, expected) in [
        (2, vec![vec![1, 2], vec![3, 4], vec![5]]),
        (0, vec![vec![1], vec![2], vec![3], vec![4], vec![5]]),
    ] {
        let group = group(Duration::ZERO, limit);
        let groups = Mutex::default();
        let answers = while_one_commits(&group, 5, noting(&groups, usize::MAX));
        assert_eq!(outcomes(answers), [101, 102, 103, 104, 105]);
        assert_eq!(*groups.lock().unwrap(), expected);
    }
}

#[test]
fn what_is_left_goes_first_and_is_led_by_its_first() {
    let group = group(Duration::ZERO, 3);
    let groups = Mutex::default();
    let answers = while_one_commits(&group, 5, noting(&groups, 2));
    assert_eq!(outcomes(answers), [101, 102, 103, 104, 105]);
    let expected = [vec![1, 2, 3], vec![3, 4, 5], vec![5]];
    assert_eq!(*groups.lock().unwrap(), expected);
}

#[test]
fn a_leader_waits_for_as_many_as_were_there_last_time_and_no_longer() {
    let begin = Instant::now();
    let group = group(LONG, 64);
    let groups = Mutex::default();
    // One committed and two waited: three are expected back.
    thread::scope(|scope| {
        let again = scope.spawn(|| {
            wait_until(|| group.waiting() == 2 && group.is_gathering());
            group.submit(9, noting(&groups, usize::MAX))
        });
        let answers = while_one_commits(&group, 2, noting(&groups, usize::MAX));
        assert_eq!(outcomes(answers), [101, 102]);
        assert_eq!(again.join().unwrap(), Ok(109));
    });
    assert!(begin.elapsed() < LONG, "it is told when they are there");
    assert_eq!(*groups.lock().unwrap(), [[1, 2, 9]]);
}

#[test]
fn a_wait_in_vain_ends_and_is_not_repeated() {
    let delay = Duration::from_millis(200);
    let group = group(delay, 64);
    let begin = Instant::now();
    let answers = while_one_commits(&group, 1, serve);
    assert_eq!(outcomes(answers), [101]);
    assert!(begin.elapsed() >= delay, "two were there, one came back");
    let begin = Instant::now();
    assert_eq!(group.submit(7, serve), Ok(107));
    assert!(begin.elapsed() < delay, "one was there, one came back");
}

#[test]
fn a_panic_is_its_leaders_and_abandons_the_rest_of_its_group() {
    let group = group(Duration::ZERO, 64);
    let answers = while_one_commits(&group, 4, |waiting| {
        let taken = waiting.by_ref().take(3).collect::<Vec<_>>();
        if taken.contains(&1) {
            panic!("the disk is gone");
        }
        taken.into_iter().map(|request| request + 100).collect()
    });
    let answers: Vec<_> = answers.into_iter().map(Result::ok).collect();
    let abandoned = Some(Err(Abandoned));
    assert_eq!(answers, [None, abandoned, abandoned, Some(Ok(104))]);
    assert_eq!(group.submit(5, serve), Ok(105));
}

#[test]
fn a_commit_that_breaks_its_word_panics_and_confirms_nothing() {
    type Commit = fn(&mut Waiting<u32>) -> Vec<u32>;
    type Answers = [Option<Result<u32, Abandoned>>; 2];
    let commits: [(Commit, Answers); 3] = [
        // Takes nothing: each ends its own leader's request.
        (|_| vec![], [None, None]),
        // One outcome too few, and one too many.
        (|all| serve(all).split_off(1), [None, Some(Err(Abandoned))]),
        (
            |all| [serve(all), vec![0]].concat(),
            [None, Some(Err(Abandoned))],
        ),
    ];
    for (commit, expected) in commits {
        let group = group(Duration::ZERO, 64);
        let answers = while_one_commits(&group, 2, commit);
        let answers: Vec<_> = answers.into_iter().map(Result::ok).collect();
        assert_eq!(answers, expected);
        assert_eq!(group.submit(5, serve), Ok(105));
    }
}

#[test]
fn sixteen_writers_get_through() {
    let group = group(Duration::from_micros(100), 8);
    let total = Mutex::new(0);
    thread::scope(|scope| {
        for writer in 0..16 {
            let (group, total) = (&group, &total);
            scope.spawn(move || {
                for ordinal in 0..500 {
                    let request = writer * 1_000 + ordinal;
                    let outcome = group.submit(request, |waiting| {
                        let outcomes = serve(waiting);
                        *total.lock().unwrap() += outcomes.len();
                        outcomes
                    });
                    assert_eq!(outcome, Ok(request + 100));
                }
            });
        }
    });
    assert_eq!(*total.lock().unwrap(), 16 * 500);
}
