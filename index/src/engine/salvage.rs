//! What can be saved of a log that is damaged in its middle?
//!
//! Every segment is read frame by frame; behind a broken frame the next whole
//! one is looked for, byte by byte, by the segment's salt. What is whole is
//! written to a log of its own, with gaps where something was lost, and the
//! damaged files are put aside, not deleted. Opening refuses a damaged log and
//! never does this by itself: a document whose newest version was lost shows
//! an older one again, and nobody but the owner can say whether that is right.

use std::path::{Path, PathBuf};

use cento_core::{GenerationNo, Sequence};
use serde::{Deserialize, Serialize};

use super::snapshot::snapshots_dir;
use crate::IndexError;
use crate::disk::{self, DiskFile, create_dir, sync_dir};
use crate::fault;
use crate::frames::{self, Frame, HEADER_BYTES, Salt};
use crate::log::{FORMAT, SegmentWriter, create_segment, log_dir, next_commit, segment_path};
use crate::log_record::{Change, Record, sequence_of, split};
use crate::manifest::{Epoch, GenerationState, Manifest, SegmentEntry};

/// What was saved of a damaged log, and what was not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SalvageReport {
    /// Records that were saved.
    pub kept: u64,
    /// Places that could not be read.
    pub lost: Vec<LostBytes>,
    /// Writes that are missing, first and last of each gap. What compaction had
    /// dropped before cannot be told from what was lost, and is not counted.
    pub missing: Vec<(Sequence, Sequence)>,
    /// Where the damaged files are now. Delete them when you need them no more.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub put_aside: PathBuf,
}

/// A place of a damaged file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LostBytes {
    /// The file.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub path: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What is wrong there.
    pub reason: String,
}

/// Saves what is whole of a collection's log that nobody has open.
///
/// # Errors
/// [`IndexError::Format`] if a later version has written it: nothing is damaged
/// there. If the disk does not do what it is asked for; then nothing has changed, or
/// salvaging again goes on.
pub(crate) fn salvage(dir: &Path) -> Result<SalvageReport, IndexError> {
    let manifest = manifest_of(dir)?;
    let log = log_dir(dir);
    for segment in &manifest.segments {
        let path = segment_path(&log, segment.number);
        if let Ok(file) = DiskFile::open_to_read(&path)
            && FORMAT.is_later(&file)
        {
            // It would be taken for a file of which nothing is whole.
            FORMAT.check(&file)?;
        }
    }
    let mut next_file = numbers_in(&log)?.into_iter().max().unwrap_or(0) + 1;
    next_file = next_file.max(manifest.next_file);
    let number = next_file;
    let mut saved = Saved {
        writer: SegmentWriter::begin(&log, number, Sequence(1))?,
        last: Sequence(0),
        newest_generation: GenerationNo(0),
        report: SalvageReport {
            kept: 0,
            lost: Vec::new(),
            missing: Vec::new(),
            put_aside: dir.join(DAMAGED).join(next_file.to_string()),
        },
    };
    // What the manifest does not name was never part of the log, unless the
    // manifest itself is lost.
    for segment in &manifest.segments {
        let path = segment_path(&log, segment.number);
        let is_compacted = segment.table.is_some();
        saved.read(&path, Salt(segment.salt), segment.first, is_compacted)?;
    }
    let Saved {
        writer,
        last,
        newest_generation,
        report,
    } = saved;
    let last = manifest.segments.iter().fold(last, |last, segment| {
        last.max(segment.sealed.map_or(last, |sealed| sealed.last))
    });
    let mut entries = vec![writer.finish(last)?];
    let (open, ..) = create_segment(&log, number + 1, last.next())?;
    entries.push(open);
    fault::point("salvage.written");
    // The damaged files get second names before the manifest lets go of them.
    create_dir(&report.put_aside)?;
    for segment in &manifest.segments {
        let from = segment_path(&log, segment.number);
        let to = segment_path(&report.put_aside, segment.number);
        if from.exists() && !to.exists() {
            disk::hard_link(&from, &to)?;
        }
    }
    sync_dir(&report.put_aside)?;
    fault::point("salvage.put_aside");
    let mut mended = manifest;
    mended.revision += 1;
    mended.epoch = Epoch::fresh();
    mended.segments = entries;
    mended.next_file = number + 2;
    // Where an older manifest had to do, newer generations have had numbers.
    let next_generation = GenerationNo(newest_generation.0 + 1);
    mended.next_generation = mended.next_generation.max(next_generation);
    for entry in &mut mended.generations {
        entry.folder = mended.next_file;
        mended.next_file += 1;
    }
    mended.write(dir)?;
    fault::point("salvage.switched");
    Ok(report)
}

/// The folder of damaged files in a collection's.
pub(crate) const DAMAGED: &str = "damaged";

/// The collection's manifest, or where both copies are lost, the newest
/// snapshot's, with every segment that is there.
fn manifest_of(dir: &Path) -> Result<Manifest, IndexError> {
    let error = match Manifest::read_in(dir) {
        Ok(manifest) => return Ok(manifest),
        // Nothing is damaged there.
        Err(error) if Manifest::is_later_in(dir) => return Err(error),
        Err(error) => error,
    };
    let snapshots = disk::list(&snapshots_dir(dir))?;
    let newest = (snapshots.iter())
        .filter_map(|path| Some((path, Manifest::read_in(path).ok()?)))
        .max_by_key(|(_, manifest)| manifest.revision);
    let Some((snapshot, mut manifest)) = newest else {
        return Err(error);
    };
    let log = log_dir(dir);
    for segment in &manifest.segments {
        let path = segment_path(&log, segment.number);
        let kept = segment_path(&log_dir(snapshot), segment.number);
        if !path.exists() && kept.exists() {
            disk::hard_link(&kept, &path)?;
        }
    }
    for number in numbers_in(&log)? {
        if manifest.segments.iter().any(|known| known.number == number) {
            continue;
        }
        let path = segment_path(&log, number);
        // A file without a header of ours holds nothing that can be told apart.
        if let Ok(salt) = DiskFile::open_to_read(&path).and_then(|file| FORMAT.check(&file)) {
            let entry = SegmentEntry::open(number, salt.0, Sequence(0));
            manifest.segments.push(entry);
        }
        manifest.next_file = manifest.next_file.max(number + 1);
    }
    // Not by number: what compaction writes is numbered after what follows it.
    let mut ordered = Vec::new();
    for segment in manifest.segments {
        let first = first_sequence(&segment_path(&log, segment.number), Salt(segment.salt));
        ordered.push((first.unwrap_or(segment.first), segment));
    }
    ordered.sort_by_key(|(first, segment)| (*first, segment.number));
    manifest.segments = ordered.into_iter().map(|(_, segment)| segment).collect();
    manifest
        .generations
        .retain(|entry| entry.state == GenerationState::Serving);
    Ok(manifest)
}

/// The first write of a segment, if its first frame is whole.
fn first_sequence(path: &Path, salt: Salt) -> Option<Sequence> {
    let file = DiskFile::open_to_read(path).ok()?;
    let frame = frames::read(&file, salt, HEADER_BYTES, file.bytes().ok()?).ok()?;
    let Frame::Whole { payload, .. } = frame else {
        return None;
    };
    let records = split(&payload)?;
    sequence_of(records.first()?.1)
}

fn numbers_in(log: &Path) -> Result<Vec<u64>, IndexError> {
    let number = |path: &PathBuf| {
        let is_segment = path.extension().is_some_and(|ending| ending == "log");
        is_segment.then(|| path.file_stem()?.to_str()?.parse().ok())?
    };
    Ok(disk::list(log)?.iter().filter_map(number).collect())
}

/// What has been saved so far.
struct Saved {
    writer: SegmentWriter,
    last: Sequence,
    /// The greatest number that a derivation names.
    newest_generation: GenerationNo,
    report: SalvageReport,
}

/// The generation that a record, or its derivation, was made for; 0 if that is none.
fn generation_of(record: &Record) -> GenerationNo {
    let derivation = match &record.change {
        Change::Put(put) => put.derivation.as_ref(),
        Change::Derive(derive) => Some(&derive.derivation),
        Change::Delete(_) => None,
        Change::Fit(fit) => return fit.generation,
    };
    derivation.map_or(GenerationNo(0), |found| found.outline.generation)
}

impl Saved {
    fn read(
        &mut self,
        path: &Path,
        salt: Salt,
        first: Sequence,
        is_compacted: bool,
    ) -> Result<(), IndexError> {
        if !path.exists() {
            self.lose(path, 0, 0, "the segment is missing");
            return Ok(());
        }
        let file = DiskFile::open_to_read(path)?;
        let bytes = file.bytes()?;
        // Gaps of a compacted segment are compaction's.
        if is_compacted && first > self.last {
            self.last = Sequence(first.0.saturating_sub(1));
        }
        let mut offset = HEADER_BYTES;
        let mut whole = None;
        loop {
            match frames::read(&file, salt, offset, bytes)? {
                Frame::Whole { payload, end } => {
                    self.keep(path, offset, &payload, is_compacted)?;
                    offset = end;
                }
                Frame::End => return Ok(()),
                Frame::Broken(reason) => {
                    // Read once, however often it is broken.
                    let whole = match &whole {
                        Some(whole) => whole,
                        None => whole.insert(file.read_range(0, bytes)?),
                    };
                    let rest = &whole[usize::try_from(offset).unwrap_or(usize::MAX)..];
                    let lost = next_commit(salt, rest).unwrap_or(rest.len()) as u64;
                    self.lose(path, offset, lost, reason);
                    offset += lost;
                }
            }
        }
    }

    fn keep(
        &mut self,
        path: &Path,
        offset: u64,
        payload: &[u8],
        is_compacted: bool,
    ) -> Result<(), IndexError> {
        let Some(records) = split(payload) else {
            // A compacted segment's table: it is made anew.
            return Ok(());
        };
        for (_, record) in records {
            let decoded = Record::decode(record);
            if let Some((record, _)) = &decoded {
                self.newest_generation = self.newest_generation.max(generation_of(record));
            }
            match sequence_of(record) {
                Some(sequence) if sequence > self.last && decoded.is_some() => {
                    if !is_compacted && sequence > self.last.next() {
                        let before = Sequence(sequence.0 - 1);
                        self.report.missing.push((self.last.next(), before));
                    }
                    self.writer.add(sequence, record.to_vec())?;
                    self.last = sequence;
                    self.report.kept += 1;
                }
                _ => self.lose(path, offset, record.len() as u64, "a record is none"),
            }
        }
        Ok(())
    }

    fn lose(&mut self, path: &Path, offset: u64, bytes: u64, reason: &str) {
        self.report.lost.push(LostBytes {
            path: path.to_owned(),
            offset,
            bytes,
            reason: reason.to_owned(),
        });
    }
}
