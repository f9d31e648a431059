//! Which texts are embedded together?
//!
//! A batch is padded to its longest text, and padding costs as much as text. So
//! texts of like length go together, and a batch ends where its padded size
//! would pass a budget, which bounds memory and how long a query may have to
//! wait for a batch that runs.

/// What bounds a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The most texts.
    pub(crate) texts: usize,
    /// The most tokens, padding included; one text may have more.
    pub(crate) tokens: usize,
}

/// Puts texts, known by their lengths in tokens, into batches of their numbers:
/// the longest first, equal ones in order.
pub(crate) fn batches(lengths: &[usize], limits: Limits) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&text| std::cmp::Reverse(lengths[text]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for text in order {
        if let Some(batch) = batches.last_mut() {
            let padded = lengths[batch[0]].max(1) * (batch.len() + 1);
            if batch.len() < limits.texts && padded <= limits.tokens {
                batch.push(text);
                continue;
            }
        }
        batches.push(vec![text]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        texts: 4,
        tokens: 100,
    };

    #[test]
    fn every_text_is_in_one_batch_and_no_batch_passes_its_limits() {
        let lengths: Vec<usize> = (0..500).map(|i| (i * 7919) % 130).collect();
        let batches = batches(&lengths, LIMITS);
        let mut seen: Vec<usize> = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
        for batch in batches {
            let longest = batch.iter().map(|&i| lengths[i]).max().expect("a text");
            assert!(batch.len() <= LIMITS.texts);
            assert!(batch.len() == 1 || longest * batch.len() <= LIMITS.tokens);
        }
    }

    #[test]
    fn the_longest_come_first_and_equal_ones_keep_their_order() {
        assert_eq!(
            batches(&[5, 90, 5, 200, 5], LIMITS),
            [vec![3], vec![1], vec![0, 2, 4]]
        );
        assert!(batches(&[], LIMITS).is_empty());
    }
}
