//! Where does a process die, and has it died everywhere?
//!
//! The points are read from the sources, so that a new one is not forgotten.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Numbers that look like chance and come again with the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        random.next();
        random
    }

    /// `splitmix64`.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len() as u64) as usize)
    }
}

/// How a life ends, unless it comes to its end by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Death {
    /// At a point, when it is reached so often.
    At(String, u64),
    /// Killed from without, after a part of the time that a life takes, in
    /// thousandths.
    Anywhen(u64),
}

/// The points of the steps on the disk.
const STEPS: [&str; 12] = [
    "disk.create",
    "disk.write",
    "disk.half_written",
    "log.half_written",
    "disk.truncate",
    "disk.sync",
    "disk.syncdir",
    "disk.rename",
    "disk.link",
    "disk.remove",
    "disk.half_removed",
    "disk.mkdir",
];

/// All points that stand in the sources, in an order that mixes them and is
/// always the same.
pub(crate) fn all(sources: &Path) -> Vec<String> {
    let mut found: Vec<String> = STEPS.map(str::to_owned).into();
    let mut folders = vec![sources.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let calls = text.split("fault::point(\"").skip(1);
                found.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }
    found.sort();
    found.dedup();
    assert!(found.len() > 50, "the points were not found: {found:?}");
    let mut random = Random::new(0);
    for last in (1..found.len()).rev() {
        found.swap(last, random.below(last as u64 + 1) as usize);
    }
    found
}

/// Points that rounds do not pass: a graph takes 20,000 vectors and has a test of
/// its own, and what is damaged is salvaged where damage is tested.
pub(crate) fn is_elsewhere(point: &str) -> bool {
    point.starts_with("graph.") || point.starts_with("salvage.")
}

/// How often each point was reached, and how often a process died there.
#[derive(Default)]
pub(crate) struct Coverage {
    points: BTreeMap<String, (u64, u64)>,
    pub(crate) anywhen: u64,
    pub(crate) survived: u64,
}

impl Coverage {
    pub(crate) fn new(points: &[String]) -> Self {
        Self {
            points: points.iter().map(|p| (p.clone(), (0, 0))).collect(),
            ..Self::default()
        }
    }

    /// Takes in a life's log of points.
    pub(crate) fn reached(&mut self, log: &Path) {
        for point in std::fs::read_to_string(log).unwrap_or_default().lines() {
            self.points.entry(point.to_owned()).or_default().0 += 1;
        }
    }

    /// Takes in how a life ended.
    pub(crate) fn ended(&mut self, death: &Death, was_killed: bool) {
        match death {
            _ if !was_killed => self.survived += 1,
            Death::Anywhen(_) => self.anywhen += 1,
            Death::At(point, _) => self.points.entry(point.clone()).or_default().1 += 1,
        }
    }

    /// Points at which no process died yet.
    pub(crate) fn missing(&self) -> Vec<&str> {
        let missing = self.points.iter().filter(|(_, (_, died))| *died == 0);
        missing.map(|(point, _)| point.as_str()).collect()
    }

    /// A table of all points.
    pub(crate) fn table(&self) -> String {
        let mut table = String::from("point                          reached    died\n");
        for (point, (reached, died)) in &self.points {
            let _ = writeln!(table, "{point:<28} {reached:>9} {died:>7}");
        }
        let deaths: u64 = self.points.values().map(|(_, died)| died).sum();
        let _ = write!(
            table,
            "{deaths} died at a point, {} at any moment, {} lives came to their end",
            self.anywhen, self.survived
        );
        table
    }
}
