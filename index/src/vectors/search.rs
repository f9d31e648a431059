//! By which way is a part of the vectors searched, and what did that cost?
//!
//! Few allowed rows are compared one by one. Otherwise the graph is walked as it
//! is, and that shows how many of the rows around the query are allowed. Where
//! many are, everywhere and here, what may not be found is left out, and the
//! answer stands. Else the walk goes among the allowed rows alone, and farther
//! where few are allowed here; or all of them are compared, if that costs less.

use std::sync::{Mutex, PoisonError};

use cento_core::{ChunkNo, CosineScore};
use serde::{Deserialize, Serialize};

use super::allowed::Rows;
use super::effort::{Effort, Plan};
use super::graph::Walk;
use super::kernels::prefetch;
use super::rows::Query;
use super::scan;
use super::segment::Segment;

/// How a search of vectors was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Searched {
    /// Parts of which every allowed vector was compared.
    pub scanned: u32,
    /// Parts whose graph was walked.
    pub walked: u32,
    /// Parts whose graph was walked among allowed vectors alone.
    pub walked_among: u32,
    /// Vectors compared.
    pub compared: u64,
}

impl Searched {
    /// Whether every allowed vector was compared.
    pub fn is_exact(&self) -> bool {
        self.walked + self.walked_among == 0
    }
}

/// What a search needs; used again and again.
#[derive(Default)]
pub(crate) struct Scratch {
    walk: Walk,
    found: Vec<(u32, f32)>,
}

/// Keeps what searches need between them.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

/// So many are kept; more are made where more search at once.
const KEPT: usize = 64;

impl<T: Default> Pool<T> {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Lends one for as long as the work takes.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut lent = kept.unwrap_or_default();
        let result = work(&mut lent);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(lent);
        }
        result
    }
}

/// A scan of so many is never slower than a walk.
const SCANNED_ALWAYS: usize = 1000;

/// For each row that a walk keeps in sight, so many are scanned in the same time.
const SCANNED_PER_EF: usize = 32;

/// The same for a walk among some rows, which looks at the neighbours of
/// neighbours. Reckoned from the times of filters on 100,000 × 384: about 280 where
/// 10,000 were allowed, about 180 where 50,000 were.
const SCANNED_PER_EF_AMONG: usize = 192;

/// From this share on, a graph is walked as it is, and farther.
const MANY: f64 = 0.3;

/// A walk among some rows keeps so many times more of them in sight: it is
/// steered by fewer links.
const AMONG_SOME: usize = 2;

/// So many times more where what is nearest to the query may not be found: the
/// nearest allowed rows lie around a hole, on all sides of it.
const AROUND_A_HOLE: usize = 8;

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) query: &'a Query<'a>,
    pub(crate) depth: usize,
    pub(crate) effort: Effort,
}

/// What was found so far, of all parts.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) hits: Vec<(ChunkNo, CosineScore)>,
    pub(crate) searched: Searched,
}

/// Adds at least the `depth` nearest allowed rows that were found.
pub(crate) fn search(
    segment: &Segment,
    wanted: Wanted<'_>,
    rows: &Rows,
    scratch: &mut Scratch,
    answer: &mut Answer,
) {
    let Wanted {
        query,
        depth,
        effort,
    } = wanted;
    let Answer { hits, searched } = answer;
    let all = segment.rows();
    let (mask, count) = match rows {
        Rows::None => return,
        Rows::All => (None, all),
        Rows::Some(mask) => (Some(&**mask), mask.count()),
    };
    let space = segment.space();
    let plan = match effort {
        Effort::Recall(recall) if recall < Effort::ALL => Plan::of(segment.effort(), depth, recall),
        Effort::Ef(ef) => Plan::constant(ef),
        _ => Plan::constant(usize::MAX),
    };
    // Ranks by codes are not those by vectors: some more have to be compared.
    let least = if space.originals.is_empty() {
        depth
    } else {
        depth.saturating_mul(3) / 2
    };
    let plan = plan.map(|ef| ef.max(least));
    let scan = |searched: &mut Searched, hits: &mut Vec<_>| {
        searched.scanned += 1;
        searched.compared += count as u64;
        let found = match mask {
            None => scan::nearest(space, query, 0..all, depth),
            Some(mask) => {
                let rows = mask.rows().map(|row| row as usize);
                scan::nearest(space, query, rows, depth)
            }
        };
        hits.extend(
            found
                .into_iter()
                .map(|(row, score)| (segment.chunk(row), score)),
        );
    };
    if count <= SCANNED_ALWAYS.max(plan.least().saturating_mul(SCANNED_PER_EF)) {
        scan(searched, hits);
        return;
    }
    let Scratch { walk, found } = scratch;
    found.clear();
    let links = segment.adjacency();
    let share = count as f64 / all as f64;
    // As it is: for the answer, or to see what lies around the query.
    let plain = if share >= MANY {
        plan.map(|ef| (ef as f64 / share) as usize)
    } else {
        plan
    };
    let entries = segment.entries().iter().copied();
    let mut met = walk
        .search(space, &links, entries, &query.probe, plain)
        .peekable();
    let many_met = met.len();
    let nearest = met.peek().map_or(f32::NEG_INFINITY, |&(_, cosine)| cosine);
    let ef = plan.at(nearest);
    found.extend(met.filter(|&(row, _)| mask.is_none_or(|mask| mask.has(row))));
    searched.compared += walk.compared as u64;
    let share_here = found.len() as f64 / many_met.max(1) as f64;
    let Some(mask) = mask.filter(|_| share < MANY || share_here < share / 2.0) else {
        searched.walked += 1;
        rescore(segment, wanted, found, hits);
        return;
    };
    let factor = if share_here < share / 2.0 {
        AROUND_A_HOLE
    } else {
        AMONG_SOME
    };
    if count <= ef * factor * SCANNED_PER_EF_AMONG {
        scan(searched, hits);
        return;
    }
    found.clear();
    found.extend(walk.search_among(space, &links, mask, &query.probe, ef * factor));
    searched.walked_among += 1;
    searched.compared += walk.compared as u64;
    rescore(segment, wanted, found, hits);
}

/// Compares the best of what was found exactly.
fn rescore(
    segment: &Segment,
    Wanted { query, depth, .. }: Wanted<'_>,
    found: &[(u32, f32)],
    hits: &mut Vec<(ChunkNo, CosineScore)>,
) {
    let space = segment.space();
    // By codes, ranks are off by a few places. How far at most is known; how far as
    // a rule follows from that the error is spread over all dimensions.
    let spread = query.slack(space) / (space.dimensions as f32).sqrt();
    let last = found
        .get(depth - 1)
        .map_or(f32::NEG_INFINITY, |last| last.1);
    let near = found.partition_point(|(_, cosine)| *cosine >= last - SPREADS * spread);
    let near = &found[..near.min(depth.saturating_mul(4).saturating_add(20))];
    for &(row, _) in near {
        prefetch(space.original(row as usize));
    }
    hits.extend(near.iter().filter_map(|&(row, _)| {
        let row = row as usize;
        Some((segment.chunk(row), space.cosine(query.exact, row)?))
    }));
}

/// Two errors of four times their usual size, of which one makes a row seem nearer
/// and the other makes another seem farther.
const SPREADS: f32 = 8.0;
