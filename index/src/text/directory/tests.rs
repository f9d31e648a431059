//! What of tantivy's commits does a power cut leave?

use std::io::ErrorKind;
use std::path::Path;

use tantivy::schema::{FAST, Schema};
use tantivy::{Index, IndexWriter, TantivyDocument, TantivyError};

use crate::fault::{Cut, Journal, Loss, fail};

fn open(dir: &Path) -> tantivy::Result<Index> {
    let mut schema = Schema::builder();
    schema.add_u64_field("number", FAST);
    Index::open_or_create(super::open(dir)?, schema.build())
}

fn add(writer: &mut IndexWriter, number: u64) -> tantivy::Result<()> {
    let mut row = TantivyDocument::new();
    row.add_u64(writer.index().schema().get_field("number")?, number);
    writer.add_document(row)?;
    writer.commit()?;
    Ok(())
}

fn writer(index: &Index) -> IndexWriter {
    index.writer_with_num_threads(1, 15 << 20).unwrap()
}

/// How many documents an index holds, every file read and checked.
fn documents(dir: &Path) -> u64 {
    let index = open(dir).unwrap();
    assert_eq!(index.validate_checksum().unwrap(), [].into());
    index.reader().unwrap().searcher().num_docs()
}

#[test]
fn an_index_opens_wherever_the_power_goes_and_is_at_most_one_commit_behind() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::start(dir.path()).unwrap();
    let index = open(dir.path()).unwrap();
    let mut writer = writer(&index);
    // Enough for a merge, and for the files that it makes useless to go.
    for number in 0..10 {
        add(&mut writer, number).unwrap();
        journal.mark("committed");
    }
    writer.wait_merging_threads().unwrap();
    let torn = (0..5).map(|seed| Loss::Torn { seed });
    let losses = [Loss::DropUnsynced, Loss::KeepAll, Loss::ZeroUnsynced];
    let mut behind = Vec::new();
    for loss in losses.into_iter().chain(torn) {
        for cut in journal.cuts() {
            let marks = journal.marks_before(cut).len() as u64;
            let into = tempfile::tempdir().unwrap();
            journal.state_at(cut, loss, into.path()).unwrap();
            let found = documents(into.path());
            assert!(
                (marks.saturating_sub(1)..=marks + 1).contains(&found),
                "{cut:?}, {loss:?}: {found} of {marks}"
            );
            if loss == Loss::DropUnsynced {
                behind.push(marks.saturating_sub(found));
            }
        }
    }
    // Directories are synced before `meta.json` is replaced, not after it.
    assert!(behind.contains(&1));
}

#[test]
fn everything_is_there_if_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::start(dir.path()).unwrap();
    let mut writer = writer(&open(dir.path()).unwrap());
    for number in 0..4 {
        add(&mut writer, number).unwrap();
    }
    writer.wait_merging_threads().unwrap();
    let into = tempfile::tempdir().unwrap();
    journal
        .state_at(Cut::End, Loss::KeepAll, into.path())
        .unwrap();
    let files = |dir: &Path| {
        let paths = crate::disk::list(dir).unwrap().into_iter();
        let files = paths.map(|path| {
            let name = path.file_name().unwrap().to_owned();
            (name, std::fs::read(&path).unwrap())
        });
        // Locks are nobody's data.
        files
            .filter(|(name, _)| !name.to_string_lossy().ends_with(".lock"))
            .collect::<Vec<_>>()
    };
    assert_eq!(files(dir.path()), files(into.path()));
}

#[test]
fn a_full_disk_fails_a_commit_and_leaves_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).unwrap();
    add(&mut writer(&index), 0).unwrap();
    for op in ["create", "write", "sync", "rename", "syncdir"] {
        let rule = format!("{op}@{}:ENOSPC", dir.path().display());
        let failure = fail(&rule).unwrap();
        let failed = add(&mut writer(&index), 1).unwrap_err();
        assert!(failure.hits() > 0);
        drop(failure);
        if let TantivyError::IoError(error) = &failed {
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{op}");
        }
        assert_eq!(documents(dir.path()), 1, "{op}: {failed}");
    }
}
