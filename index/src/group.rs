//! How do several writers share one sync?
//!
//! A sync costs the same for one write as for a hundred. So the writers that
//! come while the disk is busy queue up; when it is free, the first of them
//! commits for all of them, and hands the lead to the first one who came
//! since. There is no thread of its own, and a lone writer commits at once.

/// What the queue is made of; the interleavings are checked with another one.
mod sync {
    pub(super) use std::sync::mpsc::{RecvError, SyncSender, sync_channel};
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
}

mod queue;

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;

pub(crate) use queue::{Abandoned, Group, GroupLimits, Waiting};
