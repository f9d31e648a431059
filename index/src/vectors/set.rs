//! What does a query see of the vectors, and how does it ask all their parts?

use std::path::PathBuf;
use std::sync::Arc;

use cento_core::{ChunkNo, CosineScore};

use super::allowed::{Allowed, ByChunk};
use super::block::{Block, keep_best};
use super::codes::Codes;
use super::effort::Effort;
use super::rows::{Query, Space};
use super::search::{Answer, Pool, Scratch, Searched, Wanted, search};
use super::segment::Segment;

/// What a query sees of the vectors.
#[derive(Clone)]
pub(crate) struct VectorSet {
    segments: Vec<Arc<Segment>>,
    blocks: Vec<Arc<Block>>,
}

/// What one query needs.
#[derive(Default)]
struct Room {
    codes: Vec<i8>,
    scratch: Scratch,
}

static ROOMS: Pool<Room> = Pool::new();

impl VectorSet {
    /// Of these parts, in order of their chunks.
    pub(crate) fn of(segments: Vec<Arc<Segment>>, blocks: Vec<Arc<Block>>) -> Self {
        Self { segments, blocks }
    }

    /// The `depth` nearest allowed chunks, best first, and how they were found.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        allowed: &Allowed,
        depth: usize,
        effort: Effort,
    ) -> (Vec<(ChunkNo, CosineScore)>, Searched) {
        let mut answer = Answer::default();
        if depth == 0 {
            return (answer.hits, answer.searched);
        }
        ROOMS.with(|Room { codes, scratch }| {
            let query = &Query::new(query, codes);
            let wanted = Wanted {
                query,
                depth,
                effort,
            };
            for segment in &self.segments {
                let rows = allowed.rows(&**segment);
                search(segment, wanted, &rows, scratch, &mut answer);
            }
            for block in &self.blocks {
                let rows = allowed.rows(&**block);
                let compared = block.scan(query, &rows, depth, &mut answer.hits);
                answer.searched.compared += compared;
                answer.searched.scanned += 1;
            }
        });
        keep_best(&mut answer.hits, depth);
        (answer.hits, answer.searched)
    }

    /// The cosine of a unit query with a chunk; `None` for a chunk without a
    /// direction.
    pub(crate) fn cosine(&self, query: &[f32], number: ChunkNo) -> Option<CosineScore> {
        let (space, row) = self.find(number)?;
        space.cosine(query, row)
    }

    /// How many rows it holds, dead ones included.
    pub(crate) fn rows(&self) -> u64 {
        let segments = self.segments.iter().map(|segment| segment.rows() as u64);
        let blocks = self.blocks.iter().map(|block| block.rows() as u64);
        segments.chain(blocks).sum()
    }

    /// The chunks of all rows, those of dead ones too.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = ChunkNo> {
        self.segments
            .iter()
            .flat_map(|segment| segment.by_chunk().map(|(chunk, _)| chunk))
            .chain(
                self.blocks
                    .iter()
                    .flat_map(|block| (0..block.rows()).map(move |row| block.number(row))),
            )
    }

    /// The codes of a chunk, and its vector as it was given where that is kept.
    pub(crate) fn row(&self, number: ChunkNo) -> Option<(Codes, &[f32])> {
        let (space, row) = self.find(number)?;
        Some((space.codes(row), space.original(row)))
    }

    /// Files that are not what was written.
    pub(crate) fn damaged_files(&self) -> Vec<PathBuf> {
        let is_damaged = |segment: &&Arc<Segment>| segment.verify().is_err();
        let damaged = self.segments.iter().filter(is_damaged);
        damaged.map(|segment| segment.path().to_owned()).collect()
    }

    /// Whether a part of it has this identity.
    pub(crate) fn has(&self, identity: u64) -> bool {
        let mut segments = self.segments.iter();
        let mut blocks = self.blocks.iter();
        segments.any(|segment| segment.identity() == identity)
            || blocks.any(|block| block.identity() == identity)
    }

    /// How it is made up.
    pub(crate) fn shape(&self) -> VectorShape {
        VectorShape {
            segments: self.segments.len() as u64,
            frozen: self
                .segments
                .iter()
                .map(|segment| segment.rows() as u64)
                .sum(),
            fresh: self.blocks.iter().map(|block| block.rows() as u64).sum(),
            bytes: self.segments.iter().map(|segment| segment.bytes()).sum(),
        }
    }

    fn find(&self, number: ChunkNo) -> Option<(Space<'_>, usize)> {
        // Parts are in order of numbers, and so are the rows in each.
        let after = self
            .segments
            .partition_point(|segment| segment.bounds().0 <= number);
        if let Some(segment) = after.checked_sub(1).and_then(|at| self.segments.get(at))
            && let Some(row) = segment.find(number)
        {
            return Some((segment.space(), row));
        }
        let after = (self.blocks).partition_point(|block| block.number(0) <= number);
        let block = self.blocks.get(after.checked_sub(1)?)?;
        Some((block.space(), block.find(number)?))
    }
}

/// How the vectors of a view are made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VectorShape {
    /// Segments, each with a graph.
    pub segments: u64,
    /// Vectors in them, dead ones included.
    pub frozen: u64,
    /// Vectors that are compared one by one.
    pub fresh: u64,
    /// Bytes of the segments' files.
    pub bytes: u64,
}
