//! What should stand in the prompt?

use cento_core::{ByteSpan, Filter, TokenBudget, TokenCount};
use cento_embed::Embedder;
use cento_index::{StoredChunk, View};
use serde::{Deserialize, Serialize};

use crate::candidates::Candidates;
use crate::pack::{Rendered, pack};
use crate::passages::Layout;
use crate::receipt::{Decision, entries};
use crate::render::render;
use crate::{Citation, Found, Query, Ranking, Receipt, ReceiptCounts, RetrieveError, Tokenizer};

/// What a context is asked for.
#[derive(Debug, Clone, Copy)]
pub struct ContextRequest<'a> {
    /// The question, as a person would ask it.
    pub query: &'a str,
    /// How candidates are found and put in order.
    pub ranking: Ranking<'a>,
    /// The most tokens of the whole rendered string.
    pub budget: TokenBudget,
    /// What counts them.
    pub tokenizer: &'a Tokenizer,
}

/// A context with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContextResponse {
    /// The rendered string; empty if nothing was found or nothing fits.
    pub context: String,
    /// How many tokens it has, exactly; never more than the budget.
    pub tokens: TokenCount,
    /// One a passage, in the order of the context.
    pub citations: Vec<Citation>,
    /// What became of every candidate.
    pub receipt: Receipt,
}

/// Puts together the best context for a query within a budget.
///
/// A budget too small for any passage is no error: the context is empty and
/// the receipt says of each candidate what it would have needed.
///
/// # Errors
/// A query that [`Query::new`] refuses, a filter that does not fit the
/// collection, or an error of the engine.
pub fn context(
    view: &View,
    embedder: &dyn Embedder,
    request: &ContextRequest<'_>,
) -> Result<ContextResponse, RetrieveError> {
    let found = Found::find(view, embedder, request.query, &request.ranking)?;
    found.reranked(&request.ranking).context(view, request)
}

impl Found {
    /// What a context is made of these; `view` is the one in which they were found.
    ///
    /// # Errors
    /// If a document cannot be read.
    pub fn context(
        self,
        view: &View,
        request: &ContextRequest<'_>,
    ) -> Result<ContextResponse, RetrieveError> {
        let text = |chunk: &StoredChunk, span| Ok(view.text(chunk, span)?);
        assemble(&self.query, &self.candidates, request, text)
    }
}

/// Everything after the ranking: it needs no engine but for the text between
/// chunks.
pub(crate) fn assemble(
    query: &Query,
    found: &Candidates,
    request: &ContextRequest<'_>,
    text: impl Fn(&StoredChunk, ByteSpan) -> Result<String, RetrieveError>,
) -> Result<ContextResponse, RetrieveError> {
    let layout = Layout::new(&found.ranked, text)?;
    let count = |text: &str| request.tokenizer.count(text);
    let costs = layout.costs(request.budget, count)?;

    let passages = |taken: &[bool]| -> Result<Vec<_>, RetrieveError> {
        let groups = layout.groups(taken);
        groups.iter().map(|group| layout.passage(group)).collect()
    };
    let packed = pack(&costs, request.budget, |taken| {
        let text = render(&passages(taken)?);
        let tokens = count(&text);
        Ok::<_, RetrieveError>(Rendered { text, tokens })
    })?;

    let groups = layout.groups(&packed.taken());
    let mut passage_of = vec![0; costs.len()];
    let mut citations = Vec::with_capacity(groups.len());
    for (number, group) in (1..).zip(&groups) {
        for &slot in group {
            passage_of[slot] = number;
        }
        let source = layout.source(group);
        citations.push(Citation::of(layout.passage(group)?, number, source));
    }
    let decisions = (packed.fates.iter().zip(passage_of))
        .map(|(&fate, passage)| Decision::of(fate, passage))
        .collect();
    let candidates = entries(&found.ranked, decisions);
    let Rendered { text, tokens } = packed.rendered;
    Ok(ContextResponse {
        context: text,
        tokens,
        receipt: Receipt {
            query: query.as_str().to_owned(),
            filter: request.ranking.filter.map(Filter::to_json),
            legs: request.ranking.legs,
            fusion: request.ranking.fusion,
            budget: request.budget,
            tokens,
            tokenizer: request.tokenizer.name().to_owned(),
            generation: found.generation,
            sequence: found.sequence,
            dense_exact: found.dense_search.map(|searched| searched.is_exact()),
            dense_search: found.dense_search,
            standout: found.standout,
            rerank: found.reranked.clone(),
            counts: ReceiptCounts::of(found, &candidates, citations.len()),
            candidates,
        },
        citations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::LazyLock;

    use crate::candidates::Candidate;
    use crate::passages::tests::candidates;
    use crate::test_common::{any_text, any_title, cut, tokenizer_files};
    use crate::{DropReason, unescape_text};
    use cento_core::{GenerationNo, Sequence};
    use cento_index::Searched;
    use proptest::prelude::*;

    static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let named = ["cl100k", "o200k"].map(|name| Tokenizer::named(name).expect("built in"));
        let files = tokenizer_files(dir.path());
        let files = (files.iter()).map(|path| Tokenizer::from_file(path).expect("a tokenizer"));
        named.into_iter().chain(files).collect()
    });

    /// Documents by id, and candidates from them in any order.
    type Corpus = (BTreeMap<String, String>, Vec<Candidate>);

    fn corpus(texts: &[String], sizes: &[usize], order: &[usize], titles: &[String]) -> Corpus {
        let mut documents = BTreeMap::new();
        let mut chunks = vec![];
        for (place, text) in texts.iter().enumerate() {
            let id = format!("d{place}");
            let spans = cut(text, sizes[place % sizes.len()]);
            for (ordinal, &(start, end)) in (0..).zip(&spans) {
                chunks.push((
                    id.clone(),
                    ordinal,
                    start as u64,
                    text[start..end].to_owned(),
                ));
            }
            documents.insert(id, text.clone());
        }
        // Any order of rank, and some chunks that no leg found.
        let mut shuffled: Vec<_> = chunks.iter().zip(order.iter().cycle()).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let chosen: Vec<_> = (shuffled.iter())
            .filter(|(_, key)| **key % 7 != 0)
            .map(|((id, ordinal, start, text), _)| (id.as_str(), *ordinal, *start, text.as_str()))
            .take(200)
            .collect();
        let mut ranked = candidates(&chosen);
        for (candidate, title) in ranked.iter_mut().zip(titles.iter().cycle()) {
            candidate.chunk.heading_path = vec![title.clone(), "B".to_owned()];
        }
        (documents, ranked)
    }

    fn any_corpus() -> impl Strategy<Value = Corpus> {
        (
            prop::collection::vec(any_text(), 1..12),
            prop::collection::vec(20usize..400, 1..4),
            prop::collection::vec(0usize..1000, 20..60),
            prop::collection::vec(any_title(), 1..4),
        )
            .prop_map(|(texts, sizes, order, titles)| corpus(&texts, &sizes, &order, &titles))
    }

    fn packed(
        (documents, ranked): Corpus,
        tokenizer: &Tokenizer,
        budget: usize,
    ) -> (Candidates, ContextResponse) {
        let found = Candidates {
            lexical: ranked.len(),
            ranked,
            dense: 0,
            dense_search: Some(Searched::default()),
            reranked: None,
            standout: None,
            generation: GenerationNo(1),
            sequence: Sequence(3),
        };
        let request = ContextRequest {
            query: "why?",
            ranking: Ranking::default(),
            budget: TokenBudget::new(budget).expect("not zero"),
            tokenizer,
        };
        let read = |chunk: &StoredChunk, span: ByteSpan| {
            let text = &documents[chunk.document.id.as_str()];
            Ok(span.slice(text).expect("in the text").to_owned())
        };
        let query = Query::new(request.query).expect("a query");
        let response = assemble(&query, &found, &request, read).expect("sound");
        (found, response)
    }

    #[test]
    fn a_budget_too_small_for_any_passage_gives_an_empty_context_and_says_so() {
        let corpus = corpus(
            &["one two three".to_owned()],
            &[400],
            &[1],
            &["T".to_owned()],
        );
        let (_, response) = packed(corpus, &TOKENIZERS[1], 3);
        assert_eq!(
            (response.context.as_str(), response.tokens),
            ("", TokenCount(0))
        );
        assert!(response.citations.is_empty());
        let Decision::Dropped { reason } = &response.receipt.candidates[0].decision else {
            panic!("dropped");
        };
        assert!(matches!(
            reason,
            DropReason::DoesNotFit { needs, left: TokenCount(3) } if needs.0 > 3
        ));
    }

    #[test]
    fn the_header_of_a_receipt_is_of_a_stable_shape() {
        let corpus = corpus(
            &["one two three".to_owned()],
            &[400],
            &[1],
            &["T".to_owned()],
        );
        let (_, response) = packed(corpus, &TOKENIZERS[1], 2000);
        let json = serde_json::to_value(&response).expect("serialises");
        let chunk = json["citations"][0]["chunks"][0].clone();
        assert_eq!(
            json,
            serde_json::json!({
                "context": "<passage id=\"1\" document=\"d0\" title=\"About d0\" \
                    section=\"T > B\">\none two three\n</passage>",
                "tokens": 32,
                "citations": [{
                    "passage": 1, "document": "d0", "title": "About d0", "source": null,
                    "heading_path": ["T", "B"], "span": {"start": 0, "end": 13}, "line": 1,
                    "chunks": [chunk], "quote": "one two three"
                }],
                "receipt": {
                    "query": "why?", "filter": null, "legs": "hybrid",
                "fusion": "adaptive",
                    "budget": 2000, "tokens": 32, "tokenizer": "o200k",
                    "generation": 1, "sequence": 3, "dense_exact": true,
                    "dense_search": {"scanned": 0, "walked": 0, "walked_among": 0, "compared": 0},
                    "counts": {
                        "candidates": 1, "lexical": 1, "dense": 0, "taken": 1,
                        "duplicates": 0, "too_large": 0, "passages": 1
                    },
                    "candidates": [{
                        "rank": 1, "chunk": chunk, "document": "d0",
                        "span": {"start": 0, "end": 13}, "score": 1.0,
                        "lexical": {"rank": 1, "score": 1.0},
                        "dense": {"rank": null, "score": 0.0},
                        "decision": {"kind": "taken", "passage": 1, "tokens": 32}
                    }]
                }
            })
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_context_holds_its_budget_quotes_exactly_and_accounts_for_everything(
            corpus in any_corpus(),
            tokenizer in any::<prop::sample::Index>(),
            budget in prop_oneof![1usize..200, 1usize..2_000, 1usize..=20_000],
        ) {
            let tokenizer = tokenizer.get(&TOKENIZERS);
            let documents = corpus.0.clone();
            let (found, response) = packed(corpus, tokenizer, budget);

            prop_assert_eq!(tokenizer.count(&response.context), response.tokens);
            prop_assert!(response.tokens.0 <= budget);

            let blocks: Vec<&str> = (response.context.split("\n</passage>"))
                .filter_map(|block| block.split_once(">\n").map(|(_, text)| text))
                .collect();
            prop_assert_eq!(blocks.len(), response.citations.len());
            for ((number, citation), block) in (1..).zip(&response.citations).zip(blocks) {
                prop_assert_eq!(citation.passage, number);
                let text = &documents[citation.document.as_str()];
                prop_assert_eq!(citation.span.slice(text), Ok(citation.quote.as_str()));
                prop_assert_eq!(&unescape_text(block), &citation.quote);
            }

            let receipt = &response.receipt;
            prop_assert_eq!(receipt.candidates.len(), found.ranked.len());
            for ((rank, entry), candidate) in (1..).zip(&receipt.candidates).zip(&found.ranked) {
                prop_assert_eq!(entry.rank, rank);
                prop_assert_eq!(&entry.chunk, &candidate.chunk.id);
                let cited: Vec<usize> = (response.citations.iter())
                    .filter(|citation| citation.chunks.contains(&entry.chunk))
                    .map(|citation| citation.passage)
                    .collect();
                match &entry.decision {
                    Decision::Taken { passage, .. } => prop_assert_eq!(cited, [*passage]),
                    Decision::Dropped { reason } => {
                        prop_assert!(cited.is_empty());
                        if let DropReason::DoesNotFit { needs, left } = reason {
                            prop_assert!(needs > left);
                            prop_assert_eq!(left.0, budget - response.tokens.0);
                        }
                    }
                }
            }
        }
    }
}
