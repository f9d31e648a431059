//! Which operations on the disk can fail, and what are they called?

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::{Step, failpoint};

/// An operation on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Opening a file that is there.
    Open,
    /// Making a file, or emptying the one that is there.
    Create,
    /// Reading a file, its length, or a directory's entries.
    Read,
    /// Writing bytes.
    Write,
    /// Setting a file's length.
    Truncate,
    /// Making a file's bytes durable.
    Sync,
    /// Making a directory's entries durable.
    SyncDir,
    /// Giving another name.
    Rename,
    /// Giving a second name.
    Link,
    /// Removing a file or a directory.
    Remove,
    /// Making a directory.
    MakeDir,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::Create,
        Self::Read,
        Self::Write,
        Self::Truncate,
        Self::Sync,
        Self::SyncDir,
        Self::Rename,
        Self::Link,
        Self::Remove,
        Self::MakeDir,
    ];

    /// The name that `CENTO_FAULT` knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::Write => "write",
            Self::Truncate => "truncate",
            Self::Sync => "sync",
            Self::SyncDir => "syncdir",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::Remove => "remove",
            Self::MakeDir => "mkdir",
        }
    }

    /// Passes the point before it, where it changes what a crash leaves.
    pub(super) fn reached(self) {
        failpoint::reached(match self {
            Self::Open | Self::Read => return,
            Self::Create => "disk.create",
            Self::Write => "disk.write",
            Self::Truncate => "disk.truncate",
            Self::Sync => "disk.sync",
            Self::SyncDir => "disk.syncdir",
            Self::Rename => "disk.rename",
            Self::Link => "disk.link",
            Self::Remove => "disk.remove",
            Self::MakeDir => "disk.mkdir",
        });
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Op {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|op| op.name() == name);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("no operation '{name}'; there is: {known}")
        })
    }
}

impl<'a> Step<'a> {
    /// What is done.
    pub(super) fn op(self) -> Op {
        match self {
            Self::Open(_) => Op::Open,
            Self::Create(_) => Op::Create,
            Self::Read(_) => Op::Read,
            Self::Truncate(..) => Op::Truncate,
            Self::Sync(..) => Op::Sync,
            Self::SyncDir(_) => Op::SyncDir,
            Self::Rename(..) => Op::Rename,
            Self::Link(..) => Op::Link,
            Self::Remove(_) | Self::RemoveDir(_) => Op::Remove,
            Self::MakeDir(_) => Op::MakeDir,
        }
    }

    /// To what it is done; the second path is where it ends.
    pub(super) fn paths(self) -> (&'a Path, Option<&'a Path>) {
        match self {
            Self::Open(path)
            | Self::Create(path)
            | Self::Read(path)
            | Self::Truncate(_, path, _)
            | Self::Sync(_, path)
            | Self::SyncDir(path)
            | Self::Remove(path)
            | Self::RemoveDir(path)
            | Self::MakeDir(path) => (path, None),
            Self::Rename(from, to) | Self::Link(from, to) => (from, Some(to)),
        }
    }
}
