//! How do two legs' opinions become one order?

use std::fmt;
use std::str::FromStr;

use cento_core::{Bm25Score, CosineScore, FusedScore};
use serde::{Deserialize, Serialize};

use crate::{LegScore, RetrieveError};

/// The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher,
/// "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
/// Methods", SIGIR 2009, who found 60 near the optimum. A small constant would
/// let one leg's first place beat a good place in both.
const RRF_K: f64 = 60.0;

/// The share of each leg in the convex combination. With two legs rescaled to
/// the same range and nothing tuned, neither is preferred.
const CONVEX_WEIGHT: f64 = 0.5;

/// k1 + 1 for k1 = 1.2: BM25's term-frequency factor `tf (k1 + 1) / (tf + …)`
/// stays below it, so `2.2 · Σ idf` is the most that a text could score.
const BM25_SATURATION: f64 = 2.2;

/// How the legs' scores become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    /// Reciprocal rank fusion: the sum over the legs that returned the chunk
    /// of `1 / (60 + rank)`, rank from 1 (Cormack et al., SIGIR 2009). It sees
    /// only ranks, so it cannot tell a sure leg from a guessing one.
    Rrf,
    /// Convex combination: half of each leg's score after min-max rescaling,
    /// `(score − min) / (max − min)`, over the leg's own hits (Bruch, Gai and
    /// Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval",
    /// arXiv 2210.11934). A candidate that the leg did not return is clamped
    /// to the range.
    Convex,
    /// Nothing is rescaled by query: w · cosine + BM25 ÷ (2.2 · Σ idf of the
    /// query's terms, those that no document has included), with the
    /// model's own weight w ([`cento_embed::Contract::cosine_weight`]). The
    /// second part is *lexical coverage*: the share of the query's information
    /// that the text holds, from 0 to about 1 (fields beside the text can lift
    /// it a little above). A query whose words are rare but absent thus leaves
    /// the decision to the dense leg, and the other way round.
    Absolute,
    /// As `absolute`, with a weight w for each query, where it is known of the model how
    /// to tell whether it knows what it is asked about ([`cento_embed::Standout`]): by how
    /// much is the nearest text nearer than texts of the collection are on average? In a
    /// language that the model does not know, everything is about as near, and words
    /// decide.
    #[default]
    Adaptive,
}

impl Fusion {
    /// Every fusion.
    pub const ALL: [Self; 4] = [Self::Rrf, Self::Convex, Self::Absolute, Self::Adaptive];

    /// Its name: `rrf`, `convex`, `absolute` or `adaptive`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rrf => "rrf",
            Self::Convex => "convex",
            Self::Absolute => "absolute",
            Self::Adaptive => "adaptive",
        }
    }

    /// The fused score of each candidate, in their order.
    ///
    /// Every result is finite whatever the legs said.
    pub(crate) fn scores(self, candidates: &[LegScores], scale: Scale) -> Vec<FusedScore> {
        match self {
            Self::Rrf => each(candidates, |legs| {
                let ranks = [legs.lexical.rank, legs.dense.and_then(|dense| dense.rank)];
                ranks.into_iter().flatten().map(reciprocal).sum()
            }),
            Self::Convex => {
                let lexical = Range::of(candidates.iter().map(|legs| Some(legs.lexical())));
                let dense = Range::of(candidates.iter().map(LegScores::dense));
                each(candidates, |legs| {
                    let lexical = lexical.rescale(legs.lexical().1);
                    let dense = legs.dense().map_or(0.0, |(_, score)| dense.rescale(score));
                    CONVEX_WEIGHT * lexical + CONVEX_WEIGHT * dense
                })
            }
            Self::Absolute | Self::Adaptive => {
                let most = BM25_SATURATION * finite(scale.information);
                let weight = finite(scale.cosine_weight);
                each(candidates, |legs| {
                    let coverage = if most > 0.0 {
                        legs.lexical().1 / most
                    } else {
                        0.0
                    };
                    coverage + weight * legs.dense().map_or(0.0, |(_, score)| score)
                })
            }
        }
    }
}

/// What makes the two legs' scores comparable without looking at other
/// candidates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// The sum of the idf of the query's terms.
    pub(crate) information: f32,
    /// What the model's cosine is worth beside lexical coverage, in this query.
    pub(crate) cosine_weight: f32,
}

/// What the legs say of one candidate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LegScores {
    pub(crate) lexical: LegScore<Bm25Score>,
    /// Absent for every candidate if the query has no vector.
    pub(crate) dense: Option<LegScore<CosineScore>>,
}

impl LegScores {
    /// Whether the lexical leg returned it, and its score.
    fn lexical(&self) -> (bool, f64) {
        (self.lexical.rank.is_some(), finite(self.lexical.score.0))
    }

    /// Whether the dense leg returned it, and its score.
    fn dense(&self) -> Option<(bool, f64)> {
        let dense = self.dense?;
        Some((dense.rank.is_some(), finite(dense.score.0)))
    }
}

fn each(candidates: &[LegScores], fuse: impl Fn(&LegScores) -> f64) -> Vec<FusedScore> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a score needs no more digits; too large a value becomes infinite and is caught"
    )]
    let narrow = |score: f64| {
        let score = score as f32;
        FusedScore(if score.is_finite() { score } else { 0.0 })
    };
    candidates.iter().map(fuse).map(narrow).collect()
}

#[expect(clippy::cast_precision_loss, reason = "ranks are small")]
fn reciprocal(rank: usize) -> f64 {
    1.0 / (RRF_K + rank as f64)
}

/// A broken score counts as none: it must neither win nor poison a sum.
fn finite(score: f32) -> f64 {
    if score.is_finite() {
        f64::from(score)
    } else {
        0.0
    }
}

/// The lowest and highest score among a leg's own hits.
struct Range {
    min: f64,
    max: f64,
}

impl Range {
    fn of(scores: impl Iterator<Item = Option<(bool, f64)>>) -> Self {
        let own = scores
            .flatten()
            .filter_map(|(returned, score)| returned.then_some(score));
        let empty = Self {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        };
        own.fold(empty, |range, score| Self {
            min: range.min.min(score),
            max: range.max.max(score),
        })
    }

    /// From 0 at the lowest to 1 at the highest. Where all hits score alike
    /// they are all the best; a leg without hits has nothing to say.
    fn rescale(&self, score: f64) -> f64 {
        if self.min > self.max {
            0.0
        } else if score >= self.max {
            1.0
        } else if score <= self.min {
            0.0
        } else {
            (score - self.min) / (self.max - self.min)
        }
    }
}

impl fmt::Display for Fusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fusion {
    type Err = RetrieveError;

    fn from_str(name: &str) -> Result<Self, RetrieveError> {
        Self::ALL
            .into_iter()
            .find(|fusion| fusion.name() == name)
            .ok_or_else(|| RetrieveError::UnknownFusion {
                name: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(information: f32) -> Scale {
        Scale {
            information,
            cosine_weight: 1.0,
        }
    }

    fn legs(lexical: (Option<usize>, f32), dense: (Option<usize>, f32)) -> LegScores {
        LegScores {
            lexical: LegScore {
                rank: lexical.0,
                score: Bm25Score(lexical.1),
            },
            dense: Some(LegScore {
                rank: dense.0,
                score: CosineScore(dense.1),
            }),
        }
    }

    /// Three candidates: found by both legs, by the lexical one, by the dense
    /// one.
    fn three() -> [LegScores; 3] {
        [
            legs((Some(2), 6.0), (Some(1), 0.8)),
            legs((Some(1), 11.0), (None, 0.1)),
            legs((None, 0.0), (Some(2), 0.4)),
        ]
    }

    fn assert_close(found: &[FusedScore], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found.0 - expected).abs() < 1e-6, "{found:?} {expected}");
        }
    }

    #[test]
    fn rrf_adds_the_reciprocal_of_the_legs_own_ranks() {
        let scores = Fusion::Rrf.scores(&three(), scale(5.0));
        assert_close(&scores, &[1.0 / 62.0 + 1.0 / 61.0, 1.0 / 61.0, 1.0 / 62.0]);
    }

    #[test]
    fn convex_rescales_each_leg_over_its_own_hits() {
        // Lexical hits 6 and 11 become 0 and 1; dense hits .4 and .8 become 0
        // and 1; what a leg did not return lies below its range.
        let scores = Fusion::Convex.scores(&three(), scale(5.0));
        assert_close(&scores, &[0.5, 0.5, 0.0]);
        let mut more = three().to_vec();
        more.push(legs((Some(3), 8.5), (Some(3), 0.6)));
        let scores = Fusion::Convex.scores(&more, scale(5.0));
        assert_close(&scores, &[0.5, 0.5, 0.0, 0.5]);
    }

    #[test]
    fn convex_calls_hits_that_score_alike_all_the_best() {
        let alike = [
            legs((Some(1), 3.0), (None, 0.1)),
            legs((Some(2), 3.0), (None, 0.2)),
            legs((None, 0.0), (None, 0.3)),
        ];
        assert_close(&Fusion::Convex.scores(&alike, scale(1.0)), &[0.5, 0.5, 0.0]);
    }

    #[test]
    fn absolute_adds_cosine_and_the_share_of_the_query_that_is_covered() {
        // 2.2 · 5 = 11 is full coverage.
        let scores = Fusion::Absolute.scores(&three(), scale(5.0));
        assert_close(&scores, &[0.8 + 6.0 / 11.0, 0.1 + 1.0, 0.4]);
        // With the query's own weight.
        let scores = Fusion::Adaptive.scores(
            &three(),
            Scale {
                cosine_weight: 0.5,
                ..scale(5.0)
            },
        );
        assert_close(&scores, &[0.4 + 6.0 / 11.0, 0.05 + 1.0, 0.2]);
    }

    #[test]
    fn a_query_without_a_term_has_no_lexical_part() {
        let scores = Fusion::Absolute.scores(&three(), scale(0.0));
        assert_close(&scores, &[0.8, 0.1, 0.4]);
    }

    #[test]
    fn a_query_without_a_vector_is_answered_by_words_alone() {
        let words = three().map(|legs| LegScores {
            dense: None,
            ..legs
        });
        assert_close(
            &Fusion::Absolute.scores(&words, scale(5.0)),
            &[6.0 / 11.0, 1.0, 0.0],
        );
        assert_close(&Fusion::Convex.scores(&words, scale(5.0)), &[0.0, 0.5, 0.0]);
        assert_close(
            &Fusion::Rrf.scores(&words, scale(5.0)),
            &[1.0 / 62.0, 1.0 / 61.0, 0.0],
        );
    }

    #[test]
    fn broken_scores_never_come_through() {
        let broken = [
            legs((Some(1), f32::NAN), (Some(1), f32::INFINITY)),
            legs((Some(2), f32::NEG_INFINITY), (Some(2), f32::NAN)),
            legs((Some(3), f32::MAX), (Some(3), f32::MIN)),
        ];
        for fusion in Fusion::ALL {
            for information in [0.0, 1e-30, f32::NAN, f32::INFINITY, -1.0] {
                let scores = fusion.scores(&broken, scale(information));
                assert!(scores.iter().all(|score| score.0.is_finite()), "{fusion}");
            }
        }
    }

    #[test]
    fn a_fusion_is_known_by_its_name() {
        for fusion in Fusion::ALL {
            assert_eq!(fusion.to_string().parse::<Fusion>().expect("known"), fusion);
            let json = serde_json::to_string(&fusion).expect("serialises");
            assert_eq!(json, format!("\"{fusion}\""));
        }
        let error = "dbsf".parse::<Fusion>().expect_err("unknown");
        assert!(
            error
                .to_string()
                .contains("rrf, convex, absolute, adaptive")
        );
    }
}
