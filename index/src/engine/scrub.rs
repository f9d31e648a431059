//! Are the bytes that nobody reads still what was written?
//!
//! Opening looks at the manifest, the lengths of files and the log's end; the
//! rest is read in the background, at leisure, without holding anybody up.

use std::path::PathBuf;
use std::sync::Arc;

use super::Engine;
use crate::IndexError;

/// What a scrub has read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScrubReport {
    /// Closed segments of the log.
    pub segments: u64,
    /// Their length.
    pub bytes: u64,
    /// Files of the text projection that are not what was written: rebuild it.
    pub damaged: Vec<PathBuf>,
}

impl Engine {
    /// Reads every closed segment of the log and every file of the text
    /// projection and compares them with their checksums. `rest` is called
    /// after each record with its length in bytes: it may sleep, and ends the
    /// scrub by returning false.
    ///
    /// # Errors
    /// [`IndexError::LogDamaged`] with the place: see [`Store::salvage`](crate::Store::salvage).
    pub fn scrub(&self, mut rest: impl FnMut(u64) -> bool) -> Result<ScrubReport, IndexError> {
        let mut report = ScrubReport::default();
        let view = self.view();
        let segments = view.segments();
        for segment in &segments.list {
            let Some(sealed) = segment.entry.sealed else {
                continue;
            };
            let mut goes_on = true;
            segments.scan_run(&[Arc::clone(segment)], |logged| {
                goes_on = goes_on && rest(logged.bytes.len() as u64);
                Ok(())
            })?;
            if !goes_on {
                return Ok(report);
            }
            report.segments += 1;
            report.bytes += sealed.bytes;
        }
        // A merge may take files away while they are read; then what has taken
        // their place has just been written.
        report.damaged = view.text_view().damaged_files().unwrap_or_default();
        Ok(report)
    }
}
