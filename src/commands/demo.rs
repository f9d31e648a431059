//! `cento demo`: what does cento do, seen in a minute?
//!
//! The bundled handbook is ingested into a temporary store and three questions
//! are asked. Every citation is checked against the stored document before it
//! is shown.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cento_api::types::{ContextQuery, NewCollection};
use cento_api::{Problem, ServerConfig, Service, ServiceOptions, run as serve};
use cento_core::{CollectionName, TokenBudget};
use cento_index::View;
use cento_ingest::{Options, Report, Source};
use cento_retrieve::ContextResponse;
use include_dir::{Dir, include_dir};
use serde_json::json;

use super::Outcome;
use super::context::{citations, receipt_line, totals};
use super::serve::{announce, begin_log};
use crate::args::DemoArgs;
use crate::output;

static CORPUS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/data/demo/corpus");

/// A code that is looked up, a question that two documents answer together,
/// and one in another language.
const QUESTIONS: [&str; 3] = [
    "The connectivity check on the gateway console ends with E-17. What is wrong at the site?",
    "A G1 has died after being run from a passive PoE injector. Is the unit replaced for free, and what do we send the customer at no cost?",
    "墙面只有 3 度，传感器总是掉下来，应该怎么固定？",
];

/// Where the handbook goes.
const COLLECTION: &str = "handbook";

/// Small on purpose: packing shows only where not everything fits.
const BUDGET: usize = 1000;
/// How many lines of each receipt are shown.
const RECEIPT_LINES: usize = 6;

pub(crate) fn run(args: &DemoArgs, json: bool) -> Outcome {
    let data = tempfile::tempdir().map_err(|error| {
        let detail = format!("cannot make a temporary folder: {error}");
        Problem::new("io_error", 500, detail)
    })?;
    show(data.path(), json)?;
    if args.serve {
        begin_log(json);
        let config = ServerConfig {
            bind: args.bind,
            ..ServerConfig::new(data.path())
        };
        serve(config, |address| {
            announce(address);
            output::line(format_args!("{}", how_to_ask(address)));
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Ingests, asks, and prints the answers.
fn show(data: &Path, json: bool) -> Result<(), Problem> {
    let service = Service::open(data, ServiceOptions::default())?;
    let collection = CollectionName::new(COLLECTION)?;
    service.create_collection(&NewCollection::named(collection.clone()))?;
    let options = Options::default();
    let report = service.ingest(&collection, sources(&CORPUS), &options, &mut |_| {})?;
    if report.failed > 0 {
        let detail = format!(
            "{} bundled documents failed: {:?}",
            report.failed, report.failures
        );
        return Err(Problem::new("internal", 500, detail));
    }
    let answers = ask(&service, &collection)?;
    if json {
        let answers: Vec<_> = answers.iter().map(|(_, response)| response).collect();
        output::json(&json!({ "report": report, "answers": answers }));
    } else {
        tell(&report, &answers);
    }
    Ok(())
}

fn how_to_ask(address: SocketAddr) -> String {
    let body = json!({
        "collection": COLLECTION,
        "query": "How long does a refund take?",
        "max_tokens": 500,
    });
    format!(
        "  curl -s http://{address}/v1/context -H 'content-type: application/json' -d '{body}'\n  \
         curl -s http://{address}/openapi.json"
    )
}

/// The handbook's texts, as they stand in its files.
pub(crate) fn texts() -> impl Iterator<Item = String> {
    let sources = sources(&CORPUS).into_iter();
    sources.filter_map(|source| match source {
        Source::Memory { bytes, .. } => String::from_utf8(bytes.into_owned()).ok(),
        _ => None,
    })
}

fn sources(dir: &'static Dir<'static>) -> Vec<Source> {
    let mut sources: Vec<Source> = dir
        .files()
        .map(|file| Source::Memory {
            name: file.path().to_string_lossy().replace('\\', "/"),
            bytes: Cow::Borrowed(file.contents()),
        })
        .collect();
    for inner in dir.dirs() {
        sources.extend(self::sources(inner));
    }
    sources
}

fn ask(
    service: &Service,
    collection: &CollectionName,
) -> Result<Vec<(Duration, ContextResponse)>, Problem> {
    let view = service.engine(collection)?.view();
    let mut answers = Vec::new();
    for query in QUESTIONS {
        let begun = Instant::now();
        let budget = TokenBudget::new(BUDGET)?;
        let response = service.context(&ContextQuery::new(collection.clone(), query, budget))?;
        let elapsed = begun.elapsed();
        check_citations(&view, &response)?;
        answers.push((elapsed, response));
    }
    Ok(answers)
}

/// A citation must quote its document to the byte.
fn check_citations(view: &View, response: &ContextResponse) -> Result<(), Problem> {
    for citation in &response.citations {
        let stored = view.document(&citation.document)?;
        let quoted = stored
            .as_ref()
            .and_then(|stored| citation.span.slice(&stored.document.text).ok());
        if quoted != Some(citation.quote.as_str()) {
            let detail = format!(
                "citation {} does not quote {} at bytes {}",
                citation.passage, citation.document, citation.span
            );
            return Err(Problem::new("text_mismatch", 500, detail));
        }
    }
    Ok(())
}

fn tell(report: &Report, answers: &[(Duration, ContextResponse)]) {
    output::line(format_args!(
        "Ingested the handbook of a company that does not exist: {} documents, {} chunks, {} in {} ms.",
        report.added,
        report.chunks,
        output::bytes(report.bytes_read),
        report.elapsed_ms
    ));
    for (elapsed, response) in answers {
        let receipt = &response.receipt;
        output::line(format_args!("\n━━━ {}", receipt.query));
        output::line(format_args!("\n{}\n", response.context));
        output::line("Citations, each checked against its document to the byte:");
        for citation in citations(response) {
            output::line(format_args!("  {citation}"));
        }
        output::line(format_args!(
            "Receipt: {} in {:.1} ms",
            totals(receipt),
            elapsed.as_secs_f64() * 1000.0
        ));
        for entry in receipt.candidates.iter().take(RECEIPT_LINES) {
            output::line(receipt_line(entry));
        }
        let more = receipt.candidates.len().saturating_sub(RECEIPT_LINES);
        if more > 0 {
            output::line(format_args!("      … and {more} more"));
        }
    }
    output::line(
        "\nTry it on your own documents:\n  \
         cento ingest PATH…                         files, folders, or - for standard input\n  \
         cento context \"a question\" --max-tokens 2000\n  \
         cento search \"a question\"                   the ranking, leg by leg\n  \
         cento context \"a question\" --json           citations and receipt for a program\n  \
         cento demo --serve                          this handbook over HTTP",
    );
}
