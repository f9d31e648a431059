//! How are rows linked?
//!
//! Rows are inserted in an order drawn at random, so that the first of them span
//! the whole: some of their long links stay, and no upper layers are needed. A
//! row walks to its place, links to the nearest rows that are nearer to it than
//! to each other, and is linked back. Where that overflows, the same rule
//! chooses again: the diversity that hnsw_rs leaves out on the way back.
//!
//! The rule is that of HNSW (Malkov and Yashunin 2018, algorithm 4), with the
//! factor of Vamana (Subramanya and others 2019), which lets more links stay.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Cancelled, Graph, Links, NONE, Walk, Watch};
use crate::vectors::kernels::prefetch;
use crate::vectors::pages::with_large_pages;
use crate::vectors::rows::{Probe, Space};

/// How much a graph may cost, and how good it gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Recipe {
    /// Places for links of a row.
    pub(crate) degree: usize,
    /// How many rows the walk to a row's place keeps in sight.
    pub(crate) ef: usize,
    /// By so much may the way over a nearer neighbour be longer before a link is
    /// given up.
    pub(crate) alpha: f32,
    /// Threads that insert.
    pub(crate) threads: usize,
}

/// Links the rows from `given.rows()` on to those before and to each other.
pub(crate) fn grow(
    space: Space<'_>,
    given: Option<&Graph>,
    recipe: &Recipe,
    watch: &Watch,
) -> Result<Graph, Cancelled> {
    let growing = Growing::new(space, given, recipe);
    let first = given.map_or(0, Graph::rows);
    let mut order: Vec<u32> = (first as u32..space.len() as u32).collect();
    shuffle(&mut order);
    watch.begin(order.len());
    let mut entries = given.map_or_else(Vec::new, |given| given.entries.clone());
    if entries.is_empty() {
        entries.extend(order.first());
    }
    // The first few would race past each other.
    let serial = if first < SERIAL {
        SERIAL.min(order.len())
    } else {
        0
    };
    let mut hands = Hands::default();
    for &row in &order[..serial] {
        growing.insert(row, &entries, &mut hands);
        watch.link(1);
    }
    let next = AtomicUsize::new(serial);
    let work = || {
        let mut hands = Hands::default();
        while let Some(&row) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if watch.goes_on().is_err() {
                return;
            }
            growing.insert(row, &entries, &mut hands);
            watch.link(1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..recipe.threads {
            scope.spawn(work);
        }
        work();
    });
    let next = AtomicUsize::new(0);
    let trim = || {
        let mut hands = Hands::default();
        loop {
            let first = next.fetch_add(TRIMMED_AT_ONCE, Ordering::Relaxed);
            let last = (first + TRIMMED_AT_ONCE).min(space.len());
            if first >= last || watch.goes_on().is_err() {
                return;
            }
            for row in first..last {
                growing.trim(row as u32, &mut hands);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..recipe.threads {
            scope.spawn(trim);
        }
        trim();
    });
    watch.goes_on()?;
    let mut links = Vec::with_capacity(space.len() * recipe.degree);
    for places in growing.links.chunks_exact(growing.places) {
        let kept = places[..recipe.degree].iter();
        links.extend(kept.map(|place| place.load(Ordering::Relaxed)));
    }
    Ok(Graph {
        degree: recipe.degree,
        links,
        entries,
    })
}

/// Rows that a thread takes at once where their work is little.
const TRIMMED_AT_ONCE: usize = 1024;

/// While a graph grows, a row has so many more places, in hundredths, that links
/// need not be chosen again for each one that comes: as Vamana does it.
const SPARE_PERCENT: usize = 30;

/// So many rows are inserted one after the other.
const SERIAL: usize = 500;

/// Puts rows into an order drawn at random, the same one each time.
fn shuffle(rows: &mut [u32]) {
    // Knuth's constants for a linear congruential generator of 64 bits.
    let mut state = 42_u64;
    for last in (1..rows.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        rows.swap(last, ((state >> 33) % (last as u64 + 1)) as usize);
    }
}

/// A graph while several threads insert.
struct Growing<'a> {
    space: Space<'a>,
    recipe: Recipe,
    /// Places of a row.
    places: usize,
    links: Vec<AtomicU32>,
    /// Whoever changes the links of a row holds the lock that it falls to. Those
    /// who read them do not: a link is one number, old or new.
    locks: Vec<Mutex<()>>,
}

const LOCKS: usize = 4096;

impl Links for Growing<'_> {
    #[inline]
    fn of(&self, row: u32) -> impl Iterator<Item = u32> {
        let links = self.places_of(row).iter();
        let links = links.map(|place| place.load(Ordering::Relaxed));
        links.take_while(|&next| next != NONE)
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        prefetch(self.places_of(row));
    }
}

/// What one thread needs for insertions.
#[derive(Default)]
struct Hands {
    walk: Walk,
    /// The codes of the row whose links are chosen.
    own: Vec<i8>,
    chooser: Chooser,
    links: Vec<u32>,
}

impl<'a> Growing<'a> {
    fn new(space: Space<'a>, given: Option<&Graph>, recipe: &Recipe) -> Self {
        let places = recipe.degree + recipe.degree * SPARE_PERCENT / 100;
        let mut links = with_large_pages(space.len() * places);
        if let Some(given) = given {
            let kept = given.degree.min(places);
            for row in given.links.chunks_exact(given.degree) {
                links.extend(row[..kept].iter().copied().map(AtomicU32::new));
                links.extend((kept..places).map(|_| AtomicU32::new(NONE)));
            }
        }
        links.resize_with(space.len() * places, || AtomicU32::new(NONE));
        Self {
            space,
            recipe: *recipe,
            places,
            links,
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
        }
    }

    fn places_of(&self, row: u32) -> &[AtomicU32] {
        let first = row as usize * self.places;
        &self.links[first..first + self.places]
    }

    fn set(&self, row: u32, links: &[u32]) {
        for (at, place) in self.places_of(row).iter().enumerate() {
            place.store(links.get(at).copied().unwrap_or(NONE), Ordering::Relaxed);
        }
    }

    fn lock(&self, row: u32) -> std::sync::MutexGuard<'_, ()> {
        let lock = self.locks[row as usize % LOCKS].lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, row: u32, entries: &[u32], hands: &mut Hands) {
        let Hands {
            walk,
            own,
            chooser,
            links,
        } = hands;
        let probe = Probe::of_row(self.space, row, own);
        let entries = entries.iter().copied();
        let found = walk.search(self.space, self, entries, &probe, self.recipe.ef);
        chooser.found.clear();
        (chooser.found).extend(found.filter(|&(other, _)| other != row));
        chooser.choose(self.space, &self.recipe, links);
        {
            let _alone = self.lock(row);
            // Others may have linked to it since it was linked to by the first.
            let meanwhile = self.of(row).filter(|other| !links.contains(other));
            let free = self.places - links.len();
            let meanwhile: Vec<u32> = meanwhile.take(free).collect();
            links.extend(meanwhile);
            self.set(row, links);
        }
        let linked = std::mem::take(links);
        for &other in &linked {
            self.link_back(other, row, own, chooser, links);
        }
        *links = linked;
    }

    /// Links `from` to `to` too, choosing anew where there is no place left.
    fn link_back(
        &self,
        from: u32,
        to: u32,
        own: &mut Vec<i8>,
        chooser: &mut Chooser,
        links: &mut Vec<u32>,
    ) {
        let _alone = self.lock(from);
        links.clear();
        links.extend(self.of(from));
        if links.contains(&to) {
            return;
        }
        if let Some(place) = self.places_of(from).get(links.len()) {
            place.store(to, Ordering::Relaxed);
            return;
        }
        links.push(to);
        self.choose_again(from, own, chooser, links);
    }

    /// Chooses the links of a row among those given.
    fn choose_again(
        &self,
        row: u32,
        own: &mut Vec<i8>,
        chooser: &mut Chooser,
        links: &mut Vec<u32>,
    ) {
        let probe = Probe::of_row(self.space, row, own);
        chooser.compare(self.space, &probe, links);
        chooser.choose(self.space, &self.recipe, links);
        self.set(row, links);
    }

    /// Leaves a row no more links than the graph will have places.
    fn trim(&self, row: u32, hands: &mut Hands) {
        hands.links.clear();
        hands.links.extend(self.of(row));
        if hands.links.len() > self.recipe.degree {
            self.choose_again(row, &mut hands.own, &mut hands.chooser, &mut hands.links);
        }
    }
}

/// Chooses links among candidates.
#[derive(Default)]
pub(super) struct Chooser {
    /// Candidates, nearest first, with their cosines.
    pub(super) found: Vec<(u32, f32)>,
    codes: Vec<i8>,
    sums: Vec<i32>,
}

/// A candidate is compared with so many of the chosen ones at once: most that
/// fall, fall by one of the nearest.
const COMPARED_AT_ONCE: usize = 8;

impl Chooser {
    /// Takes rows for candidates, whatever their order.
    pub(super) fn compare(&mut self, space: Space<'_>, probe: &Probe<'_>, rows: &[u32]) {
        self.sums.resize(self.sums.len().max(rows.len()), 0);
        let cosines = probe.cosines(space, rows, &mut self.sums);
        self.found.clear();
        self.found.extend(rows.iter().copied().zip(cosines));
        self.found.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
    }

    /// Those candidates that are nearer to the row than to any that was chosen
    /// before.
    pub(super) fn choose(&mut self, space: Space<'_>, recipe: &Recipe, chosen: &mut Vec<u32>) {
        let Self { found, codes, sums } = self;
        sums.resize(sums.len().max(COMPARED_AT_ONCE), 0);
        chosen.clear();
        'candidates: for &(row, cosine) in &*found {
            if chosen.len() == recipe.degree {
                break;
            }
            let distance = 1.0 - cosine;
            if !chosen.is_empty() {
                let probe = Probe::of_row(space, row, codes);
                for part in chosen.chunks(COMPARED_AT_ONCE) {
                    for cosine in probe.cosines(space, part, sums) {
                        let between = 1.0 - cosine;
                        // Of rows that are alike one link is enough; many would
                        // shut themselves off from all others.
                        if between * recipe.alpha < distance || between < ALIKE {
                            continue 'candidates;
                        }
                    }
                }
            }
            chosen.push(row);
        }
    }
}

/// Rows at no greater distance are the same but for the rounding of floats.
const ALIKE: f32 = 1e-6;
