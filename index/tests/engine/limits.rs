//! A full disk, one that cannot be written to, too many open files, and
//! settings that keep memory in bounds.

use std::sync::Arc;

use cento_core::CollectionName;
use cento_index::fault::fail;
use cento_index::{Engine, IndexError, PutOutcome, Store, StoreOptions};
use serde_json::json;

use crate::corpus::*;

fn numbered(i: u32) -> cento_index::NewDocument {
    let text = format!("Sentence {i} about pumps. Another about valve {i}.");
    document(&format!("d{i}"), &text, &json!({"n": i}))
}

/// Writes until the first error; says how many were acknowledged, and the error.
fn write_until_error(engine: &Engine) -> (u32, Option<IndexError>) {
    for i in 0..200 {
        match engine.put(engine.view().generation(), vec![numbered(i)]) {
            Ok(outcomes) => assert!(matches!(outcomes[0], PutOutcome::Stored(_))),
            Err(error) => return (i, Some(error)),
        }
        if i % 7 == 0
            && let Err(error) = engine.refresh()
        {
            return (i + 1, Some(error));
        }
    }
    (200, None)
}

fn is_io(error: &IndexError, kind: std::io::ErrorKind) -> bool {
    matches!(error, IndexError::Io { source, .. } if source.kind() == kind)
}

#[test]
fn a_disk_that_fills_up_anywhere_loses_nothing_and_stays_readable() {
    for after in [0, 3, 10, 30, 60] {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            segment_bytes: 2_000,
            ..StoreOptions::default()
        };
        let store = Store::open_with(dir.path(), options).unwrap();
        let engine = store.create(&name(), &settings()).unwrap();
        put(&engine, vec![numbered(1000)]);
        engine.refresh().unwrap();
        let failure = fail(&format!(
            "write@{}*:ENOSPC:{after}",
            dir.path().join("collections").display()
        ))
        .unwrap();
        let (acknowledged, error) = write_until_error(&engine);
        let error = error.expect("the disk is full");
        assert!(failure.hits() > 0);
        // What was seen is still seen, and read from the log.
        let view = engine.view();
        assert_eq!(
            found_in(&view, "valve", "d1000").0,
            ["Another about valve 1000."]
        );
        let told = error.to_string();
        assert!(
            is_io(&error, std::io::ErrorKind::StorageFull) || told.contains("space"),
            "{told}"
        );
        drop(failure);
        // With space again: at the latest after opening anew all goes on.
        drop((view, engine, store));
        let (_store, engine) = reopen(dir.path());
        assert_clean(&engine);
        let view = engine.view();
        for i in 0..acknowledged {
            let found = view.document(&id(&format!("d{i}"))).unwrap();
            assert!(found.is_some(), "d{i} of {acknowledged}, after {after}");
        }
        assert!(view.counts().documents <= u64::from(acknowledged) + 2);
        put(&engine, vec![numbered(2000)]);
        assert_clean(&engine);
    }
}

#[test]
fn a_commit_that_finds_no_space_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = create(dir.path());
    put(&engine, vec![numbered(0)]);
    let failure = fail(&format!("write@{}*.log:ENOSPC:0", dir.path().display())).unwrap();
    let error = engine
        .put(engine.view().generation(), vec![numbered(1)])
        .unwrap_err();
    assert!(is_io(&error, std::io::ErrorKind::StorageFull), "{error}");
    drop(failure);
    put(&engine, vec![numbered(1)]);
    assert_clean(&engine);
    assert_eq!(engine.view().counts().documents, 2);
}

#[test]
fn after_a_failed_sync_nothing_more_is_acknowledged_until_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = create(dir.path());
    put(&engine, vec![numbered(0)]);
    let failure = fail(&format!("sync@{}*.log:EIO:0", dir.path().display())).unwrap();
    let result = engine.put(engine.view().generation(), vec![numbered(1)]);
    assert!(result.is_err());
    drop(failure);
    let again = engine.put(engine.view().generation(), vec![numbered(2)]);
    assert!(matches!(again, Err(IndexError::WriterStopped { .. })));
    drop((engine, store));
    let (_store, engine) = reopen(dir.path());
    assert_clean(&engine);
    let view = engine.view();
    assert!(view.document(&id("d0")).unwrap().is_some());
    assert!(view.document(&id("d2")).unwrap().is_none());
}

#[test]
fn a_disk_that_cannot_be_written_to_is_read_and_says_so_on_writing() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (_store, engine) = create(dir.path());
        put(&engine, vec![numbered(0)]);
        engine.checkpoint().unwrap();
    }
    let (_store, engine) = reopen(dir.path());
    let failure = fail(&format!("write@{}*:EROFS:0", dir.path().display())).unwrap();
    let view = engine.view();
    assert_eq!(found_in(&view, "valve", "d0").0, ["Another about valve 0."]);
    let error = engine
        .put(engine.view().generation(), vec![numbered(1)])
        .unwrap_err();
    assert!(
        is_io(&error, std::io::ErrorKind::ReadOnlyFilesystem),
        "{error}"
    );
    drop(failure);
}

#[test]
fn too_many_open_files_are_told_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (_store, engine) = create(dir.path());
        put(&engine, vec![numbered(0)]);
    }
    let failure = fail(&format!("open@{}*.log:EMFILE:0", dir.path().display())).unwrap();
    let store = Store::open_existing(dir.path()).unwrap();
    let error = store.collection(&name()).err().unwrap();
    assert!(error.to_string().contains("open files"), "{error}");
    drop((failure, store));
    let (_store, engine) = reopen(dir.path());
    assert_clean(&engine);
    assert_eq!(engine.view().counts().documents, 1);
}

#[test]
fn no_more_collections_stay_open_than_the_settings_say() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        open_collections: 2,
        catalog_cache_bytes: 4 << 20,
        text_arena_bytes: 15_000_000,
        ..StoreOptions::default()
    };
    let store = Store::open_with(dir.path(), options).unwrap();
    let names: Vec<_> = (0..4)
        .map(|i| CollectionName::new(format!("c{i}")).unwrap())
        .collect();
    let mut weak = Vec::new();
    for name in &names {
        let engine = store.create(name, &settings()).unwrap();
        put(&engine, vec![numbered(7)]);
        weak.push(Arc::downgrade(&engine));
    }
    let open = |weak: &[std::sync::Weak<Engine>]| {
        weak.iter()
            .filter(|engine| engine.strong_count() > 0)
            .count()
    };
    assert_eq!(open(&weak), 2);
    // One that is held is never closed under somebody's hands.
    let held = store.collection(&names[3]).unwrap();
    for name in &names {
        let engine = store.collection(name).unwrap();
        assert_eq!(engine.refresh().unwrap().counts().documents, 1, "{name}");
    }
    assert!(Arc::ptr_eq(&held, &store.collection(&names[3]).unwrap()));
    put(&held, vec![numbered(8)]);
    assert_clean(&held);
}

#[test]
fn a_scrub_finds_what_opening_does_not_look_at() {
    let dir = tempfile::tempdir().unwrap();
    {
        let options = StoreOptions {
            segment_bytes: 2_000,
            ..StoreOptions::default()
        };
        let store = Store::open_with(dir.path(), options).unwrap();
        let engine = store.create(&name(), &settings()).unwrap();
        for i in 0..30 {
            put(&engine, vec![numbered(i)]);
        }
        engine.checkpoint().unwrap();
        let report = engine.scrub(|_| true).unwrap();
        assert!(report.segments > 2, "{report:?}");
        assert_eq!(report.damaged.len(), 0);
        let mut records = 0;
        engine
            .scrub(|_| {
                records += 1;
                records < 3
            })
            .unwrap();
        assert_eq!(records, 3);
    }
    let log = dir.path().join("collections/docs/log");
    let mut files: Vec<_> = std::fs::read_dir(log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut bytes = std::fs::read(&files[0]).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&files[0], bytes).unwrap();
    let (_store, engine) = reopen(dir.path());
    let error = engine.scrub(|_| true).unwrap_err();
    assert!(matches!(error, IndexError::LogDamaged { .. }), "{error}");
    assert!(error.to_string().contains(files[0].to_str().unwrap()));
}

#[test]
fn a_manifest_that_may_or_may_not_be_on_the_disk_ends_all_acknowledging() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = create(dir.path());
    put(&engine, vec![numbered(0)]);
    engine.create_snapshot(Some("first")).unwrap();
    put(&engine, vec![numbered(1)]);
    // The new manifest has its name, and that name may be lost again.
    let collection = dir.path().join("collections/docs");
    let failure = fail(&format!("syncdir@{}:EIO:0", collection.display())).unwrap();
    let _ = engine.restore_snapshot("first").unwrap_err();
    drop(failure);
    let again = engine.put(engine.view().generation(), vec![numbered(2)]);
    assert!(matches!(again, Err(IndexError::WriterStopped { .. })));
    drop((engine, store));
    let (_store, engine) = reopen(dir.path());
    assert_clean(&engine);
    assert!(engine.view().document(&id("d0")).unwrap().is_some());
    put(&engine, vec![numbered(2)]);
    assert_clean(&engine);
}

/// sled does not write through our door: only a disk that is really full shows
/// what it does then.
#[test]
fn a_disk_that_is_really_full_loses_nothing() {
    let Some(disk) = std::env::var_os("CENTO_SMALL_DISK") else {
        eprintln!(
            "SKIPPED: set CENTO_SMALL_DISK to a folder on a disk of a few MB, such as a tmpfs"
        );
        return;
    };
    let disk = std::path::PathBuf::from(disk);
    let dir = tempfile::tempdir_in(&disk).unwrap();
    let ballast = disk.join("ballast");
    // Leaves room for a fresh collection and some hundreds of writes.
    std::fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let options = StoreOptions {
        segment_bytes: 200_000,
        ..StoreOptions::default()
    };
    let store = Store::open_with(dir.path(), options).unwrap();
    let engine = store.create(&name(), &settings()).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        let text = format!(
            "Sentence {acknowledged} about pumps. {}",
            "More of it. ".repeat(200)
        );
        let new = document(&format!("d{acknowledged}"), &text, &json!({}));
        match engine.put(engine.view().generation(), vec![new]) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        if acknowledged % 50 == 0
            && let Err(error) = engine.checkpoint()
        {
            break error;
        }
        assert!(
            acknowledged < 100_000,
            "the disk is too large for this test"
        );
    };
    let told = error.to_string();
    assert!(told.contains("space"), "{told}");
    let view = engine.view();
    if view.counts().documents > 0 {
        assert!(view.document(&id("d0")).unwrap().is_some());
    }
    drop((view, engine, store));
    // Full as it is, it can still be read, or says what is missing.
    let opened = Store::open_existing(dir.path()).and_then(|store| {
        let engine = store.collection(&name())?;
        Ok((store, engine))
    });
    match opened {
        Ok((_store, engine)) => {
            assert!(engine.view().document(&id("d0")).unwrap().is_some());
        }
        Err(error) => {
            assert!(error.to_string().contains("space"), "{error}");
        }
    }
    std::fs::remove_file(&ballast).unwrap();
    let (_store, engine) = reopen(dir.path());
    assert_clean(&engine);
    for i in 0..acknowledged {
        let found = engine.view().document(&id(&format!("d{i}"))).unwrap();
        assert!(found.is_some(), "d{i} of {acknowledged}");
    }
    put(&engine, vec![numbered(2000)]);
}

#[test]
fn a_collection_of_which_a_view_is_held_is_not_closed_under_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        open_collections: 1,
        ..StoreOptions::default()
    };
    let store = Store::open_with(dir.path(), options).unwrap();
    let names: Vec<_> = (0..3)
        .map(|i| CollectionName::new(format!("c{i}")).unwrap())
        .collect();
    let engine = store.create(&names[0], &settings()).unwrap();
    put(&engine, vec![numbered(7)]);
    let newest = engine.refresh().unwrap();
    put(&engine, vec![numbered(8)]);
    let weak = Arc::downgrade(&engine);
    engine.refresh().unwrap();
    drop(engine);
    // An older view and then the newest one.
    for view in [newest, weak.upgrade().unwrap().view()] {
        store.create(&names[1], &settings()).unwrap();
        assert!(weak.strong_count() > 0, "closed");
        assert!(matches!(
            store.delete(&names[0]),
            Err(IndexError::CollectionInUse { .. })
        ));
        assert!(view.document(&id("d7")).unwrap().is_some());
        drop(view);
        store.delete(&names[1]).unwrap();
    }
    store.create(&names[2], &settings()).unwrap();
    assert_eq!(weak.strong_count(), 0, "nobody holds it any more");
}
