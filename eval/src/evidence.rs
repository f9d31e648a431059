//! How much of the evidence does a context hold, and how much else?
//!
//! For one query, let *G* be the bytes of all its judged passages and *C* the
//! bytes of all that a context cites, each byte counted once however many
//! spans hold it:
//!
//! - **evidence recall** = |G ∩ C| ÷ |G|
//! - **evidence precision** = |G ∩ C| ÷ |C|, and 0 for an empty context
//!
//! A context is made for a budget of N tokens, so these are figures *at N
//! tokens*. Over a set they are macro means: every query with evidence weighs
//! the same, and one whose context is empty counts as 0, so that silence
//! flatters nobody. Queries without evidence have neither figure; they are
//! counted apart.

use std::collections::HashMap;

use cento_core::{ByteSpan, DocumentId};
use cento_retrieve::Citation;
use serde::Serialize;

/// What a context cites, as bytes of canonical texts.
pub fn cited_spans(citations: &[Citation]) -> Vec<(DocumentId, ByteSpan)> {
    (citations.iter())
        .map(|citation| (citation.document.clone(), citation.span))
        .collect()
}

/// The figures of one query's context.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EvidenceScore {
    /// The share of the judged bytes that is cited, from 0 to 1.
    pub recall: f64,
    /// The share of the cited bytes that is judged, from 0 to 1.
    pub precision: f64,
}

impl EvidenceScore {
    /// Compares what is cited with what is judged; nothing if there is no
    /// judged byte.
    pub fn of(gold: &[(DocumentId, ByteSpan)], cited: &[(DocumentId, ByteSpan)]) -> Option<Self> {
        let (gold, cited) = (Bytes::of(gold), Bytes::of(cited));
        if gold.len() == 0 {
            return None;
        }
        let both = gold.shared_with(&cited);
        Some(Self {
            recall: share(both, gold.len()),
            precision: share(both, cited.len()),
        })
    }
}

/// The figures of a set.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct EvidenceMeans {
    /// How many queries have evidence.
    pub judged: usize,
    /// How many have none; they are in no mean.
    pub without_evidence: usize,
    /// The mean of evidence recall over the judged; 0 if there are none.
    pub recall: f64,
    /// The mean of evidence precision over the judged; 0 if there are none.
    pub precision: f64,
}

impl EvidenceMeans {
    /// The means over queries, given what [`EvidenceScore::of`] said of each.
    pub fn of(scores: impl IntoIterator<Item = Option<EvidenceScore>>) -> Self {
        let mut means = Self::default();
        for score in scores {
            match score {
                Some(score) => {
                    means.judged += 1;
                    means.recall += score.recall;
                    means.precision += score.precision;
                }
                None => means.without_evidence += 1,
            }
        }
        if means.judged > 0 {
            #[expect(clippy::cast_precision_loss, reason = "few queries")]
            let judged = means.judged as f64;
            means.recall /= judged;
            means.precision /= judged;
        }
        means
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "texts are shorter than 2^53 bytes"
)]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// A set of bytes of documents: for each, spans in order that do not touch.
struct Bytes<'a>(HashMap<&'a DocumentId, Vec<ByteSpan>>);

impl<'a> Bytes<'a> {
    fn of(spans: &'a [(DocumentId, ByteSpan)]) -> Self {
        let mut documents: HashMap<_, Vec<ByteSpan>> = HashMap::new();
        for (document, span) in spans {
            documents.entry(document).or_default().push(*span);
        }
        for spans in documents.values_mut() {
            *spans = united(spans);
        }
        Self(documents)
    }

    fn len(&self) -> u64 {
        self.0.values().flatten().map(ByteSpan::len).sum()
    }

    fn shared_with(&self, other: &Self) -> u64 {
        let pairs = (self.0.iter()).filter_map(|(id, spans)| Some((spans, other.0.get(id)?)));
        pairs
            .flat_map(|(ours, theirs)| {
                (ours.iter()).flat_map(|span| theirs.iter().map(|other| span.overlap(other)))
            })
            .sum()
    }
}

fn united(spans: &[ByteSpan]) -> Vec<ByteSpan> {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    let mut united: Vec<ByteSpan> = vec![];
    for span in sorted {
        match united.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => united.push(span),
        }
    }
    united
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spans: &[(&str, u64, u64)]) -> Vec<(DocumentId, ByteSpan)> {
        (spans.iter())
            .map(|&(document, start, end)| {
                let document = DocumentId::new(document).expect("valid");
                (document, ByteSpan { start, end })
            })
            .collect()
    }

    fn score(gold: &[(&str, u64, u64)], cited: &[(&str, u64, u64)]) -> Option<(f64, f64)> {
        EvidenceScore::of(&spans(gold), &spans(cited)).map(|score| (score.recall, score.precision))
    }

    #[test]
    fn recall_and_precision_are_shares_of_bytes() {
        // Of 40 judged bytes 10 + 10 are cited, among 80 in all.
        let gold = [("a", 10, 30), ("b", 0, 20)];
        let cited = [("a", 20, 70), ("b", 10, 30), ("c", 0, 10)];
        assert_eq!(score(&gold, &cited), Some((0.5, 0.25)));
        assert_eq!(score(&gold, &gold), Some((1.0, 1.0)));
    }

    #[test]
    fn a_byte_counts_once_however_often_it_is_judged_or_cited() {
        let gold = [("a", 0, 10), ("a", 5, 15), ("a", 5, 15)];
        let cited = [("a", 0, 6), ("a", 4, 10), ("a", 10, 30), ("a", 0, 2)];
        assert_eq!(score(&gold, &cited), Some((1.0, 0.5)));
    }

    #[test]
    fn an_empty_context_scores_0() {
        assert_eq!(score(&[("a", 0, 10)], &[]), Some((0.0, 0.0)));
        assert_eq!(score(&[("a", 0, 10)], &[("b", 0, 10)]), Some((0.0, 0.0)));
    }

    #[test]
    fn the_mean_is_over_queries_with_evidence() {
        let scores = [
            EvidenceScore::of(&spans(&[("a", 0, 10)]), &spans(&[("a", 0, 40)])),
            EvidenceScore::of(&spans(&[("a", 0, 10)]), &[]),
            EvidenceScore::of(&[], &spans(&[("a", 0, 40)])),
        ];
        assert_eq!(
            EvidenceMeans::of(scores),
            EvidenceMeans {
                judged: 2,
                without_evidence: 1,
                recall: 0.5,
                precision: 0.125,
            }
        );
        assert_eq!(EvidenceMeans::of([]), EvidenceMeans::default());
    }
}
