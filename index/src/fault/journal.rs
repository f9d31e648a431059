//! What could the disk hold if the power had gone at this moment?
//!
//! A [`Journal`] notes every step below one directory and replays them on a
//! model of a disk that keeps only what it was told to keep: a file's bytes and
//! length when the file is synced, a name when its directory is synced. The
//! model is meaner than a usual file system and no meaner than the contract:
//!
//! - A name belongs to its directory. A file that was synced under a name that
//!   was not is lost; a rename within a directory happens wholly or not at all;
//!   one from a directory to another is two changes, each durable with its own
//!   directory.
//! - A sync covers what was written before it began. Where one fails, what it
//!   should have covered is never written any more, even if a later one
//!   succeeds: so Linux does it.
//! - What stands below the directory when the journal starts is durable.
//! - What others do behind our back (sled, hnsw_rs) is not seen. A file of
//!   theirs that a later step of ours touches is taken in as it then stands,
//!   not synced.

#[cfg(test)]
mod properties;
mod tape;
#[cfg(test)]
mod tests;
mod world;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use self::tape::{Record, Tape};
use self::world::World;
use super::Step;
use super::hooks::Identity;

/// A moment at which the power may go. Sync points are numbered from 0 in the
/// order in which they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// While a sync is under way that has made nothing durable yet.
    Before(usize),
    /// Right after a sync.
    After(usize),
    /// After everything noted so far.
    End,
}

/// What of the things that were not synced is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All of them.
    DropUnsynced,
    /// Nothing, as after `kill -9`, but for what a failed sync has lost and a
    /// later one has not brought back.
    KeepAll,
    /// Only bytes: names and lengths are there, and zeros where bytes were
    /// added. What was overwritten is as before.
    ZeroUnsynced,
    /// Some of them, drawn by the seed: of each directory the first few
    /// changes, of each file some length that it had, and of each page of
    /// 4 KiB some state that it was in.
    Torn {
        /// Another seed is another disk.
        seed: u64,
    },
}

/// All that was done below a directory, in order.
pub struct Journal {
    recorder: Arc<Recorder>,
}

struct Recorder {
    root: PathBuf,
    tape: Mutex<Tape>,
}

static RECORDERS: RwLock<Vec<Arc<Recorder>>> = RwLock::new(Vec::new());

impl Journal {
    /// Notes from now on, until it is dropped, what this process does below
    /// `root`. What happens at the same time may be missed: start it before the
    /// engine.
    ///
    /// # Errors
    /// What stands there already cannot be read.
    pub fn start(root: &Path) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        let tape = Mutex::new(Tape::of_what_stands(&root)?);
        let recorder = Arc::new(Recorder { root, tape });
        let mut all = RECORDERS.write().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::clone(&recorder));
        Ok(Self { recorder })
    }

    /// How many times something was made durable.
    pub fn sync_points(&self) -> usize {
        ends(&self.recorder.tape().records).count()
    }

    /// Every moment that differs from the one before it.
    pub fn cuts(&self) -> Vec<Cut> {
        let points = 0..self.sync_points();
        points
            .flat_map(|point| [Cut::Before(point), Cut::After(point)])
            .chain([Cut::End])
            .collect()
    }

    /// What was synced at a sync point, relative to the root.
    ///
    /// # Panics
    /// There is no such sync point.
    pub fn synced_at(&self, point: usize) -> PathBuf {
        let tape = self.recorder.tape();
        match &tape.records[index_of(&tape.records, point)] {
            Record::Synced { path, .. } => path.clone(),
            _ => PathBuf::new(),
        }
    }

    /// Notes that something happened here, as an answer that a caller got.
    pub fn mark(&self, label: impl Into<String>) {
        let mark = Record::Mark(label.into());
        self.recorder.tape().records.push(mark);
    }

    /// What was marked before a moment: all that the disk must then still know.
    ///
    /// # Panics
    /// There is no such sync point.
    pub fn marks_before(&self, cut: Cut) -> Vec<String> {
        let tape = self.recorder.tape();
        let marks = until(&tape.records, cut).iter();
        marks
            .filter_map(|record| match record {
                Record::Mark(label) => Some(label.clone()),
                _ => None,
            })
            .collect()
    }

    /// Writes into an empty directory what the disk would hold.
    ///
    /// # Errors
    /// It cannot be written.
    ///
    /// # Panics
    /// There is no such sync point.
    pub fn state_at(&self, cut: Cut, loss: Loss, into: &Path) -> io::Result<()> {
        let world = World::replay(until(&self.recorder.tape().records, cut));
        world.write_to(loss, into)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let mut all = RECORDERS.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|recorder| !Arc::ptr_eq(recorder, &self.recorder));
    }
}

impl Recorder {
    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the records stand that end a sync.
fn ends(records: &[Record]) -> impl Iterator<Item = usize> {
    let is_end = |record: &Record| matches!(record, Record::Synced { .. });
    (0..records.len()).filter(move |&at| is_end(&records[at]))
}

fn index_of(records: &[Record], point: usize) -> usize {
    match ends(records).nth(point) {
        Some(at) => at,
        None => panic!("no sync point {point}: there are {}", ends(records).count()),
    }
}

fn until(records: &[Record], cut: Cut) -> &[Record] {
    match cut {
        Cut::Before(point) => &records[..index_of(records, point)],
        Cut::After(point) => &records[..=index_of(records, point)],
        Cut::End => records,
    }
}

/// The journals that a step concerns.
fn recorders(path: &Path, other: Option<&Path>) -> Vec<Arc<Recorder>> {
    let all = RECORDERS.read().unwrap_or_else(PoisonError::into_inner);
    if all.is_empty() {
        return Vec::new();
    }
    let is_below = |path: &Path, root: &Path| {
        std::path::absolute(path).is_ok_and(|absolute| absolute.starts_with(root))
    };
    all.iter()
        .filter(|recorder| {
            let root = &recorder.root;
            is_below(path, root) || other.is_some_and(|other| is_below(other, root))
        })
        .map(Arc::clone)
        .collect()
}

/// Takes a step and notes it. Between the two nobody else's step is taken
/// below the same root, so that the order noted is the order on the disk; only
/// syncs, which wait for the disk, let others pass and are noted twice.
pub(super) fn around<T>(step: Step<'_>, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let (path, other) = step.paths();
    let recorders = recorders(path, other);
    if recorders.is_empty() {
        return act();
    }
    if matches!(step, Step::Sync(..) | Step::SyncDir(_)) {
        let begin = |recorder: &Arc<Recorder>| recorder.tape().begin_sync(step);
        let begun: Vec<_> = recorders.iter().map(begin).collect();
        let result = act();
        for (recorder, begun) in recorders.iter().zip(begun) {
            recorder.tape().end_sync(begun, path, result.is_ok());
        }
        return result;
    }
    let mut tapes: Vec<_> = recorders.iter().map(|recorder| recorder.tape()).collect();
    let priors: Vec<_> = tapes.iter_mut().map(|tape| tape.before(step)).collect();
    let result = act()?;
    for (tape, prior) in tapes.iter_mut().zip(priors) {
        tape.after(step, prior);
    }
    Ok(result)
}

/// Writes bytes and notes them.
pub(super) fn around_write(
    file: &Identity,
    path: &Path,
    bytes: &[u8],
    offset: u64,
    act: impl FnOnce(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let recorders = recorders(path, None);
    let mut tapes: Vec<_> = recorders.iter().map(|recorder| recorder.tape()).collect();
    act(bytes)?;
    for tape in &mut tapes {
        tape.write(file, bytes, offset);
    }
    Ok(())
}

/// Notes that a file was replaced by way of a temporary one that was synced.
pub(super) fn replaced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    for recorder in recorders(path, None) {
        recorder.tape().replaced(path, bytes)?;
    }
    Ok(())
}
