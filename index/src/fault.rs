//! Where may a test make the process die, an operation fail, or the power go?
//!
//! Every step that `disk.rs` takes passes through here, and so does every step
//! of tantivy's directory. Unless the feature `faults` is on, passing costs
//! nothing: each function is an empty one that is inlined.
//! With it, which only tests turn on, there are three means to hurt the engine:
//!
//! - **Points** at which the process dies, as by `kill -9`. `point` names a
//!   place between two steps of which a crash might leave only the first; the
//!   steps on the disk are points as well, named `disk.write` and so on; at
//!   `log.half_written`, `disk.half_written` and `disk.half_removed` it dies in
//!   the middle of one.
//!   `CENTO_FAILPOINT=NAME[:NTH]` dies when it is reached the NTH time (from
//!   1). `CENTO_FAILPOINT_LOG=FILE` gets a line with the name of each point
//!   every time that it is reached.
//! - **Failures** of an operation. `CENTO_FAULT=OP[@PATHPART]:ERROR[:AFTER]`
//!   lets AFTER operations pass and fails every later one; several are joined
//!   by commas. `CENTO_FAULT_LOG=FILE` gets a line for each operation.
//! - **Power cuts**: a [`Journal`] notes all that happens below a directory and
//!   writes down what a disk could hold if the power had gone at some moment.
//!
//! In a process, the same is done by [`arm`], [`fail`] and [`Journal`].

#[cfg(not(feature = "faults"))]
mod absent;
#[cfg(feature = "faults")]
mod failpoint;
#[cfg(feature = "faults")]
mod hooks;
#[cfg(feature = "faults")]
mod injection;
#[cfg(feature = "faults")]
mod journal;
#[cfg(feature = "faults")]
mod op;
#[cfg(test)]
#[cfg(feature = "faults")]
mod tests;

use std::path::Path;

#[cfg(not(feature = "faults"))]
pub(crate) use absent::{Identity, step, write};
#[cfg(feature = "faults")]
pub use failpoint::{Action, arm, disarm_all};
#[cfg(feature = "faults")]
pub(crate) use hooks::{Identity, check, replace, step, write};
#[cfg(feature = "faults")]
pub use injection::{Failure, fail};
#[cfg(feature = "faults")]
pub use journal::{Cut, Journal, Loss};
#[cfg(feature = "faults")]
pub use op::Op;

/// One step on the disk, other than writing bytes.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(feature = "faults"),
    allow(dead_code, reason = "nobody looks at a step without the feature")
)]
pub(crate) enum Step<'a> {
    /// Opens a file that is there.
    Open(&'a Path),
    /// Makes a file, or empties the one that is there.
    Create(&'a Path),
    /// Reads a file, its length, or a directory's entries.
    Read(&'a Path),
    /// Cuts or lengthens a file.
    Truncate(&'a Identity, &'a Path, u64),
    /// Makes a file's bytes and length durable.
    Sync(&'a Identity, &'a Path),
    /// Makes a directory's entries durable.
    SyncDir(&'a Path),
    /// Gives a file or a directory another name.
    Rename(&'a Path, &'a Path),
    /// Gives a file a second name.
    Link(&'a Path, &'a Path),
    /// Removes a file.
    Remove(&'a Path),
    /// Removes a directory and all in it.
    RemoveDir(&'a Path),
    /// Makes a directory, with its parents.
    MakeDir(&'a Path),
}

/// A named place between two steps of which a crash might leave only the
/// first.
#[inline]
pub(crate) fn point(name: &'static str) {
    #[cfg(feature = "faults")]
    failpoint::reached(name);
    #[cfg(not(feature = "faults"))]
    let _ = name;
}
