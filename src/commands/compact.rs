//! `cento compact`: how does the space of what was replaced and deleted return?

use std::process::ExitCode;

use serde_json::json;

use super::Outcome;
use crate::args::EachCollection;
use crate::output;
use crate::target::{Place, Target};

pub(crate) fn run(place: &Place, args: &EachCollection, json: bool) -> Outcome {
    let target = Target::existing(place)?;
    let mut compacted = Vec::new();
    for name in target.names(args.collection.as_ref())? {
        target.tell_recovery(&name)?;
        let report = target.compact(&name)?;
        if !json {
            output::line(format_args!(
                "{name}: log of {} is {} now, {} dropped",
                output::bytes(report.bytes_before),
                output::bytes(report.bytes_after),
                output::count(report.dropped, "record")
            ));
        }
        compacted.push(json!({ "collection": name, "report": report }));
    }
    if json {
        output::json(&json!({ "compacted": compacted }));
    }
    Ok(ExitCode::SUCCESS)
}
