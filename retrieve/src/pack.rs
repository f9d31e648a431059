//! Which candidates go into the budget?
//!
//! The budget is on the whole rendered string, and token counts are not
//! additive: the cost of a candidate depends on its neighbours (beside one
//! that is taken it needs no delimiters of its own) and, by a token here and
//! there, on what the tokenizer merges across seams. Counting the whole string
//! for every candidate would be exact and quadratic. So:
//!
//! 1. **Fill by estimate.** Candidates are taken in order while the sum of
//!    their estimated costs fits; what does not fit is skipped, never the end.
//! 2. **Count exactly, and trim.** While the whole string is over the budget,
//!    the last taken go.
//! 3. **Fill up.** What was skipped and would fit what is really left is taken,
//!    each addition verified by an exact count of the whole string.
//!
//! A count that refutes an estimate widens the slack for all later ones, to
//! twice what it was at least, so that the number of wasted counts grows with
//! the logarithm of the budget and not with the number of candidates.
//!
//! Nothing here knows what a passage looks like: it is arithmetic on costs and
//! one function that renders and counts a selection.

use cento_core::{TokenBudget, TokenCount};

/// What a candidate is estimated to cost, in tokens. Candidates are known by
/// their place in the order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// As a passage of its own.
    pub(crate) alone: usize,
    /// Behind the one before it in its document, if that is a candidate.
    pub(crate) joined: usize,
    /// The candidate before it in its document, if they are adjacent.
    pub(crate) previous: Option<usize>,
    /// The candidate behind it in its document, if they are adjacent.
    pub(crate) next: Option<usize>,
}

/// A selection as a string, and its exact number of tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    pub(crate) tokens: TokenCount,
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stands in the context, and added about so many tokens.
    Taken {
        /// By the estimate at the moment it was taken, or by the difference of
        /// two exact counts.
        tokens: usize,
    },
    /// It would not fit beside what is taken: `needs > left`.
    Skipped {
        /// About how many tokens it would add to the final selection.
        needs: usize,
        /// How many the final selection leaves.
        left: usize,
    },
}

/// A selection that holds its budget.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) rendered: Rendered,
    /// One a candidate.
    pub(crate) fates: Vec<Fate>,
}

impl Packed {
    /// For each candidate, whether it is taken.
    pub(crate) fn taken(&self) -> Vec<bool> {
        let is_taken = |fate: &Fate| matches!(fate, Fate::Taken { .. });
        self.fates.iter().map(is_taken).collect()
    }
}

/// Selects candidates, given in order of preference. `exact` renders and
/// counts a selection; it is asked only about selections that are not empty,
/// because the empty one is the empty string.
pub(crate) fn pack<E>(
    costs: &[Cost],
    budget: TokenBudget,
    mut exact: impl FnMut(&[bool]) -> Result<Rendered, E>,
) -> Result<Packed, E> {
    let limit = signed(budget.limit().0);
    let mut selection = Selection::new(costs);
    selection.fill_by_estimate(limit);

    let mut rendered = Rendered::default();
    while !selection.order.is_empty() {
        rendered = exact(&selection.taken)?;
        if budget.holds(rendered.tokens) {
            break;
        }
        // By how much the estimate is wrong it will stay wrong: aim at a sum
        // that is that much smaller than the budget.
        selection.drop_last_until(scaled(limit, selection.estimate, rendered.tokens));
        rendered = Rendered::default();
    }

    let mut slack = 0;
    loop {
        let mut added = false;
        for candidate in 0..costs.len() {
            if selection.taken[candidate] {
                continue;
            }
            let before = signed(rendered.tokens.0);
            let estimate = selection.marginal(candidate);
            if estimate + slack > limit - before {
                continue;
            }
            selection.taken[candidate] = true;
            let trial = exact(&selection.taken)?;
            let cost = signed(trial.tokens.0) - before;
            if budget.holds(trial.tokens) {
                selection.paid[candidate] = cost;
                rendered = trial;
                added = true;
            } else {
                selection.taken[candidate] = false;
                slack = (cost - estimate).max(2 * slack);
            }
        }
        // An addition can make room cheaper for what was passed over before
        // it, as a neighbour; so go round until nothing changes.
        if !added {
            break;
        }
    }
    let left = limit - signed(rendered.tokens.0);
    Ok(Packed {
        fates: (0..costs.len())
            .map(|candidate| {
                if selection.taken[candidate] {
                    Fate::Taken {
                        tokens: unsigned(selection.paid[candidate]),
                    }
                } else {
                    Fate::Skipped {
                        needs: unsigned(selection.marginal(candidate) + slack),
                        left: unsigned(left),
                    }
                }
            })
            .collect(),
        rendered,
    })
}

/// Which candidates are taken, and what that is estimated to cost.
struct Selection<'a> {
    costs: &'a [Cost],
    taken: Vec<bool>,
    /// What each taken candidate added.
    paid: Vec<i64>,
    /// The candidates taken by estimate, in the order of taking.
    order: Vec<usize>,
    /// The estimated cost of all of them.
    estimate: i64,
}

impl<'a> Selection<'a> {
    fn new(costs: &'a [Cost]) -> Self {
        Self {
            costs,
            taken: vec![false; costs.len()],
            paid: vec![0; costs.len()],
            order: vec![],
            estimate: 0,
        }
    }

    /// The estimated cost of a candidate that is not taken, beside those that
    /// are. It is negative where it joins two passages and saves more in
    /// delimiters than its text costs.
    fn marginal(&self, candidate: usize) -> i64 {
        let is_taken = |neighbour: &usize| self.taken[*neighbour];
        let cost = self.costs[candidate];
        let own = match cost.previous.filter(is_taken) {
            Some(_) => signed(cost.joined),
            None => signed(cost.alone),
        };
        // The one behind it gives up its delimiters.
        let saved = cost.next.filter(is_taken).map_or(0, |next| {
            signed(self.costs[next].alone) - signed(self.costs[next].joined)
        });
        own - saved
    }

    fn fill_by_estimate(&mut self, limit: i64) {
        for candidate in 0..self.costs.len() {
            let marginal = self.marginal(candidate);
            if marginal <= limit - self.estimate {
                self.taken[candidate] = true;
                self.paid[candidate] = marginal;
                self.order.push(candidate);
                self.estimate += marginal;
            }
        }
    }

    /// Drops the last taken, and more until the estimate is at most `aim`.
    fn drop_last_until(&mut self, aim: i64) {
        while let Some(last) = self.order.pop() {
            self.taken[last] = false;
            self.estimate -= self.marginal(last);
            if self.estimate <= aim {
                break;
            }
        }
    }
}

/// `limit · estimate ÷ exact`: the estimate of what would fill the limit.
fn scaled(limit: i64, estimate: i64, exact: TokenCount) -> i64 {
    let exact = i128::from(signed(exact.0).max(1));
    i64::try_from(i128::from(limit) * i128::from(estimate) / exact).unwrap_or(limit)
}

/// Signed, because a candidate that joins two passages can cost less than
/// nothing.
fn signed(tokens: usize) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

fn unsigned(tokens: i64) -> usize {
    usize::try_from(tokens).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn lone(tokens: usize) -> Cost {
        Cost {
            alone: tokens,
            joined: 0,
            previous: None,
            next: None,
        }
    }

    /// Packs where the exact count is the sum of given true costs.
    fn pack_lone(estimates: &[usize], truth: &[usize], budget: usize) -> (Packed, usize) {
        let costs: Vec<Cost> = estimates.iter().copied().map(lone).collect();
        let mut counts = 0;
        let packed = pack(
            &costs,
            TokenBudget::new(budget).expect("not zero"),
            |taken| {
                counts += 1;
                let sum = (taken.iter().zip(truth))
                    .filter_map(|(taken, cost)| taken.then_some(cost))
                    .sum();
                Ok::<_, Infallible>(Rendered {
                    text: String::new(),
                    tokens: TokenCount(sum),
                })
            },
        );
        (packed.expect("infallible"), counts)
    }

    fn taken(packed: &Packed) -> Vec<usize> {
        (packed.taken().iter().enumerate())
            .filter_map(|(i, taken)| taken.then_some(i))
            .collect()
    }

    #[test]
    fn what_does_not_fit_is_skipped_and_the_next_is_tried() {
        let costs = [40, 70, 30, 60, 20];
        let (packed, counts) = pack_lone(&costs, &costs, 100);
        assert_eq!(taken(&packed), [0, 2, 4]);
        assert_eq!(packed.rendered.tokens, TokenCount(90));
        assert_eq!(
            packed.fates[1],
            Fate::Skipped {
                needs: 70,
                left: 10
            }
        );
        assert_eq!(counts, 1, "true estimates need one count");
    }

    #[test]
    fn a_budget_too_small_for_anything_gives_the_empty_context() {
        let (packed, counts) = pack_lone(&[5, 6], &[5, 6], 4);
        assert!(taken(&packed).is_empty());
        assert_eq!(packed.rendered.tokens, TokenCount(0));
        assert_eq!(packed.fates[0], Fate::Skipped { needs: 5, left: 4 });
        assert_eq!(counts, 0);
    }

    #[test]
    fn estimates_that_are_too_low_never_break_the_budget() {
        let (packed, _) = pack_lone(&[10, 10, 10, 10], &[13, 13, 13, 13], 40);
        assert_eq!(taken(&packed), [0, 1, 2]);
        assert_eq!(packed.rendered.tokens, TokenCount(39));
    }

    #[test]
    fn room_that_estimates_did_not_see_is_filled_up() {
        let (packed, _) = pack_lone(&[50, 50, 20], &[30, 30, 20], 100);
        assert_eq!(taken(&packed), [0, 1, 2]);
        assert_eq!(packed.rendered.tokens, TokenCount(80));
    }

    #[test]
    fn refuted_estimates_cost_few_counts() {
        let estimates = vec![10; 200];
        let truth = vec![17; 200];
        let (packed, counts) = pack_lone(&estimates, &truth, 1000);
        assert_eq!(taken(&packed).len(), 1000 / 17);
        assert!(counts < 12, "{counts}");
    }

    #[test]
    fn a_neighbour_costs_no_delimiters_of_its_own() {
        // Three adjacent chunks, the middle one ranked last: 30 alone, 10 of it
        // delimiters. Together they cost 70 and not 90.
        let costs = [
            Cost {
                alone: 30,
                joined: 20,
                previous: None,
                next: Some(2),
            },
            Cost {
                alone: 30,
                joined: 20,
                previous: Some(2),
                next: None,
            },
            Cost {
                alone: 30,
                joined: 20,
                previous: Some(0),
                next: Some(1),
            },
        ];
        let sum = |taken: &[bool]| match taken {
            [true, true, true] => 70,
            _ => 30 * taken.iter().filter(|taken| **taken).count(),
        };
        let packed = pack(&costs, TokenBudget::new(70).expect("not zero"), |taken| {
            Ok::<_, Infallible>(Rendered {
                text: String::new(),
                tokens: TokenCount(sum(taken)),
            })
        });
        let packed = packed.expect("infallible");
        assert_eq!(packed.rendered.tokens, TokenCount(70));
        assert_eq!(packed.fates[2], Fate::Taken { tokens: 10 });
    }

    proptest! {
        #[test]
        fn no_estimate_however_wrong_breaks_the_budget_or_hides_what_fits(
            costs in prop::collection::vec((0usize..300, 0usize..300), 0..60),
            budget in 1usize..5_000,
        ) {
            let (estimates, truth): (Vec<_>, Vec<_>) = costs.into_iter().unzip();
            let (packed, _) = pack_lone(&estimates, &truth, budget);
            prop_assert!(packed.rendered.tokens.0 <= budget);
            let sum: usize = taken(&packed).iter().map(|&i| truth[i]).sum();
            prop_assert_eq!(packed.rendered.tokens.0, sum);
            for fate in &packed.fates {
                if let Fate::Skipped { needs, left } = fate {
                    prop_assert_eq!(*left, budget - sum);
                    prop_assert!(needs > left);
                }
            }
        }
    }
}
