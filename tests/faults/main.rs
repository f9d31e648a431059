//! Can the binary that these tests run be made to die and to fail?
//!
//! Other suites rest on it: a kill that never came would look like a crash
//! survived.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

fn ingest(variable: &str, value: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let note = dir.path().join("note.md");
    std::fs::write(&note, "# Pump\n\nThe pump ran, the gauge fell.\n").unwrap();
    Command::new(env!("CARGO_BIN_EXE_cento"))
        .env_remove("CENTO_DATA")
        .env_remove("CENTO_COLLECTION")
        .env(variable, value)
        .arg("--data")
        .arg(dir.path().join("data"))
        .arg("ingest")
        .arg(&note)
        .output()
        .unwrap()
}

#[test]
fn the_tests_binary_dies_where_it_is_told_to() {
    assert_eq!(
        ingest("CENTO_FAILPOINT", "disk.rename").status.signal(),
        Some(9)
    );
    assert!(ingest("CENTO_FAILPOINT", "no.such.point").status.success());
}

#[test]
fn the_tests_binary_fails_where_it_is_told_to() {
    let output = ingest("CENTO_FAULT", "mkdir@data:EROFS");
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("Read-only file system"), "{told}");
}
