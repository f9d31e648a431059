//! Generations, snapshots, compaction and purging, one after the other.

use std::path::Path;

use cento_core::{CollectionName, Sequence};
use cento_index::archive::{ArchiveAbout, export};
use cento_index::{
    Condition, DeleteOutcome, Engine, GenerationState, IndexError, NewPatch, PatchOutcome,
    PendingDocument, PutOutcome, Store, StoreOptions,
};
use serde_json::json;

use crate::corpus::*;

/// Segments of a few commits each.
fn small() -> StoreOptions {
    StoreOptions {
        segment_bytes: 2_000,
        ..StoreOptions::default()
    }
}

fn fill(engine: &Engine) {
    for i in 0..30 {
        let text = format!("Sentence {i} about pumps. Another about valve {i}.");
        let new = document(&format!("d{i}"), &text, &json!({"n": i}));
        put(engine, vec![new]);
    }
    for i in 0..20 {
        let text = format!("Replaced {i} on hoses.");
        put(
            engine,
            vec![document(&format!("d{i}"), &text, &json!({"n": i}))],
        );
    }
    engine.delete(&[id("d3"), id("d25")]).unwrap();
}

fn assert_filled(engine: &Engine) {
    assert_clean(engine);
    let view = engine.refresh().unwrap();
    assert_eq!(view.counts().documents, 28);
    assert_eq!(found_in(&view, "hoses", "d4").0, ["Replaced 4 on hoses."]);
    assert_eq!(
        found_in(&view, "valve", "d27").0,
        ["Another about valve 27."]
    );
    assert_eq!(
        view.document(&id("d7")).unwrap().unwrap().document.text,
        "Replaced 7 on hoses."
    );
    assert!(view.document(&id("d3")).unwrap().is_none());
}

fn open(dir: &Path) -> (Store, std::sync::Arc<Engine>) {
    open_or_create(dir, small().segment_bytes)
}

fn reindex(engine: &Engine) {
    let generation = engine.begin_generation(&whole()).unwrap();
    derive_all(engine, generation, true);
    assert_eq!(engine.switch(generation, None).unwrap(), 0);
}

#[test]
fn compaction_drops_what_is_dead_and_answers_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = open(dir.path());
    fill(&engine);
    let held = engine.refresh().unwrap();
    put(&engine, vec![document("d5", "Once more.", &json!({}))]);
    let (dead, all) = engine.dead_bytes().unwrap();
    assert!(dead > all / 4, "{dead} of {all}");
    let report = engine.compact(0.1).unwrap();
    assert!(report.dropped >= 15, "{report:?}");
    assert!(report.bytes_after < report.bytes_before, "{report:?}");
    // A view of before still reads what it named.
    let text = |view: &cento_index::View, name| {
        let found = view.document(&id(name)).unwrap();
        found.map(|found| found.document.text)
    };
    assert_eq!(text(&held, "d5").unwrap(), "Replaced 5 on hoses.");
    assert_eq!(text(&engine.view(), "d5").unwrap(), "Once more.");
    let again = "Replaced 5 on hoses.";
    put(&engine, vec![document("d5", again, &json!({}))]);
    assert_filled(&engine);
    drop((held, engine, store));
    let (store, engine) = open(dir.path());
    assert_filled(&engine);
    // Twice over, and all of it.
    engine.compact(0.0).unwrap();
    engine.compact(0.0).unwrap();
    assert_filled(&engine);
    let sequence = engine.view().sequence();
    drop((engine, store));
    for folder in std::fs::read_dir(dir.path().join("collections/docs/generations")).unwrap() {
        std::fs::remove_dir_all(folder.unwrap().path()).unwrap();
    }
    let (_store, engine) = open(dir.path());
    assert_filled(&engine);
    assert_eq!(
        engine.view().sequence(),
        sequence,
        "no number is given twice"
    );
}

#[test]
fn what_a_model_has_learned_outlasts_compaction_and_what_it_had_learned_before_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), small()).unwrap();
    let engine = store.create(&name(), &settings()).unwrap();
    let generation = engine.view().generation();
    assert_eq!(engine.view().artefact().unwrap(), None);
    let mut last = Sequence(0);
    for byte in 0..5 {
        last = engine.fit(generation, vec![byte; 50_000]).unwrap();
        fill(&engine);
    }
    let report = engine.compact(0.0).unwrap();
    let dropped = report.bytes_before - report.bytes_after;
    assert!(dropped > 200_000, "{report:?}");
    drop((engine, store));
    let (_store, engine) = open(dir.path());
    assert_filled(&engine);
    let view = engine.view();
    let learned = view.fitted().unwrap();
    assert_eq!((learned.sequence, learned.chunks), (last, 37));
    assert_eq!(view.artefact().unwrap(), Some(vec![4; 50_000]));
}

#[test]
fn a_former_copy_of_the_catalog_does_not_bring_deleted_documents_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = open(dir.path());
    put(
        &engine,
        vec![document("gone", "To be deleted.", &json!({}))],
    );
    engine.checkpoint().unwrap();
    drop((engine, store));
    let catalog = crate::recovery::projections(dir.path()).join("catalog");
    let kept = dir.path().join("kept");
    copy_dir(&catalog, &kept);
    let (store, engine) = open(dir.path());
    engine.delete(&[id("gone")]).unwrap();
    fill(&engine);
    engine.compact(0.0).unwrap();
    drop((engine, store));
    std::fs::remove_dir_all(&catalog).unwrap();
    copy_dir(&kept, &catalog);
    let (_store, engine) = open(dir.path());
    assert_filled(&engine);
}

#[test]
fn a_collection_is_reindexed_while_it_serves_and_rolled_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = open(dir.path());
    fill(&engine);
    let former = engine.refresh().unwrap().generation();
    let generation = engine.begin_generation(&whole()).unwrap();
    assert_eq!(engine.begin_generation(&whole()).unwrap(), generation);
    assert!(engine.pending_count(generation).unwrap() == 28);
    let first = engine.pending(generation, 100).unwrap();
    // Replaced and deleted after they were read: what comes back is stale.
    put(
        &engine,
        vec![document("d0", "Newer than that.", &json!({}))],
    );
    engine.delete(&[id("d1")]).unwrap();
    let whole = first.into_iter().map(|one| derived(one, true)).collect();
    engine.derive(generation, whole).unwrap();
    let waiting = engine.switch(generation, None).unwrap();
    assert!(waiting > 0);
    assert_eq!(engine.view().generation(), former);
    drop((engine, store));

    // Half built, and gone on with after opening.
    let (store, engine) = open(dir.path());
    assert_eq!(engine.pending_count(generation).unwrap(), waiting);
    let mut last = |pending: Vec<PendingDocument>| {
        Ok(pending.into_iter().map(|one| derived(one, true)).collect())
    };
    assert_eq!(engine.switch(generation, Some(&mut last)).unwrap(), 0);
    let view = engine.view();
    assert_eq!(view.generation(), generation);
    assert_eq!(view.settings().chunking, "whole");
    assert_eq!(view.counts().documents, 27);
    assert_eq!(view.counts().chunks, 27);
    assert_clean(&engine);
    assert_eq!(found_in(&view, "newer", "d0").0, ["Newer than that."]);
    // Made for the former generation: refused.
    let stale = document("late", "Too late.", &json!({}));
    let error = engine.put(former, vec![stale]).unwrap_err();
    assert!(matches!(error, IndexError::GenerationChanged { .. }));
    let mut fresh = document("fresh", "Fresh one.", &json!({}));
    fresh.vectors.truncate(1);
    put(&engine, vec![fresh]);
    let patch = NewPatch {
        id: id("d2"),
        patch: cento_core::MetadataPatch::from_json(json!({"n": 99}).as_object().unwrap()).unwrap(),
        condition: Condition::Always,
    };
    let patched = engine.patch_metadata(vec![patch]).unwrap();
    assert!(matches!(patched[0], PatchOutcome::Stored(_)));
    engine.compact(0.0).unwrap();
    assert_clean(&engine);
    drop((view, engine, store));
    let (store, engine) = open(dir.path());
    assert_clean(&engine);
    assert_eq!(engine.view().counts().documents, 28);

    // Back again: only what came in since is to be derived.
    engine.resume_generation(former).unwrap();
    assert_eq!(engine.pending_count(former).unwrap(), 2);
    let mut last = |pending: Vec<PendingDocument>| {
        Ok(pending.into_iter().map(|one| derived(one, false)).collect())
    };
    let switched = engine.switch(former, Some(&mut last)).unwrap();
    assert_eq!(switched, 0);
    assert_clean(&engine);
    let view = engine.view();
    assert_eq!(view.generation(), former);
    assert_eq!(
        found_in(&view, "valve", "d27").0,
        ["Another about valve 27."]
    );
    assert_eq!(view.counts().documents, 28);
    let generations = engine.generations().unwrap();
    let states: Vec<_> = generations.iter().map(|g| g.state).collect();
    assert_eq!(states, [GenerationState::Serving, GenerationState::Former]);
    engine.drop_generation(generation).unwrap();
    engine.compact(0.0).unwrap();
    drop((view, engine, store));
    let (_store, engine) = open(dir.path());
    assert_clean(&engine);
}

#[test]
fn a_snapshot_is_gone_back_to_after_compaction_and_purging() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = open(dir.path());
    fill(&engine);
    let made = engine.create_snapshot(Some("before")).unwrap();
    assert_eq!(made.documents, 28);
    assert!(matches!(
        engine.create_snapshot(Some("before")),
        Err(IndexError::SnapshotName { .. })
    ));
    for i in 0..30 {
        let _ = engine.delete(&[id(&format!("d{i}"))]).unwrap();
    }
    put(&engine, vec![document("only", "Only this.", &json!({}))]);
    reindex(&engine);
    engine.compact(0.0).unwrap();
    let report = engine.purge(false).unwrap();
    assert_eq!(report.generations, 1);
    let places: Vec<_> = report.held.iter().map(|held| held.place.as_str()).collect();
    assert_eq!(places, ["snapshot before"], "{report:?}");
    assert_clean(&engine);
    let before = engine.view().sequence();
    drop((engine, store));
    let (store, engine) = open(dir.path());
    assert_clean(&engine);
    let restored = engine.restore_snapshot("before").unwrap();
    assert_eq!(restored, made);
    assert_filled(&engine);
    let new = document("d5", "Replaced 5 on hoses.", &json!({}));
    let outcome = engine.put(engine.view().generation(), vec![new]).unwrap();
    assert_eq!(outcome, [PutOutcome::Stored(Sequence(before.0 + 1))]);
    assert_filled(&engine);
    // As another collection too.
    let path = engine.snapshot_path("before").unwrap();
    let twin = CollectionName::new("twin").unwrap();
    let twin = store.create_from(&twin, &path).unwrap();
    assert_filled(&twin);
    drop((engine, store, twin));
    let (_store, engine) = open(dir.path());
    assert_filled(&engine);
    let report = engine.purge(true).unwrap();
    assert_eq!(report.deleted_snapshots, ["before"]);
    assert_eq!(report.held, [], "{report:?}");
    assert_filled(&engine);
}

/// The archive of a snapshot's folder.
fn archive_of(snapshot: &Path) -> Vec<u8> {
    let about = ArchiveAbout {
        collection: name(),
        snapshot: "s".to_owned(),
        created: 1,
    };
    let mut bytes = Vec::new();
    export(snapshot, &about, &mut bytes).unwrap();
    bytes
}

fn folders(data: &Path) -> usize {
    std::fs::read_dir(data.join("collections")).unwrap().count()
}

#[test]
fn an_import_is_checked_before_there_is_a_collection() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = open(dir.path());
    fill(&engine);
    engine.create_snapshot(Some("s")).unwrap();
    let archive = archive_of(&engine.snapshot_path("s").unwrap());
    let twin = CollectionName::new("twin").unwrap();
    let refused = store.import(&twin, &mut &*archive, |found| {
        assert_eq!(found, [settings()]);
        assert_eq!(store.collections().unwrap(), [name()]);
        assert!(store.collection(&twin).is_err());
        let known = "refused by the check".to_owned();
        let name = twin.clone();
        Err(IndexError::UnknownCollection { name, known })
    });
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("refused by the check"), "{refused}");
    assert_eq!(folders(dir.path()), 1);
    let imported = store.import(&twin, &mut &*archive, |_| Ok::<_, IndexError>(()));
    assert_filled(&imported.unwrap().0);
}

#[test]
fn an_import_that_cannot_be_opened_leaves_no_collection_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = open(dir.path());
    fill(&engine);
    engine.create_snapshot(Some("s")).unwrap();
    let snapshot = engine.snapshot_path("s").unwrap();
    let whole = archive_of(&snapshot);
    // Damaged before it was exported: the archive itself is in order.
    let copy = dir.path().join("copy");
    copy_dir(&snapshot, &copy);
    let mut segments = std::fs::read_dir(copy.join("log")).unwrap();
    let segment = segments.next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let damaged = archive_of(&copy);
    let twin = CollectionName::new("twin").unwrap();
    let any = |_: &[_]| Ok::<_, IndexError>(());
    let refused = store.import(&twin, &mut &*damaged, any).err().unwrap();
    assert!(
        matches!(refused, IndexError::LogDamaged { .. }),
        "{refused}"
    );
    assert_eq!(store.collections().unwrap(), [name()]);
    assert_eq!(folders(dir.path()), 1);
    let (twin, _) = store.import(&twin, &mut &*whole, any).unwrap();
    assert_filled(&twin);
}

#[test]
fn a_condition_that_does_not_hold_leaves_the_document_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = open(dir.path());
    let with = |condition, text: &str| {
        let mut new = document("a", text, &json!({}));
        new.condition = condition;
        engine.put(engine.view().generation(), vec![new]).unwrap()
    };
    assert_eq!(
        with(Condition::Version(Sequence(1)), "x"),
        [PutOutcome::Conflict { found: None }]
    );
    assert_eq!(
        with(Condition::Absent, "first"),
        [PutOutcome::Stored(Sequence(1))]
    );
    let found = Some(Sequence(1));
    assert_eq!(
        with(Condition::Absent, "again"),
        [PutOutcome::Conflict { found }]
    );
    assert_eq!(
        with(Condition::Version(Sequence(1)), "second"),
        [PutOutcome::Stored(Sequence(2))]
    );
    let stale = vec![(id("a"), Condition::Version(Sequence(1)))];
    let found = Some(Sequence(2));
    assert_eq!(
        engine.delete_if(stale).unwrap(),
        [DeleteOutcome::Conflict { found }]
    );
    let view = engine.refresh().unwrap();
    let stored = view.document(&id("a")).unwrap().unwrap();
    assert_eq!(stored.document.text, "second");
    assert_eq!(stored.outline.sequence, Sequence(2));
}

#[test]
fn a_chunks_number_is_not_given_again_after_compaction_and_the_loss_of_the_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = open(dir.path());
    let put = |engine: &Engine, text: &str| {
        put(engine, vec![document("a", text, &json!({}))]);
    };
    let lose_catalogs = || {
        let folders = std::fs::read_dir(dir.path().join("collections/docs/generations"));
        for folder in folders.unwrap() {
            std::fs::remove_dir_all(folder.unwrap().path().join("catalog")).unwrap();
        }
    };
    put(&engine, "First on pumps.");
    let former = engine.view().generation();
    let generation = engine.begin_generation(&whole()).unwrap();
    let derive_all = |engine: &Engine| {
        let pending = engine.pending(generation, u64::MAX).unwrap();
        let whole = pending.into_iter().map(|one| derived(one, true)).collect();
        engine.derive(generation, whole).unwrap();
    };
    derive_all(&engine);
    put(&engine, "Second on hoses.");
    // Of what the generation being built has derived, nothing stands.
    engine.create_snapshot(None).unwrap();
    engine.compact(0.0).unwrap();
    drop((engine, store));
    lose_catalogs();
    let (store, engine) = open(dir.path());
    derive_all(&engine);
    assert_eq!(engine.switch(generation, None).unwrap(), 0);
    assert_clean(&engine);
    // Of what the former one has derived, nothing stands either.
    put(&engine, "Third on valves.");
    engine.create_snapshot(None).unwrap();
    engine.compact(0.0).unwrap();
    drop((engine, store));
    lose_catalogs();
    let (_store, engine) = open(dir.path());
    engine.resume_generation(former).unwrap();
    let mut last = |pending: Vec<PendingDocument>| {
        Ok(pending.into_iter().map(|one| derived(one, false)).collect())
    };
    assert_eq!(engine.switch(former, Some(&mut last)).unwrap(), 0);
    assert_clean(&engine);
}
