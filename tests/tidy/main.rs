//! Does the house still have the shape that `docs/architecture.md` draws?
//!
//! Invariants are written as absences: what a room must not know. This test
//! reads the sources as text and names every line that breaks one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

const ROOMS: [&str; 7] = [
    "core", "embed", "index", "ingest", "retrieve", "eval", "api",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources_below(dir: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(dir), &mut found);
    found.sort();
    found
}

/// Every source of the house, with its path relative to the root.
fn all_sources() -> Vec<(String, String)> {
    let mut dirs = vec!["src".to_owned(), "tests".to_owned(), "benches".to_owned()];
    for room in ROOMS {
        dirs.extend(["src", "tests", "benches"].map(|part| format!("{room}/{part}")));
    }
    let paths = dirs.iter().flat_map(|dir| sources_below(dir));
    let sources: Vec<_> = paths
        .map(|path| {
            let relative = path.strip_prefix(root()).unwrap();
            let name = relative.to_string_lossy().replace('\\', "/");
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert!(sources.len() > 60, "the sources were not found");
    sources
}

/// Lines of code (not of comments) that hold a word, as `file:line`. A word
/// begins where no letter stands before it: `report::` does not hold `ort::`.
fn lines_with(sources: &[(String, String)], word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources {
        for (i, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let begins = |at: usize| {
                let before = code[..at].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
            };
            if code.match_indices(word).any(|(at, _)| begins(at)) {
                found.push(format!("{name}:{}", i + 1));
            }
        }
    }
    found
}

fn only_in(word: &str, allowed: &[&str]) {
    // This file names what it forbids.
    let sources: Vec<_> = all_sources()
        .into_iter()
        .filter(|(name, _)| !name.starts_with("tests/tidy"))
        .collect();
    let strays: Vec<_> = lines_with(&sources, word)
        .into_iter()
        .filter(|place| !allowed.iter().any(|prefix| place.starts_with(prefix)))
        .collect();
    assert!(
        strays.is_empty(),
        "`{word}` may stand only in {allowed:?}: {strays:?}"
    );
}

fn manifest(room: &str) -> String {
    fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap()
}

/// The rooms that a room depends on, tests left out.
fn knows(room: &str) -> Vec<String> {
    let text = manifest(room);
    let dependencies = text.split("[dev-dependencies]").next().unwrap();
    ROOMS
        .into_iter()
        .filter(|other| {
            let plain = dependencies.contains(&format!("cento-{other}.workspace"));
            plain || dependencies.contains(&format!("cento-{other} = {{ workspace"))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_engine_is_named_in_one_place_only() {
    only_in("sled::", &["index/src/catalog", "benches/"]);
    only_in("tantivy::", &["index/src/text", "benches/"]);
    only_in("hnsw_rs::", &["index/src/vectors", "benches/"]);
}

#[test]
fn frameworks_stay_in_their_rooms() {
    for (word, rooms) in [
        ("fastembed::", &["embed/"][..]),
        ("ort::", &["embed/"]),
        ("axum::", &["api/"]),
        ("tokio::", &["api/"]),
        ("hyper::", &["api/"]),
        ("object_store::", &["api/"]),
        ("tar::", &["index/"]),
        ("async fn", &["api/"]),
        ("anyhow::", &["src/"]),
    ] {
        only_in(word, rooms);
    }
}

#[test]
fn unsafe_code_stays_with_the_vectors() {
    only_in("unsafe ", &["index/src/vectors"]);
    only_in("allow(unsafe_code)", &["index/src/vectors"]);
}

#[test]
fn the_arrows_run_one_way() {
    let expected: [(&str, &[&str]); 7] = [
        ("core", &[]),
        ("embed", &["core"]),
        ("index", &["core"]),
        ("ingest", &["core", "embed", "index"]),
        ("retrieve", &["core", "embed", "index"]),
        ("eval", &["core", "embed", "index", "ingest", "retrieve"]),
        (
            "api",
            &["core", "embed", "index", "ingest", "retrieve", "eval"],
        ),
    ];
    for (room, may_know) in expected {
        for known in knows(room) {
            assert!(
                may_know.contains(&known.as_str()),
                "{room} must not know {known}"
            );
        }
    }
}

#[test]
fn core_knows_no_framework_and_does_no_io() {
    let text = manifest("core");
    let dependencies = text.split("[dependencies]").nth(1).unwrap();
    let dependencies = dependencies.split('[').next().unwrap();
    for line in dependencies.lines().filter(|line| !line.trim().is_empty()) {
        // Schemas can only be derived where a type stands. utoipa is no part of
        // a build but that of `api`, which turns the feature on, and it is
        // named in attributes under that feature alone.
        if line == "utoipa = { workspace = true, optional = true }" {
            continue;
        }
        let name = line.split('.').next().unwrap();
        assert!(
            ["blake3", "serde", "serde_json", "thiserror"].contains(&name),
            "core must not depend on {name}"
        );
    }
    let core: Vec<_> = all_sources()
        .into_iter()
        .filter(|(name, _)| name.starts_with("core/"))
        .collect();
    for word in ["std::fs", "std::net", "std::io", "std::process"] {
        assert!(lines_with(&core, word).is_empty(), "core uses {word}");
    }
}

#[test]
fn nothing_is_left_unfinished() {
    only_in("todo!(", &[]);
    only_in("unimplemented!(", &[]);
    only_in("dbg!(", &[]);
    only_in("#[ignore", &[]);
}

#[test]
fn every_module_opens_with_what_it_is_for() {
    let silent: Vec<_> = all_sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(name, _)| name)
        .collect();
    assert!(silent.is_empty(), "no opening words: {silent:?}");
}

#[test]
fn a_file_can_be_read_at_one_sitting() {
    let long: Vec<_> = all_sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > 600)
        .map(|(name, _)| name)
        .collect();
    assert!(long.is_empty(), "over 600 lines: {long:?}");
}

#[test]
fn docs_point_at_files_that_are_there() {
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .map(|name| root().join(name))
        .to_vec();
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        pages.extend(entries.map(|entry| entry.unwrap().path()));
    }
    pages.retain(|page| page.extension().is_some_and(|ending| ending == "md"));
    assert!(pages.len() > 10, "{pages:?}");
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let file = target.split('#').next().unwrap();
            let there = page.parent().unwrap().join(file).exists();
            assert!(there, "{} points at {target}", page.display());
        }
    }
}
