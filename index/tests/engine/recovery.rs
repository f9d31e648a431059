//! What a crash, a lost projection or a damaged file leaves behind.

use std::fs;
use std::path::{Path, PathBuf};

use cento_index::{IndexError, Projection};
use serde_json::json;

use crate::corpus::*;

fn fill(dir: &Path, checkpoint: bool) {
    let (_store, engine) = create(dir);
    for i in 0..20 {
        let text = format!("Sentence {i} about pumps. Another about valve {i}.");
        put(
            &engine,
            vec![document(&format!("d{i}"), &text, &json!({"n": i}))],
        );
        if i == 10 {
            engine.refresh().unwrap();
        }
    }
    put(
        &engine,
        vec![document("d3", "Replaced text on hoses.", &json!({"n": 3}))],
    );
    engine.delete(&[id("d4")]).unwrap();
    if checkpoint {
        engine.checkpoint().unwrap();
    }
}

fn assert_whole(dir: &Path) {
    let (_store, engine) = reopen(dir);
    assert_clean(&engine);
    let view = engine.view();
    assert_eq!(view.counts().documents, 19);
    assert_eq!(
        found_in(&view, "hoses", "d3").0,
        ["Replaced text on hoses."]
    );
    assert_eq!(found_in(&view, "valve", "d7").0, ["Another about valve 7."]);
    assert_eq!(found_in(&view, "pumps", "d7").1.len(), 2);
    assert!(view.document(&id("d4")).unwrap().is_none());
    let last = view
        .allowed(&filter(&json!({"type":"gte","key":"n","value":18})))
        .unwrap();
    assert_eq!(last.len(), 4);
}

fn collection(dir: &Path) -> PathBuf {
    dir.join("collections/docs")
}

/// The folder of the only generation's projections.
pub(crate) fn projections(dir: &Path) -> PathBuf {
    let folders = fs::read_dir(collection(dir).join("generations")).unwrap();
    let mut folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders.remove(0)
}

/// The only segment of the log.
pub(crate) fn segment(dir: &Path) -> PathBuf {
    let files = fs::read_dir(collection(dir).join("log")).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn opening_brings_lagging_projections_to_the_end_of_the_log() {
    for checkpoint in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), checkpoint);
        assert_whole(dir.path());
        let (_store, engine) = reopen(dir.path());
        put(&engine, vec![document("new", "Fresh.", &json!({}))]);
        assert_clean(&engine);
    }
}

#[test]
fn a_lost_or_garbled_projection_is_made_anew_from_the_log() {
    for projection in ["catalog", "text", "vectors"] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), true);
        let folder = projections(dir.path()).join(projection);
        fs::remove_dir_all(&folder).unwrap();
        assert_whole(dir.path());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::write(&path, b"garbage that is no index at all").unwrap();
            }
        }
        assert_whole(dir.path());
    }
}

#[test]
fn a_projection_from_another_log_is_not_believed() {
    let longer = tempfile::tempdir().unwrap();
    fill(longer.path(), true);
    for projection in ["catalog", "text", "vectors"] {
        let dir = tempfile::tempdir().unwrap();
        {
            let (_store, engine) = create(dir.path());
            put(&engine, vec![document("only", "Only this.", &json!({}))]);
            engine.checkpoint().unwrap();
        }
        let ours = projections(dir.path()).join(projection);
        fs::remove_dir_all(&ours).unwrap();
        copy_dir(&projections(longer.path()).join(projection), &ours);
        let (_store, engine) = reopen(dir.path());
        assert_clean(&engine);
        assert_eq!(engine.view().counts().documents, 1);
    }
}

#[test]
fn a_projection_that_stands_within_a_commit_never_cuts_the_log() {
    let other = tempfile::tempdir().unwrap();
    {
        let (_store, engine) = create(other.path());
        // Its one commit ends where none of the other log's does.
        put(
            &engine,
            vec![document(
                "only",
                "Only this, and no more.",
                &json!({"odd": true}),
            )],
        );
        engine.checkpoint().unwrap();
    }
    for projection in ["catalog", "text", "vectors"] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), true);
        let log = segment(dir.path());
        let before = fs::read(&log).unwrap();
        let ours = projections(dir.path()).join(projection);
        fs::remove_dir_all(&ours).unwrap();
        copy_dir(&projections(other.path()).join(projection), &ours);
        {
            let (_store, engine) = reopen(dir.path());
            assert_eq!(engine.recovery().remade, [projection]);
        }
        assert_eq!(fs::read(&log).unwrap(), before, "{projection}");
        assert_whole(dir.path());
    }
}

#[test]
fn a_lost_segment_is_damage_not_silence() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    let segment = segment(dir.path());
    let kept = segment.with_extension("kept");
    fs::rename(&segment, &kept).unwrap();
    let store = cento_index::Store::open_existing(dir.path()).unwrap();
    let error = store.collection(&name()).err().unwrap();
    assert!(matches!(error, IndexError::LogDamaged { .. }), "{error}");
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn a_log_that_lost_acknowledged_writes_is_damage_not_silence() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    let segment = segment(dir.path());
    let whole = fs::read(&segment).unwrap();
    // As if the last commit had been torn: but the projections hold it.
    fs::write(&segment, &whole[..whole.len() - 1]).unwrap();
    let store = cento_index::Store::open_existing(dir.path()).unwrap();
    let error = store.collection(&name()).err().unwrap();
    assert!(matches!(error, IndexError::LogDamaged { .. }), "{error}");
    assert!(error.to_string().contains("acknowledged"), "{error}");
    drop(store);
    fs::write(&segment, &whole).unwrap();
    assert_whole(dir.path());
}

#[test]
fn files_that_the_manifest_does_not_name_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    let log = collection(dir.path()).join("log");
    let stray = log.join("00000077.log");
    fs::copy(segment(dir.path()), &stray).unwrap();
    let folder = collection(dir.path()).join("generations/00000099");
    fs::create_dir(&folder).unwrap();
    assert_whole(dir.path());
    assert!(!stray.exists() && !folder.exists());
}

#[test]
fn a_collection_in_use_is_neither_deleted_nor_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = create(dir.path());
    assert!(matches!(
        store.rebuild(&name(), &Projection::ALL),
        Err(IndexError::CollectionInUse { .. })
    ));
    assert!(matches!(
        store.delete(&name()),
        Err(IndexError::CollectionInUse { .. })
    ));
    drop(engine);
    assert!(store.rebuild(&name(), &Projection::ALL).is_ok());
    assert!(store.delete(&name()).is_ok());
}

#[test]
fn what_a_crash_left_of_an_unfinished_commit_is_in_nobodys_way() {
    // The files of a commit are written before the one that names them. A
    // crash in between leaves them, and the replay wants the same names.
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    let text = projections(dir.path()).join("text");
    let files = || -> std::collections::BTreeSet<PathBuf> {
        let entries = fs::read_dir(&text).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let meta = fs::read(text.join("meta.json")).unwrap();
    let before = files();
    {
        let (_store, engine) = reopen(dir.path());
        put(
            &engine,
            vec![document("d3", "Replaced once more.", &json!({"n": 3}))],
        );
        engine.refresh().unwrap();
    }
    let left: Vec<_> = files().difference(&before).cloned().collect();
    let is_deletion = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "del");
    assert!(left.iter().any(is_deletion), "{left:?}");
    fs::write(text.join("meta.json"), meta).unwrap();
    let (_store, engine) = reopen(dir.path());
    assert!(engine.recovery().replayed >= 1);
    let found = found_in(&engine.view(), "once more", "d3").0;
    assert_eq!(found, ["Replaced once more."]);
    assert_clean(&engine);
}

#[test]
fn a_collection_closed_and_opened_at_once_keeps_its_catalog() {
    // sled's threads hold its lock a moment longer than its owner.
    let dir = tempfile::tempdir().unwrap();
    drop(create(dir.path()));
    for i in 0..20 {
        let (_store, engine) = reopen(dir.path());
        assert!(engine.recovery().remade.is_empty(), "the {i}th time");
        let new = document(&format!("d{i}"), "Some words.", &json!({}));
        put(&engine, vec![new]);
        if i % 2 == 0 {
            engine.checkpoint().unwrap();
        }
    }
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    let segment = segment(dir.path());
    let mut bytes = fs::read(&segment).unwrap();
    bytes.extend_from_slice(&[7; 100]);
    fs::write(&segment, &bytes).unwrap();
    {
        let (_store, engine) = reopen(dir.path());
        assert_eq!(engine.recovery().cut_bytes, 100);
    }
    assert_whole(dir.path());
}

#[test]
fn a_damaged_log_is_refused_with_its_place_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    let segment = segment(dir.path());
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    // Opened normally, replay starts behind the damage; the audit finds it.
    let (_store, engine) = reopen(dir.path());
    let error = engine.audit().unwrap_err();
    assert!(matches!(error, IndexError::LogDamaged { .. }), "{error}");
    drop((_store, engine));
    // A rebuild needs the whole log and must not throw the rest away.
    let store = cento_index::Store::open_existing(dir.path()).unwrap();
    let error = store.rebuild(&name(), &Projection::ALL).err().unwrap();
    assert!(matches!(error, IndexError::LogDamaged { .. }), "{error}");
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

#[test]
fn text_damaged_on_disk_is_never_quoted() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    let segment = segment(dir.path());
    let mut bytes = fs::read(&segment).unwrap();
    let needle = b"Another about valve 7.";
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap();
    bytes[at + 14] = b'V';
    fs::write(&segment, &bytes).unwrap();
    let (_store, engine) = reopen(dir.path());
    let view = engine.view();
    let hits = view.lexical("valve 7", None, 100).unwrap().hits;
    let numbers: Vec<_> = hits.iter().map(|hit| hit.0).collect();
    let error = view.chunks(&numbers).unwrap_err();
    assert!(matches!(error, IndexError::LogDamaged { .. }), "{error}");
}

#[test]
fn rebuilding_gives_the_same_answers() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    let store = cento_index::Store::open_existing(dir.path()).unwrap();
    let engine = store.rebuild(&name(), &Projection::ALL).unwrap();
    assert!(engine.recovery().replayed >= 22);
    assert_clean(&engine);
    engine.checkpoint().unwrap();
    drop((store, engine));
    assert_whole(dir.path());
}

#[test]
fn an_audit_notices_what_a_projection_has_lost() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    // A vectors file that claims to be at the log's end but lost its rows: its
    // last frame says so, and nothing else is left.
    let path = projections(dir.path()).join("vectors/00000001.vectors");
    let bytes = fs::read(&path).unwrap();
    let payload_at = 24 + 8;
    let mut payload = bytes[payload_at..payload_at + 40].to_vec();
    payload[32..40].fill(0);
    let length = 40_u32.to_le_bytes();
    let salt = crc32c::crc32c(&bytes[12..20]);
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(salt, &length), &payload);
    let mut emptied = bytes[..24].to_vec();
    emptied.extend_from_slice(&length);
    emptied.extend_from_slice(&crc.to_le_bytes());
    emptied.extend_from_slice(&payload);
    fs::write(&path, emptied).unwrap();
    let (_store, engine) = reopen(dir.path());
    let report = engine.audit().unwrap();
    let lost = report
        .differences
        .iter()
        .filter(|d| d.projection == "vectors")
        .count();
    assert_eq!(lost as u64, report.chunks, "{report:?}");
}

#[test]
fn an_audit_notices_words_and_metadata_that_are_not_the_logs() {
    // Two collections that differ in one word and one value: each with the
    // other's text projection, as a mistaken copy would leave it.
    let make = |dir: &Path, word: &str, n: u32| {
        let (_store, engine) = create(dir);
        let text = format!("A sentence about {word}.");
        put(&engine, vec![document("a", &text, &json!({"n": n}))]);
        put(&engine, vec![document("b", "The same.", &json!({"n": 1}))]);
        engine.checkpoint().unwrap();
    };
    for (word, n) in [("hoses", 1), ("pumps", 2)] {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        make(ours.path(), "pumps", 1);
        make(theirs.path(), word, n);
        let text = projections(ours.path()).join("text");
        let applied = |dir: &Path| -> serde_json::Value {
            let meta = fs::read(projections(dir).join("text/meta.json")).unwrap();
            serde_json::from_slice(&meta).unwrap()
        };
        let payload = applied(ours.path())["payload"].clone();
        fs::remove_dir_all(&text).unwrap();
        copy_dir(&projections(theirs.path()).join("text"), &text);
        // It claims to have followed our log.
        let mut meta = applied(ours.path());
        meta["payload"] = payload;
        fs::write(text.join("meta.json"), meta.to_string()).unwrap();
        let (_store, engine) = reopen(ours.path());
        let report = engine.audit().unwrap();
        let found: Vec<_> = report.differences.iter().map(|d| &d.what).collect();
        assert_eq!(found, ["chunk 0 has other words or metadata than the log"]);
    }
}
