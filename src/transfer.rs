//! An archive is on its way: who says what went wrong, and how is it ended?

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use cento_api::Problem;

/// The code of a transfer that was ended from outside.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// What a failed transfer is about. A place that knows better than the system
/// what is wrong says so; else the side that was read has failed.
pub(crate) fn problem(error: &io::Error) -> Problem {
    let told = error.get_ref().and_then(|told| told.downcast_ref());
    told.cloned().unwrap_or_else(|| cut_off(error))
}

/// An archive that was not read to its end.
pub(crate) fn cut_off(reason: impl std::fmt::Display) -> Problem {
    let detail = format!("the archive could not be read to its end: {reason}");
    Problem::new("archive_transfer_failed", 502, detail).retryable()
}

/// A reader or a writer that fails once `stop` is set, so that whoever waits for
/// it takes back what is half done.
pub(crate) struct Stoppable<'a, T> {
    pub(crate) inner: T,
    pub(crate) stop: &'a AtomicBool,
}

impl<T> Stoppable<'_, T> {
    fn check(&self) -> io::Result<()> {
        if !self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let detail = "interrupted before the archive was whole; nothing was changed";
        Err(io::Error::other(Problem::new(INTERRUPTED, 503, detail)))
    }
}

impl<T: Read> Read for Stoppable<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(buffer)
    }
}

impl<T: Write> Write for Stoppable<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A reader whose failure is kept, for callers that are told by way of others
/// only that something failed.
pub(crate) struct Watched<'a> {
    inner: &'a mut (dyn Read + Send),
    is_begun: bool,
    failure: Option<Problem>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(inner: &'a mut (dyn Read + Send)) -> Self {
        Self {
            inner,
            is_begun: false,
            failure: None,
        }
    }

    /// Whether anything was read of it.
    pub(crate) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Why it could not be read to its end, if that is so.
    pub(crate) fn into_failure(self) -> Option<Problem> {
        self.failure
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.is_begun = true;
        let read = self.inner.read(buffer);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.failure = Some(problem(error));
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_the_target_is_not_told_as_one_of_the_source() {
        let full = Problem::new("disk_full", 507, "cannot write a.tar");
        let told = io::Error::new(io::ErrorKind::StorageFull, full.clone());
        assert_eq!(problem(&told), full);
        let lost = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(problem(&lost).code, "archive_transfer_failed");
    }

    #[test]
    fn what_is_stopped_neither_reads_nor_writes_on() {
        let stop = AtomicBool::new(false);
        let mut out = Stoppable {
            inner: Vec::new(),
            stop: &stop,
        };
        out.write_all(b"half").expect("written");
        stop.store(true, Ordering::Relaxed);
        let ended = out.write_all(b"more").expect_err("ended");
        assert_eq!(problem(&ended).code, INTERRUPTED);
        assert_eq!(out.inner, b"half");
        let mut source: &[u8] = b"rest";
        let mut source = Stoppable {
            inner: &mut source,
            stop: &stop,
        };
        let mut source = Watched::new(&mut source);
        assert!(source.read(&mut [0; 4]).is_err());
        let failure = source.into_failure().expect("kept");
        assert_eq!(failure.code, INTERRUPTED);
    }
}
