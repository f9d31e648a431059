//! What is seen of an ingestion while it runs?
//!
//! A bar on a terminal, a plain line now and then elsewhere, and with `--json`
//! one event a line on standard output.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use cento_index::Freezing;
use cento_ingest::{Event, Report};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::output;

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows an ingestion's events.
pub(crate) enum Progress {
    Json,
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// The way of showing that fits where the output goes.
    pub(crate) fn new(json: bool) -> Self {
        if json {
            Self::Json
        } else if std::io::stderr().is_terminal() {
            Self::Bar(ProgressBar::no_length())
        } else {
            Self::Lines {
                last: Instant::now(),
            }
        }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event<'_>) {
        match self {
            Self::Json => show_json(event),
            Self::Bar(bar) => show_bar(bar, event),
            Self::Lines { last } => match event {
                Event::Failed(failure) => output::note(format_args!("failed: {failure}")),
                Event::Progress(report) if last.elapsed() >= LINE_EVERY => {
                    *last = Instant::now();
                    output::note(summary(report));
                }
                _ => {}
            },
        }
    }

    /// Shows how far vectors are frozen, which goes on after the last document.
    pub(crate) fn show_freezing(&mut self, freezing: Freezing) {
        let Freezing { linked, rows } = freezing;
        let text = format!("linking vectors: {linked} of {rows}");
        match self {
            Self::Json => {}
            Self::Bar(bar) => bar.set_message(text),
            Self::Lines { last } => {
                if last.elapsed() >= LINE_EVERY {
                    *last = Instant::now();
                    output::note(text);
                }
            }
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn show_json(event: &Event<'_>) {
    let told = match event {
        Event::Started { files, bytes } => json!({
            "event": "started", "files": files, "bytes": bytes,
        }),
        Event::Failed(failure) => json!({ "event": "failed", "failure": failure }),
        Event::Committed { ids, sequence } => json!({
            "event": "committed", "sequence": sequence, "documents": ids,
        }),
        _ => return,
    };
    output::json_line(&told);
}

fn show_bar(bar: &ProgressBar, event: &Event<'_>) {
    match event {
        Event::Started { bytes, .. } if *bytes > 0 => {
            bar.set_length(*bytes);
            let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
        }
        Event::Failed(failure) => bar.suspend(|| output::note(format_args!("failed: {failure}"))),
        Event::Progress(report) => {
            bar.set_position(report.bytes_read);
            bar.set_message(summary(report));
        }
        _ => {}
    }
}

/// A report in one line.
pub(crate) fn summary(report: &Report) -> String {
    let mut parts = vec![format!("{} added", report.added)];
    for (number, what) in [
        (report.replaced, "replaced"),
        (report.unchanged, "unchanged"),
        (report.failed, "failed"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    parts.push(output::chunks(report.chunks, report.embedded));
    parts.join(", ")
}
