//! How much of the judged evidence does a context of so many tokens hold?
//!
//! Four figures a query and budget, of which a mean is over every query with
//! evidence (an empty context counts as 0 everywhere):
//!
//! - **evidence recall** and **precision** in bytes: [`EvidenceScore`];
//! - **fill**: the context's tokens ÷ the budget;
//! - **redundancy**: [`redundancy`](crate::redundancy).
//!
//! Another system's ranking is measured in the same harness: its candidates
//! ([`Candidates`]) are rendered with cento's own wrapper and packed in their
//! order into the same budget, counted by the same tokenizer on the whole
//! string. What does not fit is skipped and the next is tried, which is the
//! best that can be done for a ranking without changing it. It is given the
//! title that cento gives the document.

use std::collections::HashMap;

use cento_core::{ByteSpan, Document, DocumentId, Passage, TokenBudget};
use cento_retrieve::{ContextRequest, Ranking, Tokenizer, context, render};
use rayon::prelude::*;
use serde::Serialize;

use crate::candidates::{Candidate, Candidates};
use crate::documents::{as_f64, whole};
use crate::redundancy::redundancy;
use crate::{EvalError, EvidenceScore, Indexed, Question, cited_spans};

/// How contexts are asked for.
#[derive(Debug, Clone, Copy)]
pub struct ContextAsking<'a> {
    /// How candidates are found and put in order.
    pub ranking: Ranking<'a>,
    /// The budgets; each is filled anew.
    pub budgets: &'a [TokenBudget],
    /// What counts them.
    pub tokenizer: &'a Tokenizer,
}

/// The figures of one query's context.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContextRow {
    /// The query's id.
    pub query: String,
    /// The most tokens that the context may have.
    pub budget: TokenBudget,
    /// How many it has.
    pub tokens: usize,
    /// How many passages it has.
    pub passages: usize,
    /// The share of the judged bytes that is cited; absent if none is judged.
    pub evidence_recall: Option<f64>,
    /// The share of the cited bytes that is judged; absent if none is judged.
    pub evidence_precision: Option<f64>,
    /// The tokens ÷ the budget.
    pub fill: f64,
    /// The share of five-word runs that repeat.
    pub redundancy: f64,
}

/// The figures of a set at one budget: means over the queries with evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContextMeans {
    /// The most tokens of each context.
    pub budget: TokenBudget,
    /// How many queries have evidence.
    pub judged: usize,
    /// How many have none; they are in no mean.
    pub without_evidence: usize,
    /// How many of the judged got an empty context.
    pub empty: usize,
    /// The mean of evidence recall.
    pub evidence_recall: f64,
    /// The mean of evidence precision.
    pub evidence_precision: f64,
    /// The mean of fill.
    pub fill: f64,
    /// The mean of redundancy.
    pub redundancy: f64,
}

impl ContextMeans {
    /// The means at each budget, in their order.
    pub fn of(rows: &[ContextRow], budgets: &[TokenBudget]) -> Vec<Self> {
        let means = |&budget: &TokenBudget| {
            let all = || rows.iter().filter(|row| row.budget == budget);
            let judged = || all().filter(|row| row.evidence_recall.is_some());
            let count = judged().count();
            let mean = |figure: &dyn Fn(&ContextRow) -> f64| {
                let sum: f64 = judged().map(figure).sum();
                if count == 0 { 0.0 } else { sum / as_f64(count) }
            };
            Self {
                budget,
                judged: count,
                without_evidence: all().count() - count,
                empty: judged().filter(|row| row.passages == 0).count(),
                evidence_recall: mean(&|row| row.evidence_recall.unwrap_or(0.0)),
                evidence_precision: mean(&|row| row.evidence_precision.unwrap_or(0.0)),
                fill: mean(&|row| row.fill),
                redundancy: mean(&|row| row.redundancy),
            }
        };
        budgets.iter().map(means).collect()
    }
}

/// Asks cento for a context for each question and budget.
///
/// # Errors
/// A question that cannot be asked, and errors of the engine.
pub fn contexts(
    indexed: &Indexed,
    asking: &ContextAsking<'_>,
    questions: &[&Question],
) -> Result<Vec<ContextRow>, EvalError> {
    let pairs: Vec<(&Question, TokenBudget)> = (questions.iter())
        .flat_map(|&question| asking.budgets.iter().map(move |&budget| (question, budget)))
        .collect();
    (pairs.par_iter())
        .map(|&(question, budget)| {
            let request = ContextRequest {
                query: &question.text,
                ranking: asking.ranking,
                budget,
                tokenizer: asking.tokenizer,
            };
            let found = context(&indexed.view, &*indexed.embedder, &request);
            let found = found.map_err(|source| EvalError::Query {
                query: question.id.clone(),
                source: Box::new(source),
            })?;
            whole(&question.id, found.receipt.rerank.as_ref())?;
            let quotes = found.citations.iter().map(|one| one.quote.as_str());
            let cited = cited_spans(&found.citations);
            Ok(row(
                question,
                budget,
                found.tokens.0,
                &cited,
                redundancy(quotes),
            ))
        })
        .collect()
}

/// Packs another system's candidates for each question and budget.
pub fn packed(
    documents: &[Document],
    candidates: &Candidates,
    budgets: &[TokenBudget],
    tokenizer: &Tokenizer,
    questions: &[&Question],
) -> Vec<ContextRow> {
    let documents: HashMap<&DocumentId, &Document> =
        documents.iter().map(|one| (&one.id, one)).collect();
    let pairs: Vec<(&Question, TokenBudget)> = (questions.iter())
        .flat_map(|&question| budgets.iter().map(move |&budget| (question, budget)))
        .collect();
    (pairs.par_iter())
        .map(|&(question, budget)| {
            let ranked = candidates.of(&question.id);
            let passages: Vec<Passage> = (ranked.iter())
                .filter_map(|candidate| passage(documents.get(&candidate.document)?, candidate))
                .collect();
            let (taken, tokens) = pack(passages, budget, tokenizer);
            let cited: Vec<(DocumentId, ByteSpan)> = (taken.iter())
                .map(|passage| (passage.document.clone(), passage.span))
                .collect();
            let quotes = taken.iter().map(|passage| passage.quote.as_str());
            row(question, budget, tokens, &cited, redundancy(quotes))
        })
        .collect()
}

fn passage(document: &Document, candidate: &Candidate) -> Option<Passage> {
    Some(Passage {
        document: document.id.clone(),
        span: candidate.span,
        chunks: vec![],
        line: 1,
        heading_path: vec![],
        title: document.title.clone(),
        quote: candidate.span.slice(&document.text).ok()?.to_owned(),
    })
}

/// A passage alone costs about what it adds to a context: its number may have
/// more digits there, and tokens may join at its edges. One that is larger than
/// what is left by more than this is not tried.
const JOINT: usize = 16;

/// Takes passages in their order while the whole rendered string fits.
fn pack(
    passages: Vec<Passage>,
    budget: TokenBudget,
    tokenizer: &Tokenizer,
) -> (Vec<Passage>, usize) {
    let mut taken: Vec<Passage> = vec![];
    let mut tokens = 0;
    for passage in passages {
        let alone = tokenizer.count(&render(std::slice::from_ref(&passage))).0;
        if tokens + alone > budget.limit().0 + JOINT {
            continue;
        }
        taken.push(passage);
        let count = tokenizer.count(&render(&taken));
        if budget.holds(count) {
            tokens = count.0;
        } else {
            taken.pop();
        }
    }
    (taken, tokens)
}

fn row(
    question: &Question,
    budget: TokenBudget,
    tokens: usize,
    cited: &[(DocumentId, ByteSpan)],
    redundancy: f64,
) -> ContextRow {
    let score = EvidenceScore::of(&question.evidence, cited);
    ContextRow {
        query: question.id.clone(),
        budget,
        tokens,
        passages: cited.len(),
        evidence_recall: score.map(|score| score.recall),
        evidence_precision: score.map(|score| score.precision),
        fill: as_f64(tokens) / as_f64(budget.limit().0),
        redundancy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Passage {
        Passage {
            document: DocumentId::new("d").expect("valid"),
            span: ByteSpan { start: 0, end: 1 },
            chunks: vec![],
            line: 1,
            heading_path: vec![],
            title: String::new(),
            quote: text.to_owned(),
        }
    }

    #[test]
    fn packing_skips_what_does_not_fit_and_never_passes_the_budget() {
        let tokenizer = Tokenizer::named("o200k").expect("built in");
        let passages = || {
            vec![
                block("one two"),
                block(&"long ".repeat(200)),
                block("three"),
            ]
        };
        for budget in 1..120 {
            let budget = TokenBudget::new(budget).expect("not zero");
            let (taken, tokens) = pack(passages(), budget, &tokenizer);
            assert!(budget.holds(cento_core::TokenCount(tokens)));
            assert_eq!(tokenizer.count(&render(&taken)).0, tokens);
        }
        let (taken, _) = pack(
            passages(),
            TokenBudget::new(100).expect("not zero"),
            &tokenizer,
        );
        assert_eq!(taken, [block("one two"), block("three")]);
    }
}
