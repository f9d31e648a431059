//! Which rows are neighbours, so that a walk from one to the next leads to the
//! nearest ones?
//!
//! One layer with the same number of places for every row. A walk begins at the
//! first row; rows that cannot be reached from it are entries as well.

mod build;
mod finish;
mod hnsw;
mod walk;

pub(crate) use build::{Recipe, grow};
pub(crate) use finish::finish;
pub(crate) use hnsw::grow_by_hnsw_rs;
pub(crate) use walk::{Met, Reach, Walk};

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::kernels::prefetch;

/// What stands in a place without a link.
pub(crate) const NONE: u32 = u32::MAX;

/// Where a walk finds the neighbours of a row.
pub(crate) trait Links {
    /// The neighbours of a row. Whoever asks checks that they are rows.
    fn of(&self, row: u32) -> impl Iterator<Item = u32>;

    /// Asks for the neighbours of a row, which are wanted soon.
    fn prefetch(&self, row: u32);
}

/// Links as they lie in memory or in a file: so many places a row, [`NONE`]
/// behind the last link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adjacency<'a> {
    pub(crate) degree: usize,
    pub(crate) links: &'a [u32],
}

impl<'a> Adjacency<'a> {
    fn places(self, row: u32) -> &'a [u32] {
        let first = row as usize * self.degree;
        (self.links.get(first..first + self.degree)).unwrap_or_default()
    }
}

impl Links for Adjacency<'_> {
    #[inline]
    fn of(&self, row: u32) -> impl Iterator<Item = u32> {
        let links = self.places(row).iter().copied();
        links.take_while(|&next| next != NONE)
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        prefetch(self.places(row));
    }
}

/// A graph in memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Graph {
    pub(crate) degree: usize,
    pub(crate) links: Vec<u32>,
    /// Where walks begin: at least one row, if there is any.
    pub(crate) entries: Vec<u32>,
}

impl Graph {
    /// Its links.
    pub(crate) fn adjacency(&self) -> Adjacency<'_> {
        Adjacency {
            degree: self.degree,
            links: &self.links,
        }
    }

    /// How many rows it links.
    pub(crate) fn rows(&self) -> usize {
        self.links.len() / self.degree
    }
}

/// How others see how far the making of a graph is, and end it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    is_cancelled: AtomicBool,
    rows: AtomicUsize,
    linked: AtomicUsize,
}

impl Watch {
    /// Ends the work at the next moment at which it looks here.
    pub(crate) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// An error once the work is not wanted any more.
    pub(crate) fn goes_on(&self) -> Result<(), Cancelled> {
        match self.is_cancelled.load(Ordering::Relaxed) {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }

    /// How many rows are linked, of how many.
    pub(crate) fn progress(&self) -> (usize, usize) {
        let of = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        (of(&self.linked), of(&self.rows))
    }

    fn begin(&self, rows: usize) {
        self.linked.store(0, Ordering::Relaxed);
        self.rows.store(rows, Ordering::Relaxed);
    }

    fn link(&self, rows: usize) {
        self.linked.fetch_add(rows, Ordering::Relaxed);
    }
}

/// What was asked for is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cancelled;
