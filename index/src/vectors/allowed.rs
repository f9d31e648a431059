//! Which chunks may a query find, and which rows of a part are they?
//!
//! A filter is evaluated to numbers of chunks once and kept. So is what these
//! are in each segment, as one bit a row: a walk asks at every step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cento_core::ChunkNo;
use roaring::RoaringTreemap;

use super::mask::Mask;

/// The rows of one part that may be found.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    All,
    None,
    Some(Arc<Mask>),
}

/// Chunks that may be found.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    pub(crate) chunks: Arc<RoaringTreemap>,
    /// By the identity of a segment or block.
    rows: Mutex<HashMap<u64, Rows>>,
}

impl Allowed {
    /// These chunks, whatever their rows are.
    pub(crate) fn new(chunks: RoaringTreemap) -> Self {
        Self {
            chunks: Arc::new(chunks),
            rows: Mutex::default(),
        }
    }

    /// Which rows of a part they are. `by_chunk` are its rows in order of their
    /// chunks, `count` of them.
    pub(crate) fn rows<I>(&self, identity: u64, count: usize, by_chunk: impl FnOnce() -> I) -> Rows
    where
        I: Iterator<Item = (ChunkNo, u32)>,
    {
        let known = {
            let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows.get(&identity).cloned()
        };
        if let Some(rows) = known {
            return rows;
        }
        // Both are in order: one pass over each.
        let mut allowed = self.chunks.iter().peekable();
        let mut found = Vec::new();
        let mut is_begun = false;
        for (chunk, row) in by_chunk() {
            if !is_begun {
                allowed = iter_from(&self.chunks, chunk.0).peekable();
                is_begun = true;
            }
            while allowed.next_if(|&next| next < chunk.0).is_some() {}
            match allowed.peek() {
                Some(&next) if next == chunk.0 => found.push(row),
                Some(_) => {}
                None => break,
            }
        }
        let rows = match found.len() {
            0 => Rows::None,
            all if all == count => Rows::All,
            _ => Rows::Some(Arc::new(Mask::of(count, found))),
        };
        let mut known = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(identity, rows.clone());
        rows
    }
}

fn iter_from(chunks: &RoaringTreemap, first: u64) -> roaring::treemap::Iter<'_> {
    let mut iter = chunks.iter();
    iter.advance_to(first);
    iter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_whose_chunks_are_allowed() {
        let by_chunk =
            |from: u64| (0..100_u32).map(move |row| (ChunkNo(from + 3 * u64::from(row)), 99 - row));
        let allowed = Allowed::new((1000..1100).filter(|chunk| chunk % 2 == 0).collect());
        let Rows::Some(mask) = allowed.rows(1, 100, || by_chunk(900)) else {
            panic!("some of them");
        };
        let expected = by_chunk(900).filter(|(chunk, _)| allowed.chunks.contains(chunk.0));
        let mut expected: Vec<u32> = expected.map(|(_, row)| row).collect();
        expected.sort_unstable();
        assert_eq!(mask.rows().collect::<Vec<_>>(), expected);
        // What is known is not asked again.
        let again = allowed.rows(1, 100, || -> std::vec::IntoIter<_> {
            panic!("asked again")
        });
        assert!(matches!(again, Rows::Some(same) if Arc::ptr_eq(&same, &mask)));
        assert!(matches!(
            allowed.rows(2, 100, || by_chunk(5000)),
            Rows::None
        ));
        let all = Allowed::new((0..5000).collect());
        assert!(matches!(all.rows(3, 100, || by_chunk(900)), Rows::All));
    }
}
