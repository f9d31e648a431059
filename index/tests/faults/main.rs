//! Can a test of this crate hurt the engine from without, and does making a
//! collection survive it?
//!
//! A child, this test's own program, makes a collection and dies at each point
//! that it reaches.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use cento_core::{CollectionName, FieldTypes};
use cento_index::fault::{Cut, Journal, Loss, fail};
use cento_index::{CollectionSettings, IndexError, Precision, Store};

const DIR: &str = "CENTO_FAULT_TEST_DIR";
const SIGKILL: i32 = 9;

fn name() -> CollectionName {
    CollectionName::new("docs").unwrap()
}

fn make(dir: &Path) -> Result<(), IndexError> {
    let settings = CollectionSettings {
        model: "toy".to_owned(),
        embedder: "toy".to_owned(),
        dimensions: 8,
        precision: Precision::I8,
        chunking: "sentences".to_owned(),
        fields: FieldTypes::default(),
    };
    match Store::open(dir)?.create(&name(), &settings) {
        Err(IndexError::CollectionExists { .. }) => Ok(()),
        result => result.map(drop),
    }
}

/// Only in a child: makes a collection where the parent says.
#[test]
fn what_a_child_does() {
    if let Ok(dir) = std::env::var(DIR) {
        make(Path::new(&dir)).unwrap();
    }
}

fn child(dir: &Path, variable: &str, value: impl AsRef<std::ffi::OsStr>) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_a_child_does"])
        .env(DIR, dir)
        .env(variable, value)
        .output()
        .unwrap()
        .status
}

#[test]
fn a_collection_is_made_whole_or_not_at_all_wherever_the_process_dies() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("points");
    assert!(child(&dir.path().join("data"), "CENTO_FAILPOINT_LOG", &log).success());
    let mut reached = BTreeMap::new();
    for point in std::fs::read_to_string(&log).unwrap().lines() {
        *reached.entry(point.to_owned()).or_insert(0) += 1;
    }
    assert!(reached["disk.rename"] > 0, "{reached:?}");
    for (point, times) in reached {
        for nth in 1..=times {
            let dir = tempfile::tempdir().unwrap();
            let at = format!("{point}:{nth}");
            let data = dir.path().join("data");
            let status = child(&data, "CENTO_FAILPOINT", &at);
            assert_eq!(status.signal(), Some(SIGKILL), "{at}: {status}");
            make(&data).unwrap();
            let store = Store::open(&data).unwrap();
            assert_eq!(store.collections().unwrap(), [name()], "{at}");
            store.collection(&name()).unwrap();
        }
    }
}

#[test]
fn a_full_disk_is_told_and_the_same_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut after = 0;
    loop {
        let rule = format!("write@{}:ENOSPC:{after}", dir.path().display());
        let failure = fail(&rule).unwrap();
        let result = make(dir.path());
        if failure.hits() == 0 {
            break result.unwrap();
        }
        drop(failure);
        std::fs::remove_dir_all(dir.path().join("collections")).unwrap();
        after += 1;
    }
    assert!(after > 0);
}

#[test]
fn a_journal_follows_a_store_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::start(dir.path()).unwrap();
    make(dir.path()).unwrap();
    assert!(journal.sync_points() > 0);
    let into = tempfile::tempdir().unwrap();
    journal
        .state_at(Cut::End, Loss::KeepAll, into.path())
        .unwrap();
    let text = "collections/docs/generations/00000001/text/meta.json";
    assert_eq!(
        std::fs::read(into.path().join(text)).unwrap(),
        std::fs::read(dir.path().join(text)).unwrap()
    );
}
