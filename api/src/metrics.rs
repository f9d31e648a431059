//! What does a server count, and how is it told to Prometheus?
//!
//! Each server has a recorder of its own, used where it is counted and never
//! set for the whole process: several servers, as in tests, do not mix.

use std::fmt::Write as _;
use std::time::Duration;

use cento_retrieve::Reranked;
use metrics::{Label, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::Problem;
use crate::cpu_pool::{CpuPool, Lane};
use crate::service::Service;
use crate::types::IngestEvent;

/// Seconds: from what an empty answer takes to what nobody waits for.
const BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// The counters of one server.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, Problem> {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)
            .map_err(|error| Problem::new("internal", 500, error.to_string()))?
            .build_recorder();
        with_local_recorder(&recorder, describe);
        Ok(Self {
            handle: recorder.handle(),
            recorder,
        })
    }

    /// A request begins.
    pub(crate) fn begin(&self) {
        with_local_recorder(&self.recorder, || {
            metrics::gauge!("cento_http_requests_in_flight").increment(1.0);
        });
    }

    /// A request ends: its response begins, or its client went away.
    pub(crate) fn end(&self, method: &'static str, route: &str, status: u16, elapsed: Duration) {
        let route = Label::new("route", route.to_owned());
        let method = Label::from_static_parts("method", method);
        let timed = vec![method.clone(), route.clone()];
        let counted = vec![method, route, Label::new("status", status.to_string())];
        with_local_recorder(&self.recorder, || {
            metrics::gauge!("cento_http_requests_in_flight").decrement(1.0);
            metrics::counter!("cento_http_requests_total", counted).increment(1);
            metrics::histogram!("cento_http_request_duration_seconds", timed).record(elapsed);
        });
    }

    /// A request was turned away because a lane was full.
    pub(crate) fn rejected(&self, lane: Lane) {
        with_local_recorder(&self.recorder, || {
            metrics::counter!("cento_http_requests_rejected_total", "lane" => lane.name())
                .increment(1);
        });
    }

    /// Documents came in, or were refused.
    pub(crate) fn ingested(&self, outcome: &'static str, documents: u64) {
        with_local_recorder(&self.recorder, || {
            metrics::counter!("cento_documents_ingested_total", "outcome" => outcome)
                .increment(documents);
        });
    }

    /// A question was reranked, if it was.
    pub(crate) fn reranked(&self, told: Option<&Reranked>) {
        let Some(told) = told else { return };
        let outcome = match told {
            Reranked {
                failed: Some(_), ..
            } => "failed",
            Reranked {
                judged: 0,
                head: 1..,
                ..
            } => "late",
            Reranked { judged, head, .. } if judged < head => "partial",
            _ => "whole",
        };
        with_local_recorder(&self.recorder, || {
            metrics::counter!("cento_reranks_total", "outcome" => outcome).increment(1);
        });
    }

    /// What an event of a stream means for the counters.
    pub(crate) fn streamed(&self, event: &IngestEvent) {
        match event {
            IngestEvent::Committed { documents, .. } => {
                self.ingested("stored", documents.len() as u64);
            }
            IngestEvent::Failed { .. } => self.ingested("failed", 1),
            IngestEvent::Done { report } => self.ingested("unchanged", report.unchanged),
            IngestEvent::Error { .. } => {}
        }
    }

    /// Moves what was timed out of the recorder's buffers; now and then.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Everything, as Prometheus reads it.
    pub(crate) fn render(&self, service: &Service, pool: &CpuPool) -> String {
        let mut text = self.handle.render();
        // These are looked at when they are asked for: what is deleted, or has
        // ended, leaves no row behind.
        let mut gauge = |name: &str, help: &str, rows: Vec<(String, u64)>| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (labels, value) in rows {
                let _ = writeln!(text, "{name}{{{labels}}} {value}");
            }
            text.push('\n');
        };
        let lanes = |pick: fn((usize, usize)) -> usize| {
            let row = |lane: Lane| {
                let labels = format!("lane=\"{}\"", lane.name());
                (labels, pick(pool.load(lane)) as u64)
            };
            Lane::ALL.map(row).to_vec()
        };
        gauge(
            "cento_work_running",
            "Work under way, by lane.",
            lanes(|(running, _)| running),
        );
        gauge(
            "cento_work_waiting",
            "Work waiting for its turn, by lane.",
            lanes(|(_, waiting)| waiting),
        );
        let (mut documents, mut chunks) = (Vec::new(), Vec::new());
        for (name, counts) in service.sizes() {
            let labels = format!("collection=\"{name}\"");
            documents.push((labels.clone(), counts.documents));
            chunks.push((labels, counts.chunks));
        }
        gauge(
            "cento_collection_documents",
            "Documents that can be found.",
            documents,
        );
        gauge(
            "cento_collection_chunks",
            "Chunks that can be found.",
            chunks,
        );
        text
    }
}

fn describe() {
    metrics::describe_counter!(
        "cento_http_requests_total",
        "Requests answered, by method, matched path and status (499: the client went away)."
    );
    metrics::describe_histogram!(
        "cento_http_request_duration_seconds",
        "Time until the response began, by method and matched path."
    );
    metrics::describe_gauge!(
        "cento_http_requests_in_flight",
        "Requests not yet answered."
    );
    metrics::describe_counter!(
        "cento_http_requests_rejected_total",
        "Requests turned away because a lane was full."
    );
    metrics::describe_counter!(
        "cento_documents_ingested_total",
        "Documents that came in, by what became of them."
    );
    metrics::describe_counter!(
        "cento_reranks_total",
        "Questions whose candidates were reranked: whole, partial or late (the deadline came), or failed."
    );
}
