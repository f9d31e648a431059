//! `cento doctor`: do the projections say what the log says?

use std::process::ExitCode;

use cento_api::types::AuditResult;
use cento_core::CollectionName;
use cento_index::SalvageReport;
use serde_json::json;

use super::Outcome;
use crate::args::DoctorArgs;
use crate::output;
use crate::target::{Place, Target};

pub(crate) fn run(place: &Place, args: &DoctorArgs, json: bool) -> Outcome {
    let target = Target::existing(place)?;
    let mut audits = Vec::new();
    let mut salvaged = Vec::new();
    for name in target.names(args.collection.as_ref())? {
        if args.salvage
            && let Some(report) = target.salvage(&name)?
        {
            if !json {
                tell_salvage(&name, &report);
            }
            salvaged.push(json!({ "collection": name, "report": report }));
        }
        target.tell_recovery(&name)?;
        let audit = target.audit(&name)?;
        if !json {
            tell(&audit);
        }
        audits.push(audit);
    }
    let all_well = (audits.iter()).all(|audit| audit.clean && audit.recovered.skipped.is_empty());
    if json {
        let mut told = json!({ "clean": all_well, "collections": audits });
        if args.salvage {
            told["salvaged"] = salvaged.into();
        }
        output::json(&told);
    }
    Ok(if all_well {
        ExitCode::SUCCESS
    } else {
        output::not_all_well()
    })
}

fn tell_salvage(name: &CollectionName, report: &SalvageReport) {
    output::line(format_args!(
        "{name}: {} saved; the damaged files are in {}",
        output::count(report.kept, "record"),
        report.put_aside.display()
    ));
    for lost in &report.lost {
        output::line(format_args!(
            "  lost: {} at byte {}, {}: {}",
            lost.path.display(),
            lost.offset,
            output::bytes(lost.bytes),
            lost.reason
        ));
    }
    for (first, last) in &report.missing {
        output::line(format_args!("  missing: writes {first} to {last}"));
    }
}

fn tell(audit: &AuditResult) {
    let AuditResult {
        collection, report, ..
    } = audit;
    output::line(format_args!(
        "{collection}: {} documents, {} chunks, generation {}, log at {} ({}, {} dead): {}",
        report.documents,
        report.chunks,
        report.generation,
        report.sequence,
        output::bytes(report.log_bytes),
        output::bytes(report.dead_bytes),
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
