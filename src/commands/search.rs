//! `cento search`: which chunks fit a query best?

use std::path::Path;
use std::process::ExitCode;

use cento_retrieve::{LEG_DEPTH, SearchHit, SearchRequest, search};

use super::{Outcome, told};
use crate::args::SearchArgs;
use crate::session::open;
use crate::{filter, output};

pub(crate) fn run(data: &Path, args: &SearchArgs, json: bool) -> Outcome {
    let session = open(data, &args.query.collection.collection)?;
    let view = session.engine.view();
    let filter = filter::parse(&args.query.filters, view.fields())?;
    let request = SearchRequest {
        query: &args.query.query,
        filter: filter.as_ref(),
        legs: args.query.legs,
        fusion: args.query.fusion,
        depth: LEG_DEPTH,
        limit: args.limit,
    };
    let response = search(&view, &*session.embedder, &request).map_err(told)?;
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
        "     bytes {}  lexical {lexical}  dense {dense}",
        hit.span
    ));
    output::line(format_args!("     {}", output::shorten(&hit.text, 160)));
}

fn leg(rank: Option<usize>, score: f32) -> String {
    match rank {
        Some(rank) => format!("#{rank} {score:.3}"),
        None => format!("- {score:.3}"),
    }
}
