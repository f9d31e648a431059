//! What do the hooks do where the feature `faults` is off? Nothing.

use std::fs::File;
use std::io;
use std::path::Path;

use super::Step;

/// Which file an open file is; nobody asks.
#[derive(Debug)]
pub(crate) struct Identity;

impl Identity {
    /// Nothing to find out.
    #[inline]
    pub(crate) fn of(_: &File) -> io::Result<Self> {
        Ok(Self)
    }
}

/// Takes a step on the disk.
#[inline]
pub(crate) fn step<T>(_: Step<'_>, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    act()
}

/// Writes bytes.
#[inline]
pub(crate) fn write(
    _: &Identity,
    _: &Path,
    bytes: &[u8],
    _offset: u64,
    mut act: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    act(bytes)
}
