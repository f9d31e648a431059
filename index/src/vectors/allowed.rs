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
    /// What was known of others, few of which are not the same.
    before: HashMap<u64, Before>,
}

/// Rows that were allowed, and the chunks by which they were.
#[derive(Debug, Clone)]
struct Before {
    chunks: Arc<RoaringTreemap>,
    rows: Rows,
}

/// The rows of a part, as they are found by their chunks.
pub(crate) trait ByChunk {
    /// By this it is known among all parts.
    fn identity(&self) -> u64;

    /// How many there are.
    fn count(&self) -> usize;

    /// The chunks of the first and the last of them.
    fn span(&self) -> (ChunkNo, ChunkNo);

    /// All of them, in order of their chunks.
    fn by_chunk(&self) -> impl Iterator<Item = (ChunkNo, u32)>;

    /// The row of a chunk.
    fn row_of(&self, chunk: ChunkNo) -> Option<u32>;
}

/// Where one of so many rows has changed, going through all takes no longer.
const FEW: u64 = 32;

impl Allowed {
    /// These chunks, whatever their rows are.
    pub(crate) fn new(chunks: RoaringTreemap) -> Self {
        Self {
            chunks: Arc::new(chunks),
            ..Self::default()
        }
    }

    /// These chunks, most of which were allowed before: what was found out then
    /// needs not be found out anew.
    pub(crate) fn after(former: &Self, chunks: RoaringTreemap) -> Self {
        let mut before = former.before.clone();
        let known = former.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.iter().map(|(&identity, rows)| {
            let (chunks, rows) = (Arc::clone(&former.chunks), rows.clone());
            (identity, Before { chunks, rows })
        });
        before.extend(known);
        Self {
            before,
            ..Self::new(chunks)
        }
    }

    /// Forgets what was known of other parts than these.
    pub(crate) fn keep(&mut self, is_kept: impl Fn(u64) -> bool) {
        self.before.retain(|&identity, _| is_kept(identity));
    }

    /// Which rows of a part they are.
    pub(crate) fn rows(&self, part: &impl ByChunk) -> Rows {
        let identity = part.identity();
        let known = {
            let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows.get(&identity).cloned()
        };
        if let Some(rows) = known {
            return rows;
        }
        let before = self.before.get(&identity);
        let rows = before.and_then(|before| self.changed(before, part));
        let rows = rows.unwrap_or_else(|| self.all_found(part));
        let mut known = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(identity, rows.clone());
        rows
    }

    /// The rows of before, with what has changed since; `None` if that is much.
    fn changed(&self, before: &Before, part: &impl ByChunk) -> Option<Rows> {
        let (first, last) = part.span();
        let changes = &*before.chunks ^ &*self.chunks;
        let many = changes.range_cardinality(first.0..=last.0);
        if many == 0 {
            return Some(before.rows.clone());
        }
        if many > part.count() as u64 / FEW {
            return None;
        }
        let mut mask = match &before.rows {
            Rows::All => Mask::full(part.count()),
            Rows::None => Mask::of(part.count(), []),
            Rows::Some(mask) => Mask::clone(mask),
        };
        let changed = iter_from(&changes, first.0).take_while(|&chunk| chunk <= last.0);
        for chunk in changed {
            if let Some(row) = part.row_of(ChunkNo(chunk)) {
                mask.set(row, self.chunks.contains(chunk));
            }
        }
        Some(Rows::of(mask, part.count()))
    }

    /// The rows by going through all of them.
    fn all_found(&self, part: &impl ByChunk) -> Rows {
        // Both are in order: one pass over each.
        let mut allowed = iter_from(&self.chunks, part.span().0.0).peekable();
        let mut found = Vec::new();
        for (chunk, row) in part.by_chunk() {
            while allowed.next_if(|&next| next < chunk.0).is_some() {}
            match allowed.peek() {
                Some(&next) if next == chunk.0 => found.push(row),
                Some(_) => {}
                None => break,
            }
        }
        Rows::of(Mask::of(part.count(), found), part.count())
    }
}

impl Rows {
    fn of(mask: Mask, all: usize) -> Self {
        match mask.count() {
            0 => Self::None,
            count if count == all => Self::All,
            _ => Self::Some(Arc::new(mask)),
        }
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

    /// A hundred rows, the last one first, every third chunk from one on.
    struct Part(u64, u64);

    impl ByChunk for Part {
        fn identity(&self) -> u64 {
            self.0
        }

        fn count(&self) -> usize {
            100
        }

        fn span(&self) -> (ChunkNo, ChunkNo) {
            (ChunkNo(self.1), ChunkNo(self.1 + 297))
        }

        fn by_chunk(&self) -> impl Iterator<Item = (ChunkNo, u32)> {
            (0..100_u32).map(|row| (ChunkNo(self.1 + 3 * u64::from(row)), 99 - row))
        }

        fn row_of(&self, chunk: ChunkNo) -> Option<u32> {
            let found = self.by_chunk().find(|(own, _)| *own == chunk);
            found.map(|(_, row)| row)
        }
    }

    fn expected(part: &Part, chunks: &RoaringTreemap) -> Vec<u32> {
        let found = part
            .by_chunk()
            .filter(|(chunk, _)| chunks.contains(chunk.0));
        let mut found: Vec<u32> = found.map(|(_, row)| row).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn rows_are_those_whose_chunks_are_allowed() {
        let part = Part(1, 900);
        let allowed = Allowed::new((1000..1100).filter(|chunk| chunk % 2 == 0).collect());
        let Rows::Some(mask) = allowed.rows(&part) else {
            panic!("some of them");
        };
        assert_eq!(
            mask.rows().collect::<Vec<_>>(),
            expected(&part, &allowed.chunks)
        );
        // What is known is not asked again.
        let again = allowed.rows(&Part(1, 0));
        assert!(matches!(again, Rows::Some(same) if Arc::ptr_eq(&same, &mask)));
        assert!(matches!(allowed.rows(&Part(2, 5000)), Rows::None));
        let all = Allowed::new((0..5000).collect());
        assert!(matches!(all.rows(&part), Rows::All));
    }

    #[test]
    fn what_changes_is_changed_in_what_was_known() {
        let part = Part(1, 900);
        let chunks: RoaringTreemap = (0..2000).collect();
        let mut former = Allowed::new(chunks.clone());
        assert!(matches!(former.rows(&part), Rows::All));
        for gone in [
            vec![],
            vec![903],
            vec![960, 1197],
            vec![904, 2100],
            (900..1200).collect(),
        ] {
            let mut chunks = chunks.clone();
            for chunk in &gone {
                chunks.remove(*chunk);
            }
            let allowed = Allowed::after(&former, chunks);
            // Known of the one before, or of one before that.
            let later = Allowed::after(&allowed, (*allowed.chunks).clone());
            for allowed in [&allowed, &later] {
                let rows: Vec<u32> = match allowed.rows(&part) {
                    Rows::All => (0..100).collect(),
                    Rows::None => vec![],
                    Rows::Some(mask) => mask.rows().collect(),
                };
                assert_eq!(rows, expected(&part, &allowed.chunks), "without {gone:?}");
            }
            former = allowed;
            former.keep(|identity| identity == 1);
        }
        former.keep(|_| false);
        assert!(former.before.is_empty());
    }
}
