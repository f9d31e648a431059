//! How does a stream of documents come in while its events go out?
//!
//! The ingestion runs on a thread of its own lane. It reads the body as it
//! arrives and writes events as it goes; both are bounded channels, so neither
//! a fast sender nor a slow reader fills the memory. When the client goes away,
//! the ingestion stops after the batch under way; what was told to be committed
//! stays.

use axum::extract::Request;
use axum::response::Response;
use cento_core::CollectionName;
use cento_ingest::{Event, Options, ProblemCode, Source};

use super::events::{self, Events};
use crate::Problem;
use crate::cpu_pool::{Lane, shutting_down};
use crate::http::body::{StreamEnd, StreamReader};
use crate::metrics::Metrics;
use crate::service::{Opened, Service};
use crate::state::AppState;
use crate::types::{IngestEvent, Wait};

/// Takes in the documents of a request's body, one a line.
pub(super) async fn ingest(
    app: AppState,
    name: CollectionName,
    wait: Wait,
    request: Request,
) -> Result<Response, Problem> {
    let admission = app.admit(Lane::Stream).await?;
    // What is wrong with the collection is told by the status, not by an event.
    let opened = app
        .work(Lane::Query, move |service| service.opened(&name))
        .await?;
    let request_id = events::request_id(&request);
    let idle = app.config.idle_timeout;
    let reader = StreamReader::new(request.into_body(), idle, app.ending.clone());
    let max_document_bytes = app.config.max_document_bytes;
    let told = events::answer(app, admission, &request_id, move |app, events| {
        let work = Work {
            opened,
            wait,
            max_document_bytes,
            end: reader.end(),
            reader,
            events,
        };
        work.run(&app.service, &app.metrics);
    });
    Ok(told)
}

/// An ingestion that is ready to run.
struct Work {
    opened: Opened,
    wait: Wait,
    max_document_bytes: u64,
    reader: StreamReader,
    end: StreamEnd,
    events: Events,
}

impl Work {
    fn run(self, service: &Service, metrics: &Metrics) {
        let Self {
            opened,
            wait,
            max_document_bytes,
            reader,
            end,
            events,
        } = self;
        let options = Options {
            // A file is a third longer in Base64.
            max_document_bytes: max_document_bytes.saturating_mul(4) / 3 + LINE_OVERHEAD,
            refresh: wait == Wait::Visible,
            stop: &events.stop,
            ..Options::default()
        };
        let tell = |event: &IngestEvent| {
            metrics.streamed(event);
            events.send(event);
        };
        let source = Source::Records {
            reader: Box::new(reader),
        };
        let result =
            service.ingest_into(&opened, vec![source], &options, &mut |event| match event {
                Event::Committed { ids, sequence } => tell(&IngestEvent::Committed {
                    documents: ids.to_vec(),
                    sequence,
                }),
                // The stream itself broke off, which is told at the end.
                Event::Failed(failure) if failure.code == ProblemCode::Unreadable => {}
                Event::Failed(failure) => tell(&IngestEvent::Failed {
                    failure: failure.clone(),
                }),
                _ => {}
            });
        let problem = match result {
            Err(problem) => problem,
            Ok(report) => match end.problem() {
                Some(problem) => problem,
                None if report.interrupted => shutting_down(),
                None => return tell(&IngestEvent::Done { report }),
            },
        };
        tell(&IngestEvent::Error {
            problem: events.told(&problem),
        });
    }
}

/// What stands around a document's content in its line.
const LINE_OVERHEAD: u64 = 64 * 1024;
