//! `cento context`: what should stand in the prompt?

use std::process::ExitCode;

use cento_api::types::ContextQuery;
use cento_core::TokenBudget;
use cento_retrieve::{ContextResponse, Decision, DropReason, Receipt, ReceiptEntry};

use super::Outcome;
use crate::args::ContextArgs;
use crate::target::{Place, Target, name};
use crate::{filter, output};

pub(crate) fn run(place: &Place, args: &ContextArgs, json: bool) -> Outcome {
    let budget = TokenBudget::new(args.max_tokens)?;
    let target = Target::existing(&place.reranking(&args.query.rerank))?;
    let collection = name(&args.query.collection.collection)?;
    target.tell_recovery(&collection)?;
    let asked = ContextQuery {
        filter: filter::asked(&args.query.filters, &target, &collection)?,
        legs: args.query.legs,
        fusion: args.query.fusion,
        recall: args.query.effort.recall,
        ef: args.query.effort.ef,
        exact: args.query.effort.exact,
        rerank: args.query.rerank.asked(),
        ..ContextQuery::new(collection, &args.query.query, budget)
    };
    let response = target.context(&asked, &args.tokenizer)?;
    if json {
        output::json(&response);
        return Ok(ExitCode::SUCCESS);
    }
    if !response.context.is_empty() {
        output::line(&response.context);
    }
    for text in citations(&response) {
        output::note(text);
    }
    output::note(totals(&response.receipt));
    if let Some(told) = &response.receipt.rerank {
        output::note(output::reranked(told));
    }
    if args.receipt {
        for entry in &response.receipt.candidates {
            output::note(receipt_line(entry));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One line a citation.
pub(crate) fn citations(response: &ContextResponse) -> Vec<String> {
    let of = |citation: &cento_retrieve::Citation| {
        format!(
            "[{}] {}:{} bytes {}",
            citation.passage, citation.document, citation.line, citation.span
        )
    };
    response.citations.iter().map(of).collect()
}

/// A receipt's counts in one line.
pub(crate) fn totals(receipt: &Receipt) -> String {
    let counts = receipt.counts;
    let mut text = format!(
        "{} of {} tokens ({}); {} from {}",
        receipt.tokens,
        receipt.budget.limit(),
        receipt.tokenizer,
        output::count(counts.passages as u64, "passage"),
        output::count(counts.candidates as u64, "candidate"),
    );
    text.push_str(&format!(
        ": {} taken, {} left out for size, {} exact duplicates",
        counts.taken, counts.too_large, counts.duplicates
    ));
    if counts.taken == 0 && counts.candidates > 0 {
        text.push_str("; no candidate fits this budget");
    }
    text
}

/// What became of one candidate, in one line.
pub(crate) fn receipt_line(entry: &ReceiptEntry) -> String {
    let fate = match &entry.decision {
        Decision::Taken { passage, tokens } => format!("taken into [{passage}], {tokens} tokens"),
        Decision::Dropped { reason } => match reason {
            DropReason::DuplicateOf { chunk } => format!("dropped: repeats {}", chunk.as_str()),
            DropReason::DoesNotFit { needs, left } => {
                format!("dropped: needs {needs} tokens, {left} left")
            }
        },
    };
    format!(
        "{:>4}. {:.4}  {} bytes {}{}  {fate}",
        entry.rank,
        entry.score.0,
        entry.document,
        entry.span,
        output::judged(entry.rerank.as_ref())
    )
}
