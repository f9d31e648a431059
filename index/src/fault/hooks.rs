//! What happens around a step on the disk while faults are on?

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Step;
use super::failpoint::reached_halfway;
use super::injection;
use super::journal;
use super::op::Op;

/// Which file an open file is, whatever it is called by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::of_metadata(&file.metadata()?))
    }

    /// Of what has this name now.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::of_metadata(&path.symlink_metadata()?))
    }

    pub(super) fn of_metadata(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// Takes a step on the disk.
pub(crate) fn step<T>(step: Step<'_>, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    step.op().reached();
    if let Step::RemoveDir(dir) = step {
        reached_halfway("disk.half_removed", || remove_half(dir));
    }
    let (path, other) = step.paths();
    journal::around(step, || {
        injection::check(step.op(), path, other)?;
        act()
    })
}

/// Removes every second file below a directory: nobody promises an order.
fn remove_half(dir: &Path) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for (number, entry) in entries.enumerate() {
        if entry.path().is_dir() {
            remove_half(&entry.path());
        } else if number % 2 == 0 {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Fails where the step would fail, without taking it.
pub(crate) fn check(op: Op, path: &Path) -> io::Result<()> {
    injection::check(op, path, None)
}

/// Writes bytes; a full disk takes half of them.
pub(crate) fn write(
    file: &Identity,
    path: &Path,
    bytes: &[u8],
    offset: u64,
    mut act: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    Op::Write.reached();
    // The log's own name: half a commit is what opening is most about.
    let is_log = path.extension().is_some_and(|ending| ending == "log");
    let halfway = ["disk.half_written", "log.half_written"][usize::from(is_log)];
    reached_halfway(halfway, || drop(act(&bytes[..bytes.len() / 2])));
    let Err(error) = injection::check(Op::Write, path, None) else {
        return journal::around_write(file, path, bytes, offset, act);
    };
    if matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        let half = &bytes[..bytes.len() / 2];
        journal::around_write(file, path, half, offset, act)?;
    }
    Err(error)
}

/// Replaces a file by one call of somebody else's that writes a temporary
/// file, syncs it and renames it, and syncs no directory. To die within the
/// call is not possible, so its points stand before it.
pub(crate) fn replace(
    path: &Path,
    bytes: &[u8],
    act: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    for op in [Op::Create, Op::Write, Op::Sync, Op::Rename] {
        op.reached();
        injection::check(op, path, None)?;
    }
    act()?;
    journal::replaced(path, bytes)
}
