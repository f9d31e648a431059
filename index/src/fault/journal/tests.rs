//! Does the model of a disk forget what a real one may, and nothing else?

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Cut, Journal, Loss};
use crate::disk::{self, DiskFile};
use crate::fault::fail;

/// Files by their paths; directories end with a slash.
pub(super) type Tree = BTreeMap<String, Vec<u8>>;

pub(super) struct Disk {
    root: tempfile::TempDir,
    journal: Journal,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    /// With things that stand there before the journal starts.
    fn with(prepare: impl Fn(&Path)) -> Self {
        let root = tempfile::tempdir().unwrap();
        prepare(root.path());
        let journal = Journal::start(root.path()).unwrap();
        Self { root, journal }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> DiskFile {
        let file = DiskFile::create(&self.path(name)).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    fn synced(&self, name: &str, bytes: &[u8]) -> DiskFile {
        let file = self.file(name, bytes);
        file.sync_data().unwrap();
        disk::sync_dir(self.path(name).parent().unwrap()).unwrap();
        file
    }

    pub(super) fn at(&self, cut: Cut, loss: Loss) -> Tree {
        let into = tempfile::tempdir().unwrap();
        self.journal.state_at(cut, loss, into.path()).unwrap();
        tree(into.path())
    }

    /// After a power cut now.
    pub(super) fn left(&self) -> Tree {
        self.at(Cut::End, Loss::DropUnsynced)
    }
}

pub(super) fn tree(root: &Path) -> Tree {
    fn walk(root: &Path, dir: &Path, found: &mut Tree) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display();
            if path.is_dir() {
                found.insert(format!("{name}/"), Vec::new());
                walk(root, &path, found);
            } else {
                found.insert(name.to_string(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = Tree::new();
    walk(root, root, &mut found);
    found
}

fn holds(entries: &[(&str, &[u8])]) -> Tree {
    let owned = entries.iter();
    owned
        .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
        .collect()
}

#[test]
fn bytes_are_kept_up_to_the_last_sync_of_their_file() {
    let disk = Disk::new();
    let file = disk.synced("a", b"one");
    file.write_all_at(b" two", 3).unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"one")]));
    file.sync_data().unwrap();
    file.write_all_at(b"ONE", 0).unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"one two")]));
    assert_eq!(
        disk.at(Cut::End, Loss::KeepAll),
        holds(&[("a", b"ONE two")])
    );
}

#[test]
fn a_length_is_kept_as_of_the_last_sync_of_its_file() {
    let disk = Disk::new();
    let file = disk.synced("a", b"one two");
    file.set_bytes(3).unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"one two")]));
    file.sync_data().unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"one")]));
    file.set_bytes(5).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"one\0\0")]));
    // Emptied by being created again, which the disk has not heard yet.
    disk.file("a", b"new");
    assert_eq!(disk.left(), holds(&[("a", b"one\0\0")]));
}

#[test]
fn a_synced_file_is_lost_if_its_name_was_not_synced() {
    let disk = Disk::new();
    let file = disk.file("a", b"one");
    file.sync_data().unwrap();
    assert_eq!(disk.left(), Tree::new());
    disk::sync_dir(disk.root.path()).unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"one")]));
}

#[test]
fn a_synced_name_of_a_file_that_was_not_synced_names_an_empty_file() {
    let disk = Disk::new();
    disk.file("a", b"one");
    disk::sync_dir(disk.root.path()).unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"")]));
    assert_eq!(
        disk.at(Cut::End, Loss::ZeroUnsynced),
        holds(&[("a", b"\0\0\0")])
    );
}

#[test]
fn a_rename_that_was_not_synced_has_not_happened() {
    let disk = Disk::new();
    disk.synced("old", b"one");
    disk.synced("there", b"two");
    disk::rename(&disk.path("old"), &disk.path("there")).unwrap();
    assert_eq!(disk.left(), holds(&[("old", b"one"), ("there", b"two")]));
    disk::sync_dir(disk.root.path()).unwrap();
    assert_eq!(disk.left(), holds(&[("there", b"one")]));
}

#[test]
fn a_rename_between_directories_is_durable_with_each_of_them() {
    let disk = Disk::new();
    for dir in ["from", "to"] {
        disk::create_dir(&disk.path(dir)).unwrap();
    }
    disk.synced("from/a", b"one");
    disk::rename(&disk.path("from/a"), &disk.path("to/a")).unwrap();
    disk::sync_dir(&disk.path("to")).unwrap();
    let both = [("from/", &b""[..]), ("to/", b""), ("to/a", b"one")];
    let mut with_old = holds(&both);
    with_old.insert("from/a".to_owned(), b"one".to_vec());
    assert_eq!(disk.left(), with_old);
    disk::sync_dir(&disk.path("from")).unwrap();
    assert_eq!(disk.left(), holds(&both));
}

#[test]
fn a_removal_that_was_not_synced_has_not_happened() {
    let disk = Disk::new();
    disk.synced("a", b"one");
    disk::remove_file(&disk.path("a")).unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"one")]));
    disk::sync_dir(disk.root.path()).unwrap();
    assert_eq!(disk.left(), Tree::new());
}

#[test]
fn a_file_removed_while_open_takes_writes_and_leaves_others_alone() {
    let disk = Disk::new();
    let old = disk.synced("a", b"one");
    disk::remove_file(&disk.path("a")).unwrap();
    let new = disk.file("a", b"new");
    old.write_all_at(b"two", 0).unwrap();
    old.sync_data().unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"two")]));
    new.sync_data().unwrap();
    disk::sync_dir(disk.root.path()).unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"new")]));
}

#[test]
fn two_names_of_one_file_stay_one_file() {
    let disk = Disk::new();
    let file = disk.synced("a", b"one");
    disk::hard_link(&disk.path("a"), &disk.path("b")).unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"one")]));
    disk::sync_dir(disk.root.path()).unwrap();
    file.write_all_at(b"two", 0).unwrap();
    file.sync_data().unwrap();
    disk::remove_file(&disk.path("a")).unwrap();
    let into = tempfile::tempdir().unwrap();
    let loss = Loss::DropUnsynced;
    disk.journal.state_at(Cut::End, loss, into.path()).unwrap();
    assert_eq!(tree(into.path()), holds(&[("a", b"two"), ("b", b"two")]));
    let inode = |name: &str| into.path().join(name).metadata().unwrap().ino();
    assert_eq!(inode("a"), inode("b"));
    disk::sync_dir(disk.root.path()).unwrap();
    assert_eq!(disk.left(), holds(&[("b", b"two")]));
}

#[test]
fn a_directory_takes_its_files_along_and_open_files_follow() {
    let disk = Disk::new();
    disk::create_dir(&disk.path("c.new/log")).unwrap();
    let file = disk.synced("c.new/log/1", b"one");
    disk::rename(&disk.path("c.new"), &disk.path("c")).unwrap();
    file.write_all_at(b"two", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(
        disk.left(),
        holds(&[
            ("c.new/", b""),
            ("c.new/log/", b""),
            ("c.new/log/1", b"two")
        ])
    );
    disk::sync_dir(disk.root.path()).unwrap();
    assert_eq!(
        disk.left(),
        holds(&[("c/", b""), ("c/log/", b""), ("c/log/1", b"two")])
    );
}

#[test]
fn a_removed_directory_is_there_until_its_parent_is_synced() {
    let disk = Disk::new();
    disk::create_dir(&disk.path("c/log")).unwrap();
    disk.synced("c/log/1", b"one");
    disk::remove_dir(&disk.path("c")).unwrap();
    assert_eq!(
        disk.left(),
        holds(&[("c/", b""), ("c/log/", b""), ("c/log/1", b"one")])
    );
    assert_eq!(disk.at(Cut::End, Loss::KeepAll), Tree::new());
    disk::sync_dir(disk.root.path()).unwrap();
    assert_eq!(disk.left(), Tree::new());
}

#[test]
fn create_dir_makes_every_new_directory_durable() {
    let disk = Disk::new();
    disk::create_dir(&disk.path("a/b/c")).unwrap();
    assert_eq!(
        disk.left(),
        holds(&[("a/", b""), ("a/b/", b""), ("a/b/c/", b"")])
    );
}

#[test]
fn what_stood_there_before_is_durable() {
    let disk = Disk::with(|root| {
        std::fs::create_dir(root.join("log")).unwrap();
        std::fs::write(root.join("log/1"), "one").unwrap();
        std::fs::hard_link(root.join("log/1"), root.join("1")).unwrap();
    });
    assert_eq!(disk.journal.sync_points(), 0);
    let file = DiskFile::open(&disk.path("1")).unwrap();
    file.write_all_at(b"two", 0).unwrap();
    let kept = |bytes| holds(&[("1", bytes), ("log/", b""), ("log/1", bytes)]);
    assert_eq!(disk.left(), kept(b"one"));
    file.sync_data().unwrap();
    assert_eq!(disk.left(), kept(b"two"));
}

#[test]
fn a_file_of_others_is_taken_in_when_it_is_touched() {
    let disk = Disk::new();
    std::fs::write(disk.path("dump"), "graph").unwrap();
    std::fs::write(disk.path("stranger"), "?").unwrap();
    assert_eq!(disk.at(Cut::End, Loss::KeepAll), Tree::new());
    disk::rename(&disk.path("dump"), &disk.path("graph")).unwrap();
    disk::sync_dir(disk.root.path()).unwrap();
    assert_eq!(disk.left(), holds(&[("graph", b"")]));
    let file = DiskFile::open(&disk.path("graph")).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.left(), holds(&[("graph", b"graph")]));
    // Replaced and removed behind the journal's back.
    std::fs::write(disk.path("next"), "next").unwrap();
    std::fs::rename(disk.path("next"), disk.path("graph")).unwrap();
    DiskFile::open(&disk.path("graph")).unwrap();
    assert_eq!(
        disk.at(Cut::End, Loss::KeepAll),
        holds(&[("graph", b"next")])
    );
}

#[test]
fn a_file_is_replaced_wholly_or_not_at_all_wherever_the_power_goes() {
    let disk = Disk::new();
    let path = disk.path("manifest.json");
    let old = vec![b'o'; 10_000];
    let new = vec![b'n'; 9_000];
    disk::write_atomically(&path, &old).unwrap();
    disk.journal.mark("old");
    disk::write_atomically(&path, &new).unwrap();
    disk.journal.mark("new");
    let torn = (0..50).map(|seed| Loss::Torn { seed });
    let losses = [Loss::DropUnsynced, Loss::KeepAll, Loss::ZeroUnsynced];
    let mut seen = Vec::new();
    for loss in losses.into_iter().chain(torn) {
        for cut in disk.journal.cuts() {
            let left = disk.at(cut, loss).remove("manifest.json");
            let marks = disk.journal.marks_before(cut);
            match marks.len() {
                0 => assert!(left.is_none() || left.as_ref() == Some(&old)),
                1 => assert!([Some(&old), Some(&new)].contains(&left.as_ref())),
                _ => assert_eq!(left.as_ref(), Some(&new)),
            }
            if loss == Loss::DropUnsynced {
                let what = left.map(|left| left[0] as char);
                seen.push((marks.len(), what));
            }
        }
    }
    let (old, new) = (Some('o'), Some('n'));
    assert_eq!(
        seen,
        [
            (0, None),
            (0, None),
            (0, None),
            (0, old),
            (1, old),
            (1, old),
            (1, old),
            (1, new),
            (2, new)
        ]
    );
    assert_eq!(disk.journal.synced_at(0), Path::new("manifest.tmp"));
    assert_eq!(disk.journal.synced_at(1), Path::new(""));
}

#[test]
fn a_sync_covers_only_what_was_written_before_it_began() {
    let disk = Disk::new();
    let file = disk.synced("a", b"one");
    let recorder = &disk.journal.recorder;
    file.write_all_at(b"two", 0).unwrap();
    let identity = crate::fault::Identity::at(&disk.path("a")).unwrap();
    let path = disk.path("a");
    let step = crate::fault::Step::Sync(&identity, &path);
    let begun = recorder.tape().begin_sync(step);
    file.write_all_at(b"too late", 3).unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"one")]));
    recorder.tape().end_sync(begun, &path, true);
    assert_eq!(disk.left(), holds(&[("a", b"two")]));
}

#[test]
fn what_a_failed_sync_should_have_covered_is_never_written() {
    let disk = Disk::new();
    let file = disk.synced("a", b"one");
    file.write_all_at(b" two", 3).unwrap();
    let failure = fail(&format!("sync@{}:EIO", disk.root.path().display())).unwrap();
    file.sync_data().unwrap_err();
    drop(failure);
    file.write_all_at(b" three", 7).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"one\0\0\0\0 three")]));
    assert_eq!(
        disk.at(Cut::End, Loss::KeepAll),
        holds(&[("a", b"one\0\0\0\0 three")])
    );
}

#[test]
fn half_of_a_write_on_a_full_disk_is_journaled() {
    let disk = Disk::new();
    let file = disk.synced("a", b"one");
    let _failure = fail(&format!("write@{}:ENOSPC", disk.root.path().display())).unwrap();
    file.write_all_at(b"twothree", 3).unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(disk.left(), holds(&[("a", b"onetwot")]));
}

#[test]
fn a_torn_file_has_each_page_old_or_new_and_the_same_seed_tears_alike() {
    let disk = Disk::new();
    let file = disk.synced("a", &[b'o'; 4 * 4096]);
    file.write_all_at(&[b'n'; 6 * 4096], 0).unwrap();
    let mut lengths = Vec::new();
    let mut mixtures = 0;
    for seed in 0..100 {
        let torn = || disk.at(Cut::End, Loss::Torn { seed }).remove("a").unwrap();
        let left = torn();
        assert_eq!(left, torn());
        let pages: Vec<_> = left.chunks(4096).map(|page| page[0]).collect();
        for (at, page) in left.chunks(4096).enumerate() {
            assert!(page.iter().all(|byte| *byte == pages[at]));
            let may_be: &[u8] = if at < 4 { b"on" } else { b"\0n" };
            assert!(may_be.contains(&pages[at]));
        }
        mixtures += usize::from(pages[..4].contains(&b'o') && pages[..4].contains(&b'n'));
        lengths.push(pages.len());
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths, [4, 6]);
    assert!(mixtures > 50, "{mixtures}");
}

#[test]
fn of_a_torn_directory_the_first_changes_are_there() {
    let disk = Disk::new();
    for name in ["a", "b", "c"] {
        disk.file(name, name.as_bytes());
    }
    let mut seen = Vec::new();
    for seed in 0..100 {
        let left = disk.at(Cut::End, Loss::Torn { seed });
        seen.push(left.into_keys().collect::<String>());
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ["", "a", "ab", "abc"]);
}

#[test]
fn journals_of_two_roots_do_not_mix() {
    let (one, two) = (Disk::new(), Disk::new());
    one.synced("a", b"one");
    two.synced("b", b"two");
    disk::rename(&one.path("a"), &two.path("a")).unwrap();
    disk::sync_dir(one.root.path()).unwrap();
    disk::sync_dir(two.root.path()).unwrap();
    assert_eq!(one.left(), Tree::new());
    // Come from elsewhere, and nobody says that its bytes are on this disk.
    assert_eq!(two.left(), holds(&[("a", b""), ("b", b"two")]));
    assert_eq!(
        two.at(Cut::End, Loss::KeepAll),
        holds(&[("a", b"one"), ("b", b"two")])
    );
}

#[test]
fn threads_may_write_at_once() {
    let disk = Disk::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let disk = &disk;
            scope.spawn(move || {
                for round in 0..20 {
                    let name = format!("{thread}-{round}");
                    disk.synced(&name, name.as_bytes());
                    disk.journal.mark(name);
                }
            });
        }
    });
    assert_eq!(disk.journal.sync_points(), 160);
    for point in (0..160).step_by(7) {
        let left = disk.at(Cut::After(point), Loss::DropUnsynced);
        for name in disk.journal.marks_before(Cut::After(point)) {
            assert_eq!(left[&name], name.as_bytes());
        }
    }
    assert_eq!(disk.left().len(), 80);
}
