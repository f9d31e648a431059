//! What does a disk hold that was told this, and lost that?

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::Loss;
use super::tape::{Change, EntryChange, Node, ROOT, Record};

/// The system's page.
const PAGE: usize = 4096;

/// Something durable, and what has happened to it since.
struct Pending<D, C> {
    durable: D,
    /// How many changes have become durable so far: a sync remembers up to
    /// which one it reaches.
    settled: usize,
    changes: VecDeque<C>,
}

impl<D: Default, C> Pending<D, C> {
    fn new() -> Self {
        Self {
            durable: D::default(),
            settled: 0,
            changes: VecDeque::new(),
        }
    }

    fn end(&self) -> usize {
        self.settled + self.changes.len()
    }

    /// Makes the changes before `end` durable.
    fn settle(&mut self, end: usize, apply: impl Fn(&mut D, &C)) {
        while self.settled < end
            && let Some(change) = self.changes.pop_front()
        {
            apply(&mut self.durable, &change);
            self.settled += 1;
        }
    }
}

struct FileChange {
    change: Change,
    /// The sync that should have made its bytes durable has failed.
    is_lost: bool,
}

enum Inode {
    File(Pending<Vec<u8>, FileChange>),
    Dir(Pending<BTreeMap<OsString, Node>, Vec<EntryChange>>),
}

/// A disk and what waits to be written to it.
pub(super) struct World {
    inodes: Vec<Inode>,
}

fn apply_to_file(bytes: &mut Vec<u8>, change: &Change, is_lost: bool) {
    match change {
        // A write of nothing does not lengthen a file.
        Change::Write(_, written) if written.is_empty() => {}
        Change::Write(offset, written) => {
            let from = *offset as usize;
            let to = from + written.len();
            if bytes.len() < to {
                bytes.resize(to, 0);
            }
            if !is_lost {
                bytes[from..to].copy_from_slice(written);
            }
        }
        Change::SetLength(length) => bytes.resize(*length as usize, 0),
    }
}

fn apply_to_dir(names: &mut BTreeMap<OsString, Node>, changes: &Vec<EntryChange>) {
    for (name, node) in changes {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

impl World {
    /// The disk after these records.
    pub(super) fn replay(records: &[Record]) -> Self {
        let mut world = Self { inodes: Vec::new() };
        let mut begun: HashMap<usize, (Node, usize)> = HashMap::new();
        for (at, record) in records.iter().enumerate() {
            match record {
                Record::Made { is_dir: true } => world.inodes.push(Inode::Dir(Pending::new())),
                Record::Made { is_dir: false } => world.inodes.push(Inode::File(Pending::new())),
                Record::Changed(node, change) => {
                    if let Inode::File(file) = &mut world.inodes[*node] {
                        file.changes.push_back(FileChange {
                            change: change.clone(),
                            is_lost: false,
                        });
                    }
                }
                Record::Named(node, changes) => {
                    if let Inode::Dir(dir) = &mut world.inodes[*node] {
                        dir.changes.push_back(changes.clone());
                    }
                }
                Record::SyncBegun(node) => {
                    let end = world.end(*node);
                    begun.insert(at, (*node, end));
                }
                Record::Synced { begun: at, .. } => {
                    let (node, end) = begun[at];
                    world.settle(node, end);
                }
                Record::SyncFailed { begun: at } => {
                    let (node, end) = begun[at];
                    world.lose(node, end);
                }
                Record::Stood(node) => world.settle(*node, world.end(*node)),
                Record::Mark(_) => {}
            }
        }
        world
    }

    fn end(&self, node: Node) -> usize {
        match &self.inodes[node] {
            Inode::File(file) => file.end(),
            Inode::Dir(dir) => dir.end(),
        }
    }

    fn settle(&mut self, node: Node, end: usize) {
        match &mut self.inodes[node] {
            Inode::File(file) => file.settle(end, |bytes, change| {
                apply_to_file(bytes, &change.change, change.is_lost);
            }),
            Inode::Dir(dir) => dir.settle(end, apply_to_dir),
        }
    }

    /// A failed sync leaves pages that the system believes to be written.
    /// Names are tried again.
    fn lose(&mut self, node: Node, end: usize) {
        if let Inode::File(file) = &mut self.inodes[node] {
            let covered = end.saturating_sub(file.settled);
            for change in file.changes.iter_mut().take(covered) {
                change.is_lost = true;
            }
        }
    }

    /// Writes the disk as it is found after losing something.
    pub(super) fn write_to(&self, loss: Loss, into: &Path) -> io::Result<()> {
        let mut out = Output {
            files: HashMap::new(),
            dirs: HashSet::from([ROOT]),
        };
        self.write_dir(ROOT, loss, into, &mut out)
    }

    fn write_dir(&self, dir: Node, loss: Loss, into: &Path, out: &mut Output) -> io::Result<()> {
        for (name, node) in self.names(dir, loss) {
            let path = into.join(name);
            match &self.inodes[node] {
                // A directory that was renamed from one parent to another may
                // be in both; the first one keeps it, as a check of the file
                // system would have it.
                Inode::Dir(_) => {
                    if out.dirs.insert(node) {
                        std::fs::create_dir_all(&path)?;
                        self.write_dir(node, loss, &path, out)?;
                    }
                }
                Inode::File(file) => {
                    if let Some(first) = out.files.get(&node) {
                        std::fs::hard_link(first, &path)?;
                    } else {
                        std::fs::write(&path, content(file, loss, node))?;
                        out.files.insert(node, path);
                    }
                }
            }
        }
        Ok(())
    }

    fn names(&self, dir: Node, loss: Loss) -> BTreeMap<OsString, Node> {
        let Inode::Dir(dir_state) = &self.inodes[dir] else {
            return BTreeMap::new();
        };
        let waiting = dir_state.changes.len();
        let kept = match loss {
            Loss::DropUnsynced => 0,
            Loss::KeepAll | Loss::ZeroUnsynced => waiting,
            Loss::Torn { seed } => Draw::new(seed, dir, 0).up_to(waiting),
        };
        let mut names = dir_state.durable.clone();
        for changes in dir_state.changes.iter().take(kept) {
            apply_to_dir(&mut names, changes);
        }
        names
    }
}

/// What has been written out.
struct Output {
    files: HashMap<Node, PathBuf>,
    dirs: HashSet<Node>,
}

fn content(file: &Pending<Vec<u8>, FileChange>, loss: Loss, node: Node) -> Vec<u8> {
    let is_lost = match loss {
        Loss::DropUnsynced => return file.durable.clone(),
        Loss::Torn { seed } => return torn(file, seed, node),
        Loss::KeepAll => false,
        Loss::ZeroUnsynced => true,
    };
    let mut bytes = file.durable.clone();
    for change in &file.changes {
        apply_to_file(&mut bytes, &change.change, is_lost);
    }
    bytes
}

/// A file of which each page, and the length, is as it was at some moment
/// since the last sync.
fn torn(file: &Pending<Vec<u8>, FileChange>, seed: u64, node: Node) -> Vec<u8> {
    let waiting = file.changes.len();
    let mut lengths = vec![file.durable.len()];
    for change in &file.changes {
        let length = lengths[lengths.len() - 1];
        lengths.push(match &change.change {
            Change::Write(_, written) if written.is_empty() => length,
            Change::Write(offset, written) => length.max(*offset as usize + written.len()),
            Change::SetLength(new) => *new as usize,
        });
    }
    let length = lengths[Draw::new(seed, node, 0).up_to(waiting)];
    let most = lengths.iter().copied().max().unwrap_or_default();
    let mut bytes = file.durable.clone();
    bytes.resize(most, 0);
    for (page, bytes) in bytes.chunks_mut(PAGE).enumerate() {
        let start = page * PAGE;
        let kept = Draw::new(seed, node, 1 + page as u64).up_to(waiting);
        for change in file.changes.iter().take(kept) {
            match &change.change {
                Change::Write(..) if change.is_lost => {}
                Change::Write(offset, written) => {
                    let (from, to) = (*offset as usize, *offset as usize + written.len());
                    let (low, high) = (from.max(start), to.min(start + bytes.len()));
                    if low < high {
                        bytes[low - start..high - start]
                            .copy_from_slice(&written[low - from..high - from]);
                    }
                }
                Change::SetLength(length) => {
                    let kept = (*length as usize).saturating_sub(start).min(bytes.len());
                    bytes[kept..].fill(0);
                }
            }
        }
    }
    bytes.truncate(length);
    bytes
}

/// A number that the seed, the file and the page decide.
struct Draw(u64);

impl Draw {
    fn new(seed: u64, node: Node, salt: u64) -> Self {
        let mut state = mixed(seed);
        state = mixed(state ^ node as u64);
        Self(mixed(state ^ salt))
    }

    /// Nothing, all, or something between, each in a third of the cases: most
    /// pages have changed once, and both states of them must be common.
    fn up_to(&self, most: usize) -> usize {
        match self.0 % 3 {
            0 => 0,
            1 => most,
            _ => (self.0 >> 8) as usize % (most + 1),
        }
    }
}

/// One step of SplitMix64.
fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
