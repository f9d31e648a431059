//! `cento doctor`: do the projections say what the log says?

use std::process::ExitCode;

use cento_api::Problem;
use cento_api::types::AuditResult;
use cento_core::CollectionName;
use serde_json::json;

use super::Outcome;
use crate::args::DoctorArgs;
use crate::output;
use crate::target::{Place, Target};

pub(crate) fn run(place: &Place, args: &DoctorArgs, json: bool) -> Outcome {
    let target = Target::existing(place)?;
    if args.salvage {
        return salvage(&target, args, json);
    }
    let mut audits = Vec::new();
    for name in target.names(args.each.collection.as_ref())? {
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

fn salvage(target: &Target, args: &DoctorArgs, json: bool) -> Outcome {
    let name = args.each.collection.as_deref().unwrap_or_default();
    let name = CollectionName::new(name).map_err(Problem::from)?;
    expect_damage(target, &name)?;
    let report = target.salvage(&name)?;
    let code = if report.lost.is_empty() && report.missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        output::not_all_well()
    };
    if json {
        output::json(&json!({ "collection": name, "salvaged": report }));
        return Ok(code);
    }
    output::line(format_args!(
        "{name}: {} saved",
        output::count(report.kept, "write")
    ));
    for lost in &report.lost {
        output::line(format_args!(
            "  lost: {} bytes at byte {} of {}: {}",
            lost.bytes,
            lost.offset,
            lost.path.display(),
            lost.reason
        ));
    }
    for (first, last) in &report.missing {
        output::line(format_args!("  missing: writes {first} to {last}"));
    }
    output::note(format_args!(
        "the damaged files are in {}; a document whose newest version is lost shows an older one",
        report.put_aside.display()
    ));
    Ok(code)
}

/// Refuses to salvage what is not damaged: it would write the whole log and every
/// projection anew, and keep the former files beside them, for nothing.
fn expect_damage(target: &Target, name: &CollectionName) -> Result<(), Problem> {
    // Through a server there is no salvaging, and that is told first.
    let Target::Here(service) = target else {
        return Ok(());
    };
    match service.audit(name) {
        Ok(audit) => {
            let detail = format!("the log of '{name}' is whole: there is nothing to salvage");
            let problem = Problem::new("not_damaged", 409, detail);
            Err(if audit.clean {
                problem
            } else {
                problem.with_help("`cento rebuild` makes anew what differs from the log")
            })
        }
        // Of these salvaging can save something; others have another cause, which
        // it would not mend.
        Err(problem)
            if matches!(
                &*problem.code,
                "log_damaged" | "unknown_format" | "io_error"
            ) =>
        {
            Ok(())
        }
        Err(problem) => Err(problem),
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
