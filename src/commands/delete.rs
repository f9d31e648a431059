//! `cento delete`: how do documents leave?

use std::path::Path;
use std::process::ExitCode;

use cento_core::DocumentId;
use cento_index::Store;
use serde_json::json;

use super::{Outcome, told};
use crate::args::DeleteArgs;
use crate::output;
use crate::session::name;

pub(crate) fn run(data: &Path, args: &DeleteArgs, json: bool) -> Outcome {
    let store = Store::open_existing(data).map_err(told)?;
    let collection = name(&args.collection.collection)?;
    if args.all {
        store.delete(&collection).map_err(told)?;
        if json {
            output::json(&json!({ "collection": collection, "deleted": true }));
        } else {
            output::line(format_args!("deleted collection '{collection}'"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let ids = args
        .documents
        .iter()
        .map(|id| DocumentId::new(id.as_str()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(told)?;
    let engine = store.collection(&collection).map_err(told)?;
    let were_there = engine.delete(&ids).map_err(told)?;
    engine.checkpoint().map_err(told)?;
    let (deleted, unknown): (Vec<_>, Vec<_>) =
        ids.into_iter().zip(were_there).partition(|(_, was)| *was);
    let ids = |list: &[(DocumentId, bool)]| -> Vec<DocumentId> {
        list.iter().map(|(id, _)| id.clone()).collect()
    };
    if json {
        output::json(&json!({ "deleted": ids(&deleted), "unknown": ids(&unknown) }));
    } else {
        output::line(format_args!(
            "deleted {}",
            output::count(deleted.len() as u64, "document")
        ));
        for (id, _) in &unknown {
            output::note(format_args!("no document '{id}'"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
