//! How does space return that replaced and deleted documents took in the log?
//!
//! Closed segments of which much is dead are read record by record, and what
//! still counts is written to new ones; then the manifest names these instead.
//! Writers go on meanwhile. Records keep their numbers, by which the catalog's
//! rows find them again; a view that is held keeps the files of its time open,
//! and a snapshot has names of its own for them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use cento_core::{GenerationNo, Sequence};
use serde::{Deserialize, Serialize};

use super::{Engine, Writer};
use crate::catalog::Catalog;
use crate::disk;
use crate::frames::HEADER_BYTES;
use crate::log::segments::{Segment, Segments};
use crate::log::{Logged, SegmentWriter, log_dir, segment_path};
use crate::log_record::{Change, Record};
use crate::manifest::SegmentEntry;
use crate::{IndexError, fault};

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CompactionReport {
    /// Segments that were rewritten.
    pub segments: u64,
    /// The length of the log before.
    pub bytes_before: u64,
    /// The length of the log after.
    pub bytes_after: u64,
    /// Records that were kept, of those in the segments that were rewritten.
    pub kept: u64,
    /// Records that were dropped.
    pub dropped: u64,
}

impl Engine {
    /// Rewrites closed segments of which at least `dead` (0 to 1) is dead.
    /// Writing and answering go on. What snapshots hold stays with them; for
    /// the rest, space returns when the last view of before is let go.
    pub fn compact(&self, dead: f64) -> Result<CompactionReport, IndexError> {
        let _alone = self.maintenance();
        self.compact_alone(dead)
    }

    /// How much of the closed part of the log is dead, and how long it is.
    pub fn dead_bytes(&self) -> Result<(u64, u64), IndexError> {
        let (segments, catalog, last) = {
            let writer = self.writer()?;
            let catalog = Arc::clone(&writer.serving.projections.catalog);
            (writer.log.segments(), catalog, writer.log.end().0)
        };
        dead_bytes(&segments, &catalog, last)
    }

    /// The same, while nothing else changes which files there are.
    pub(super) fn compact_alone(&self, dead: f64) -> Result<CompactionReport, IndexError> {
        let (segments, catalog, generations, last) = {
            // Every projection must have followed what is about to be dropped, on
            // the disk: it could not be brought forward over the gap.
            let writer = self.writer_at_checkpoint()?;
            let catalog = Arc::clone(&writer.serving.projections.catalog);
            let entries = self.root.manifest().generations;
            let generations: Vec<_> = entries.iter().map(|entry| entry.number).collect();
            let last = writer.log.end().0;
            (writer.log.segments(), catalog, generations, last)
        };
        let mut report = CompactionReport {
            bytes_before: segments.bytes(),
            ..CompactionReport::default()
        };
        let live = live_bytes(&segments, &catalog, last)?;
        let is_victim = |segment: &Arc<Segment>| {
            segment.entry.sealed.is_some_and(|sealed| {
                let live = live.get(&segment.entry.number).copied().unwrap_or(0);
                let all = (sealed.bytes - HEADER_BYTES).max(1);
                all.saturating_sub(live) as f64 >= dead * all as f64
            })
        };
        let mut runs: Vec<Vec<Arc<Segment>>> = Vec::new();
        let mut goes_on = false;
        for segment in &segments.list {
            if is_victim(segment) {
                match runs.last_mut().filter(|_| goes_on) {
                    Some(run) => run.push(Arc::clone(segment)),
                    None => runs.push(vec![Arc::clone(segment)]),
                }
                goes_on = true;
            } else {
                goes_on = false;
            }
        }
        for run in runs {
            let is_first = run[0].entry.number == segments.list[0].entry.number;
            let keep = Keep {
                catalog: &catalog,
                generations: &generations,
                // A deletion must outlast what it deletes.
                deletions: !is_first,
            };
            self.rewrite(&segments, &run, &keep, &mut report)?;
        }
        let writer = self.writer()?;
        report.bytes_after = writer.log.segments().bytes();
        Ok(report)
    }

    /// Rewrites a run of closed segments that follow one another.
    fn rewrite(
        &self,
        segments: &Segments,
        run: &[Arc<Segment>],
        keep: &Keep<'_>,
        report: &mut CompactionReport,
    ) -> Result<(), IndexError> {
        let dir = log_dir(self.root.dir());
        let mut output = Output {
            engine: self,
            dir: &dir,
            writer: None,
            next: run[0].entry.first,
            entries: Vec::new(),
            forgotten: Sequence(0),
        };
        let last = run
            .iter()
            .filter_map(|s| s.entry.sealed)
            .map(|s| s.last)
            .max();
        let last = last.unwrap_or_default();
        // What is half written if this fails the manifest does not name: it goes
        // at the latest when the collection is opened again.
        segments.scan_run(run, |logged| keep.record(&logged, &mut output, report))?;
        let (entries, forgotten) = output.finish(last)?;
        fault::point("compaction.written");
        let former: Vec<u64> = run.iter().map(|segment| segment.entry.number).collect();
        {
            let mut writer = self.writer()?;
            let Writer {
                log,
                serving,
                building,
                ..
            } = &mut *writer;
            log.replace(&former, &entries, |manifest| {
                manifest.forgotten = manifest.forgotten.max(forgotten);
                // What gave them may have been dropped.
                serving.note_in(manifest);
                if let Some(building) = building {
                    building.note_in(manifest);
                }
            })?;
            fault::point("compaction.switched");
            // So that queries let go of the former files.
            self.publish(&mut writer)?;
        }
        for number in former {
            let _ = disk::remove_file(&segment_path(&dir, number));
        }
        fault::point("compaction.removed");
        report.segments += run.len() as u64;
        Ok(())
    }
}

/// What counts still.
struct Keep<'a> {
    catalog: &'a Catalog,
    generations: &'a [GenerationNo],
    deletions: bool,
}

impl Keep<'_> {
    /// Copies a record if it counts, or what of it does.
    fn record(
        &self,
        logged: &Logged<'_>,
        output: &mut Output<'_>,
        report: &mut CompactionReport,
    ) -> Result<(), IndexError> {
        let sequence = logged.place.sequence;
        let Some((mut record, _)) = Record::decode(logged.bytes) else {
            // Replay skips it and says so; it is kept for whoever wants to know.
            report.kept += 1;
            return output.add(sequence, logged.bytes.to_vec());
        };
        let newest = self.catalog.newest_put(record.id())?;
        let is_kept = |generation| self.generations.contains(&generation);
        let mut is_stripped = false;
        let counts = match &mut record.change {
            Change::Put(put) => {
                let derived = put.derivation.as_ref().map(|d| d.outline.generation);
                is_stripped = derived.is_some_and(|generation| !is_kept(generation));
                if is_stripped {
                    put.derivation = None;
                }
                newest == Some(sequence)
            }
            Change::Derive(derive) => {
                newest == Some(derive.of) && is_kept(derive.derivation.outline.generation)
            }
            Change::Delete(_) => {
                if !self.deletions {
                    output.forgotten = output.forgotten.max(sequence);
                }
                self.deletions
            }
        };
        if !counts {
            report.dropped += 1;
            return Ok(());
        }
        report.kept += 1;
        if is_stripped {
            let (bytes, _) = super::write::encode(&record)?;
            output.add(sequence, bytes)
        } else {
            output.add(sequence, logged.bytes.to_vec())
        }
    }
}

/// The segments that a run becomes.
struct Output<'a> {
    engine: &'a Engine,
    dir: &'a Path,
    writer: Option<SegmentWriter>,
    /// The first write that the next segment may hold.
    next: Sequence,
    entries: Vec<SegmentEntry>,
    forgotten: Sequence,
}

impl Output<'_> {
    fn add(&mut self, sequence: Sequence, record: Vec<u8>) -> Result<(), IndexError> {
        let is_full = |writer: &SegmentWriter| writer.bytes() > self.engine.options.segment_bytes;
        if self.writer.as_ref().is_some_and(is_full) {
            self.end_segment(Sequence(sequence.0 - 1))?;
        }
        self.open()?.add(sequence, record)
    }

    fn open(&mut self) -> Result<&mut SegmentWriter, IndexError> {
        if self.writer.is_none() {
            let number = self.engine.root.take_file();
            self.writer = Some(SegmentWriter::begin(self.dir, number, self.next)?);
        }
        self.writer.as_mut().ok_or(IndexError::WriterStopped {
            reason: "a segment could not be begun".to_owned(),
        })
    }

    fn end_segment(&mut self, last: Sequence) -> Result<(), IndexError> {
        if let Some(writer) = self.writer.take() {
            self.entries.push(writer.finish(last)?);
            self.next = last.next();
        }
        Ok(())
    }

    fn finish(mut self, last: Sequence) -> Result<(Vec<SegmentEntry>, Sequence), IndexError> {
        // Even of a run that is dead as a whole the numbers are accounted for.
        self.open()?;
        self.end_segment(last)?;
        Ok((self.entries, self.forgotten))
    }
}

/// How much of the closed segments is dead, and how long they are.
pub(crate) fn dead_bytes(
    segments: &Segments,
    catalog: &Catalog,
    last: Sequence,
) -> Result<(u64, u64), IndexError> {
    let live = live_bytes(segments, catalog, last)?;
    let sealed = (segments.list.iter())
        .filter_map(|segment| Some((segment.entry.number, segment.entry.sealed?.bytes)));
    Ok(sealed.fold((0, 0), |(dead, all), (number, bytes)| {
        let live = live.get(&number).copied().unwrap_or(0) + HEADER_BYTES;
        (dead + bytes.saturating_sub(live), all + bytes)
    }))
}

/// How many bytes of each segment the newest state of the collection needs.
/// Writes after `last` are passed over: they go on, into segments not known here.
fn live_bytes(
    segments: &Segments,
    catalog: &Catalog,
    last: Sequence,
) -> Result<HashMap<u64, u64>, IndexError> {
    let mut live = HashMap::new();
    catalog.for_each_version(|_, version| {
        let mut places = vec![version.document];
        if version.derived.sequence != version.document.sequence {
            places.push(version.derived);
        }
        for place in places.into_iter().filter(|place| place.sequence <= last) {
            // Four bytes of length stand before each record.
            *live.entry(segments.number_of(&place)?).or_default() += place.bytes + 4;
        }
        Ok(())
    })?;
    Ok(live)
}
