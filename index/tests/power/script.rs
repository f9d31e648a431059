//! What does a collection live through?

use std::path::Path;
use std::sync::{Arc, Mutex};

use cento_core::{GenerationNo, MetadataPatch};
use cento_index::fault::{Action, Cut, Journal, arm, disarm_all};
use cento_index::{
    Condition, Engine, GenerationState, NewDocument, NewPatch, PatchOutcome, PendingDocument,
    Store, StoreOptions, VectorOptions,
};
use serde_json::{Value, json};

use crate::catalogs::{self, Copy};
use crate::corpus::{self, derived, document, id, whole};
use crate::state::{Documents, EVERYWHERE, Kept, State, observe};

/// What was done and acknowledged, and what there was to see then.
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) after: State,
    /// States that a step of several commits leaves on its way.
    pub(crate) between: Vec<State>,
    /// The last write.
    pub(crate) sequence: u64,
}

/// A life, written down.
pub(crate) struct Life {
    pub(crate) journal: Arc<Journal>,
    pub(crate) steps: Vec<Step>,
    pub(crate) copies: Vec<Copy>,
}

const STEP: &str = "step";
const COPY: &str = "copy";

impl Life {
    /// How many steps had been acknowledged before a moment, and how many
    /// copies of sled's folders taken.
    pub(crate) fn before(&self, cut: Cut) -> (usize, usize) {
        let marks = self.journal.marks_before(cut);
        let count = |label| marks.iter().filter(|mark| *mark == label).count();
        (count(STEP), count(COPY))
    }
}

/// Segments of a few commits each.
pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 1_500,
        text_arena_bytes: 15_000_000,
        vectors: VectorOptions {
            seal_rows: 5,
            freezes_beside: false,
            ..VectorOptions::default()
        },
        ..StoreOptions::default()
    }
}

/// Within long steps sled's folders are copied here, too.
const COPIED_AT: [&str; 6] = [
    "compaction.written",
    "compaction.switched",
    "generation.switched",
    "restore.built",
    "purge.built",
    "purge.switched",
];

struct Writer<'a> {
    engine: &'a Engine,
    root: &'a Path,
    journal: &'a Journal,
    copies: &'a Mutex<Vec<Copy>>,
    steps: Vec<Step>,
    /// What the documents must be, told without the engine.
    documents: Documents,
    /// Whether nothing is to be made visible, so that projections fall behind.
    is_quiet: bool,
}

fn text(name: &str, round: usize) -> String {
    format!(
        "The {EVERYWHERE} of {name} ran in round {round}. Its gauge fell to {}. Then valve {name} was shut.",
        round * 7
    )
}

fn metadata(name: &str, round: usize) -> Value {
    json!({"n": round, "unit": name, "open": round.is_multiple_of(2)})
}

/// A document of this script.
pub(crate) fn document_of(name: &str, round: usize) -> NewDocument {
    document(name, &text(name, round), &metadata(name, round))
}

impl Writer<'_> {
    /// The caller has been told that something is done.
    fn done(&mut self, name: impl Into<String>) {
        self.journal.mark(STEP);
        copy(self.journal, self.root, self.copies);
        let (after, sequence) = match self.steps.last().filter(|_| self.is_quiet) {
            Some(before) => {
                let mut after = before.after.clone();
                after.documents.clone_from(&self.documents);
                (after, before.sequence)
            }
            None => observe(self.engine).unwrap(),
        };
        let name = name.into();
        assert_eq!(after.documents, self.documents, "{name}");
        self.steps.push(Step {
            name,
            after,
            between: Vec::new(),
            sequence,
        });
    }

    fn put(&mut self, names: &[&str], round: usize) {
        let new = |name: &&str| document_of(name, round);
        corpus::put(self.engine, names.iter().map(new).collect());
        for name in names {
            let kept = Kept {
                text: text(name, round),
                metadata: metadata(name, round),
            };
            self.documents.insert((*name).to_owned(), kept);
        }
        self.done(format!("put {names:?} in round {round}"));
    }

    fn patch(&mut self, name: &str, team: &str) {
        let change = json!({"team": team, "open": null});
        let patch = NewPatch {
            id: id(name),
            patch: MetadataPatch::from_json(change.as_object().unwrap()).unwrap(),
            condition: Condition::Always,
        };
        let outcomes = self.engine.patch_metadata(vec![patch]).unwrap();
        assert!(matches!(outcomes[0], PatchOutcome::Stored(_)));
        let kept = self.documents.get_mut(name).unwrap();
        let fields = kept.metadata.as_object_mut().unwrap();
        fields.remove("open");
        fields.insert("team".to_owned(), json!(team));
        self.done(format!("patched {name}"));
    }

    fn delete(&mut self, names: &[&str]) {
        let ids: Vec<_> = names.iter().map(|name| id(name)).collect();
        assert!(self.engine.delete(&ids).unwrap().iter().all(|was| *was));
        for name in names {
            self.documents.remove(*name);
        }
        self.done(format!("deleted {names:?}"));
    }

    fn derive(&mut self, generation: GenerationNo, is_whole: bool, bytes: u64) {
        let pending = self.engine.pending(generation, bytes).unwrap();
        let all = pending.into_iter().map(|one| derived(one, is_whole));
        self.engine.derive(generation, all.collect()).unwrap();
        self.done("derived");
    }

    fn restore(&mut self, snapshot: &str, documents: &Documents) {
        self.engine.restore_snapshot(snapshot).unwrap();
        self.documents.clone_from(documents);
        self.done(format!("restored {snapshot}"));
    }

    fn reindex(&mut self) -> GenerationNo {
        let generation = self.engine.begin_generation(&whole()).unwrap();
        self.done("begun");
        self.derive(generation, true, u64::MAX);
        assert_eq!(self.engine.switch(generation, None).unwrap(), 0);
        self.done("switched");
        generation
    }
}

fn copy(journal: &Journal, root: &Path, copies: &Mutex<Vec<Copy>>) {
    let mut copies = copies.lock().unwrap();
    copies.push(catalogs::copy(root));
    journal.mark(COPY);
}

/// Lives it.
pub(crate) fn live(root: &Path) -> Life {
    let journal = Arc::new(Journal::start(root).unwrap());
    let copies: Arc<Mutex<Vec<Copy>>> = Arc::default();
    for point in COPIED_AT {
        for nth in 1..=4 {
            let (journal, copies) = (Arc::clone(&journal), Arc::clone(&copies));
            let root = root.to_owned();
            let run = move || copy(&journal, &root, &copies);
            arm(point, nth, Action::Run(Arc::new(run)));
        }
    }
    let store = Store::open_with(root, options()).unwrap();
    let engine = store.create(&corpus::name(), &corpus::settings()).unwrap();
    let mut writer = Writer {
        engine: &engine,
        root,
        journal: &journal,
        copies: &copies,
        steps: Vec::new(),
        documents: Documents::new(),
        is_quiet: false,
    };
    writer.done("created");
    run(&mut writer);
    let steps = writer.steps;
    disarm_all();
    drop((engine, store));
    let copies = std::mem::take(&mut *copies.lock().unwrap());
    Life {
        journal,
        steps,
        copies,
    }
}

fn run(writer: &mut Writer<'_>) {
    let engine = writer.engine;
    writer.put(&["a", "b", "c"], 0);
    writer.put(&["d"], 0);
    writer.put(&["b"], 1);
    writer.patch("c", "ops");
    writer.delete(&["a"]);
    engine.checkpoint().unwrap();
    writer.done("checkpoint");
    // Segments are full by now, and nothing is published.
    writer.is_quiet = true;
    for round in 2..5 {
        writer.put(&["e", "f", "g"], round);
        writer.put(&["d"], round);
    }
    writer.patch("f", "desk");
    writer.delete(&["b"]);
    writer.put(&["b"], 4);
    writer.is_quiet = false;
    engine.create_snapshot(Some("first")).unwrap();
    let first = writer.documents.clone();
    writer.done("snapshot first");
    writer.put(&["h", "b"], 5);
    writer.delete(&["c", "e"]);
    engine.compact(0.0).unwrap();
    writer.done("compacted");
    writer.put(&["i"], 6);

    let former = engine.view().generation();
    let generation = engine.begin_generation(&whole()).unwrap();
    writer.done("begun");
    writer.derive(generation, true, 200);
    writer.put(&["j", "b"], 7);
    writer.delete(&["f"]);
    writer.patch("g", "billing");
    engine.compact(0.3).unwrap();
    writer.done("compacted while building");
    writer.derive(generation, true, u64::MAX);
    assert_eq!(engine.switch(generation, None).unwrap(), 0);
    writer.done("switched");
    writer.put(&["k"], 8);
    writer.patch("d", "ops");
    engine.create_snapshot(Some("second")).unwrap();
    writer.done("snapshot second");
    writer.delete(&["h"]);
    engine.compact(0.0).unwrap();
    writer.done("compacted with a former generation");

    engine.resume_generation(former).unwrap();
    writer.done("resumed");
    writer.put(&["l"], 9);
    let mut last = |pending: Vec<PendingDocument>| {
        Ok((pending.into_iter())
            .map(|one| derived(one, false))
            .collect())
    };
    assert_eq!(engine.switch(former, Some(&mut last)).unwrap(), 0);
    writer.done("rolled back");
    caught_up(writer);
    writer.put(&["m"], 10);

    writer.restore("first", &first);
    writer.put(&["n", "b"], 11);
    writer.delete(&["d"]);
    engine.checkpoint().unwrap();
    writer.done("checkpoint");
    engine.delete_snapshot("second").unwrap();
    writer.done("deleted second");

    writer.reindex();
    writer.put(&["o"], 12);
    engine.purge(false).unwrap();
    writer.done("purged");
    writer.put(&["p"], 13);
    writer.restore("first", &first);
    writer.put(&["q"], 14);
    writer.delete(&["b"]);
    let doomed = writer.reindex();
    let back = engine.generations().unwrap()[0].number;
    assert_ne!(doomed, back);
    engine.purge(true).unwrap();
    writer.done("purged with snapshots");
    let [.., before, purged] = &mut writer.steps[..] else {
        panic!("there are many steps");
    };
    // Former generations go first, then snapshots one by one.
    purged.between.push(State {
        generations: purged.after.generations.clone(),
        ..before.after.clone()
    });
    writer.put(&["r", "b"], 15);
}

/// Switching with what is left to derive takes a commit of its own.
fn caught_up(writer: &mut Writer<'_>) {
    let [.., before, switched] = &mut writer.steps[..] else {
        panic!("there are many steps");
    };
    let mut between = before.after.clone();
    for (_, state, pending) in &mut between.generations {
        if *state == GenerationState::Building {
            *pending = Some(0);
        }
    }
    switched.between.push(between);
}

/// What is written to a disk after the power is back.
pub(crate) fn probe() -> NewDocument {
    document_of(PROBE, 99)
}

pub(crate) const PROBE: &str = "probe";

/// The probe as it must be found.
pub(crate) fn probe_kept() -> Kept {
    Kept {
        text: text(PROBE, 99),
        metadata: metadata(PROBE, 99),
    }
}
