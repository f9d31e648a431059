//! What happens beside the requests keeps nobody from anything for long.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cento_api::types::{Reindex, Wait};
use cento_api::{ServerConfig, Service, ServiceOptions, serve};
use cento_core::{CollectionName, DocumentId};
use cento_embed::Bundled;
use cento_index::{CollectionSettings, Engine, Store, StoreOptions};
use cento_ingest::{Chunking, collection_settings};
use serde_json::json;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

fn name(text: &str) -> CollectionName {
    CollectionName::new(text).unwrap()
}

/// A service with these collections.
fn service(dir: &Path, names: &[&str], open_collections: usize) -> Service {
    let options = ServiceOptions {
        store: StoreOptions {
            open_collections,
            ..StoreOptions::default()
        },
        ..ServiceOptions::default()
    };
    let service = Service::open(dir, options).unwrap();
    for name in names {
        let new = serde_json::from_value(json!({ "name": name })).unwrap();
        service.create_collection(&new).unwrap();
    }
    service
}

/// Puts a document that is not waited for to be seen.
fn put(service: &Service, collection: &str, id: &str) {
    let documents = json!({"documents": [{"id": id, "text": format!("The text of {id}.")}]});
    let documents = serde_json::from_value(documents).unwrap();
    let stop = AtomicBool::new(false);
    let put = service.put_documents(&name(collection), &documents, 1 << 20, Wait::Durable, &stop);
    assert_eq!(put.unwrap().stored, 1);
}

fn is_seen(engine: &Engine, id: &str) -> bool {
    let found = engine.view().document(&DocumentId::new(id).unwrap());
    found.unwrap().is_some()
}

/// Does something while a collection's writer is busy, as it is at the end of a
/// reindexing. There must be a document.
fn while_busy(engine: &Engine, act: impl FnOnce()) {
    let settings = CollectionSettings {
        chunking: "none/1".to_owned(),
        ..(*engine.settings()).clone()
    };
    let generation = engine.begin_generation(&settings).unwrap();
    std::thread::scope(|scope| {
        let (begun, begins) = channel();
        let (end, ended) = channel::<()>();
        scope.spawn(move || {
            let mut derive = |_| {
                let _ = begun.send(());
                let _ = ended.recv();
                Ok(Vec::new())
            };
            engine.switch(generation, Some(&mut derive)).unwrap();
        });
        begins.recv().unwrap();
        act();
        drop(end);
    });
    engine.drop_generation(generation).unwrap();
}

/// What the log is told, in the words of its messages.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    /// How often a message came while this was done.
    fn count(message: &str, act: impl FnOnce()) -> usize {
        let told = Self::default();
        tracing::subscriber::with_default(told.clone(), act);
        let lines = told.0.lock().unwrap();
        lines.iter().filter(|line| line.contains(message)).count()
    }
}

impl tracing::field::Visit for Told {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Told {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn what_was_mended_is_told_at_every_opening() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(dir.path(), &["a", "other"], 1);
    put(&service, "a", "one");
    for _ in 0..2 {
        // The only one that stays open.
        service.engine(&name("other")).unwrap();
        let log = std::fs::read_dir(dir.path().join("collections/a/log")).unwrap();
        let last = log.map(|file| file.unwrap().path()).max().unwrap();
        let mut bytes = std::fs::read(&last).unwrap();
        bytes.extend_from_slice(b"half a frame");
        std::fs::write(&last, bytes).unwrap();
        let opened = || {
            service.engine(&name("a")).unwrap();
            service.engine(&name("a")).unwrap();
        };
        assert_eq!(Told::count("was cut off", opened), 1);
    }
}

#[test]
fn a_log_is_looked_at_again_when_a_generation_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(dir.path(), &["docs"], 64);
    put(&service, "docs", "a");
    let asked: Reindex = serde_json::from_value(json!({"chunking": "none"})).unwrap();
    let stop = AtomicBool::new(false);
    let built = service.reindex(&name("docs"), &asked, &stop, &mut |_| {});
    assert_eq!(built.unwrap().generation.0, 2);
    let compacted = || {
        let act = || service.compact_where_due(0.5, 0);
        Told::count("a log was compacted", act)
    };
    // Closes the segment; nothing is dead in it while the former one is kept.
    let unnamed = serde_json::from_value(json!({})).unwrap();
    service.create_snapshot(&name("docs"), &unnamed).unwrap();
    assert_eq!(compacted(), 0);
    let former = service.generations(&name("docs")).unwrap().generations[0].number;
    service.drop_generation(&name("docs"), former).unwrap();
    assert_eq!(compacted(), 1);
    assert_eq!(compacted(), 0);
}

#[test]
fn a_busy_collection_keeps_no_other_from_being_seen() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(dir.path(), &["busy", "other"], 64);
    let busy = service.engine(&name("busy")).unwrap();
    let other = service.engine(&name("other")).unwrap();
    put(&service, "busy", "a");
    put(&service, "other", "b");
    while_busy(&busy, || {
        service.refresh();
        assert!(is_seen(&other, "b"));
        assert!(!is_seen(&busy, "a"));
    });
    service.refresh();
    assert!(is_seen(&busy, "a"), "it is not forgotten");
}

#[test]
fn what_was_written_is_seen_after_a_deletion_that_came_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(dir.path(), &["docs"], 64);
    let engine = service.engine(&name("docs")).unwrap();
    put(&service, "docs", "a");
    std::thread::scope(|scope| {
        let deletion = scope.spawn(|| service.delete_collection(&name("docs")));
        while service.engine(&name("docs")).is_ok() {
            std::thread::yield_now();
        }
        service.refresh();
        assert_eq!(
            deletion.join().unwrap().unwrap_err().code,
            "collection_in_use"
        );
    });
    service.refresh();
    assert!(is_seen(&engine, "a"));
}

#[test]
fn a_busy_collection_does_not_keep_the_server_from_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(dir.path(), &["docs"], 64);
    let engine = service.engine(&name("docs")).unwrap();
    put(&service, "docs", "a");
    while_busy(&engine, || {
        let mut config = ServerConfig::new(dir.path());
        config.bind.set_port(0);
        config.shutdown_timeout = Duration::from_millis(200);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let limit = Duration::from_secs(30);
        let ended = runtime.block_on(async {
            tokio::time::timeout(limit, serve(config, service, |_| {}, async {})).await
        });
        runtime.shutdown_background();
        ended.expect("it ends").unwrap();
    });
}

#[test]
fn no_more_collections_are_warmed_up_than_stay_open() {
    let dir = tempfile::tempdir().unwrap();
    drop(service(dir.path(), &["a", "b", "c"], 64));
    let service = service(dir.path(), &[], 2);
    service.warm_up();
    let names: Vec<_> = (service.sizes().into_iter())
        .map(|(name, _)| name.to_string())
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_second_reindexing_is_told_that_one_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(dir.path(), &["docs"], 64);
    put(&service, "docs", "a");
    let asked: Reindex = serde_json::from_value(json!({"chunking": "none"})).unwrap();
    let stop = AtomicBool::new(false);
    let again = || service.reindex(&name("docs"), &asked, &stop, &mut |_| {});
    let mut second = None;
    let first = service.reindex(&name("docs"), &asked, &stop, &mut |_| {
        second.get_or_insert_with(again);
    });
    assert_eq!(first.unwrap().documents, 1);
    let refused = second.unwrap().unwrap_err();
    assert_eq!((&*refused.code, refused.status), ("reindexing", 409));
    assert!(!refused.retry);
}

#[test]
fn the_newest_of_no_snapshots_is_told_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(dir.path(), &["docs"], 64);
    let none = service.export_snapshot(&name("docs"), None).err().unwrap();
    assert_eq!(none.code, "unknown_snapshot");
    assert_eq!(none.detail, "collection 'docs' has no snapshots");
    assert!(none.help.contains("create"), "{}", none.help);
}

#[test]
fn a_collection_of_an_earlier_bundled_model_says_so_and_is_reindexed_with_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let docs = name("docs");
    let former = Bundled::FORMER[0];
    {
        let now = collection_settings(&Bundled::new().unwrap(), Chunking::default());
        let settings = CollectionSettings {
            model: former.to_owned(),
            embedder: format!("{former}@158c6e4c38f21dc2/mean"),
            ..now
        };
        let store = Store::open(dir.path()).unwrap();
        store.create(&docs, &settings).unwrap();
    }
    let service = Service::open(dir.path(), ServiceOptions::default()).unwrap();
    let stop = AtomicBool::new(false);
    let put = || {
        let documents = json!({"documents": [{"id": "a", "text": "The pump leaks."}]});
        let documents = serde_json::from_value(documents).unwrap();
        service.put_documents(&docs, &documents, 1 << 20, Wait::Visible, &stop)
    };
    let refused = put().unwrap_err();
    assert_eq!(refused.code, "model_mismatch");
    assert!(refused.detail.contains(former) && refused.detail.contains(Bundled::NAME));
    service
        .reindex(&docs, &Reindex::default(), &stop, &mut |_| {})
        .unwrap();
    assert_eq!(put().unwrap().stored, 1);
    let settings = service.collection(&docs).unwrap().settings;
    assert_eq!(settings.model, Bundled::NAME);
}
