//! Which vectors are probably nearest, when there are too many to compare?
//!
//! An HNSW graph built by `hnsw_rs`. Its dump is not a durable format by
//! itself (it is written in place, never synced, and loading a damaged one
//! panics), so ours is a folder that is renamed into place with a manifest of
//! lengths and checksums; one that cannot be verified is thrown away, because
//! the graph can always be built again from the vectors.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use cento_core::ChunkNo;
use hnsw_rs::prelude::*;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use crate::disk::{self, create_dir, remove_dir, sync_dir, write_atomically};
use crate::error::IoContext;
use crate::{IndexError, fault};

/// Links a node keeps on the upper layers; twice as many on the lowest.
const MAX_LINKS: usize = 16;
/// How many candidates an insertion weighs.
const EF_CONSTRUCTION: usize = 200;
/// hnsw_rs can only dump a graph of exactly this many layers.
const LAYERS: usize = 16;
/// Racing first insertions can stay unlinked: so many go one by one.
const SERIAL_INSERTIONS: usize = 100;

const FORMAT: &str = "cento-graph";
const VERSION: u32 = 1;
const BASENAME: &str = "graph";

/// 1 - cosine of unit vectors, never negative: hnsw_rs asserts that.
#[derive(Clone, Copy, Default)]
pub(super) struct UnitCosine;

impl Distance<f32> for UnitCosine {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        const LANES: usize = 16;
        let mut sums = [0.0_f32; LANES];
        let mut left = a.chunks_exact(LANES);
        let mut right = b.chunks_exact(LANES);
        for (x, y) in (&mut left).zip(&mut right) {
            for lane in 0..LANES {
                sums[lane] += x[lane] * y[lane];
            }
        }
        let rest = left.remainder().iter().zip(right.remainder());
        let dot = sums.iter().sum::<f32>() + rest.map(|(x, y)| x * y).sum::<f32>();
        (1.0 - dot).max(0.0)
    }
}

/// A graph over the vectors of all chunks up to `last`.
pub(crate) struct Graph {
    hnsw: Hnsw<'static, f32, UnitCosine>,
    /// Only the writer stores here; views read it.
    last: AtomicU64,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct Manifest {
    format: String,
    version: u32,
    dimensions: usize,
    last: ChunkNo,
    points: usize,
    files: Vec<DumpedFile>,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct DumpedFile {
    name: String,
    bytes: u64,
    crc32c: u32,
}

impl Graph {
    /// An empty graph that expects about `capacity` vectors.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut hnsw = Hnsw::new(MAX_LINKS, capacity, LAYERS, EF_CONSTRUCTION, UnitCosine);
        hnsw.set_extend_candidates(false);
        Self {
            hnsw,
            last: AtomicU64::new(0),
        }
    }

    /// The greatest chunk number inserted.
    pub(crate) fn last(&self) -> ChunkNo {
        ChunkNo(self.last.load(Ordering::Acquire))
    }

    /// How many vectors were inserted.
    pub(crate) fn points(&self) -> usize {
        self.hnsw.get_nb_point()
    }

    /// Inserts unit vectors, in order of their chunk numbers. One writer calls
    /// this; searches may run beside it.
    pub(crate) fn insert(&self, vectors: &[(ChunkNo, Vec<f32>)]) {
        let data: Vec<(&Vec<f32>, usize)> = vectors
            .iter()
            .map(|(number, vector)| (vector, number.0 as usize))
            .collect();
        let serial = SERIAL_INSERTIONS
            .saturating_sub(self.points())
            .min(data.len());
        for &(vector, number) in &data[..serial] {
            self.hnsw.insert((vector, number));
        }
        self.hnsw.parallel_insert(&data[serial..]);
        if let Some((number, _)) = vectors.last() {
            self.last.store(number.0, Ordering::Release);
        }
    }

    /// About the `depth` nearest allowed chunks; the caller scores them.
    pub(crate) fn search(
        &self,
        query: &[f32],
        allowed: &RoaringTreemap,
        depth: usize,
    ) -> Vec<ChunkNo> {
        let passes = |id: &usize| allowed.contains(*id as u64);
        // Twice the depth, and never less than what small depths need for a
        // recall above 0.95 at this graph's size.
        let ef = (2 * depth).max(128);
        self.hnsw
            .search_filter(query, depth, ef, Some(&passes))
            .into_iter()
            .map(|found| ChunkNo(found.d_id as u64))
            .collect()
    }

    /// Writes the graph to `dir`, replacing what stands there.
    pub(crate) fn save(&self, dir: &Path, dimensions: usize) -> Result<(), IndexError> {
        let fresh = dir.with_extension("new");
        remove_dir(&fresh)?;
        create_dir(&fresh)?;
        let failed = |reason: String| IndexError::Projection {
            projection: "vectors",
            reason,
        };
        catch_unwind(AssertUnwindSafe(|| self.hnsw.file_dump(&fresh, BASENAME)))
            .map_err(|_| failed("hnsw_rs panicked while dumping its graph".to_owned()))?
            .map_err(|error| failed(error.to_string()))?;
        let mut files = Vec::new();
        for path in dump_paths(&fresh) {
            let file = File::open(&path).on("cannot open", &path)?;
            file.sync_all().on("cannot sync", &path)?;
            files.push(measure(&path)?);
        }
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            dimensions,
            last: self.last(),
            points: self.points(),
            files,
        };
        let json =
            serde_json::to_vec_pretty(&manifest).map_err(|error| failed(error.to_string()))?;
        write_atomically(&fresh.join("manifest.json"), &json)?;
        remove_dir(dir)?;
        fault::point("graph.removed");
        disk::rename(&fresh, dir)?;
        dir.parent().map_or(Ok(()), sync_dir)
    }

    /// Loads a graph if every byte of it is what was written; otherwise says
    /// why not.
    pub(crate) fn load(dir: &Path, dimensions: usize) -> Result<Self, String> {
        let bytes = fs::read(dir.join("manifest.json")).map_err(|error| error.to_string())?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        if (
            manifest.format.as_str(),
            manifest.version,
            manifest.dimensions,
        ) != (FORMAT, VERSION, dimensions)
        {
            return Err("it is of another format, version or dimension".to_owned());
        }
        let found: Vec<DumpedFile> = dump_paths(dir)
            .iter()
            .map(|path| measure(path))
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        if found != manifest.files {
            return Err("its checksums do not match".to_owned());
        }
        // The loaded graph borrows its loader, which holds little more than
        // two paths; leaking it is what makes the graph own itself.
        let hnsw = catch_unwind(AssertUnwindSafe(|| {
            let loader: &'static mut HnswIo = Box::leak(Box::new(HnswIo::new(dir, BASENAME)));
            loader.load_hnsw::<f32, UnitCosine>()
        }))
        .map_err(|_| "hnsw_rs panicked while loading it".to_owned())?
        .map_err(|error| error.to_string())?;
        if hnsw.get_nb_point() != manifest.points {
            return Err("it holds another number of points than was written".to_owned());
        }
        let mut graph = Self {
            hnsw,
            last: AtomicU64::new(manifest.last.0),
        };
        // Loading turns this on; insertions must go on as they began.
        graph.hnsw.set_extend_candidates(false);
        Ok(graph)
    }
}

fn dump_paths(dir: &Path) -> [PathBuf; 2] {
    ["hnsw.graph", "hnsw.data"].map(|ending| dir.join(format!("{BASENAME}.{ending}")))
}

fn measure(path: &Path) -> Result<DumpedFile, IndexError> {
    let bytes = fs::read(path).on("cannot read", path)?;
    Ok(DumpedFile {
        name: path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        bytes: bytes.len() as u64,
        crc32c: crc32c::crc32c(&bytes),
    })
}
