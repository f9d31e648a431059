//! Upkeep beside writers: what is written while it runs is not lost by it.

use std::sync::atomic::{AtomicBool, Ordering};

use cento_index::{Engine, IndexError, Store, StoreOptions};
use serde_json::json;

use crate::corpus::*;

/// Runs `upkeep` again and again while documents are put and replaced; then the
/// projections must say what the log says, here and after opening again.
fn beside_writers(upkeep: impl Fn(&Engine) -> Result<(), IndexError>) {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        segment_bytes: 2_000,
        text_arena_bytes: 15 << 20,
        ..StoreOptions::default()
    };
    let store = Store::open_with(dir.path(), options).unwrap();
    let engine = store.create(&name(), &settings()).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..200 {
                let text = format!("Version {i} of it. It has two sentences.");
                let id = format!("d{}", i % 60);
                put(&engine, vec![document(&id, &text, &json!({"n": i}))]);
                if i % 25 == 24 {
                    engine.delete(&[crate::corpus::id(&id)]).unwrap();
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        while !is_over.load(Ordering::Relaxed) {
            upkeep(&engine).unwrap();
        }
    });
    assert_clean(&engine);
    let count = engine.view().counts();
    drop((engine, store));
    let (_store, engine) = reopen(dir.path());
    assert_clean(&engine);
    assert_eq!(engine.view().counts(), count);
    assert!(engine.recovery().remade.is_empty());
}

#[test]
fn a_checkpoint_beside_writers_says_only_what_is_on_the_disk() {
    beside_writers(Engine::checkpoint);
}

#[test]
fn compaction_beside_writers_keeps_what_they_write() {
    beside_writers(|engine| engine.compact(0.0).map(drop));
}

#[test]
fn purging_beside_writers_keeps_what_they_write() {
    beside_writers(|engine| {
        assert_eq!(engine.purge(false)?.held, []);
        Ok(())
    });
}

#[test]
fn an_audit_beside_writers_finds_no_difference_that_is_none() {
    beside_writers(|engine| {
        assert_clean(engine);
        Ok(())
    });
}

#[test]
fn a_restore_beside_writers_leaves_a_log_that_holds_what_they_write() {
    let is_made = AtomicBool::new(false);
    beside_writers(|engine| {
        if !is_made.swap(true, Ordering::Relaxed) {
            engine.create_snapshot(Some("before"))?;
        }
        engine.restore_snapshot("before").map(drop)
    });
}

#[test]
fn a_store_that_is_closed_with_writes_not_merged_is_opened_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = create(dir.path());
    for i in 0..100 {
        let id = format!("d{}", i % 7);
        put(&engine, vec![document(&id, "Some words.", &json!({}))]);
        engine.refresh().unwrap();
    }
    drop((engine, store));
    let (_store, engine) = reopen(dir.path());
    assert!(engine.recovery().remade.is_empty());
    assert_clean(&engine);
}

#[test]
fn what_was_restored_is_not_made_anew_for_deletions_that_it_never_saw() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = create(dir.path());
    put(&engine, vec![document("a", "One. Two.", &json!({}))]);
    engine.create_snapshot(Some("before")).unwrap();
    put(&engine, vec![document("b", "Three.", &json!({}))]);
    engine.delete(&[id("b")]).unwrap();
    engine.create_snapshot(Some("rolled")).unwrap();
    engine.compact(0.0).unwrap();
    engine.restore_snapshot("before").unwrap();
    drop((engine, store));
    let (_store, engine) = reopen(dir.path());
    assert!(engine.recovery().remade.is_empty());
    assert_clean(&engine);
}
