//! Does this version leave alone what a later one has written?

use std::fs;
use std::path::Path;

use cento_index::archive::import;
use cento_index::{Engine, IndexError, Store};

use crate::corpus::{self, assert_clean};
use crate::files::{collection, copied, folder, tree};
use crate::fixture::{self, newest_segment, open, options};

/// Raises the version of a segment's header, and its checksum with it.
fn raise_segment(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let version = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) + 1;
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

/// Raises the version of a file of JSON; its checksum covers the rest only.
fn raise_json(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    let mut words: Vec<String> = head.split(' ').map(str::to_owned).collect();
    words[1] = (words[1].parse::<u32>().unwrap() + 1).to_string();
    fs::write(path, format!("{}\n{rest}", words.join(" "))).unwrap();
}

/// Does something to a copy; it must be refused with these words, and nothing
/// may have changed.
fn refused(
    raise: impl Fn(&Path),
    words: [&str; 2],
    act: impl Fn(&Store) -> Result<(), IndexError>,
) {
    let dir = copied();
    // Taken into use once, so that only the refusal could change anything.
    drop(open(dir.path()));
    fs::remove_dir_all(collection(dir.path()).join("generations")).unwrap();
    raise(&collection(dir.path()));
    let before = tree(&collection(dir.path()));
    {
        let store = Store::open_with(dir.path(), options()).unwrap();
        let error = act(&store).unwrap_err();
        assert!(matches!(error, IndexError::Format { .. }), "{error}");
        let told = error.to_string();
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
    let after = tree(&collection(dir.path()));
    let is_ours = |path: &&std::path::PathBuf| !path.starts_with("generations");
    assert!(
        before
            .iter()
            .eq(after.iter().filter(|(path, _)| is_ours(path)))
    );
}

fn opened(store: &Store) -> Result<(), IndexError> {
    store.collection(&corpus::name()).map(drop)
}

fn engine(store: &Store) -> std::sync::Arc<Engine> {
    store.collection(&corpus::name()).unwrap()
}

fn salvaged(store: &Store) -> Result<(), IndexError> {
    store.salvage(&corpus::name()).map(drop)
}

#[test]
fn a_later_log_is_refused_by_name_and_left_alone() {
    let words = ["centolog version 2", "centolog version 3"];
    let newest = |collection: &Path| raise_segment(&newest_segment(&collection.join("../..")));
    let first = |collection: &Path| {
        let log = fs::read_dir(collection.join("log")).unwrap();
        let first = log.map(|entry| entry.unwrap().path()).min().unwrap();
        raise_segment(&first);
    };
    for act in [opened, salvaged] {
        refused(newest, words, act);
        refused(first, words, act);
    }
}

#[test]
fn a_later_manifest_is_refused_by_name_and_left_alone() {
    for act in [opened, salvaged] {
        refused(
            |collection| {
                raise_json(&collection.join("manifest.json"));
                raise_json(&collection.join("manifest.copy.json"));
            },
            ["cento-manifest version 1", "cento-manifest 2"],
            act,
        );
    }
}

#[test]
fn a_later_manifest_is_not_taken_from_an_older_copy() {
    for act in [opened, salvaged] {
        refused(
            |collection| raise_json(&collection.join("manifest.json")),
            ["cento-manifest version 1", "cento-manifest 2"],
            act,
        );
    }
}

#[test]
fn a_later_snapshot_is_refused_by_name_and_left_alone() {
    let words = ["cento-snapshot version 1", "cento-snapshot 2"];
    let raise = |collection: &Path| raise_json(&collection.join("snapshots/first/snapshot.json"));
    refused(raise, words, |store| engine(store).snapshots().map(drop));
    refused(raise, words, |store| {
        engine(store).restore_snapshot(fixture::SNAPSHOT).map(drop)
    });
    refused(
        |collection| {
            raise_json(&collection.join("snapshots/first/manifest.json"));
            raise_json(&collection.join("snapshots/first/manifest.copy.json"));
        },
        ["cento-manifest version 1", "cento-manifest 2"],
        |store| engine(store).restore_snapshot(fixture::SNAPSHOT).map(drop),
    );
}

#[test]
fn a_later_archive_is_refused_by_version_and_leaves_nothing() {
    fixture::ready();
    let mut bytes = fs::read(folder().join("archive.tar")).unwrap();
    let at = (bytes.windows(12).position(|part| part == b"\"version\": 1")).unwrap();
    bytes[at + 11] = b'2';
    let room = tempfile::tempdir().unwrap();
    let into = room.path().join("incoming");
    let error = import(&mut &*bytes, &into).unwrap_err().to_string();
    assert!(
        error.contains("version 2") && error.contains("version 1"),
        "{error}"
    );
    assert!(!into.exists());
}

#[test]
fn a_projection_of_another_format_is_made_anew() {
    let raise_vectors = |folder: &Path| raise_segment(&folder.join("vectors/00000001.vectors"));
    let raise_text = |folder: &Path| {
        let path = folder.join("text/meta.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("cento-words-1"));
        fs::write(path, text.replace("cento-words-1", "cento-words-0")).unwrap();
    };
    for raise in [&raise_vectors as &dyn Fn(&Path), &raise_text] {
        let dir = copied();
        {
            let (_store, engine) = open(dir.path());
            engine.checkpoint().unwrap();
        }
        let folders = fs::read_dir(collection(dir.path()).join("generations")).unwrap();
        for folder in folders {
            raise(&folder.unwrap().path());
        }
        let (_store, engine) = open(dir.path());
        assert!(engine.recovery().replayed > 0);
        assert_clean(&engine);
    }
}
