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
use crate::log::{Logged, Place, SegmentWriter, log_dir, segment_path};
use crate::log_record::{Change, Record};
use crate::manifest::{Manifest, SegmentEntry};
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

/// Which closed segments are rewritten.
#[derive(Clone, Copy)]
pub(super) enum Which {
    /// All of them.
    All,
    /// Those of which at least this share is dead, and something; and those that
    /// may hold what a generation needed that was given up.
    Dead(f64),
}

/// Segments that are rewritten before the first of them is let go: what bounds
/// the space that it takes.
const AT_ONCE: usize = 8;

impl Engine {
    /// Rewrites segments of which at least `dead` (0 to 1) is dead, the open one
    /// too. Writing and answering go on. What snapshots hold stays with them; for
    /// the rest, space returns when the last view of before is let go.
    pub fn compact(&self, dead: f64) -> Result<CompactionReport, IndexError> {
        let _alone = self.maintenance();
        {
            let (standing, open) = (self.standing()?, self.root.manifest().segments);
            let bytes = self.writer()?.log.end().1.offset;
            let open = open.last().cloned();
            let open = open.filter(|entry| standing.is_worth(entry, bytes, dead));
            if open.is_some() {
                self.writer()?.log.roll()?;
            }
        }
        self.compact_alone(Which::Dead(dead))
    }

    /// The same with closed segments alone.
    pub fn compact_closed(&self, dead: f64) -> Result<CompactionReport, IndexError> {
        let _alone = self.maintenance();
        self.compact_alone(Which::Dead(dead))
    }

    /// Whether a closed segment is there of which at least `dead` (0 to 1) is dead,
    /// and `bytes` or more are in closed segments.
    pub fn is_compactable(&self, dead: f64, bytes: u64) -> Result<bool, IndexError> {
        let segments = self.root.manifest().segments;
        let closed = || {
            segments
                .iter()
                .filter_map(|entry| Some((entry, entry.sealed?.bytes)))
        };
        if closed().map(|(_, bytes)| bytes).sum::<u64>() < bytes.max(1) {
            return Ok(false);
        }
        let standing = self.standing()?;
        Ok(closed().any(|(entry, bytes)| standing.is_worth(entry, bytes, dead)))
    }

    /// How much of the closed part of the log is dead, and how long it is.
    pub fn dead_bytes(&self) -> Result<(u64, u64), IndexError> {
        let (segments, catalog, last) = {
            let writer = self.writer()?;
            let catalog = Arc::clone(&writer.serving.projections.catalog);
            (writer.log.segments(), catalog, writer.log.end().0)
        };
        dead_bytes(&self.root.manifest(), &segments, &catalog, last)
    }

    /// What of the log is needed.
    fn standing(&self) -> Result<Standing, IndexError> {
        let (segments, catalog, last) = {
            let writer = self.writer()?;
            let catalog = Arc::clone(&writer.serving.projections.catalog);
            (writer.log.segments(), catalog, writer.log.end().0)
        };
        Ok(Standing {
            live: live_bytes(&segments, &catalog, last)?,
            given_up: self.root.manifest().given_up,
        })
    }

    /// The same, while nothing else changes which files there are.
    pub(super) fn compact_alone(&self, which: Which) -> Result<CompactionReport, IndexError> {
        let standing = self.standing()?;
        let (segments, catalog, serving, generations, fitted) = {
            // Every projection must have followed what is about to be dropped, on
            // the disk: it could not be brought forward over the gap.
            let writer = self.writer_at_checkpoint()?;
            let catalog = Arc::clone(&writer.serving.projections.catalog);
            let entries = self.root.manifest().generations;
            let generations: Vec<_> = entries.iter().map(|entry| entry.number).collect();
            let serving = writer.serving.number;
            let fitted = writer.serving.projections.state.fitted;
            let fitted = fitted.map(|fitted| fitted.place.sequence);
            (writer.log.segments(), catalog, serving, generations, fitted)
        };
        let mut report = CompactionReport {
            bytes_before: segments.bytes(),
            ..CompactionReport::default()
        };
        let is_victim = |segment: &Arc<Segment>| {
            segment.entry.sealed.is_some_and(|sealed| match which {
                Which::All => true,
                Which::Dead(dead) => standing.is_worth(&segment.entry, sealed.bytes, dead),
            })
        };
        // Whether all segments so far were rewritten: nothing is left in them
        // then of what a deletion further on has deleted.
        let mut is_swept = true;
        for neighbours in segments.list.chunk_by(|a, b| is_victim(a) == is_victim(b)) {
            if !is_victim(&neighbours[0]) {
                is_swept = false;
                continue;
            }
            for run in neighbours.chunks(AT_ONCE) {
                let keep = Keep {
                    catalog: &catalog,
                    serving,
                    generations: &generations,
                    // A deletion must outlast what it deletes.
                    deletions: !is_swept,
                    fitted,
                };
                self.rewrite(&segments, run, &keep, standing.given_up, &mut report)?;
            }
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
        given_up: u64,
        report: &mut CompactionReport,
    ) -> Result<(), IndexError> {
        let dir = log_dir(self.root.dir());
        let mut output = Output {
            engine: self,
            dir: &dir,
            writer: None,
            next: run[0].entry.first,
            given_up,
            needed: 0,
            entries: Vec::new(),
            forgotten: Sequence(0),
        };
        let last = run
            .iter()
            .filter_map(|s| s.entry.sealed)
            .map(|s| s.last)
            .max();
        let last = last.unwrap_or_default();
        let written = segments
            .scan_run(run, |logged| keep.record(&logged, &mut output, report))
            .and_then(|()| output.finish(last));
        if let Err(error) = written {
            // On a disk that is full they would keep all others from writing.
            output.discard();
            return Err(error);
        }
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
            let forgotten = output.forgotten;
            let replaced = log.replace(&former, &output.entries, |manifest| {
                manifest.forgotten = manifest.forgotten.max(forgotten);
                // What gave them may have been dropped.
                serving.note_in(manifest);
                if let Some(building) = building {
                    building.note_in(manifest);
                }
            });
            if let Err(error) = replaced {
                // Unless nobody knows which manifest is on the disk.
                if self.root.failure().is_none() {
                    output.discard();
                }
                return Err(error);
            }
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
    serving: GenerationNo,
    generations: &'a [GenerationNo],
    deletions: bool,
    /// What the serving generation's model has learned last.
    fitted: Option<Sequence>,
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
        let newest = match record.id() {
            Some(id) => self.catalog.newest_put(id)?,
            None => None,
        };
        let is_kept = |generation| self.generations.contains(&generation);
        let mut is_stripped = false;
        let mut is_needed = false;
        let counts = match &mut record.change {
            Change::Put(put) => {
                let derived = put.derivation.as_ref().map(|d| d.outline.generation);
                is_stripped = derived.is_some_and(|generation| !is_kept(generation));
                if is_stripped {
                    put.derivation = None;
                }
                is_needed = newest == Some(sequence);
                is_needed
            }
            Change::Derive(derive) => {
                let generation = derive.derivation.outline.generation;
                is_needed = newest == Some(derive.of) && generation == self.serving;
                newest == Some(derive.of) && is_kept(generation)
            }
            Change::Fit(fit) => {
                is_needed = self.fitted == Some(sequence);
                is_kept(fit.generation) && (is_needed || fit.generation != self.serving)
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
        let bytes = if is_stripped {
            super::write::encode(&record)?.0
        } else {
            logged.bytes.to_vec()
        };
        if is_needed {
            output.needed += LENGTH_BYTES + logged.bytes.len() as u64;
        }
        output.add(sequence, bytes)
    }
}

/// The segments that a run becomes.
struct Output<'a> {
    engine: &'a Engine,
    dir: &'a Path,
    writer: Option<SegmentWriter>,
    /// The first write that the next segment may hold.
    next: Sequence,
    /// How often generations had been given up when it was decided what counts.
    given_up: u64,
    /// Bytes of the segment's records that the newest state needs.
    needed: u64,
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
            let begun = writer.entry().clone();
            let entry = writer
                .finish(last)
                .inspect_err(|_| self.entries.push(begun))?;
            let bytes = entry.sealed.map_or(0, |sealed| sealed.bytes);
            self.entries.push(SegmentEntry {
                given_up: self.given_up,
                kept: bytes.saturating_sub(HEADER_BYTES + self.needed),
                ..entry
            });
            self.needed = 0;
            self.next = last.next();
        }
        Ok(())
    }

    fn finish(&mut self, last: Sequence) -> Result<(), IndexError> {
        // Even of a run that is dead as a whole the numbers are accounted for.
        self.open()?;
        self.end_segment(last)
    }

    /// Removes what was written; what is left goes when the collection is opened
    /// again.
    fn discard(self) {
        let begun = self.writer.as_ref().map(SegmentWriter::entry);
        for entry in self.entries.iter().chain(begun) {
            let _ = disk::remove_file(&segment_path(self.dir, entry.number));
        }
    }
}

/// What of the log is needed.
struct Standing {
    /// Bytes of each segment that the newest state needs.
    live: HashMap<u64, u64>,
    /// How often generations were given up.
    given_up: u64,
}

/// How much of the closed segments is dead, and how long they are.
pub(crate) fn dead_bytes(
    manifest: &Manifest,
    segments: &Segments,
    catalog: &Catalog,
    last: Sequence,
) -> Result<(u64, u64), IndexError> {
    let standing = Standing {
        live: live_bytes(segments, catalog, last)?,
        given_up: manifest.given_up,
    };
    let sealed = manifest.segments.iter();
    let sealed = sealed.filter_map(|entry| Some((entry, entry.sealed?.bytes)));
    Ok(sealed.fold((0, 0), |(dead, all), (entry, bytes)| {
        (dead + standing.dead(entry, bytes), all + bytes)
    }))
}

impl Standing {
    /// How much of a segment of so many bytes is dead.
    fn dead(&self, entry: &SegmentEntry, bytes: u64) -> u64 {
        let live = self.live.get(&entry.number).copied().unwrap_or(0);
        let kept = if self.may_hold_more(entry) {
            0
        } else {
            entry.kept
        };
        bytes.saturating_sub(HEADER_BYTES + live + kept)
    }

    /// Whether it was written before a generation was given up.
    fn may_hold_more(&self, entry: &SegmentEntry) -> bool {
        entry.given_up < self.given_up
    }

    fn is_worth(&self, entry: &SegmentEntry, bytes: u64, share: f64) -> bool {
        let dead = self.dead(entry, bytes);
        let all = bytes.saturating_sub(HEADER_BYTES).max(1);
        self.may_hold_more(entry) || (dead > 0 && dead as f64 >= share * all as f64)
    }
}

/// What stands before each record of a commit.
const LENGTH_BYTES: u64 = 4;

/// How many bytes of each segment the newest state of the collection needs.
/// Writes after `last` are passed over: they go on, into segments not known here.
fn live_bytes(
    segments: &Segments,
    catalog: &Catalog,
    last: Sequence,
) -> Result<HashMap<u64, u64>, IndexError> {
    let mut live = HashMap::new();
    let mut add = |place: Place| -> Result<(), IndexError> {
        if place.sequence <= last {
            *live.entry(segments.number_of(&place)?).or_default() += LENGTH_BYTES + place.bytes;
        }
        Ok(())
    };
    if let Some(fitted) = catalog.state()?.fitted {
        add(fitted.place)?;
    }
    catalog.for_each_version(|_, version| {
        add(version.document)?;
        if version.derived.sequence != version.document.sequence {
            add(version.derived)?;
        }
        Ok(())
    })?;
    Ok(live)
}
