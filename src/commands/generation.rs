//! `cento generation`: which configurations does a collection have, and how is
//! one gone back to?

use std::process::ExitCode;

use cento_api::Problem;
use cento_api::types::Generation;
use cento_core::GenerationNo;
use cento_index::GenerationState;
use serde_json::json;

use super::{Outcome, reindex};
use crate::args::GenerationCommand;
use crate::target::{Place, Target, name};
use crate::{interrupt, output};

pub(crate) fn run(place: &Place, command: GenerationCommand, json: bool) -> Outcome {
    let target = Target::existing(place)?;
    match command {
        GenerationCommand::List { collection } => {
            let list = target.generations(&name(&collection.collection)?)?;
            if json {
                output::json(&list);
            } else {
                list.generations.iter().for_each(tell);
            }
        }
        GenerationCommand::Drop { number, collection } => {
            let name = name(&collection.collection)?;
            target.drop_generation(&name, GenerationNo(number))?;
            if json {
                output::json(&json!({ "generation": number, "deleted": true }));
            } else {
                output::line(format_args!("dropped generation {number} of '{name}'"));
            }
        }
        GenerationCommand::Rollback { number, collection } => {
            let name = name(&collection.collection)?;
            let number = match number {
                Some(number) => GenerationNo(number),
                None => last_former(&target.generations(&name)?.generations)?,
            };
            let stop = interrupt::listen();
            let mut progress = reindex::Progress::new(json);
            let result = target.rollback(&name, number, stop, &mut |event| progress.show(event));
            progress.finish();
            return Ok(reindex::tell(&name, &result?, json));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn last_former(generations: &[Generation]) -> Result<GenerationNo, Problem> {
    let former = |g: &&Generation| g.state == GenerationState::Former;
    let found = generations.iter().rfind(former);
    found.map(|found| found.number).ok_or_else(|| {
        Problem::new("unknown_generation", 404, "no former generation is kept")
            .with_help("`cento generation list` numbers those there are")
    })
}

fn tell(generation: &Generation) {
    let Generation {
        number,
        state,
        pending,
        settings,
        ..
    } = generation;
    let state = match state {
        GenerationState::Serving => "serving",
        GenerationState::Building => "building",
        GenerationState::Former => "former",
    };
    let pending = match pending {
        Some(pending) if *pending > 0 => {
            format!(", {} to go", output::count(*pending, "document"))
        }
        _ => String::new(),
    };
    output::line(format_args!(
        "{number}  {state}  {}, {} dimensions, cut by {}{pending}",
        settings.model, settings.dimensions, settings.chunking
    ));
}
