//! How does hnsw_rs build a graph of ours?
//!
//! It compares codes by our own distance. What it has built is taken out layer by
//! layer: links of its base layer are chosen again in both directions, and what
//! its upper layers are for, the breadth-first walk over long links does here.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hnsw_rs::prelude::{Distance, Hnsw};

use super::finish::choose_again;
use super::{Adjacency, Cancelled, Graph, NONE, Recipe, Watch};
use crate::vectors::rows::{Probe, Space};

/// 1 − cosine of rows, as our kernels compare their codes: hnsw_rs gets numbers
/// of rows for vectors.
#[derive(Clone, Copy)]
struct RowCosine<'a>(Space<'a>);

thread_local! {
    static CODES: RefCell<Vec<i8>> = const { RefCell::new(Vec::new()) };
}

impl Distance<u32> for RowCosine<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        CODES.with_borrow_mut(|codes| {
            let probe = Probe::of_row(self.0, a[0], codes);
            let cosine = probe.cosines(self.0, b, &mut [0]).next().unwrap_or(0.0);
            // hnsw_rs asserts that no distance is negative.
            (1.0 - cosine).max(0.0)
        })
    }
}

/// Layers of the graph.
const LAYERS: usize = 16;
/// Racing first insertions can stay unlinked: so many go one by one.
const SERIAL: usize = 100;

/// Between so many insertions it is asked whether they are wanted still.
const AT_ONCE: usize = 8192;

/// Links all rows by hnsw_rs, whose links of a row are half of those of the base
/// layer; `None` if it panics.
pub(crate) fn grow_by_hnsw_rs(
    space: Space<'_>,
    recipe: &Recipe,
    watch: &Watch,
) -> Result<Option<Graph>, Cancelled> {
    let rows: Vec<Vec<u32>> = (0..space.len() as u32).map(|row| vec![row]).collect();
    let grown = catch_unwind(AssertUnwindSafe(|| {
        let (most, ef) = (recipe.degree / 2, recipe.ef);
        let distance = RowCosine(space);
        let mut hnsw = Hnsw::<u32, _>::new(most, rows.len(), LAYERS, ef, distance);
        hnsw.set_extend_candidates(false);
        let data: Vec<(&Vec<u32>, usize)> = rows.iter().zip(0..).collect();
        watch.begin(data.len());
        let (first, others) = data.split_at(SERIAL.min(data.len()));
        for &(row, number) in first {
            hnsw.insert((row, number));
        }
        for part in others.chunks(AT_ONCE) {
            watch.goes_on()?;
            hnsw.parallel_insert(part);
            watch.link(part.len());
        }
        Ok::<_, Cancelled>(links_of(&hnsw, rows.len()))
    }));
    let Ok(grown) = grown else {
        return Ok(None);
    };
    let links = grown?;
    let degree = links.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let mut places = Vec::with_capacity(links.len() * degree);
    for (row, links) in links.iter().enumerate() {
        places.extend_from_slice(links);
        places.resize((row + 1) * degree, NONE);
    }
    let given = Adjacency {
        degree,
        links: &places,
    };
    Ok(Some(Graph {
        degree: recipe.degree,
        links: choose_again(space, given, recipe, watch)?,
        entries: (!rows.is_empty()).then_some(0).into_iter().collect(),
    }))
}

/// The links of all layers, by row.
fn links_of(hnsw: &Hnsw<'_, u32, RowCosine<'_>>, rows: usize) -> Vec<Vec<u32>> {
    let mut links = vec![Vec::new(); rows];
    for point in hnsw.get_point_indexation() {
        let of_row = &mut links[point.get_origin_id()];
        for layer in point.get_neighborhood_id() {
            of_row.extend(layer.iter().map(|next| next.d_id as u32));
        }
    }
    links
}
