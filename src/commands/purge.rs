//! `cento purge`: how is deleted content removed for good?

use std::process::ExitCode;

use cento_api::types::Purge;
use serde_json::json;

use super::Outcome;
use crate::args::PurgeArgs;
use crate::output;
use crate::target::{Place, Target, name};

pub(crate) fn run(place: &Place, args: &PurgeArgs, json: bool) -> Outcome {
    let target = Target::existing(place)?;
    let name = name(&args.collection.collection)?;
    target.tell_recovery(&name)?;
    let what = Purge {
        snapshots: args.snapshots,
    };
    let report = target.purge(&name, what)?;
    let code = if report.held.is_empty() {
        ExitCode::SUCCESS
    } else {
        output::not_all_well()
    };
    if json {
        output::json(&json!({ "collection": name, "report": report }));
        return Ok(code);
    }
    output::line(format_args!(
        "{name}: log of {} is {} now; {} dropped, {} and {} given up",
        output::bytes(report.compaction.bytes_before),
        output::bytes(report.compaction.bytes_after),
        output::count(report.compaction.dropped, "record"),
        output::count(report.generations, "former generation"),
        output::count(report.deleted_snapshots.len() as u64, "snapshot"),
    ));
    output::line(format_args!(
        "read to prove it: {}, {}, {}",
        output::count(report.proven.records, "record"),
        output::count(report.proven.terms, "term"),
        output::count(report.proven.rows, "row")
    ));
    for held in &report.held {
        output::line(format_args!(
            "still held by {}: {}",
            held.place,
            output::count(held.count, "version")
        ));
    }
    let by_snapshots = |held: &cento_index::Held| held.place.starts_with("snapshot ");
    if report.held.iter().any(by_snapshots) {
        output::note("`cento purge --snapshots` deletes the snapshots, too");
    }
    Ok(code)
}
