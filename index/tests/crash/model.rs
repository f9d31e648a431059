//! What may be found after a crash, going by what was said before it?
//!
//! Everything that is done is told twice: when it begins, and when it was
//! acknowledged. What was acknowledged must be there, exactly. What had begun
//! and was not acknowledged may be there or not, but only whole. A restore that
//! was cut off leaves the collection as it was, or as the snapshot is: two
//! worlds, which must not mix.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What stands under an id: the version of its text, and the last patch of its
/// metadata since that version was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Standing {
    pub(crate) version: u64,
    pub(crate) patch: Option<u64>,
}

/// Something that is done to a collection. Documents are numbers; every
/// version and patch has a number of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// Puts documents, each with a version.
    Put(Vec<(u64, u64)>),
    Delete(u64),
    Patch(u64, u64),
    Snapshot(String),
    DropSnapshot(String),
    Restore(String),
    Purge {
        snapshots: bool,
    },
    /// Lets another configuration serve.
    Switch(String),
    /// Changes nothing that is found: compaction, a checkpoint, ….
    Upkeep(String),
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    /// There is no such document.
    Unknown,
    /// It was refused, and nothing was done.
    Refused(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Moment {
    Begun(Op),
    Answered(Answer),
}

/// A moment of one of those who act; each does one thing at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) actor: u64,
    pub(crate) moment: Moment,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Found {
    pub(crate) documents: BTreeMap<u64, Standing>,
    pub(crate) snapshots: BTreeSet<String>,
    pub(crate) configuration: String,
}

/// What may stand: usually one thing a document.
#[derive(Debug, Clone, Default)]
struct World {
    documents: BTreeMap<u64, BTreeSet<Option<Standing>>>,
    configurations: BTreeSet<String>,
}

impl World {
    fn of(&self, document: u64) -> BTreeSet<Option<Standing>> {
        let nothing = || BTreeSet::from([None]);
        (self.documents.get(&document).cloned()).unwrap_or_else(nothing)
    }

    /// Takes up what an act that may have happened would leave.
    fn may(&mut self, op: &Op) {
        match op {
            Op::Put(documents) => {
                for &(document, version) in documents {
                    let mut states = self.of(document);
                    states.insert(Some(Standing {
                        version,
                        patch: None,
                    }));
                    self.documents.insert(document, states);
                }
            }
            Op::Delete(document) => {
                let mut states = self.of(*document);
                states.insert(None);
                self.documents.insert(*document, states);
            }
            Op::Patch(document, patch) => {
                let mut states = self.of(*document);
                states.extend(patched(&states, *patch));
                self.documents.insert(*document, states);
            }
            Op::Switch(configuration) => {
                self.configurations.insert(configuration.clone());
            }
            _ => {}
        }
    }

    fn differences(&self, found: &Found) -> Vec<String> {
        let mut wrong = Vec::new();
        let known = self.documents.keys().chain(found.documents.keys());
        for document in known.collect::<BTreeSet<_>>() {
            let states = self.of(*document);
            let stands = found.documents.get(document).copied();
            if !states.contains(&stands) {
                wrong.push(format!("d{document} is {stands:?}, it may be {states:?}"));
            }
        }
        if !self.configurations.contains(&found.configuration) {
            wrong.push(format!(
                "'{}' serves, it may be {:?}",
                found.configuration, self.configurations
            ));
        }
        wrong
    }
}

fn patched(states: &BTreeSet<Option<Standing>>, patch: u64) -> BTreeSet<Option<Standing>> {
    let standing = states.iter().flatten();
    let patched = standing.map(|standing| Standing {
        patch: Some(patch),
        ..*standing
    });
    patched.map(Some).collect()
}

struct Snapshot {
    world: World,
    /// Whether it must be there; otherwise it may.
    is_certain: bool,
}

/// What is known of a collection.
#[derive(Default)]
pub(crate) struct Model {
    world: World,
    snapshots: BTreeMap<String, Snapshot>,
    under_way: BTreeMap<u64, Op>,
    /// What stands if the restore that is under way comes to pass. Whatever is
    /// done beside it may come before or after the moment of its switch.
    restored: Option<World>,
    /// Those whose act was under way beside a restore.
    beside: BTreeSet<u64>,
    /// Versions that were asked for since the last look, and those that stood
    /// then: all but those that stand at the next look must not be found.
    versions: BTreeSet<(u64, u64)>,
}

impl Model {
    /// Of a new collection.
    pub(crate) fn new(configuration: &str) -> Self {
        let mut model = Self::default();
        model.world.configurations.insert(configuration.to_owned());
        model
    }

    pub(crate) fn follow(&mut self, event: Event) -> Result<(), String> {
        match event.moment {
            Moment::Begun(op) => {
                self.begin(event.actor, op);
                Ok(())
            }
            Moment::Answered(answer) => {
                let op = self.under_way.remove(&event.actor);
                let op = op.ok_or_else(|| format!("{} was not asked", event.actor))?;
                let told = format!("{op:?}: {answer:?}");
                let is_beside = self.beside.remove(&event.actor);
                if is_beside && self.restored.is_none() {
                    self.world.may(&op);
                    return Ok(());
                }
                match self.end(op, answer) {
                    Err(reason) if !is_beside => Err(format!("{told}: {reason}")),
                    _ => Ok(()),
                }
            }
        }
    }

    fn begin(&mut self, actor: u64, op: Op) {
        // What comes while a snapshot is made is in it or is not.
        for other in self.under_way.values() {
            if let Op::Snapshot(name) = other
                && let Some(snapshot) = self.snapshots.get_mut(name)
            {
                snapshot.world.may(&op);
            }
        }
        if let Some(restored) = &mut self.restored {
            restored.may(&op);
            self.beside.insert(actor);
        }
        match &op {
            Op::Restore(name) => {
                let snapshot = self.snapshots.get(name);
                let mut world = snapshot.map(|s| s.world.clone()).unwrap_or_default();
                self.under_way.values().for_each(|op| world.may(op));
                self.beside.extend(self.under_way.keys());
                self.restored = Some(world);
            }
            Op::Put(documents) => self.versions.extend(documents),
            Op::Snapshot(name) => {
                let mut world = self.world.clone();
                self.under_way.values().for_each(|op| world.may(op));
                let snapshot = Snapshot {
                    world,
                    is_certain: false,
                };
                self.snapshots.insert(name.clone(), snapshot);
            }
            Op::DropSnapshot(name) => self.doubt_snapshots(|other| other == name),
            Op::Purge { snapshots: true } => self.doubt_snapshots(|_| true),
            _ => {}
        }
        self.under_way.insert(actor, op);
    }

    fn doubt_snapshots(&mut self, which: impl Fn(&String) -> bool) {
        for (name, snapshot) in &mut self.snapshots {
            snapshot.is_certain &= !which(name);
        }
    }

    fn end(&mut self, op: Op, answer: Answer) -> Result<(), String> {
        let is_write = matches!(op, Op::Put(_) | Op::Delete(_) | Op::Patch(..));
        match (op, answer) {
            (_, Answer::Refused(_)) if is_write => return Err("it must be taken".to_owned()),
            (Op::Snapshot(name), Answer::Refused(_)) => {
                self.snapshots.remove(&name);
            }
            (Op::DropSnapshot(_) | Op::Purge { .. }, Answer::Refused(_)) => {
                self.snapshots
                    .values_mut()
                    .for_each(|s| s.is_certain = true);
            }
            (Op::Restore(_), Answer::Refused(_)) => {
                self.restored = None;
                self.beside.clear();
            }
            (_, Answer::Refused(_)) => {}
            (Op::Put(documents), _) => {
                for (document, version) in documents {
                    let standing = Standing {
                        version,
                        patch: None,
                    };
                    self.set(document, [Some(standing)].into());
                }
            }
            (Op::Delete(document) | Op::Patch(document, _), Answer::Unknown) => {
                if !self.world.of(document).contains(&None) {
                    return Err(format!("it is {:?}", self.world.of(document)));
                }
                self.set(document, [None].into());
            }
            (Op::Delete(document), _) => {
                if self.world.of(document) == [None].into() {
                    return Err("it was not there".to_owned());
                }
                self.set(document, [None].into());
            }
            (Op::Patch(document, patch), _) => {
                let states = patched(&self.world.of(document), patch);
                if states.is_empty() {
                    return Err("it was not there".to_owned());
                }
                self.set(document, states);
            }
            (Op::Snapshot(name), _) => {
                if let Some(snapshot) = self.snapshots.get_mut(&name) {
                    snapshot.is_certain = true;
                }
            }
            (Op::DropSnapshot(name), _) => {
                self.snapshots.remove(&name);
            }
            (Op::Restore(_), _) => {
                self.world = self.restored.take().unwrap_or_default();
            }
            (Op::Purge { snapshots }, _) => {
                if snapshots {
                    self.snapshots.clear();
                }
            }
            (Op::Switch(configuration), _) => {
                self.world.configurations = [configuration].into();
            }
            (Op::Upkeep(_), _) => {}
        }
        Ok(())
    }

    fn set(&mut self, document: u64, states: BTreeSet<Option<Standing>>) {
        self.world.documents.insert(document, states);
    }

    /// Compares what is found after an end, in order or not, with what may be;
    /// from then on it is certain.
    ///
    /// Gives the versions that must not be found any more.
    pub(crate) fn look(&mut self, found: &Found) -> Result<Vec<(u64, u64)>, Vec<String>> {
        let mut here = self.world.clone();
        let restored = self.restored.take();
        self.beside.clear();
        for op in std::mem::take(&mut self.under_way).values() {
            here.may(op);
        }
        let mut wrong = here.differences(found);
        if !wrong.is_empty()
            && let Some(restored) = restored
        {
            let others = restored.differences(found);
            if others.is_empty() {
                wrong.clear();
            } else {
                let others = others.iter().map(|other| format!("or, restored: {other}"));
                wrong.extend(others);
            }
        }
        for (name, snapshot) in &self.snapshots {
            if snapshot.is_certain && !found.snapshots.contains(name) {
                wrong.push(format!("snapshot {name} is gone"));
            }
        }
        for name in &found.snapshots {
            if !self.snapshots.contains_key(name) {
                wrong.push(format!("snapshot {name} is there"));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        self.snapshots
            .retain(|name, _| found.snapshots.contains(name));
        self.snapshots
            .values_mut()
            .for_each(|s| s.is_certain = true);
        let standing = found.documents.iter();
        let standing: BTreeSet<_> = standing
            .map(|(d, standing)| (*d, standing.version))
            .collect();
        let gone = self.versions.difference(&standing).copied().collect();
        self.versions = standing;
        self.world = World {
            documents: (found.documents.iter())
                .map(|(document, standing)| (*document, [Some(*standing)].into()))
                .collect(),
            configurations: [found.configuration.clone()].into(),
        };
        Ok(gone)
    }

    /// What was begun and not answered.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = &Op> {
        self.under_way.values()
    }
}

/// A word that stands in one version of one document only.
pub(crate) fn marker(document: u64, version: u64) -> String {
    format!("zq{document}v{version}")
}

/// The text of a version: some are a few sentences, some a few pages, so that
/// half of one would show.
pub(crate) fn text(document: u64, version: u64) -> String {
    let marker = marker(document, version);
    let mut text = format!("The report {marker} begins here. ");
    let sentences = if version.is_multiple_of(7) {
        60
    } else {
        1 + version % 5
    };
    for sentence in 0..sentences {
        let number = version.wrapping_mul(31) + sentence;
        text.push_str(&format!(
            "Pump {number} ran until gauge {} of unit {document} fell. ",
            number % 97
        ));
    }
    text.push_str(&format!("So ends report {marker}."));
    text
}
