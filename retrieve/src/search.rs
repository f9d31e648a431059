//! Which chunks answer a query best?

use cento_core::{
    Bm25Score, ByteSpan, ChunkId, CosineScore, DocumentId, FusedScore, GenerationNo, Sequence,
};
use cento_embed::Embedder;
use cento_index::{Searched, View};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::candidates::Candidate;
use crate::{Found, Fusion, LegScore, Legs, Ranking, Reranked, RerankedFrom, RetrieveError};

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct SearchRequest<'a> {
    /// The question, as a person would ask it.
    pub query: &'a str,
    /// How candidates are found and put in order.
    pub ranking: Ranking<'a>,
    /// The most answers; it only cuts, the ranking does not depend on it.
    pub limit: usize,
}

/// One chunk that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SearchHit {
    /// Its place among all candidates, from 1; the duplicates of better chunks
    /// have places too, so that a receipt gives a chunk the same rank.
    pub rank: usize,
    /// Its public id.
    pub chunk: ChunkId,
    /// Its document.
    pub document: DocumentId,
    /// The document's title; may be empty.
    pub title: String,
    /// Where the document came from.
    pub source: Option<String>,
    /// The document's fields, flat: `author.name` is one field.
    pub metadata: Map<String, Value>,
    /// The headings above it, outermost first.
    pub heading_path: Vec<String>,
    /// Its bytes in the document's canonical text.
    pub span: ByteSpan,
    /// The 1-based line of the canonical text on which it begins.
    pub line: u32,
    /// Exactly the canonical text at `span`.
    pub text: String,
    /// The fused score; its scale depends on the fusion.
    pub score: FusedScore,
    /// What the lexical leg says.
    pub lexical: LegScore<Bm25Score>,
    /// What the dense leg says; absent if the query has no vector.
    pub dense: Option<LegScore<CosineScore>>,
    /// What reranking says of it; absent unless it was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<RerankedFrom>,
    /// Lower-ranked candidates with the same text, best first.
    pub duplicates: Vec<ChunkId>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SearchResponse {
    /// The best chunks with distinct texts, best first.
    pub hits: Vec<SearchHit>,
    /// The configuration that answered: a model and a way of cutting.
    pub generation: GenerationNo,
    /// The last write that the view shows.
    pub sequence: Sequence,
    /// Which legs were asked.
    pub legs: Legs,
    /// How the legs' scores became one, if there were two.
    pub fusion: Fusion,
    /// Whether the dense leg compared every vector; absent if the query has no
    /// vector.
    pub dense_exact: Option<bool>,
    /// How the dense leg went about it: how many parts it scanned or walked, and
    /// what it compared; absent if the query has no vector.
    pub dense_search: Option<Searched>,
    /// How many chunks the legs found together, duplicates included.
    pub candidates: usize,
    /// By how much the nearest text is nearer to the query, in cosine, than texts are on
    /// average; absent unless `adaptive` fusion weighed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standout: Option<f32>,
    /// How reranking went; absent unless it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<Reranked>,
}

/// Finds the chunks that answer a query best.
///
/// # Errors
/// A query that [`Query::new`](crate::Query::new) refuses, a filter that does not fit the
/// collection, or an error of the engine.
pub fn search(
    view: &View,
    embedder: &dyn Embedder,
    request: &SearchRequest<'_>,
) -> Result<SearchResponse, RetrieveError> {
    let found = Found::find(view, embedder, request.query, &request.ranking)?;
    Ok(found.reranked(&request.ranking).search(request))
}

impl Found {
    /// What a search answers.
    pub fn search(self, request: &SearchRequest<'_>) -> SearchResponse {
        let found = self.candidates;
        SearchResponse {
            hits: hits(&found.ranked, request.limit),
            generation: found.generation,
            sequence: found.sequence,
            legs: request.ranking.legs,
            fusion: request.ranking.fusion,
            dense_exact: found.dense_search.map(|searched| searched.is_exact()),
            dense_search: found.dense_search,
            candidates: found.ranked.len(),
            standout: found.standout,
            rerank: found.reranked,
        }
    }
}

/// One candidate in a ranking.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedChunk {
    /// Its public id.
    pub chunk: ChunkId,
    /// Its document.
    pub document: DocumentId,
    /// Its bytes in the document's canonical text.
    pub span: ByteSpan,
    /// The fused score; its scale depends on the fusion. Reranking changes the order
    /// and not this.
    pub score: FusedScore,
}

/// All candidates of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedChunks {
    /// The candidates, best first.
    pub chunks: Vec<RankedChunk>,
    /// How reranking went, if it was asked for.
    pub rerank: Option<Reranked>,
}

/// Every candidate, best first, the duplicates of better
/// ones with the fused scores that are their own. [`search`] is this order with equal
/// texts collapsed; whoever judges documents needs all of them, because equal
/// texts may be judged apart.
///
/// # Errors
/// As [`search`].
pub fn rank(
    view: &View,
    embedder: &dyn Embedder,
    request: &SearchRequest<'_>,
) -> Result<RankedChunks, RetrieveError> {
    let found = Found::find(view, embedder, request.query, &request.ranking)?;
    let found = found.reranked(&request.ranking).candidates;
    let ranked = found.ranked.into_iter().take(request.limit);
    let chunks = ranked.map(|candidate| RankedChunk {
        chunk: candidate.chunk.id,
        document: candidate.chunk.document.id.clone(),
        span: candidate.chunk.span,
        score: candidate.fused,
    });
    Ok(RankedChunks {
        chunks: chunks.collect(),
        rerank: found.reranked,
    })
}

fn hits(ranked: &[Candidate], limit: usize) -> Vec<SearchHit> {
    let mut duplicates = vec![vec![]; ranked.len()];
    for candidate in ranked {
        if let Some(better) = candidate.duplicate_of {
            duplicates[better].push(candidate.chunk.id.clone());
        }
    }
    let distinct = (ranked.iter().zip(duplicates).enumerate())
        .filter(|(_, (candidate, _))| candidate.duplicate_of.is_none());
    distinct
        .take(limit)
        .map(|(place, (candidate, duplicates))| {
            let chunk = &candidate.chunk;
            SearchHit {
                rank: place + 1,
                chunk: chunk.id.clone(),
                document: chunk.document.id.clone(),
                title: chunk.document.title.clone(),
                source: chunk.document.source.clone(),
                metadata: chunk.document.metadata.to_json(),
                heading_path: chunk.heading_path.clone(),
                span: chunk.span,
                line: chunk.line,
                text: chunk.text.clone(),
                score: candidate.fused,
                lexical: candidate.legs.lexical,
                dense: candidate.legs.dense,
                rerank: candidate.reranked,
                duplicates,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passages::tests::candidates;

    #[test]
    fn duplicates_collapse_before_the_limit_cuts() {
        let ranked = candidates(&[
            ("a.md", 0, 0, "same"),
            ("b.md", 0, 0, "same"),
            ("c.md", 0, 0, "other"),
        ]);
        let hits = hits(&ranked, 2);
        let found: Vec<_> = (hits.iter())
            .map(|hit| (hit.rank, hit.document.as_str(), hit.duplicates.len()))
            .collect();
        assert_eq!(found, [(1, "a.md", 1), (3, "c.md", 0)]);
    }

    #[test]
    fn the_limit_only_cuts() {
        let ranked = candidates(&[
            ("a.md", 0, 0, "one"),
            ("b.md", 0, 0, "two"),
            ("a.md", 1, 4, "one"),
            ("c.md", 0, 0, "three"),
        ]);
        let all = hits(&ranked, usize::MAX);
        assert_eq!(all.len(), 3);
        for limit in 0..=3 {
            assert_eq!(hits(&ranked, limit), all[..limit]);
        }
    }
}
