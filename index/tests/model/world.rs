//! What has become of an engine and of its model?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cento_core::{CoreError, GenerationNo, MetadataPatch, Sequence};
use cento_index::{
    Condition, DeleteOutcome, Engine, GenerationState, IndexError, NewPatch, PatchOutcome,
    PendingDocument, PutOutcome, Store, View,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::compare::{Shown, Sight, compare, learned};
use crate::corpus::{self, assert_clean, id};
use crate::ground::{lose, options};
use crate::operation::{Change, If, Operation, Put};
use crate::texts::{derived, metadata, name, new_document, settings, text, unit};

/// A document of the model.
#[derive(Debug, Clone)]
struct Standing {
    text: String,
    metadata: Value,
    /// The write that put it.
    put: u64,
    /// Generations that have chunks of this version.
    derived: BTreeSet<u32>,
}

type Documents = BTreeMap<u8, Standing>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Generation {
    number: u32,
    is_whole: bool,
}

/// The model: what a collection is, in a few maps.
#[derive(Debug, Clone)]
struct Model {
    documents: Documents,
    sequence: u64,
    serving: Generation,
    building: Option<Generation>,
    /// With the last write that it has followed.
    former: Option<(u64, Generation)>,
    next_generation: u32,
    snapshots: BTreeMap<u8, (Documents, Generation, Option<u8>)>,
    /// What the model of each generation has learned.
    fitted: BTreeMap<u32, u8>,
    /// How often the serving generation came to have files of another folder.
    folders: u32,
    /// The version of a document that stood before the one that stands.
    before: BTreeMap<u8, u64>,
}

pub(crate) struct World {
    dir: TempDir,
    open: Option<(Store, Arc<Engine>)>,
    model: Model,
    /// What the newest view shows.
    published: Sight,
    held: Vec<(Arc<View>, Sight)>,
}

impl Model {
    fn sight(&self) -> Sight {
        let shown = |standing: &Standing| Shown {
            text: standing.text.clone(),
            metadata: standing.metadata.clone(),
            sequence: standing.put,
        };
        Sight {
            sequence: self.sequence,
            generation: self.serving.number,
            folders: self.folders,
            is_whole: self.serving.is_whole,
            fitted: self.fitted.get(&self.serving.number).copied(),
            documents: (self.documents.iter())
                .map(|(document, standing)| (*document, shown(standing)))
                .collect(),
        }
    }

    fn standing(&self, document: u8) -> Option<Sequence> {
        self.documents.get(&document).map(|s| Sequence(s.put))
    }

    fn condition(&self, document: u8, condition: If) -> Condition {
        let never = Sequence(u64::MAX);
        match condition {
            If::Always => Condition::Always,
            If::Absent => Condition::Absent,
            If::Current => Condition::Version(self.standing(document).unwrap_or(never)),
            If::Stale => {
                let before = self.before.get(&document);
                Condition::Version(before.map_or(never, |number| Sequence(*number)))
            }
        }
    }

    fn holds(&self, document: u8, condition: Condition) -> bool {
        match condition {
            Condition::Always => true,
            Condition::Absent => self.standing(document).is_none(),
            Condition::Version(wanted) => self.standing(document) == Some(wanted),
        }
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// A new version of a document; its number.
    fn put(&mut self, document: u8, text: String, metadata: Value) -> u64 {
        let put = self.next();
        let standing = Standing {
            text,
            metadata,
            put,
            derived: BTreeSet::from([self.serving.number]),
        };
        if let Some(replaced) = self.documents.insert(document, standing) {
            self.before.insert(document, replaced.put);
        }
        put
    }

    /// The documents that a generation lacks, oldest first.
    fn pending(&self, generation: Generation) -> Vec<(u8, u64)> {
        let lacks = |s: &&Standing| !s.derived.contains(&generation.number);
        let mut found: Vec<_> = (self.documents.iter())
            .filter(|(_, standing)| lacks(standing))
            .map(|(document, standing)| (*document, standing.put))
            .collect();
        found.sort_by_key(|(_, put)| *put);
        found
    }

    /// One of the versions that a generation lacked has been derived, if it
    /// stands still.
    fn derive(&mut self, generation: Generation, (document, put): (u8, u64)) {
        if let Some(standing) = self.documents.get_mut(&document)
            && standing.put == put
        {
            standing.derived.insert(generation.number);
            self.next();
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let dir = dir.unwrap();
        let store = Store::open_with(dir.path(), options()).unwrap();
        let engine = store.create(&corpus::name(), &settings(false)).unwrap();
        let model = Model {
            documents: BTreeMap::new(),
            sequence: 0,
            serving: Generation {
                number: 1,
                is_whole: false,
            },
            building: None,
            former: None,
            next_generation: 2,
            snapshots: BTreeMap::new(),
            fitted: BTreeMap::new(),
            folders: 0,
            before: BTreeMap::new(),
        };
        Self {
            dir,
            open: Some((store, engine)),
            published: model.sight(),
            model,
            held: Vec::new(),
        }
    }

    fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.open.as_ref().unwrap().1)
    }

    /// The newest view shows all that was written.
    fn publish(&mut self) {
        self.published = self.model.sight();
    }

    /// Asks every view everything.
    pub(crate) fn compare(&self, word: usize, n: i64) {
        let engine = self.engine();
        compare(&engine.view(), &self.published, word, n);
        for (view, sight) in &self.held {
            compare(view, sight, word, n);
        }
        let model = &self.model;
        let mut expected = vec![(model.serving.number, GenerationState::Serving, Some(0))];
        if let Some(building) = model.building {
            let pending = model.pending(building).len() as u64;
            expected.push((building.number, GenerationState::Building, Some(pending)));
        }
        if let Some((_, former)) = model.former {
            expected.push((former.number, GenerationState::Former, None));
        }
        expected.sort_by_key(|(number, ..)| *number);
        let found = engine.generations().unwrap().into_iter();
        let found: Vec<_> = found.map(|g| (g.number.0, g.state, g.pending)).collect();
        assert_eq!(found, expected);
        let mut names: Vec<_> = engine
            .snapshots()
            .unwrap()
            .into_iter()
            .map(|s| s.id)
            .collect();
        names.sort();
        let expected: Vec<_> = model.snapshots.keys().map(|n| format!("s{n}")).collect();
        assert_eq!(names, expected);
    }

    /// Asks once more when all is over, and after opening anew.
    pub(crate) fn end(mut self) {
        self.apply(&Operation::Refresh);
        self.compare(0, 0);
        assert_clean(&self.engine());
        self.apply(&Operation::Reopen {
            checkpoint: false,
            lost: None,
        });
        self.compare(1, 1);
    }

    pub(crate) fn apply(&mut self, operation: &Operation) {
        let engine = self.engine();
        match operation {
            Operation::Put(batch) => self.put(&engine, batch),
            Operation::Patch {
                document,
                change,
                condition,
            } => self.patch(&engine, *document, change, *condition),
            Operation::Delete {
                document,
                condition,
            } => self.delete(&engine, *document, *condition),
            Operation::Fit(number) => self.fit(&engine, *number),
            Operation::Refresh => {
                engine.refresh().unwrap();
                self.publish();
            }
            Operation::Hold => {
                if self.held.len() == 3 {
                    self.held.remove(0);
                }
                self.held.push((engine.view(), self.published.clone()));
            }
            Operation::LetGo => self.held.clear(),
            Operation::Checkpoint => {
                engine.checkpoint().unwrap();
                self.publish();
            }
            Operation::Snapshot(number) => self.snapshot(&engine, *number),
            Operation::Restore(number) => self.restore(&engine, *number),
            Operation::DeleteSnapshot(number) => {
                let deleted = engine.delete_snapshot(&format!("s{number}"));
                let was_there = self.model.snapshots.remove(number).is_some();
                assert_eq!(deleted.is_ok(), was_there, "{deleted:?}");
            }
            Operation::Begin => self.begin(&engine),
            Operation::Derive { bytes, replaced } => self.derive(&engine, *bytes, *replaced),
            Operation::Switch { with_last } => self.switch(&engine, *with_last),
            Operation::GiveUp => self.give_up(&engine),
            Operation::Resume => self.resume(&engine),
            Operation::Compact { dead_percent } => {
                engine.compact(f64::from(*dead_percent) / 100.0).unwrap();
                self.publish();
            }
            Operation::Purge { snapshots } => self.purge(&engine, *snapshots),
            Operation::Reopen { checkpoint, lost } => {
                if *checkpoint {
                    engine.checkpoint().unwrap();
                }
                drop(engine);
                self.reopen(*lost);
            }
        }
    }

    fn put(&mut self, engine: &Engine, batch: &[Put]) {
        let model = &mut self.model;
        let (mut new, mut expected) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for put in batch {
            let document = put.document;
            let condition = model.condition(document, put.condition);
            let (text, metadata) = (text(put), metadata(put));
            let mut one = new_document(&name(document), &text, &metadata, model.serving.is_whole);
            one.condition = condition;
            new.push(one);
            expected.push(if !seen.insert(document) {
                let id = id(&name(document));
                PutOutcome::Refused(CoreError::DuplicateId { id })
            } else if model.holds(document, condition) {
                PutOutcome::Stored(Sequence(model.put(document, text, metadata)))
            } else {
                let found = model.standing(document);
                PutOutcome::Conflict { found }
            });
        }
        let generation = GenerationNo(model.serving.number);
        assert_eq!(engine.put(generation, new).unwrap(), expected);
    }

    fn patch(&mut self, engine: &Engine, document: u8, change: &Change, condition: If) {
        let model = &mut self.model;
        let condition = model.condition(document, condition);
        let json = match change {
            Change::N(n) => json!({"n": n}),
            Change::NoUnit => json!({"unit": null}),
            Change::Unit(number) => json!({"unit": unit(*number)}),
            Change::Open(open) => json!({"open": open}),
        };
        let patch = NewPatch {
            id: id(&name(document)),
            patch: MetadataPatch::from_json(json.as_object().unwrap()).unwrap(),
            condition,
        };
        let expected = match model.documents.get(&document).cloned() {
            _ if !model.holds(document, condition) => PatchOutcome::Conflict {
                found: model.standing(document),
            },
            None => PatchOutcome::Unknown,
            Some(standing) => {
                let mut metadata = standing.metadata.clone();
                let fields = metadata.as_object_mut().unwrap();
                for (key, value) in json.as_object().unwrap() {
                    if value.is_null() {
                        fields.remove(key);
                    } else {
                        fields.insert(key.clone(), value.clone());
                    }
                }
                let is_new = metadata != standing.metadata;
                PatchOutcome::Stored(Sequence(if is_new {
                    model.put(document, standing.text, metadata)
                } else {
                    standing.put
                }))
            }
        };
        assert_eq!(engine.patch_metadata(vec![patch]).unwrap(), [expected]);
    }

    fn delete(&mut self, engine: &Engine, document: u8, condition: If) {
        let model = &mut self.model;
        let condition = model.condition(document, condition);
        let found = model.standing(document);
        let expected = if !model.holds(document, condition) {
            DeleteOutcome::Conflict { found }
        } else if let Some(deleted) = model.documents.remove(&document) {
            model.before.insert(document, deleted.put);
            DeleteOutcome::Deleted(Sequence(model.next()))
        } else {
            DeleteOutcome::Unknown
        };
        let outcomes = engine.delete_if(vec![(id(&name(document)), condition)]);
        assert_eq!(outcomes.unwrap(), [expected]);
    }

    fn fit(&mut self, engine: &Engine, number: u8) {
        let model = &mut self.model;
        let (serving, other) = (model.serving.number, model.next_generation);
        let refused = engine.fit(GenerationNo(other), learned(number));
        assert!(matches!(refused, Err(IndexError::GenerationChanged { .. })));
        let fitted = engine.fit(GenerationNo(serving), learned(number));
        assert_eq!(fitted.unwrap().0, model.next());
        model.fitted.insert(serving, number);
    }

    fn snapshot(&mut self, engine: &Engine, number: u8) {
        let made = engine.create_snapshot(Some(&format!("s{number}")));
        self.publish();
        let model = &mut self.model;
        if model.snapshots.contains_key(&number) {
            assert!(matches!(made, Err(IndexError::SnapshotName { .. })));
            return;
        }
        let made = made.unwrap();
        assert_eq!(made.sequence.0, model.sequence);
        assert_eq!(made.documents, model.documents.len() as u64);
        let fitted = model.fitted.get(&model.serving.number).copied();
        let kept = (model.documents.clone(), model.serving, fitted);
        model.snapshots.insert(number, kept);
    }

    fn restore(&mut self, engine: &Engine, number: u8) {
        let restored = engine.restore_snapshot(&format!("s{number}"));
        let model = &mut self.model;
        let Some((documents, serving, fitted)) = model.snapshots.get(&number).cloned() else {
            assert!(matches!(restored, Err(IndexError::UnknownSnapshot { .. })));
            return;
        };
        restored.unwrap();
        model.documents = documents;
        model.serving = serving;
        model.fitted = fitted
            .map(|fitted| (serving.number, fitted))
            .into_iter()
            .collect();
        model.building = None;
        model.former = None;
        model.folders += 1;
        self.publish();
    }

    fn begin(&mut self, engine: &Engine) {
        let model = &mut self.model;
        let is_whole = !model.serving.is_whole;
        let begun = engine.begin_generation(&settings(is_whole));
        match model.building {
            Some(building) if building.is_whole == is_whole => {
                assert_eq!(begun.unwrap().0, building.number);
            }
            Some(_) => assert!(matches!(begun, Err(IndexError::GenerationBuilding { .. }))),
            None => {
                let number = model.next_generation;
                assert_eq!(begun.unwrap().0, number);
                model.next_generation += 1;
                model.building = Some(Generation { number, is_whole });
            }
        }
    }

    fn derive(&mut self, engine: &Engine, bytes: u64, replaced: Option<u8>) {
        let Some(building) = self.model.building else {
            let none = engine.pending(GenerationNo(99), bytes);
            assert!(matches!(none, Err(IndexError::UnknownGeneration { .. })));
            return;
        };
        let generation = GenerationNo(building.number);
        let found = engine.pending(generation, bytes).unwrap();
        let mut expected = Vec::new();
        let mut taken = 0;
        for (document, put) in self.model.pending(building) {
            if taken >= bytes && !expected.is_empty() {
                break;
            }
            taken += self.model.documents[&document].text.len() as u64;
            expected.push((document, put));
        }
        let named = |one: &PendingDocument| (one.document.id.to_string(), one.sequence.0);
        assert_eq!(
            found.iter().map(named).collect::<Vec<_>>(),
            expected
                .iter()
                .map(|(d, put)| (name(*d), *put))
                .collect::<Vec<_>>()
        );
        if let Some(document) = replaced {
            let put = Put {
                document,
                sentences: vec![vec![document % 6]],
                n: 1,
                unit: None,
                condition: If::Always,
            };
            self.put(engine, &[put]);
        }
        let all = found.into_iter().map(|one| derived(one, building.is_whole));
        engine.derive(generation, all.collect()).unwrap();
        for one in expected {
            self.model.derive(building, one);
        }
    }

    fn switch(&mut self, engine: &Engine, with_last: bool) {
        let Some(building) = self.model.building else {
            let none = engine.switch(GenerationNo(99), None);
            assert!(matches!(none, Err(IndexError::UnknownGeneration { .. })));
            return;
        };
        let generation = GenerationNo(building.number);
        let mut last = |pending: Vec<PendingDocument>| {
            let all = pending
                .into_iter()
                .map(|one| derived(one, building.is_whole));
            Ok(all.collect())
        };
        let waiting = if with_last {
            engine.switch(generation, Some(&mut last)).unwrap()
        } else {
            engine.switch(generation, None).unwrap()
        };
        let pending = self.model.pending(building);
        if !with_last && !pending.is_empty() {
            assert_eq!(waiting, pending.len() as u64);
            return;
        }
        assert_eq!(waiting, 0);
        let model = &mut self.model;
        for one in pending {
            model.derive(building, one);
        }
        // Of those that have served, the one that was left last is kept.
        let mut formers: Vec<_> = model.former.take().into_iter().collect();
        formers.push((model.sequence, model.serving));
        model.former = formers.into_iter().max_by_key(|(at, g)| (*at, g.number));
        model.serving = building;
        model.building = None;
        self.publish();
    }

    fn give_up(&mut self, engine: &Engine) {
        let model = &mut self.model;
        let doomed = (model.building.take()).or_else(|| model.former.take().map(|(_, g)| g));
        match doomed {
            Some(doomed) => engine.drop_generation(GenerationNo(doomed.number)).unwrap(),
            None => {
                let refused = engine.drop_generation(GenerationNo(model.serving.number));
                assert!(matches!(refused, Err(IndexError::GenerationServing { .. })));
            }
        }
    }

    fn resume(&mut self, engine: &Engine) {
        let model = &mut self.model;
        let wanted = model.former.map_or(model.serving, |(_, former)| former);
        // A generation that was purged, or came back with a snapshot, has other files.
        let files = (wanted.number, model.folders);
        let is_looked_at =
            (self.held.iter()).any(|(_, sight)| (sight.generation, sight.folders) == files);
        let resumed = engine.resume_generation(GenerationNo(wanted.number));
        if model.building.is_some() {
            assert!(matches!(
                resumed,
                Err(IndexError::GenerationBuilding { .. })
            ));
        } else if model.former.is_some() && is_looked_at {
            // Its catalog stays open for whoever looks at it: nothing changes.
            assert!(matches!(resumed, Err(IndexError::GenerationInUse { .. })));
        } else if model.former.take().is_some() {
            resumed.unwrap();
            model.building = Some(wanted);
        } else {
            assert!(matches!(resumed, Err(IndexError::GenerationServing { .. })));
        }
    }

    fn purge(&mut self, engine: &Engine, snapshots: bool) {
        let purged = engine.purge(snapshots);
        let model = &mut self.model;
        if model.building.is_some() {
            assert!(matches!(purged, Err(IndexError::GenerationBuilding { .. })));
            return;
        }
        let report = purged.unwrap();
        let left = report
            .held
            .iter()
            .find(|held| !held.place.starts_with("snapshot"));
        assert_eq!(left, None, "{report:?}");
        if snapshots {
            assert_eq!(report.held, []);
            model.snapshots.clear();
        }
        model.former = None;
        model.folders += 1;
        self.publish();
    }

    fn reopen(&mut self, lost: Option<u8>) {
        self.held.clear();
        self.open = None;
        if let Some(number) = lost {
            let projection = ["catalog", "text", "vectors"][usize::from(number)];
            lose(self.dir.path(), projection);
        }
        let store = Store::open_with(self.dir.path(), options()).unwrap();
        let engine = store.collection(&corpus::name()).unwrap();
        if lost.is_none() {
            // What was closed in good order is not made anew.
            let remade = &engine.recovery().remade;
            assert!(!remade.contains(&"catalog"), "{remade:?}");
        }
        assert_clean(&engine);
        self.open = Some((store, engine));
        self.publish();
    }
}
