//! `cento ingest`: how do documents come into a collection from a shell?

mod remote;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use cento_api::types::NewCollection;
use cento_api::{Problem, Service};
use cento_core::CollectionName;
use cento_ingest::{IngestError, Options, Report, Source};
use serde_json::json;

use super::Outcome;
use crate::args::IngestArgs;
use crate::progress::{Progress, summary};
use crate::target::{Place, Target, name};
use crate::{interrupt, output};

pub(crate) fn run(place: &Place, args: &IngestArgs, json: bool) -> Outcome {
    check_paths(&args.paths)?;
    let target = Target::any(place)?;
    let collection = name(&args.collection.collection)?;
    let new = NewCollection {
        embedder: args.embedder.clone(),
        chunking: args.chunking.unwrap_or_default(),
        ..NewCollection::named(collection)
    };
    let is_new = target.ensure_collection(&new)?;
    let NewCollection {
        name: collection, ..
    } = new;
    if !is_new {
        check_settings(&target, &collection, args)?;
        target.tell_recovery(&collection)?;
    }
    let options = Options {
        max_document_bytes: args.max_document_bytes,
        exclude: vec![place.data.clone()],
        stop: interrupt::listen(),
        ..Options::default()
    };
    let sources = args.paths.iter().map(|path| source(path)).collect();
    let mut progress = Progress::new(json);
    let result = match &target {
        Target::Here(service) => here(service, &collection, sources, &options, &mut progress),
        Target::There(client) => {
            remote::ingest(client, &collection, sources, &options, &mut progress)
        }
    };
    progress.finish();
    match result {
        Ok(report) => {
            tell(&collection, &report, json);
            Ok(exit_code(&report, args.strict))
        }
        Err(problem) => {
            if is_new {
                target.withdraw_if_empty(&collection)?;
            }
            Err(problem)
        }
    }
}

fn here(
    service: &Service,
    collection: &CollectionName,
    sources: Vec<Source>,
    options: &Options<'_>,
    progress: &mut Progress,
) -> Result<Report, Problem> {
    let report = service.ingest(collection, sources, options, &mut |event| {
        progress.show(&event);
    })?;
    service.settle(collection, |freezing| {
        progress.show_freezing(freezing);
        !options.stop.load(Ordering::Relaxed)
    })?;
    Ok(report)
}

/// A collection is not made for paths that are not there.
fn check_paths(paths: &[PathBuf]) -> Result<(), Problem> {
    let missing = paths
        .iter()
        .find(|path| path.as_os_str() != "-" && !path.exists());
    match missing {
        Some(path) => Err(IngestError::PathNotFound { path: path.clone() }.into()),
        None => Ok(()),
    }
}

/// What was fixed when the collection was made cannot be asked for otherwise.
fn check_settings(
    target: &Target,
    collection: &CollectionName,
    args: &IngestArgs,
) -> Result<(), Problem> {
    let settings = target.collection(collection)?.settings;
    let fixed = |what: &str, is: &str, asked: &str| {
        let detail = format!("collection '{collection}' was made with {what} {is}, not {asked}");
        Problem::new("settings_fixed", 409, detail)
            .with_help("leave that argument out, or change the collection with `cento reindex`")
    };
    if let Some(asked) = &args.embedder {
        let path = Path::new(asked).canonicalize().ok();
        let path = path.as_deref().and_then(Path::to_str);
        if *asked != settings.model && path != Some(settings.model.as_str()) {
            return Err(fixed("the embedder", &settings.model, asked));
        }
    }
    match args.chunking {
        Some(asked) if asked.fingerprint() != settings.chunking => Err(fixed(
            "the chunking",
            &settings.chunking,
            asked.fingerprint(),
        )),
        _ => Ok(()),
    }
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

fn tell(collection: &CollectionName, report: &Report, json: bool) {
    if json {
        let told = json!({
            "event": "report",
            "collection": collection,
            "report": report,
        });
        return output::json_line(&told);
    }
    output::line(format_args!(
        "{} into '{collection}' in {:.1} s: {}",
        output::bytes(report.bytes_read),
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
