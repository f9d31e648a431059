//! `cento models`: which models are there, are they sound, and how fast are they?

mod bench;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use cento_api::Problem;
use cento_core::CollectionName;
use cento_embed::{Embedder, LocalModel, local_models, pull};
use serde_json::json;

use super::Outcome;
use crate::args::ModelsCommand;
use crate::output;
use crate::target::{Place, Target};

pub(crate) fn run(place: &Place, command: &ModelsCommand, json: bool) -> Outcome {
    match command {
        ModelsCommand::List => list(place, json),
        ModelsCommand::Pull { model } => fetch(model, json),
        ModelsCommand::Verify { models } => verify(place, models, json),
        ModelsCommand::Bench(args) => bench::run(args, json),
    }
}

/// A model that collections were embedded with.
#[derive(Debug, Default)]
struct Used {
    /// Each with the fingerprint that its vectors have.
    by: BTreeMap<CollectionName, String>,
}

/// The models that the collections of the data directory were embedded with, if
/// there is one.
fn used(place: &Place) -> Result<BTreeMap<String, Used>, Problem> {
    let mut used: BTreeMap<String, Used> = BTreeMap::new();
    let target = match Target::existing(place) {
        Err(problem) if problem.code == "no_data_directory" => return Ok(used),
        target => target?,
    };
    for row in target.collections()?.collections {
        let settings = target.collection(&row.name)?.settings;
        let model = used.entry(settings.model).or_default();
        model.by.insert(row.name, settings.embedder);
    }
    Ok(used)
}

fn list(place: &Place, json: bool) -> Outcome {
    let mut used = used(place)?;
    let mut rows = Vec::new();
    for LocalModel {
        model,
        place,
        bytes,
    } in local_models()
    {
        let by = used.remove(&model).unwrap_or_default().by;
        rows.push((model, place, Some(bytes), by));
    }
    for (model, Used { by }) in used {
        let path = Some(Path::new(&model)).filter(|path| path.exists());
        let path = path.map(Path::to_path_buf);
        let bytes = cento_embed::local_bytes(&model);
        rows.push((model, path, bytes, by));
    }
    if json {
        let rows = rows.iter().map(|(model, place, bytes, by)| {
            let by: Vec<&CollectionName> = by.keys().collect();
            json!({"model": model, "place": place, "bytes": bytes, "collections": by})
        });
        output::json(&json!({ "models": rows.collect::<Vec<_>>() }));
        return Ok(ExitCode::SUCCESS);
    }
    for (model, place, bytes, by) in rows {
        let size = bytes.map_or("not on this machine".to_owned(), output::bytes);
        let place = place.filter(|place| place != Path::new(&model));
        let place = place.map_or(String::new(), |place| format!("  in {}", place.display()));
        let by: Vec<&str> = by.keys().map(CollectionName::as_str).collect();
        let by = match by[..] {
            [] => String::new(),
            _ => format!("  used by {}", by.join(", ")),
        };
        output::line(format_args!("{model}  {size}{place}{by}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn fetch(model: &str, json: bool) -> Outcome {
    let place = pull(model)?;
    let bytes = cento_embed::local_bytes(model);
    if json {
        output::json(&json!({"model": model, "place": place, "bytes": bytes}));
    } else {
        let size = bytes.map_or(String::new(), |bytes| format!("{}, ", output::bytes(bytes)));
        output::line(format_args!("{model}: {size}in {}", place.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(place: &Place, named: &[String], json: bool) -> Outcome {
    let used = used(place)?;
    let models: Vec<&String> = match named {
        [] => used.keys().collect(),
        named => named.iter().collect(),
    };
    if models.is_empty() && !json {
        output::note("no collections yet, and no model was named: nothing to verify");
    }
    let (mut rows, mut is_well) = (Vec::new(), true);
    for model in models {
        let verified = verify_one(model, &used);
        let wrong = match &verified {
            Ok(fingerprint) => {
                if !json {
                    output::line(format_args!("{model}: well, {fingerprint}"));
                }
                None
            }
            Err(problem) => {
                is_well = false;
                if !json {
                    output::line(format_args!(
                        "{model}: {} [{}]",
                        problem.detail, problem.code
                    ));
                    if !problem.help.is_empty() {
                        output::line(format_args!("  help: {}", problem.help));
                    }
                }
                Some(problem)
            }
        };
        let fingerprint = verified.as_ref().ok();
        rows.push(json!({"model": model, "well": wrong.is_none(), "fingerprint": fingerprint, "problem": wrong}));
    }
    if json {
        output::json(&json!({ "models": rows }));
    }
    Ok(match is_well {
        true => ExitCode::SUCCESS,
        false => output::not_all_well(),
    })
}

/// The fingerprint of a model that is sound.
fn verify_one(model: &str, used: &BTreeMap<String, Used>) -> Result<String, Problem> {
    let embedder = cento_embed::open(model)?;
    sound(&*embedder)?;
    let found = &embedder.contract().fingerprint;
    // A folder may be named in another way than collections have it.
    let used = used
        .get(model)
        .or_else(|| used.get(&embedder.contract().model));
    for (collection, expected) in used.iter().flat_map(|used| &used.by) {
        if found != expected {
            let detail = format!(
                "it is {found} now, but collection '{collection}' was embedded by {expected}"
            );
            return Err(Problem::new("model_mismatch", 409, detail).with_help(
                "`cento reindex` embeds the collection anew; or put the former model back",
            ));
        }
    }
    Ok(found.clone())
}

/// Sees that vectors are what an embedder promises, and that a text's is the same
/// alone as among others.
fn sound(embedder: &dyn Embedder) -> Result<(), Problem> {
    /// Runtimes add in another order when a batch is padded; a graph that quantises by
    /// what it is given rounds otherwise.
    const LEAST_COSINE: f32 = 0.995;
    let texts: Vec<String> = [
        "How do I rotate an API key?",
        "A gateway that has lost its uplink buffers readings for three days.",
        "fn parse(text: &str) -> Result<Value, Error>",
        "Die Kündigungsfrist beträgt drei Monate.",
    ]
    .map(str::to_owned)
    .to_vec();
    let wrong = |what: String| Problem::new("model_unsound", 500, what);
    let together = embedder.embed_documents(&texts)?;
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    for (text, vector) in texts.iter().zip(&together) {
        let length = cosine(vector, vector).sqrt();
        if (length - 1.0).abs() > 1e-3 {
            return Err(wrong(format!(
                "the vector of {text:?} is {length} long, not 1"
            )));
        }
        let alone = embedder.embed_documents(std::slice::from_ref(text))?;
        let same = alone.first().map_or(0.0, |alone| cosine(alone, vector));
        if same < LEAST_COSINE {
            return Err(wrong(format!(
                "the vector of {text:?} is another one alone than among others: their cosine is {same}"
            )));
        }
    }
    if together
        .windows(2)
        .any(|two| cosine(&two[0], &two[1]) > 0.999)
    {
        return Err(wrong("different texts have the same vector".to_owned()));
    }
    Ok(())
}
