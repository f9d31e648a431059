//! What does the fixture hold, and how is it made?

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use cento_core::{GenerationNo, MetadataPatch};
use cento_index::archive::{ArchiveAbout, export};
use cento_index::{
    Condition, Engine, NewPatch, PatchOutcome, PendingDocument, Store, StoreOptions,
};
use serde_json::{Value, json};

use crate::answers::{self, FILE};
use crate::corpus::{self, assert_clean, derived, document, id, put, whole};
use crate::files::{collection, copy, folder};

/// Makes the fixture anew if that is asked for, before anybody looks at it.
pub(crate) fn ready() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        if std::env::var_os("CENTO_BLESS").is_some() {
            make();
        }
    });
}

pub(crate) const SNAPSHOT: &str = "first";
/// Bytes of a commit that was never acknowledged.
pub(crate) const TORN: &[u8] = &[9, 0, 0, 0, 1, 2, 3, 4, 5];

pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 1_500,
        text_arena_bytes: 15_000_000,
        ..StoreOptions::default()
    }
}

/// Lets a generation serve that has still to derive something.
pub(crate) fn switch(engine: &Engine, generation: GenerationNo, is_whole: bool) {
    let mut last = |pending: Vec<PendingDocument>| {
        let all = pending.into_iter().map(|one| derived(one, is_whole));
        Ok(all.collect())
    };
    let waiting = engine.switch(generation, Some(&mut last)).unwrap();
    assert_eq!(waiting, 0);
}

/// Every type of value, one and many.
fn metadata(n: i64) -> Value {
    json!({
        "n": n,
        "share": n as f64 / 4.0 - 1.0,
        "open": n % 2 == 0,
        "unit": format!("unit {n}, Größe 中"),
        "author": {"name": "Ada"},
        "counts": [n, n + 1],
        "flags": [true, false],
        "tags": ["a", "b"],
    })
}

fn text(n: i64) -> String {
    format!("Pump {n} ran at 20 °C. 泵 {n} stopped. Then hose {n} was closed.")
}

/// Lives through all that leaves something in the files.
fn fill(engine: &Engine) {
    let new = |n: i64| document(&format!("d{n}"), &text(n), &metadata(n));
    for n in 0..8 {
        put(engine, vec![new(n)]);
    }
    put(engine, vec![new(8), new(9), new(10)]);
    let change = json!({"n": 100, "share": null, "tags": ["c"]});
    let patch = NewPatch {
        id: id("d2"),
        patch: MetadataPatch::from_json(change.as_object().unwrap()).unwrap(),
        condition: Condition::Always,
    };
    let patched = engine.patch_metadata(vec![patch]).unwrap();
    assert!(matches!(patched[0], PatchOutcome::Stored(_)));
    assert_eq!(engine.delete(&[id("d3")]).unwrap(), [true]);
    engine.create_snapshot(Some(SNAPSHOT)).unwrap();
    let replaced = document("d4", "Pump 4 was replaced. It is new.", &metadata(4));
    put(engine, vec![replaced]);
    for n in 5..8 {
        put(
            engine,
            vec![document(&format!("d{n}"), &text(n * 10), &metadata(n))],
        );
    }
    engine.delete(&[id("d0"), id("d9")]).unwrap();
    let generation = engine.begin_generation(&whole()).unwrap();
    switch(engine, generation, true);
    let report = engine.compact(0.3).unwrap();
    assert!(report.segments > 0 && report.dropped > 0, "{report:?}");
    // What the former generation does not know.
    let mut late = document("late", "Pump 11 came late.", &metadata(11));
    late.vectors[0].reverse();
    put(engine, vec![late]);
    assert_eq!(engine.delete(&[id("d10")]).unwrap(), [true]);
}

fn make() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), options()).unwrap();
    let engine = store.create(&corpus::name(), &corpus::settings()).unwrap();
    fill(&engine);
    assert_clean(&engine);
    let segments = engine.snapshot_path(SNAPSHOT).unwrap();
    let created = engine.snapshots().unwrap()[0].created;
    let target = folder();
    let _ = fs::remove_dir_all(&target);
    fs::create_dir_all(&target).unwrap();
    let about = ArchiveAbout {
        collection: corpus::name(),
        snapshot: SNAPSHOT.to_owned(),
        created,
    };
    let mut archive = Vec::new();
    export(&segments, &about, &mut archive).unwrap();
    fs::write(target.join("archive.tar"), archive).unwrap();
    drop((engine, store));
    // Projections are left out: an upgrade may throw them away.
    fs::remove_dir_all(collection(dir.path()).join("generations")).unwrap();
    let mut open = fs::OpenOptions::new();
    let newest = newest_segment(dir.path());
    open.append(true)
        .open(newest)
        .unwrap()
        .write_all(TORN)
        .unwrap();
    copy(
        &dir.path().join("collections"),
        &target.join("store/collections"),
    );
    fs::write(target.join("README.md"), README).unwrap();
    let golden = serde_json::to_string_pretty(&answers::all()).unwrap();
    fs::write(target.join(FILE), golden + "\n").unwrap();
}

/// The segment that is written to.
pub(crate) fn newest_segment(dir: &Path) -> PathBuf {
    let manifest = fs::read_to_string(collection(dir).join("manifest.json")).unwrap();
    let json: Value = serde_json::from_str(manifest.split_once('\n').unwrap().1).unwrap();
    let last = json["segments"].as_array().unwrap().last().unwrap();
    let number = last["number"].as_u64().unwrap();
    collection(dir).join(format!("log/{number:08}.log"))
}

const README: &str = "# Format 1

What the first fixed format of cento's data directories looks like on a disk. Every later version must open it: see
[docs/format.md](../../../docs/format.md).

- `store/`: a data directory without its projections: several segments of the log, compacted ones among them, the last
  with the torn rest of a commit; documents put, replaced, patched and deleted; two generations, the former with i8
  vectors, the serving one with f32 vectors; a snapshot.
- `archive.tar`: the same snapshot as an archive.
- `answers.json`: what must be found in them.

`CENTO_BLESS=1 cargo test -p cento-index --test format` makes all of this anew. Once a release has written this format,
nobody does that any more: another format gets a folder of its own beside this one.
";

/// Opens a data directory and its collection.
pub(crate) fn open(dir: &Path) -> (Store, Arc<Engine>) {
    let store = Store::open_with(dir, options()).unwrap();
    let engine = store.collection(&corpus::name()).unwrap();
    (store, engine)
}
