//! What was written, in which order, and what of it survives a crash?
//!
//! The log is the single commit point. A commit is one frame (`frames.rs`) in
//! the newest segment file; it is acknowledged only after `fdatasync`. The next
//! commit is written only then, so after a crash only the very last frame can
//! be incomplete: it was never acknowledged, and opening cuts it off. A broken
//! frame with a whole commit behind it, or one that a projection has already
//! followed, is damage, and is refused with its place.

mod segment_writer;
pub(crate) mod segments;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use cento_core::Sequence;

use crate::applied::Applied;
use crate::disk::{self, DiskFile};
use crate::frames::{self, FRAME_HEAD_BYTES, Format, HEADER_BYTES, Salt};
use crate::log_record::{join, split};
use crate::manifest::{Manifest, Root, Sealed, SegmentEntry};
use crate::{IndexError, fault};
pub(crate) use segment_writer::SegmentWriter;
pub(crate) use segments::{Logged, Place, Position, Segments, segment_path};
use segments::{Segment, damage};

pub(crate) const FORMAT: Format = Format {
    kind: b"centolog",
    version: 2,
};

/// The append-only log of one collection.
pub(crate) struct Log {
    root: Arc<Root>,
    segments: ArcSwap<Segments>,
    segment_bytes: u64,
    tail: Mutex<Tail>,
}

struct Tail {
    segment: Arc<Segment>,
    offset: u64,
    last: Sequence,
    /// Why nothing more may be appended: after a failed sync nobody knows what
    /// is on the disk, so only reopening can tell.
    failure: Option<String>,
}

/// A commit that is on the disk.
pub(crate) struct Appended {
    /// Where each record is.
    pub(crate) places: Vec<Place>,
    /// Where the commit begins.
    pub(crate) begin: Position,
    /// Where the next one will.
    pub(crate) end: Position,
}

/// The log's folder in a collection's.
pub(crate) fn log_dir(collection: &Path) -> PathBuf {
    collection.join("log")
}

impl Log {
    /// Makes the first segment of a log that has none, after a last write.
    pub(crate) fn begin(root: &Root, last: Sequence) -> Result<(), IndexError> {
        let dir = log_dir(root.dir());
        disk::create_dir(&dir)?;
        let entry = create_segment(&dir, root.take_file(), last.next())?.0;
        fault::point("log.first_segment_created");
        root.update(|manifest| manifest.segments.push(entry))
    }

    /// Opens the segments that the manifest names. Nothing may be appended
    /// before [`Log::recover`] has found the end.
    pub(crate) fn open(root: Arc<Root>, segment_bytes: u64) -> Result<Self, IndexError> {
        let manifest = root.manifest();
        Self::over(root, &manifest, segment_bytes)
    }

    /// Opens the segments of a manifest that may not be in force yet.
    pub(crate) fn over(
        root: Arc<Root>,
        manifest: &Manifest,
        segment_bytes: u64,
    ) -> Result<Self, IndexError> {
        let dir = log_dir(root.dir());
        let list = (manifest.segments.iter())
            .map(|entry| Segment::open(&dir, entry).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let is_open = |segment: &&Arc<Segment>| segment.entry.sealed.is_none();
        let Some(newest) = list.last().filter(is_open).map(Arc::clone) else {
            return Err(damage(&dir, 0, "its manifest names no open segment"));
        };
        let gap = list.windows(2).find(|pair| {
            let sealed = pair[0].entry.sealed;
            sealed.is_none_or(|sealed| sealed.last.next() != pair[1].entry.first)
        });
        if let Some(pair) = gap {
            let path = segment_path(&dir, pair[1].entry.number);
            return Err(damage(&path, 0, "writes are missing before this segment"));
        }
        Ok(Self {
            tail: Mutex::new(Tail {
                segment: newest,
                offset: HEADER_BYTES,
                last: Sequence(0),
                failure: Some("the log's end has not been looked for yet".to_owned()),
            }),
            segments: ArcSwap::from_pointee(Segments { dir, list }),
            segment_bytes,
            root,
        })
    }

    /// The segments as they stand.
    pub(crate) fn segments(&self) -> Arc<Segments> {
        self.segments.load_full()
    }

    /// Reads every record that comes after `from`, and maybe some before, cuts
    /// off a torn tail, and makes the log ready for appending. Returns how many
    /// bytes of an unacknowledged commit were cut off.
    ///
    /// `acknowledged` is a write that is known to have been on the disk, because
    /// a projection holds it: a log that ends before it is damaged.
    pub(crate) fn recover(
        &self,
        from: Applied,
        acknowledged: Sequence,
        visit: impl FnMut(Logged<'_>) -> Result<(), IndexError>,
    ) -> Result<u64, IndexError> {
        let segments = self.segments();
        // Whoever wrote the last commit may have been killed before it was
        // durable. It is believed now, so the power must not take it any more.
        let settled = self.tail().segment.file.sync_data();
        let start = segments.start_after(from.sequence, from.position);
        let end = segments.scan(start, visit)?;
        let last = match end.last {
            Some(last) => last,
            // Nothing follows the place that was asked for.
            None => from.sequence,
        };
        if last < acknowledged {
            let reason = format!(
                "the log ends at write {last}, but {acknowledged} was acknowledged: {}",
                end.broken.unwrap_or("the file is too short")
            );
            return Err(segments.damaged_at(end.position, &reason));
        }
        let mut tail = self.tail();
        let file = &tail.segment.file;
        let mut cut = 0;
        if let Some(reason) = end.broken {
            let bytes = file.bytes()?;
            let rest = file.read_range(end.position.offset, bytes)?;
            if next_commit(tail.segment.salt, &rest).is_some() {
                let reason = format!("{reason}, and whole commits follow it");
                return Err(segments.damaged_at(end.position, &reason));
            }
            fault::point("log.tail_found_torn");
            file.set_bytes(end.position.offset)?;
            file.sync_data()?;
            fault::point("log.tail_cut");
            cut = bytes - end.position.offset;
        }
        tail.offset = end.position.offset;
        tail.last = last;
        tail.failure = settled.err().map(|error| error.to_string());
        Ok(cut)
    }

    /// The last write, whether it still stands in the log or not, and where the
    /// next commit will begin.
    pub(crate) fn end(&self) -> (Sequence, Position) {
        let tail = self.tail();
        let position = Position {
            segment: tail.segment.entry.number,
            offset: tail.offset,
        };
        (tail.last, position)
    }

    /// Appends one commit and waits until it is on the disk. The records'
    /// numbers follow the last one without a gap; `last` is the greatest.
    pub(crate) fn append(
        &self,
        records: &[Vec<u8>],
        last: Sequence,
    ) -> Result<Appended, IndexError> {
        let mut tail = self.tail();
        if let Some(reason) = &tail.failure {
            return Err(IndexError::WriterStopped {
                reason: reason.clone(),
            });
        }
        if tail.offset > self.segment_bytes {
            self.roll_tail(&mut tail)?;
        }
        let (payload, offsets) = join(records);
        let frame = frames::encode(tail.segment.salt, &payload);
        let begin = Position {
            segment: tail.segment.entry.number,
            offset: tail.offset,
        };
        fault::point("log.before_write");
        let file = &tail.segment.file;
        if let Err(error) = file.write_all_at(&frame, begin.offset) {
            // A full disk, most likely: cut off what may have been written, so
            // that the next append finds the log as it was.
            let undone = file.set_bytes(begin.offset).and_then(|()| file.sync_data());
            if undone.is_err() {
                tail.failure = Some(error.to_string());
            }
            return Err(error);
        }
        fault::point("log.written");
        if let Err(error) = file.sync_data() {
            // Nobody knows what is on the disk now; only opening anew can tell.
            // It would read the commit from memory, where it stands as if it
            // had been written: cut off, it is nowhere but perhaps on the disk.
            let _ = file.set_bytes(begin.offset);
            tail.failure = Some(error.to_string());
            return Err(error);
        }
        fault::point("log.synced");
        let first = Sequence(last.0 + 1 - records.len() as u64);
        let places = offsets.iter().zip(records).enumerate();
        let places = places.map(|(i, (offset, record))| Place {
            sequence: Sequence(first.0 + i as u64),
            position: Position {
                offset: begin.offset + FRAME_HEAD_BYTES + offset,
                ..begin
            },
            bytes: record.len() as u64,
        });
        let end = Position {
            offset: begin.offset + frame.len() as u64,
            ..begin
        };
        let appended = Appended {
            places: places.collect(),
            begin,
            end,
        };
        tail.offset = end.offset;
        tail.last = last;
        Ok(appended)
    }

    /// Closes the open segment and begins another, unless it is empty.
    pub(crate) fn roll(&self) -> Result<(), IndexError> {
        let mut tail = self.tail();
        if let Some(reason) = &tail.failure {
            return Err(IndexError::WriterStopped {
                reason: reason.clone(),
            });
        }
        if tail.offset > HEADER_BYTES {
            self.roll_tail(&mut tail)?;
        }
        Ok(())
    }

    fn roll_tail(&self, tail: &mut Tail) -> Result<(), IndexError> {
        let segments = self.segments();
        let dir = segments.dir.clone();
        let sealed = Sealed {
            last: tail.last,
            bytes: tail.offset,
        };
        let number = self.root.take_file();
        let closed = Arc::new(tail.segment.sealed(&dir, sealed)?);
        let (entry, file, salt) = create_segment(&dir, number, tail.last.next())?;
        fault::point("log.next_segment_created");
        let updated = self.root.update(|manifest| {
            if let Some(open) = manifest.segments.last_mut() {
                open.sealed = Some(sealed);
            }
            let given_up = manifest.given_up;
            manifest.segments.push(SegmentEntry {
                given_up,
                ..entry.clone()
            });
        });
        // Where that failed the file stays: the manifest on the disk may name it.
        updated?;
        let fresh = Arc::new(Segment::new(entry, file, salt));
        let mut list = segments.list.clone();
        list.pop();
        list.push(closed);
        list.push(Arc::clone(&fresh));
        self.segments.store(Arc::new(Segments { dir, list }));
        tail.segment = fresh;
        tail.offset = HEADER_BYTES;
        Ok(())
    }

    /// Takes other segments into use for some that are closed: what compaction
    /// wrote, already synced. The manifest changes in the same moment, with what
    /// `also` changes of it.
    pub(crate) fn replace(
        &self,
        former: &[u64],
        fresh: &[SegmentEntry],
        also: impl FnOnce(&mut Manifest),
    ) -> Result<(), IndexError> {
        // Held so that no roll comes between.
        let _tail = self.tail();
        let segments = self.segments();
        let replaced = |entries: &[SegmentEntry]| {
            let at = entries.iter().position(|e| former.contains(&e.number));
            let mut kept: Vec<SegmentEntry> = entries.to_vec();
            kept.retain(|entry| !former.contains(&entry.number));
            let at = at.unwrap_or(0);
            kept.splice(at..at, fresh.iter().cloned());
            kept
        };
        let opened = (fresh.iter())
            .map(|entry| Segment::open(&segments.dir, entry).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        self.root.update(|manifest| {
            manifest.segments = replaced(&manifest.segments);
            also(manifest);
        })?;
        let mut list = segments.list.clone();
        let at = (list.iter()).position(|s| former.contains(&s.entry.number));
        list.retain(|segment| !former.contains(&segment.entry.number));
        let at = at.unwrap_or(0);
        list.splice(at..at, opened);
        let dir = segments.dir.clone();
        self.segments.store(Arc::new(Segments { dir, list }));
        Ok(())
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes what the manifest does not name: leftovers of a crash.
pub(crate) fn remove_strays(dir: &Path, manifest: &Manifest) -> Result<(), IndexError> {
    let named: Vec<PathBuf> = (manifest.segments.iter())
        .map(|entry| segment_path(dir, entry.number))
        .collect();
    for path in disk::list(dir)? {
        if !named.contains(&path) {
            disk::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Makes an empty segment whose name and header are on the disk.
pub(crate) fn create_segment(
    dir: &Path,
    number: u64,
    first: Sequence,
) -> Result<(SegmentEntry, DiskFile, Salt), IndexError> {
    let file = DiskFile::create(&segment_path(dir, number))?;
    let salt = FORMAT.begin(&file)?;
    file.sync_data()?;
    disk::sync_dir(dir)?;
    let entry = SegmentEntry::open(number, salt.0, first);
    Ok((entry, file, salt))
}

/// Where the next whole commit begins in the bytes that a broken frame begins, if
/// one does.
pub(crate) fn next_commit(salt: Salt, rest: &[u8]) -> Option<usize> {
    // The shape is looked at first: it is far cheaper than the checksum.
    let is_commit = |payload: &[u8]| split(payload).is_some_and(|records| !records.is_empty());
    (1..rest.len()).find(|&start| frames::decode(salt, &rest[start..], is_commit).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CollectionSettings;
    use std::fs;

    /// A record as far as the log looks at it.
    fn record(sequence: u64, text: &str) -> Vec<u8> {
        let mut bytes = vec![2];
        bytes.extend_from_slice(&sequence.to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    struct Bench {
        dir: tempfile::TempDir,
    }

    impl Bench {
        fn new(texts: &[&str]) -> (Self, Vec<Position>) {
            let dir = tempfile::tempdir().unwrap();
            let manifest = Manifest::new(&CollectionSettings::for_tests());
            let root = Root::create(dir.path(), manifest).unwrap();
            Log::begin(&root, Sequence(0)).unwrap();
            let bench = Self { dir };
            let (_, _, log) = bench.read().unwrap();
            let ends = (1..).zip(texts).map(|(n, text)| {
                let appended = log.append(&[record(n, text)], Sequence(n)).unwrap();
                appended.end
            });
            let ends = ends.collect();
            (bench, ends)
        }

        fn open(&self) -> Result<Log, IndexError> {
            Log::open(Arc::new(Root::open(self.dir.path())?), 1 << 20)
        }

        fn read(&self) -> Result<(Vec<String>, u64, Log), IndexError> {
            self.read_after(Applied::default(), Sequence(0))
        }

        fn read_after(
            &self,
            from: Applied,
            acknowledged: Sequence,
        ) -> Result<(Vec<String>, u64, Log), IndexError> {
            let log = self.open()?;
            let mut texts = Vec::new();
            let cut = log.recover(from, acknowledged, |logged| {
                texts.push(String::from_utf8(logged.bytes[9..].to_vec()).unwrap());
                Ok(())
            })?;
            Ok((texts, cut, log))
        }

        fn segment(&self) -> PathBuf {
            let manifest = Root::open(self.dir.path()).unwrap().manifest();
            segment_path(&log_dir(self.dir.path()), manifest.segments[0].number)
        }
    }

    #[test]
    fn commits_are_read_again_in_order() {
        let (bench, _) = Bench::new(&["one", "two"]);
        let (_, _, log) = bench.read().unwrap();
        log.append(&[record(3, "three")], Sequence(3)).unwrap();
        let (texts, cut, _) = bench.read().unwrap();
        assert_eq!(texts, ["one", "two", "three"]);
        assert_eq!(cut, 0);
    }

    #[test]
    fn a_tail_torn_anywhere_is_cut_and_writing_goes_on() {
        let (bench, ends) = Bench::new(&["one", "two"]);
        let whole = fs::read(bench.segment()).unwrap();
        for length in ends[0].offset + 1..ends[1].offset {
            fs::write(bench.segment(), &whole[..length as usize]).unwrap();
            let (texts, cut, log) = bench.read().unwrap();
            assert_eq!(texts, ["one"]);
            assert_eq!(cut, length - ends[0].offset);
            log.append(&[record(2, "again")], Sequence(2)).unwrap();
            assert_eq!(bench.read().unwrap().0, ["one", "again"]);
        }
    }

    #[test]
    fn a_torn_tail_that_a_projection_holds_is_damage() {
        let (bench, ends) = Bench::new(&["one", "two"]);
        let whole = fs::read(bench.segment()).unwrap();
        fs::write(bench.segment(), &whole[..whole.len() - 1]).unwrap();
        match bench.read_after(Applied::default(), Sequence(2)) {
            Err(IndexError::LogDamaged { offset, .. }) => assert_eq!(offset, ends[0].offset),
            other => panic!("{:?}", other.map(|(texts, ..)| texts)),
        }
        assert_eq!(fs::read(bench.segment()).unwrap().len(), whole.len() - 1);
    }

    #[test]
    fn a_torn_commit_whose_text_spells_a_commit_is_cut() {
        let (bench, ends) = Bench::new(&["one"]);
        let inner = frames::encode(Salt(1), &join(&[record(9, "inner")]).0);
        let (_, _, log) = bench.read().unwrap();
        let mut outer = record(2, "");
        outer.extend_from_slice(&inner);
        outer.extend_from_slice(&[0; 20]);
        log.append(&[outer], Sequence(2)).unwrap();
        let whole = fs::read(bench.segment()).unwrap();
        fs::write(bench.segment(), &whole[..whole.len() - 3]).unwrap();
        let (texts, cut, _) = bench.read().unwrap();
        assert_eq!(texts, ["one"]);
        assert_eq!(cut, whole.len() as u64 - 3 - ends[0].offset);
    }

    #[test]
    fn damage_before_a_whole_commit_is_refused_with_its_place() {
        let (bench, ends) = Bench::new(&["one", "two", "three"]);
        let whole = fs::read(bench.segment()).unwrap();
        for byte in ends[0].offset..ends[1].offset {
            let mut bad = whole.clone();
            bad[byte as usize] ^= 0x40;
            fs::write(bench.segment(), &bad).unwrap();
            match bench.read() {
                Err(IndexError::LogDamaged { offset, .. }) => assert_eq!(offset, ends[0].offset),
                other => panic!("byte {byte}: {:?}", other.map(|(texts, ..)| texts)),
            }
            assert_eq!(fs::read(bench.segment()).unwrap(), bad, "nothing was cut");
        }
    }

    #[test]
    fn replay_begins_where_it_is_told() {
        let (bench, ends) = Bench::new(&["one", "two", "three"]);
        let applied = |sequence, position| Applied {
            sequence: Sequence(sequence),
            position,
            ..Applied::default()
        };
        let texts = |from| bench.read_after(from, Sequence(0)).unwrap().0;
        assert_eq!(texts(applied(1, ends[0])), ["two", "three"]);
        assert_eq!(texts(applied(3, ends[2])), [] as [&str; 0]);
        // A place that is none: the beginning of the segment.
        let astray = Position {
            offset: ends[0].offset + 1,
            ..ends[0]
        };
        let sealed = Position {
            segment: 77,
            offset: 24,
        };
        for place in [astray, sealed, Position::default()] {
            assert_eq!(texts(applied(1, place)), ["one", "two", "three"]);
        }
    }

    #[test]
    fn rolled_segments_are_read_as_one_log_and_a_missing_one_is_damage() {
        let (bench, _) = Bench::new(&["one", "two"]);
        let (_, _, log) = bench.read().unwrap();
        log.roll().unwrap();
        log.roll().unwrap();
        log.append(&[record(3, "three")], Sequence(3)).unwrap();
        let segments = Root::open(bench.dir.path()).unwrap().manifest().segments;
        assert_eq!(segments.len(), 2, "an empty segment is not rolled");
        assert_eq!(bench.read().unwrap().0, ["one", "two", "three"]);
        fs::remove_file(bench.segment()).unwrap();
        assert!(matches!(bench.read(), Err(IndexError::LogDamaged { .. })));
    }
}
