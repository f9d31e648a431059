//! Does a context on the real engine hold its budget, quote exactly and
//! account for every candidate, whatever stands in the collection?

#[allow(unreachable_pub, reason = "shared with the unit tests")]
mod common;
mod shelves;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use cento_core::{Filter, TokenBudget, TokenCount};
use cento_index::View;
use cento_retrieve::{
    ContextRequest, ContextResponse, Decision, DropReason, Fusion, Legs, Ranking, SearchRequest,
    Tokenizer, context, search,
};
use common::{any_text, any_title, tokenizer_files};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;
use serde_json::json;
use shelves::{Collection, EMBEDDER};

static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder");
    let named = ["cl100k", "o200k"].map(|name| Tokenizer::named(name).expect("built in"));
    let files = tokenizer_files(dir.path());
    let files = (files.iter()).map(|path| Tokenizer::from_file(path).expect("a tokenizer"));
    named.into_iter().chain(files).collect()
});

/// One way of asking.
#[derive(Debug, Clone)]
struct Question {
    query: String,
    filtered: bool,
    legs: Index,
    fusion: Index,
    tokenizer: Index,
    budget: usize,
}

fn any_question() -> impl Strategy<Value = Question> {
    let query = prop_oneof![
        Just("gateway firmware update".to_owned()),
        Just("网关离线".to_owned()),
        Just("</passage> ignore".to_owned()),
        "[a-z]{1,5}( [a-z]{1,5}){0,6}",
        "\\PC{1,20}\\?",
    ];
    let budget = prop_oneof![1usize..200, 1usize..2_000, 1usize..=20_000];
    let indexes = any::<(Index, Index, Index, bool)>();
    (query, budget, indexes).prop_map(|(query, budget, (legs, fusion, tokenizer, filtered))| {
        Question {
            query,
            filtered,
            legs,
            fusion,
            tokenizer,
            budget,
        }
    })
}

fn check(view: &View, question: &Question) -> Result<(), TestCaseError> {
    let shelf = Filter::from_json(&json!({"type": "in", "key": "shelf", "value": [0, 1]}));
    let shelf = shelf.expect("a filter");
    let tokenizer = question.tokenizer.get(&TOKENIZERS);
    let request = ContextRequest {
        query: &question.query,
        ranking: Ranking {
            filter: question.filtered.then_some(&shelf),
            legs: *question.legs.get(&Legs::ALL),
            fusion: *question.fusion.get(&Fusion::ALL),
            ..Ranking::default()
        },
        budget: TokenBudget::new(question.budget).expect("not zero"),
        tokenizer,
    };
    let response = context(view, &*EMBEDDER, &request).expect("a context");
    let again = context(view, &*EMBEDDER, &request).expect("a context");
    prop_assert_eq!(&response, &again, "the same query gives the same bytes");

    prop_assert_eq!(tokenizer.count(&response.context), response.tokens);
    prop_assert!(response.tokens <= TokenCount(question.budget));
    check_quotes(view, &response)?;
    check_receipt(view, &request, &response)
}

fn check_quotes(view: &View, response: &ContextResponse) -> Result<(), TestCaseError> {
    for (number, citation) in (1..).zip(&response.citations) {
        prop_assert_eq!(citation.passage, number);
        let document = view.document(&citation.document).expect("readable");
        let document = document.expect("a document of the view").document;
        let quoted = citation.span.slice(&document.text);
        prop_assert_eq!(quoted, Ok(citation.quote.as_str()));
        prop_assert_eq!(&citation.title, &document.title);
        prop_assert_eq!(&citation.source, &document.source);
    }
    Ok(())
}

/// Every candidate stands in the receipt once, and the candidates are those
/// that a search finds.
fn check_receipt(
    view: &View,
    request: &ContextRequest<'_>,
    response: &ContextResponse,
) -> Result<(), TestCaseError> {
    let everything = SearchRequest {
        query: request.query,
        ranking: Ranking {
            filter: request.ranking.filter,
            legs: request.ranking.legs,
            fusion: request.ranking.fusion,
            ..Ranking::default()
        },
        limit: usize::MAX,
    };
    let found = search(view, &*EMBEDDER, &everything).expect("an answer");
    let searched: BTreeSet<_> = (found.hits.iter())
        .flat_map(|hit| hit.duplicates.iter().chain([&hit.chunk]))
        .collect();
    let entries = &response.receipt.candidates;
    let listed: BTreeSet<_> = entries.iter().map(|entry| &entry.chunk).collect();
    prop_assert_eq!(listed.len(), entries.len(), "a candidate is listed twice");
    prop_assert_eq!(listed, searched);
    prop_assert_eq!(found.candidates, entries.len());

    let mut cited = BTreeSet::new();
    for (chunk, passage) in (response.citations.iter()).flat_map(|citation| {
        citation
            .chunks
            .iter()
            .map(move |chunk| (chunk, citation.passage))
    }) {
        prop_assert!(cited.insert((chunk, passage)));
    }
    let mut taken = BTreeSet::new();
    for entry in entries {
        match &entry.decision {
            Decision::Taken { passage, .. } => {
                taken.insert((&entry.chunk, *passage));
            }
            Decision::Dropped {
                reason: DropReason::DoesNotFit { needs, left },
            } => prop_assert!(needs > left),
            Decision::Dropped { .. } => {}
        }
    }
    prop_assert_eq!(cited, taken);

    let few = search(
        view,
        &*EMBEDDER,
        &SearchRequest {
            limit: 3,
            ..everything
        },
    );
    let few = few.expect("an answer").hits;
    prop_assert_eq!(&few[..], &found.hits[..few.len()], "a limit only cuts");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        // A case is a collection on disk, asked eight times: by default 16 of
        // them, and more if PROPTEST_CASES asks for more.
        cases: ProptestConfig::default().cases.div_ceil(16),
        max_shrink_iters: 64,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_context_holds_its_budget_quotes_exactly_and_accounts_for_everything(
        texts in prop::collection::vec(any_text(), 1..40),
        repeated in any::<Index>(),
        titles in prop::collection::vec(any_title(), 1..4),
        sizes in prop::collection::vec(20usize..600, 1..4),
        questions in prop::collection::vec(any_question(), 8),
    ) {
        // One document stands in the collection twice.
        let twice = repeated.get(&texts).clone();
        let texts: Vec<String> = texts.into_iter().chain([twice, "the end".to_owned()]).collect();
        let collection = Collection::of(&texts, &titles, &sizes);
        for question in &questions {
            check(&collection.view, question)?;
        }
    }
}
