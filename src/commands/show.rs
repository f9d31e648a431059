//! `cento show`: what does the store hold of a collection, or of a document?

use std::path::Path;
use std::process::ExitCode;

use cento_core::{CollectionName, DocumentId};
use cento_index::{Engine, IndexError, Store, StoredDocument};
use serde_json::{Value, json};

use super::list::row;
use super::{Outcome, told};
use crate::args::ShowArgs;
use crate::output;
use crate::session::name;

pub(crate) fn run(data: &Path, args: &ShowArgs, json: bool) -> Outcome {
    let store = Store::open_existing(data).map_err(told)?;
    let collection = name(&args.collection.collection)?;
    let engine = store.collection(&collection).map_err(told)?;
    match &args.document {
        None => show_collection(&engine, &collection, json),
        Some(id) => {
            let id = DocumentId::new(id.as_str()).map_err(told)?;
            let found = engine.view().document(&id).map_err(told)?;
            let document =
                found.ok_or_else(|| told(IndexError::UnknownDocument { id: id.clone() }))?;
            show_document(&document, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show_collection(engine: &Engine, collection: &CollectionName, json: bool) {
    let view = engine.view();
    let counts = view.counts();
    let settings = engine.settings();
    if json {
        let fields: Value = view
            .fields()
            .iter()
            .map(|(field, kind)| (field.to_owned(), json!(kind)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        return output::json(&json!({
            "name": collection,
            "documents": counts.documents,
            "chunks": counts.chunks,
            "sequence": view.sequence(),
            "fields": fields,
            "settings": settings,
        }));
    }
    output::line(format_args!("collection {collection}"));
    output::line(format_args!(
        "  {} documents, {} chunks, last write {}",
        counts.documents,
        counts.chunks,
        view.sequence()
    ));
    output::line(format_args!(
        "  embedder {} ({} dimensions), chunking {}",
        settings.embedder, settings.dimensions, settings.chunking
    ));
    for (field, kind) in view.fields().iter() {
        output::line(format_args!("  field {field}: {kind}"));
    }
}

fn show_document(stored: &StoredDocument, json: bool) {
    if json {
        let mut told = row(&stored.outline);
        told["text"] = json!(stored.document.text);
        told["chunks"] = stored
            .chunks
            .iter()
            .map(|chunk| {
                json!({
                    "id": chunk.id,
                    "span": chunk.span,
                    "line": chunk.line,
                    "heading_path": chunk.heading_path,
                })
            })
            .collect();
        return output::json(&told);
    }
    let outline = &stored.outline;
    output::line(format_args!("document {}", outline.id));
    output::line(format_args!("  title: {}", outline.title));
    if let Some(source) = &outline.source {
        output::line(format_args!("  source: {source}"));
    }
    for (field, value) in outline.metadata.to_json() {
        output::line(format_args!("  {field}: {value}"));
    }
    output::line(format_args!(
        "  {}, {}, write {}",
        output::bytes(outline.text_bytes),
        output::count(stored.chunks.len() as u64, "chunk"),
        outline.sequence
    ));
    for chunk in &stored.chunks {
        output::line(format_args!(
            "\n--- {}  line {}, bytes {}  {}",
            chunk.id,
            chunk.line,
            chunk.span,
            chunk.heading_path.join(" > ")
        ));
        output::line(&chunk.text);
    }
}
