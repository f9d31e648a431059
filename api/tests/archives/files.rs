//! Archives in files.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;

use cento_api::{ArchivePlace, Problem, archive_name, download, upload};
use cento_core::CollectionName;
use cento_index::IndexError;
use cento_index::archive::{ArchiveAbout, archive_bytes, export, import};
use tempfile::TempDir;

pub(crate) fn about() -> ArchiveAbout {
    ArchiveAbout {
        collection: CollectionName::new("handbook").unwrap(),
        snapshot: "s1".to_owned(),
        created: 1_782_864_000,
    }
}

/// A snapshot whose log has this many bytes, no two parts of it alike.
pub(crate) fn snapshot(bytes: usize) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("log")).unwrap();
    let mut numbers = (0u64..).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let log: Vec<u8> = numbers.by_ref().take(bytes).collect();
    fs::write(dir.path().join("log/00000001.log"), log).unwrap();
    fs::write(dir.path().join("manifest.json"), "{}").unwrap();
    dir
}

/// Sends a snapshot to a place, as the commands will.
pub(crate) fn send(dir: &TempDir, to: &ArchivePlace) -> Result<ArchivePlace, Problem> {
    let to = to.or_below(&archive_name(&about()));
    let bytes = archive_bytes(dir.path(), &about())?;
    upload(&to, bytes, |out| export(dir.path(), &about(), out))?;
    Ok(to)
}

/// Fetches it from there, and compares.
pub(crate) fn fetch(dir: &TempDir, from: &ArchivePlace) -> Result<(), Problem> {
    let room = TempDir::new().unwrap();
    let into = room.path().join("in");
    assert_eq!(import(&mut download(from)?, &into)?, about());
    for path in ["log/00000001.log", "manifest.json"] {
        let (sent, come) = (fs::read(dir.path().join(path)), fs::read(into.join(path)));
        assert!(sent.unwrap() == come.unwrap(), "{path}");
    }
    Ok(())
}

pub(crate) fn names(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn an_archive_goes_into_a_folder_under_its_own_name_and_comes_back() {
    let dir = snapshot(700_000);
    let to = TempDir::new().unwrap();
    for written in [
        to.path().display().to_string(),
        format!("file://{}", to.path().display()),
    ] {
        let place = send(&dir, &ArchivePlace::parse(&written).unwrap()).unwrap();
        assert_eq!(names(&to), ["handbook-s1.cento.tar"]);
        fetch(&dir, &place).unwrap();
    }
}

#[test]
fn what_was_there_stays_until_the_new_archive_is_whole() {
    let to = TempDir::new().unwrap();
    let path = to.path().join("a.tar");
    fs::write(&path, "old").unwrap();
    let place = ArchivePlace::parse(path.to_str().unwrap()).unwrap();
    let failed = upload(&place, 10, |out| {
        out.write_all(b"half").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        Err::<(), _>(Problem::new("internal", 500, "it broke"))
    });
    assert_eq!(failed.unwrap_err().detail, "it broke");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(&to), ["a.tar"]);

    upload(&place, 10, |out| {
        out.write_all(b"new").unwrap();
        Ok::<(), Problem>(())
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(&to), ["a.tar"]);
}

#[test]
fn what_a_killed_process_left_is_in_nobodys_way_and_goes() {
    let to = TempDir::new().unwrap();
    let beside = |middle: &str| to.path().join(format!(".a.tar.{middle}.partial"));
    // Names by the number of a process, as earlier versions gave them, too.
    for middle in [&std::process::id().to_string(), "00c0ffee00c0ffee"] {
        fs::write(beside(middle), "half").unwrap();
    }
    fs::write(to.path().join(".a.tar.of-mine.partial"), "not ours").unwrap();
    fs::write(to.path().join(".b.tar.1.partial"), "of another archive").unwrap();
    let place = ArchivePlace::parse(to.path().join("a.tar").to_str().unwrap()).unwrap();
    let write = |bytes: &[u8]| {
        upload(&place, 10, |out| {
            out.write_all(bytes).unwrap();
            Ok::<(), Problem>(())
        })
    };
    write(b"whole").unwrap();
    let mut left = names(&to);
    left.sort();
    assert_eq!(
        left,
        [".a.tar.of-mine.partial", ".b.tar.1.partial", "a.tar"]
    );

    // Who is still writing is not taken for one that was killed.
    upload(&place, 10, |out| {
        out.write_all(b"the last").unwrap();
        write(b"the first").unwrap();
        assert_eq!(fs::read(to.path().join("a.tar")).unwrap(), b"the first");
        Ok::<(), Problem>(())
    })
    .unwrap();
    assert_eq!(fs::read(to.path().join("a.tar")).unwrap(), b"the last");
    assert_eq!(names(&to).len(), 3);
}

#[test]
fn a_place_that_cannot_be_used_is_told() {
    let room = TempDir::new().unwrap();
    let at = |name: &str| ArchivePlace::parse(room.path().join(name).to_str().unwrap()).unwrap();
    let write = |place: &ArchivePlace| {
        let nothing = |_: &mut dyn Write| Ok::<(), IndexError>(());
        upload(place, 0, nothing).unwrap_err().code.into_owned()
    };
    let read = |place: &ArchivePlace| download(place).err().unwrap().code.into_owned();
    assert_eq!(write(&at("no/such/a.tar")), "archive_not_found");
    assert_eq!(read(&at("a.tar")), "archive_not_found");
    assert_eq!(write(&at("folder/")), "invalid_place");
    assert_eq!(read(&at("folder/")), "invalid_place");
    symlink("/dev/null", room.path().join("link.tar")).unwrap();
    assert_eq!(write(&at("link.tar")), "invalid_place");
    assert_eq!(read(&at("link.tar")), "invalid_place");
}

#[test]
fn a_full_disk_is_told_as_such_through_all_layers() {
    if !fs::exists("/dev/full").unwrap() {
        return eprintln!("SKIPPED: no /dev/full here");
    }
    let dir = snapshot(10_000);
    let mut full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let error = export(dir.path(), &about(), &mut full).unwrap_err();
    assert_eq!(Problem::from(error).code, "disk_full");
}

#[test]
fn a_damaged_archive_is_the_archives_fault() {
    let dir = snapshot(10_000);
    let to = TempDir::new().unwrap();
    let place = send(
        &dir,
        &ArchivePlace::parse(to.path().to_str().unwrap()).unwrap(),
    )
    .unwrap();
    let mut bytes = Vec::new();
    download(&place).unwrap().read_to_end(&mut bytes).unwrap();
    bytes[5000] ^= 1;
    fs::write(to.path().join("handbook-s1.cento.tar"), bytes).unwrap();
    let problem = fetch(&dir, &place).unwrap_err();
    assert_eq!((&*problem.code, problem.status), ("archive_invalid", 422));
}
