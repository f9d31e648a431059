//! What does the process do that is going to die?
//!
//! Three writers put, replace, patch and delete documents, each its own, while
//! one thread keeps house. Every act is told to a file before it begins and
//! after it was acknowledged: one line, in one write, so that it is there
//! whatever becomes of the process.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use cento_core::{CollectionName, GenerationNo, MetadataPatch};
use cento_index::{
    CollectionSettings, Condition, DerivedDocument, Engine, GenerationState, IndexError,
    NewDocument, NewPatch, PatchOutcome, PendingDocument, Projection, PutOutcome, Store,
    StoreOptions, VectorOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::corpus::{DIMENSIONS, document, embed, id, name, settings};
use crate::model::{Answer, Event, Moment, Op, text};
use crate::random::Random;

pub(crate) const WRITERS: u64 = 3;
/// How many documents there are at most.
pub(crate) const DOCUMENTS: u64 = 90;

/// One thing that keeps house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Chore {
    Checkpoint,
    Snapshot,
    DropSnapshot,
    Restore,
    Compact,
    Purge,
    /// Another configuration, built beside the serving one.
    Reindex,
    /// Another configuration that is begun and given up.
    Abandon,
    Rollback,
    /// A second collection: made, made from a snapshot, rebuilt, deleted.
    Twin,
}

/// A life, as its parent plans it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) data: PathBuf,
    /// Where every act is told.
    pub(crate) told: PathBuf,
    pub(crate) seed: u64,
    /// Versions are numbered from here.
    pub(crate) first: u64,
    /// How often each writer acts; 0: the collection is only opened.
    pub(crate) acts: u64,
    pub(crate) chores: Vec<Chore>,
}

/// Small segments, so that there are many; the least memory for texts.
pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 12_000,
        text_arena_bytes: 15 << 20,
        vectors: VectorOptions {
            seal_rows: 12,
            freezes_beside: false,
            ..VectorOptions::default()
        },
        ..StoreOptions::default()
    }
}

/// Another way of cutting: the whole text is one chunk, vectors turned about.
pub(crate) fn whole() -> CollectionSettings {
    CollectionSettings {
        embedder: "toy reversed".to_owned(),
        chunking: "whole".to_owned(),
        ..settings()
    }
}

/// Chunks and vectors of a text, as settings say.
pub(crate) fn derived(name: &str, text: &str, settings: &CollectionSettings) -> NewDocument {
    if settings.chunking == "whole" {
        let mut new = document(name, &text.replace(". ", ", "), &json!({}));
        new.document.text = text.to_owned();
        new.document.content_hash = cento_core::ContentHash::of([text.as_bytes()]);
        new.vectors = vec![embed(text).into_iter().rev().collect()];
        assert_eq!((new.chunks.len(), new.vectors[0].len()), (1, DIMENSIONS));
        return new;
    }
    document(name, text, &json!({}))
}

struct Child<'a> {
    life: &'a Life,
    store: &'a Store,
    engine: &'a Engine,
    told: File,
    versions: AtomicU64,
    /// Held by everybody while acting, and now and then by a restore alone.
    acting: RwLock<()>,
}

/// Lives a life to its end, if it comes to that.
pub(crate) fn live(life: &Life) {
    let store = Store::open_with(&life.data, options()).unwrap();
    let engine = match store.collection(&name()) {
        Ok(engine) => engine,
        Err(IndexError::UnknownCollection { .. }) => store.create(&name(), &settings()).unwrap(),
        Err(error) => panic!("{error}"),
    };
    let mut told = OpenOptions::new();
    let child = Child {
        life,
        store: &store,
        engine: &engine,
        told: told.append(true).create(true).open(&life.told).unwrap(),
        versions: AtomicU64::new(life.first),
        acting: RwLock::default(),
    };
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let child = &child;
            scope.spawn(move || child.write(writer));
        }
        child.keep_house();
    });
}

impl Child<'_> {
    fn tell(&self, actor: u64, moment: Moment) {
        let mut line = serde_json::to_vec(&Event { actor, moment }).unwrap();
        line.push(b'\n');
        (&self.told).write_all(&line).unwrap();
    }

    fn act(&self, actor: u64, op: &Op, act: impl FnOnce() -> Result<Answer, IndexError>) {
        self.tell(actor, Moment::Begun(op.clone()));
        let answer = match act() {
            Ok(answer) => answer,
            Err(IndexError::GenerationBuilding { number }) => {
                Answer::Refused(format!("{number} is being built"))
            }
            Err(error) => panic!("{op:?}: {error}"),
        };
        self.tell(actor, Moment::Answered(answer));
    }

    fn version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed)
    }

    fn write(&self, writer: u64) {
        let mut random = Random::new(self.life.seed ^ (writer + 1) << 32);
        let mut mine = || random.below(DOCUMENTS / WRITERS) * WRITERS + writer;
        let mut kinds = Random::new(self.life.seed.wrapping_mul(31) ^ writer);
        for _ in 0..self.life.acts {
            let _acting = self.acting.read().unwrap();
            match kinds.below(10) {
                0..6 => {
                    let mut which: Vec<u64> = (0..=kinds.below(4)).map(|_| mine()).collect();
                    which.sort_unstable();
                    which.dedup();
                    let documents = which.into_iter().map(|d| (d, self.version())).collect();
                    self.put(writer, documents);
                }
                6..8 => {
                    let (document, patch) = (mine(), self.version());
                    let op = Op::Patch(document, patch);
                    self.act(writer, &op, || patch_one(self.engine, document, patch));
                }
                8 => {
                    let document = mine();
                    self.act(writer, &Op::Delete(document), || {
                        let was_there = self.engine.delete(&[id(&format!("d{document}"))])?[0];
                        Ok(if was_there {
                            Answer::Done
                        } else {
                            Answer::Unknown
                        })
                    });
                }
                _ => drop(self.engine.refresh().unwrap()),
            }
        }
    }

    fn put(&self, writer: u64, documents: Vec<(u64, u64)>) {
        self.act(writer, &Op::Put(documents.clone()), || {
            loop {
                let view = self.engine.view();
                let batch = documents.iter().map(|&(document, version)| {
                    let text = text(document, version);
                    let mut new = derived(&format!("d{document}"), &text, view.settings());
                    let metadata = json!({ "document": document, "version": version });
                    new.document.metadata =
                        cento_core::Metadata::from_json(metadata.as_object().unwrap()).unwrap();
                    new.condition = Condition::Always;
                    new
                });
                match self.engine.put(view.generation(), batch.collect()) {
                    Ok(outcomes) => {
                        for outcome in outcomes {
                            assert!(matches!(outcome, PutOutcome::Stored(_)), "{outcome:?}");
                        }
                        return Ok(Answer::Done);
                    }
                    Err(IndexError::GenerationChanged { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        });
    }

    fn keep_house(&self) {
        let mut random = Random::new(self.life.seed ^ 0xC0FFEE);
        for &chore in &self.life.chores {
            let is_alone = chore == Chore::Restore && random.one_in(2);
            let _alone = is_alone.then(|| self.acting.write().unwrap());
            self.chore(chore, &mut random);
        }
    }

    fn chore(&self, chore: Chore, random: &mut Random) {
        let engine = self.engine;
        let known = || -> Vec<String> {
            let all = engine.snapshots().unwrap().into_iter();
            all.map(|info| info.id).collect()
        };
        let upkeep = |what: &str, act: &dyn Fn() -> Result<(), IndexError>| {
            self.act(WRITERS, &Op::Upkeep(what.to_owned()), || {
                act().map(|()| Answer::Done)
            });
        };
        match chore {
            Chore::Checkpoint => upkeep("checkpoint", &|| engine.checkpoint()),
            Chore::Snapshot => {
                let name = format!("s{}", self.version());
                self.act(WRITERS, &Op::Snapshot(name.clone()), || {
                    engine.create_snapshot(Some(&name)).map(|_| Answer::Done)
                });
            }
            Chore::DropSnapshot => {
                if let Some(name) = random.of(&known()) {
                    self.act(WRITERS, &Op::DropSnapshot(name.clone()), || {
                        engine.delete_snapshot(name).map(|()| Answer::Done)
                    });
                }
            }
            Chore::Restore => {
                if let Some(name) = random.of(&known()) {
                    self.act(WRITERS, &Op::Restore(name.clone()), || {
                        engine.restore_snapshot(name).map(|_| Answer::Done)
                    });
                }
            }
            Chore::Compact => {
                let dead = [0.0, 0.3][random.below(2) as usize];
                upkeep("compaction", &|| {
                    engine.dead_bytes()?;
                    engine.compact(dead).map(drop)
                });
            }
            Chore::Purge => {
                let snapshots = random.one_in(3);
                self.act(WRITERS, &Op::Purge { snapshots }, || {
                    engine.purge(snapshots).map(|report| {
                        let held = report.held.iter();
                        // The others count what was replaced since it began.
                        let mut in_log = held.filter(|held| held.place == "log");
                        assert_eq!(in_log.next(), None, "a purge leaves nothing");
                        Answer::Done
                    })
                });
            }
            Chore::Reindex => self.reindex(),
            Chore::Abandon => {
                upkeep("a generation given up", &|| {
                    let generation = self.building()?;
                    engine.pending(generation, 10_000)?;
                    engine.drop_generation(generation)
                });
            }
            Chore::Rollback => self.roll_back(),
            Chore::Twin => upkeep("twin", &|| self.twin(known().first())),
        }
    }

    /// The generation being built; one of the other settings is begun if there
    /// is none.
    fn building(&self) -> Result<GenerationNo, IndexError> {
        let generations = self.engine.generations()?;
        let mut building = (generations.iter()).filter(|g| g.state == GenerationState::Building);
        if let Some(found) = building.next() {
            return Ok(found.number);
        }
        let other = match self.engine.settings().chunking.as_str() {
            "whole" => settings(),
            _ => whole(),
        };
        self.engine.begin_generation(&other)
    }

    fn reindex(&self) {
        let begin = Op::Upkeep("a generation is begun".to_owned());
        let mut number = None;
        self.act(WRITERS, &begin, || {
            number = Some(self.building()?);
            Ok(Answer::Done)
        });
        if let Some(number) = number {
            self.switch(number);
        }
    }

    fn roll_back(&self) {
        let generations = self.engine.generations().unwrap();
        let mut formers = (generations.iter()).filter(|g| g.state == GenerationState::Former);
        let Some(former) = formers.next() else {
            return self.reindex();
        };
        let mut is_resumed = false;
        let resume = Op::Upkeep("a generation is taken up again".to_owned());
        self.act(WRITERS, &resume, || {
            self.engine.resume_generation(former.number)?;
            is_resumed = true;
            Ok(Answer::Done)
        });
        if is_resumed {
            self.switch(former.number);
        }
    }

    /// Derives what is pending in a generation and switches to it.
    fn switch(&self, number: GenerationNo) {
        let generations = self.engine.generations().unwrap();
        let mut found = generations.into_iter().filter(|g| g.number == number);
        let settings = found.next().unwrap().settings;
        let derive = |pending: Vec<PendingDocument>| -> Vec<DerivedDocument> {
            let all = pending.into_iter().map(|pending| {
                let new = derived("x", &pending.document.text, &settings);
                DerivedDocument {
                    pending,
                    chunks: new.chunks,
                    vectors: new.vectors,
                }
            });
            all.collect()
        };
        let op = Op::Switch(settings.chunking.clone());
        self.act(WRITERS, &op, || {
            for _ in 0..20 {
                let pending = self.engine.pending(number, 4_000)?;
                if pending.is_empty() {
                    break;
                }
                self.engine.derive(number, derive(pending))?;
            }
            let mut last = |pending| Ok(derive(pending));
            let waiting = self.engine.switch(number, Some(&mut last))?;
            assert_eq!(waiting, 0);
            Ok(Answer::Done)
        });
    }

    fn twin(&self, snapshot: Option<&String>) -> Result<(), IndexError> {
        let twin = CollectionName::new("twin").unwrap();
        if self.store.collections()?.contains(&twin) {
            self.store.delete(&twin)?;
        }
        let engine = match snapshot {
            Some(name) => {
                let path = self.engine.snapshot_path(name)?;
                self.store.create_from(&twin, &path)?
            }
            None => self.store.create(&twin, &settings())?,
        };
        drop(engine);
        drop(self.store.rebuild(&twin, &Projection::ALL)?);
        self.store.delete(&twin)
    }
}

fn patch_one(engine: &Engine, document: u64, patch: u64) -> Result<Answer, IndexError> {
    let change = json!({ "patch": patch });
    let patch = NewPatch {
        id: id(&format!("d{document}")),
        patch: MetadataPatch::from_json(change.as_object().unwrap()).unwrap(),
        condition: Condition::Always,
    };
    match engine.patch_metadata(vec![patch])?.remove(0) {
        PatchOutcome::Stored(_) => Ok(Answer::Done),
        PatchOutcome::Unknown => Ok(Answer::Unknown),
        outcome => panic!("{outcome:?}"),
    }
}

/// Reads what a life told.
pub(crate) fn told(path: &Path) -> Vec<Event> {
    let lines = std::fs::read_to_string(path).unwrap_or_default();
    let events = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    events.collect()
}
