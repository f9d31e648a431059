//! Do failures strike where they should, and does a point kill?

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Action, Op, arm, disarm_all, fail, point};
use crate::IndexError;
use crate::disk::{self, DiskFile};

/// The test that runs in a process of its own, with an environment that
/// would hurt the others.
const CHILD: &str = "fault::tests::what_a_child_does";

fn error_kind(error: &IndexError) -> std::io::ErrorKind {
    match error {
        IndexError::Io { source, .. } => source.kind(),
        other => panic!("{other}"),
    }
}

fn errno(result: Result<(), IndexError>) -> Option<i32> {
    match result {
        Ok(()) => None,
        Err(IndexError::Io { source, .. }) => source.raw_os_error(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn each_operation_fails_with_the_error_asked_for_and_only_while_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let other = dir.path().join("b.log");
    let file = DiskFile::create(&path).unwrap();
    file.write_all_at(b"here", 0).unwrap();
    type Attempt<'a> = &'a dyn Fn() -> Result<(), IndexError>;
    let attempts: [(&str, Attempt<'_>); 15] = [
        ("open", &|| DiskFile::open(&path).map(drop)),
        ("open", &|| DiskFile::open_to_read(&path).map(drop)),
        ("create", &|| {
            DiskFile::create(&dir.path().join("c.log")).map(drop)
        }),
        ("read", &|| file.bytes().map(drop)),
        ("read", &|| file.read_exact_at(&mut [0; 2], 0)),
        ("read", &|| disk::read(&path).map(drop)),
        ("read", &|| disk::list(dir.path()).map(drop)),
        ("write", &|| file.write_all_at(b"here", 0)),
        ("truncate", &|| file.set_bytes(4)),
        ("sync", &|| file.sync_data()),
        ("syncdir", &|| disk::sync_dir(dir.path())),
        ("rename", &|| disk::rename(&path, &path)),
        ("link", &|| {
            disk::remove_file(&other)?;
            disk::hard_link(&path, &other)
        }),
        ("remove", &|| disk::remove_file(&other)),
        ("mkdir", &|| disk::create_dir(&dir.path().join("new"))),
    ];
    for (op, attempt) in attempts {
        let rule = format!("{op}@{}:EIO", dir.path().display());
        let failure = fail(&rule).unwrap();
        assert_eq!(
            errno(attempt()),
            Some(nix::errno::Errno::EIO as i32),
            "{op}"
        );
        assert_eq!(failure.hits(), 1, "{op}");
        drop(failure);
        assert_eq!(errno(attempt()), None, "{op}");
    }
    let _failure = fail(&format!("remove@{}/new:EIO", dir.path().display())).unwrap();
    disk::remove_dir(&dir.path().join("new")).unwrap_err();
}

#[test]
fn a_failure_strikes_after_so_many_operations_on_the_paths_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let log = DiskFile::create(&dir.path().join("1.log")).unwrap();
    let table = DiskFile::create(&dir.path().join("1.table")).unwrap();
    let rule = format!("write@{}*.log:EROFS:2", dir.path().display());
    let failure = fail(&rule).unwrap();
    for round in 0..4 {
        table.write_all_at(b"x", round).unwrap();
        assert_eq!(log.write_all_at(b"x", round).is_ok(), round < 2);
    }
    assert_eq!(failure.hits(), 2);
    assert_eq!(log.bytes().unwrap(), 2);
}

#[test]
fn a_full_disk_takes_half_of_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("1.log");
    let file = DiskFile::create(&path).unwrap();
    file.write_all_at(b"0123", 0).unwrap();
    let _failure = fail(&format!("write@{}:ENOSPC", path.display())).unwrap();
    let error = file.write_all_at(b"456789", 4).unwrap_err();
    assert_eq!(error_kind(&error), std::io::ErrorKind::StorageFull);
    assert_eq!(disk::read(&path).unwrap(), b"0123456");
}

#[test]
fn a_file_that_cannot_be_replaced_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest.json");
    disk::write_atomically(&path, b"old").unwrap();
    for op in [Op::Create, Op::Write, Op::Sync, Op::Rename] {
        let _failure = fail(&format!("{op}@{}:EIO", dir.path().display())).unwrap();
        disk::write_atomically(&path, b"new").unwrap_err();
        assert_eq!(disk::read(&path).unwrap(), b"old", "{op}");
    }
}

#[test]
fn a_rule_that_says_nothing_is_refused_with_the_reason() {
    let reason = |rule: &str| fail(rule).err().unwrap();
    assert_eq!(
        reason("write"),
        "'write' is not OP[@PATHPART]:ERROR[:AFTER]"
    );
    assert!(reason("wriet:EIO").starts_with("no operation 'wriet'; there is: open, create,"));
    assert!(reason("write:EWHAT:3").starts_with("no error 'EWHAT'; there is: EACCES,"));
    assert!(fail("write@/no/such:odd/path:EIO:3").is_ok());
}

/// What the child's tests have in common: a file made, synced and renamed
/// with points between.
fn work(dir: &Path) {
    for round in ["1", "2"] {
        point("tests.begun");
        disk::write_atomically(&dir.join(round), round.as_bytes()).unwrap();
        point("tests.written");
    }
}

/// Only in a child: does the work in the directory that the parent names.
#[test]
fn what_a_child_does() {
    if let Ok(dir) = std::env::var("CENTO_FAULT_TEST_DIR") {
        work(Path::new(&dir));
    }
}

struct Child {
    dir: tempfile::TempDir,
    log: tempfile::NamedTempFile,
    status: std::process::ExitStatus,
}

fn child(variable: &str, value: &str, log: &str) -> Child {
    let dir = tempfile::tempdir().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD])
        .env("CENTO_FAULT_TEST_DIR", dir.path())
        .env(variable, value)
        .env(log, file.path())
        .output()
        .unwrap();
    Child {
        dir,
        log: file,
        status: output.status,
    }
}

impl Child {
    fn names(&self) -> Vec<String> {
        let paths = disk::list(self.dir.path()).unwrap();
        let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().into();
        paths.iter().map(name).collect()
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.log.path()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn was_killed(&self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        self.status.signal() == Some(nix::sys::signal::Signal::SIGKILL as i32)
    }
}

#[test]
fn the_process_dies_at_the_point_and_time_named_and_not_before() {
    for (point, left) in [
        ("tests.begun", &[][..]),
        ("tests.begun:2", &["1"]),
        ("tests.written:2", &["1", "2"]),
        ("disk.rename", &["1.tmp"]),
        ("disk.half_written:2", &["1", "2.tmp"]),
        ("disk.rename:2", &["1", "2.tmp"]),
        ("disk.syncdir:2", &["1", "2"]),
    ] {
        let child = child("CENTO_FAILPOINT", point, "CENTO_FAILPOINT_LOG");
        assert!(child.was_killed(), "{point}: {}", child.status);
        assert_eq!(child.names(), left, "{point}");
        let name = point.split(':').next().unwrap();
        assert_eq!(child.lines().last().unwrap(), name);
    }
}

#[test]
fn the_log_of_points_names_each_as_often_as_it_was_reached() {
    let child = child("CENTO_FAILPOINT", "", "CENTO_FAILPOINT_LOG");
    assert!(child.status.success());
    let round = [
        "tests.begun",
        "disk.create",
        "disk.write",
        "disk.half_written",
        "disk.sync",
        "disk.rename",
        "disk.syncdir",
        "tests.written",
    ];
    assert_eq!(child.lines(), [round, round].concat());
}

#[test]
fn a_failure_from_the_environment_strikes_and_is_logged() {
    let child = child(
        "CENTO_FAULT",
        "rename@/2.tmp:ENOSPC,open:EMFILE:7",
        "CENTO_FAULT_LOG",
    );
    assert!(!child.status.success() && !child.was_killed());
    assert_eq!(child.names(), ["1", "2.tmp"]);
    let dir = child.dir.path().display();
    assert_eq!(
        *child.lines().last().unwrap(),
        format!("rename {dir}/2.tmp {dir}/2 ENOSPC")
    );
    assert_eq!(child.lines().len(), 9);
}

#[test]
fn a_setting_with_a_slip_stops_the_process_rather_than_doing_nothing() {
    for (variable, value) in [
        ("CENTO_FAULT", "wriet:EIO"),
        ("CENTO_FAILPOINT", "tests.begun:0"),
    ] {
        let child = child(variable, value, "CENTO_FAILPOINT_LOG");
        assert!(!child.status.success(), "{value}");
        assert_eq!(child.names(), [""; 0]);
    }
}

#[test]
fn a_point_runs_what_it_is_armed_with_once() {
    let times = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&times);
    let count = move || {
        counter.fetch_add(1, Ordering::SeqCst);
    };
    arm("tests.armed", 2, Action::Run(Arc::new(count)));
    for expected in [0, 1, 1] {
        point("tests.armed");
        assert_eq!(times.load(Ordering::SeqCst), expected);
    }
    disarm_all();
    point("tests.armed");
    assert_eq!(times.load(Ordering::SeqCst), 1);
}
