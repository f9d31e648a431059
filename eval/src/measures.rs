//! How good is a ranking, in the measures that trec_eval made common?
//!
//! Every figure is what trec_eval 9 computes for the same ranking and
//! judgements; `tests/conformance` compares them query by query.
//!
//! | name | trec_eval | of one query |
//! |---|---|---|
//! | `nDCG@k` | `ndcg_cut_k` | Σ grade ÷ log2(rank + 1) over the first k, divided by the same sum of the best order there is |
//! | `MAP` | `map` | mean over all relevant documents of the precision at their ranks; 0 for those not found |
//! | `MRR@k` | `recip_rank` of the run cut at k | 1 ÷ rank of the first relevant document among the first k |
//! | `recall@k` | `recall_k` | share of the relevant documents among the first k |
//! | `precision@k` | `P_k` | share of the first k places that hold a relevant document; missing places count |
//!
//! `nDCG`, `MAP` and `MRR` may stand with or without a cutoff. A document is
//! relevant from grade 1; grades of 0 and below, and documents without a
//! judgement, gain nothing. A query without a relevant document scores 0.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::EvalError;

/// What is measured, without the depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Ndcg,
    Map,
    Mrr,
    Recall,
    Precision,
}

impl Kind {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Ndcg, "nDCG"),
        (Self::Map, "MAP"),
        (Self::Mrr, "MRR"),
        (Self::Recall, "recall"),
        (Self::Precision, "precision"),
    ];

    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(kind, _)| *kind == self);
        found.map_or("", |(_, name)| name)
    }

    /// Shares of a list mean nothing without the length of the list.
    fn needs_cutoff(self) -> bool {
        matches!(self, Self::Recall | Self::Precision)
    }
}

/// A measure of a ranking, such as `nDCG@10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Measure {
    kind: Kind,
    /// How many documents from the top count; all of them if absent.
    cutoff: Option<usize>,
}

impl Measure {
    /// What is measured unless something else is asked for.
    pub const DEFAULT: [Self; 5] = [
        Self::new(Kind::Ndcg, Some(10)),
        Self::new(Kind::Map, None),
        Self::new(Kind::Mrr, Some(10)),
        Self::new(Kind::Recall, Some(100)),
        Self::new(Kind::Precision, Some(10)),
    ];

    /// How a measure is written, for errors and help.
    pub const KNOWN: &'static str = "nDCG, nDCG@K, MAP, MAP@K, MRR, MRR@K, recall@K, precision@K";

    const fn new(kind: Kind, cutoff: Option<usize>) -> Self {
        Self { kind, cutoff }
    }

    /// The figure of one query: `ranked` holds the grades of what was found,
    /// best first, with 0 for documents without a judgement.
    pub fn of(self, ranked: &[i64], ideal: &Ideal) -> f64 {
        let relevant = ideal.relevant();
        if relevant == 0 {
            return 0.0;
        }
        let cut = &ranked[..self.cutoff.unwrap_or(ranked.len()).min(ranked.len())];
        let is_relevant = |grade: &i64| *grade >= RELEVANT;
        let found = || cut.iter().filter(|grade| is_relevant(grade)).count();
        match self.kind {
            Kind::Ndcg => {
                let best = discounted(&ideal.grades, self.cutoff);
                discounted(cut, None) / best
            }
            Kind::Map => {
                let mut found = 0_usize;
                let mut sum = 0.0;
                for (place, grade) in cut.iter().enumerate() {
                    if is_relevant(grade) {
                        found += 1;
                        sum += ratio(found, place + 1);
                    }
                }
                sum / ratio(relevant, 1)
            }
            Kind::Mrr => {
                let first = cut.iter().position(is_relevant);
                first.map_or(0.0, |place| ratio(1, place + 1))
            }
            Kind::Recall => ratio(found(), relevant),
            Kind::Precision => ratio(found(), self.cutoff.unwrap_or(cut.len()).max(1)),
        }
    }
}

/// From this grade on a document is relevant, as trec_eval has it unless told
/// otherwise.
const RELEVANT: i64 = 1;

/// The best order that the judgements of a query allow: its positive grades,
/// greatest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ideal {
    grades: Vec<i64>,
}

impl Ideal {
    /// From all grades of a query, in any order.
    pub fn of(grades: impl IntoIterator<Item = i64>) -> Self {
        let mut grades: Vec<i64> = (grades.into_iter())
            .filter(|&grade| grade >= RELEVANT)
            .collect();
        grades.sort_unstable_by(|a, b| b.cmp(a));
        Self { grades }
    }

    /// How many relevant documents there are.
    pub fn relevant(&self) -> usize {
        self.grades.len()
    }
}

/// Σ grade ÷ log2(rank + 1) over positive grades.
#[expect(
    clippy::cast_precision_loss,
    reason = "grades and ranks are far below 2^53; trec_eval computes in doubles too"
)]
fn discounted(grades: &[i64], cutoff: Option<usize>) -> f64 {
    (grades.iter().take(cutoff.unwrap_or(usize::MAX)))
        .enumerate()
        .filter(|(_, grade)| **grade > 0)
        .map(|(place, &grade)| grade as f64 / (place as f64 + 2.0).log2())
        // `sum` of nothing is -0, which reads oddly.
        .fold(0.0, |sum, gain| sum + gain)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match self.cutoff {
            Some(cutoff) => write!(f, "@{cutoff}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Measure {
    type Err = EvalError;

    /// Upper and lower case are alike; a cutoff is a whole number from 1.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || EvalError::UnknownMeasure {
            name: text.to_owned(),
            known: Self::KNOWN,
        };
        let (name, cutoff) = match text.split_once('@') {
            Some((name, depth)) => {
                let is_plain = depth.bytes().all(|byte| byte.is_ascii_digit());
                let depth = depth.parse().ok().filter(|&depth: &usize| depth > 0);
                (name, Some(depth.filter(|_| is_plain).ok_or_else(unknown)?))
            }
            None => (text, None),
        };
        let found = (Kind::ALL.iter()).find(|(_, known)| known.eq_ignore_ascii_case(name));
        let (kind, _) = *found.ok_or_else(unknown)?;
        if cutoff.is_none() && kind.needs_cutoff() {
            return Err(unknown());
        }
        Ok(Self { kind, cutoff })
    }
}

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn figure(measure: &str, ranked: &[i64], judged: &[i64]) -> f64 {
        let measure: Measure = measure.parse().expect("a measure");
        measure.of(ranked, &Ideal::of(judged.iter().copied()))
    }

    #[test]
    fn the_worked_example_of_the_literature_comes_out() {
        // Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
        // techniques", TOIS 2002: G' = <3, 2, 3, 0, 0, 1, 2, 2, 3, 0>; here
        // with the discount log2(rank + 1), as trec_eval has it.
        let ranked = [3, 2, 3, 0, 0, 1, 2, 2, 3, 0];
        let log = |rank: f64| (rank + 1.0).log2();
        let dcg = 3.0 / log(1.0)
            + 2.0 / log(2.0)
            + 3.0 / log(3.0)
            + 1.0 / log(6.0)
            + 2.0 / log(7.0)
            + 2.0 / log(8.0)
            + 3.0 / log(9.0);
        let best = 3.0 / log(1.0)
            + 3.0 / log(2.0)
            + 3.0 / log(3.0)
            + 2.0 / log(4.0)
            + 2.0 / log(5.0)
            + 2.0 / log(6.0)
            + 1.0 / log(7.0);
        assert!((figure("nDCG@10", &ranked, &ranked) - dcg / best).abs() < 1e-12);
        // Relevant at ranks 1, 2, 3, 6, 7, 8, 9 of seven.
        let ap = (1.0 + 1.0 + 1.0 + 4.0 / 6.0 + 5.0 / 7.0 + 6.0 / 8.0 + 7.0 / 9.0) / 7.0;
        assert!((figure("MAP", &ranked, &ranked) - ap).abs() < 1e-12);
        assert_eq!(figure("precision@5", &ranked, &ranked), 0.6);
        assert_eq!(figure("recall@5", &ranked, &ranked), 3.0 / 7.0);
    }

    #[test]
    fn a_cutoff_past_the_end_counts_missing_places_for_precision_only() {
        let (ranked, judged) = ([0, 1], [1, 1]);
        assert_eq!(figure("precision@10", &ranked, &judged), 0.1);
        assert_eq!(figure("recall@10", &ranked, &judged), 0.5);
        assert_eq!(figure("MRR@10", &ranked, &judged), 0.5);
        assert_eq!(figure("MRR@1", &ranked, &judged), 0.0);
        assert_eq!(figure("MAP@10", &ranked, &judged), 0.25);
    }

    #[test]
    fn nothing_relevant_or_nothing_found_is_0() {
        for measure in Measure::DEFAULT {
            assert_eq!(measure.of(&[0, -1], &Ideal::of([0, -1])), 0.0);
            assert_eq!(measure.of(&[], &Ideal::of([1])), 0.0);
        }
    }

    #[test]
    fn grades_below_one_gain_nothing() {
        assert_eq!(
            figure("nDCG", &[-2, 2, 0], &[-2, 2, 0]),
            1.0 / 3.0_f64.log2()
        );
    }

    #[test]
    fn a_measure_is_known_by_its_name() {
        let names = Measure::DEFAULT.map(|measure| measure.to_string());
        assert_eq!(
            names,
            ["nDCG@10", "MAP", "MRR@10", "recall@100", "precision@10"]
        );
        for measure in Measure::DEFAULT {
            assert_eq!(measure.to_string().parse::<Measure>().ok(), Some(measure));
        }
        let lower: Measure = "ndcg@5".parse().expect("any case");
        assert_eq!(lower.to_string(), "nDCG@5");
        for wrong in [
            "", "@", "F1", "nDCG@", "nDCG@0", "nDCG@-1", "nDCG@+3", "recall", "MAP@ 3",
        ] {
            let error = wrong.parse::<Measure>().expect_err(wrong);
            assert!(error.to_string().contains("recall@K"), "{error}");
        }
    }

    /// Each measure again, written from its definition without a shortcut.
    fn slowly(kind: &str, k: usize, ranked: &[i64], judged: &[i64]) -> f64 {
        let relevant = judged.iter().filter(|grade| **grade > 0).count() as f64;
        let at = |rank: usize| ranked.get(rank - 1).copied().unwrap_or(0).max(0);
        let hits = |to: usize| (1..=to).filter(|&rank| at(rank) > 0).count() as f64;
        if relevant == 0.0 {
            return 0.0;
        }
        match kind {
            "recall" => hits(k) / relevant,
            "precision" => hits(k) / k as f64,
            "MRR" => (1..=k)
                .filter(|&rank| at(rank) > 0)
                .map(|rank| 1.0 / rank as f64)
                .fold(0.0, f64::max),
            "MAP" => {
                let precisions = (1..=k)
                    .filter(|&rank| at(rank) > 0)
                    .map(|rank| hits(rank) / rank as f64);
                precisions.sum::<f64>() / relevant
            }
            _ => {
                let gain = |grades: &[i64]| -> f64 {
                    (1..=k.min(grades.len()))
                        .map(|rank| grades[rank - 1].max(0) as f64 / (rank as f64 + 1.0).log2())
                        .sum()
                };
                let mut best = judged.to_vec();
                best.sort_unstable();
                best.reverse();
                gain(ranked) / gain(&best)
            }
        }
    }

    proptest! {
        #[test]
        fn measures_agree_with_their_definitions(
            ranked in prop::collection::vec(-2i64..5, 0..40),
            missed in prop::collection::vec(-2i64..5, 0..10),
            k in 1usize..60,
        ) {
            let judged: Vec<i64> = ranked.iter().chain(&missed).copied().collect();
            for kind in ["nDCG", "MAP", "MRR", "recall", "precision"] {
                let fast = figure(&format!("{kind}@{k}"), &ranked, &judged);
                prop_assert!((fast - slowly(kind, k, &ranked, &judged)).abs() < 1e-12);
                prop_assert!((0.0..=1.0 + 1e-12).contains(&fast));
            }
        }
    }
}
