//! Which rows are nearest, when all of them are compared?
//!
//! Codes are compared with codes first: a processor multiplies many of them at
//! once, where for floats each has to be widened. How wrong that can be is known, so every row that may be among the
//! best is compared exactly, and the answer is that of an exact scan.

use cento_core::CosineScore;

use super::rows::{Query, Space};

/// So many rows go to a kernel at once.
const AT_ONCE: usize = 64;

/// Rows that may be among the `depth` nearest of those allowed, with their exact
/// cosines: at least the `depth` nearest, in no order.
pub(crate) fn nearest(
    space: Space<'_>,
    query: &Query<'_>,
    allowed: impl Iterator<Item = usize>,
    depth: usize,
) -> Vec<(usize, CosineScore)> {
    let mut candidates = Candidates::new(depth, query.slack(space));
    let mut named = Vec::with_capacity(AT_ONCE);
    let mut sums = [0; AT_ONCE];
    let mut compare = |named: &mut Vec<u32>| {
        let cosines = query.probe.cosines(space, named, &mut sums);
        for (&row, cosine) in named.iter().zip(cosines) {
            candidates.offer(row, cosine);
        }
        named.clear();
    };
    for row in allowed {
        named.push(row as u32);
        if named.len() == AT_ONCE {
            compare(&mut named);
        }
    }
    compare(&mut named);
    let exact = |(_, row): (f32, u32)| {
        let row = row as usize;
        Some((row, space.cosine(query.exact, row)?))
    };
    candidates.end().into_iter().filter_map(exact).collect()
}

/// Rows whose exact cosines may be among the best.
struct Candidates {
    depth: usize,
    slack: f32,
    /// What falls below cannot be among the best.
    least: f32,
    rows: Vec<(f32, u32)>,
}

impl Candidates {
    fn new(depth: usize, slack: f32) -> Self {
        let least = if depth == 0 {
            f32::INFINITY
        } else {
            f32::NEG_INFINITY
        };
        Self {
            depth,
            slack,
            least,
            rows: Vec::new(),
        }
    }

    fn offer(&mut self, row: u32, cosine: f32) {
        if cosine >= self.least {
            self.rows.push((cosine, row));
            if self.rows.len() >= 4 * self.depth + 4 * AT_ONCE {
                self.sift();
            }
        }
    }

    /// Drops what cannot be among the best: `depth` rows are better even if each
    /// of them is as much worse than it seems as can be, and this one better.
    fn sift(&mut self) {
        if self.depth == 0 || self.rows.len() <= self.depth {
            return;
        }
        let best_first = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0);
        let (_, last, _) = (self.rows).select_nth_unstable_by(self.depth - 1, best_first);
        self.least = last.0 - 2.0 * self.slack;
        let least = self.least;
        self.rows.retain(|(cosine, _)| *cosine >= least);
    }

    fn end(mut self) -> Vec<(f32, u32)> {
        self.sift();
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::Codes;
    use crate::vectors::rows::RowStore;
    use crate::vectors::samples::crowd;

    #[test]
    fn what_it_leaves_out_is_never_among_the_nearest() {
        let vectors = crowd(3000, 40);
        let mut store = RowStore::new(40);
        for vector in &vectors {
            store.extend(Codes::quantise(40, &[vector]).values(), &[]);
        }
        store.extend(&[0; 40], &[]);
        let space = store.space();
        for exact in vectors.iter().step_by(301) {
            let mut room = Vec::new();
            let query = Query::new(exact, &mut room);
            for depth in [0, 1, 10, 100, 5000] {
                let allowed = || (0..space.len()).filter(|row| row % 3 != 1);
                let best = |mut hits: Vec<(usize, CosineScore)>| {
                    hits.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
                    hits.truncate(depth);
                    hits
                };
                let all = allowed().filter_map(|row| Some((row, space.cosine(exact, row)?)));
                let found = nearest(space, &query, allowed(), depth);
                if depth == 10 {
                    assert!(found.len() < 1500, "{} of 2000 were compared", found.len());
                }
                assert_eq!(best(found), best(all.collect()));
            }
        }
    }
}
