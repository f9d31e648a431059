//! `cento doctor`: do the projections say what the log says?

use std::process::ExitCode;

use cento_api::types::AuditResult;
use serde_json::json;

use super::Outcome;
use crate::args::EachCollection;
use crate::output;
use crate::target::{Place, Target};

pub(crate) fn run(place: &Place, args: &EachCollection, json: bool) -> Outcome {
    let target = Target::existing(place)?;
    let mut audits = Vec::new();
    for name in target.names(args.collection.as_ref())? {
        target.tell_recovery(&name)?;
        let audit = target.audit(&name)?;
        if !json {
            tell(&audit);
        }
        audits.push(audit);
    }
    let all_well = (audits.iter()).all(|audit| audit.clean && audit.recovered.skipped.is_empty());
    if json {
        output::json(&json!({ "clean": all_well, "collections": audits }));
    }
    Ok(if all_well {
        ExitCode::SUCCESS
    } else {
        output::not_all_well()
    })
}

fn tell(audit: &AuditResult) {
    let AuditResult {
        collection, report, ..
    } = audit;
    output::line(format_args!(
        "{collection}: {} documents, {} chunks, log at {}: {}",
        report.documents,
        report.chunks,
        report.sequence,
        match report.differences.len() {
            0 => "no differences".to_owned(),
            many => output::count(many as u64, "difference"),
        }
    ));
    let recovered = &audit.recovered;
    if recovered.manifest_healed {
        output::line("  the manifest was damaged and taken from its copy");
    }
    for skipped in &recovered.skipped {
        output::line(format_args!(
            "  log: write {} could not be applied: {}",
            skipped.sequence, skipped.why
        ));
    }
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
    if !audit.clean {
        output::note(format_args!(
            "`cento rebuild --collection {collection}` makes them anew"
        ));
    }
}
