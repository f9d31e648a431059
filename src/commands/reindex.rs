//! `cento reindex`: how does a collection come to another model, or another way
//! of cutting?

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cento_api::Problem;
use cento_api::types::{Reindex, ReindexEvent};
use cento_core::CollectionName;
use cento_ingest::{Estimate, ReindexReport};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Outcome;
use crate::args::ReindexArgs;
use crate::target::{Place, Target, name};
use crate::{interrupt, output};

pub(crate) fn run(place: &Place, args: &ReindexArgs, json: bool) -> Outcome {
    let target = Target::existing(place)?;
    let name = name(&args.collection.collection)?;
    target.tell_recovery(&name)?;
    let asked = Reindex {
        embedder: args.embedder.clone(),
        chunking: args.chunking,
        force: args.force,
    };
    let cost = target.estimate(&name, &asked)?;
    if json {
        output::json_line(&json!({ "event": "estimate", "collection": name, "estimate": cost }));
    } else {
        tell_cost(&cost);
    }
    if args.estimate {
        return Ok(ExitCode::SUCCESS);
    }
    // Where nothing changes, the answer is an error that says so.
    if !args.yes && (args.force || !cost.is_unchanged) && !is_agreed()? {
        output::note("nothing was done");
        return Ok(ExitCode::SUCCESS);
    }
    let stop = interrupt::listen();
    let mut progress = Progress::new(json);
    let result = target.reindex(&name, &asked, stop, &mut |event| progress.show(event));
    progress.finish();
    Ok(tell(&name, &result?, json))
}

fn tell_cost(cost: &Estimate) {
    let about = if cost.is_sampled { "about " } else { "" };
    output::note(format_args!(
        "{} ({}), {about}{}, about {} tokens",
        output::count(cost.documents, "document"),
        output::bytes(cost.bytes),
        output::count(cost.chunks, "chunk"),
        cost.tokens
    ));
    output::note(format_args!(
        "about {} as measured just now, about {} on disk beside what is there",
        time(cost.seconds),
        output::bytes(cost.disk_bytes)
    ));
}

/// A time for people.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "a second".to_owned(),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Asks whoever sits before the terminal.
fn is_agreed() -> Result<bool, Problem> {
    if !std::io::stdin().is_terminal() {
        let detail = "nobody can be asked here whether to go on";
        return Err(Problem::new("confirmation_needed", 400, detail)
            .with_help("say --yes to go on, or --estimate to see the cost alone"));
    }
    output::note("go on? [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    let answer = answer.trim().to_lowercase();
    Ok(read.is_ok() && matches!(answer.as_str(), "y" | "yes"))
}

/// Says what was done.
pub(super) fn tell(name: &CollectionName, report: &ReindexReport, json: bool) -> ExitCode {
    let code = if report.interrupted {
        output::interrupted()
    } else {
        ExitCode::SUCCESS
    };
    if json {
        output::json_line(&json!({ "event": "report", "collection": name, "report": report }));
        return code;
    }
    output::line(format_args!(
        "generation {} of '{name}': {} into {} in {:.1} s",
        report.generation,
        output::count(report.documents, "document"),
        output::chunks(report.chunks, report.embedded),
        report.elapsed_ms as f64 / 1000.0
    ));
    if !report.whole.is_empty() {
        output::line("could not be cut, and are one chunk each:");
        for failure in &report.whole {
            output::line(format_args!("  {failure}"));
        }
    }
    if report.interrupted {
        output::line(
            "interrupted: the former generation serves; `cento reindex` goes on, `cento generation drop` gives it up",
        );
    } else {
        output::line("it serves now; `cento generation rollback` goes back");
    }
    code
}

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how it goes: a bar on a terminal, a line now and then elsewhere, and
/// with `--json` one event a line on standard output.
pub(super) enum Progress {
    Json,
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    pub(super) fn new(json: bool) -> Self {
        if json {
            Self::Json
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::no_length();
            let template = "{bar:30} {pos}/{len} documents {per_sec} {msg}";
            Self::Bar(match ProgressStyle::with_template(template) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            })
        } else {
            Self::Lines {
                last: Instant::now(),
            }
        }
    }

    pub(super) fn show(&mut self, event: &ReindexEvent) {
        match (self, event) {
            // Told at the end by the report, or as any other error.
            (_, ReindexEvent::Done { .. } | ReindexEvent::Error { .. }) => {}
            (Self::Json, event) => output::json_line(event),
            (Self::Bar(bar), ReindexEvent::Started { pending, .. }) => bar.set_length(*pending),
            (
                Self::Bar(bar),
                ReindexEvent::Progress {
                    documents,
                    chunks,
                    pending,
                },
            ) => {
                bar.set_length(documents + pending);
                bar.set_position(*documents);
                bar.set_message(output::count(*chunks, "chunk"));
            }
            (Self::Bar(bar), ReindexEvent::Whole { failure }) => {
                bar.suspend(|| output::note(format_args!("not cut: {failure}")));
            }
            (
                Self::Lines { last },
                ReindexEvent::Progress {
                    documents, pending, ..
                },
            ) if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                output::note(format_args!(
                    "{} done, about {pending} to go",
                    output::count(*documents, "document")
                ));
            }
            (Self::Lines { .. }, ReindexEvent::Whole { failure }) => {
                output::note(format_args!("not cut: {failure}"));
            }
            (Self::Lines { .. }, _) => {}
        }
    }

    pub(super) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
