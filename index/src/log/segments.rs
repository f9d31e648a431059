//! Which segments is the log made of, and how is a record found in them?
//!
//! A set of segments is never changed: rolling and compacting make another
//! one. A view holds the set of its time, so that what it names stays readable
//! even after compaction has taken the files' names away.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cento_core::Sequence;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use crate::IndexError;
use crate::disk::DiskFile;
use crate::frames::{self, FRAME_HEAD_BYTES, Frame, HEADER_BYTES, Salt};
use crate::log_record::{sequence_of, split};
use crate::manifest::{Manifest, Sealed, SegmentEntry};

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Number of the segment, from 1.
    pub(crate) segment: u64,
    /// Byte in the segment's file.
    pub(crate) offset: u64,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The record's number, by which it is found again after compaction.
    pub(crate) sequence: Sequence,
    /// Where it was written first.
    pub(crate) position: Position,
    /// Its length then; compaction may have taken its derivation away.
    pub(crate) bytes: u64,
}

/// A record as a scan of the log meets it.
pub(crate) struct Logged<'a> {
    pub(crate) place: Place,
    pub(crate) bytes: &'a [u8],
    /// Where replay goes on once this record has been applied: before its
    /// commit, unless it is the commit's last.
    pub(crate) resume: Position,
}

/// One file of the log.
pub(crate) struct Segment {
    pub(crate) entry: SegmentEntry,
    pub(crate) file: DiskFile,
    pub(crate) salt: Salt,
    /// Where each record of a compacted segment begins, by sequence.
    table: Option<Vec<(Sequence, u64)>>,
}

/// A table's payload begins with this, where a commit has its count.
const TABLE_MARK: [u8; 4] = [0xFF; 4];

impl Segment {
    /// Opens a segment that the manifest names.
    pub(crate) fn open(dir: &Path, entry: &SegmentEntry) -> Result<Self, IndexError> {
        let path = segment_path(dir, entry.number);
        if !path.exists() {
            return Err(damage(&path, 0, "the segment is missing"));
        }
        let file = if entry.sealed.is_some() {
            DiskFile::open_to_read(&path)?
        } else {
            DiskFile::open(&path)?
        };
        let salt = FORMAT.check(&file)?;
        if salt.0 != entry.salt {
            return Err(damage(&path, 0, "it is a segment of another log"));
        }
        let bytes = file.bytes()?;
        if let Some(sealed) = entry.sealed
            && sealed.bytes != bytes
        {
            let reason = format!("it has {bytes} bytes and should have {}", sealed.bytes);
            return Err(damage(&path, bytes.min(sealed.bytes), &reason));
        }
        let mut segment = Self {
            entry: entry.clone(),
            file,
            salt,
            table: None,
        };
        if let Some(at) = entry.table {
            let table = match frames::read(&segment.file, salt, at, bytes)? {
                Frame::Whole { payload, end } if end == bytes => decode_table(&payload),
                _ => None,
            };
            let unreadable = || damage(&path, at, "its table of records cannot be read");
            segment.table = Some(table.ok_or_else(unreadable)?);
        }
        Ok(segment)
    }

    /// One that has just been made.
    pub(crate) fn new(entry: SegmentEntry, file: DiskFile, salt: Salt) -> Self {
        Self {
            entry,
            file,
            salt,
            table: None,
        }
    }

    /// How many bytes hold commits; `None` while it is being written to.
    fn commits_end(&self) -> Option<u64> {
        (self.entry.table).or(self.entry.sealed.map(|sealed| sealed.bytes))
    }

    /// Where the record of a sequence begins, in a compacted segment.
    fn record_at(&self, sequence: Sequence) -> Option<u64> {
        let table = self.table.as_ref()?;
        let row = table.binary_search_by_key(&sequence, |row| row.0).ok()?;
        Some(table[row].1)
    }

    /// The same segment, closed.
    pub(crate) fn sealed(&self, dir: &Path, sealed: Sealed) -> Result<Self, IndexError> {
        let path = segment_path(dir, self.entry.number);
        Ok(Self {
            entry: SegmentEntry {
                sealed: Some(sealed),
                ..self.entry.clone()
            },
            file: DiskFile::open_to_read(&path)?,
            salt: self.salt,
            table: self.table.clone(),
        })
    }
}

/// The payload of the frame that ends a compacted segment.
pub(crate) fn encode_table(table: &[(Sequence, u64)]) -> Vec<u8> {
    let mut payload = TABLE_MARK.to_vec();
    for (sequence, offset) in table {
        payload.extend_from_slice(&sequence.0.to_le_bytes());
        payload.extend_from_slice(&offset.to_le_bytes());
    }
    payload
}

fn decode_table(payload: &[u8]) -> Option<Vec<(Sequence, u64)>> {
    let (rows, rest) = payload.strip_prefix(&TABLE_MARK)?.as_chunks::<16>();
    let word = |bytes: &[u8]| {
        bytes
            .first_chunk::<8>()
            .map_or(0, |w| u64::from_le_bytes(*w))
    };
    let rows = rows
        .iter()
        .map(|row| (Sequence(word(row)), word(&row[8..])));
    rest.is_empty().then(|| rows.collect())
}

/// The segments of a log, in order.
pub(crate) struct Segments {
    pub(crate) dir: PathBuf,
    pub(crate) list: Vec<Arc<Segment>>,
}

/// How a scan ended.
pub(crate) struct ScanEnd {
    /// Where the whole commits end.
    pub(crate) position: Position,
    /// The last record accounted for.
    pub(crate) last: Option<Sequence>,
    /// What is wrong with the bytes behind them, if there are any.
    pub(crate) broken: Option<&'static str>,
}

impl Segments {
    /// Opens the segments that a folder's manifest names.
    pub(crate) fn open(collection: &Path, manifest: &Manifest) -> Result<Self, IndexError> {
        let dir = super::log_dir(collection);
        let list = (manifest.segments.iter())
            .map(|entry| Segment::open(&dir, entry).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { dir, list })
    }

    /// The length of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let lengths = self
            .list
            .iter()
            .filter_map(|segment| segment.file.bytes().ok());
        lengths.sum()
    }

    /// The number of the segment in which a record is now.
    pub(crate) fn number_of(&self, place: &Place) -> Result<u64, IndexError> {
        Ok(self.find(place)?.0.entry.number)
    }

    /// Reads part of a record: `bytes` bytes from `from` on.
    pub(crate) fn read(
        &self,
        place: &Place,
        from: u64,
        bytes: usize,
    ) -> Result<Vec<u8>, IndexError> {
        let (segment, offset) = self.find(place)?;
        let begin = offset + from;
        let end = begin.saturating_add(bytes as u64);
        // Before anything is allocated: a damaged length is not believed.
        if segment.file.bytes()? < end {
            return Err(self.damaged(place, "a record runs past the end of its segment"));
        }
        let mut buffer = vec![0; bytes];
        segment.file.read_exact_at(&mut buffer, begin)?;
        Ok(buffer)
    }

    /// Reads a whole record.
    pub(crate) fn record(&self, place: &Place) -> Result<Vec<u8>, IndexError> {
        let (segment, offset) = self.find(place)?;
        // Its length stands before it; it may be shorter than it was.
        let mut length = [0; 4];
        segment.file.read_exact_at(&mut length, offset - 4)?;
        self.read(place, 0, u32::from_le_bytes(length) as usize)
    }

    /// The segment that holds a record, and where it begins there.
    fn find(&self, place: &Place) -> Result<(&Segment, u64), IndexError> {
        let by_number = |segment: &&Arc<Segment>| segment.entry.number == place.position.segment;
        if let Some(segment) = self.list.iter().find(by_number) {
            return Ok((segment, place.position.offset));
        }
        let after = self
            .list
            .partition_point(|segment| segment.entry.first <= place.sequence);
        let segment = after.checked_sub(1).and_then(|i| self.list.get(i));
        let found = segment.and_then(|s| Some((s.as_ref(), s.record_at(place.sequence)?)));
        found.ok_or_else(|| self.damaged(place, "a record that a projection names is not there"))
    }

    /// An error that names a damaged place.
    pub(crate) fn damaged(&self, place: &Place, reason: &str) -> IndexError {
        self.damaged_at(place.position, reason)
    }

    /// An error that names a damaged place.
    pub(crate) fn damaged_at(&self, at: Position, reason: &str) -> IndexError {
        damage(&segment_path(&self.dir, at.segment), at.offset, reason)
    }

    /// Where a scan begins that is to meet every record after `sequence`:
    /// at `hint` if that is a place in this log, else at a segment's beginning.
    pub(crate) fn start_after(&self, sequence: Sequence, hint: Position) -> Position {
        let hinted = (self.list.iter()).find(|segment| segment.entry.number == hint.segment);
        if let Some(segment) = hinted
            && hint.offset >= HEADER_BYTES
            && self.begins_after(segment, hint.offset, sequence)
        {
            return hint;
        }
        let next = sequence.next();
        let holds = |segment: &&Arc<Segment>| {
            (segment.entry.sealed).is_none_or(|sealed| sealed.last >= next)
        };
        let segment = self.list.iter().find(holds).or(self.list.last());
        Position {
            segment: segment.map_or(0, |segment| segment.entry.number),
            offset: HEADER_BYTES,
        }
    }

    /// Whether a commit stands at an offset that begins at or before the record
    /// after `sequence`, or the segment's commits end there.
    fn begins_after(&self, segment: &Segment, offset: u64, sequence: Sequence) -> bool {
        let Ok(bytes) = segment.file.bytes() else {
            return false;
        };
        let end = segment.commits_end().unwrap_or(bytes);
        if offset == end {
            return true;
        }
        match frames::read(&segment.file, segment.salt, offset, end) {
            Ok(Frame::Whole { payload, .. }) => split(&payload)
                .and_then(|records| sequence_of(records.first()?.1))
                .is_some_and(|first| first <= sequence.next() || segment.table.is_some()),
            // Not even a torn tail is judged from a place that may be no boundary.
            _ => false,
        }
    }

    /// Reads every record from a position on, in order, checking every
    /// checksum and that none is missing.
    pub(crate) fn scan(
        &self,
        from: Position,
        mut visit: impl FnMut(Logged<'_>) -> Result<(), IndexError>,
    ) -> Result<ScanEnd, IndexError> {
        let begin = (self.list.iter()).position(|segment| segment.entry.number == from.segment);
        let mut end = ScanEnd {
            position: from,
            last: None,
            broken: None,
        };
        for segment in self.list.iter().skip(begin.unwrap_or(0)) {
            let is_first = segment.entry.number == from.segment;
            if !is_first || from.offset < HEADER_BYTES {
                end.position = Position {
                    segment: segment.entry.number,
                    offset: HEADER_BYTES,
                };
            }
            if end.position.offset == HEADER_BYTES && end.last.is_none() {
                // Whatever stood before is accounted for.
                end.last = Some(Sequence(segment.entry.first.0.saturating_sub(1)));
            }
            self.scan_segment(segment, &mut end, &mut visit)?;
            if end.broken.is_some() {
                break;
            }
        }
        Ok(end)
    }

    /// Reads every record of some closed segments that follow one another.
    pub(crate) fn scan_run(
        &self,
        run: &[Arc<Segment>],
        mut visit: impl FnMut(Logged<'_>) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut end = ScanEnd {
            position: Position::default(),
            last: None,
            broken: None,
        };
        for segment in run {
            end.position = Position {
                segment: segment.entry.number,
                offset: HEADER_BYTES,
            };
            end.last = Some(Sequence(segment.entry.first.0.saturating_sub(1)));
            self.scan_segment(segment, &mut end, &mut visit)?;
        }
        Ok(())
    }

    /// Reads every record of the open segment up to where commits ended at a
    /// moment.
    pub(crate) fn scan_open(
        &self,
        segment: &Segment,
        until: Position,
        mut visit: impl FnMut(Logged<'_>) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let position = Position {
            segment: segment.entry.number,
            offset: HEADER_BYTES,
        };
        let mut end = ScanEnd {
            position,
            last: Some(Sequence(segment.entry.first.0.saturating_sub(1))),
            broken: None,
        };
        self.scan_segment(segment, &mut end, &mut visit)?;
        match end.broken {
            Some(reason) if end.position.offset < until.offset => {
                Err(self.damaged_at(end.position, reason))
            }
            _ => Ok(()),
        }
    }

    fn scan_segment(
        &self,
        segment: &Segment,
        end: &mut ScanEnd,
        visit: &mut impl FnMut(Logged<'_>) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let number = segment.entry.number;
        let at = |offset| Position {
            segment: number,
            offset,
        };
        let commits_end = match segment.commits_end() {
            Some(end) => end,
            None => segment.file.bytes()?,
        };
        loop {
            let begin = end.position;
            match frames::read(&segment.file, segment.salt, begin.offset, commits_end)? {
                Frame::Whole { payload, end: next } => {
                    let records = split(&payload).ok_or_else(|| {
                        self.damaged_at(begin, "a commit with a right checksum cannot be split")
                    })?;
                    let count = records.len();
                    for (i, (offset, bytes)) in records.into_iter().enumerate() {
                        let sequence = sequence_of(bytes).ok_or_else(|| {
                            self.damaged_at(begin, "a record is too short for its number")
                        })?;
                        self.check_order(segment, end.last, sequence, begin)?;
                        end.last = Some(sequence);
                        visit(Logged {
                            place: Place {
                                sequence,
                                position: at(begin.offset + FRAME_HEAD_BYTES + offset),
                                bytes: bytes.len() as u64,
                            },
                            bytes,
                            resume: if i + 1 == count { at(next) } else { begin },
                        })?;
                    }
                    end.position = at(next);
                }
                Frame::End => break,
                Frame::Broken(reason) if segment.entry.sealed.is_none() => {
                    end.broken = Some(reason);
                    return Ok(());
                }
                Frame::Broken(reason) => {
                    return Err(self.damaged_at(begin, &format!("{reason}, in a closed segment")));
                }
            }
        }
        if let Some(sealed) = segment.entry.sealed {
            // Compaction may have dropped the last ones of its segment.
            let is_whole = segment.table.is_some() || end.last.is_none_or(|l| l == sealed.last);
            if !is_whole {
                return Err(self.damaged_at(end.position, "writes are missing at its end"));
            }
            end.last = Some(sealed.last);
        }
        Ok(())
    }

    /// Records are numbered without a gap, except where compaction dropped
    /// some: one that is missing is damage, even where every frame is whole.
    fn check_order(
        &self,
        segment: &Segment,
        last: Option<Sequence>,
        sequence: Sequence,
        at: Position,
    ) -> Result<(), IndexError> {
        let in_order = match last {
            Some(last) if segment.table.is_some() => sequence > last,
            Some(last) => sequence == last.next(),
            None => sequence >= segment.entry.first,
        };
        let in_bounds = (segment.entry.sealed).is_none_or(|sealed| sequence <= sealed.last);
        if in_order && in_bounds {
            Ok(())
        } else {
            Err(self.damaged_at(at, "writes are missing before this commit"))
        }
    }
}

/// The file of a segment.
pub(crate) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

pub(crate) fn damage(path: &Path, offset: u64, reason: &str) -> IndexError {
    IndexError::LogDamaged {
        path: path.to_owned(),
        offset,
        reason: reason.to_owned(),
    }
}
