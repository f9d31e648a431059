//! How are candidates found and put in order, as the caller wants it?

use cento_core::Filter;
use cento_index::Effort;

use crate::{Fusion, Legs, Rerank};

/// How many chunks each leg returns unless a deeper ranking is asked for: fixed,
/// so that the ranking does not depend on how many answers are asked for.
pub const LEG_DEPTH: usize = 100;

/// Which candidates are wanted, and how they are put in order. The default asks both
/// legs about all documents.
#[derive(Debug, Clone, Copy)]
pub struct Ranking<'a> {
    /// Which documents may be found; all of them if absent.
    pub filter: Option<&'a Filter>,
    /// Which legs are asked.
    pub legs: Legs,
    /// How the legs' scores become one, if there are two.
    pub fusion: Fusion,
    /// How many chunks each leg returns; [`LEG_DEPTH`] unless there is a reason to
    /// look deeper.
    pub depth: usize,
    /// How hard the dense leg looks; see [`effort`](crate::effort()).
    pub effort: Effort,
    /// A model that looks at the best candidates again, if one is to.
    pub rerank: Option<Rerank<'a>>,
}

impl Default for Ranking<'_> {
    fn default() -> Self {
        Self {
            filter: None,
            legs: Legs::default(),
            fusion: Fusion::default(),
            depth: LEG_DEPTH,
            effort: Effort::default(),
            rerank: None,
        }
    }
}
