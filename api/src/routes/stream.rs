//! How does a stream of documents come in while its events go out?
//!
//! The ingestion runs on a thread of its own lane. It reads the body as it
//! arrives and writes events as it goes; both are bounded channels, so neither
//! a fast sender nor a slow reader fills the memory. When the client goes away,
//! the ingestion stops after the batch under way; what was told to be committed
//! stays.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use cento_core::CollectionName;
use cento_ingest::{Event, Options, ProblemCode, Source};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::documents::StopOnDrop;
use crate::Problem;
use crate::cpu_pool::{Lane, shutting_down};
use crate::http::body::{StreamEnd, StreamReader};
use crate::http::observe::RequestId;
use crate::http::respond::told;
use crate::metrics::Metrics;
use crate::service::{Opened, Service};
use crate::state::AppState;
use crate::types::{IngestEvent, Wait};

/// So many events wait to be read by the client.
const EVENTS: usize = 16;

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
    let id = request.extensions().get::<RequestId>();
    let request_id = id.map_or(String::new(), |id| id.0.clone());
    let idle = app.config.idle_timeout;
    let reader = StreamReader::new(request.into_body(), idle, app.ending.clone());
    let (sender, events) = mpsc::channel(EVENTS);
    // Held until the place in the lane is free again: a client that has read
    // this answer to its end is not turned away for it.
    let open = sender.clone();
    let stop = StopOnDrop::default();
    let work = Work {
        opened,
        wait,
        max_document_bytes: app.config.max_document_bytes,
        end: reader.end(),
        reader,
        events: Events {
            sender,
            stop: Arc::clone(&stop.0),
            request_id,
        },
    };
    let inner = app.clone();
    // Nobody waits for it: its events say how it goes.
    tokio::spawn(async move {
        let running = inner.clone();
        let ran = inner
            .pool
            .run(admission, move || {
                work.run(&running.service, &running.metrics);
            })
            .await;
        if let Err(problem) = ran {
            tracing::error!(%problem, "a stream could not be taken in");
        }
        drop(open);
    });
    let body = Body::new(EventBody {
        events,
        _stop: stop,
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
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

/// Where events go, and what stops the ingestion when they cannot.
struct Events {
    sender: mpsc::Sender<Bytes>,
    stop: Arc<AtomicBool>,
    request_id: String,
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
        if problem.status >= 500 {
            let Problem { code, detail, .. } = &problem;
            tracing::error!(request_id = events.request_id, %code, detail, "a stream failed");
        }
        tell(&IngestEvent::Error {
            problem: told(&problem, &events.request_id),
        });
    }
}

/// What stands around a document's content in its line.
const LINE_OVERHEAD: u64 = 64 * 1024;

impl Events {
    /// Sends an event, waiting until there is room for it; stops the ingestion
    /// if nobody reads any more.
    fn send(&self, event: &IngestEvent) {
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        if self.sender.blocking_send(line.into()).is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// The events as a body; each is sent at once.
struct EventBody {
    events: mpsc::Receiver<Bytes>,
    /// Dropped with the body when the client is gone.
    _stop: StopOnDrop,
}

impl HttpBody for EventBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = self.events.poll_recv(context);
        next.map(|event| event.map(|line| Ok(Frame::data(line))))
    }
}
