//! Is what a crash left what may be there, in every way to find it?

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cento_core::CollectionName;
use cento_index::{Engine, GenerationState, IndexError, Store, View};
use serde_json::json;

use crate::child::{DOCUMENTS, derived, options};
use crate::corpus::{filter, id, name};
use crate::model::{Found, Model, Standing, marker, text};

/// Opens what was left, compares it with what may be there, and opens it once
/// more.
pub(crate) fn check(data: &Path, model: &mut Model) -> Result<(), Vec<String>> {
    let before = {
        let store = Store::open_with(data, options()).unwrap();
        check_others(&store);
        let engine = match store.collection(&name()) {
            // It died before the collection was made.
            Err(IndexError::UnknownCollection { .. }) => {
                return model
                    .look(&Found {
                        configuration: "sentences".to_owned(),
                        ..Found::default()
                    })
                    .map(drop);
            }
            engine => engine.unwrap(),
        };
        let mut wrong = check_opening(&engine);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let found = found(&engine).map_err(|reason| vec![reason])?;
        let gone = model.look(&found)?;
        let view = engine.view();
        for (&document, standing) in &found.documents {
            wrong.extend(check_legs(&view, document, standing).err());
        }
        for (document, version) in gone {
            let hits = view.lexical(&marker(document, version), None, 10).unwrap();
            if !hits.hits.is_empty() {
                wrong.push(format!("version {version} of d{document} is still found"));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        (found, view.sequence(), view.counts())
    };
    let store = Store::open_with(data, options()).unwrap();
    let engine = store.collection(&name()).unwrap();
    let mut wrong = check_opening(&engine);
    let view = engine.view();
    let again = (
        found(&engine).map_err(|reason| vec![reason])?,
        view.sequence(),
        view.counts(),
    );
    if again != before {
        wrong.push(format!("opened again: {again:?}, before: {before:?}"));
    }
    let recovery = engine.recovery();
    if recovery.replayed > 0 || recovery.cut_bytes > 0 || !recovery.remade.is_empty() {
        wrong.push(format!("opening again had to mend: {recovery:?}"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// A second collection may have been left in any state, but a sound one.
fn check_others(store: &Store) {
    let twin = CollectionName::new("twin").unwrap();
    if store.collections().unwrap().contains(&twin) {
        let engine = store.collection(&twin).unwrap();
        let report = engine.audit().unwrap();
        assert!(report.is_clean(), "{report:?}");
        drop(engine);
        store.delete(&twin).unwrap();
    }
}

fn check_opening(engine: &Engine) -> Vec<String> {
    let mut wrong = Vec::new();
    let recovery = engine.recovery();
    // One that was being filled cannot go on over what compaction has dropped.
    let generations = engine.generations().unwrap();
    let is_building = (generations.iter()).any(|g| g.state == GenerationState::Building);
    let is_remade = !recovery.remade.is_empty() && !is_building;
    if !recovery.skipped.is_empty() || is_remade || recovery.manifest_healed {
        wrong.push(format!("a crash does not explain {recovery:?}"));
    }
    match engine.audit() {
        Ok(report) if report.is_clean() => {}
        Ok(report) => wrong.push(format!("the audit found {report:?}")),
        Err(error) => wrong.push(format!("the audit failed: {error}")),
    }
    wrong
}

fn found(engine: &Engine) -> Result<Found, String> {
    let view = engine.view();
    let generations = engine.generations().unwrap();
    let serving: Vec<_> = (generations.iter())
        .filter(|generation| generation.state == GenerationState::Serving)
        .collect();
    if serving.len() != 1 || serving[0].settings != **view.settings() {
        return Err(format!("one generation serves, not {serving:?}"));
    }
    let mut found = Found {
        configuration: view.settings().chunking.clone(),
        ..Found::default()
    };
    for info in engine.snapshots().unwrap() {
        found.snapshots.insert(info.id);
    }
    for document in 0..DOCUMENTS {
        if let Some(standing) = standing(&view, document)? {
            found.documents.insert(document, standing);
        }
    }
    if view.counts().documents != found.documents.len() as u64 {
        return Err(format!("it counts {:?}", view.counts()));
    }
    Ok(found)
}

/// What stands under an id, if it is whole.
fn standing(view: &View, document: u64) -> Result<Option<Standing>, String> {
    let name = format!("d{document}");
    let Some(stored) = view.document(&id(&name)).unwrap() else {
        return Ok(None);
    };
    let metadata = stored.document.metadata.to_json();
    let standing = Standing {
        version: metadata["version"].as_u64().unwrap(),
        patch: metadata.get("patch").and_then(serde_json::Value::as_u64),
    };
    let mut expected = json!({ "document": document, "version": standing.version });
    if let Some(patch) = standing.patch {
        expected["patch"] = patch.into();
    }
    if json!(metadata) != expected {
        return Err(format!("{name} has the metadata {metadata:?}"));
    }
    let text = text(document, standing.version);
    if stored.document.text != text {
        return Err(format!("{name} at {standing:?}: {}", stored.document.text));
    }
    let whole = derived(&name, &text, view.settings());
    let spans: Vec<_> = stored.chunks.iter().map(|chunk| chunk.span).collect();
    let expected: Vec<_> = whole.chunks.iter().map(|chunk| chunk.span).collect();
    if spans != expected {
        return Err(format!("{name} at {standing:?} has the chunks {spans:?}"));
    }
    Ok(Some(standing))
}

/// Whether each leg and each filter finds this version, and nothing else.
fn check_legs(view: &Arc<View>, document: u64, standing: &Standing) -> Result<(), String> {
    let mark = marker(document, standing.version);
    let name = format!("d{document}");
    let texts = |numbers: Vec<cento_core::ChunkNo>| {
        let chunks = view.chunks(&numbers).unwrap();
        let all = chunks
            .into_iter()
            .map(|c| (c.document.id.to_string(), c.text));
        all.collect::<Vec<_>>()
    };
    let lexical = view.lexical(&mark, None, 10).unwrap();
    let lexical = texts(lexical.hits.iter().map(|hit| hit.0).collect());
    let is_right = |(id, text): &(String, String)| *id == name && text.contains(&mark);
    if lexical.is_empty() || !lexical.iter().all(is_right) {
        return Err(format!("{mark} finds {lexical:?}"));
    }
    let mut filters = vec![json!({"type": "eq", "key": "version", "value": standing.version})];
    if let Some(patch) = standing.patch {
        filters.push(json!({"type": "eq", "key": "patch", "value": patch}));
    }
    for asked in &filters {
        let matching = view.matching(&filter(asked)).unwrap();
        if matching != [id(&name)] {
            return Err(format!("{asked} finds {matching:?}, not {name}"));
        }
    }
    let allowed = view.allowed(&filter(&filters[0])).unwrap();
    let question = crate::corpus::embed(&mark);
    let dense = view.dense(&question, Some(&allowed), 200).unwrap();
    let dense = texts(dense.hits.iter().map(|hit| hit.0).collect());
    let found: BTreeSet<_> = dense.into_iter().map(|(_, text)| text).collect();
    let whole = derived(&name, &text(document, standing.version), view.settings());
    let expected: BTreeSet<_> = (whole.chunks.iter())
        .map(|chunk| chunk.span.slice(&whole.document.text).unwrap().to_owned())
        .collect();
    if found != expected {
        return Err(format!("the vectors of {name} find {found:?}"));
    }
    Ok(())
}
