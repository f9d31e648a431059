//! `cento list`: which collections are there, and which documents?

use std::process::ExitCode;

use cento_api::types::PageQuery;
use cento_core::DocumentId;
use serde_json::json;

use super::Outcome;
use crate::args::ListArgs;
use crate::output;
use crate::target::{Place, Target, name};

pub(crate) fn run(place: &Place, args: &ListArgs, json: bool) -> Outcome {
    let target = Target::existing(place)?;
    match &args.collection {
        None => collections(&target, json),
        Some(collection) => documents(&target, collection, args, json),
    }
}

fn collections(target: &Target, json: bool) -> Outcome {
    let list = target.collections()?;
    if json {
        output::json(&list);
        return Ok(ExitCode::SUCCESS);
    }
    if list.collections.is_empty() && list.unusable.is_empty() {
        output::note("no collections yet; `cento ingest PATH` makes one");
    }
    for row in &list.collections {
        output::line(format_args!(
            "{}  {} documents, {} chunks",
            row.name, row.documents, row.chunks
        ));
    }
    for row in &list.unusable {
        output::note(format_args!(
            "{}  cannot be opened [{}]",
            row.name, row.code
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn documents(target: &Target, collection: &str, args: &ListArgs, json: bool) -> Outcome {
    let name = name(collection)?;
    let mut after = (args.after.as_deref()).map(DocumentId::new).transpose()?;
    // A page of a server has a greatest size; the caller's has not.
    let mut wanted = args.limit;
    let mut documents = Vec::new();
    let mut next = None;
    while wanted > 0 {
        let limit = Some(wanted.min(PageQuery::MAX));
        let page = target.documents(&name, &PageQuery { after, limit })?;
        wanted = wanted.saturating_sub(page.documents.len());
        documents.extend(page.documents);
        next = page.next;
        after = next.clone();
        if next.is_none() {
            break;
        }
    }
    if json {
        output::json(&json!({ "documents": documents, "next": next }));
        return Ok(ExitCode::SUCCESS);
    }
    for document in &documents {
        output::line(format_args!(
            "{}  {}  {}, {}",
            document.id,
            output::shorten(&document.title, 60),
            output::bytes(document.bytes),
            output::count(u64::from(document.chunks), "chunk")
        ));
    }
    if let Some(id) = next {
        output::note(format_args!("there are more: --after '{id}'"));
    }
    Ok(ExitCode::SUCCESS)
}
