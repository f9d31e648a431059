//! How are figures shown to a person?

use cento_eval::{ContextMeans, Means, Measure, QueryRow, Report, System};

use crate::output;

/// A run's figures with what they were measured with.
pub(super) fn report(report: &Report) {
    let dataset = &report.settings.dataset;
    let split = dataset.split.as_deref().map(|split| format!(" ({split})"));
    let how = match &report.settings.system {
        System::Cento {
            chunking,
            embedder,
            legs,
            fusion,
            effort,
            rerank,
            ..
        } => {
            let fusion = fusion
                .map(|fusion| format!(" {fusion}"))
                .unwrap_or_default();
            let rerank = rerank.as_ref().map_or(String::new(), |rerank| {
                format!(", the best {} reranked by {}", rerank.head, rerank.model)
            });
            format!("{legs}{fusion}, {effort}, chunks {chunking}, {embedder}{rerank}")
        }
        System::Candidates { .. } => "another system's candidates".to_owned(),
    };
    output::line(format_args!(
        "{}{}, {} queries: {how}",
        dataset.name,
        split.unwrap_or_default(),
        report.settings.queries
    ));
    if let Some(corpus) = &report.corpus {
        output::line(format_args!(
            "{} in {}, {} unchanged, {} without text",
            output::count(corpus.documents, "document"),
            output::count(corpus.chunks, "chunk"),
            corpus.unchanged,
            corpus.empty
        ));
    }
    if let Some(documents) = &report.documents {
        means(documents);
    }
    if let Some(contexts) = &report.contexts {
        budgets(contexts);
    }
    output::note(format_args!(
        "settings {}; queries took {:.1} s",
        &report.settings_hash[..16],
        report.queries_ms as f64 / 1000.0
    ));
}

/// The means of rankings.
pub(super) fn means(means: &Means) {
    for (measure, figure) in &means.measures.0 {
        output::line(format_args!("{:<14} {figure:.4}", measure.to_string()));
    }
    let mut of = format!("mean of {} queries", means.with_relevant);
    if means.missing > 0 {
        of += &format!(", of which {} found nothing", means.missing);
    }
    let without = means.judged - means.with_relevant;
    if without > 0 {
        of += &format!("; {without} without a relevant document are in no mean");
    }
    output::line(of);
}

fn budgets(contexts: &[ContextMeans]) {
    output::line("tokens   evidence recall   precision   fill    redundancy");
    for means in contexts {
        output::line(format_args!(
            "{:>6}   {:>15.4}   {:>9.4}   {:.4}  {:>10.4}",
            usize::from(means.budget),
            means.evidence_recall,
            means.evidence_precision,
            means.fill,
            means.redundancy
        ));
    }
    if let Some(first) = contexts.first() {
        let mut of = format!("mean of {} queries", first.judged);
        if first.without_evidence > 0 {
            of += &format!(
                "; {} without evidence are in no mean",
                first.without_evidence
            );
        }
        output::line(of);
    }
}

/// Each query's figures.
pub(super) fn queries(rows: &[QueryRow], measures: &[Measure]) {
    let names: Vec<String> = measures.iter().map(|one| format!("{one:>12}")).collect();
    output::line(format_args!("{:<24} {}", "query", names.join(" ")));
    for row in rows {
        let figures: Vec<String> = (row.measures.0.iter())
            .map(|(_, figure)| format!("{figure:>12.4}"))
            .collect();
        output::line(format_args!("{:<24} {}", row.query, figures.join(" ")));
    }
}
