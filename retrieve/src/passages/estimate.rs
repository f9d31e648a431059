//! What is a candidate likely to cost, before anything is counted as a whole?

use std::slice;

use cento_core::{ByteSpan, Passage, TokenBudget, TokenCount};
use rayon::prelude::*;

use super::{Layout, Slot};
use crate::RetrieveError;
use crate::pack::Cost;
use crate::render::{escape_text, render};

/// How much of the text before a gap is looked at to estimate what the
/// tokenizer merges across the seam (a full stop and the line break behind it
/// are often one token), in bytes: hardly a token is longer.
const SEAM_BYTES: usize = 24;

/// More bytes than a token has on average in any language, so that this many
/// times the budget is text enough to fill it.
const BYTES_A_TOKEN: usize = 6;

/// How many candidates are counted however small the budget is, so that the
/// rate for the others does not hang on one odd text.
const LEAST_COUNTED: usize = 16;

impl Layout<'_> {
    /// What each candidate is estimated to cost. Counting is all that takes
    /// time in making a context, so only as many are counted as could fill the
    /// budget; the others are estimated from their bytes, at the rate of those.
    pub(crate) fn costs(
        &self,
        budget: TokenBudget,
        count: impl Fn(&str) -> TokenCount + Sync,
    ) -> Result<Vec<Cost>, RetrieveError> {
        let counted = self.enough_for(budget);
        let mut costs: Vec<Cost> = (0..counted)
            .into_par_iter()
            .map(|slot| self.cost(slot, &count))
            .collect::<Result<_, _>>()?;
        let bytes = |text: &str| TokenCount(text.len());
        let mut all_bytes = 0;
        for slot in 0..counted {
            all_bytes += self.cost(slot, bytes)?.alone;
        }
        let all_tokens: usize = costs.iter().map(|cost| cost.alone).sum();
        let at_that_rate =
            |text: &str| TokenCount((text.len() * all_tokens).div_ceil(all_bytes.max(1)));
        for slot in counted..self.slots.len() {
            costs.push(self.cost(slot, at_that_rate)?);
        }
        Ok(costs)
    }

    /// How many candidates surely hold enough text for a budget.
    fn enough_for(&self, budget: TokenBudget) -> usize {
        let enough = budget.limit().0.saturating_mul(BYTES_A_TOKEN);
        let mut bytes = 0;
        let short = self.slots.iter().take_while(|slot| {
            let before = bytes;
            bytes += slot.chunk.text.len();
            before < enough
        });
        short.count().max(LEAST_COUNTED).min(self.slots.len())
    }

    /// A chunk's text is tokenised once, with the delimiters that it has as a
    /// passage of its own; what it costs without them is the difference to
    /// delimiters around nothing.
    fn cost(&self, slot: usize, count: impl Fn(&str) -> TokenCount) -> Result<Cost, RetrieveError> {
        let &Slot { previous, next, .. } = &self.slots[slot];
        // With the newline that divides it from the next passage.
        let framed = |passage: &Passage| count(&(render(slice::from_ref(passage)) + "\n")).0;
        let mut passage = self.passage(&[slot])?;
        let alone = framed(&passage);
        let joined = match previous {
            None => 0,
            Some(previous) => {
                let gap = ByteSpan {
                    start: self.span(previous).end,
                    end: self.span(slot).start,
                };
                let mut text = String::new();
                escape_text(&mut text, self.seam(previous));
                let seam = count(&text).0;
                escape_text(&mut text, self.quote(slot, gap)?);
                let gap = count(&text).0.saturating_sub(seam);
                passage.quote.clear();
                alone.saturating_sub(framed(&passage)) + gap
            }
        };
        Ok(Cost {
            alone,
            joined,
            previous,
            next,
        })
    }

    /// The end of a chunk's text.
    fn seam(&self, slot: usize) -> &str {
        let text = &self.slots[slot].chunk.text;
        let from = text.len().saturating_sub(SEAM_BYTES);
        &text[text.ceil_char_boundary(from)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passages::tests::{candidates, of_text, read};

    #[test]
    fn a_joined_chunk_is_estimated_by_what_it_adds() {
        let ranked = of_text(&[0, 1]);
        let layout = Layout::new(&ranked, read).expect("sound");
        let bytes = |text: &str| TokenCount(text.len());
        let budget = TokenBudget::new(1).expect("not zero");
        let costs = layout.costs(budget, bytes).expect("sound");
        assert_eq!(costs[1].joined, "\n\nOne.".len());
        let together = render(&[layout.passage(&[0, 1]).expect("sound")]) + "\n";
        assert_eq!(costs[0].alone + costs[1].joined, together.len());
    }

    #[test]
    fn what_could_never_be_reached_is_estimated_by_its_bytes() {
        let texts: Vec<String> = (0..40).map(|n| format!("{n:02} words and words")).collect();
        let documents: Vec<String> = (10..50).map(|n| format!("d{n}")).collect();
        let chunks: Vec<_> = (documents.iter().zip(&texts))
            .map(|(document, text)| (document.as_str(), 0, 0, text.as_str()))
            .collect();
        let ranked = candidates(&chunks);
        let layout = Layout::new(&ranked, read).expect("sound");
        let counted = std::sync::atomic::AtomicUsize::new(0);
        let half = |text: &str| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            TokenCount(text.len() / 2)
        };
        let budget = TokenBudget::new(60).expect("not zero");
        let costs = layout.costs(budget, half).expect("sound");
        assert_eq!(costs.len(), 40);
        assert!(counted.into_inner() < 25);
        let exact = costs[0].alone;
        assert!(costs.iter().all(|cost| cost.alone.abs_diff(exact) <= 1));
    }
}
