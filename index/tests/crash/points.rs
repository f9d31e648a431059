//! Where does a process die, and has it died everywhere?
//!
//! The points are read from the sources, so that a new one is not forgotten.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::random::Random;

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

/// What a round is about, before its chores are chosen.
pub(crate) struct Draw {
    /// Where a process shall die in this round.
    pub(crate) point: String,
    /// How the life ends that writes.
    pub(crate) death: Death,
    /// Whether the point is passed on opening alone, and only where half a
    /// commit was written.
    is_mending: bool,
}

impl Draw {
    /// Every fourth round ends at any moment; the others go through all points.
    /// `times` says how often a point is passed before the process dies at it.
    pub(crate) fn new(
        points: &[String],
        seed: u64,
        random: &mut Random,
        times: impl FnOnce(&str, &mut Random) -> u64,
    ) -> Self {
        let turn = seed - seed / 4;
        let point = points[(turn % points.len() as u64) as usize].clone();
        let is_mending = point.starts_with("log.tail") || point == "disk.truncate";
        let death = if seed % 4 == 3 {
            Death::Anywhen(random.below(1000))
        } else if is_mending {
            Death::At("log.half_written".to_owned(), 1 + random.below(15))
        } else {
            let nth = times(&point, random);
            Death::At(point.clone(), nth)
        };
        Self {
            point,
            death,
            is_mending,
        }
    }

    /// How the opening ends that mends what was left: in every third round, and
    /// where the point is passed there alone.
    pub(crate) fn second(&self, random: &mut Random) -> Option<Death> {
        if !self.is_mending && !random.one_in(3) {
            return None;
        }
        let point = if self.is_mending {
            self.point.as_str()
        } else {
            random.of(&MENDING)?
        };
        let is_once = self.is_mending || point.starts_with("log") || point.starts_with("check");
        let nth = if is_once { 1 } else { 1 + random.below(8) };
        Some(Death::At(point.to_owned(), nth))
    }
}

/// Points that an opening passes that mends something.
const MENDING: [&str; 13] = [
    "log.tail_found_torn",
    "log.tail_cut",
    "manifest.written",
    "manifest.copy_renamed",
    "projection.entered",
    "text.prepared",
    "text.committed",
    "checkpoint.vectors_saved",
    "checkpoint.catalog_flushed",
    "disk.write",
    "disk.rename",
    "disk.remove",
    "disk.sync",
];

/// Points that rounds do not pass: what is damaged is salvaged where damage is
/// tested.
pub(crate) fn is_elsewhere(point: &str) -> bool {
    point.starts_with("salvage.")
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
