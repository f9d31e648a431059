//! How far must a graph be walked so that nearly all of the nearest are found?
//!
//! Measured on the segment itself when it is frozen: rows drawn from it are asked
//! for their neighbours, by a walk and by comparing all. What comes of it is a
//! table, from which a search takes its `ef`.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::graph::{Cancelled, Graph, Walk, Watch};
use super::rows::{Probe, Space};

/// What a walk finds of the `depth` nearest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub(crate) depth: u32,
    pub(crate) ef: u32,
    /// The share found, from 0 to 1.
    pub(crate) recall: f32,
}

/// How much a search may cost for what it finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effort {
    /// So much of the nearest is to be found on average, from 0 to 1; from
    /// [`Effort::ALL`] on, every vector is compared.
    Recall(f32),
    /// A walk keeps so many of the best in sight: the `ef` of HNSW.
    Ef(usize),
    /// Every vector is compared.
    Exact,
}

impl Effort {
    /// A recall that only comparing all gives for sure.
    pub const ALL: f32 = 1.0;
}

impl Default for Effort {
    /// 99 of 100.
    fn default() -> Self {
        Self::Recall(0.99)
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recall(recall) => write!(f, "recall {recall}"),
            Self::Ef(ef) => write!(f, "ef {ef}"),
            Self::Exact => f.write_str("exact"),
        }
    }
}

/// The depths that are measured.
const DEPTHS: [u32; 2] = [10, 100];

/// Measured are these, and no more once nothing is missed.
const LADDER: [u32; 18] = [
    10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512,
];

/// So many rows are asked.
const SAMPLES: usize = 200;

/// Measures what walks find.
pub(crate) fn measure(
    space: Space<'_>,
    graph: &Graph,
    threads: usize,
    watch: &Watch,
) -> Result<Vec<Measured>, Cancelled> {
    let samples = SAMPLES.min(space.len());
    let deepest = DEPTHS.map(|depth| depth as usize);
    let found = Mutex::new(vec![[0_usize; LADDER.len()]; DEPTHS.len()]);
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut walk, mut codes) = (Walk::default(), Vec::new());
        let mut hits = vec![[0_usize; LADDER.len()]; DEPTHS.len()];
        loop {
            let sample = next.fetch_add(1, Ordering::Relaxed);
            if sample >= samples || watch.goes_on().is_err() {
                break;
            }
            // From all over, as rows lie in the order of a walk; not the first,
            // where walks begin.
            let row = (sample * space.len() / samples + space.len() / samples / 2) as u32;
            let probe = Probe::of_row(space, row, &mut codes);
            let truth = nearest(space, &probe, row, deepest[deepest.len() - 1]);
            for (at, &depth) in deepest.iter().enumerate() {
                // A row that is as near as the last one of the truth is as good.
                let Some(&least) = truth.get(depth.min(truth.len()).wrapping_sub(1)) else {
                    continue;
                };
                for (step, &ef) in LADDER.iter().enumerate() {
                    if (ef as usize) < depth {
                        continue;
                    }
                    let entries = graph.entries.iter().copied();
                    // A query is no row: it must be found without its links.
                    let (links, ef) = (graph.adjacency(), ef as usize);
                    let near = walk.search_without(row, space, &links, entries, &probe, ef);
                    let near = near.filter(|&(_, cosine)| cosine >= least);
                    hits[at][step] += near.take(depth).count();
                }
            }
        }
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        for (all, mine) in found.iter_mut().flatten().zip(hits.iter().flatten()) {
            *all += mine;
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    watch.goes_on()?;
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut table = Vec::new();
    for (depth, hits) in DEPTHS.into_iter().zip(found) {
        let wanted = samples * (depth as usize).min(space.len().saturating_sub(1));
        let steps = LADDER.into_iter().zip(hits);
        for (ef, hits) in steps.filter(|(ef, _)| *ef >= depth) {
            let recall = hits as f32 / wanted.max(1) as f32;
            table.push(Measured { depth, ef, recall });
            if hits == wanted {
                break;
            }
        }
    }
    Ok(table)
}

/// Cosines of the nearest rows but the row itself, best first.
fn nearest(space: Space<'_>, probe: &Probe<'_>, row: u32, depth: usize) -> Vec<f32> {
    const AT_ONCE: u32 = 64;
    let mut sums = [0; AT_ONCE as usize];
    let mut best: Vec<f32> = Vec::new();
    let mut named = Vec::with_capacity(AT_ONCE as usize);
    let mut least = f32::NEG_INFINITY;
    for first in (0..space.len() as u32).step_by(AT_ONCE as usize) {
        let last = (first + AT_ONCE).min(space.len() as u32);
        named.clear();
        named.extend((first..last).filter(|&other| other != row));
        best.extend(
            probe
                .cosines(space, &named, &mut sums)
                .filter(|&x| x > least),
        );
        if best.len() > 8 * depth {
            best.select_nth_unstable_by(depth - 1, |a, b| b.total_cmp(a));
            best.truncate(depth);
            least = best[depth - 1];
        }
    }
    best.sort_unstable_by(|a, b| b.total_cmp(a));
    best.truncate(depth);
    best
}

/// The `ef` for a depth at which so much is found, as far as it was measured.
pub(crate) fn ef_for(table: &[Measured], depth: usize, recall: f32) -> usize {
    let at = |measured: u32| {
        let mut steps = table.iter().filter(|step| step.depth == measured);
        let enough = steps.clone().find(|step| step.recall >= recall);
        let last = || steps.next_back();
        enough.or_else(last).map_or(measured * 2, |step| step.ef) as usize
    };
    let [near, far] = DEPTHS.map(|depth| (depth as usize, at(depth)));
    let ef = if depth <= near.0 {
        near.1
    } else if depth >= far.0 {
        far.1.saturating_mul(depth) / far.0
    } else {
        // Straight between the two.
        let share = (depth - near.0) as f32 / (far.0 - near.0) as f32;
        (near.1 as f32 + share * (far.1 as f32 - near.1 as f32)).ceil() as usize
    };
    ef.max(depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effort_grows_with_depth_and_recall() {
        let step = |depth, ef, recall| Measured { depth, ef, recall };
        let table = [
            step(10, 10, 0.9),
            step(10, 20, 0.96),
            step(10, 40, 0.995),
            step(100, 100, 0.97),
            step(100, 200, 0.999),
        ];
        let ef = |depth, recall| ef_for(&table, depth, recall);
        assert_eq!([ef(10, 0.9), ef(10, 0.95), ef(10, 0.99)], [10, 20, 40]);
        assert_eq!([ef(1, 0.99), ef(100, 0.99), ef(200, 0.99)], [40, 200, 400]);
        assert_eq!(ef(55, 0.99), 120);
        // Beyond what was measured, and without a table.
        assert_eq!(ef(10, 0.9999), 40);
        assert_eq!(ef_for(&[], 10, 0.99), 20);
        assert_eq!(ef(80, 0.0), 80);
        assert_eq!(ef(usize::MAX, 0.99), usize::MAX);
    }
}
