//! How far has a projection followed the log?

use cento_core::Sequence;
use serde::{Deserialize, Serialize};

use crate::log::Position;
use crate::manifest::Epoch;

/// The last write that a projection holds, and where replay goes on.
///
/// A commit has several records: while some of them are applied, `position`
/// stays before the commit and `sequence` tells which to skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// Which log was followed. Restoring and salvaging begin another one, and
    /// what followed the former is worth nothing then.
    pub(crate) epoch: Epoch,
    /// The last record applied.
    pub(crate) sequence: Sequence,
    /// A commit boundary with nothing unapplied before it. Compaction may have
    /// taken the segment away; then the sequence alone says where to go on.
    pub(crate) position: Position,
}
