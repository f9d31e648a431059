//! What could sled's folders hold when the power has gone?
//!
//! sled does not pass through our door to the disk, and promises little of
//! what it has not flushed. So the worst is assumed of it: it may be as it was
//! at any earlier moment, cut short, or gone.

use std::fs;
use std::path::{Path, PathBuf};

/// How a disk's sled folders look.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// As they last were.
    Last,
    /// As they were at some moment before.
    Earlier,
    /// As they last were, but every file ends too early.
    Short,
    /// They are gone.
    Gone,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Last, Self::Earlier, Self::Short, Self::Gone];
}

/// sled's folders at one moment: paths below the root, and bytes.
pub(crate) struct Copy(Vec<(PathBuf, Vec<u8>)>);

/// Copies the catalogs below a data directory, while they are written to: a
/// copy may hold what no moment held, and so may a disk.
pub(crate) fn copy(root: &Path) -> Copy {
    let mut files = Vec::new();
    for catalog in catalogs(root) {
        read_below(root, &catalog, &mut files);
    }
    Copy(files)
}

/// The folders of all catalogs in a data directory.
fn catalogs(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for collection in entries(&root.join("collections")) {
        for generation in entries(&collection.join("generations")) {
            let catalog = generation.join("catalog");
            if catalog.is_dir() {
                found.push(catalog);
            }
        }
    }
    found
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn read_below(root: &Path, dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for path in entries(dir) {
        if path.is_dir() {
            read_below(root, &path, files);
        } else if let Ok(bytes) = fs::read(&path) {
            // One that is gone by now was on its way out.
            files.push((path.strip_prefix(root).unwrap().to_owned(), bytes));
        }
    }
}

/// Puts sled's folders into a data directory. `copies` are those taken so far,
/// `draw` chooses among what is equally possible.
pub(crate) fn place(kind: Kind, copies: &[Copy], draw: usize, root: &Path) {
    for catalog in catalogs(root) {
        fs::remove_dir_all(catalog).unwrap();
    }
    let Some(last) = copies.last() else { return };
    match kind {
        Kind::Last => write(last, usize::MAX, root),
        Kind::Earlier => write(&copies[draw % copies.len()], usize::MAX, root),
        Kind::Short => write(last, draw % 7, root),
        Kind::Gone => {}
    }
}

/// Writes the first `eighths` of each file.
fn write(copy: &Copy, eighths: usize, root: &Path) {
    for (path, bytes) in &copy.0 {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let end = (bytes.len() / 8).saturating_mul(eighths).min(bytes.len());
        let end = if eighths == usize::MAX {
            bytes.len()
        } else {
            end
        };
        fs::write(path, &bytes[..end]).unwrap();
    }
}
