//! Which rows of a segment may be found?

/// A set of rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mask {
    words: Vec<u64>,
    /// How many are in it.
    count: usize,
}

impl Mask {
    /// The set of the rows named, of so many that there are.
    pub(crate) fn of(rows: usize, named: impl IntoIterator<Item = u32>) -> Self {
        let mut words = vec![0_u64; rows.div_ceil(64)];
        for row in named {
            words[row as usize / 64] |= 1 << (row % 64);
        }
        let count = words.iter().map(|word| word.count_ones() as usize).sum();
        Self { words, count }
    }

    /// The set of all rows, of so many that there are.
    pub(crate) fn full(rows: usize) -> Self {
        let mut words = vec![u64::MAX; rows.div_ceil(64)];
        if let (Some(last), 1..) = (words.last_mut(), rows % 64) {
            *last = (1 << (rows % 64)) - 1;
        }
        Self { words, count: rows }
    }

    /// Takes a row in, or leaves it out.
    pub(crate) fn set(&mut self, row: u32, is_in: bool) {
        let bit = 1 << (row % 64);
        let word = &mut self.words[row as usize / 64];
        if (*word & bit != 0) != is_in {
            *word ^= bit;
            self.count = if is_in {
                self.count + 1
            } else {
                self.count - 1
            };
        }
    }

    /// Whether a row is in it.
    #[inline]
    pub(crate) fn has(&self, row: u32) -> bool {
        let word = self.words.get(row as usize / 64);
        word.is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// How many are in it.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Its rows, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> {
        (0_u32..).zip(&self.words).flat_map(|(at, &word)| {
            std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)))
                .take_while(|&word| word != 0)
                .map(move |word| at * 64 + word.trailing_zeros())
        })
    }

    /// About so many of its rows, from all over it.
    pub(crate) fn spread(&self, many: usize) -> impl Iterator<Item = u32> {
        let words = self.words.len();
        let step = (words / many).max(1);
        let first_after = move |from: usize| {
            let until = (from + step).min(words);
            let at = (from..until).find(|&at| self.words[at] != 0)?;
            Some(at as u32 * 64 + self.words[at].trailing_zeros())
        };
        (0..words).step_by(step).filter_map(first_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_holds_what_was_named() {
        let named: Vec<u32> = (0..1000)
            .filter(|row| row % 7 == 3 || row % 64 == 63)
            .collect();
        let mask = Mask::of(1000, named.iter().copied());
        assert_eq!(mask.count(), named.len());
        assert_eq!(mask.rows().collect::<Vec<_>>(), named);
        assert!((0..2000).all(|row| mask.has(row) == named.contains(&row)));
        assert_eq!(Mask::of(0, []).rows().count(), 0);
    }

    #[test]
    fn rows_come_and_go() {
        for rows in [0, 1, 63, 64, 65, 1000] {
            let mut mask = Mask::full(rows);
            assert_eq!(mask, Mask::of(rows, 0..rows as u32));
            for row in (0..rows as u32).step_by(3) {
                mask.set(row, false);
                mask.set(row, false);
            }
            let left = (0..rows as u32).filter(|row| row % 3 != 0);
            assert_eq!(mask, Mask::of(rows, left));
            for row in 0..rows as u32 {
                mask.set(row, true);
            }
            assert_eq!(mask, Mask::full(rows));
        }
    }

    #[test]
    fn rows_from_all_over_are_rows_of_it() {
        for step in [1, 3, 64, 333] {
            let named: Vec<u32> = (0..10_000).step_by(step).collect();
            let mask = Mask::of(10_000, named.iter().copied());
            let spread: Vec<u32> = mask.spread(16).collect();
            assert!(spread.iter().all(|row| named.contains(row)), "{spread:?}");
            assert!(!spread.is_empty() && spread.len() <= 40);
            assert!(spread.last() > Some(&8000));
        }
        let one = Mask::of(10_000, [7777]);
        assert_eq!(one.spread(16).collect::<Vec<_>>(), [7777]);
    }
}
