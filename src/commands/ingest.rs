//! `cento ingest`: how do documents come into a collection from a shell?

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use cento_api::Problem;
use cento_index::IndexError;
use cento_ingest::{Options, Report, Source, ingest};
use serde_json::json;

use super::{Outcome, told};
use crate::args::IngestArgs;
use crate::output;
use crate::progress::{Progress, summary};
use crate::session::{Session, open_or_create};

/// Set by Ctrl-C or a request to end.
static STOP: AtomicBool = AtomicBool::new(false);

pub(crate) fn run(data: &Path, args: &IngestArgs, json: bool) -> Outcome {
    check_paths(&args.paths)?;
    let session = open_or_create(data, &args.collection.collection)?;
    // The second Ctrl-C does not wait for the batch under way. That is safe,
    // too: what is not acknowledged is cut off at the next opening.
    let handler = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if handler.is_err() {
        output::note("note: Ctrl-C will end this at once, because no handler could be set");
    }
    let options = Options {
        max_document_bytes: args.max_document_bytes,
        exclude: vec![data.to_owned()],
        stop: &STOP,
        refresh: true,
    };
    let sources = args.paths.iter().map(|path| source(path)).collect();
    let mut progress = Progress::new(json);
    let result = ingest(
        &session.engine,
        &*session.embedder,
        sources,
        &options,
        &mut |event| progress.show(&event),
    );
    progress.finish();
    match result {
        Ok(report) => {
            session.engine.checkpoint().map_err(told)?;
            tell(&session, &report, json);
            Ok(exit_code(&report, args.strict))
        }
        Err(error) => {
            withdraw_if_empty(session).map_err(told)?;
            Err(told(error))
        }
    }
}

/// A collection is not made for paths that are not there.
fn check_paths(paths: &[PathBuf]) -> Result<(), Problem> {
    let missing = paths
        .iter()
        .find(|path| path.as_os_str() != "-" && !path.exists());
    match missing {
        Some(path) => {
            let error = cento_ingest::IngestError::PathNotFound { path: path.clone() };
            Err(told(error))
        }
        None => Ok(()),
    }
}

/// Removes a collection that was made for an ingestion that brought nothing.
fn withdraw_if_empty(session: Session) -> Result<(), IndexError> {
    let Session {
        store,
        name,
        engine,
        is_new,
        ..
    } = session;
    // Not the view at hand: it may be older than what was acknowledged. An
    // engine that cannot tell has written something.
    let is_empty = engine.refresh().is_ok_and(|view| view.sequence().0 == 0);
    drop(engine);
    if is_new && is_empty {
        store.delete(&name)?;
    }
    Ok(())
}

fn source(path: &Path) -> Source {
    if path.as_os_str() == "-" {
        Source::Stream {
            name: "stdin".to_owned(),
            reader: Box::new(std::io::stdin()),
        }
    } else {
        Source::Path(path.to_owned())
    }
}

fn tell(session: &Session, report: &Report, json: bool) {
    if json {
        let told = json!({
            "event": "report",
            "collection": session.name,
            "report": report,
        });
        return output::json_line(&told);
    }
    output::line(format_args!(
        "{} into '{}' in {:.1} s: {}",
        output::bytes(report.bytes_read),
        session.name,
        report.elapsed_ms as f64 / 1000.0,
        summary(report)
    ));
    if report.failed > 0 {
        output::line("failed:");
        for failure in &report.failures {
            output::line(format_args!("  {failure}"));
        }
    }
    if !report.gone.is_empty() {
        output::line(
            "gone since the last ingestion, still in the collection (`cento delete ID` removes them):",
        );
        for id in &report.gone {
            output::line(format_args!("  {id}"));
        }
    }
    if report.interrupted {
        output::line("interrupted: what is counted above is safe; run it again to go on");
    }
}

fn exit_code(report: &Report, strict: bool) -> ExitCode {
    if report.interrupted {
        output::interrupted()
    } else if strict && report.failed > 0 {
        output::not_all_well()
    } else {
        ExitCode::SUCCESS
    }
}
