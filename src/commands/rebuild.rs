//! `cento rebuild`: how are the projections made anew?

use std::process::ExitCode;

use serde_json::json;

use super::Outcome;
use crate::args::RebuildArgs;
use crate::output;
use crate::target::{Place, Target};

pub(crate) fn run(place: &Place, args: &RebuildArgs, json: bool) -> Outcome {
    let target = Target::existing(place)?;
    let mut rebuilt = Vec::new();
    for name in target.names(args.collection.as_ref())? {
        let result = target.rebuild(&name, args.only)?;
        if !json {
            output::line(format_args!(
                "{name}: {} documents, {} chunks made anew from {} writes in {:.1} s",
                result.documents,
                result.chunks,
                result.writes,
                result.elapsed_ms as f64 / 1000.0
            ));
        }
        rebuilt.push(result);
    }
    if json {
        output::json(&json!({ "rebuilt": rebuilt }));
    }
    Ok(ExitCode::SUCCESS)
}
