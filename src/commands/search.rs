//! `cento search`: which chunks fit a query best?

use std::process::ExitCode;

use cento_api::types::SearchQuery;
use cento_retrieve::SearchHit;

use super::Outcome;
use crate::args::SearchArgs;
use crate::target::{Place, Target, name};
use crate::{filter, output};

pub(crate) fn run(place: &Place, args: &SearchArgs, json: bool) -> Outcome {
    let target = Target::existing(&place.reranking(&args.query.rerank))?;
    let collection = name(&args.query.collection.collection)?;
    target.tell_recovery(&collection)?;
    let asked = SearchQuery {
        filter: filter::asked(&args.query.filters, &target, &collection)?,
        legs: args.query.legs,
        fusion: args.query.fusion,
        recall: args.query.effort.recall,
        ef: args.query.effort.ef,
        exact: args.query.effort.exact,
        rerank: args.query.rerank.asked(),
        limit: args.limit,
        ..SearchQuery::new(&args.query.query)
    };
    let response = target.search(&collection, &asked)?;
    if json {
        output::json(&response);
        return Ok(ExitCode::SUCCESS);
    }
    if response.hits.is_empty() {
        output::note("nothing found");
    }
    for hit in &response.hits {
        print(hit);
    }
    if let Some(told) = &response.rerank {
        output::note(output::reranked(told));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(hit: &SearchHit) {
    let section = hit.heading_path.join(" > ");
    let section = if section.is_empty() {
        section
    } else {
        format!("  {section}")
    };
    output::line(format_args!(
        "{:>3}. {:.4}  {}:{}{section}",
        hit.rank, hit.score.0, hit.document, hit.line
    ));
    let lexical = leg(hit.lexical.rank, hit.lexical.score.0);
    let dense = hit
        .dense
        .as_ref()
        .map_or("none".to_owned(), |dense| leg(dense.rank, dense.score.0));
    output::line(format_args!(
        "     bytes {}  lexical {lexical}  dense {dense}{}",
        hit.span,
        output::judged(hit.rerank.as_ref())
    ));
    output::line(format_args!("     {}", output::shorten(&hit.text, 160)));
}

fn leg(rank: Option<usize>, score: f32) -> String {
    match rank {
        Some(rank) => format!("#{rank} {score:.3}"),
        None => format!("- {score:.3}"),
    }
}
