//! What became of every candidate, and why?
//!
//! The JSON shape is part of the interface: names are only ever added. `standout` and `rerank`
//! stand there only where it was asked for, and in a candidate only where it was judged.
//!
//! ```json
//! {
//!   "query": "…", "filter": null, "legs": "hybrid", "fusion": "adaptive",
//!   "budget": 2000, "tokens": 1987, "tokenizer": "o200k",
//!   "generation": 1, "sequence": 12, "dense_exact": true,
//!   "dense_search": {"scanned": 1, "walked": 0, "walked_among": 0, "compared": 260},
//!   "standout": 0.52,
//!   "rerank": {"model": "…", "head": 50, "judged": 50, "deadline_ms": 500, "failed": null},
//!   "counts": {"candidates": 150, "lexical": 100, "dense": 100,
//!              "taken": 14, "duplicates": 3, "too_large": 133, "passages": 9},
//!   "candidates": [
//!     {"rank": 1, "chunk": "a.md#…", "document": "a.md", "span": {"start": 0, "end": 412},
//!      "score": 1.2, "lexical": {"rank": 1, "score": 9.1}, "dense": {"rank": 4, "score": 0.61},
//!      "rerank": {"score": 7.9, "fused_rank": 3},
//!      "decision": {"kind": "taken", "passage": 1, "tokens": 143}},
//!     {"…": "…", "decision": {"kind": "dropped", "reason": "duplicate_of", "chunk": "a.md#…"}},
//!     {"…": "…", "decision": {"kind": "dropped", "reason": "does_not_fit", "needs": 120, "left": 13}}
//!   ]
//! }
//! ```

use cento_core::{
    Bm25Score, ByteSpan, ChunkId, CosineScore, DocumentId, FusedScore, GenerationNo, Sequence,
    TokenBudget, TokenCount,
};
use cento_index::Searched;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::candidates::{Candidate, Candidates};
use crate::pack::Fate;
use crate::{Fusion, LegScore, Legs, Reranked, RerankedFrom};

/// How a context came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// The query that was asked, without white space around it.
    pub query: String,
    /// The filter, as `Filter::from_json` reads it.
    pub filter: Option<Value>,
    /// Which legs were asked.
    pub legs: Legs,
    /// How the legs' scores became one, if there were two.
    pub fusion: Fusion,
    /// The most tokens that the context could have.
    pub budget: TokenBudget,
    /// How many it has: the exact count of the rendered string.
    pub tokens: TokenCount,
    /// What counted them.
    pub tokenizer: String,
    /// The configuration that answered: a model and a way of cutting.
    pub generation: GenerationNo,
    /// The last write that the view shows.
    pub sequence: Sequence,
    /// Whether the dense leg compared every vector; absent if the query has no
    /// vector.
    pub dense_exact: Option<bool>,
    /// How the dense leg went about it: how many parts it scanned or walked, and
    /// what it compared; absent if the query has no vector.
    pub dense_search: Option<Searched>,
    /// By how much the nearest text is nearer to the query, in cosine, than texts are on
    /// average; absent unless `adaptive` fusion weighed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standout: Option<f32>,
    /// How reranking went; absent unless it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<Reranked>,
    /// How many of what.
    pub counts: ReceiptCounts,
    /// Every candidate of either leg exactly once, best first.
    pub candidates: Vec<ReceiptEntry>,
}

/// How many candidates there were, and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptCounts {
    /// What the legs found together: taken + duplicates + too large.
    pub candidates: usize,
    /// What the lexical leg returned.
    pub lexical: usize,
    /// What the dense leg returned.
    pub dense: usize,
    /// What stands in the context.
    pub taken: usize,
    /// What repeats a better candidate.
    pub duplicates: usize,
    /// What did not fit beside the others.
    pub too_large: usize,
    /// The passages that the taken make.
    pub passages: usize,
}

/// What became of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptEntry {
    /// Its place among all candidates, from 1: in the fused order, unless that was
    /// reranked.
    pub rank: usize,
    /// Its public id.
    pub chunk: ChunkId,
    /// Its document.
    pub document: DocumentId,
    /// Its bytes in the document's canonical text.
    pub span: ByteSpan,
    /// The fused score; its scale depends on the fusion.
    pub score: FusedScore,
    /// What the lexical leg says.
    pub lexical: LegScore<Bm25Score>,
    /// What the dense leg says; absent if the query has no vector.
    pub dense: Option<LegScore<CosineScore>>,
    /// What reranking says of it; absent unless it was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<RerankedFrom>,
    /// Taken or dropped.
    pub decision: Decision,
}

/// Taken or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Decision {
    /// It stands in the context.
    Taken {
        /// The number of its passage.
        passage: usize,
        /// About how many tokens it added when it was taken: less beside a
        /// neighbour, 0 where joining two passages saved more than it cost.
        /// The receipt's `tokens` is exact; the sum of these is not.
        tokens: TokenCount,
    },
    /// It does not.
    Dropped {
        /// Why not.
        #[serde(flatten)]
        reason: DropReason,
    },
}

/// Why a candidate does not stand in the context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum DropReason {
    /// A better candidate has exactly the same text.
    DuplicateOf {
        /// The better one; it is never a duplicate itself.
        chunk: ChunkId,
    },
    /// It needs more tokens than the context leaves.
    DoesNotFit {
        /// About how many it would add to the context as it is.
        needs: TokenCount,
        /// How many the context leaves; less than `needs`.
        left: TokenCount,
    },
}

/// The entries of all candidates in their order, given the decisions on
/// the distinct ones in that order.
pub(crate) fn entries(ranked: &[Candidate], decisions: Vec<Decision>) -> Vec<ReceiptEntry> {
    let places = || ranked.iter().enumerate();
    let mut entries: Vec<ReceiptEntry> = places()
        .filter(|(_, candidate)| candidate.duplicate_of.is_none())
        .zip(decisions)
        .map(|((place, candidate), decision)| entry(place, candidate, decision))
        .collect();
    entries.extend(places().filter_map(|(place, candidate)| {
        let chunk = ranked[candidate.duplicate_of?].chunk.id.clone();
        let reason = DropReason::DuplicateOf { chunk };
        Some(entry(place, candidate, Decision::Dropped { reason }))
    }));
    entries.sort_by_key(|entry| entry.rank);
    entries
}

fn entry(place: usize, candidate: &Candidate, decision: Decision) -> ReceiptEntry {
    ReceiptEntry {
        rank: place + 1,
        chunk: candidate.chunk.id.clone(),
        document: candidate.chunk.document.id.clone(),
        span: candidate.chunk.span,
        score: candidate.fused,
        lexical: candidate.legs.lexical,
        dense: candidate.legs.dense,
        rerank: candidate.reranked,
        decision,
    }
}

impl Decision {
    /// The decision that a fate means; `passage` is the number of the passage
    /// it stands in, if it was taken.
    pub(crate) fn of(fate: Fate, passage: usize) -> Self {
        match fate {
            Fate::Taken { tokens } => Self::Taken {
                passage,
                tokens: TokenCount(tokens),
            },
            Fate::Skipped { needs, left } => Self::Dropped {
                reason: DropReason::DoesNotFit {
                    needs: TokenCount(needs),
                    left: TokenCount(left),
                },
            },
        }
    }
}

impl ReceiptCounts {
    pub(crate) fn of(found: &Candidates, entries: &[ReceiptEntry], passages: usize) -> Self {
        let mut counts = Self {
            candidates: entries.len(),
            lexical: found.lexical,
            dense: found.dense,
            taken: 0,
            duplicates: 0,
            too_large: 0,
            passages,
        };
        for entry in entries {
            match &entry.decision {
                Decision::Taken { .. } => counts.taken += 1,
                Decision::Dropped { reason } => match reason {
                    DropReason::DuplicateOf { .. } => counts.duplicates += 1,
                    DropReason::DoesNotFit { .. } => counts.too_large += 1,
                },
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passages::tests::candidates;

    #[test]
    fn every_candidate_stands_in_it_once_in_the_fused_order() {
        let ranked = candidates(&[
            ("a.md", 0, 0, "same"),
            ("b.md", 0, 0, "same"),
            ("c.md", 0, 0, "other"),
        ]);
        let fates = [
            Fate::Taken { tokens: 9 },
            Fate::Skipped { needs: 8, left: 3 },
        ];
        let entries = entries(&ranked, fates.map(|fate| Decision::of(fate, 1)).to_vec());
        let json = serde_json::to_value(&entries).expect("serialises");
        let decisions: Vec<_> = (json.as_array().expect("a list").iter())
            .map(|entry| (entry["rank"].clone(), entry["decision"].clone()))
            .collect();
        let same = ranked[0].chunk.id.as_str();
        assert_eq!(
            decisions,
            [
                (
                    1.into(),
                    serde_json::json!({"kind": "taken", "passage": 1, "tokens": 9})
                ),
                (
                    2.into(),
                    serde_json::json!({"kind": "dropped", "reason": "duplicate_of", "chunk": same})
                ),
                (
                    3.into(),
                    serde_json::json!({"kind": "dropped", "reason": "does_not_fit", "needs": 8, "left": 3})
                ),
            ]
        );
    }
}
