//! What makes a graph that was built one to be searched?
//!
//! Rows that no walk from the entries reaches are linked to, or become entries.
//! Then rows are numbered as a breadth-first walk meets them, so that neighbours
//! lie near each other in memory.

use std::collections::VecDeque;

use super::build::Chooser;
use super::{Adjacency, Graph, Links, NONE, Recipe, Walk};
use crate::vectors::rows::{Probe, Space};

/// Makes every row reachable and says in which order they should lie: the row
/// that was at `order[i]` becomes row `i`. The graph is numbered so.
pub(crate) fn finish(space: Space<'_>, graph: &mut Graph, recipe: &Recipe) -> Vec<u32> {
    link_all(space, graph, recipe);
    let order = breadth_first(graph);
    renumber(graph, &order);
    order
}

/// Rows in the order in which a breadth-first walk meets them, entries first.
fn breadth_first(graph: &Graph) -> Vec<u32> {
    let mut met = vec![false; graph.rows()];
    let mut order = Vec::with_capacity(graph.rows());
    let mut queue = VecDeque::new();
    let mut meet = |row: u32, queue: &mut VecDeque<u32>| {
        if !std::mem::replace(&mut met[row as usize], true) {
            order.push(row);
            queue.push_back(row);
        }
    };
    for &entry in &graph.entries {
        meet(entry, &mut queue);
    }
    while let Some(row) = queue.pop_front() {
        for next in graph.adjacency().of(row) {
            meet(next, &mut queue);
        }
    }
    order
}

/// Entries beyond this many would make every search slower; so many parts that
/// hang together within themselves alone are not met.
const MOST_ENTRIES: usize = 64;

fn link_all(space: Space<'_>, graph: &mut Graph, recipe: &Recipe) {
    let mut walk = Walk::default();
    let mut codes = Vec::new();
    loop {
        let mut is_reached = vec![false; graph.rows()];
        for row in breadth_first(graph) {
            is_reached[row as usize] = true;
        }
        let Some(lost) = is_reached.iter().position(|is_reached| !is_reached) else {
            return;
        };
        let lost = lost as u32;
        let probe = Probe::of_row(space, lost, &mut codes);
        let entries = graph.entries.iter().copied();
        let near = walk.search(space, &graph.adjacency(), entries, &probe, recipe.ef);
        let near: Vec<u32> = near.map(|(row, _)| row).collect();
        let adjacency = graph.adjacency();
        let has_place = |row: &u32| adjacency.of(*row).count() < graph.degree;
        match near.iter().copied().find(has_place) {
            Some(row) => {
                let at = adjacency.of(row).count();
                graph.links[row as usize * graph.degree + at] = lost;
            }
            None if graph.entries.len() < MOST_ENTRIES => graph.entries.push(lost),
            // A row without an alternative gives up its farthest link.
            None => {
                let row = near.first().copied().unwrap_or(graph.entries[0]);
                let last = row as usize * graph.degree + graph.degree - 1;
                graph.links[last] = lost;
            }
        }
    }
}

fn renumber(graph: &mut Graph, order: &[u32]) {
    let mut new = vec![NONE; graph.rows()];
    for (at, &row) in order.iter().enumerate() {
        new[row as usize] = at as u32;
    }
    let mut links = Vec::with_capacity(graph.links.len());
    for &row in order {
        let first = row as usize * graph.degree;
        let places = &graph.links[first..first + graph.degree];
        links.extend(places.iter().map(|&next| match next {
            NONE => NONE,
            next => new[next as usize],
        }));
    }
    graph.links = links;
    for entry in &mut graph.entries {
        *entry = new[*entry as usize];
    }
}

/// Chooses the links of a graph that another builder has made: for each row
/// among those it is linked to and those that are linked to it.
pub(super) fn choose_again(space: Space<'_>, given: Adjacency<'_>, recipe: &Recipe) -> Vec<u32> {
    let rows = space.len();
    let mut both: Vec<Vec<u32>> = (0..rows as u32)
        .map(|row| given.of(row).collect())
        .collect();
    for row in 0..rows as u32 {
        for next in given.of(row) {
            both[next as usize].push(row);
        }
    }
    let mut chooser = Chooser::default();
    let (mut codes, mut chosen) = (Vec::new(), Vec::new());
    let mut links = Vec::with_capacity(rows * recipe.degree);
    for (row, near) in both.iter_mut().enumerate() {
        near.sort_unstable();
        near.dedup();
        near.retain(|&other| other != row as u32);
        let probe = Probe::of_row(space, row as u32, &mut codes);
        chooser.compare(space, &probe, near);
        chooser.choose(space, recipe, &mut chosen);
        links.extend_from_slice(&chosen);
        links.resize((row + 1) * recipe.degree, NONE);
    }
    links
}
