//! What does a model that reads a query and a text together change in a ranking?
//!
//! It is asked about the best candidates with distinct texts, in the fused order, and
//! only for so long. Those that it judged come first, in its order, and each takes the
//! duplicates of its text along; behind them all others stand as they stood. So a
//! deadline that comes early costs quality and nothing else, and a model that fails
//! leaves the fused order: that is no error, and the answer says so.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::time::{Duration, Instant};

use cento_core::RerankScore;
use cento_core::chunk::model_input;
use cento_embed::{EmbedError, Reranker};
use serde::{Deserialize, Serialize};

use crate::candidates::Candidate;
use crate::{LEG_DEPTH, Query, RetrieveError};

/// A model that is to look at the best candidates again.
#[derive(Debug, Clone, Copy)]
pub struct Rerank<'a> {
    reranker: &'a dyn Reranker,
    head: usize,
    deadline: Duration,
    /// What is told of a failure.
    tell: fn(&EmbedError) -> RerankFailure,
}

impl<'a> Rerank<'a> {
    /// How many candidates are judged unless something else is said.
    pub const HEAD: usize = 50;
    /// The most that can be: what both legs return together.
    pub const MAX_HEAD: usize = 2 * LEG_DEPTH;
    /// How long that may take unless something else is said.
    pub const DEADLINE: Duration = Duration::from_millis(500);
    /// The most that it may.
    pub const MAX_DEADLINE: Duration = Duration::from_secs(10);
    /// Long enough to have none.
    const LEISURE: Duration = Duration::from_hours(1);

    /// To judge `head` candidates within `deadline` of having them.
    ///
    /// # Errors
    /// [`RetrieveError::Rerank`] for a number out of its bounds.
    pub fn new(
        reranker: &'a dyn Reranker,
        head: usize,
        deadline: Duration,
    ) -> Result<Self, RetrieveError> {
        if deadline.is_zero() || deadline > Self::MAX_DEADLINE {
            return Err(RetrieveError::Rerank {
                reason: format!(
                    "reranking has from 1 to {} ms, not {}",
                    Self::MAX_DEADLINE.as_millis(),
                    deadline.as_millis()
                ),
            });
        }
        Ok(Self {
            deadline,
            ..Self::at_leisure(reranker, head)?
        })
    }

    /// To judge `head` candidates however long it takes: for measurements, which are not
    /// to be those of a clock.
    ///
    /// # Errors
    /// [`RetrieveError::Rerank`] for a number out of its bounds.
    pub fn at_leisure(reranker: &'a dyn Reranker, head: usize) -> Result<Self, RetrieveError> {
        if !(1..=Self::MAX_HEAD).contains(&head) {
            return Err(RetrieveError::Rerank {
                reason: format!(
                    "from 1 to {} candidates can be reranked, not {head}",
                    Self::MAX_HEAD
                ),
            });
        }
        Ok(Self {
            reranker,
            head,
            deadline: Self::LEISURE,
            tell: |error| RerankFailure {
                code: "reranking_failed".into(),
                detail: error.to_string(),
            },
        })
    }

    /// The same, whose failures are told so: who knows the world's codes knows how.
    #[must_use]
    pub fn telling(self, tell: fn(&EmbedError) -> RerankFailure) -> Self {
        Self { tell, ..self }
    }

    /// Judges the best of candidates in the fused order and puts them in order anew.
    pub(crate) fn apply(&self, query: &Query, ranked: &mut Vec<Candidate>) -> Reranked {
        let head: Vec<usize> = (ranked.iter().enumerate())
            .filter(|(_, candidate)| candidate.duplicate_of.is_none())
            .map(|(place, _)| place)
            .take(self.head)
            .collect();
        let texts: Vec<String> = (head.iter())
            .map(|&place| {
                let chunk = &ranked[place].chunk;
                model_input(&chunk.document.title, &chunk.heading_path, &chunk.text)
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let until = Instant::now() + self.deadline;
        let told = self.reranker.rerank(query.as_str(), &texts, until);
        let (scores, failed) = match told {
            Ok(scores) => (scores, None),
            Err(error) => (vec![], Some((self.tell)(&error))),
        };
        let judged: Vec<(usize, RerankScore)> = (head.iter().copied())
            .zip(scores.into_iter().map(RerankScore))
            .collect();
        reorder(ranked, &judged);
        Reranked {
            model: self.reranker.fingerprint().to_owned(),
            head: head.len(),
            judged: judged.len(),
            deadline_ms: u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX),
            failed,
        }
    }
}

/// Puts the judged first, each with its duplicates behind it. Equal scores leave the
/// fused order.
fn reorder(ranked: &mut Vec<Candidate>, judged: &[(usize, RerankScore)]) {
    let mut best_first = judged.to_vec();
    best_first.sort_by_key(|&(place, score)| (Reverse(score), place));
    let mut group_of: Vec<usize> = vec![best_first.len(); ranked.len()];
    for (group, &(place, score)) in best_first.iter().enumerate() {
        group_of[place] = group;
        ranked[place].reranked = Some(RerankedFrom {
            score,
            fused_rank: place + 1,
        });
    }
    for place in 0..ranked.len() {
        if let Some(better) = ranked[place].duplicate_of {
            group_of[place] = group_of[better];
        }
    }
    // A better candidate stands before its duplicates, and a stable sort leaves it so.
    let mut order: Vec<usize> = (0..ranked.len()).collect();
    order.sort_by_key(|&place| group_of[place]);
    let mut new_place = vec![0; order.len()];
    for (new, &old) in order.iter().enumerate() {
        new_place[old] = new;
    }
    let mut with_place: Vec<(usize, Candidate)> =
        new_place.iter().copied().zip(ranked.drain(..)).collect();
    with_place.sort_by_key(|&(place, _)| place);
    ranked.extend(with_place.into_iter().map(|(_, mut candidate)| {
        candidate.duplicate_of = candidate.duplicate_of.map(|better| new_place[better]);
        candidate
    }));
}

/// How reranking went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reranked {
    /// Identity of the model.
    pub model: String,
    /// How many candidates it was asked about: the best with distinct texts, as many as
    /// were wanted, or as there are.
    pub head: usize,
    /// How many of them it judged before the deadline, in the fused order. They come
    /// first, and the others behind them as they stood.
    pub judged: usize,
    /// How many milliseconds it had.
    pub deadline_ms: u64,
    /// Why nothing was judged, if it failed: then the fused order stands. That there was
    /// no time is no failure.
    pub failed: Option<RerankFailure>,
}

/// Why nothing was reranked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RerankFailure {
    /// Stable, `snake_case`, as the codes of errors are.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub code: Cow<'static, str>,
    /// What happened.
    pub detail: String,
}

/// What reranking says of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RerankedFrom {
    /// The model's score, higher for a better answer; comparable only within one
    /// answer.
    pub score: RerankScore,
    /// Where it stood in the fused order, from 1.
    pub fused_rank: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passages::tests::candidates;

    /// Judges a text by its length, so many of them.
    #[derive(Debug)]
    struct ByLength {
        judges: usize,
        fails: bool,
    }

    impl Reranker for ByLength {
        fn fingerprint(&self) -> &str {
            "by-length"
        }

        #[expect(clippy::cast_precision_loss, reason = "short texts")]
        fn rerank(&self, _: &str, texts: &[&str], _: Instant) -> Result<Vec<f32>, EmbedError> {
            if self.fails {
                return Err(EmbedError::Inference {
                    model: "by-length".to_owned(),
                    reason: "it is tired".to_owned(),
                });
            }
            let judged = texts.iter().take(self.judges);
            Ok(judged.map(|text| text.len() as f32).collect())
        }
    }

    fn five() -> Vec<Candidate> {
        candidates(&[
            ("a.md", 0, 0, "one"),
            ("b.md", 0, 0, "three"),
            ("c.md", 0, 0, "one"),
            ("d.md", 0, 0, "one hundred"),
            ("e.md", 0, 0, "one million and one"),
        ])
    }

    fn reranked(model: &ByLength, head: usize) -> (Vec<Candidate>, Reranked) {
        let mut ranked = five();
        let query = Query::new("how many?").expect("a query");
        let rerank = Rerank::new(model, head, Rerank::DEADLINE).expect("in bounds");
        let told = rerank.apply(&query, &mut ranked);
        (ranked, told)
    }

    /// The documents in order, by the first letter of their ids.
    fn documents(ranked: &[Candidate]) -> String {
        let ids = ranked.iter().map(|one| one.chunk.document.id.as_str());
        ids.map(|id| &id[..1]).collect()
    }

    #[test]
    fn the_judged_come_first_in_the_models_order_and_take_their_duplicates_along() {
        let model = ByLength {
            judges: usize::MAX,
            fails: false,
        };
        let (ranked, told) = reranked(&model, 3);
        assert_eq!(documents(&ranked), "dbace");
        assert_eq!(ranked[3].duplicate_of, Some(2));
        let from: Vec<_> = (ranked.iter())
            .map(|one| one.reranked.map(|from| from.fused_rank))
            .collect();
        assert_eq!(from, [Some(4), Some(2), Some(1), None, None]);
        assert_eq!((told.head, told.judged, told.failed), (3, 3, None));
    }

    #[test]
    fn what_there_was_no_time_for_stands_behind_as_it_stood() {
        let model = ByLength {
            judges: 2,
            fails: false,
        };
        let (ranked, told) = reranked(&model, 50);
        assert_eq!(documents(&ranked), "bacde");
        assert_eq!((told.head, told.judged), (4, 2));
        let none = ByLength {
            judges: 0,
            fails: false,
        };
        assert_eq!(documents(&reranked(&none, 50).0), "abcde");
    }

    #[test]
    fn a_model_that_fails_leaves_the_fused_order_and_that_is_said() {
        let model = ByLength {
            judges: usize::MAX,
            fails: true,
        };
        let (ranked, told) = reranked(&model, 50);
        assert_eq!(documents(&ranked), "abcde");
        assert_eq!(ranked[2].duplicate_of, Some(0));
        assert!(
            told.failed
                .is_some_and(|why| why.detail.contains("it is tired"))
        );
        assert_eq!(told.judged, 0);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_with_the_bounds() {
        let model = ByLength {
            judges: 0,
            fails: false,
        };
        let second = Duration::from_secs(1);
        for head in [0, Rerank::MAX_HEAD + 1] {
            let error = Rerank::new(&model, head, second).expect_err("out of bounds");
            assert!(error.to_string().contains("200"), "{error}");
        }
        for deadline in [Duration::ZERO, second * 11] {
            let error = Rerank::new(&model, 1, deadline).expect_err("out of bounds");
            assert!(error.to_string().contains("10000"), "{error}");
        }
    }
}
