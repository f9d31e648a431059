//! What was done to which file, whatever it was called at that time?
//!
//! The tape follows the names as the running system sees them, so that each
//! record tells of a file or a directory by its number. Numbers are given once,
//! in the order of making, and never again, unlike those of a real disk.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fault::Step;
use crate::fault::hooks::Identity;

/// A file or a directory; 0 is the root.
pub(super) type Node = usize;

/// The root of the journal.
pub(super) const ROOT: Node = 0;

/// One name of a directory, and what it stands for from now on.
pub(super) type EntryChange = (OsString, Option<Node>);

/// What happens to a file's bytes.
#[derive(Clone)]
pub(super) enum Change {
    /// Bytes at an offset.
    Write(u64, Arc<[u8]>),
    /// A length.
    SetLength(u64),
}

/// One thing that happened.
pub(super) enum Record {
    /// A file or a directory was made; nothing names it yet. Its number is
    /// the next one.
    Made { is_dir: bool },
    /// A file's bytes changed.
    Changed(Node, Change),
    /// Names of a directory changed, all at once or not at all.
    Named(Node, Vec<EntryChange>),
    /// A sync began. It is known by the place of this record.
    SyncBegun(Node),
    /// The sync that began there succeeded: a sync point.
    Synced { begun: usize, path: PathBuf },
    /// The sync that began there failed.
    SyncFailed { begun: usize },
    /// It is durable as it stood when the journal started.
    Stood(Node),
    /// A test noted something.
    Mark(String),
}

struct Known {
    identity: Option<Identity>,
    /// The names as they are now, of a directory.
    names: Option<BTreeMap<OsString, Node>>,
}

/// What stood under the names of a step before it was taken.
pub(super) struct Prior {
    from: Option<Node>,
    to: Option<Node>,
}

pub(super) struct Tape {
    root: PathBuf,
    pub(super) records: Vec<Record>,
    known: Vec<Known>,
    by_identity: HashMap<Identity, Node>,
}

impl Tape {
    /// A tape that begins with what stands below the root.
    pub(super) fn of_what_stands(root: &Path) -> io::Result<Self> {
        let mut tape = Self {
            root: root.to_owned(),
            records: Vec::new(),
            known: Vec::new(),
            by_identity: HashMap::new(),
        };
        tape.make(Identity::at(root).ok(), true);
        if root.is_dir() {
            tape.take_in_entries(root, ROOT)?;
        }
        let stood = (0..tape.known.len()).map(Record::Stood);
        tape.records.extend(stood);
        Ok(tape)
    }

    fn make(&mut self, identity: Option<Identity>, is_dir: bool) -> Node {
        let node = self.known.len();
        self.known.push(Known {
            identity,
            names: is_dir.then(BTreeMap::new),
        });
        if let Some(identity) = identity {
            self.by_identity.insert(identity, node);
        }
        self.records.push(Record::Made { is_dir });
        node
    }

    fn change(&mut self, node: Node, change: Change) {
        self.records.push(Record::Changed(node, change));
    }

    fn name(&mut self, dir: Node, changes: Vec<EntryChange>) {
        if let Some(names) = &mut self.known[dir].names {
            for (name, node) in &changes {
                match node {
                    Some(node) => names.insert(name.clone(), *node),
                    None => names.remove(name),
                };
            }
            self.records.push(Record::Named(dir, changes));
        }
    }

    /// Takes in what the disk holds there and the tape has not seen made.
    fn take_in(&mut self, path: &Path, metadata: &Metadata) -> io::Result<Node> {
        let identity = Identity::of_metadata(metadata);
        // Without a second link a number seen before has been given out again.
        if metadata.nlink() > 1
            && metadata.is_file()
            && let Some(&node) = self.by_identity.get(&identity)
        {
            return Ok(node);
        }
        let node = self.make(Some(identity), metadata.is_dir());
        if metadata.is_dir() {
            self.take_in_entries(path, node)?;
        } else {
            let bytes = std::fs::read(path)?;
            self.change(node, Change::Write(0, bytes.into()));
        }
        Ok(node)
    }

    fn take_in_entries(&mut self, dir: &Path, node: Node) -> io::Result<()> {
        let mut entries = std::fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            // Links elsewhere and sockets are nothing that the engine writes.
            let metadata = entry.metadata()?;
            if metadata.is_file() || metadata.is_dir() {
                let child = self.take_in(&entry.path(), &metadata)?;
                self.name(node, vec![(entry.file_name(), Some(child))]);
            }
        }
        Ok(())
    }

    fn relative(&self, path: &Path) -> Option<PathBuf> {
        let absolute = std::path::absolute(path).ok()?;
        absolute.strip_prefix(&self.root).ok().map(Path::to_owned)
    }

    /// What has this name now. Where others have changed it behind our back,
    /// that is noted first.
    fn settle(&mut self, path: &Path) -> Option<Node> {
        let relative = self.relative(path)?;
        let mut node = ROOT;
        let mut here = self.root.clone();
        for name in relative.iter() {
            here.push(name);
            node = self.settle_entry(node, name, &here)?;
        }
        Some(node)
    }

    fn settle_entry(&mut self, dir: Node, name: &OsStr, path: &Path) -> Option<Node> {
        let known = self.known[dir].names.as_ref()?.get(name).copied();
        let Ok(metadata) = path.symlink_metadata() else {
            if known.is_some() {
                self.name(dir, vec![(name.to_owned(), None)]);
            }
            return None;
        };
        let identity = Identity::of_metadata(&metadata);
        let is_same = |node: &Node| self.known[*node].identity == Some(identity);
        if let Some(node) = known.filter(is_same) {
            return Some(node);
        }
        let node = self.take_in(path, &metadata).ok()?;
        self.name(dir, vec![(name.to_owned(), Some(node))]);
        Some(node)
    }

    /// The directory that holds a name, and the name.
    fn place(&mut self, path: &Path) -> Option<(Node, OsString)> {
        let name = self.relative(path)?.file_name()?.to_owned();
        Some((self.settle(path.parent()?)?, name))
    }

    /// Looks at the names that a step is about to change.
    pub(super) fn before(&mut self, step: Step<'_>) -> Prior {
        let (path, other) = match step {
            Step::Open(_) | Step::Read(_) | Step::Truncate(..) | Step::MakeDir(_) => (None, None),
            _ => (Some(step.paths().0), step.paths().1),
        };
        Prior {
            from: path.and_then(|path| self.settle(path)),
            to: other.and_then(|other| self.settle(other)),
        }
    }

    /// Notes a step that was taken.
    pub(super) fn after(&mut self, step: Step<'_>, prior: Prior) {
        match step {
            Step::Open(path) | Step::MakeDir(path) => {
                self.settle(path);
            }
            Step::Create(path) => self.created(path, prior.from),
            Step::Truncate(file, _, bytes) => {
                if let Some(&node) = self.by_identity.get(file) {
                    self.change(node, Change::SetLength(bytes));
                }
            }
            Step::Rename(from, to) => self.renamed(from, to, &prior),
            Step::Link(_, to) => {
                if let (Some(node), Some((dir, name))) = (prior.from, self.place(to)) {
                    self.name(dir, vec![(name, Some(node))]);
                }
            }
            Step::Remove(path) | Step::RemoveDir(path) => {
                if let Some(node) = prior.from {
                    self.empty(node);
                    if let Some((dir, name)) = self.place(path) {
                        self.name(dir, vec![(name, None)]);
                    }
                }
            }
            Step::Read(_) | Step::Sync(..) | Step::SyncDir(_) => {}
        }
    }

    fn created(&mut self, path: &Path, prior: Option<Node>) {
        let (Ok(identity), Some((dir, name))) = (Identity::at(path), self.place(path)) else {
            return;
        };
        match prior {
            Some(node) if self.known[node].identity == Some(identity) => {
                self.change(node, Change::SetLength(0));
            }
            _ => {
                let node = self.make(Some(identity), false);
                self.name(dir, vec![(name, Some(node))]);
            }
        }
    }

    fn renamed(&mut self, from: &Path, to: &Path, prior: &Prior) {
        // Two names of one file: the system leaves both.
        if prior.from.is_some() && prior.from == prior.to {
            return;
        }
        let (old, new) = (self.place(from), self.place(to));
        match (prior.from, old, new) {
            (Some(node), Some((old_dir, old)), Some((new_dir, new))) if old_dir == new_dir => {
                self.name(old_dir, vec![(new, Some(node)), (old, None)]);
            }
            (Some(node), Some((old_dir, old)), Some((new_dir, new))) => {
                self.name(new_dir, vec![(new, Some(node))]);
                self.name(old_dir, vec![(old, None)]);
            }
            // It went out of the root, or came from without.
            (_, Some((old_dir, old)), None) => self.name(old_dir, vec![(old, None)]),
            _ => {
                self.settle(to);
            }
        }
    }

    /// Removes all names below a directory, the deepest first, as the system
    /// does: a cut may fall between any two of them.
    fn empty(&mut self, dir: Node) {
        let names = self.known[dir].names.clone().unwrap_or_default();
        for (name, child) in names {
            self.empty(child);
            self.name(dir, vec![(name, None)]);
        }
    }

    /// Notes bytes that were written.
    pub(super) fn write(&mut self, file: &Identity, bytes: &[u8], offset: u64) {
        if let Some(&node) = self.by_identity.get(file) {
            self.change(node, Change::Write(offset, bytes.into()));
        }
    }

    /// Notes that a sync begins; returns how it is known.
    pub(super) fn begin_sync(&mut self, step: Step<'_>) -> Option<usize> {
        let node = match step {
            Step::Sync(file, _) => self.by_identity.get(file).copied()?,
            Step::SyncDir(dir) => self.settle(dir)?,
            _ => return None,
        };
        Some(self.begin(node))
    }

    fn begin(&mut self, node: Node) -> usize {
        self.records.push(Record::SyncBegun(node));
        self.records.len() - 1
    }

    /// Notes how a sync ended.
    pub(super) fn end_sync(&mut self, begun: Option<usize>, path: &Path, is_synced: bool) {
        let Some(begun) = begun else { return };
        let path = self.relative(path).unwrap_or_default();
        self.records.push(if is_synced {
            Record::Synced { begun, path }
        } else {
            Record::SyncFailed { begun }
        });
    }

    /// Notes that a file was replaced: a temporary one made, written, synced
    /// and renamed.
    pub(super) fn replaced(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let Some((dir, name)) = self.place(path) else {
            return Ok(());
        };
        let mut temporary = OsString::from(".tmp-");
        temporary.push(&name);
        let node = self.make(Some(Identity::at(path)?), false);
        self.name(dir, vec![(temporary.clone(), Some(node))]);
        self.change(node, Change::Write(0, bytes.into()));
        let begun = self.begin(node);
        self.end_sync(Some(begun), path, true);
        self.name(dir, vec![(name, Some(node)), (temporary, None)]);
        Ok(())
    }
}
