//! Does a model learn from a collection when it should, and forget when it must?

use std::path::Path;
use std::sync::Arc;

use cento_core::{CollectionName, DocumentId};
use cento_embed::{Bundled, Embedder};
use cento_index::{Engine, Store};
use cento_ingest::{
    Chunking, Options, Source, collection_settings, fit_anew, fit_if_due, fitted, ingest,
};
use serde_json::json;

fn bundled() -> Bundled {
    Bundled::new().expect("the bundled model")
}

fn made(dir: &Path) -> (Store, Arc<Engine>) {
    let store = Store::open(dir).expect("a store");
    let settings = collection_settings(&bundled(), Chunking::default());
    let name = CollectionName::new("docs").expect("a name");
    let engine = store.create(&name, &settings).expect("a collection");
    (store, engine)
}

fn put(engine: &Engine, numbers: std::ops::Range<u32>) {
    let topics = [
        "pumps of the boiler house",
        "refunds and invoices",
        "leave and holidays",
    ];
    let line = |i: u32| {
        let topic = topics[i as usize % topics.len()];
        let text = format!("Note {i} is about {topic}.");
        format!("{}\n", json!({"id": format!("d{i}"), "text": text}))
    };
    let lines: String = numbers.map(line).collect();
    let source = Source::Records {
        reader: Box::new(std::io::Cursor::new(lines)),
    };
    let options = Options::default();
    let report = ingest(engine, &bundled(), vec![source], &options, &mut |_| {});
    assert_eq!(report.expect("ingested").failed, 0);
}

#[test]
fn it_learns_from_twenty_chunks_and_again_from_twice_or_half_as_many() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_store, engine) = made(dir.path());
    let due = || {
        let learned = fit_if_due(&engine, &bundled()).expect("learned");
        engine.refresh().expect("a view");
        learned.is_some()
    };
    let chunks = || engine.view().fitted().map(|learned| learned.chunks);
    put(&engine, 0..19);
    assert_eq!((due(), chunks()), (false, None));
    assert!(fitted(&engine.view(), &bundled()).expect("read").is_none());
    // The ingestion itself sees to it.
    put(&engine, 19..20);
    assert_eq!((due(), chunks()), (false, Some(20)));
    put(&engine, 20..39);
    assert_eq!((due(), chunks()), (false, Some(20)));
    put(&engine, 39..40);
    assert_eq!((due(), chunks()), (false, Some(40)));
    let gone: Vec<DocumentId> = (0..20)
        .map(|i| DocumentId::new(format!("d{i}")).expect("an id"))
        .collect();
    engine.delete(&gone).expect("deleted");
    engine.refresh().expect("a view");
    assert!(due());
    assert_eq!(chunks(), Some(20));
    let fitted = fitted(&engine.view(), &bundled())
        .expect("read")
        .expect("learned");
    let plain = bundled();
    let query = |embedder: &dyn Embedder| embedder.embed_query("boiler pump").expect("embedded");
    assert_ne!(query(&*fitted), query(&plain));
    let text = ["Note 7.".to_owned()];
    let document = |embedder: &dyn Embedder| embedder.embed_documents(&text).expect("embedded");
    assert_eq!(document(&*fitted), document(&plain));
}

#[test]
fn what_was_learned_from_texts_that_are_gone_can_be_unlearned() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_store, engine) = made(dir.path());
    // Nothing was learned that could be.
    assert_eq!(fit_anew(&engine, Some(&bundled())).expect("looked"), None);
    put(&engine, 0..30);
    let before = engine.view().artefact().expect("read");
    assert!(before.is_some());
    engine
        .delete(&[DocumentId::new("d4").expect("an id")])
        .expect("deleted");
    engine.refresh().expect("a view");
    fit_anew(&engine, Some(&bundled()))
        .expect("learned")
        .expect("anew");
    let view = engine.refresh().expect("a view");
    assert_ne!(view.artefact().expect("read"), before);
    assert_eq!(view.fitted().map(|learned| learned.chunks), Some(29));
    // Without a model it forgets.
    fit_anew(&engine, None).expect("forgotten").expect("anew");
    let view = engine.refresh().expect("a view");
    assert!(fitted(&view, &bundled()).expect("read").is_none());
}
