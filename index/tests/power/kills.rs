//! Does what was seen after a kill outlast the power?
//!
//! A process that is killed leaves what it wrote in the system's memory: the
//! next one reads it, believes it and builds on it, and then the power goes.
//! Here the process is killed at every point of every operation (it panics,
//! and what it held is dropped; nothing of ours writes then), the collection is
//! opened again under the same journal, and the power is cut at the syncs that
//! follow.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use cento_index::fault::{Action, Cut, Journal, Loss, arm, disarm_all, fail};
use cento_index::{Engine, IndexError, Store};

use crate::catalogs::{self, Kind};
use crate::corpus;
use crate::cuts::{ALONE, fast_dir, is_clean, look, wanted};
use crate::script::{self, PROBE};
use crate::state::{State, observe};

/// Every point that the engine's own thread may come to.
const POINTS: [&str; 53] = [
    "collection.made",
    "collection.renamed",
    "commit.record_applied",
    "compaction.removed",
    "compaction.switched",
    "compaction.table_written",
    "compaction.written",
    "disk.create",
    "disk.link",
    "disk.mkdir",
    "disk.remove",
    "disk.rename",
    "disk.sync",
    "disk.syncdir",
    "disk.truncate",
    "disk.write",
    "generation.before_switch",
    "generation.begun",
    "generation.dropped",
    "generation.given_up",
    "generation.resumed",
    "generation.switched",
    "log.before_write",
    "log.first_segment_created",
    "log.next_segment_created",
    "log.synced",
    "log.tail_cut",
    "log.tail_found_torn",
    "log.written",
    "manifest.copy_renamed",
    "manifest.renamed",
    "manifest.synced",
    "manifest.written",
    "projection.entered",
    "purge.built",
    "purge.formers_dropped",
    "purge.switched",
    "restore.built",
    "restore.linked",
    "restore.numbered",
    "restore.ready",
    "restore.switched",
    "snapshot.described",
    "snapshot.doomed",
    "snapshot.linked",
    "snapshot.made",
    "snapshot.rolled",
    "text.committed",
    "text.prepared",
    "vectors.renamed",
    "vectors.rewritten",
    "vectors.synced",
    "vectors.written",
];

/// What is done when the process dies.
type Operation = (&'static str, fn(&Engine));

const OPERATIONS: [Operation; 10] = [
    ("put", |engine| {
        corpus::put(engine, vec![script::document_of("e", 1)]);
    }),
    ("delete", |engine| {
        engine.delete(&[corpus::id("a")]).unwrap();
    }),
    ("checkpoint", |engine| engine.checkpoint().unwrap()),
    ("snapshot", |engine| {
        engine.create_snapshot(Some("later")).unwrap();
    }),
    ("delete a snapshot", |engine| {
        engine.delete_snapshot("early").unwrap();
    }),
    ("restore", |engine| {
        engine.restore_snapshot("early").unwrap();
    }),
    ("compact", |engine| {
        engine.compact(0.0).unwrap();
    }),
    ("switch", |engine| {
        let building = engine.generations().unwrap().pop().unwrap().number;
        assert_eq!(engine.switch(building, None).unwrap(), 0);
    }),
    ("give a generation up", |engine| {
        let building = engine.generations().unwrap().pop().unwrap().number;
        engine.drop_generation(building).unwrap();
    }),
    ("purge", |engine| {
        let building = engine.generations().unwrap().pop().unwrap().number;
        engine.switch(building, None).unwrap();
        engine.purge(false).unwrap();
    }),
];

/// How one died.
struct Killed;

/// Where something has been done that no sync has made durable yet: without
/// being asked, only these are tried.
const UNSYNCED: [&str; 4] = [
    "disk.syncdir",
    "disk.sync",
    "log.written",
    "manifest.renamed",
];

#[test]
fn what_was_seen_after_a_kill_outlasts_the_power() {
    let _alone = ALONE.lock();
    let mut wrong = Vec::new();
    let (mut kills, mut disks) = (0, 0);
    for (turn, (name, operation)) in OPERATIONS.into_iter().enumerate() {
        for (point, times) in reached(operation) {
            // At one that comes often, the first, the last and one between.
            let mut at = vec![1, times.div_ceil(2), times];
            at.dedup();
            if wanted().is_none() {
                if !UNSYNCED.contains(&point) {
                    continue;
                }
                at = vec![at[turn % at.len()]];
            }
            for nth in at {
                kills += 1;
                let looked = look(|| {
                    let die = |engine: &Engine| {
                        die_at(point, nth);
                        let done = catch_unwind(AssertUnwindSafe(|| operation(engine)));
                        disarm_all();
                        match done {
                            Ok(()) => {}
                            Err(panic) if panic.is::<Killed>() => {}
                            Err(panic) => resume_unwind(panic),
                        }
                    };
                    after(die, nth as usize, &mut disks)
                });
                if let Err(reason) = looked {
                    wrong.push(format!("{name}, killed at {point}:{nth}: {reason}"));
                }
            }
        }
    }
    println!("{kills} kills, {disks} disks");
    let count = wrong.len();
    wrong.truncate(10);
    assert!(wrong.is_empty(), "{count} of {kills} are wrong: {wrong:#?}");
}

#[test]
fn a_commit_whose_sync_failed_is_not_built_on() {
    let _alone = ALONE.lock();
    let mut disks = 0;
    let fail_once = |engine: &Engine| {
        let failure = fail("sync@collections/docs/log/:EIO").unwrap();
        let new = script::document_of("e", 1);
        let error = engine.put(engine.view().generation(), vec![new]);
        assert!(matches!(error, Err(IndexError::Io { .. })), "{error:?}");
        assert_eq!(failure.hits(), 1);
    };
    for turn in 0..7 {
        after(fail_once, turn, &mut disks).unwrap();
    }
}

/// A collection to which everything can be done.
fn prepare(dir: &Path) -> (Store, Arc<Engine>) {
    let store = Store::open_with(dir, script::options()).unwrap();
    let engine = store.create(&corpus::name(), &corpus::settings()).unwrap();
    let put = |name, round| corpus::put(&engine, vec![script::document_of(name, round)]);
    put("a", 0);
    put("b", 0);
    engine.create_snapshot(Some("early")).unwrap();
    put("c", 0);
    put("b", 1);
    engine.delete(&[corpus::id("c")]).unwrap();
    let building = engine.begin_generation(&corpus::whole()).unwrap();
    let pending = engine.pending(building, u64::MAX).unwrap();
    let derived = pending.into_iter().map(|one| corpus::derived(one, true));
    engine.derive(building, derived.collect()).unwrap();
    // The open segment is full, and something of it is not applied everywhere.
    engine.refresh().unwrap();
    put("d", 0);
    let pending = engine.pending(building, u64::MAX).unwrap();
    let derived = pending.into_iter().map(|one| corpus::derived(one, true));
    engine.derive(building, derived.collect()).unwrap();
    (store, engine)
}

/// The points that an operation comes to, and how often.
fn reached(operation: fn(&Engine)) -> Vec<(&'static str, u64)> {
    const MOST: u64 = 60;
    let dir = fast_dir();
    let (_store, engine) = prepare(dir.path());
    let counts: Arc<Mutex<BTreeMap<&'static str, u64>>> = Arc::default();
    let me = thread::current().id();
    for point in POINTS {
        for nth in 1..=MOST {
            let counts = Arc::clone(&counts);
            let count = move || {
                if thread::current().id() == me {
                    *counts.lock().unwrap().entry(point).or_default() += 1;
                }
            };
            arm(point, nth, Action::Run(Arc::new(count)));
        }
    }
    operation(&engine);
    disarm_all();
    let counts = std::mem::take(&mut *counts.lock().unwrap());
    counts.into_iter().collect()
}

/// Does something to a collection, opens it again as what the system has in
/// memory shows it, and cuts the power at the syncs that follow.
fn after(done: impl Fn(&Engine), turn: usize, disks: &mut usize) -> Result<(), String> {
    let dir = fast_dir();
    let journal = Journal::start(dir.path()).unwrap();
    let (store, engine) = prepare(dir.path());
    let mut copies = vec![catalogs::copy(dir.path())];
    let from = journal.sync_points();
    done(&engine);
    drop((engine, store));
    copies.push(catalogs::copy(dir.path()));
    let store = Store::open_with(dir.path(), script::options()).map_err(|e| e.to_string())?;
    let engine = store
        .collection(&corpus::name())
        .map_err(|e| e.to_string())?;
    let (seen, _) = observe(&engine).map_err(|e| e.to_string())?;
    is_clean(&engine)?;
    journal.mark("seen");
    copies.push(catalogs::copy(dir.path()));
    corpus::put(&engine, vec![script::probe()]);
    journal.mark("written");
    copies.push(catalogs::copy(dir.path()));
    engine.compact(0.0).map_err(|e| e.to_string())?;
    let (written, _) = observe(&engine).map_err(|e| e.to_string())?;
    drop((engine, store));
    let cuts: Vec<Cut> = (journal.cuts().into_iter())
        .filter(|cut| !matches!(cut, Cut::Before(n) | Cut::After(n) if *n < from))
        .collect();
    // There are far fewer cuts after a kill than in a life.
    let disks_of_one = wanted().map_or(6, |wanted| (wanted / 500).max(6));
    let step = (cuts.len() / disks_of_one).max(1);
    for (at, cut) in cuts.iter().enumerate().skip(turn % step).step_by(step) {
        let marks = journal.marks_before(*cut);
        let seed = turn as u64;
        let loss = [Loss::DropUnsynced, Loss::Torn { seed }][at / step % 2];
        let kind = [Kind::Last, Kind::Gone, Kind::Earlier][(at / step + turn) % 3];
        let disk = fast_dir();
        (journal.state_at(*cut, loss, disk.path())).map_err(|e| e.to_string())?;
        catalogs::place(kind, &copies[..=marks.len()], at, disk.path());
        *disks += 1;
        look(|| is_seen(disk.path(), &marks, &seen, &written)).map_err(|reason| {
            format!(
                "then opened, power cut at {cut:?} ({loss:?}, {kind:?}) after {marks:?}: {reason}"
            )
        })?;
    }
    Ok(())
}

fn die_at(point: &str, nth: u64) {
    let me = thread::current().id();
    let mine = Arc::new(AtomicU64::new(0));
    // Other threads come to the same points, and only this one dies.
    for armed in 1..nth * 2 + 60 {
        let mine = Arc::clone(&mine);
        let run = move || {
            if thread::current().id() == me && mine.fetch_add(1, Ordering::SeqCst) + 1 == nth {
                panic_any(Killed);
            }
        };
        arm(point, armed, Action::Run(Arc::new(run)));
    }
}

/// Whether a disk holds what was seen, and all that was written then or none.
fn is_seen(dir: &Path, marks: &[String], seen: &State, written: &State) -> Result<(), String> {
    let store = Store::open_with(dir, script::options()).map_err(|e| e.to_string())?;
    let engine = store
        .collection(&corpus::name())
        .map_err(|e| e.to_string())?;
    let (state, _) = observe(&engine).map_err(|e| e.to_string())?;
    is_clean(&engine)?;
    let holds_probe = state.documents.contains_key(PROBE);
    match marks.len() {
        // Nobody has been told anything yet.
        0 => Ok(()),
        1 if state == *seen => Ok(()),
        1 | 2 if holds_probe && state == *written => Ok(()),
        _ => Err(format!("{marks:?}: seen {seen:#?}, found {state:#?}")),
    }
}
