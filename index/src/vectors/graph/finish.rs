//! What makes a graph that was built one to be searched?
//!
//! Rows that no walk from the entries reaches are linked to, or become entries.
//! Then rows are numbered as a breadth-first walk meets them, so that neighbours
//! lie near each other in memory.

use std::collections::VecDeque;

use super::build::Chooser;
use super::{Adjacency, Cancelled, Graph, Links, NONE, Recipe, Walk, Watch};
use crate::vectors::rows::{Probe, Space};

/// Makes every row reachable and says in which order they should lie: the row
/// that was at `order[i]` becomes row `i`. The graph is numbered so.
pub(crate) fn finish(
    space: Space<'_>,
    graph: &mut Graph,
    recipe: &Recipe,
    watch: &Watch,
) -> Result<Vec<u32>, Cancelled> {
    link_all(space, graph, recipe, watch)?;
    let mut order = breadth_first(graph);
    if order.len() < graph.rows() {
        // Not found by walks, but there to be scanned.
        let mut met = vec![false; graph.rows()];
        for &row in &order {
            met[row as usize] = true;
        }
        order.extend((0..graph.rows() as u32).filter(|&row| !met[row as usize]));
    }
    renumber(graph, &order);
    Ok(order)
}

/// Rows in the order in which a breadth-first walk meets them, entries first.
fn breadth_first(graph: &Graph) -> Vec<u32> {
    let mut met = vec![false; graph.rows()];
    let mut order = Vec::with_capacity(graph.rows());
    meet_from(graph, &graph.entries, &mut met, |row| order.push(row));
    order
}

/// Meets all rows that can be reached and were not met yet.
fn meet_from(graph: &Graph, from: &[u32], met: &mut [bool], mut each: impl FnMut(u32)) {
    let mut queue = VecDeque::new();
    let mut meet = |row: u32, queue: &mut VecDeque<u32>| {
        if !std::mem::replace(&mut met[row as usize], true) {
            each(row);
            queue.push_back(row);
        }
    };
    for &row in from {
        meet(row, &mut queue);
    }
    while let Some(row) = queue.pop_front() {
        for next in graph.adjacency().of(row) {
            meet(next, &mut queue);
        }
    }
}

/// Entries beyond this many would make every search slower.
const MOST_ENTRIES: usize = 64;

/// A link that had to give way may have been the only one to its row: then it is
/// looked at once more, but not for ever. What finds too little by walking is not
/// published anyway.
const MOST_ROUNDS: usize = 8;

/// Makes every row reachable.
fn link_all(
    space: Space<'_>,
    graph: &mut Graph,
    recipe: &Recipe,
    watch: &Watch,
) -> Result<(), Cancelled> {
    let mut walk = Walk::default();
    let mut codes = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let mut met = vec![false; graph.rows()];
        meet_from(graph, &graph.entries, &mut met, |_| {});
        let mut has_lost = false;
        for lost in 0..graph.rows() as u32 {
            if met[lost as usize] {
                continue;
            }
            watch.goes_on()?;
            has_lost = true;
            let probe = Probe::of_row(space, lost, &mut codes);
            let entries = graph.entries.iter().copied();
            let near = walk.search(space, &graph.adjacency(), entries, &probe, recipe.ef);
            let near: Vec<u32> = near.map(|(row, _)| row).collect();
            link_from(graph, &near, lost);
            meet_from(graph, &[lost], &mut met, |_| {});
        }
        if !has_lost {
            break;
        }
    }
    Ok(())
}

/// Links one of the rows near to a lost one to it, or makes that an entry.
fn link_from(graph: &mut Graph, near: &[u32], lost: u32) {
    let links = |row: u32| graph.adjacency().of(row).count();
    let with_place = near.iter().copied().find(|&row| links(row) < graph.degree);
    let (row, at) = match (with_place, near.first()) {
        (Some(row), _) => (row, links(row)),
        // Without an alternative, the nearest one's farthest link gives way.
        (None, Some(&row)) if graph.entries.len() >= MOST_ENTRIES => (row, graph.degree - 1),
        (None, _) => {
            graph.entries.push(lost);
            return;
        }
    };
    graph.links[row as usize * graph.degree + at] = lost;
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
pub(super) fn choose_again(
    space: Space<'_>,
    given: Adjacency<'_>,
    recipe: &Recipe,
    watch: &Watch,
) -> Result<Vec<u32>, Cancelled> {
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
        watch.goes_on()?;
        near.sort_unstable();
        near.dedup();
        near.retain(|&other| other != row as u32);
        let probe = Probe::of_row(space, row as u32, &mut codes);
        chooser.compare(space, &probe, near);
        chooser.choose(space, recipe, &mut chosen);
        links.extend_from_slice(&chosen);
        links.resize((row + 1) * recipe.degree, NONE);
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::graph::grow;
    use crate::vectors::samples::{block, crowd};

    const RECIPE: Recipe = Recipe {
        degree: 12,
        ef: 40,
        alpha: 1.1,
        threads: 1,
    };

    /// A graph of which both halves hang together, and nothing leads over.
    fn halves(rows: u32) -> (crate::vectors::block::Block, Graph) {
        let block = block(&crowd(rows as usize, 16), 0, false);
        let mut graph = grow(block.space(), None, &RECIPE, &Watch::default()).unwrap();
        let degree = graph.degree;
        for (row, places) in (0..).zip(graph.links.chunks_exact_mut(degree)) {
            let side = |row: u32| row < rows / 2;
            let kept: Vec<u32> = (places.iter().copied())
                .filter(|&next| next != NONE && side(next) == side(row))
                .collect();
            places.fill(NONE);
            places[..kept.len()].copy_from_slice(&kept);
        }
        (block, graph)
    }

    #[test]
    fn every_row_is_reached_and_keeps_its_neighbours_under_new_numbers() {
        let (block, mut graph) = halves(900);
        let before = graph.clone();
        assert!(breadth_first(&graph).len() < 900);
        let order = finish(block.space(), &mut graph, &RECIPE, &Watch::default()).unwrap();
        assert_eq!(breadth_first(&graph).len(), 900);
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..900).collect::<Vec<_>>());
        let mut kept = 0;
        for (at, &row) in (0..).zip(&order) {
            let now: Vec<u32> = (graph.adjacency().of(at))
                .map(|next| order[next as usize])
                .collect();
            let former = before.adjacency();
            kept += former.of(row).filter(|next| now.contains(next)).count();
        }
        let links = before.links.iter().filter(|&&next| next != NONE).count();
        assert!(kept + 8 >= links, "{kept} of {links}");
    }

    #[test]
    fn rows_without_any_link_become_reachable_too() {
        let block = block(&crowd(400, 16), 0, false);
        let mut graph = Graph {
            degree: 4,
            links: vec![NONE; 1600],
            entries: vec![7],
        };
        let recipe = Recipe {
            degree: 4,
            ..RECIPE
        };
        finish(block.space(), &mut graph, &recipe, &Watch::default()).unwrap();
        assert_eq!(breadth_first(&graph).len(), 400);
    }
}
