//! How do rows that were scanned become a segment that is walked, and segments
//! one?
//!
//! The largest part keeps its graph and its dead rows, which still show the way;
//! living rows of the others are linked to it. Where it is itself the smaller
//! half, or a fifth of it is dead, all is linked anew, and what is dead is gone.

use std::path::Path;
use std::sync::Arc;

use cento_core::ChunkNo;
use roaring::RoaringTreemap;

use super::allowed::ByChunk;
use super::block::Block;
use super::effort::{Measured, Table, measure};
use super::graph::{Cancelled, Graph, NONE, Recipe, Watch, finish, grow, grow_by_hnsw_rs};
use super::rows::{RowStore, Space};
use super::segment::{Contents, Segment, segment_path, write};
use crate::disk::sync_dir;
use crate::{IndexError, VectorOptions, fault};

/// Rows to be frozen, in order of their chunks.
#[derive(Clone)]
pub(crate) enum Part {
    Fresh(Arc<Block>),
    Frozen(Arc<Segment>),
}

impl Part {
    fn space(&self) -> Space<'_> {
        match self {
            Self::Fresh(block) => block.space(),
            Self::Frozen(segment) => segment.space(),
        }
    }

    fn chunk(&self, row: usize) -> ChunkNo {
        match self {
            Self::Fresh(block) => block.number(row),
            Self::Frozen(segment) => segment.chunk(row),
        }
    }
}

/// Which program links rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GraphBuilder {
    /// This project's own.
    #[default]
    Own,
    /// hnsw_rs; it links all rows anew each time.
    HnswRs,
}

/// Degree, ef and factor were chosen on 100,000 passages and 100,000 clustered
/// points: see the benchmark.
pub(crate) fn recipe() -> Recipe {
    Recipe {
        degree: 40,
        ef: 200,
        alpha: 1.1,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Why there is no segment.
#[derive(Debug)]
pub(crate) enum Unfrozen {
    Cancelled,
    Failed(IndexError),
}

impl From<IndexError> for Unfrozen {
    fn from(error: IndexError) -> Self {
        Self::Failed(error)
    }
}

impl From<Cancelled> for Unfrozen {
    fn from(Cancelled: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// A graph that finds less than this of the ten nearest, however far it is
/// walked, is not published.
const LEAST_RECALL: f32 = 0.9;

/// Freezes what is alive of the parts into the segment of this number; `None`
/// if nothing is.
pub(crate) fn freeze(
    dir: &Path,
    number: u64,
    parts: &[Part],
    live: &RoaringTreemap,
    options: VectorOptions,
    watch: &Watch,
) -> Result<Option<Segment>, Unfrozen> {
    let builder = options.builder;
    let dimensions = match parts {
        [] => return Ok(None),
        [first, ..] => first.space().dimensions,
    };
    let recipe = recipe();
    let base = if builder == GraphBuilder::Own {
        base_of(parts, live)
    } else {
        None
    };
    let gathered = Gathered::new(parts, live, base, dimensions);
    if gathered.sources.is_empty() {
        return Ok(None);
    }
    let space = gathered.codes.space();
    let (graph, order, effort) = linked(space, base, builder, &recipe, watch)?;
    let keeps_originals = parts.iter().all(|part| !part.space().originals.is_empty());
    let original = |row: u32| {
        let (part, row) = gathered.sources[row as usize];
        parts[part].space().original(row).to_vec()
    };
    let contents = Contents {
        space,
        order: &order,
        graph: &graph,
        chunks: &gathered.chunks,
        effort: &effort,
        keeps_originals,
        slack: parts
            .iter()
            .map(|part| part.space().slack)
            .fold(0.0, f32::max),
        original: &original,
    };
    write(&segment_path(dir, number), &contents)?;
    fault::point("segment.written");
    sync_dir(dir)?;
    fault::point("segment.synced");
    Ok(Some(Segment::open(
        dir,
        number,
        dimensions,
        options.residence,
    )?))
}

/// The part whose graph is kept.
fn base_of<'a>(parts: &'a [Part], live: &RoaringTreemap) -> Option<&'a Segment> {
    let rows = |part: &Part| part.space().len();
    let total: usize = parts.iter().map(rows).sum();
    let largest = parts.iter().max_by_key(|part| rows(part))?;
    let Part::Frozen(segment) = largest else {
        return None;
    };
    let is_kept = segment.rows() * 2 >= total && dead_rows(segment, live) * 5 < segment.rows();
    (is_kept && parts.len() > 1).then_some(segment)
}

/// How many rows of a segment nobody can find any more.
pub(crate) fn dead_rows(segment: &Segment, live: &RoaringTreemap) -> usize {
    let (first, last) = segment.bounds();
    // Numbers that stand and lie between its bounds are its rows.
    let alive = live.range_cardinality(first.0..=last.0);
    segment
        .rows()
        .saturating_sub(usize::try_from(alive).unwrap_or(usize::MAX))
}

/// Rows of all parts, those of the base first and as they lie in it.
struct Gathered {
    codes: RowStore,
    chunks: Vec<ChunkNo>,
    sources: Vec<(usize, usize)>,
}

impl Gathered {
    fn new(
        parts: &[Part],
        live: &RoaringTreemap,
        base: Option<&Segment>,
        dimensions: usize,
    ) -> Self {
        let is_base = |part: &Part| match (part, base) {
            (Part::Frozen(segment), Some(base)) => segment.identity() == base.identity(),
            _ => false,
        };
        let rows = parts.iter().map(|part| part.space().len()).sum();
        let mut gathered = Self {
            codes: RowStore::with_room(dimensions, rows),
            chunks: Vec::new(),
            sources: Vec::new(),
        };
        let (bases, others): (Vec<_>, Vec<_>) = parts
            .iter()
            .enumerate()
            .partition(|(_, part)| is_base(part));
        for (at, part) in bases.into_iter().chain(others) {
            let space = part.space();
            for row in 0..space.len() {
                let chunk = part.chunk(row);
                if is_base(part) || live.contains(chunk.0) {
                    gathered.codes.append_codes(space, row);
                    gathered.chunks.push(chunk);
                    gathered.sources.push((at, row));
                }
            }
        }
        gathered
    }
}

type Linked = (Graph, Vec<u32>, Vec<Measured>);

/// Links rows, and makes sure that they are found.
fn linked(
    space: Space<'_>,
    base: Option<&Segment>,
    builder: GraphBuilder,
    recipe: &Recipe,
    watch: &Watch,
) -> Result<Linked, Unfrozen> {
    let given = base.map(|base| {
        let rows = base.rows() as u32;
        // A damaged link must not lead a builder astray.
        let sound = |&link: &u32| if link < rows { link } else { NONE };
        Graph {
            degree: base.adjacency().degree,
            links: base.adjacency().links.iter().map(sound).collect(),
            entries: base
                .entries()
                .iter()
                .copied()
                .filter(|&row| row < rows)
                .collect(),
        }
    });
    let foreign = match builder {
        GraphBuilder::HnswRs => grow_by_hnsw_rs(space, recipe, watch)?,
        GraphBuilder::Own => None,
    };
    let mut attempt = match foreign {
        Some(graph) => graph,
        None => grow(space, given.as_ref(), recipe, watch)?,
    };
    let mut more = *recipe;
    loop {
        // Measured as it will lie.
        let order = finish(space, &mut attempt, recipe, watch)?;
        let mut sorted = RowStore::with_room(space.dimensions, space.len());
        for &row in &order {
            sorted.append_codes(space, row as usize);
        }
        let Table { steps, most } = measure(sorted.space(), &attempt, recipe.threads, watch)?;
        if most >= LEAST_RECALL || space.len() <= 10 {
            return Ok((attempt, order, steps));
        }
        if more.ef > 4 * recipe.ef {
            let reason = format!("a graph of its rows finds only {most:.3} of the nearest");
            return Err(Unfrozen::Failed(IndexError::Projection {
                projection: "vectors",
                reason,
            }));
        }
        // Once more, from nothing and with more care.
        more.ef *= 2;
        attempt = grow(space, None, &more, watch)?;
    }
}

#[cfg(test)]
mod tests {
    use cento_core::CosineScore;

    use super::*;
    use crate::vectors::samples::{block, crowd};
    use crate::vectors::{Allowed, Effort, Residence, VectorSet};

    fn frozen(dir: &Path, number: u64, parts: &[Part], live: &RoaringTreemap) -> Segment {
        let options = VectorOptions::default();
        let frozen = freeze(dir, number, parts, live, options, &Watch::default());
        frozen.unwrap().unwrap()
    }

    fn set(segment: Segment) -> VectorSet {
        VectorSet::of(vec![Arc::new(segment)], Vec::new())
    }

    /// The share of the ten nearest that is found, and how.
    fn recall(set: &VectorSet, queries: &[Vec<f32>], allowed: &Allowed) -> f64 {
        let (mut found, mut wanted) = (0, 0);
        for query in queries {
            let (exact, searched) = set.nearest(query, allowed, 10, Effort::Exact);
            assert!(searched.is_exact());
            let (hits, searched) = set.nearest(query, allowed, 10, Effort::Ef(64));
            assert!(!searched.is_exact());
            let best_first = |pair: &[(ChunkNo, CosineScore)]| pair[0].1 >= pair[1].1;
            assert!(hits.windows(2).all(best_first));
            wanted += exact.len();
            found += exact.iter().filter(|hit| hits.contains(hit)).count();
        }
        found as f64 / wanted as f64
    }

    #[test]
    fn what_is_frozen_is_found_and_scored_as_it_was_scanned() {
        for keeps_originals in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let vectors = crowd(6000, 40);
            let fresh = Arc::new(block(&vectors, 100, keeps_originals));
            let live = (100..6100).collect();
            let segment = frozen(dir.path(), 1, &[Part::Fresh(Arc::clone(&fresh))], &live);
            segment.verify().unwrap();
            assert_eq!(segment.bounds(), (ChunkNo(100), ChunkNo(6099)));
            let frozen = set(segment);
            let scanned = VectorSet::of(Vec::new(), vec![fresh]);
            let all = Allowed::new(live);
            for query in vectors.iter().step_by(997) {
                let exact = |set: &VectorSet| set.nearest(query, &all, 50, Effort::Exact).0;
                assert_eq!(exact(&frozen), exact(&scanned));
            }
            for chunk in [ChunkNo(100), ChunkNo(3333), ChunkNo(6099)] {
                assert_eq!(frozen.row(chunk), scanned.row(chunk));
            }
            assert_eq!(frozen.row(ChunkNo(6100)), None);
            let queries: Vec<_> = vectors.into_iter().step_by(61).collect();
            let recall = recall(&frozen, &queries, &all);
            assert!(recall >= 0.99, "{recall}");
        }
    }

    #[test]
    fn segments_merge_and_what_is_dead_stays_out_of_sight_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let vectors = crowd(9000, 24);
        let all: RoaringTreemap = (0..9000).collect();
        let fresh = |from: usize, to: usize| {
            Part::Fresh(Arc::new(block(&vectors[from..to], from as u64, false)))
        };
        let large = frozen(dir.path(), 1, &[fresh(0, 6000)], &all);
        let small = frozen(dir.path(), 2, &[fresh(6000, 7000)], &all);
        let parts = [
            Part::Frozen(Arc::new(large)),
            Part::Frozen(Arc::new(small)),
            fresh(7000, 9000),
        ];
        let queries: Vec<_> = vectors.iter().step_by(91).cloned().collect();
        // Few are dead: they stay, to be walked over. Many are: they go.
        for (every, rows) in [(10, 6000 + 900 + 1800), (3, 6000)] {
            let live: RoaringTreemap = (0..9000).filter(|chunk| chunk % every != 0).collect();
            let merged = frozen(dir.path(), 3, &parts, &live);
            assert_eq!(merged.rows(), rows);
            let dead = dead_rows(&merged, &live);
            assert_eq!(dead, if every == 10 { 600 } else { 0 });
            let recall = recall(&set(merged), &queries, &Allowed::new(live));
            assert!(recall >= 0.99, "{recall}");
        }
    }

    #[test]
    fn nothing_alive_makes_no_segment_and_a_cancelled_one_leaves_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let parts = [Part::Fresh(Arc::new(block(&crowd(300, 8), 0, false)))];
        let freeze = |live: RoaringTreemap, cancelled: bool| {
            let (watch, options) = (Watch::default(), VectorOptions::default());
            if cancelled {
                watch.cancel();
            }
            freeze(dir.path(), 1, &parts, &live, options, &watch)
        };
        assert!(matches!(freeze(RoaringTreemap::new(), false), Ok(None)));
        let cancelled = freeze((0..300).collect(), true);
        assert!(matches!(cancelled, Err(Unfrozen::Cancelled)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn vectors_that_are_all_alike_are_all_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut vectors = crowd(1500, 16);
        let same = vectors[0].clone();
        vectors.extend(std::iter::repeat_n(same.clone(), 3000));
        let live: RoaringTreemap = (0..4500).collect();
        let parts = [Part::Fresh(Arc::new(block(&vectors, 0, false)))];
        let segment = set(frozen(dir.path(), 1, &parts, &live));
        let all = Allowed::new(live);
        let (hits, _) = segment.nearest(&same, &all, 10, Effort::default());
        assert!(hits.iter().all(|hit| hit.1.0 > 0.9999), "{hits:?}");
        let queries: Vec<_> = vectors[..1500]
            .iter()
            .step_by(53)
            .skip(1)
            .cloned()
            .collect();
        let (mut found, mut wanted) = (0, 0);
        for query in &queries {
            let (exact, _) = segment.nearest(query, &all, 1, Effort::Exact);
            let (hits, _) = segment.nearest(query, &all, 1, Effort::default());
            wanted += 1;
            found += usize::from(exact[0].1 == hits[0].1);
        }
        assert!(found * 100 >= wanted * 95, "{found} of {wanted}");
    }

    #[test]
    fn hnsw_rs_builds_what_is_searched_alike() {
        let dir = tempfile::tempdir().unwrap();
        let vectors = crowd(4000, 32);
        let live: RoaringTreemap = (0..4000).collect();
        let parts = [Part::Fresh(Arc::new(block(&vectors, 0, false)))];
        let built = freeze(
            dir.path(),
            1,
            &parts,
            &live,
            VectorOptions {
                builder: GraphBuilder::HnswRs,
                residence: Residence::Mapped,
                ..VectorOptions::default()
            },
            &Watch::default(),
        );
        let segment = set(built.unwrap().unwrap());
        let queries: Vec<_> = vectors.into_iter().step_by(61).collect();
        let recall = recall(&segment, &queries, &Allowed::new(live));
        assert!(recall >= 0.99, "{recall}");
    }

    #[test]
    fn filters_find_what_they_let_through_near_the_query_or_far_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let vectors = crowd(20_000, 32);
        let live: RoaringTreemap = (0..20_000).collect();
        let parts = [Part::Fresh(Arc::new(block(&vectors, 0, false)))];
        let segment = set(frozen(dir.path(), 1, &parts, &live));
        let queries: Vec<_> = vectors.iter().step_by(487).cloned().collect();
        for share in [0.97, 0.5, 0.25, 0.01] {
            let many = (20_000.0 * share) as usize;
            for is_far in [false, true] {
                let (mut found, mut wanted) = (0, 0);
                for query in &queries {
                    // Of rows drawn at random, or of those that are farthest.
                    let mut order: Vec<u64> = (0..20_000).collect();
                    if is_far {
                        let near = |&row: &u64| {
                            let pairs = vectors[row as usize].iter().zip(query);
                            CosineScore(pairs.map(|(a, b)| a * b).sum())
                        };
                        order.sort_by_key(near);
                    } else {
                        order.sort_by_key(|row| row.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32);
                    }
                    let allowed = Allowed::new(order[..many].iter().copied().collect());
                    let (exact, _) = segment.nearest(query, &allowed, 10, Effort::Exact);
                    let (hits, searched) = segment.nearest(query, &allowed, 10, Effort::Ef(40));
                    if share < 0.1 || (share > 0.4 && !is_far) {
                        assert_eq!(searched.is_exact(), share < 0.1, "{share}");
                    }
                    wanted += exact.len();
                    found += exact.iter().filter(|hit| hits.contains(hit)).count();
                    assert!(hits.iter().all(|hit| allowed.chunks.contains(hit.0.0)));
                }
                let recall = f64::from(found as u32) / f64::from(wanted as u32);
                assert!(recall >= 0.97, "{recall} at {share}, far: {is_far}");
            }
        }
    }
}
