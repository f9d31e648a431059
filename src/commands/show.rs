//! `cento show`: what does the store hold of a collection, or of a document?

use std::process::ExitCode;

use cento_api::types::{CollectionInfo, DocumentDetail};
use cento_core::DocumentId;

use super::Outcome;
use crate::args::ShowArgs;
use crate::output;
use crate::target::{Place, Target, name};

pub(crate) fn run(place: &Place, args: &ShowArgs, json: bool) -> Outcome {
    let target = Target::existing(place)?;
    let collection = name(&args.collection.collection)?;
    match &args.document {
        None => show_collection(&target.collection(&collection)?, json),
        Some(id) => {
            let id = DocumentId::new(id.as_str())?;
            show_document(&target.document(&collection, &id)?, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show_collection(info: &CollectionInfo, json: bool) {
    if json {
        return output::json(info);
    }
    let settings = &info.settings;
    output::line(format_args!("collection {}", info.name));
    output::line(format_args!(
        "  {} documents, {} chunks, last write {}",
        info.documents, info.chunks, info.sequence
    ));
    output::line(format_args!(
        "  embedder {} ({} dimensions), chunking {}",
        settings.embedder, settings.dimensions, settings.chunking
    ));
    if let Some(fitted) = &info.fitted {
        output::line(format_args!(
            "  queries fitted to {} at write {}",
            output::count(fitted.chunks, "chunk"),
            fitted.sequence
        ));
    }
    for (field, kind) in info.fields.iter() {
        output::line(format_args!("  field {field}: {kind}"));
    }
}

fn show_document(document: &DocumentDetail, json: bool) {
    if json {
        return output::json(document);
    }
    output::line(format_args!("document {}", document.id));
    output::line(format_args!("  title: {}", document.title));
    if let Some(source) = &document.source {
        output::line(format_args!("  source: {source}"));
    }
    for (field, value) in &document.metadata {
        output::line(format_args!("  {field}: {value}"));
    }
    output::line(format_args!(
        "  {}, {}, write {}",
        output::bytes(document.bytes),
        output::count(document.chunks.len() as u64, "chunk"),
        document.sequence
    ));
    for chunk in &document.chunks {
        output::line(format_args!(
            "\n--- {}  line {}, bytes {}  {}",
            chunk.id,
            chunk.line,
            chunk.span,
            chunk.heading_path.join(" > ")
        ));
        output::line(chunk.span.slice(&document.text).unwrap_or_default());
    }
}
