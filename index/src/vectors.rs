//! The vector projection: where does each chunk stand in the space of meaning?
//!
//! Vectors are i8 codes in a framed file of their own, appended at each
//! checkpoint and read into memory on open. Fewer than
//! [`EXACT_BELOW`] allowed vectors are compared one by one; above that an
//! HNSW graph proposes candidates, which are then scored exactly, so that both
//! ways give a chunk the same score. Deleted vectors stay until a fifth of the
//! rows are dead; until then the set of live chunks masks them.

mod block;
mod codes;
mod graph;
mod kernels;
mod rows;
mod scan;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cento_core::{ChunkNo, CosineScore, Sequence};
use roaring::RoaringTreemap;

use crate::applied::Applied;
use crate::disk::{self, DiskFile, create_dir, remove_dir, sync_dir};
use crate::frames::{self, Format, Frame, HEADER_BYTES, Salt};
use crate::log::Position;
use crate::manifest::Epoch;
use crate::{IndexError, fault};
pub(crate) use block::{Block, keep_best};
pub(crate) use codes::Codes;
use graph::Graph;
use rows::Query;

const FORMAT: Format = Format {
    kind: b"centovec",
    version: 2,
};

/// From so many live vectors on, a graph is kept and asked.
pub(crate) const EXACT_BELOW: u64 = 20_000;

/// Rows in one frame of the file.
const ROWS_PER_FRAME: usize = 16_384;

/// What a query sees of the vectors.
#[derive(Clone)]
pub(crate) struct VectorSet {
    blocks: Vec<Arc<Block>>,
    graph: Option<Arc<Graph>>,
}

impl VectorSet {
    /// The `depth` nearest allowed chunks, best first, and whether every
    /// allowed vector was compared.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        allowed: &RoaringTreemap,
        depth: usize,
    ) -> (Vec<(ChunkNo, CosineScore)>, bool) {
        let graph = self
            .graph
            .as_ref()
            .filter(|_| allowed.len() >= EXACT_BELOW && depth > 0);
        let (mut hits, exact) = match graph {
            Some(graph) => {
                let proposed = graph.search(query, allowed, depth);
                let scored = proposed
                    .into_iter()
                    .filter_map(|number| Some((number, self.cosine(query, number)?)));
                (scored.collect(), false)
            }
            None => {
                let query = Query::new(query);
                let scans = self
                    .blocks
                    .iter()
                    .flat_map(|block| block.scan(&query, allowed, depth));
                (scans.collect(), true)
            }
        };
        keep_best(&mut hits, depth);
        (hits, exact)
    }

    /// The cosine of a unit query with a chunk; `None` for a chunk without a
    /// direction.
    pub(crate) fn cosine(&self, query: &[f32], number: ChunkNo) -> Option<CosineScore> {
        let (block, row) = self.find(number)?;
        block.space().cosine(query, row)
    }

    /// How many rows it holds, dead ones included.
    pub(crate) fn rows(&self) -> u64 {
        self.blocks.iter().map(|block| block.rows() as u64).sum()
    }

    /// The chunks of all rows, those of dead ones too.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = ChunkNo> {
        let rows = |block: &Arc<Block>| {
            let block = Arc::clone(block);
            (0..block.rows()).map(move |row| block.number(row))
        };
        self.blocks.iter().flat_map(rows)
    }

    /// The codes of a chunk.
    pub(crate) fn codes(&self, number: ChunkNo) -> Option<Codes> {
        let (block, row) = self.find(number)?;
        Some(block.space().codes(row))
    }

    fn find(&self, number: ChunkNo) -> Option<(&Block, usize)> {
        // Blocks are in order of numbers, and so are the rows in each.
        let after = self
            .blocks
            .partition_point(|block| block.rows() == 0 || block.number(0) <= number);
        let block = self.blocks.get(after.checked_sub(1)?)?;
        Some((block, block.find(number)?))
    }
}

/// The writer's side of the projection.
pub(crate) struct Vectors {
    dir: PathBuf,
    dimensions: usize,
    blocks: Vec<Arc<Block>>,
    pending: Block,
    graph: Option<Arc<Graph>>,
    /// Points of the graph when it was last saved.
    saved_points: usize,
    file: DiskFile,
    salt: Salt,
    file_end: u64,
    saved: Applied,
    /// The greatest chunk number in the file.
    saved_last: Option<ChunkNo>,
}

impl Vectors {
    /// Opens the projection in `dir`, keeping of its file what is whole. One of
    /// another format is thrown away, to be filled again from the log; says
    /// whether that was so. So is a graph that cannot be verified.
    pub(crate) fn open(dir: &Path, dimensions: usize) -> Result<(Self, bool), IndexError> {
        create_dir(dir)?;
        let path = file_path(dir);
        let mut is_fresh = false;
        let (file, salt) = if path.exists() {
            let file = DiskFile::open(&path)?;
            match FORMAT.check(&file) {
                Ok(salt) => (file, salt),
                Err(IndexError::Format { .. }) => {
                    is_fresh = true;
                    new_file(&path)?
                }
                Err(error) => return Err(error),
            }
        } else {
            new_file(&path)?
        };
        let mut vectors = Self {
            dir: dir.to_owned(),
            dimensions,
            blocks: Vec::new(),
            pending: Block::empty(dimensions),
            graph: None,
            saved_points: 0,
            file,
            salt,
            file_end: HEADER_BYTES,
            saved: Applied::default(),
            saved_last: None,
        };
        vectors.read_file()?;
        if let Ok(graph) = Graph::load(&graph_dir(dir), dimensions) {
            let covered = vectors.saved_last.is_some_and(|last| graph.last() <= last);
            if covered {
                vectors.saved_points = graph.points();
                vectors.graph = Some(Arc::new(graph));
            }
        }
        if vectors.graph.is_none() {
            remove_dir(&graph_dir(dir))?;
        }
        Ok((vectors, is_fresh))
    }

    fn read_file(&mut self) -> Result<(), IndexError> {
        let bytes = self.file.bytes()?;
        let mut block = Block::empty(self.dimensions);
        while let Frame::Whole { payload, end } =
            frames::read(&self.file, self.salt, self.file_end, bytes)?
        {
            let Some((applied, numbers, values)) = decode_frame(&payload, self.dimensions) else {
                break;
            };
            self.saved_last = numbers.last().copied().or(self.saved_last);
            block.push(numbers, &values);
            self.saved = applied;
            self.file_end = end;
        }
        if self.file_end < bytes {
            // A torn or damaged rest comes again from the log.
            self.file.set_bytes(self.file_end)?;
        }
        if block.rows() > 0 {
            self.blocks.push(Arc::new(block));
        }
        Ok(())
    }

    /// How far the file has followed the log.
    pub(crate) fn applied(&self) -> Applied {
        self.saved
    }

    /// Throws everything away, to be filled again from the log.
    pub(crate) fn reset(&mut self) -> Result<(), IndexError> {
        remove_dir(&self.dir)?;
        (*self, _) = Self::open(&self.dir, self.dimensions)?;
        Ok(())
    }

    /// Adds the vectors of a document whose first chunk has number `first`.
    /// Vectors that are here already, as after a replay, are passed over.
    pub(crate) fn put(&mut self, first: ChunkNo, codes: &Codes) {
        let last_of = |block: &Block| block.rows().checked_sub(1).map(|row| block.number(row));
        let last = last_of(&self.pending).or_else(|| last_of(self.blocks.last()?));
        for row in 0..codes.rows() {
            let number = ChunkNo(first.0 + row as u64);
            if last.is_none_or(|last| number > last) {
                self.pending.push([number], codes.row(row));
            }
        }
    }

    /// What a query may see from now on.
    pub(crate) fn publish(&mut self, live: &RoaringTreemap) -> VectorSet {
        if self.pending.rows() > 0 {
            let mut fresh = std::mem::replace(&mut self.pending, Block::empty(self.dimensions));
            // Sizes fall at least by half from block to block, so there are
            // few of them and each row is copied a logarithmic number of times.
            while let Some(last) = self.blocks.pop_if(|last| last.rows() <= 2 * fresh.rows()) {
                fresh = last.joined(&fresh);
            }
            self.blocks.push(Arc::new(fresh));
        }
        self.follow_with_graph(live);
        VectorSet {
            blocks: self.blocks.clone(),
            graph: self.graph.clone(),
        }
    }

    fn follow_with_graph(&mut self, live: &RoaringTreemap) {
        if live.len() < EXACT_BELOW {
            self.graph = None;
            return;
        }
        let is_worn = |graph: &Arc<Graph>| {
            let points = graph.points() as u64;
            points > live.len() + live.len() / 4
        };
        let graph = match self.graph.take().filter(|graph| !is_worn(graph)) {
            Some(graph) => graph,
            None => Arc::new(Graph::new(live.len() as usize)),
        };
        let is_new = graph.points() == 0;
        let mut missing = Vec::new();
        for block in &self.blocks {
            for row in 0..block.rows() {
                let number = block.number(row);
                if (is_new || number > graph.last()) && live.contains(number.0) {
                    missing.push((number, block.unit_vector(row)));
                }
            }
        }
        graph.insert(&missing);
        self.graph = Some(graph);
    }

    /// Writes what is not on the disk yet. `applied` is where the log stands
    /// and every vector up to it has been put and published.
    pub(crate) fn checkpoint(
        &mut self,
        applied: Applied,
        live: &RoaringTreemap,
    ) -> Result<(), IndexError> {
        let rows: u64 = self.blocks.iter().map(|block| block.rows() as u64).sum();
        if rows > 1000 && rows - live.len().min(rows) > rows / 5 {
            self.rewrite(applied, live)?;
        } else if applied != self.saved {
            let unsaved = self.rows_after(self.saved_last);
            self.append(applied, &unsaved)?;
        }
        match &self.graph {
            Some(graph) if graph.points().abs_diff(self.saved_points) * 10 > graph.points() => {
                graph.save(&graph_dir(&self.dir), self.dimensions)?;
                self.saved_points = graph.points();
                Ok(())
            }
            Some(_) => Ok(()),
            None => {
                self.saved_points = 0;
                remove_dir(&graph_dir(&self.dir))
            }
        }
    }

    fn rows_after(&self, last: Option<ChunkNo>) -> Vec<(Arc<Block>, usize)> {
        let mut rows = Vec::new();
        for block in &self.blocks {
            for row in 0..block.rows() {
                if last.is_none_or(|last| block.number(row) > last) {
                    rows.push((Arc::clone(block), row));
                }
            }
        }
        rows
    }

    fn append(&mut self, applied: Applied, rows: &[(Arc<Block>, usize)]) -> Result<(), IndexError> {
        let end = write_frames(
            &self.file,
            self.salt,
            self.file_end,
            applied,
            self.saved,
            rows,
        )?;
        fault::point("vectors.written");
        self.file.sync_data()?;
        fault::point("vectors.synced");
        self.file_end = end;
        self.saved = applied;
        if let Some((block, row)) = rows.last() {
            self.saved_last = Some(block.number(*row));
        }
        Ok(())
    }

    /// Writes a new file without the dead rows, and forgets them.
    fn rewrite(&mut self, applied: Applied, live: &RoaringTreemap) -> Result<(), IndexError> {
        let path = file_path(&self.dir);
        let temporary = path.with_extension("new");
        let mut kept = Block::empty(self.dimensions);
        for block in &self.blocks {
            for row in 0..block.rows() {
                let number = block.number(row);
                if live.contains(number.0) {
                    kept.push_row(block, row);
                }
            }
        }
        let kept = Arc::new(kept);
        let rows: Vec<_> = (0..kept.rows())
            .map(|row| (Arc::clone(&kept), row))
            .collect();
        let (file, salt) = new_file(&temporary)?;
        let end = write_frames(
            &file,
            salt,
            HEADER_BYTES,
            applied,
            Applied::default(),
            &rows,
        )?;
        file.sync_data()?;
        fault::point("vectors.rewritten");
        disk::rename(&temporary, &path)?;
        fault::point("vectors.renamed");
        sync_dir(&self.dir)?;
        // Opened anew, so that it knows its name.
        self.file = DiskFile::open(&path)?;
        self.salt = salt;
        self.file_end = end;
        self.saved = applied;
        self.saved_last = kept.rows().checked_sub(1).map(|row| kept.number(row));
        self.blocks = vec![kept];
        // The saved graph may hold chunks beyond the last row: build it anew.
        self.graph = None;
        self.saved_points = 0;
        remove_dir(&graph_dir(&self.dir))?;
        self.publish(live);
        Ok(())
    }
}

fn file_path(dir: &Path) -> PathBuf {
    dir.join("codes.vectors")
}

fn graph_dir(dir: &Path) -> PathBuf {
    dir.join("graph")
}

fn new_file(path: &Path) -> Result<(DiskFile, Salt), IndexError> {
    let file = DiskFile::create(path)?;
    let salt = FORMAT.begin(&file)?;
    file.sync_data()?;
    path.parent().map_or(Ok(()), sync_dir)?;
    Ok((file, salt))
}

/// Writes rows in frames; only the last one says `applied`, the others still
/// `before`, so that a file cut between them is brought forward again.
fn write_frames(
    file: &DiskFile,
    salt: Salt,
    mut end: u64,
    applied: Applied,
    before: Applied,
    rows: &[(Arc<Block>, usize)],
) -> Result<u64, IndexError> {
    let mut parts = rows.chunks(ROWS_PER_FRAME).peekable();
    let mut part = parts.next().unwrap_or(&[]);
    loop {
        let is_last = parts.peek().is_none();
        let stamp = if is_last { applied } else { before };
        let frame = frames::encode(salt, &encode_frame(stamp, part));
        file.write_all_at(&frame, end)?;
        end += frame.len() as u64;
        match parts.next() {
            Some(next) => part = next,
            None => return Ok(end),
        }
    }
}

fn encode_frame(applied: Applied, rows: &[(Arc<Block>, usize)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for number in [
        applied.epoch.0,
        applied.sequence.0,
        applied.position.segment,
        applied.position.offset,
        rows.len() as u64,
    ] {
        payload.extend_from_slice(&number.to_le_bytes());
    }
    for (block, row) in rows {
        payload.extend_from_slice(&block.number(*row).0.to_le_bytes());
    }
    for (block, row) in rows {
        let codes = block.space().codes(*row);
        payload.extend(codes.values().iter().map(|&code| code.cast_unsigned()));
    }
    payload
}

fn decode_frame(payload: &[u8], dimensions: usize) -> Option<(Applied, Vec<ChunkNo>, Vec<i8>)> {
    let mut words = payload
        .chunks_exact(8)
        .map(|word| word.try_into().map_or(0, u64::from_le_bytes));
    let applied = Applied {
        epoch: Epoch(words.next()?),
        sequence: Sequence(words.next()?),
        position: Position {
            segment: words.next()?,
            offset: words.next()?,
        },
    };
    let rows = usize::try_from(words.next()?).ok()?;
    let codes_at = rows.checked_mul(8)?.checked_add(40)?;
    let codes = payload.get(codes_at..)?;
    if codes.len() != rows.checked_mul(dimensions)? {
        return None;
    }
    let numbers = words.take(rows).map(ChunkNo).collect();
    Some((
        applied,
        numbers,
        codes.iter().map(|b| b.cast_signed()).collect(),
    ))
}
