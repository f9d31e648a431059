//! How does long work tell how it goes, while it goes?
//!
//! It runs on a thread of its own lane and sends one JSON object a line through
//! a bounded channel, so that a slow reader does not fill the memory. When the
//! client goes away, or the server ends, the work is told to stop.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::mpsc;

use super::documents::StopOnDrop;
use crate::Problem;
use crate::cpu_pool::Admission;
use crate::http::observe::RequestId;
use crate::http::respond::told;
use crate::state::{App, AppState};
use crate::types::ProblemBody;

/// So many events wait to be read by the client.
const EVENTS: usize = 16;

/// Where events go, and what stops the work when they cannot.
pub(super) struct Events {
    sender: mpsc::Sender<Bytes>,
    pub(super) stop: Arc<AtomicBool>,
    request_id: String,
}

/// The id of a request, which its events name.
pub(super) fn request_id(request: &Request) -> String {
    let id = request.extensions().get::<RequestId>();
    id.map_or(String::new(), |id| id.0.clone())
}

/// Runs admitted work and answers with its events.
pub(super) fn answer(
    app: AppState,
    admission: Admission,
    request_id: &str,
    work: impl FnOnce(&App, Events) + Send + 'static,
) -> Response {
    let (sender, events) = mpsc::channel(EVENTS);
    // Held until the place in the lane is free again: a client that has read
    // this answer to its end is not turned away for it.
    let open = sender.clone();
    let stop = StopOnDrop::default();
    let told = Events {
        sender,
        stop: Arc::clone(&stop.0),
        request_id: request_id.to_owned(),
    };
    // Nobody waits for it: its events say how it goes.
    tokio::spawn(async move {
        let running = Arc::clone(&app);
        let ran = app.pool.run(admission, move || work(&running, told)).await;
        if let Err(problem) = ran {
            tracing::error!(%problem, "streamed work could not be run");
        }
        drop(open);
    });
    let body = Body::new(EventBody {
        events,
        _stop: stop,
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

impl Events {
    /// Sends an event, waiting until there is room for it; stops the work if
    /// nobody reads any more.
    pub(super) fn send(&self, event: &impl Serialize) {
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        if self.sender.blocking_send(line.into()).is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// A problem that ends the work, as the client is told it; the log is told
    /// our own.
    pub(super) fn told(&self, problem: &Problem) -> ProblemBody {
        if problem.status >= 500 {
            let Problem { code, detail, .. } = problem;
            tracing::error!(request_id = self.request_id, %code, detail, "a stream failed");
        }
        told(problem, &self.request_id)
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
