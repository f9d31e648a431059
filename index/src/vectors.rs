//! The vector projection: where does each chunk stand in the space of meaning?
//!
//! New vectors are scanned. From a few thousand on they are frozen, beside
//! writers and readers, into a segment: a graph that is walked, in a file that is
//! mapped and never changed. Segments hold ranges of chunk numbers, one after the
//! other; neighbours are merged as they grow. Scores are exact however a vector
//! was found: for the vector as it was given where the log keeps it so, else for
//! its codes of one byte a dimension.

mod allowed;
mod block;
mod codes;
mod effort;
mod freeze;
mod fresh;
mod graph;
mod job;
mod kernels;
mod list;
mod mask;
mod pages;
mod rows;
#[cfg(test)]
mod samples;
mod scan;
mod search;
mod segment;
mod set;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cento_core::ChunkNo;
use roaring::RoaringTreemap;

use crate::applied::Applied;
use crate::disk::{create_dir, remove_dir, remove_file};
use crate::log_record::LoggedVectors;
use crate::settings::VectorOptions;
use crate::{IndexError, fault};
pub(crate) use allowed::Allowed;
use block::Block;
pub(crate) use codes::Codes;
pub use effort::Effort;
pub use freeze::GraphBuilder;
use freeze::{Part, Unfrozen, dead_rows, freeze};
use fresh::{FreshFile, Row, fresh_path};
pub use job::Freezing;
use job::Job;
pub(crate) use job::Ticket;
use list::{Entry, List};
pub use search::Searched;
pub use segment::Residence;
use segment::{Segment, segment_path};
pub(crate) use set::VectorSet;
pub use set::VectorShape;

/// The writer's side of the projection.
pub(crate) struct Vectors {
    dir: PathBuf,
    dimensions: usize,
    options: VectorOptions,
    segments: Vec<Arc<Segment>>,
    /// Rows that are not frozen, none of these empty.
    blocks: Vec<Arc<Block>>,
    /// So many of the blocks are being frozen, and stay as they are.
    sealing: usize,
    pending: Block,
    fresh: FreshFile,
    /// The files as the disk has them.
    list: List,
    /// The number that the next file gets.
    next: u64,
    job: Option<Job>,
    /// Why the last work failed, and how many rows there were then.
    failure: Option<(String, u64)>,
}

impl Vectors {
    /// Opens the projection in `dir`. One of another format, or a damaged one, is
    /// thrown away, to be filled again from the log; says whether that was so.
    pub(crate) fn open(
        dir: &Path,
        dimensions: usize,
        options: VectorOptions,
    ) -> Result<(Self, bool), IndexError> {
        create_dir(dir)?;
        let is_new = crate::disk::list(dir)?.is_empty();
        match Self::try_open(dir, dimensions, options) {
            Ok(vectors) => Ok((vectors, false)),
            Err(IndexError::Format { .. } | IndexError::Projection { .. }) => {
                Ok((Self::begin(dir, dimensions, options)?, !is_new))
            }
            Err(error) => Err(error),
        }
    }

    /// An empty projection.
    fn begin(dir: &Path, dimensions: usize, options: VectorOptions) -> Result<Self, IndexError> {
        remove_dir(dir)?;
        create_dir(dir)?;
        let list = List {
            next: 2,
            fresh: 1,
            segments: Vec::new(),
        };
        let fresh = FreshFile::create(&fresh_path(dir, list.fresh), Applied::default(), &[])?;
        list.write(dir)?;
        Ok(Self::over(dir, dimensions, options, list, fresh))
    }

    fn over(
        dir: &Path,
        dimensions: usize,
        options: VectorOptions,
        list: List,
        fresh: FreshFile,
    ) -> Self {
        Self {
            dir: dir.to_owned(),
            dimensions,
            options,
            segments: Vec::new(),
            blocks: Vec::new(),
            sealing: 0,
            pending: Block::empty(dimensions),
            fresh,
            next: list.next,
            list,
            job: None,
            failure: None,
        }
    }

    fn try_open(dir: &Path, dimensions: usize, options: VectorOptions) -> Result<Self, IndexError> {
        let wrong = |reason: &str| IndexError::Projection {
            projection: "vectors",
            reason: reason.to_owned(),
        };
        if !List::is_in(dir) {
            return Err(wrong("its list of files is missing"));
        }
        let list = List::read(dir)?;
        let is_named = |number: u64, path: fn(&Path, u64) -> PathBuf| path(dir, number).exists();
        if !is_named(list.fresh, fresh_path) {
            return Err(wrong("its file of fresh rows is missing"));
        }
        list.remove_others(dir, None)?;
        let (fresh, block) = FreshFile::open(&fresh_path(dir, list.fresh), dimensions)?;
        let mut vectors = Self::over(dir, dimensions, options, list, fresh);
        for entry in &vectors.list.segments {
            if !is_named(entry.number, segment_path) {
                return Err(wrong("a segment is missing"));
            }
            let segment = Segment::open(dir, entry.number, dimensions, options.residence)?;
            if Entry::of(&segment) != *entry {
                return Err(wrong("a segment is another one than was written"));
            }
            vectors.segments.push(Arc::new(segment));
        }
        if block.rows() > 0 {
            vectors.blocks.push(Arc::new(block));
        }
        Ok(vectors)
    }

    /// How far the files have followed the log.
    pub(crate) fn applied(&self) -> Applied {
        self.fresh.applied
    }

    /// Throws everything away, to be filled again from the log.
    pub(crate) fn reset(&mut self) -> Result<(), IndexError> {
        self.job = None;
        *self = Self::begin(&self.dir, self.dimensions, self.options)?;
        Ok(())
    }

    /// Adds the vectors of a document whose first chunk has number `first`.
    /// Vectors that are here already, as after a replay, are passed over.
    pub(crate) fn put(&mut self, first: ChunkNo, vectors: &LoggedVectors) {
        let last_of = |block: &Block| block.rows().checked_sub(1).map(|row| block.number(row));
        let last = last_of(&self.pending)
            .or_else(|| last_of(self.blocks.last()?))
            .or_else(|| Some(self.segments.last()?.bounds().1));
        let (codes, originals) = (vectors.codes(), vectors.originals());
        for row in 0..codes.rows() {
            let number = ChunkNo(first.0 + row as u64);
            if last.is_none_or(|last| number > last) {
                let original = originals.get(row * self.dimensions..(row + 1) * self.dimensions);
                let original = original.unwrap_or_default();
                self.pending.push([number], codes.row(row), original);
            }
        }
    }

    /// What a query may see from now on. Begins to freeze what is ready for it,
    /// and takes what has been frozen.
    pub(crate) fn publish(&mut self, live: &RoaringTreemap) -> VectorSet {
        self.take_frozen();
        if self.pending.rows() > 0 {
            let mut fresh = std::mem::replace(&mut self.pending, Block::empty(self.dimensions));
            // Sizes fall at least by half from block to block, so there are
            // few of them and each row is copied a logarithmic number of times.
            while self.blocks.len() > self.sealing
                && let Some(last) = self.blocks.pop_if(|last| last.rows() <= 2 * fresh.rows())
            {
                fresh = last.joined(&fresh);
            }
            self.blocks.push(Arc::new(fresh));
        }
        while self.job.is_none() && self.begin_freezing(live) {
            self.take_frozen();
        }
        VectorSet::of(self.segments.clone(), self.blocks.clone())
    }

    /// By which to wait for what is being frozen; nothing if nothing is.
    pub(crate) fn freezing(&self) -> Option<Arc<Ticket>> {
        self.job.as_ref().map(Job::ticket)
    }

    /// Whether something has been frozen that no view shows yet.
    pub(crate) fn has_frozen(&self) -> bool {
        self.job.as_ref().is_some_and(Job::has_ended)
    }

    /// Why the last work failed, if it did.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|(reason, _)| reason.as_str())
    }

    fn fresh_rows(&self) -> u64 {
        self.blocks.iter().map(|block| block.rows() as u64).sum()
    }

    /// Takes what has been frozen in the place of what it was made of.
    fn take_frozen(&mut self) {
        let Some(frozen) = self.job.as_mut().and_then(Job::result) else {
            return;
        };
        let Some(job) = self.job.take() else {
            return;
        };
        let sealing = std::mem::take(&mut self.sealing);
        match frozen {
            Ok(segment) => {
                self.failure = None;
                self.blocks.drain(..sealing);
                let is_replaced = |segment: &Arc<Segment>| job.replaced.contains(&segment.number);
                let at = self.segments.iter().position(is_replaced);
                let at = at.unwrap_or(self.segments.len());
                self.segments.retain(|segment| !is_replaced(segment));
                if let Some(segment) = segment {
                    self.segments
                        .insert(at.min(self.segments.len()), Arc::new(segment));
                }
            }
            Err(Unfrozen::Failed(error)) => {
                self.failure = Some((error.to_string(), self.fresh_rows()));
                let _ = remove_file(&segment_path(&self.dir, job.number));
            }
            // Only who drops the work cancels it.
            Err(Unfrozen::Cancelled) => {}
        }
    }

    /// Begins to freeze what is ready; says whether there was anything.
    fn begin_freezing(&mut self, live: &RoaringTreemap) -> bool {
        let seal_rows = self.options.seal_rows.max(1) as u64;
        let fresh = self.fresh_rows();
        if let Some((_, rows)) = self.failure
            && fresh < rows + seal_rows
        {
            // What failed is not tried again at every turn.
            return false;
        }
        let is_worn = |segment: &Arc<Segment>| dead_rows(segment, live) * 5 > segment.rows();
        let (segments, blocks) = if fresh >= seal_rows {
            let mut rows = fresh;
            let mut first = self.segments.len();
            // Sizes fall at least to a quarter from one to the next, but for what
            // has died: there are few, and a row is linked anew seldom.
            while let Some(last) = first.checked_sub(1).map(|at| &self.segments[at])
                && last.rows() as u64 <= MERGED_BELOW * rows
            {
                rows += last.rows() as u64;
                first -= 1;
            }
            (first..self.segments.len(), self.blocks.len())
        } else if let Some(worn) = self.segments.iter().position(is_worn) {
            (worn..worn + 1, 0)
        } else {
            return false;
        };
        let segments = &self.segments[segments];
        let frozen = segments
            .iter()
            .map(|segment| Part::Frozen(Arc::clone(segment)));
        let fresh = self.blocks[..blocks]
            .iter()
            .map(|block| Part::Fresh(Arc::clone(block)));
        let parts: Vec<Part> = frozen.chain(fresh).collect();
        let replaced = segments.iter().map(|segment| segment.number).collect();
        let number = self.next;
        self.next += 1;
        self.sealing = blocks;
        let (dir, live, options) = (self.dir.clone(), live.clone(), self.options);
        let work = move |watch: &_| freeze(&dir, number, &parts, &live, options, watch);
        self.job = Some(Job::begin(replaced, number, options.freezes_beside, work));
        true
    }

    /// Writes what is not on the disk yet. `applied` is where the log stands
    /// and every vector up to it has been put and published.
    pub(crate) fn checkpoint(
        &mut self,
        applied: Applied,
        live: &RoaringTreemap,
    ) -> Result<(), IndexError> {
        let named: Vec<Entry> = self
            .segments
            .iter()
            .map(|segment| Entry::of(segment))
            .collect();
        if named != self.list.segments || self.is_worn(live) {
            self.change_files(applied, named, live)
        } else if applied != self.fresh.applied {
            let unsaved = self.rows(|chunk| self.fresh.last.is_none_or(|last| chunk > last));
            self.fresh.append(applied, &unsaved)
        } else {
            Ok(())
        }
    }

    /// Whether a fifth of the fresh rows is dead.
    fn is_worn(&self, live: &RoaringTreemap) -> bool {
        let rows = self.fresh_rows();
        let Some(first) = self.blocks.first().map(|block| block.number(0)) else {
            return false;
        };
        let alive = live.range_cardinality(first.0..).min(rows);
        self.sealing == 0 && rows > 1000 && (rows - alive) * 5 > rows
    }

    /// Writes fresh rows into a new file, and lets it and the segments that there
    /// are take the place of those before in one moment.
    fn change_files(
        &mut self,
        applied: Applied,
        segments: Vec<Entry>,
        live: &RoaringTreemap,
    ) -> Result<(), IndexError> {
        if self.sealing == 0 {
            // What is dead goes, here and from memory.
            let mut kept = Block::empty(self.dimensions);
            for (block, row) in self.rows(|chunk| live.contains(chunk.0)) {
                kept.push_row(&block, row);
            }
            self.blocks = if kept.rows() > 0 {
                vec![Arc::new(kept)]
            } else {
                Vec::new()
            };
        }
        let number = self.next;
        self.next += 1;
        let path = fresh_path(&self.dir, number);
        let rows = self.rows(|_| true);
        let fresh = FreshFile::create(&path, applied, &rows)?;
        fault::point("vectors.rewritten");
        let list = List {
            next: self.next,
            fresh: number,
            segments,
        };
        list.write(&self.dir)?;
        fault::point("vectors.listed");
        self.list = list;
        self.fresh = fresh;
        // What is being written is not named yet.
        let being_written = self
            .job
            .as_ref()
            .map(|job| segment_path(&self.dir, job.number));
        self.list.remove_others(&self.dir, being_written.as_deref())
    }

    fn rows(&self, is_wanted: impl Fn(ChunkNo) -> bool) -> Vec<Row> {
        let mut rows = Vec::new();
        for block in &self.blocks {
            for row in 0..block.rows() {
                if is_wanted(block.number(row)) {
                    rows.push((Arc::clone(block), row));
                }
            }
        }
        rows
    }
}

/// A segment is merged with what comes after it until it is so many times larger.
const MERGED_BELOW: u64 = 4;
