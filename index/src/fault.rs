//! Where may a test make the process die?
//!
//! A point stands between any two steps of which a crash might leave only the
//! first. It does nothing unless the feature `faults` is on.

#[allow(dead_code)]
/// A named place between two steps.
#[inline]
pub(crate) fn point(_name: &'static str) {}
