//! How does hnsw_rs build a graph of ours?
//!
//! It compares codes by our own distance. What it has built is taken out layer by
//! layer: links of its base layer are chosen again in both directions, and what
//! its upper layers are for, the breadth-first walk over long links does here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hnsw_rs::prelude::{Distance, Hnsw};

use super::finish::choose_again;
use super::{Adjacency, Graph, NONE, Recipe};
use crate::vectors::rows::Space;

/// 1 − cosine of rows of codes, with the bits of 1 ÷ their length behind them.
#[derive(Clone, Copy, Default)]
struct CodeCosine;

const LENGTH_BYTES: usize = 4;

impl Distance<u8> for CodeCosine {
    fn eval(&self, a: &[u8], b: &[u8]) -> f32 {
        let split = |row: &'_ [u8]| row.len() - LENGTH_BYTES;
        let ((a, a_length), (b, b_length)) = (a.split_at(split(a)), b.split_at(split(b)));
        let code = |byte: &u8| i32::from((byte ^ 128).cast_signed());
        let dot: i32 = a.iter().zip(b).map(|(a, b)| code(a) * code(b)).sum();
        let length = |bytes: &[u8]| bytes.try_into().map_or(0.0, f32::from_le_bytes);
        // hnsw_rs asserts that no distance is negative.
        (1.0 - dot as f32 * length(a_length) * length(b_length)).max(0.0)
    }
}

/// Layers of the graph.
const LAYERS: usize = 16;
/// Racing first insertions can stay unlinked: so many go one by one.
const SERIAL: usize = 100;

/// Links all rows by hnsw_rs, whose links of a row are half of those of the base
/// layer; `None` if it panics.
pub(crate) fn grow_by_hnsw_rs(space: Space<'_>, recipe: &Recipe) -> Option<Graph> {
    let rows: Vec<Vec<u8>> = (0..space.len())
        .map(|row| {
            let mut bytes = space.rows.row(row)[..space.dimensions].to_vec();
            bytes.extend_from_slice(&space.inverse_lengths[row].to_le_bytes());
            bytes
        })
        .collect();
    let links = catch_unwind(AssertUnwindSafe(|| {
        let (most, ef) = (recipe.degree / 2, recipe.ef);
        let mut hnsw = Hnsw::<u8, CodeCosine>::new(most, rows.len(), LAYERS, ef, CodeCosine);
        hnsw.set_extend_candidates(false);
        let data: Vec<(&Vec<u8>, usize)> = rows.iter().zip(0..).collect();
        let serial = SERIAL.min(data.len());
        for &(bytes, row) in &data[..serial] {
            hnsw.insert((bytes, row));
        }
        hnsw.parallel_insert(&data[serial..]);
        links_of(&hnsw, rows.len())
    }))
    .ok()?;
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
    Some(Graph {
        degree: recipe.degree,
        links: choose_again(space, given, recipe),
        entries: (!rows.is_empty()).then_some(0).into_iter().collect(),
    })
}

/// The links of all layers, by row.
fn links_of(hnsw: &Hnsw<'_, u8, CodeCosine>, rows: usize) -> Vec<Vec<u32>> {
    let mut links = vec![Vec::new(); rows];
    for point in hnsw.get_point_indexation() {
        let of_row = &mut links[point.get_origin_id()];
        for layer in point.get_neighborhood_id() {
            of_row.extend(layer.iter().map(|next| next.d_id as u32));
        }
    }
    links
}
