//! Snapshots, archives, reindexing, rollback, compaction and purging, on a
//! directory.

use std::path::Path;

use serde_json::{Value, json};

use crate::run::*;

fn ingested() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let docs = dir.path().join("docs");
    let pump = "# Pumps\n\nThe pump in hall two was seen to.\n\n# Hoses\n\nThe hose was not.\n";
    write(&docs, "pump.md", pump);
    write(&docs, "relay.txt", "A relay clicked in the night.\n");
    let data = dir.path().join("data");
    cento(&data, &["ingest", docs.to_str().unwrap()]).ok();
    (dir, data)
}

fn documents(data: &Path, collection: &str) -> Vec<String> {
    let listed = cento_json(data, &["list", "-c", collection]).json();
    let documents = listed["documents"].as_array().unwrap().iter();
    documents
        .map(|document| document["id"].as_str().unwrap().to_owned())
        .collect()
}

fn info(data: &Path) -> Value {
    cento_json(data, &["show"]).json()
}

#[test]
fn a_snapshot_is_kept_and_gone_back_to() {
    let (_dir, data) = ingested();
    let made = cento_json(&data, &["snapshot", "create", "before"]).json();
    assert_eq!(made["documents"], 2);
    cento(&data, &["delete", "relay.txt"]).ok();
    assert_eq!(documents(&data, "default"), ["pump.md"]);
    let listed = cento(&data, &["snapshot", "list"]).ok().stdout;
    assert!(listed.starts_with("before  "), "{listed}");
    cento(&data, &["snapshot", "restore", "before"]).ok();
    assert_eq!(documents(&data, "default"), ["pump.md", "relay.txt"]);
    cento_json(&data, &["snapshot", "create", "before"]).failed_with("invalid_snapshot_name");
    cento_json(&data, &["snapshot", "restore", "nowhere"]).failed_with("unknown_snapshot");
    cento(&data, &["snapshot", "delete", "before"]).ok();
    cento_json(&data, &["snapshot", "delete", "before"]).failed_with("unknown_snapshot");
    cento(&data, &["doctor"]).ok();
}

#[test]
fn an_archive_is_carried_to_another_directory() {
    let (dir, data) = ingested();
    let to = dir.path().join("archives");
    std::fs::create_dir(&to).unwrap();
    let to = to.to_str().unwrap();
    let none = cento_json(&data, &["snapshot", "export", "--to", to]);
    none.failed_with("unknown_snapshot");
    assert!(none.stderr.contains("has no snapshot"), "{}", none.stderr);
    assert!(none.stderr.contains("snapshot create"), "{}", none.stderr);
    cento(&data, &["snapshot", "create", "s1"]).ok();
    let exported = cento_json(&data, &["snapshot", "export", "--to", to]).json();
    let archive = exported["to"].as_str().unwrap();
    assert!(archive.ends_with("default-s1.cento.tar"), "{exported}");
    let other = dir.path().join("other");
    let import = ["snapshot", "import", "-c", "copy", "--from", archive];
    let made = cento_json(&other, &import).json();
    assert_eq!(
        (&made["name"], &made["documents"]),
        (&json!("copy"), &json!(2))
    );
    let ask = |data: &Path, collection: &str| {
        let query = ["search", "the pump in hall two", "-c", collection];
        cento_json(data, &query).json()["hits"].clone()
    };
    assert_eq!(ask(&other, "copy"), ask(&data, "default"));
    cento_json(&other, &import).failed_with("collection_exists");
    cento(&other, &["doctor"]).ok();
    let odd = ["snapshot", "export", "--to", "gs://bucket/x"];
    cento_json(&data, &odd).failed_with("invalid_place");
    write(dir.path(), "no.tar", "not an archive");
    let no = dir.path().join("no.tar");
    let no = [
        "snapshot",
        "import",
        "-c",
        "x",
        "--from",
        no.to_str().unwrap(),
    ];
    cento_json(&other, &no).failed_with("archive_invalid");
    assert_eq!(
        cento_json(&other, &["list"]).json()["collections"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_collection_is_cut_anew_and_gone_back_with() {
    let (_dir, data) = ingested();
    let estimate = ["reindex", "--chunking", "none", "--estimate"];
    let cost = cento_json(&data, &estimate).json();
    assert_eq!(cost["estimate"]["chunks"], 2, "{cost}");
    assert_eq!(info(&data)["generation"], 1, "nothing was done");
    // Nobody is there to be asked.
    cento_json(&data, &["reindex", "--chunking", "none"]).failed_with("confirmation_needed");
    let ran = cento_json(&data, &["reindex", "--chunking", "none", "--yes"]).ok();
    assert_eq!(ran.last_json()["report"]["documents"], 2);
    assert_eq!(info(&data)["settings"]["chunking"], "none/1");
    assert_eq!(info(&data)["chunks"], 2);
    cento_json(&data, &["reindex", "-y"]).failed_with("nothing_to_change");
    cento_json(
        &data,
        &["reindex", "-y", "--embedder", "no/such/folder/at/all"],
    )
    .failed_with("unknown_model");
    let listed = cento(&data, &["generation", "list"]).ok().stdout;
    assert!(
        listed.contains("1  former") && listed.contains("2  serving"),
        "{listed}"
    );
    cento(&data, &["delete", "relay.txt"]).ok();
    cento(&data, &["generation", "rollback"]).ok();
    assert_eq!(info(&data)["generation"], 1);
    assert_eq!(documents(&data, "default"), ["pump.md"]);
    cento_json(&data, &["generation", "drop", "1"]).failed_with("generation_serving");
    cento(&data, &["generation", "drop", "2"]).ok();
    cento_json(&data, &["generation", "rollback"]).failed_with("unknown_generation");
    cento(&data, &["doctor"]).ok();
}

#[test]
fn a_command_keeps_as_many_former_generations_as_it_is_told() {
    let (_dir, data) = ingested();
    let reindex = |kept: &str, chunking: &str| {
        let mut command = command(&data);
        command.env("CENTO_FORMER_GENERATIONS", kept);
        command.args(["reindex", "--yes", "--chunking", chunking]);
        Ran::from(command.output().unwrap()).ok();
    };
    for chunking in ["none", "default", "none"] {
        reindex("3", chunking);
    }
    let count = || {
        let listed = cento_json(&data, &["generation", "list"]).json();
        listed["generations"].as_array().unwrap().len()
    };
    assert_eq!(count(), 4);
    reindex("1", "default");
    assert_eq!(count(), 2);
}

#[test]
fn a_purge_proves_that_nothing_is_left_or_names_who_still_has_it() {
    let (_dir, data) = ingested();
    cento(&data, &["snapshot", "create", "s"]).ok();
    cento(&data, &["delete", "relay.txt"]).ok();
    let compacted = cento(&data, &["compact"]).ok().stdout;
    assert!(compacted.starts_with("default: log of "), "{compacted}");
    let ran = cento(&data, &["purge"]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains("still held by snapshot s: 1 version"),
        "{}",
        ran.stdout
    );
    let told = cento_json(&data, &["purge", "--snapshots"]).json();
    assert_eq!(told["report"]["held"], json!([]));
    fn holds(dir: &Path, words: &[u8]) -> bool {
        std::fs::read_dir(dir).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                return holds(&path, words);
            }
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(words.len()).any(|window| window == words)
        })
    }
    let collection = data.join("collections/default");
    assert!(holds(&collection, b"hall two"));
    assert!(!holds(&collection, b"clicked in the night"));
    cento(&data, &["doctor"]).ok();
}

#[test]
fn a_projection_is_made_anew_alone_and_all_is_verified_on_request() {
    let (_dir, data) = ingested();
    for projection in ["catalog", "text", "vectors"] {
        let told = cento_json(&data, &["rebuild", "--only", projection]).json();
        assert_eq!(told["rebuilt"][0]["documents"], 2, "{projection}");
    }
    let verified = cento_json(&data, &["--verify", "full", "doctor"]).json();
    assert_eq!(verified["clean"], true);
    for args in [
        &["rebuild", "--only", "words"][..],
        &["--verify", "somewhat", "doctor"],
        &["serve", "--compact-at", "2"],
        &["serve", "--segment-mb", "0"],
        &["list", "--former-generations", "many"],
    ] {
        assert_eq!(cento(&data, args).code, Some(2), "{args:?}");
    }
}
