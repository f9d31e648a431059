//! `cento delete`: how do documents leave?

use std::process::ExitCode;

use cento_api::types::DeleteDocuments;
use cento_core::DocumentId;
use serde_json::json;

use super::Outcome;
use crate::args::DeleteArgs;
use crate::target::{Place, Target, name};
use crate::{filter, output};

pub(crate) fn run(place: &Place, args: &DeleteArgs, json: bool) -> Outcome {
    let target = Target::existing(place)?;
    let collection = name(&args.collection.collection)?;
    if args.all {
        target.delete_collection(&collection)?;
        if json {
            output::json(&json!({ "collection": collection, "deleted": true }));
        } else {
            output::line(format_args!("deleted collection '{collection}'"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut which = DeleteDocuments::default();
    if args.filters.is_empty() {
        let ids = args.documents.iter().map(|id| DocumentId::new(id.as_str()));
        which.ids = Some(ids.collect::<Result<_, _>>()?);
    } else {
        which.filter = filter::asked(&args.filters, &target, &collection)?;
    }
    let results = target.delete_documents(&collection, &which)?;
    if json {
        output::json(&results);
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format_args!(
        "deleted {}",
        output::count(results.deleted, "document")
    ));
    for id in &results.unknown {
        output::note(format_args!("no document '{id}'"));
    }
    Ok(ExitCode::SUCCESS)
}
