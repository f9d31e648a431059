//! `cento rebuild`: how are the projections made anew?

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use cento_index::Store;
use serde_json::json;

use super::{Outcome, told};
use crate::args::EachCollection;
use crate::output;
use crate::session::name;

pub(crate) fn run(data: &Path, args: &EachCollection, json: bool) -> Outcome {
    let store = Store::open_existing(data).map_err(told)?;
    let names = match &args.collection {
        Some(collection) => vec![name(collection)?],
        None => store.collections().map_err(told)?,
    };
    let mut rebuilt = Vec::new();
    for name in names {
        let begun = Instant::now();
        let engine = store.rebuild(&name).map_err(told)?;
        engine.checkpoint().map_err(told)?;
        let counts = engine.view().counts();
        let elapsed = begun.elapsed();
        if !json {
            output::line(format_args!(
                "{name}: {} documents, {} chunks made anew from {} writes in {:.1} s",
                counts.documents,
                counts.chunks,
                engine.recovery().replayed,
                elapsed.as_secs_f64()
            ));
        }
        rebuilt.push(json!({
            "collection": name,
            "documents": counts.documents,
            "chunks": counts.chunks,
            "writes": engine.recovery().replayed,
            "elapsed_ms": elapsed.as_millis() as u64,
        }));
    }
    if json {
        output::json(&json!({ "rebuilt": rebuilt }));
    }
    Ok(ExitCode::SUCCESS)
}
