//! Does the journal follow whatever is done, as the real directory shows it?

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::tests::{Disk, Tree, tree};
use super::{Cut, Loss};
use crate::disk::{self, DiskFile};

const NAMES: [&str; 7] = ["a", "b", "d", "d/a", "d/e", "d/e/a", "f"];

#[derive(Debug, Clone, Copy)]
enum Act {
    Create(usize),
    Open(usize),
    Write(usize, u64, usize),
    Truncate(usize, u64),
    Sync(usize),
    SyncDir(usize),
    Rename(usize, usize),
    Link(usize, usize),
    Remove(usize),
    RemoveDir(usize),
    MakeDir(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..NAMES.len();
    let handle = 0..8_usize;
    prop_oneof![
        3 => name.clone().prop_map(Act::Create),
        1 => name.clone().prop_map(Act::Open),
        4 => (handle.clone(), 0..9000_u64, 0..9000_usize)
            .prop_map(|(handle, offset, length)| Act::Write(handle, offset, length)),
        1 => (handle.clone(), 0..9000_u64).prop_map(|(handle, length)| Act::Truncate(handle, length)),
        1 => handle.prop_map(Act::Sync),
        1 => name.clone().prop_map(Act::SyncDir),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Act::Rename(from, to)),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Act::Link(from, to)),
        1 => name.clone().prop_map(Act::Remove),
        1 => name.clone().prop_map(Act::RemoveDir),
        3 => name.prop_map(Act::MakeDir),
    ]
}

/// What cannot be done, as making a file in a directory that is not there, is
/// passed over: a failed step changes nothing, on the disk and in the journal.
fn perform(disk: &Disk, open: &mut Vec<DiskFile>, act: Act, filling: u8) {
    let path = |name: usize| disk.path(NAMES[name]);
    let handle = |at: usize| open.get(at % open.len().max(1));
    let made = match act {
        Act::Create(name) => DiskFile::create(&path(name)).map(Some),
        Act::Open(name) => DiskFile::open(&path(name)).map(Some),
        Act::Write(at, offset, length) => handle(at)
            .map_or(Ok(()), |file| {
                file.write_all_at(&vec![filling; length], offset)
            })
            .map(|()| None),
        Act::Truncate(at, length) => handle(at)
            .map_or(Ok(()), |file| file.set_bytes(length))
            .map(|()| None),
        Act::Sync(at) => handle(at)
            .map_or(Ok(()), DiskFile::sync_data)
            .map(|()| None),
        Act::SyncDir(name) => disk::sync_dir(&path(name)).map(|()| None),
        Act::Rename(from, to) => disk::rename(&path(from), &path(to)).map(|()| None),
        Act::Link(from, to) => disk::hard_link(&path(from), &path(to)).map(|()| None),
        Act::Remove(name) => disk::remove_file(&path(name)).map(|()| None),
        Act::RemoveDir(name) if path(name).is_dir() => disk::remove_dir(&path(name)).map(|()| None),
        Act::RemoveDir(_) => Ok(None),
        Act::MakeDir(name) => disk::create_dir(&path(name)).map(|()| None),
    };
    if let Ok(Some(file)) = made {
        open.push(file);
    }
}

fn sync_all(dir: &Path) {
    for path in disk::list(dir).unwrap() {
        if path.is_dir() {
            sync_all(&path);
        } else {
            DiskFile::open(&path).unwrap().sync_data().unwrap();
        }
    }
    disk::sync_dir(dir).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn nothing_lost_is_what_the_directory_shows_and_all_synced_is_nothing_lost(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let disk = Disk::new();
        let mut open = Vec::new();
        for (at, act) in acts.iter().enumerate() {
            perform(&disk, &mut open, *act, b'a' + (at % 26) as u8);
        }
        let shown = tree(&disk.path(""));
        prop_assert_eq!(summary(&disk.at(Cut::End, Loss::KeepAll)), summary(&shown));
        for seed in 0..3 {
            disk.at(Cut::End, Loss::Torn { seed });
        }
        sync_all(&disk.path(""));
        prop_assert_eq!(summary(&disk.left()), summary(&shown));
        for loss in [Loss::ZeroUnsynced, Loss::Torn { seed: 7 }] {
            prop_assert_eq!(summary(&disk.at(Cut::End, loss)), summary(&shown));
        }
    }
}

/// Short enough to be read where it differs.
fn summary(tree: &Tree) -> Vec<(PathBuf, usize, String)> {
    let files = tree.iter();
    files
        .map(|(name, bytes)| {
            let hash = cento_core::ContentHash::of([bytes.as_slice()]).to_hex();
            (PathBuf::from(name), bytes.len(), hash)
        })
        .collect()
}
