//! What was written, in which order, and what of it survives a crash?
//!
//! The log is the single commit point. A commit is one frame (`frames.rs`) in
//! the newest segment file; it is acknowledged only after `fdatasync`. There
//! is one writer and it waits for each commit, so after a crash only the very
//! last frame can be incomplete: it was never acknowledged, and opening cuts
//! it off. A broken frame with a whole commit behind it is damage, and is
//! refused with its place.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::disk::{create_dir, sync_dir};
use crate::error::IoContext;
use crate::frames::{self, FRAME_HEAD_BYTES, Format, Frame, HEADER_BYTES};
use crate::log_record::split;

const FORMAT: Format = Format {
    kind: b"centolog",
    version: 1,
};

/// A segment that has grown past this is closed and a new one begun.
const SEGMENT_BYTES: u64 = 256 << 20;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Number of the segment, from 1.
    pub(crate) segment: u64,
    /// Byte in the segment's file.
    pub(crate) offset: u64,
}

/// The append-only log of one collection.
pub(crate) struct Log {
    dir: PathBuf,
    segments: RwLock<BTreeMap<u64, Arc<File>>>,
    tail: Mutex<Tail>,
}

struct Tail {
    end: Position,
    /// Why nothing more may be appended: after a failed sync nobody knows what
    /// is on the disk, so only reopening can tell.
    failure: Option<String>,
}

impl Log {
    /// Opens a log, creating it if it is not there. Nothing may be appended
    /// before [`Log::replay`] has found its end.
    pub(crate) fn open(dir: &Path) -> Result<Self, IndexError> {
        create_dir(dir)?;
        let mut segments = BTreeMap::new();
        for entry in fs::read_dir(dir).on("cannot list", dir)? {
            let path = entry.on("cannot list", dir)?.path();
            if let Some(number) = segment_number(&path) {
                let file = open_segment(&path)?;
                segments.insert(number, Arc::new(file));
            }
        }
        let last = segments
            .last_key_value()
            .map(|(&number, file)| (number, Arc::clone(file)));
        for (&number, file) in &segments {
            let path = segment_path(dir, number);
            let bytes = file.metadata().on("cannot read", &path)?.len();
            let is_last = last.as_ref().is_some_and(|(newest, _)| *newest == number);
            if is_last && bytes < HEADER_BYTES {
                // The crash came between creating the file and its first sync.
                begin_segment(file, &path)?;
            }
            FORMAT.check(file, &path)?;
        }
        let numbers: Vec<u64> = segments.keys().copied().collect();
        if let Some(gap) = numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
            return Err(IndexError::LogDamaged {
                path: segment_path(dir, gap[0] + 1),
                offset: 0,
                reason: "the segment is missing".to_owned(),
            });
        }
        if segments.is_empty() {
            let path = segment_path(dir, 1);
            let file = open_segment(&path)?;
            begin_segment(&file, &path)?;
            sync_dir(dir)?;
            segments.insert(1, Arc::new(file));
        }
        let number = segments.last_key_value().map_or(1, |(&number, _)| number);
        Ok(Self {
            dir: dir.to_owned(),
            segments: RwLock::new(segments),
            tail: Mutex::new(Tail {
                end: Position {
                    segment: number,
                    offset: HEADER_BYTES,
                },
                failure: Some("the log's end has not been looked for yet".to_owned()),
            }),
        })
    }

    /// Reads every commit from `from` on, cuts off a torn tail, and makes the
    /// log ready for appending. Returns how many bytes of an unacknowledged
    /// commit were cut off.
    pub(crate) fn replay(
        &self,
        from: Position,
        visit: impl FnMut(Position, &[u8], Position) -> Result<(), IndexError>,
    ) -> Result<u64, IndexError> {
        let (end, broken) = self.scan(from, visit)?;
        let mut cut = 0;
        if let Some(reason) = broken {
            let file = self.segment(end.segment)?;
            let path = segment_path(&self.dir, end.segment);
            let bytes = file.metadata().on("cannot read", &path)?.len();
            if has_commit_after(&file, &path, end.offset, bytes)? {
                return Err(self.damaged(end, &format!("{reason}, and whole commits follow it")));
            }
            file.set_len(end.offset)
                .on("cannot cut the torn tail of", &path)?;
            file.sync_all().on("cannot sync", &path)?;
            cut = bytes - end.offset;
        }
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.end = end;
        tail.failure = None;
        Ok(cut)
    }

    /// Reads every commit from `from` on. `visit` gets the position of each
    /// commit's payload, the payload, and the position where the next commit
    /// begins. Returns where the whole commits end, and what is wrong with the
    /// bytes behind them, if there are any.
    pub(crate) fn scan(
        &self,
        from: Position,
        mut visit: impl FnMut(Position, &[u8], Position) -> Result<(), IndexError>,
    ) -> Result<(Position, Option<&'static str>), IndexError> {
        let segments: Vec<(u64, Arc<File>)> = {
            let guard = self.segments.read().unwrap_or_else(PoisonError::into_inner);
            guard
                .range(from.segment..)
                .map(|(&number, file)| (number, Arc::clone(file)))
                .collect()
        };
        let newest = segments.last().map(|(number, _)| *number);
        let mut end = from;
        for (number, file) in segments {
            let path = segment_path(&self.dir, number);
            let bytes = file.metadata().on("cannot read", &path)?.len();
            let at = |offset| Position {
                segment: number,
                offset,
            };
            if number != from.segment || end.offset < HEADER_BYTES {
                end = at(HEADER_BYTES);
            }
            loop {
                match frames::read(&file, &path, end.offset, bytes)? {
                    Frame::Whole { payload, end: next } => {
                        visit(at(end.offset + FRAME_HEAD_BYTES), &payload, at(next))?;
                        end = at(next);
                    }
                    Frame::End => break,
                    Frame::Broken(reason) if Some(number) == newest => {
                        return Ok((end, Some(reason)));
                    }
                    Frame::Broken(reason) => {
                        return Err(self.damaged(end, &format!("{reason}, and segments follow it")));
                    }
                }
            }
        }
        Ok((end, None))
    }

    /// Whether a commit ends, or the log begins, exactly at a position. One
    /// where that is not so belongs to another log, or to a longer past of
    /// this one. Only the heads of the frames are read.
    pub(crate) fn is_boundary(&self, position: Position) -> Result<bool, IndexError> {
        if position == Position::default() {
            return Ok(true);
        }
        let Ok(file) = self.segment(position.segment) else {
            return Ok(false);
        };
        let path = segment_path(&self.dir, position.segment);
        let bytes = file.metadata().on("cannot read", &path)?.len();
        let mut offset = HEADER_BYTES;
        while offset < position.offset.min(bytes) {
            match frames::end_of(&file, &path, offset, bytes)? {
                Some(end) => offset = end,
                None => return Ok(false),
            }
        }
        Ok(offset == position.offset)
    }

    /// Appends one commit and waits until it is on the disk. Returns the
    /// position of its payload and of the next commit.
    pub(crate) fn append(&self, payload: &[u8]) -> Result<(Position, Position), IndexError> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &tail.failure {
            return Err(IndexError::WriterStopped {
                reason: reason.clone(),
            });
        }
        if tail.end.offset > SEGMENT_BYTES {
            tail.end = self.begin_next_segment(tail.end.segment + 1)?;
        }
        let Position { segment, offset } = tail.end;
        let path = segment_path(&self.dir, segment);
        let file = self.segment(segment)?;
        let frame = frames::encode(payload);
        if let Err(error) = file.write_all_at(&frame, offset) {
            // A full disk, most likely: cut off what may have been written, so
            // that the next append finds the log as it was.
            let undone = file.set_len(offset).and_then(|()| file.sync_data());
            if undone.is_err() {
                tail.failure = Some(error.to_string());
            }
            return Err(error).on("cannot write to the log", &path);
        }
        if let Err(error) = file.sync_data() {
            // Nobody knows what is on the disk now; only opening anew can tell.
            tail.failure = Some(error.to_string());
            return Err(error).on("cannot sync the log", &path);
        }
        let at = |offset| Position { segment, offset };
        let next = at(offset + frame.len() as u64);
        tail.end = next;
        Ok((at(offset + FRAME_HEAD_BYTES), next))
    }

    fn begin_next_segment(&self, number: u64) -> Result<Position, IndexError> {
        let path = segment_path(&self.dir, number);
        let file = open_segment(&path)?;
        begin_segment(&file, &path)?;
        sync_dir(&self.dir)?;
        self.segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, Arc::new(file));
        Ok(Position {
            segment: number,
            offset: HEADER_BYTES,
        })
    }

    /// Reads bytes that a record's position names.
    pub(crate) fn read(&self, at: Position, bytes: usize) -> Result<Vec<u8>, IndexError> {
        let mut buffer = vec![0; bytes];
        self.segment(at.segment)?
            .read_exact_at(&mut buffer, at.offset)
            .on("cannot read", &segment_path(&self.dir, at.segment))?;
        Ok(buffer)
    }

    /// An error that names a damaged place.
    pub(crate) fn damaged(&self, at: Position, reason: &str) -> IndexError {
        IndexError::LogDamaged {
            path: segment_path(&self.dir, at.segment),
            offset: at.offset,
            reason: reason.to_owned(),
        }
    }

    fn segment(&self, number: u64) -> Result<Arc<File>, IndexError> {
        let guard = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        guard.get(&number).cloned().ok_or_else(|| IndexError::Io {
            action: "cannot open",
            path: segment_path(&self.dir, number),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }
}

fn open_segment(path: &Path) -> Result<File, IndexError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .on("cannot open", path)
}

/// Writes a new segment's header and waits for it.
fn begin_segment(file: &File, path: &Path) -> Result<(), IndexError> {
    file.write_all_at(&FORMAT.header(), 0)
        .on("cannot write", path)?;
    file.sync_all().on("cannot sync", path)
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

fn segment_number(path: &Path) -> Option<u64> {
    if path.extension()? != "log" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// Whether a whole commit stands anywhere behind a broken frame.
fn has_commit_after(file: &File, path: &Path, broken: u64, bytes: u64) -> Result<bool, IndexError> {
    let mut rest = vec![0; usize::try_from(bytes - broken).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut rest, broken)
        .on("cannot read", path)?;
    let head = FRAME_HEAD_BYTES as usize;
    for start in 1..rest.len().saturating_sub(head) {
        let frame = &rest[start..];
        let length = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]);
        let Some(payload) = frame.get(head..head + length as usize) else {
            continue;
        };
        // The shape is looked at first: it is far cheaper than the checksum.
        let is_commit = split(payload).is_some_and(|records| !records.is_empty());
        if is_commit
            && crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), payload).to_le_bytes()
                == frame[4..8]
        {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_record::join;

    fn commit(text: &str) -> Vec<u8> {
        join(&[text.as_bytes().to_vec()]).0
    }

    fn read_all(dir: &Path) -> Result<(Vec<Vec<u8>>, u64, Log), IndexError> {
        let log = Log::open(dir)?;
        let mut payloads = Vec::new();
        let cut = log.replay(Position::default(), |_, payload, _| {
            payloads.push(payload.to_vec());
            Ok(())
        })?;
        Ok((payloads, cut, log))
    }

    fn log_of(dir: &Path, texts: &[&str]) -> Vec<Position> {
        let (_, _, log) = read_all(dir).unwrap();
        texts
            .iter()
            .map(|text| log.append(&commit(text)).unwrap().1)
            .collect()
    }

    #[test]
    fn commits_are_read_again_in_order() {
        let dir = tempfile::tempdir().unwrap();
        log_of(dir.path(), &["one", "two"]);
        log_of(dir.path(), &["three"]);
        let (payloads, cut, _) = read_all(dir.path()).unwrap();
        assert_eq!(payloads, ["one", "two", "three"].map(commit));
        assert_eq!(cut, 0);
    }

    #[test]
    fn a_tail_torn_anywhere_is_cut_and_writing_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let ends = log_of(dir.path(), &["one", "two"]);
        let path = segment_path(dir.path(), 1);
        let whole = fs::read(&path).unwrap();
        for length in ends[0].offset + 1..ends[1].offset {
            fs::write(&path, &whole[..length as usize]).unwrap();
            let (payloads, cut, log) = read_all(dir.path()).unwrap();
            assert_eq!(payloads, [commit("one")]);
            assert_eq!(cut, length - ends[0].offset);
            log.append(&commit("again")).unwrap();
            let (payloads, _, _) = read_all(dir.path()).unwrap();
            assert_eq!(payloads, ["one", "again"].map(commit));
        }
    }

    #[test]
    fn damage_before_a_whole_commit_is_refused_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let ends = log_of(dir.path(), &["one", "two", "three"]);
        let path = segment_path(dir.path(), 1);
        let whole = fs::read(&path).unwrap();
        for byte in ends[0].offset..ends[1].offset {
            let mut bad = whole.clone();
            bad[byte as usize] ^= 0x40;
            fs::write(&path, &bad).unwrap();
            match read_all(dir.path()) {
                Err(IndexError::LogDamaged { offset, .. }) => assert_eq!(offset, ends[0].offset),
                other => panic!("byte {byte}: {:?}", other.map(|(payloads, ..)| payloads)),
            }
            assert_eq!(fs::read(&path).unwrap(), bad, "nothing was cut");
        }
    }

    #[test]
    fn replay_begins_where_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let ends = log_of(dir.path(), &["one", "two", "three"]);
        let log = Log::open(dir.path()).unwrap();
        let mut seen = Vec::new();
        log.replay(ends[0], |_, payload, next| {
            seen.push((payload.to_vec(), next));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(commit("two"), ends[1]), (commit("three"), ends[2])]);
    }
}
