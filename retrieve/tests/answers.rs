//! What do search and context answer on the real engine, and what do they
//! refuse?

#[allow(dead_code, unreachable_pub, reason = "shared with the unit tests")]
mod common;
mod shelves;

use cento_core::{ChunkNo, CoreError, Filter, TokenBudget, TokenCount};
use cento_embed::{Contract, EmbedError, Embedder, Standout};
use cento_index::{IndexError, StoredChunk};
use cento_retrieve::{
    ContextRequest, Decision, DropReason, Fusion, Ranking, RetrieveError, SearchRequest, Tokenizer,
    context, search,
};
use serde_json::{Value, json};
use shelves::{Collection, EMBEDDER};

const TEXTS: [&str; 5] = [
    "A gateway that is offline blinks red twice. Restart it and wait for two minutes.",
    "Refunds are paid within ten days. Hardware is refunded only in its box.",
    "The on-call engineer answers a page within a quarter of an hour.",
    "A gateway that is offline blinks red twice. Restart it and wait for two minutes.",
    "Invoices are sent on the first day of each month.",
];

fn collection() -> Collection {
    Collection::of(&TEXTS.map(str::to_owned), &[String::new()], &[400])
}

fn asked(query: &str) -> SearchRequest<'_> {
    SearchRequest {
        query,
        ranking: Ranking::default(),
        limit: 10,
    }
}

fn filter(json: &Value) -> Filter {
    Filter::from_json(json).expect("a filter")
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let collection = collection();
    let ask = |request: SearchRequest<'_>| search(&collection.view, &*EMBEDDER, &request);
    assert!(matches!(ask(asked(" \n")), Err(RetrieveError::EmptyQuery)));
    assert!(matches!(
        ask(asked(&"x ".repeat(50_000))),
        Err(RetrieveError::QueryTooLong { chars: 100_000, .. })
    ));
    for unfit in [
        json!({"type": "eq", "key": "floor", "value": 1}),
        json!({"type": "eq", "key": "shelf", "value": "one"}),
    ] {
        let filter = filter(&unfit);
        let request = SearchRequest {
            ranking: Ranking {
                filter: Some(&filter),
                ..Ranking::default()
            },
            ..asked("gateway")
        };
        assert!(matches!(
            ask(request),
            Err(RetrieveError::Index(IndexError::Invalid(
                CoreError::UnknownField { .. } | CoreError::FilterType { .. }
            )))
        ));
    }
}

#[test]
fn every_candidate_is_scored_by_both_legs() {
    let collection = collection();
    let view = &collection.view;
    let query = "Why does the gateway blink red?";
    let found = search(view, &*EMBEDDER, &asked(query)).expect("an answer");
    assert_eq!(found.dense_exact, Some(true));
    assert_eq!(found.hits[0].document.as_str(), "shelf/0.md");
    assert_eq!(found.hits[0].duplicates.len(), 1);

    let information = view.lexical(query, None, 100).expect("found").information;
    let vector = EMBEDDER.embed_query(query).expect("embedded");
    for hit in &found.hits {
        let document = view.document(&hit.document).expect("readable");
        let chunks: Vec<StoredChunk> = document.expect("there").chunks;
        let chunk = chunks.iter().find(|chunk| chunk.id == hit.chunk);
        let numbers: [ChunkNo; 1] = [chunk.expect("there").number];
        let lexical = view.lexical_scores(query, &numbers).expect("scored")[0];
        let dense = view.dense_scores(&vector, &numbers).expect("scored")[0];
        let cosine = hit.dense.expect("the query has a vector").score;
        assert!((hit.lexical.score.0 - lexical.0).abs() < 1e-4);
        assert!((cosine.0 - dense.0).abs() < 1e-4);
        let weighed = EMBEDDER.contract().cosine_weight * cosine.0;
        let absolute = weighed + hit.lexical.score.0 / (2.2 * information);
        assert!((hit.score.0 - absolute).abs() < 1e-4);
    }
}

#[test]
fn a_filter_holds_for_all_that_is_quoted() {
    let collection = collection();
    let tokenizer = Tokenizer::named(Tokenizer::DEFAULT).expect("built in");
    let ask = |filter: &Filter| {
        let request = ContextRequest {
            query: "gateway refunds page invoices",
            ranking: Ranking {
                filter: Some(filter),
                ..Ranking::default()
            },
            budget: TokenBudget::new(1_000).expect("not zero"),
            tokenizer: &tokenizer,
        };
        context(&collection.view, &*EMBEDDER, &request).expect("a context")
    };
    let written = json!({"type": "eq", "key": "metadata.shelf", "value": 1});
    let response = ask(&filter(&written));
    let quoted: Vec<_> = (response.citations.iter())
        .map(|citation| citation.document.as_str())
        .collect();
    assert_eq!(response.receipt.candidates.len(), 2);
    assert!(quoted.contains(&"shelf/1.md") && quoted.contains(&"shelf/4.md"));
    assert_eq!(response.receipt.filter, Some(written));

    let nothing = ask(&filter(
        &json!({"type": "eq", "key": "id", "value": "none"}),
    ));
    assert_eq!(
        (nothing.context.as_str(), nothing.tokens),
        ("", TokenCount(0))
    );
    assert!(nothing.receipt.candidates.is_empty());
}

#[test]
fn an_equal_text_is_quoted_once_and_its_twin_is_in_the_receipt() {
    let collection = collection();
    let tokenizer = Tokenizer::named("cl100k").expect("built in");
    let request = ContextRequest {
        query: "gateway offline",
        ranking: Ranking {
            fusion: Fusion::Rrf,
            ..Ranking::default()
        },
        budget: TokenBudget::new(10_000).expect("not zero"),
        tokenizer: &tokenizer,
    };
    let response = context(&collection.view, &*EMBEDDER, &request).expect("a context");
    assert_eq!(response.context.matches("blinks red twice").count(), 1);
    let twins: Vec<_> = (response.receipt.candidates.iter())
        .filter_map(|entry| match &entry.decision {
            Decision::Dropped {
                reason: DropReason::DuplicateOf { chunk },
            } => Some((entry.document.as_str(), chunk.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(twins.len(), 1);
    assert!(twins[0].0 == "shelf/3.md" && twins[0].1.starts_with("shelf/0.md#"));
}

/// The same model, of which it is known how to tell whether it knows a query.
struct Knowing(Contract);

impl Knowing {
    const STANDOUT: Standout = Standout {
        at: 0.9,
        weight: 3.0,
    };

    fn new() -> Self {
        Self(Contract {
            standout: Some(Self::STANDOUT),
            ..EMBEDDER.contract().clone()
        })
    }
}

impl Embedder for Knowing {
    fn contract(&self) -> &Contract {
        &self.0
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        EMBEDDER.embed_query(text)
    }

    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        EMBEDDER.embed_documents(texts)
    }
}

#[test]
fn a_cosine_is_worth_what_the_nearest_text_stands_out_by() {
    let texts: Vec<String> = (0..60)
        .map(|i| format!("Shelf {i} holds box {} and lamp {}.", i * 7, i * 13))
        .chain(TEXTS.map(str::to_owned))
        .collect();
    let collection = Collection::of(&texts, &[String::new()], &[400]);
    let view = &collection.view;
    let query = "Why does the gateway blink red?";
    let knowing = Knowing::new();
    let found = search(view, &knowing, &asked(query)).expect("an answer");

    let vector = EMBEDDER.embed_query(query).expect("embedded");
    let all = view.sample(None, 1_000);
    let cosines = view.dense_scores(&vector, &all).expect("scored");
    let mean = cosines.iter().map(|cosine| cosine.0).sum::<f32>() / 65.0;
    let nearest = cosines.iter().max().expect("some").0;
    let standout = found.standout.expect("weighed by it");
    assert_eq!(all.len(), 65);
    assert!((standout - (nearest - mean)).abs() < 1e-4);
    let weight = Knowing::STANDOUT.weight_at(standout);
    assert!(weight < 3.0, "it does not stand out so far: {standout}");
    let information = view.lexical(query, None, 100).expect("found").information;
    for hit in &found.hits {
        let cosine = hit.dense.expect("a vector").score.0;
        let expected = weight * cosine + hit.lexical.score.0 / (2.2 * information);
        assert!((hit.score.0 - expected).abs() < 1e-4);
    }
    // Others do not look at it, and of a few texts no mean can be told.
    for fusion in [Fusion::Absolute, Fusion::Convex, Fusion::Rrf] {
        let request = SearchRequest {
            ranking: Ranking {
                fusion,
                ..Ranking::default()
            },
            ..asked(query)
        };
        let found = search(view, &knowing, &request).expect("an answer");
        assert_eq!(found.standout, None);
    }
    let few = search(&self::collection().view, &knowing, &asked(query));
    assert_eq!(few.expect("an answer").standout, None);
    // So it is if only a few may be found: then a cosine is worth what it always is.
    let third = filter(&json!({"type": "eq", "key": "shelf", "value": 1}));
    let request = SearchRequest {
        ranking: Ranking {
            filter: Some(&third),
            ..Ranking::default()
        },
        ..asked(query)
    };
    let found = search(view, &knowing, &request).expect("an answer");
    assert_eq!(found.standout, None);
    let weight = knowing.contract().cosine_weight;
    for hit in &found.hits {
        let cosine = hit.dense.expect("a vector").score.0;
        let expected = weight * cosine + hit.lexical.score.0 / (2.2 * information);
        assert!((hit.score.0 - expected).abs() < 1e-4);
    }
}
