//! `cento eval`: did retrieval get better or worse?

mod tables;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use cento_api::{Problem, open_reranker};
use cento_core::TokenBudget;
use cento_embed::{EmbeddingCache, cached};
use cento_eval::{Dataset, Means, Outcome, Plan, Qrels, Run};
use cento_index::Effort;
use cento_ingest::Chunking;
use cento_retrieve::{Fusion, LEG_DEPTH, Legs, Tokenizer};
use serde_json::json;

use super::Outcome as CommandOutcome;
use crate::args::{
    BudgetArgs, DatasetArgs, EvalCommand, EvalContextsArgs, EvalExportArgs, EvalMeasureArgs,
    EvalRunArgs, RowsArgs,
};
use crate::output;
use crate::progress::Progress;
use crate::target::Place;

pub(crate) fn run(place: &Place, command: &EvalCommand, json: bool) -> CommandOutcome {
    match command {
        EvalCommand::Run(args) => run_set(place, args, json),
        EvalCommand::Measure(args) => measure_run(args, json),
        EvalCommand::Contexts(args) => measure_candidates(args, json),
        EvalCommand::Export(args) => export(args, json),
    }
}

fn run_set(place: &Place, args: &EvalRunArgs, json: bool) -> CommandOutcome {
    let plan = Plan {
        chunking: args.chunking,
        legs: args.legs,
        fusion: args.fusion,
        depth: depth(args.depth)?,
        effort: args.effort.or(Effort::Exact)?,
        rerank: match &args.rerank {
            Some(model) => Some((open_reranker(model)?, args.rerank_head)),
            None => None,
        },
        filter_by: args.filter_by.as_deref().map(field).transpose()?,
        queries: args.budgets.queries,
        measures: args.measures.measures.clone(),
        budgets: budgets(&args.budgets)?,
    };
    let tokenizer = tokenizer(&args.budgets.tokenizer)?;
    let dataset = open(&args.dataset)?;
    let embedder = cento_embed::open(&args.embedder)?;
    // What is kept is kept with what it was made for: another chunking there embeds
    // only what it cuts otherwise.
    let cache = match &args.index {
        Some(dir) => EmbeddingCache::of_directory(dir, place.embedding_cache_bytes),
        None => EmbeddingCache::of_directory(Path::new(""), 0),
    };
    let embedder = cached(embedder, Arc::new(cache));
    let temporary;
    let dir = match &args.index {
        Some(dir) => dir.as_path(),
        None => {
            temporary = tempfile::tempdir().map_err(|error| {
                let detail = format!("cannot make a temporary folder: {error}");
                Problem::new("io_error", 500, detail)
            })?;
            temporary.path()
        }
    };
    // Standard output is for the figures alone, so what is seen of the
    // ingestion goes to standard error with --json, too.
    let mut progress = Progress::new(false);
    let outcome = cento_eval::run(&dataset, embedder, &plan, &tokenizer, dir, &mut |event| {
        progress.show(&event);
    });
    progress.finish();
    let outcome = outcome?;
    if let Some(path) = &args.run {
        let Some(run) = &outcome.run else {
            let detail = "--run writes rankings of documents, and this set judges spans";
            return Err(Problem::new("not_for_this_dataset", 400, detail));
        };
        cento_eval::write_run(run, "cento", path)?;
    }
    finish(&outcome, &args.rows, json)
}

fn measure_candidates(args: &EvalContextsArgs, json: bool) -> CommandOutcome {
    let plan = Plan {
        chunking: Chunking::default(),
        legs: Legs::default(),
        fusion: Fusion::default(),
        depth: LEG_DEPTH,
        effort: Effort::Exact,
        rerank: None,
        filter_by: None,
        queries: args.budgets.queries,
        measures: vec![],
        budgets: budgets(&args.budgets)?,
    };
    let tokenizer = tokenizer(&args.budgets.tokenizer)?;
    let dataset = open(&args.dataset)?;
    let outcome = cento_eval::run_candidates(&dataset, &args.candidates, &plan, &tokenizer);
    finish(&outcome?, &args.rows, json)
}

fn measure_run(args: &EvalMeasureArgs, json: bool) -> CommandOutcome {
    let qrels = Qrels::load(&args.qrels)?;
    let run = Run::load(&args.run)?;
    let measures = &args.measures.measures;
    let rows = cento_eval::measure(&qrels, &run, qrels.queries(), measures);
    let means = Means::of(&rows, measures);
    let unjudged: BTreeSet<&str> = (run.queries())
        .filter(|query| !qrels.is_judged(query))
        .collect();
    if json {
        let rows = args.per_query.then_some(&rows);
        output::json(&json!({
            "documents": means, "unjudged": unjudged.len(), "queries": rows,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    if args.per_query {
        tables::queries(&rows, measures);
    }
    tables::means(&means);
    if !unjudged.is_empty() {
        let count = output::count(unjudged.len() as u64, "query");
        output::note(format_args!(
            "note: the run has {count} without a judgement, left out"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn export(args: &EvalExportArgs, json: bool) -> CommandOutcome {
    let dataset = open(&args.dataset)?;
    let exported = cento_eval::export(&dataset, &args.out)?;
    if json {
        output::json(&exported);
    } else {
        output::line(format_args!(
            "{} documents and {} questions written to {}",
            exported.documents,
            exported.queries,
            args.out.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn finish(outcome: &Outcome, rows: &RowsArgs, json: bool) -> CommandOutcome {
    let report = &outcome.report;
    if let Some(path) = &rows.out {
        report.write_rows(&outcome.rows, path)?;
    }
    if json {
        output::json(report);
    } else {
        tables::report(report);
    }
    Ok(ExitCode::SUCCESS)
}

fn open(args: &DatasetArgs) -> Result<Dataset, Problem> {
    Ok(Dataset::open(&args.dataset, args.split.as_deref())?)
}

/// A tokenizer by name, or from a file if there is one at that path.
fn tokenizer(name: &str) -> Result<Tokenizer, Problem> {
    let path = Path::new(name);
    let is_file = path.is_file() || path.extension().is_some_and(|ending| ending == "json");
    Ok(if is_file {
        Tokenizer::from_file(path)?
    } else {
        Tokenizer::named(name)?
    })
}

fn budgets(args: &BudgetArgs) -> Result<Vec<TokenBudget>, Problem> {
    let budgets = args.budgets.iter().map(|&tokens| TokenBudget::new(tokens));
    Ok(budgets.collect::<Result<_, _>>()?)
}

fn depth(depth: usize) -> Result<usize, Problem> {
    if depth == 0 {
        let detail = "--depth is 0, but each leg must return at least one chunk";
        return Err(Problem::new("invalid_depth", 400, detail));
    }
    Ok(depth)
}

fn field(written: &str) -> Result<String, Problem> {
    let name = written.strip_prefix("metadata.").unwrap_or_default();
    if name.is_empty() {
        let detail = format!("'{written}' is no field to filter by: write metadata.FIELD");
        return Err(Problem::new("invalid_filter", 400, detail));
    }
    Ok(name.to_owned())
}
