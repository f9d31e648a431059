//! What is left of a change that fails half way?

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cento_index::fault::fail;
use cento_index::{Condition, Engine, IndexError, PutOutcome, Store};
use serde_json::json;

use crate::corpus::*;

fn open(dir: &Path) -> (Store, Arc<Engine>) {
    open_or_create(dir, 1_000)
}

fn fill(engine: &Engine, round: usize) {
    for i in 0..30 {
        let text = format!("Version {round} of number {i}. It has two sentences.");
        put(engine, vec![document(&format!("d{i}"), &text, &json!({}))]);
    }
}

fn log(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("collections/docs/log")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn log_bytes(dir: &Path) -> u64 {
    let files = log(dir).into_iter();
    files.map(|path| path.metadata().unwrap().len()).sum()
}

#[test]
fn a_generation_that_cannot_be_begun_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = open(dir.path());
    fill(&engine, 1);
    // Opening does not look into closed segments; building a generation does.
    let closed = log(dir.path())[2].clone();
    let whole_bytes = fs::read(&closed).unwrap();
    let mut bytes = whole_bytes.clone();
    bytes[100] ^= 1;
    fs::write(&closed, bytes).unwrap();
    let mut another = whole();
    another.embedder = "a third one".to_owned();
    for settings in [whole(), another, whole()] {
        let refused = engine.begin_generation(&settings);
        assert!(
            matches!(refused, Err(IndexError::LogDamaged { .. })),
            "{refused:?}"
        );
        assert_eq!(engine.generations().unwrap().len(), 1);
    }
    assert_eq!(
        fs::read_dir(dir.path().join("collections/docs/generations"))
            .unwrap()
            .count(),
        1
    );
    fs::write(&closed, whole_bytes).unwrap();
    drop((engine, store));
    let (_store, engine) = open(dir.path());
    let generation = engine.begin_generation(&whole()).unwrap();
    derive_all(&engine, generation, true);
    assert_eq!(engine.switch(generation, None).unwrap(), 0);
    assert_clean(&engine);
}

#[test]
fn a_compaction_that_fills_the_disk_gives_back_what_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = open(dir.path());
    fill(&engine, 1);
    fill(&engine, 2);
    engine.checkpoint().unwrap();
    let before = log_bytes(dir.path());
    let failure = fail(&format!("write@{}*.log:ENOSPC:3", dir.path().display())).unwrap();
    let refused = engine.compact(0.0);
    drop(failure);
    assert!(matches!(refused, Err(IndexError::Io { .. })), "{refused:?}");
    // The open segment was closed before, and another begun.
    assert!(log_bytes(dir.path()) < before + 100);
    fill(&engine, 3);
    engine.compact(0.0).unwrap();
    assert_clean(&engine);
}

#[test]
fn compaction_makes_a_log_smaller_that_was_never_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = create(dir.path());
    for round in 0..4 {
        fill(&engine, round);
    }
    engine.checkpoint().unwrap();
    let before = log_bytes(dir.path());
    engine.compact(0.0).unwrap();
    assert!(
        log_bytes(dir.path()) < before / 3,
        "{} of {before}",
        log_bytes(dir.path())
    );
    // And then there is nothing to do.
    let files = log(dir.path());
    engine.compact(0.0).unwrap();
    assert_eq!(log(dir.path()), files);
    assert_clean(&engine);
}

#[test]
fn what_is_kept_for_a_rollback_is_not_compacted_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = open(dir.path());
    fill(&engine, 1);
    let first = engine.view().generation();
    let second = engine.begin_generation(&whole()).unwrap();
    derive_all(&engine, second, true);
    engine.switch(second, None).unwrap();
    engine.resume_generation(first).unwrap();
    derive_all(&engine, first, false);
    engine.switch(first, None).unwrap();
    // Segments of derivations that nothing but the former generation needs.
    engine.compact(0.3).unwrap();
    let files = log(dir.path());
    assert!(!engine.is_compactable(0.3, 0).unwrap());
    engine.compact(0.3).unwrap();
    assert_eq!(log(dir.path()), files);
    // Given up, they are dead.
    let before = log_bytes(dir.path());
    engine.drop_generation(second).unwrap();
    assert!(engine.is_compactable(0.3, 0).unwrap());
    engine.compact(0.3).unwrap();
    assert!(
        log_bytes(dir.path()) < before * 2 / 3,
        "{} of {before}",
        log_bytes(dir.path())
    );
    assert!(!engine.is_compactable(0.3, 0).unwrap());
    assert_clean(&engine);
}

#[test]
fn a_field_keeps_its_type_in_every_generation() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = open(dir.path());
    put(
        &engine,
        vec![document(
            "a",
            "It gives a field its type.",
            &json!({"f": 1}),
        )],
    );
    engine.delete(&[id("a")]).unwrap();
    put(
        &engine,
        vec![document("kept", "This one stays.", &json!({}))],
    );
    engine.compact(0.0).unwrap();
    let first = engine.view().generation();
    let second = engine.begin_generation(&whole()).unwrap();
    derive_all(&engine, second, true);
    engine.switch(second, None).unwrap();
    let new = document("b", "It has another type.", &json!({"f": "text"}));
    let outcome = engine.put(second, vec![derived_as_whole(new)]).unwrap();
    assert!(
        matches!(outcome[..], [PutOutcome::Refused(_)]),
        "{outcome:?}"
    );
    engine.resume_generation(first).unwrap();
    assert_eq!(engine.switch(first, None).unwrap(), 0);
    assert_clean(&engine);
}

/// A document as the second configuration cuts it.
fn derived_as_whole(new: cento_index::NewDocument) -> cento_index::NewDocument {
    let text = new.document.text.clone();
    let vectors = vec![embed(&text)];
    let chunks = document("x", &text.replace(". ", ", "), &json!({})).chunks;
    cento_index::NewDocument {
        chunks,
        vectors,
        condition: Condition::Always,
        ..new
    }
}

#[test]
fn a_purge_finds_what_an_earlier_failure_left() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = open(dir.path());
    fill(&engine, 1);
    let collection = dir.path().join("collections/docs");
    let stray = collection.join("log/0000000000000999.log");
    fs::copy(&log(dir.path())[0], &stray).unwrap();
    let folder = collection.join("generations/00000999");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("left"), "Version 1").unwrap();
    engine.delete(&[id("d7")]).unwrap();
    assert_eq!(engine.purge(false).unwrap().held, []);
    assert!(!stray.exists() && !folder.exists());
}

#[test]
fn a_generation_that_a_query_still_reads_is_not_opened_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = open(dir.path());
    fill(&engine, 1);
    let reading = engine.refresh().unwrap();
    let first = reading.generation();
    let second = engine.begin_generation(&whole()).unwrap();
    derive_all(&engine, second, true);
    engine.switch(second, None).unwrap();
    let refused = engine.resume_generation(first);
    assert!(
        matches!(refused, Err(IndexError::GenerationInUse { .. })),
        "{refused:?}"
    );
    assert_eq!(
        reading.document(&id("d3")).unwrap().unwrap().chunks.len(),
        2
    );
    drop(reading);
    engine.resume_generation(first).unwrap();
    assert_eq!(engine.pending_count(first).unwrap(), 0);
    engine.switch(first, None).unwrap();
    assert_clean(&engine);
}
