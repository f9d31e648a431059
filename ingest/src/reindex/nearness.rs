//! How near is a tailer to the end, and may writers wait while it derives the
//! rest?
//!
//! Counting what is pending reads a row for each, so it is counted now and then;
//! between two counts what was derived is taken off. Writes may have come in
//! meanwhile, so only a count says whether the end has come nearer.

use std::time::Duration;

/// Writers wait so long at most while the last are derived, as long as the end
/// comes nearer.
const LOCKED_TIME: Duration = Duration::from_secs(1);

/// Each time that the end has not come nearer for so many batches, writers may
/// wait twice as long,
const PATIENCE: u32 = 32;

/// but never longer than this. Writes that come in faster than they can be
/// derived are followed until they pause: who writes must not wait for hours.
const LONGEST_LOCKED_TIME: Duration = Duration::from_secs(10);

/// How many batches go by before what is pending is counted again.
const COUNT_EVERY: u32 = 16;

/// How near the end is.
pub(super) struct Nearness {
    /// About how many documents are pending.
    pending: u64,
    /// The least that was counted, and how many batches ago.
    least: u64,
    since_least: u32,
    since_count: u32,
    locked_time: Duration,
    pace: Pace,
}

impl Nearness {
    /// At the beginning, with so many documents pending.
    pub(super) fn new(counted: u64) -> Self {
        Self {
            pending: counted,
            least: counted,
            since_least: 0,
            since_count: 0,
            locked_time: LOCKED_TIME,
            pace: Pace::default(),
        }
    }

    /// About how many documents are pending.
    pub(super) fn pending(&self) -> u64 {
        self.pending
    }

    /// How long writers may be kept waiting.
    pub(super) fn locked_time(&self) -> Duration {
        self.locked_time
    }

    /// Whether what is left can be derived in that time.
    pub(super) fn is_near(&self) -> bool {
        self.pending <= self.pace.within(self.locked_time)
    }

    /// Whether what is pending should be counted before the next step.
    pub(super) fn is_count_due(&self) -> bool {
        self.since_count >= COUNT_EVERY || self.is_near()
    }

    /// Notes a batch that was derived, and how long it took.
    pub(super) fn note_batch(&mut self, documents: u64, took: Duration) {
        self.pace.note(documents, took);
        self.pending = self.pending.saturating_sub(documents);
        self.since_least = self.since_least.saturating_add(1);
        self.since_count += 1;
    }

    /// Notes how many are pending in truth.
    pub(super) fn note_count(&mut self, counted: u64) {
        self.pending = counted;
        self.since_count = 0;
        if counted < self.least {
            (self.least, self.since_least) = (counted, 0);
            self.locked_time = LOCKED_TIME;
        } else if self.since_least > PATIENCE {
            // Whether it comes nearer is measured from here: many may have come
            // in at once.
            (self.least, self.since_least) = (counted, 0);
            self.locked_time = (self.locked_time * 2).min(LONGEST_LOCKED_TIME);
        }
    }
}

/// How many documents are derived in which time.
#[derive(Default)]
struct Pace {
    documents: f64,
    seconds: f64,
}

impl Pace {
    /// Notes a batch; older ones count half as much each time.
    fn note(&mut self, documents: u64, took: Duration) {
        self.documents = self.documents / 2.0 + documents as f64;
        self.seconds = self.seconds / 2.0 + took.as_secs_f64();
    }

    /// About how many documents can be derived in a time: none before anything
    /// was measured.
    fn within(&self, time: Duration) -> u64 {
        if self.seconds > 0.0 {
            (self.documents / self.seconds * time.as_secs_f64()) as u64
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Derives ten documents a second while others come in, as `write` says of
    /// each second. Says how many were left, and for how long writers may wait,
    /// when they were told to; nothing if they never were.
    fn follow(mut pending: u64, write: impl Fn(u32) -> u64) -> Option<(u64, Duration)> {
        let mut nearness = Nearness::new(pending);
        for second in 0..10_000 {
            if nearness.is_near() {
                return Some((pending, nearness.locked_time()));
            }
            let taken = pending.min(10);
            pending = pending - taken + write(second);
            nearness.note_batch(taken, Duration::from_secs(1));
            if nearness.is_count_due() {
                nearness.note_count(pending);
            }
        }
        None
    }

    #[test]
    fn a_burst_of_writes_is_derived_before_writers_have_to_wait() {
        let quiet = follow(500, |_| 0);
        assert_eq!(quiet, Some((10, LOCKED_TIME)));
        for when in [3, 40, 49, 50] {
            let burst = follow(500, |second| if second == when { 20_000 } else { 0 });
            assert_eq!(burst, Some((10, LOCKED_TIME)), "at {when}");
        }
    }

    #[test]
    fn writers_that_are_as_fast_wait_longer_but_never_for_long() {
        // Fifty are left for ever, which take five seconds.
        assert_eq!(follow(50, |_| 10), Some((50, Duration::from_secs(8))));
        assert_eq!(follow(100, |_| 10), Some((100, LONGEST_LOCKED_TIME)));
        assert_eq!(follow(101, |_| 10), None, "more than can be derived");
        assert_eq!(follow(50, |_| 20), None, "they outrun the tailer");
    }

    #[test]
    fn once_writers_pause_they_wait_no_longer_than_usual() {
        let paused = follow(500, |second| if second < 1_000 { 12 } else { 0 });
        assert_eq!(paused, Some((10, LOCKED_TIME)));
    }
}
