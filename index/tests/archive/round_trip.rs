//! What is exported arrives as it was, and anybody can look inside.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::symlink;
use std::process::Command;

use cento_index::IndexError;
use cento_index::archive::{archive_bytes, export, import};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::sample::{FILES, about, archive, snapshot, try_import, write_files};

#[test]
fn a_snapshot_arrives_as_it_was() {
    let to = TempDir::new().unwrap();
    let into = to.path().join("incoming");
    let told = import(&mut &*archive(), &into).unwrap();
    assert_eq!(told, about());
    for (path, bytes) in FILES {
        assert_eq!(fs::read(into.join(path)).unwrap(), bytes, "{path}");
    }
    assert_eq!(fs::read_dir(&into).unwrap().count(), 3);
}

#[test]
fn what_was_imported_exports_to_the_same_bytes() {
    let to = TempDir::new().unwrap();
    let into = to.path().join("incoming");
    let first = archive();
    let told = import(&mut &*first, &into).unwrap();
    let mut second = Vec::new();
    export(&into, &told, &mut second).unwrap();
    assert!(first == second);
}

#[test]
fn the_same_snapshot_gives_the_same_bytes_whenever_and_wherever() {
    let reversed = TempDir::new().unwrap();
    let mut files = FILES;
    files.reverse();
    write_files(reversed.path(), &files);
    let mut bytes = Vec::new();
    export(reversed.path(), &about(), &mut bytes).unwrap();
    assert!(bytes == archive());
}

/// The format is a promise to archives that are already written.
#[test]
fn version_one_stays_as_it_is() {
    let hash = blake3::hash(&archive());
    assert_eq!(
        hash.to_hex().as_str(),
        "d7e27163bc986d4b9dfff1fb8513296d5e7b4c67ee3ff36da86e3313b1c0f233"
    );
}

#[test]
fn its_length_is_known_beforehand() {
    let dir = snapshot();
    let mut bytes = Vec::new();
    let summary = export(dir.path(), &about(), &mut bytes).unwrap();
    assert_eq!(summary.files, FILES.len());
    assert_eq!(
        summary.bytes,
        FILES.iter().map(|(_, b)| b.len() as u64).sum::<u64>()
    );
    assert_eq!(summary.archive_bytes, bytes.len() as u64);
    assert_eq!(
        archive_bytes(dir.path(), &about()).unwrap(),
        summary.archive_bytes
    );
}

#[test]
fn the_usual_tools_can_look_inside() {
    let bytes = archive();
    let mut entries = tar::Archive::new(&*bytes);
    let names: Vec<String> = entries
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names.first().unwrap(), "cento-archive.json");
    assert_eq!(names.last().unwrap(), "cento-archive.end");
    assert_eq!(names.len(), FILES.len() + 2);

    let to = TempDir::new().unwrap();
    let file = to.path().join("a.tar");
    fs::write(&file, &bytes).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(&file).arg("-C").arg(to.path());
    match tar.status() {
        Ok(status) => assert!(status.success()),
        Err(_) => return eprintln!("SKIPPED: no tar here to look inside with"),
    }
    for (path, bytes) in FILES {
        assert_eq!(
            fs::read(to.path().join("snapshot").join(path)).unwrap(),
            bytes
        );
    }
}

#[test]
fn an_archive_may_come_byte_by_byte() {
    struct Slow<'a>(&'a [u8]);
    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = buffer.len().min(1);
            self.0.read(&mut buffer[..one])
        }
    }
    let to = TempDir::new().unwrap();
    import(&mut Slow(&archive()), &to.path().join("incoming")).unwrap();
}

#[test]
fn a_folder_that_is_there_is_left_alone() {
    let to = TempDir::new().unwrap();
    fs::write(to.path().join("mine"), "kept").unwrap();
    let error = import(&mut &*archive(), to.path()).unwrap_err();
    assert!(matches!(error, IndexError::Io { .. }), "{error}");
    assert_eq!(fs::read(to.path().join("mine")).unwrap(), b"kept");
}

#[test]
fn a_folder_without_its_parent_is_an_error_of_the_disk() {
    let to = TempDir::new().unwrap();
    let error = import(&mut &*archive(), &to.path().join("a/b")).unwrap_err();
    assert!(matches!(error, IndexError::Io { .. }), "{error}");
}

#[test]
fn what_is_no_plain_file_is_not_exported() {
    let dir = snapshot();
    symlink("/etc/passwd", dir.path().join("log/link")).unwrap();
    let error = export(dir.path(), &about(), &mut Vec::new()).unwrap_err();
    assert!(
        error.to_string().contains("'log/link' is neither"),
        "{error}"
    );
}

#[test]
fn what_could_not_be_imported_is_not_exported() {
    let empty = TempDir::new().unwrap();
    let no_files = export(empty.path(), &about(), &mut Vec::new()).unwrap_err();
    assert!(no_files.to_string().contains("no files"), "{no_files}");

    let dir = snapshot();
    fs::write(dir.path().join("a name"), "").unwrap();
    let name = export(dir.path(), &about(), &mut Vec::new()).unwrap_err();
    assert!(name.to_string().contains("'a name'"), "{name}");

    let mut bad = about();
    bad.snapshot = "../up".to_owned();
    let id = export(snapshot().path(), &bad, &mut Vec::new()).unwrap_err();
    assert!(id.to_string().contains("'../up'"), "{id}");
}

#[test]
fn a_file_that_changes_meanwhile_is_noticed() {
    let dir = snapshot();
    /// Writes into the snapshot as soon as the archive begins.
    struct Meddler<'a>(&'a TempDir);
    impl Write for Meddler<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            fs::write(self.0.path().join("log/00000001.log"), "WHAT WAS PUT IN")?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = export(dir.path(), &about(), &mut Meddler(&dir)).unwrap_err();
    assert!(
        error.to_string().contains("'log/00000001.log' changed"),
        "{error}"
    );
}

#[test]
fn a_receiver_that_fails_is_named_as_such() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = export(snapshot().path(), &about(), &mut Full).unwrap_err();
    assert!(matches!(error, IndexError::ArchiveStream { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_files_arrive_as_they_were(
        files in prop::collection::btree_map(
            "[a-z]{1,3}(/[A-Za-z0-9_.-]{1,40}x){0,3}\\.f",
            prop::collection::vec(any::<u8>(), 0..1500),
            1..6,
        )
    ) {
        let dir = TempDir::new().unwrap();
        let listed: Vec<(&str, &[u8])> =
            files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        write_files(dir.path(), &listed);
        let mut bytes = Vec::new();
        export(dir.path(), &about(), &mut bytes).unwrap();
        let into = TempDir::new().unwrap();
        import(&mut &*bytes, &into.path().join("in")).unwrap();
        let back: BTreeMap<_, _> = files
            .keys()
            .map(|path| (path.clone(), fs::read(into.path().join("in").join(path)).unwrap()))
            .collect();
        prop_assert_eq!(files, back);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert!(try_import(&bytes).is_err());
    }
}
