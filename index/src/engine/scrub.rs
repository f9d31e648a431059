//! Are the bytes that nobody reads still what was written?
//!
//! Opening looks at the manifest, the lengths of files and the log's end; the
//! rest is read in the background, at leisure, without holding anybody up.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::Engine;
use crate::IndexError;
use crate::log::Logged;

/// What a scrub has read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScrubReport {
    /// Segments of the log.
    pub segments: u64,
    /// Their length, the open one's as far as it went.
    pub bytes: u64,
    /// Files of the text and the vectors that are not what was written: rebuild
    /// them.
    pub damaged: Vec<PathBuf>,
}

impl Engine {
    /// Reads every segment of the log and every file of the text and the frozen
    /// vectors and compares them with their checksums. `rest` is called
    /// after each record with its length in bytes: it may sleep, and ends the
    /// scrub by returning false.
    ///
    /// # Errors
    /// [`IndexError::LogDamaged`] with the place: see [`Store::salvage`](crate::Store::salvage).
    pub fn scrub(&self, mut rest: impl FnMut(u64) -> bool) -> Result<ScrubReport, IndexError> {
        let mut report = ScrubReport::default();
        // What is written from now on has just been written.
        let (segments, end) = {
            let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            (writer.log.segments(), writer.log.end().1)
        };
        for segment in &segments.list {
            let mut goes_on = true;
            let visit = |logged: Logged<'_>| {
                goes_on = rest(logged.bytes.len() as u64);
                // An error ends the reading; this one nobody sees.
                goes_on.then_some(()).ok_or_else(ended)
            };
            let (read, bytes) = match segment.entry.sealed {
                Some(sealed) => {
                    let run = [Arc::clone(segment)];
                    (segments.scan_run(&run, visit), sealed.bytes)
                }
                None => (segments.scan_open(segment, end, visit), end.offset),
            };
            match read {
                Err(_) if !goes_on => return Ok(report),
                read => read?,
            }
            report.segments += 1;
            report.bytes += bytes;
        }
        // A merge may take files away while they are read; then what has taken
        // their place has just been written.
        let damaged = || self.view().text_view().damaged_files();
        report.damaged = damaged().or_else(|_| damaged())?;
        report.damaged.extend(self.view().vectors().damaged_files());
        Ok(report)
    }
}

fn ended() -> IndexError {
    IndexError::WriterStopped {
        reason: "the scrub was ended".to_owned(),
    }
}
