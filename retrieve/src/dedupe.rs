//! Which candidates only repeat a better one?

use std::collections::HashMap;

use cento_core::TextHash;

/// For each text, in order of rank, the place of the first equal text before
/// it, if there is one.
///
/// Duplicates collapse before anything is cut off or packed, so that the
/// places they would have taken go to texts that say something new.
pub(crate) fn duplicates(ranked: impl IntoIterator<Item = TextHash>) -> Vec<Option<usize>> {
    let mut first = HashMap::new();
    ranked
        .into_iter()
        .enumerate()
        .map(|(place, hash)| {
            let best = *first.entry(hash).or_insert(place);
            (best != place).then_some(best)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_ranked_of_equal_texts_stays() {
        let texts = ["a", "b", "a", "c", "b", "a"].map(TextHash::of);
        assert_eq!(
            duplicates(texts),
            [None, None, Some(0), None, Some(1), Some(0)]
        );
    }

    #[test]
    fn texts_that_differ_in_one_byte_all_stay() {
        let texts = ["a", "a ", "A", "a\n"].map(TextHash::of);
        assert_eq!(duplicates(texts), [None; 4]);
    }
}
