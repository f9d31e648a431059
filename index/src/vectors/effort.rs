//! How far must a graph be walked so that nearly all of the nearest are found?
//!
//! That depends on the query: one that has a row right beside it finds the others
//! around that at once, one that is far from all rows has its neighbours on all
//! sides. So it is measured by how near the nearest row is, on the segment itself
//! when it is frozen: rows drawn from it, of those that have a row beside them and
//! of those that do not, are asked for their neighbours, by a walk and by comparing
//! all. A search begins with the least `ef` and goes on with more if what it finds
//! first is far.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::graph::{Cancelled, Graph, Met, Reach, Walk, Watch};
use super::rows::{Probe, Space};

/// What a walk finds of the `depth` nearest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    /// Of queries whose nearest row has at least this cosine, and less than the
    /// next class of queries.
    pub(crate) from: f32,
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
const LADDER: [u32; 24] = [
    10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512, 640, 800, 1024,
    1280, 1600, 2048,
];

/// So many rows are drawn, to see how near their neighbours are.
const DRAWN: usize = 4096;

/// A walk with so many in sight finds the nearest row nearly always.
const TO_SEE_THE_NEAREST: usize = 32;

/// The classes of rows by how near their nearest is: where each begins, of all
/// rows drawn, the farthest first. Queries are oftener far from all rows than rows
/// are, so more is known of these.
const CLASSES: [f64; 4] = [0.0, 1.0 / 32.0, 1.0 / 8.0, 3.0 / 8.0];

/// So many rows of a class are asked.
const SAMPLES: usize = 80;

/// What was measured, and which share of the ten nearest is found at most, of all
/// rows.
pub(crate) struct Table {
    pub(crate) steps: Vec<Measured>,
    pub(crate) most: f32,
}

/// Measures what walks find.
pub(crate) fn measure(
    space: Space<'_>,
    graph: &Graph,
    threads: usize,
    watch: &Watch,
) -> Result<Table, Cancelled> {
    let classes = classes(space, graph, threads, watch)?;
    let samples = classes.iter().enumerate();
    let samples: Vec<(usize, u32)> = samples
        .flat_map(|(class, of)| of.rows.iter().map(move |&row| (class, row)))
        .collect();
    let ask = |&(class, row): &(usize, u32), walk: &mut Walk, codes: &mut Vec<i8>| {
        let probe = Probe::of_row(space, row, codes);
        let deepest = DEPTHS[DEPTHS.len() - 1] as usize;
        let truth = nearest(space, &probe, row, deepest);
        let mut hits = [Hits::default(); DEPTHS.len()];
        let ladder = Ladder {
            truth: &truth,
            step: 0,
            hits: &mut hits,
        };
        // A query is no row: it must be found without its links.
        let entries = graph.entries.iter().copied();
        let _ = walk.search_without(row, space, &graph.adjacency(), entries, &probe, ladder);
        (class, hits)
    };
    let mut found = vec![[Hits::default(); DEPTHS.len()]; classes.len()];
    for (class, hits) in on_threads(threads, &samples, watch, ask)? {
        for (sums, hits) in found[class].iter_mut().zip(hits) {
            for (sum, hits) in sums.iter_mut().zip(hits) {
                *sum += hits;
            }
        }
    }
    let (mut steps, mut most) = (Vec::new(), 0.0);
    for (class, hits) in classes.iter().zip(found) {
        for (depth, hits) in DEPTHS.into_iter().zip(hits) {
            let wanted = class.rows.len() * (depth as usize).min(space.len().saturating_sub(1));
            let (mut best, ladder) = (0.0, LADDER.into_iter().zip(hits));
            for (ef, hits) in ladder.filter(|(ef, _)| *ef >= depth) {
                let recall = hits as f32 / wanted.max(1) as f32;
                let from = class.from;
                steps.push(Measured {
                    from,
                    depth,
                    ef,
                    recall,
                });
                best = recall;
                if hits == wanted {
                    break;
                }
            }
            if depth == DEPTHS[0] {
                most += best * class.share;
            }
        }
    }
    Ok(Table { steps, most })
}

/// Rows whose nearest row is about as near.
struct Class {
    from: f32,
    /// How many of all rows are such.
    share: f32,
    /// Those that are asked.
    rows: Vec<u32>,
}

/// Draws rows from all over, as they lie in the order of a walk, and puts them into
/// classes, the farthest first.
fn classes(
    space: Space<'_>,
    graph: &Graph,
    threads: usize,
    watch: &Watch,
) -> Result<Vec<Class>, Cancelled> {
    let count = DRAWN.min(space.len());
    // Not the first, where walks begin.
    let middle = space.len() / count.max(1) / 2;
    let drawn: Vec<u32> = (0..count)
        .map(|at| (at * space.len() / count + middle) as u32)
        .collect();
    let see = |&row: &u32, walk: &mut Walk, codes: &mut Vec<i8>| {
        let probe = Probe::of_row(space, row, codes);
        let (entries, ef) = (graph.entries.iter().copied(), TO_SEE_THE_NEAREST);
        let mut near = walk.search_without(row, space, &graph.adjacency(), entries, &probe, ef);
        (near.next().map_or(0.0, |(_, cosine)| cosine), row)
    };
    let mut seen = on_threads(threads, &drawn, watch, see)?;
    seen.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let first = CLASSES.map(|share| (share * count as f64) as usize);
    let last = first.iter().copied().skip(1).chain([count]);
    let mut classes: Vec<Class> = Vec::new();
    for (first, last) in first.into_iter().zip(last) {
        let Some(&(from, _)) = seen[first..last].first() else {
            continue;
        };
        let share = (last - first) as f32 / count as f32;
        match classes.last_mut() {
            // As near as those before: many rows are alike.
            Some(before) if before.from == from => before.share += share,
            _ => {
                let asked = SAMPLES.min(last - first);
                let at = |sample| first + sample * (last - first) / asked;
                let rows = (0..asked).map(|sample| seen[at(sample)].1).collect();
                classes.push(Class { from, share, rows });
            }
        }
    }
    Ok(classes)
}

/// Does the work for each of many, on so many threads, until it is not wanted any
/// more.
fn on_threads<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    watch: &Watch,
    work: impl Fn(&T, &mut Walk, &mut Vec<i8>) -> R + Sync,
) -> Result<Vec<R>, Cancelled> {
    let (done, next) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let work = || {
        let (mut walk, mut codes, mut mine) = (Walk::default(), Vec::new(), Vec::new());
        while watch.goes_on().is_ok()
            && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
        {
            mine.push(work(item, &mut walk, &mut codes));
        }
        done.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut mine);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    watch.goes_on()?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// How many were found with each `ef` of the ladder.
type Hits = [usize; LADDER.len()];

/// One walk that goes on from each `ef` to the next, and counts what it has found.
struct Ladder<'a> {
    /// Cosines of the nearest, best first.
    truth: &'a [f32],
    step: usize,
    hits: &'a mut [Hits; DEPTHS.len()],
}

impl Reach for Ladder<'_> {
    const CAN_GROW: bool = true;

    fn first(&self) -> usize {
        LADDER[0] as usize
    }

    fn farther(&mut self, near: &[Met]) -> usize {
        let mut has_all = true;
        for (depth, hits) in DEPTHS.into_iter().zip(&mut *self.hits) {
            let depth = (depth as usize).min(self.truth.len());
            // A row that is as near as the last one of the truth is as good.
            let least = depth
                .checked_sub(1)
                .map_or(f32::INFINITY, |at| self.truth[at]);
            let found = near.partition_point(|met| met.cosine >= least).min(depth);
            // What is found stays found.
            hits[self.step..].fill(found);
            has_all &= found == depth;
        }
        self.step += 1;
        match LADDER.get(self.step) {
            Some(&ef) if !has_all => ef as usize,
            _ => 0,
        }
    }
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

/// How far a walk goes for one query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    /// From which cosine of the nearest row on which `ef` is enough; the farthest
    /// first.
    steps: [(f32, usize); CLASSES.len()],
}

impl Plan {
    /// The same for every query.
    pub(crate) fn constant(ef: usize) -> Self {
        Self {
            steps: [(f32::NEG_INFINITY, ef); CLASSES.len()],
        }
    }

    /// So that so much of the nearest is found, as far as it was measured.
    pub(crate) fn of(table: &[Measured], depth: usize, recall: f32) -> Self {
        let mut plan = Self::constant(ef_for(table, depth, recall));
        let classes = table.chunk_by(|a, b| a.from == b.from);
        let mut classes = classes.map(|class| (class[0].from, ef_for(class, depth, recall)));
        for at in 0..CLASSES.len() {
            // Those that are missing are as the last one.
            let last = at.checked_sub(1).map(|last| plan.steps[last]);
            plan.steps[at] = classes.next().or(last).unwrap_or(plan.steps[at]);
        }
        // What is farther is never easier.
        for at in (1..CLASSES.len()).rev() {
            plan.steps[at - 1].1 = plan.steps[at - 1].1.max(plan.steps[at].1);
        }
        plan
    }

    /// Another `ef` for each.
    pub(crate) fn map(mut self, change: impl Fn(usize) -> usize) -> Self {
        for (_, ef) in &mut self.steps {
            *ef = change(*ef);
        }
        self
    }

    /// For the query whose nearest row is right beside it.
    pub(crate) fn least(&self) -> usize {
        self.steps[CLASSES.len() - 1].1
    }

    /// For a query whose nearest row has this cosine.
    pub(crate) fn at(&self, nearest: f32) -> usize {
        let as_near = self.steps.iter().rev().find(|step| step.0 <= nearest);
        as_near.unwrap_or(&self.steps[0]).1
    }
}

impl Reach for Plan {
    const CAN_GROW: bool = true;

    fn first(&self) -> usize {
        self.least()
    }

    fn farther(&mut self, near: &[Met]) -> usize {
        near.first().map_or(0, |nearest| self.at(nearest.cosine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::graph::{Recipe, grow};
    use crate::vectors::rows::Query;
    use crate::vectors::samples::{block, crowd};

    fn step(from: f32, depth: u32, ef: u32, recall: f32) -> Measured {
        Measured {
            from,
            depth,
            ef,
            recall,
        }
    }

    fn grown(space: Space<'_>, degree: usize, ef: usize) -> Graph {
        let recipe = Recipe {
            degree,
            ef,
            alpha: 1.1,
            threads: 2,
        };
        grow(space, None, &recipe, &Watch::default()).unwrap()
    }

    #[test]
    fn effort_grows_with_depth_and_recall() {
        let table = [
            step(0.0, 10, 10, 0.9),
            step(0.0, 10, 20, 0.96),
            step(0.0, 10, 40, 0.995),
            step(0.0, 100, 100, 0.97),
            step(0.0, 100, 200, 0.999),
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

    #[test]
    fn a_query_far_from_all_rows_is_walked_farther() {
        let table = [
            step(0.2, 10, 100, 0.97),
            step(0.2, 10, 200, 0.99),
            step(0.5, 10, 20, 0.99),
            step(0.8, 10, 40, 0.99),
        ];
        let plan = Plan::of(&table, 10, 0.99);
        let ef = |nearest| plan.at(nearest);
        assert_eq!([ef(0.1), ef(0.2), ef(0.49)], [200, 200, 200]);
        // Twenty were enough by chance.
        assert_eq!([ef(0.5), ef(0.8), ef(1.0)], [40, 40, 40]);
        assert_eq!((plan.least(), plan.map(|ef| ef * 2).at(0.3)), (40, 400));
        let other = Plan::of(&[], 10, 0.99);
        assert_eq!(other, Plan::constant(20));
    }

    #[test]
    fn a_walk_that_goes_on_ends_where_a_longer_one_does() {
        let block = block(&crowd(5000, 24), 0, false);
        let space = block.space();
        let graph = grown(space, 16, 40);
        let (mut walk, mut room) = (Walk::default(), Vec::new());
        let mut has_grown = false;
        for mut query in crowd(60, 24) {
            query.reverse();
            let query = Query::new(&query, &mut room);
            let mut ask = |reach: Plan| {
                let entries = graph.entries.iter().copied();
                let near = walk.search(space, &graph.adjacency(), entries, &query.probe, reach);
                let near: Vec<(u32, f32)> = near.collect();
                (near, walk.compared)
            };
            let growing = Plan {
                steps: [(f32::NEG_INFINITY, 150), (2.0, 60), (3.0, 30), (4.0, 10)],
            };
            let grown = ask(growing);
            has_grown |= grown.1 > ask(Plan::constant(10)).1;
            assert_eq!(grown, ask(Plan::constant(150)));
        }
        assert!(has_grown);
    }

    #[test]
    fn rows_far_from_the_others_are_measured_by_themselves() {
        let block = block(&crowd(6000, 24), 0, false);
        let space = block.space();
        let graph = grown(space, 12, 30);
        let watch = Watch::default();
        let table = measure(space, &graph, 2, &watch).unwrap();
        assert!(table.most > 0.95, "{}", table.most);
        let bounds: Vec<f32> = (table.steps)
            .chunk_by(|a, b| a.from == b.from)
            .map(|class| class[0].from)
            .collect();
        assert_eq!(bounds.len(), CLASSES.len());
        assert!(bounds.is_sorted(), "{bounds:?}");
        let is_sorted = |class: &[Measured]| class.is_sorted_by_key(|step| step.recall);
        let mut columns = table
            .steps
            .chunk_by(|a, b| (a.from, a.depth) == (b.from, b.depth));
        assert!(columns.all(is_sorted));
        watch.cancel();
        assert!(measure(space, &graph, 2, &watch).is_err());
    }
}
