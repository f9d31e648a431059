//! `cento list`: which collections are there, and which documents?

use std::path::Path;
use std::process::ExitCode;

use cento_core::DocumentId;
use cento_index::{IndexError, Store, StoredOutline};
use serde_json::{Value, json};

use super::{Outcome, told};
use crate::args::ListArgs;
use crate::output;
use crate::session::name;

pub(crate) fn run(data: &Path, args: &ListArgs, json: bool) -> Outcome {
    match &args.collection {
        None => collections(data, json),
        Some(collection) => documents(data, collection, args, json),
    }
}

fn collections(data: &Path, json: bool) -> Outcome {
    let store = Store::open_existing(data).map_err(told)?;
    let rows = collection_rows(&store).map_err(told)?;
    if json {
        output::json(&json!({ "collections": rows }));
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        output::note("no collections yet; `cento ingest PATH` makes one");
    }
    for row in rows {
        output::line(format_args!(
            "{}  {} documents, {} chunks",
            row["name"].as_str().unwrap_or_default(),
            row["documents"],
            row["chunks"]
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn collection_rows(store: &Store) -> Result<Vec<Value>, IndexError> {
    let mut rows = Vec::new();
    for name in store.collections()? {
        let counts = store.collection(&name)?.view().counts();
        rows.push(json!({
            "name": name,
            "documents": counts.documents,
            "chunks": counts.chunks,
        }));
    }
    Ok(rows)
}

fn documents(data: &Path, collection: &str, args: &ListArgs, json: bool) -> Outcome {
    let store = Store::open_existing(data).map_err(told)?;
    let engine = store.collection(&name(collection)?).map_err(told)?;
    let after = args
        .after
        .as_ref()
        .map(|id| DocumentId::new(id.as_str()))
        .transpose()
        .map_err(told)?;
    let view = engine.view();
    let page = view.documents(after.as_ref(), args.limit).map_err(told)?;
    let is_last = page.len() < args.limit;
    let next = page
        .last()
        .map(|outline| outline.id.clone())
        .filter(|_| !is_last);
    if json {
        let rows: Vec<Value> = page.iter().map(row).collect();
        output::json(&json!({ "documents": rows, "next": next }));
        return Ok(ExitCode::SUCCESS);
    }
    for outline in &page {
        output::line(format_args!(
            "{}  {}  {}, {}",
            outline.id,
            output::shorten(&outline.title, 60),
            output::bytes(outline.text_bytes),
            output::count(u64::from(outline.chunks), "chunk")
        ));
    }
    if let Some(id) = next {
        output::note(format_args!("there may be more: --after '{id}'"));
    }
    Ok(ExitCode::SUCCESS)
}

/// A document without its text, as JSON.
pub(crate) fn row(outline: &StoredOutline) -> Value {
    json!({
        "id": outline.id,
        "title": outline.title,
        "source": outline.source,
        "metadata": outline.metadata.to_json(),
        "sequence": outline.sequence,
        "bytes": outline.text_bytes,
        "chunks": outline.chunks,
        "content_hash": outline.content_hash.to_hex(),
    })
}
