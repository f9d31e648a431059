//! How is a graph walked towards a query without a detour and without an
//! allocation?
//!
//! Best-first search over a pool of the `ef` best rows met so far, kept in order
//! in one array: at the sizes that matter it beats two heaps. Rows that were met
//! are marked with the number of the search, so that nothing has to be cleared
//! between two. How many are kept can grow on the way: a walk that goes on with
//! more is where one that had as many from the beginning would be.

use super::{Links, NONE};
use crate::vectors::kernels::prefetch;
use crate::vectors::mask::Mask;
use crate::vectors::rows::{Probe, Space};

/// A row that was met, and whether its neighbours were.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Met {
    pub(crate) cosine: f32,
    /// The row; [`EXPANDED`] is set once its neighbours were compared.
    row: u32,
}

const EXPANDED: u32 = 1 << 31;

/// How many of the best rows a walk keeps in sight.
pub(crate) trait Reach {
    /// Whether [`farther`](Self::farther) can ask for more.
    const CAN_GROW: bool;

    /// So many to begin with.
    fn first(&self) -> usize;

    /// So many from now on, if that is more: asked once the neighbours of all in
    /// sight were compared, which are given, best first.
    fn farther(&mut self, near: &[Met]) -> usize;
}

impl Reach for usize {
    const CAN_GROW: bool = false;

    fn first(&self) -> usize {
        *self
    }

    fn farther(&mut self, _: &[Met]) -> usize {
        *self
    }
}

/// What a search needs; used again and again.
#[derive(Default)]
pub(crate) struct Walk {
    /// The number of the last search that met each row.
    marks: Vec<u8>,
    search: u8,
    pool: Vec<Met>,
    /// Rows that were not good enough to be kept, where more may be kept later.
    spilt: Vec<Met>,
    neighbours: Vec<u32>,
    sums: Vec<i32>,
    /// Rows that the last search has compared.
    pub(crate) compared: usize,
}

impl Walk {
    fn begin(&mut self, rows: usize) {
        self.pool.clear();
        self.spilt.clear();
        self.neighbours.clear();
        self.compared = 0;
        if self.marks.len() < rows {
            self.marks.resize(rows, self.search);
        }
        self.search = self.search.wrapping_add(1);
        if self.search == 0 {
            self.marks.fill(0);
            self.search = 1;
        }
    }

    /// Says whether a row, of those that there are, is met for the first time.
    #[inline]
    fn meet(marks: &mut [u8], search: u8, row: u32) -> bool {
        match marks.get_mut(row as usize) {
            Some(mark) if *mark != search => {
                *mark = search;
                true
            }
            _ => false,
        }
    }

    /// Compares the neighbours and enters them; says where the best one went.
    #[inline]
    fn enter<R: Reach>(&mut self, space: Space<'_>, probe: &Probe<'_>, ef: usize) -> usize {
        if self.neighbours.is_empty() {
            return usize::MAX;
        }
        if self.sums.len() < self.neighbours.len() {
            self.sums.resize(self.neighbours.len(), 0);
        }
        self.compared += self.neighbours.len();
        let mut best = usize::MAX;
        let mut worst = match self.pool.last() {
            Some(last) if self.pool.len() >= ef => last.cosine,
            _ => f32::NEG_INFINITY,
        };
        let cosines = probe.cosines(space, &self.neighbours, &mut self.sums);
        for (&row, cosine) in self.neighbours.iter().zip(cosines) {
            if cosine <= worst {
                if R::CAN_GROW {
                    self.spilt.push(Met { cosine, row });
                }
                continue;
            }
            let at = self.pool.partition_point(|met| met.cosine >= cosine);
            if self.pool.len() >= ef {
                let last = self.pool.pop();
                if R::CAN_GROW {
                    self.spilt.extend(last);
                }
            }
            self.pool.insert(at, Met { cosine, row });
            if self.pool.len() >= ef {
                worst = self.pool[ef - 1].cosine;
            }
            best = best.min(at);
        }
        best
    }

    /// Keeps so many in sight: the best of those that were not good enough come
    /// back.
    fn widen(&mut self, ef: usize) {
        let wanted = ef.saturating_sub(self.pool.len()).min(self.spilt.len());
        if wanted == 0 {
            return;
        }
        let best_first = |a: &Met, b: &Met| b.cosine.total_cmp(&a.cosine);
        (self.spilt).select_nth_unstable_by(wanted - 1, best_first);
        self.spilt[..wanted].sort_unstable_by(best_first);
        self.pool.extend(self.spilt.drain(..wanted));
    }

    /// The `ef` best rows that are reached from the entries, best first, by what
    /// the codes say.
    pub(crate) fn search<'w>(
        &'w mut self,
        space: Space<'_>,
        links: &impl Links,
        entries: impl IntoIterator<Item = u32>,
        probe: &Probe<'_>,
        ef: impl Reach,
    ) -> impl ExactSizeIterator<Item = (u32, f32)> + 'w {
        self.search_without(NONE, space, links, entries, probe, ef)
    }

    /// As [`search`](Self::search), as if one row were not there.
    pub(crate) fn search_without<'w>(
        &'w mut self,
        row: u32,
        space: Space<'_>,
        links: &impl Links,
        entries: impl IntoIterator<Item = u32>,
        probe: &Probe<'_>,
        ef: impl Reach,
    ) -> impl ExactSizeIterator<Item = (u32, f32)> + 'w {
        self.begin(space.len());
        Self::meet(&mut self.marks, self.search, row);
        self.run(space, links, entries, probe, ef, move |walk, links, row| {
            for next in links.of(row) {
                if Self::meet(&mut walk.marks, walk.search, next) {
                    prefetch(space.rows.row(next as usize));
                    walk.neighbours.push(next);
                }
            }
        })
    }

    /// As [`search`](Self::search), among the rows of a mask alone: neighbours
    /// that are not among them are stepped over, once.
    ///
    /// This is what ACORN (Patel and others, 2024) does at search time for a
    /// graph that was built without regard to filters.
    pub(crate) fn search_among<'w>(
        &'w mut self,
        space: Space<'_>,
        links: &impl Links,
        mask: &Mask,
        probe: &Probe<'_>,
        ef: usize,
    ) -> impl ExactSizeIterator<Item = (u32, f32)> + 'w {
        let entries = mask.spread(ENTRIES);
        self.begin(space.len());
        self.run(space, links, entries, probe, ef, |walk, links, row| {
            for next in links.of(row) {
                if !Self::meet(&mut walk.marks, walk.search, next) {
                    continue;
                }
                if mask.has(next) {
                    walk.neighbours.push(next);
                    continue;
                }
                for beyond in links.of(next) {
                    // Not marked unless it passes: another way may lead beyond it.
                    if mask.has(beyond) && Self::meet(&mut walk.marks, walk.search, beyond) {
                        walk.neighbours.push(beyond);
                    }
                }
                if walk.neighbours.len() >= AT_ONCE {
                    break;
                }
            }
        })
    }

    fn run<'w, L: Links, R: Reach>(
        &'w mut self,
        space: Space<'_>,
        links: &L,
        entries: impl IntoIterator<Item = u32>,
        probe: &Probe<'_>,
        mut reach: R,
        mut gather: impl FnMut(&mut Self, &L, u32),
    ) -> impl ExactSizeIterator<Item = (u32, f32)> + 'w {
        let mut ef = reach.first().max(1);
        for entry in entries {
            if Self::meet(&mut self.marks, self.search, entry) {
                self.neighbours.push(entry);
            }
        }
        self.enter::<R>(space, probe, ef);
        let mut at = 0;
        loop {
            while let Some(met) = self.pool.get_mut(at) {
                if met.row & EXPANDED != 0 {
                    at += 1;
                    continue;
                }
                let row = met.row;
                met.row |= EXPANDED;
                self.neighbours.clear();
                gather(self, links, row);
                let best = self.enter::<R>(space, probe, ef);
                at = best.min(at + 1);
                // Most often the one that is next now.
                let next = self.pool[at.min(self.pool.len())..].iter();
                if let Some(next) = next.take(4).find(|met| met.row & EXPANDED == 0) {
                    links.prefetch(next.row);
                }
            }
            let more = match R::CAN_GROW {
                true => reach.farther(&self.pool),
                false => 0,
            };
            if more <= ef {
                break;
            }
            ef = more;
            self.widen(ef);
        }
        self.pool
            .iter()
            .map(|met| (met.row & !EXPANDED, met.cosine))
    }
}

/// Where a filtered search begins: so many rows that pass.
const ENTRIES: usize = 32;

/// A filtered search looks no further for neighbours of a row than for so many.
const AT_ONCE: usize = 64;
