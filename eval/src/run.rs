//! How is a judged set measured from beginning to end?

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use cento_core::TokenBudget;
use cento_embed::{Embedder, Reranker};
use cento_index::Effort;
use cento_ingest::{Chunking, Event};
use cento_retrieve::{Fusion, LEG_DEPTH, Legs, Ranking, Rerank, Tokenizer};

use crate::candidates::Candidates;
use crate::contexts::{ContextAsking, ContextMeans, contexts, packed};
use crate::documents::{Asking, Means, ask, measure};
use crate::indexed::index;
use crate::provenance::{DatasetSettings, Environment, RerankSettings, Settings, System};
use crate::report::{Report, Rows};
use crate::trec::Run;
use crate::{Dataset, EvalError, Measure, Question, Selection};

/// How a set is cut, asked and measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How documents are cut.
    pub chunking: Chunking,
    /// Which legs are asked.
    pub legs: Legs,
    /// How the legs' scores become one, if there are two.
    pub fusion: Fusion,
    /// How many chunks each leg returns.
    pub depth: usize,
    /// How hard the dense leg looks. Only comparing everything gives the same figures
    /// again after the vectors have been indexed anew.
    pub effort: Effort,
    /// A model that looks at the best candidates again, and how many of them.
    pub rerank: Option<(Arc<dyn Reranker>, usize)>,
    /// The metadata field in which a document must agree with the query.
    pub filter_by: Option<String>,
    /// Which questions are asked.
    pub queries: Selection,
    /// What is measured of rankings, where documents are judged.
    pub measures: Vec<Measure>,
    /// How many tokens contexts may have, where spans are judged.
    pub budgets: Vec<TokenBudget>,
}

impl Plan {
    /// The budgets unless others are asked for.
    pub const BUDGETS: [usize; 4] = [500, 1000, 2000, 4000];
}

/// What a run found out, with all that it is made of.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The figures.
    pub report: Report,
    /// Those of each query.
    pub rows: Rows,
    /// The rankings, where documents are judged.
    pub run: Option<Run>,
}

/// Ingests a set into the data directory `dir`, asks its questions in parallel
/// and measures: rankings where documents are judged, contexts where spans are.
///
/// # Errors
/// A selection without a question, what does not go with this set, and errors
/// of the rooms below.
pub fn run(
    dataset: &Dataset,
    embedder: Box<dyn Embedder>,
    plan: &Plan,
    tokenizer: &Tokenizer,
    dir: &Path,
    progress: &mut dyn FnMut(Event<'_>),
) -> Result<Outcome, EvalError> {
    let questions = selected(dataset, plan.queries)?;
    if dataset.qrels().is_none() && plan.depth != LEG_DEPTH {
        return Err(EvalError::NotForThisSet(
            "a context has a fixed depth: leave --depth out on a set judged by spans".to_owned(),
        ));
    }
    let rerank = plan
        .rerank
        .as_ref()
        .map(|(reranker, head)| Rerank::at_leisure(&**reranker, *head));
    let ranking = Ranking {
        filter: None,
        legs: plan.legs,
        fusion: plan.fusion,
        depth: plan.depth,
        effort: plan.effort,
        rerank: rerank.transpose()?,
    };
    let fingerprint = embedder.contract().fingerprint.clone();
    let field = plan.filter_by.as_deref();
    let indexed = index(dataset, embedder, plan.chunking, field, dir, progress)?;
    let system = System::Cento {
        chunking: plan.chunking.fingerprint().to_owned(),
        embedder: fingerprint,
        legs: plan.legs,
        fusion: (plan.legs == Legs::Hybrid).then_some(plan.fusion),
        depth: plan.depth,
        effort: plan.effort.to_string(),
        filter_by: plan.filter_by.clone(),
        rerank: plan.rerank.as_ref().map(|(reranker, head)| RerankSettings {
            model: reranker.fingerprint().to_owned(),
            head: *head,
        }),
    };
    let begun = Instant::now();
    let (rows, run) = match dataset.qrels() {
        Some(qrels) => {
            let asking = Asking {
                ranking,
                filter_by: field,
            };
            let run = ask(dataset, &indexed, &asking, &questions)?;
            let ids = questions.iter().map(|question| question.id.as_str());
            let rows = measure(qrels, &run, ids, &plan.measures);
            (Rows::Queries(rows), Some(run))
        }
        None => {
            let asking = ContextAsking {
                ranking,
                budgets: &plan.budgets,
                tokenizer,
            };
            (
                Rows::Contexts(contexts(&indexed, &asking, &questions)?),
                None,
            )
        }
    };
    let mut report = report(dataset, system, plan, tokenizer, &rows, begun);
    report.corpus = Some(indexed.corpus);
    Ok(Outcome { report, rows, run })
}

/// Measures another system's candidates on a set judged by spans.
///
/// # Errors
/// A set judged by documents, candidates that do not fit the set, a selection
/// without a question.
pub fn run_candidates(
    dataset: &Dataset,
    candidates: &Path,
    plan: &Plan,
    tokenizer: &Tokenizer,
) -> Result<Outcome, EvalError> {
    if dataset.qrels().is_some() {
        return Err(EvalError::NotForThisSet(
            "this set judges documents, not spans: measure another system's run with `cento eval measure`".to_owned(),
        ));
    }
    let questions = selected(dataset, plan.queries)?;
    let documents = dataset.documents()?;
    let known: HashSet<&str> = (dataset.questions().iter())
        .map(|question| question.id.as_str())
        .collect();
    let candidates = Candidates::load(candidates, &documents, &known)?;
    let begun = Instant::now();
    let rows = packed(
        &documents,
        &candidates,
        &plan.budgets,
        tokenizer,
        &questions,
    );
    let rows = Rows::Contexts(rows);
    let system = System::Candidates {
        digest: candidates.digest().to_owned(),
    };
    let report = report(dataset, system, plan, tokenizer, &rows, begun);
    Ok(Outcome {
        report,
        rows,
        run: None,
    })
}

fn selected(dataset: &Dataset, selection: Selection) -> Result<Vec<&Question>, EvalError> {
    let questions: Vec<&Question> = (dataset.questions().iter())
        .filter(|question| selection.holds(question.position))
        .collect();
    if questions.is_empty() {
        return Err(EvalError::Empty {
            path: PathBuf::from(dataset.questions_path()),
            what: "judged question in that selection",
        });
    }
    Ok(questions)
}

fn report(
    dataset: &Dataset,
    system: System,
    plan: &Plan,
    tokenizer: &Tokenizer,
    rows: &Rows,
    begun: Instant,
) -> Report {
    let queries_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (documents, contexts) = match rows {
        Rows::Queries(rows) => (Some(Means::of(rows, &plan.measures)), None),
        Rows::Contexts(rows) => (None, Some(ContextMeans::of(rows, &plan.budgets))),
    };
    let of_contexts = contexts.is_some();
    let settings = Settings {
        dataset: DatasetSettings::of(dataset),
        system,
        queries: plan.queries,
        measures: if of_contexts {
            vec![]
        } else {
            plan.measures.clone()
        },
        budgets: if of_contexts {
            plan.budgets.iter().map(|&budget| budget.into()).collect()
        } else {
            vec![]
        },
        tokenizer: of_contexts.then(|| tokenizer.name().to_owned()),
    };
    Report {
        settings_hash: settings.hash(),
        settings,
        environment: Environment::here(),
        corpus: None,
        documents,
        contexts,
        queries_ms,
    }
}
