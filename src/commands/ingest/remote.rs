//! How are files here brought into a collection of a server?
//!
//! In requests of bounded size, one after the other: each is acknowledged by
//! the server's own events before the next is read, so that nothing waits in
//! memory and an interrupted ingestion knows what is safe.

use std::sync::atomic::Ordering;
use std::time::Instant;

use cento_api::Problem;
use cento_api::types::{DocumentPage, IngestEvent};
use cento_core::CollectionName;
use cento_ingest::{Event, Failure, Options, Records, Report, Source, records};

use crate::client::{Client, segment};
use crate::progress::Progress;
use crate::target::path;

/// A request ends with the document that brings it to one of these.
const REQUEST_BYTES: usize = 8 * 1024 * 1024;
const REQUEST_DOCUMENTS: usize = 256;
/// How many documents are listed in one go when those that are gone are sought.
const PAGE: usize = 1000;

/// Sends everything that the sources hold.
pub(super) fn ingest(
    client: &Client,
    collection: &CollectionName,
    sources: Vec<Source>,
    options: &Options<'_>,
    progress: &mut Progress,
) -> Result<Report, Problem> {
    let begun = Instant::now();
    let mut sender = Sender {
        client,
        path: path(collection, "/documents?wait=visible"),
        report: Report::default(),
        progress,
    };
    let mut records = records(sources, options)?;
    sender.progress.show(&Event::Started {
        files: records.files(),
        bytes: records.bytes(),
    });
    let mut batch = Batch::default();
    for record in records.by_ref() {
        if options.stop.load(Ordering::Relaxed) {
            sender.report.interrupted = true;
            break;
        }
        match record {
            Ok(record) => {
                sender.report.bytes_read += record.bytes_read;
                batch.add(record.place, &record.record)?;
            }
            Err(failure) => sender.fail(failure),
        }
        if batch.is_full() {
            sender.send(std::mem::take(&mut batch))?;
        }
    }
    if !sender.report.interrupted {
        sender.send(batch)?;
    }
    let mut report = sender.report;
    if !report.interrupted && records.are_paths() {
        find_gone(client, collection, &records, &mut report)?;
    }
    report.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// Documents of one request.
#[derive(Default)]
struct Batch {
    places: Vec<String>,
    lines: Vec<u8>,
}

impl Batch {
    fn add(&mut self, place: String, record: &impl serde::Serialize) -> Result<(), Problem> {
        serde_json::to_writer(&mut self.lines, record)
            .map_err(|error| Problem::new("internal", 500, error.to_string()))?;
        self.lines.push(b'\n');
        self.places.push(place);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= REQUEST_BYTES || self.places.len() >= REQUEST_DOCUMENTS
    }
}

struct Sender<'a> {
    client: &'a Client,
    path: String,
    report: Report,
    progress: &'a mut Progress,
}

impl Sender<'_> {
    fn send(&mut self, batch: Batch) -> Result<(), Problem> {
        if batch.places.is_empty() {
            return Ok(());
        }
        match self.send_once(&batch) {
            // It is at hand, to be sent for the one that serves now.
            Err(problem) if problem.code == "generation_changed" => self.send_once(&batch),
            result => result,
        }
    }

    fn send_once(&mut self, batch: &Batch) -> Result<(), Problem> {
        let answer = (self.client).post_lines(&self.path, "application/x-ndjson", &batch.lines)?;
        let mut is_done = false;
        for line in answer.lines() {
            let event = serde_json::from_str(line).map_err(|error| {
                let detail = format!("{} sent no event: {error}", self.client.base());
                Problem::new("server_unreachable", 502, detail)
            })?;
            match event {
                IngestEvent::Committed {
                    documents,
                    sequence,
                } => {
                    self.progress.show(&Event::Committed {
                        ids: &documents,
                        sequence,
                    });
                }
                IngestEvent::Failed { failure } => self.fail(placed(failure, &batch.places)),
                IngestEvent::Done { report } => {
                    is_done = true;
                    self.report.added += report.added;
                    self.report.replaced += report.replaced;
                    self.report.unchanged += report.unchanged;
                    self.report.chunks += report.chunks;
                    self.report.embedded += report.embedded;
                    self.report.interrupted |= report.interrupted;
                }
                IngestEvent::Error { problem } => return Err(problem.into()),
            }
        }
        if !is_done {
            let detail = format!("{} ended before it was done", self.client.base());
            return Err(Problem::new("server_unreachable", 502, detail)
                .with_help("what it acknowledged is safe; run the ingestion again to go on")
                .retryable());
        }
        self.progress.show(&Event::Progress(&self.report));
        Ok(())
    }

    fn fail(&mut self, failure: Failure) {
        self.progress.show(&Event::Failed(&failure));
        self.report.fail(failure);
    }
}

/// A failure of a request's line, told of the file or line that it came from.
fn placed(mut failure: Failure, places: &[String]) -> Failure {
    let line: Option<usize> =
        (failure.place.strip_prefix("line ")).and_then(|number| number.parse().ok());
    if let Some(place) = line.and_then(|line| places.get(line.wrapping_sub(1))) {
        failure.place.clone_from(place);
    }
    failure
}

/// Finds the documents whose file is not there any more.
fn find_gone(
    client: &Client,
    collection: &CollectionName,
    records: &Records,
    report: &mut Report,
) -> Result<(), Problem> {
    let first = path(collection, &format!("/documents?limit={PAGE}"));
    let mut next = Some(first.clone());
    while let Some(asked) = next {
        let page: DocumentPage = client.get(&asked)?;
        let gone = (page.documents.into_iter())
            .filter(|document| records.is_gone(&document.id, document.source.as_deref()));
        report.gone.extend(gone.map(|document| document.id));
        next = page
            .next
            .map(|id| format!("{first}&after={}", segment(id.as_str())));
    }
    Ok(())
}
