//! How well does a search rank the judged documents?
//!
//! A document scores as its best chunk. Documents are then put in trec_eval's
//! order, the scores compared as `f32`, greatest first, ties by id, greatest
//! first, and measured against the judgements.
//!
//! **Which queries count.** A mean is over every query that has a relevant
//! document; a query that finds nothing, or that a run leaves out, counts as 0.
//! Queries whose judgements hold no relevant document are asked, listed and
//! counted, but say nothing about a ranking: no system can score on them. So
//! that nobody has to guess, [`Means`] holds the other convention too: the mean
//! over every query with a judgement, which is what `trec_eval -c` prints.

use std::collections::HashMap;

use cento_core::DocumentId;
use cento_retrieve::{Ranking as Wanted, Reranked, SearchRequest, rank};
use rayon::prelude::*;
use serde::Serialize;

use crate::qrels::Qrels;
use crate::trec::{Ranking, Run};
use crate::{Dataset, EvalError, Indexed, Measure, Question};

/// How a set is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// How candidates are found and put in order; its filter is that of `filter_by`.
    pub ranking: Wanted<'a>,
    /// The metadata field in which a document must agree with the query.
    pub filter_by: Option<&'a str>,
}

/// The figures of one query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueryRow {
    /// The query's id.
    pub query: String,
    /// How many relevant documents there are.
    pub relevant: usize,
    /// How many documents were found.
    pub retrieved: usize,
    /// How many of those are relevant.
    pub relevant_retrieved: usize,
    /// Each measure by its name, in the order that was asked for.
    pub measures: Figures,
}

/// Figures by the name of their measure, in the order that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures(pub Vec<(Measure, f64)>);

impl Serialize for Figures {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(measure, figure)| (measure, figure)))
    }
}

/// The figures of a set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Means {
    /// How many queries have a judgement.
    pub judged: usize,
    /// How many of those have a relevant document.
    pub with_relevant: usize,
    /// How many of those found nothing at all, or are absent from the run.
    pub missing: usize,
    /// The means over the queries with a relevant document.
    pub measures: Figures,
    /// The means over every query with a judgement, as `trec_eval -c` has it.
    pub measures_every_judged: Figures,
}

impl Means {
    /// The means over rows, one for each judged query.
    pub fn of(rows: &[QueryRow], measures: &[Measure]) -> Self {
        let relevant = || rows.iter().filter(|row| row.relevant > 0);
        let with_relevant = relevant().count();
        let missing = relevant().filter(|row| row.retrieved == 0).count();
        // Rows without a relevant document are 0, so that both sums are one.
        let mean = |place: usize, over: usize| {
            let sum: f64 = rows.iter().map(|row| row.measures.0[place].1).sum();
            if over == 0 { 0.0 } else { sum / as_f64(over) }
        };
        let means = |over: usize| {
            let each = measures.iter().enumerate();
            Figures(each.map(|(place, &one)| (one, mean(place, over))).collect())
        };
        Self {
            judged: rows.len(),
            with_relevant,
            missing,
            measures: means(with_relevant),
            measures_every_judged: means(rows.len()),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "few queries")]
pub(crate) fn as_f64(count: usize) -> f64 {
    count as f64
}

/// Measures a run, a row for each judged query in the given order; what a run
/// does not name has found nothing, and what nobody judged is left out.
pub fn measure<'a>(
    qrels: &Qrels,
    run: &Run,
    queries: impl IntoIterator<Item = &'a str>,
    measures: &[Measure],
) -> Vec<QueryRow> {
    let nothing = Ranking::default();
    (queries.into_iter())
        .map(|query| {
            let ranking = run.ranking(query).unwrap_or(&nothing);
            let ideal = qrels.ideal(query);
            let grades: Vec<i64> = (ranking.documents().iter())
                .map(|(id, _)| qrels.grade(query, id).unwrap_or(0))
                .collect();
            QueryRow {
                query: query.to_owned(),
                relevant: ideal.relevant(),
                retrieved: grades.len(),
                relevant_retrieved: grades.iter().filter(|grade| **grade > 0).count(),
                measures: Figures(
                    (measures.iter())
                        .map(|&one| (one, one.of(&grades, &ideal)))
                        .collect(),
                ),
            }
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "few candidates")]
fn as_f32(place: usize) -> f32 {
    place as f32
}

/// Refuses a reranking that failed or did not come to its end: figures of it would be
/// those of a clock.
pub(crate) fn whole(query: &str, rerank: Option<&Reranked>) -> Result<(), EvalError> {
    let Some(told) = rerank else { return Ok(()) };
    if told.judged == told.head {
        return Ok(());
    }
    Err(EvalError::Rerank {
        query: query.to_owned(),
        reason: match &told.failed {
            Some(failure) => failure.detail.clone(),
            None => format!(
                "{} of {} candidates were judged within {} ms",
                told.judged, told.head, told.deadline_ms
            ),
        },
    })
}

/// Asks every question and ranks documents by their best chunk.
///
/// # Errors
/// A question that cannot be asked or has no value to filter by, and errors of
/// the engine.
pub fn ask(
    dataset: &Dataset,
    indexed: &Indexed,
    asking: &Asking<'_>,
    questions: &[&Question],
) -> Result<Run, EvalError> {
    let rankings: Vec<(String, Ranking)> = (questions.par_iter())
        .map(|question| {
            let filter = asking
                .filter_by
                .map(|field| dataset.filter(question, field));
            let filter = filter.transpose()?;
            let request = SearchRequest {
                query: &question.text,
                ranking: Wanted {
                    filter: filter.as_ref(),
                    ..asking.ranking
                },
                limit: usize::MAX,
            };
            let found = rank(&indexed.view, &*indexed.embedder, &request);
            let found = found.map_err(|source| EvalError::Query {
                query: question.id.clone(),
                source: Box::new(source),
            })?;
            whole(&question.id, found.rerank.as_ref())?;
            let mut best: HashMap<&DocumentId, f32> = HashMap::new();
            for (place, chunk) in found.chunks.iter().enumerate() {
                // Scores of two models cannot be compared, places can.
                let own = match found.rerank {
                    Some(_) => -as_f32(place),
                    None => chunk.score.0,
                };
                let score = best.entry(&chunk.document).or_insert(own);
                *score = score.max(own);
            }
            let documents = best.into_iter();
            let documents = documents.map(|(id, score)| (id.as_str().to_owned(), score));
            Ok((question.id.clone(), Ranking::new(documents.collect())))
        })
        .collect::<Result<_, EvalError>>()?;
    Ok(Run::new(rankings))
}
