//! What is saved of a log that is damaged in its middle, and what is said of
//! the rest.

use std::fs;
use std::path::{Path, PathBuf};

use cento_core::Sequence;
use cento_index::{IndexError, Store, StoreOptions, Verify};
use serde_json::json;

use crate::corpus::*;

fn fill(dir: &Path, snapshot: bool) {
    let options = StoreOptions {
        segment_bytes: 3_000,
        ..StoreOptions::default()
    };
    let store = Store::open_with(dir, options).unwrap();
    let engine = store.create(&name(), &settings()).unwrap();
    for i in 0..40 {
        let text = format!("Sentence {i} about pumps. Another about valve {i}.");
        let new = document(&format!("d{i}"), &text, &json!({"n": i}));
        put(&engine, vec![new]);
        if i == 20 && snapshot {
            engine.create_snapshot(Some("half")).unwrap();
        }
    }
    engine.checkpoint().unwrap();
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("collections/docs/log")).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Changes a byte of the put of a document.
fn damage(dir: &Path, needle: &str) -> PathBuf {
    for path in segments(dir) {
        let mut bytes = fs::read(&path).unwrap();
        let found = bytes
            .windows(needle.len())
            .position(|window| window == needle.as_bytes());
        if let Some(at) = found {
            bytes[at + 3] ^= 0x20;
            fs::write(&path, bytes).unwrap();
            return path;
        }
    }
    panic!("no segment holds it")
}

#[test]
fn what_is_whole_is_saved_and_what_is_lost_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    let damaged = damage(dir.path(), "Another about valve 7.");
    {
        let verified = StoreOptions {
            verify: Verify::Full,
            ..StoreOptions::default()
        };
        let store = Store::open_existing_with(dir.path(), verified).unwrap();
        let error = store.collection(&name()).err().unwrap();
        match &error {
            IndexError::LogDamaged { path, .. } => assert_eq!(*path, damaged),
            other => panic!("{other}"),
        }
    }
    let before = fs::read(&damaged).unwrap();
    let store = Store::open_existing(dir.path()).unwrap();
    let (engine, report) = store.salvage(&name()).unwrap();
    assert_eq!(report.kept, 39);
    assert_eq!(report.missing, [(Sequence(8), Sequence(8))]);
    assert_eq!(report.lost.len(), 1, "{report:?}");
    assert_eq!(report.lost[0].path, damaged);
    let aside = report.put_aside.join(damaged.file_name().unwrap());
    assert_eq!(fs::read(aside).unwrap(), before);
    assert_clean(&engine);
    let view = engine.view();
    assert_eq!(view.counts().documents, 39);
    assert!(view.document(&id("d7")).unwrap().is_none());
    assert_eq!(found_in(&view, "valve", "d8").0, ["Another about valve 8."]);
    put(
        &engine,
        vec![document("d7", "Here again.", &json!({"n": 7}))],
    );
    assert_eq!(engine.refresh().unwrap().sequence(), Sequence(41));
    drop((view, engine, store));
    let (_store, engine) = reopen(dir.path());
    assert_clean(&engine);
    assert_eq!(engine.view().counts().documents, 40);
    // A purge removes what was put aside.
    engine.purge(false).unwrap();
    assert!(!report.put_aside.exists());
}

#[test]
fn a_sound_log_is_salvaged_without_a_loss() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    let store = Store::open_existing(dir.path()).unwrap();
    let (engine, report) = store.salvage(&name()).unwrap();
    assert_eq!(
        (report.kept, report.lost, report.missing),
        (40, vec![], vec![])
    );
    assert_clean(&engine);
    assert_eq!(engine.view().counts().documents, 40);
}

#[test]
fn a_lost_manifest_is_taken_from_the_newest_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    let collection = dir.path().join("collections/docs");
    for file in ["manifest.json", "manifest.copy.json"] {
        fs::write(collection.join(file), "nothing of the kind").unwrap();
    }
    let store = Store::open_existing(dir.path()).unwrap();
    let error = store.collection(&name()).err().unwrap();
    assert!(matches!(error, IndexError::Format { .. }), "{error}");
    let (engine, report) = store.salvage(&name()).unwrap();
    assert_eq!((report.kept, report.missing), (40, vec![]));
    assert_clean(&engine);
    assert_eq!(engine.view().counts().documents, 40);
    engine.restore_snapshot("half").unwrap();
    assert_eq!(engine.view().counts().documents, 21);
    assert_clean(&engine);
}
