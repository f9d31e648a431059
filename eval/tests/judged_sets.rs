//! Are the judged sets that lie beside the checkout read as they are meant?
//!
//! Found by `CENTO_SHARED`, or as `../shared` from the project's root.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what is skipped is told")]

use std::path::{Path, PathBuf};

use cento_eval::{Dataset, Layout};

fn datasets() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("CENTO_SHARED").map_or(beside, PathBuf::from);
    let datasets = shared.join("datasets");
    if !datasets.is_dir() {
        eprintln!("SKIPPED: set CENTO_SHARED to the folder that holds datasets/");
        return None;
    }
    Some(datasets)
}

#[test]
fn every_split_of_every_set_in_beirs_layout_opens() {
    let Some(datasets) = datasets() else { return };
    let mut opened = 0;
    for set in std::fs::read_dir(datasets.join("beir")).unwrap() {
        let set = set.unwrap().path();
        for split in std::fs::read_dir(set.join("qrels")).unwrap() {
            let split = split.unwrap().path();
            let split = split.file_stem().unwrap().to_str().unwrap();
            let dataset = Dataset::open(&set, Some(split)).unwrap();
            assert_eq!(dataset.layout(), Layout::Beir);
            let qrels = dataset.qrels().unwrap();
            assert_eq!(dataset.questions().len(), qrels.len(), "{}", set.display());
            opened += 1;
        }
    }
    assert!(opened > 0);
}

#[test]
fn every_judged_span_holds_its_quote() {
    let Some(datasets) = datasets() else { return };
    for (set, layout) in [
        ("chunking-evaluation", Layout::ChunkingEvaluation),
        ("legalbench-rag", Layout::LegalbenchRag),
    ] {
        let set = datasets.join(set);
        if !set.is_dir() {
            eprintln!("SKIPPED: {} is not there", set.display());
            continue;
        }
        // Opening compares each quote with the text at its span.
        let dataset = Dataset::open(&set, None).unwrap();
        assert_eq!(dataset.layout(), layout);
        let judged = dataset.questions().iter();
        assert!(judged.filter(|one| !one.evidence.is_empty()).count() > 100);
    }
}
