//! How is a body read from a client that may stop in the middle?
//!
//! A JSON body is read whole, up to a limit. A stream of documents is read by
//! the thread that ingests it, through [`StreamReader`], while a task moves what
//! has arrived into a short channel: if the thread is slow, so is the client,
//! and if the client sends nothing for a while, the stream ends.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::extract::content_length;
use crate::cpu_pool::shutting_down;
use crate::{Problem, ServerConfig};

/// The next bytes of a body; none at its end.
async fn next_bytes(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        let frame =
            std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(bytes)) => return Some(Ok(bytes)),
            // Trailers say nothing that we ask for.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Reads a whole body.
///
/// # Errors
/// `body_too_large`, `body_timeout`, `body_incomplete`.
pub(crate) async fn read_whole(
    headers: &HeaderMap,
    mut body: Body,
    config: &ServerConfig,
) -> Result<Vec<u8>, Problem> {
    let limit = config.max_json_bytes;
    let told = content_length(headers);
    if told.is_some_and(|told| told > limit as u64) {
        return Err(too_large(limit));
    }
    let mut whole = Vec::new();
    let last = Instant::now() + config.request_timeout;
    loop {
        let until = last.min(Instant::now() + config.idle_timeout);
        let next = timeout_at(until, next_bytes(&mut body)).await;
        match next.map_err(|_| stalled())? {
            None => return Ok(whole),
            Some(Err(error)) => return Err(incomplete(&error.to_string())),
            Some(Ok(bytes)) if whole.len() + bytes.len() > limit => return Err(too_large(limit)),
            Some(Ok(bytes)) => whole.extend_from_slice(&bytes),
        }
    }
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body has more than {limit} bytes, the most that is taken at once");
    Problem::new("body_too_large", 413, detail)
        .with_help("send documents as application/x-ndjson: that may be of any length")
}

fn stalled() -> Problem {
    Problem::new("body_timeout", 408, "the body did not arrive in time").retryable()
}

fn incomplete(reason: &str) -> Problem {
    let detail = format!("the body ended before its end: {reason}");
    Problem::new("body_incomplete", 400, detail)
}

/// Reads a body from a thread that may block.
pub(crate) struct StreamReader {
    arrived: mpsc::Receiver<Bytes>,
    current: Bytes,
    end: StreamEnd,
}

/// How a stream ended before its end, if it did.
#[derive(Clone, Default)]
pub(crate) struct StreamEnd(Arc<Mutex<Option<Problem>>>);

impl StreamEnd {
    /// What went wrong.
    pub(crate) fn problem(&self) -> Option<Problem> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, problem: Problem) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }
}

/// So many pieces, of a few kilobytes each, wait to be read.
const PIECES: usize = 16;

impl StreamReader {
    /// Begins to read. The stream ends early if nothing arrives for the idle
    /// time, or when `ending` is cancelled.
    pub(crate) fn new(body: Body, idle: Duration, ending: CancellationToken) -> Self {
        let (sender, arrived) = mpsc::channel(PIECES);
        let end = StreamEnd::default();
        tokio::spawn(forward(body, sender, idle, ending, end.clone()));
        Self {
            arrived,
            current: Bytes::new(),
            end,
        }
    }

    /// Where it will stand how the stream ended.
    pub(crate) fn end(&self) -> StreamEnd {
        self.end.clone()
    }
}

async fn forward(
    mut body: Body,
    sender: mpsc::Sender<Bytes>,
    idle: Duration,
    ending: CancellationToken,
    end: StreamEnd,
) {
    loop {
        let next = tokio::select! {
            next = timeout(idle, next_bytes(&mut body)) => next,
            () = ending.cancelled() => return end.set(shutting_down()),
            // The one who reads has had enough.
            () = sender.closed() => return,
        };
        match next {
            Ok(None) => return,
            Ok(Some(Ok(bytes))) => {
                let sent = tokio::select! {
                    sent = sender.send(bytes) => sent,
                    () = ending.cancelled() => return end.set(shutting_down()),
                };
                if sent.is_err() {
                    return;
                }
            }
            Ok(Some(Err(error))) => return end.set(incomplete(&error.to_string())),
            Err(_) => return end.set(stalled()),
        }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.arrived.blocking_recv() {
                Some(bytes) => self.current = bytes,
                None => {
                    return match self.end.problem() {
                        Some(problem) => Err(io::Error::other(problem)),
                        None => Ok(0),
                    };
                }
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}
