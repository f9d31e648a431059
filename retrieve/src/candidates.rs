//! Which chunks could answer, and what does each leg say of them?

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use cento_core::{Bm25Score, ChunkNo, CosineScore, FusedScore, GenerationNo, Sequence};
use cento_embed::Embedder;
use cento_index::{Allowed, DenseHits, LexicalHits, Searched, StoredChunk, View};
use serde::{Deserialize, Serialize};

use crate::dedupe::duplicates;
use crate::fusion::{LegScores, Scale};
use crate::{Fusion, Legs, Query, Ranking, Reranked, RerankedFrom, RetrieveError};

/// What one leg says of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LegScore<S> {
    /// Its place among what the leg returned, from 1; absent if the leg did
    /// not return it.
    pub rank: Option<usize>,
    /// The leg's own score, computed even where the leg did not return it.
    pub score: S,
}

/// A chunk that could answer.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) chunk: StoredChunk,
    pub(crate) legs: LegScores,
    pub(crate) fused: FusedScore,
    /// The place among all candidates of the better one with the same text.
    pub(crate) duplicate_of: Option<usize>,
    /// What reranking says of it, if it was asked.
    pub(crate) reranked: Option<RerankedFrom>,
}

/// All that the legs found, best first.
#[derive(Debug)]
pub(crate) struct Candidates {
    pub(crate) ranked: Vec<Candidate>,
    /// How many the lexical leg returned.
    pub(crate) lexical: usize,
    /// How many the dense leg returned.
    pub(crate) dense: usize,
    /// How the dense leg went about it; absent if the query has no vector.
    pub(crate) dense_search: Option<Searched>,
    /// How reranking went, if it was asked for.
    pub(crate) reranked: Option<Reranked>,
    /// By how much the nearest text stands out, where fusion asked.
    pub(crate) standout: Option<f32>,
    pub(crate) generation: GenerationNo,
    pub(crate) sequence: Sequence,
}

impl Candidates {
    /// Asks the legs, lets each score what only the other found, and ranks the
    /// union.
    pub(crate) fn find(
        view: &View,
        embedder: &dyn Embedder,
        query: &Query,
        wanted: &Ranking<'_>,
    ) -> Result<Self, RetrieveError> {
        let allowed = wanted.filter.map(|filter| view.allowed(filter));
        let allowed = allowed.transpose()?;
        let (lexical, dense) = rayon::join(
            || match wanted.legs {
                Legs::Dense => Ok(LexicalHits {
                    hits: vec![],
                    information: 0.0,
                }),
                _ => view.lexical(query.as_str(), allowed.as_ref(), wanted.depth),
            },
            || -> Result<_, RetrieveError> {
                if wanted.legs == Legs::Lexical {
                    return Ok(None);
                }
                let vector = embedder.embed_query(query.as_str())?;
                // No token of the query is known to the model: the leg has no
                // opinion, which is not the same as the opinion 0.
                if vector.iter().all(|&x| x == 0.0) {
                    return Ok(None);
                }
                let hits =
                    view.dense_with(&vector, allowed.as_ref(), wanted.depth, wanted.effort)?;
                Ok(Some((vector, hits)))
            },
        );
        let (lexical, dense) = (lexical?, dense?);
        let union = Union::of(&lexical, dense.as_ref().map(|(_, hits)| hits));
        let (lexical_scores, dense_scores) = rayon::join(
            || view.lexical_scores(query.as_str(), &union.without_lexical()),
            || match &dense {
                Some((vector, _)) => view.dense_scores(vector, &union.without_dense()),
                None => Ok(vec![]),
            },
        );
        let (numbers, legs) = union.complete(&lexical_scores?, &dense_scores?, dense.is_some());
        let contract = embedder.contract();
        let mut scale = Scale {
            information: lexical.information,
            cosine_weight: contract.cosine_weight,
        };
        let mut standout = None;
        if wanted.fusion == Fusion::Adaptive
            && wanted.legs == Legs::Hybrid
            && let (Some(known), Some((vector, hits))) = (contract.standout, &dense)
        {
            standout = stands_out(view, vector, hits, allowed.as_ref())?;
            if let Some(standout) = standout {
                scale.cosine_weight = known.weight_at(standout);
            }
        }
        let fused = match wanted.legs {
            Legs::Hybrid => wanted.fusion.scores(&legs, scale),
            alone => alone.scores(&legs),
        };
        let chunks = view.chunks(&numbers)?;
        Ok(Self {
            ranked: rank(chunks, &legs, &fused),
            reranked: None,
            standout,
            lexical: lexical.hits.len(),
            dense: dense.as_ref().map_or(0, |(_, hits)| hits.hits.len()),
            dense_search: dense.map(|(_, hits)| hits.searched),
            generation: view.generation(),
            sequence: view.sequence(),
        })
    }
}

/// From so many chunks it is told how near they are on average: with 256, the mean is
/// known to a sixteenth of how much they differ.
const BACKGROUND: u64 = 256;

/// The mean of fewer says nothing.
const LEAST_BACKGROUND: usize = 32;

/// By how much the nearest text is nearer to a query than those are on average that may
/// be found; `None` where they are too few to tell.
fn stands_out(
    view: &View,
    vector: &[f32],
    hits: &DenseHits,
    allowed: Option<&Allowed>,
) -> Result<Option<f32>, RetrieveError> {
    let Some((_, nearest)) = hits.hits.first() else {
        return Ok(None);
    };
    let drawn = view.sample(allowed, BACKGROUND);
    if drawn.len() < LEAST_BACKGROUND {
        return Ok(None);
    }
    let cosines = view.dense_scores(vector, &drawn)?;
    let sum: f64 = cosines.iter().map(|cosine| f64::from(cosine.0)).sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a mean of a few cosines"
    )]
    let mean = (sum / cosines.len() as f64) as f32;
    Ok(Some(nearest.0 - mean))
}

/// The chunks that either leg returned, each with its place in both.
struct Union {
    numbers: Vec<ChunkNo>,
    lexical: HashMap<ChunkNo, LegScore<Bm25Score>>,
    dense: HashMap<ChunkNo, LegScore<CosineScore>>,
}

impl Union {
    fn of(lexical: &LexicalHits, dense: Option<&DenseHits>) -> Self {
        let dense = dense.map_or(&[][..], |hits| &hits.hits);
        let numbers: BTreeSet<ChunkNo> = (lexical.hits.iter().map(|(number, _)| *number))
            .chain(dense.iter().map(|(number, _)| *number))
            .collect();
        Self {
            numbers: numbers.into_iter().collect(),
            lexical: by_number(&lexical.hits),
            dense: by_number(dense),
        }
    }

    /// What the lexical leg did not return, in order.
    fn without_lexical(&self) -> Vec<ChunkNo> {
        let missing = |number: &ChunkNo| !self.lexical.contains_key(number);
        self.numbers.iter().copied().filter(missing).collect()
    }

    /// What the dense leg did not return, in order.
    fn without_dense(&self) -> Vec<ChunkNo> {
        let missing = |number: &ChunkNo| !self.dense.contains_key(number);
        self.numbers.iter().copied().filter(missing).collect()
    }

    /// Fills in the scores of what a leg did not return, given in the order of
    /// [`Union::without_lexical`] and [`Union::without_dense`].
    fn complete(
        self,
        lexical_scores: &[Bm25Score],
        dense_scores: &[CosineScore],
        has_vector: bool,
    ) -> (Vec<ChunkNo>, Vec<LegScores>) {
        let mut lexical_scores = lexical_scores.iter().copied();
        let mut dense_scores = dense_scores.iter().copied();
        let mut legs = Vec::with_capacity(self.numbers.len());
        for number in &self.numbers {
            let lexical = match self.lexical.get(number) {
                Some(&own) => own,
                None => LegScore {
                    rank: None,
                    score: lexical_scores.next().unwrap_or(Bm25Score(0.0)),
                },
            };
            let dense = match self.dense.get(number) {
                Some(&own) => own,
                None => LegScore {
                    rank: None,
                    score: dense_scores.next().unwrap_or(CosineScore(0.0)),
                },
            };
            legs.push(LegScores {
                lexical,
                dense: has_vector.then_some(dense),
            });
        }
        (self.numbers, legs)
    }
}

fn by_number<S: Copy>(hits: &[(ChunkNo, S)]) -> HashMap<ChunkNo, LegScore<S>> {
    let scores = hits.iter().enumerate().map(|(place, &(number, score))| {
        let rank = Some(place + 1);
        (number, LegScore { rank, score })
    });
    scores.collect()
}

/// Puts candidates in order, best first, and marks those whose text a better
/// one has. Equal scores are ordered by public id, which is the same on every
/// machine and after every rebuild.
fn rank(chunks: Vec<StoredChunk>, legs: &[LegScores], fused: &[FusedScore]) -> Vec<Candidate> {
    let mut ranked: Vec<Candidate> = chunks
        .into_iter()
        .zip(legs)
        .zip(fused)
        .map(|((chunk, &legs), &fused)| Candidate {
            chunk,
            legs,
            fused,
            duplicate_of: None,
            reranked: None,
        })
        .collect();
    ranked.sort_by(best_first);
    let duplicates = duplicates(ranked.iter().map(|candidate| candidate.chunk.hash));
    for (candidate, better) in ranked.iter_mut().zip(duplicates) {
        candidate.duplicate_of = better;
    }
    ranked
}

fn best_first(a: &Candidate, b: &Candidate) -> Ordering {
    let by_score = b.fused.cmp(&a.fused);
    by_score
        .then_with(|| a.chunk.id.cmp(&b.chunk.id))
        .then_with(|| a.chunk.number.cmp(&b.chunk.number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passages::tests::chunk;

    fn union() -> Union {
        let lexical = LexicalHits {
            hits: vec![(ChunkNo(7), Bm25Score(9.0)), (ChunkNo(3), Bm25Score(4.0))],
            information: 10.0,
        };
        let dense = DenseHits {
            hits: vec![
                (ChunkNo(3), CosineScore(0.9)),
                (ChunkNo(5), CosineScore(0.2)),
            ],
            exact: true,
            searched: Searched::default(),
        };
        Union::of(&lexical, Some(&dense))
    }

    #[test]
    fn each_leg_scores_what_only_the_other_found() {
        let union = union();
        assert_eq!(union.without_lexical(), [ChunkNo(5)]);
        assert_eq!(union.without_dense(), [ChunkNo(7)]);
        let (numbers, legs) = union.complete(&[Bm25Score(0.5)], &[CosineScore(0.1)], true);
        assert_eq!(numbers, [ChunkNo(3), ChunkNo(5), ChunkNo(7)]);
        let ranks: Vec<_> = (legs.iter())
            .map(|legs| (legs.lexical.rank, legs.dense.and_then(|dense| dense.rank)))
            .collect();
        assert_eq!(
            ranks,
            [(Some(2), Some(1)), (None, Some(2)), (Some(1), None)]
        );
        assert_eq!(legs[1].lexical.score, Bm25Score(0.5));
        assert_eq!(
            legs[2].dense.map(|dense| dense.score),
            Some(CosineScore(0.1))
        );
    }

    #[test]
    fn without_a_vector_the_dense_leg_says_nothing() {
        let (_, legs) = union().complete(&[Bm25Score(0.5)], &[], false);
        assert!(legs.iter().all(|legs| legs.dense.is_none()));
    }

    #[test]
    fn equal_scores_are_ordered_by_public_id() {
        let chunks = vec![
            chunk("b.md", 0, 0, "one"),
            chunk("a.md", 0, 0, "two"),
            chunk("a.md", 1, 4, "one"),
        ];
        let legs = vec![union().complete(&[], &[], true).1[0]; 3];
        let ranked = rank(
            chunks,
            &legs,
            &[FusedScore(0.5), FusedScore(0.5), FusedScore(0.7)],
        );
        let order: Vec<_> = ranked
            .iter()
            .map(|candidate| (candidate.chunk.document.id.as_str(), candidate.duplicate_of))
            .collect();
        assert_eq!(order, [("a.md", None), ("a.md", None), ("b.md", Some(0))]);
    }
}
