//! `cento doctor`: do the projections say what the log says?

use std::path::Path;
use std::process::ExitCode;

use cento_index::Store;
use serde_json::json;

use super::{Outcome, told};
use crate::args::EachCollection;
use crate::output;
use crate::session::{name, tell_recovery};

pub(crate) fn run(data: &Path, args: &EachCollection, json: bool) -> Outcome {
    let store = Store::open_existing(data).map_err(told)?;
    let names = match &args.collection {
        Some(collection) => vec![name(collection)?],
        None => store.collections().map_err(told)?,
    };
    let mut all_well = true;
    let mut told_all = Vec::new();
    for name in names {
        let engine = store.collection(&name).map_err(told)?;
        tell_recovery(&name, &engine);
        let report = engine.audit().map_err(told)?;
        all_well &= report.is_clean();
        if json {
            told_all.push(json!({
                "collection": name,
                "clean": report.is_clean(),
                "recovered": {
                    "replayed": engine.recovery().replayed,
                    "cut_bytes": engine.recovery().cut_bytes,
                    "remade": engine.recovery().remade,
                },
                "report": report,
            }));
            continue;
        }
        output::line(format_args!(
            "{name}: {} documents, {} chunks, log at {}: {}",
            report.documents,
            report.chunks,
            report.sequence,
            match report.differences.len() {
                0 => "no differences".to_owned(),
                many => output::count(many as u64, "difference"),
            }
        ));
        for difference in &report.differences {
            let document = difference
                .document
                .as_ref()
                .map_or(String::new(), |id| format!(" {id}"));
            output::line(format_args!(
                "  {}{document}: {}",
                difference.projection, difference.what
            ));
        }
        if !report.is_clean() {
            output::note(format_args!(
                "`cento rebuild --collection {name}` makes them anew"
            ));
        }
    }
    if json {
        output::json(&json!({ "clean": all_well, "collections": told_all }));
    }
    Ok(if all_well {
        ExitCode::SUCCESS
    } else {
        output::not_all_well()
    })
}
