//! Put, replace, delete, get; what is refused; what a view shows.

use cento_core::{ByteSpan, CoreError, FieldType};
use cento_index::{IndexError, Projection, PutOutcome, Store};
use serde_json::json;

use crate::corpus::*;

#[test]
fn a_document_is_found_by_both_legs_after_a_refresh() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = create(dir.path());
    put(
        &engine,
        vec![
            document("a.md", "Refunds take five days. Ask the desk.", &json!({})),
            document("b.md", "Gateways blink red when offline.", &json!({})),
        ],
    );
    assert_eq!(engine.view().counts().documents, 0, "not before a refresh");
    let view = engine.refresh().unwrap();
    assert_eq!(view.counts().documents, 2);
    assert_eq!(view.counts().chunks, 3);
    let (lexical, dense) = found_in(&view, "refund days", "a.md");
    assert_eq!(lexical, ["Refunds take five days."]);
    assert_eq!(dense.len(), 2);
    assert_clean(&engine);
}

#[test]
fn replacing_shows_the_new_version_only_and_an_old_view_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = create(dir.path());
    put(
        &engine,
        vec![document("a.md", "Old words here.", &json!({"v": 1}))],
    );
    let before = engine.refresh().unwrap();
    put(
        &engine,
        vec![document("a.md", "New words there.", &json!({"v": 2}))],
    );
    let after = engine.refresh().unwrap();
    let text =
        |view: &cento_index::View| view.document(&id("a.md")).unwrap().unwrap().document.text;
    assert_eq!(text(&before), "Old words here.");
    assert_eq!(text(&after), "New words there.");
    assert_eq!(found_in(&before, "words", "a.md").0, ["Old words here."]);
    assert_eq!(found_in(&after, "words", "a.md").0, ["New words there."]);
    let old = before
        .allowed(&filter(&json!({"type":"eq","key":"v","value":1})))
        .unwrap();
    let new = after
        .allowed(&filter(&json!({"type":"eq","key":"v","value":1})))
        .unwrap();
    assert_eq!((old.len(), new.len()), (1, 0));
    drop(before);
    engine.refresh().unwrap();
    assert_clean(&engine);
}

#[test]
fn deleting_removes_from_both_legs_and_says_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = create(dir.path());
    put(&engine, vec![document("a.md", "Some words.", &json!({}))]);
    engine.refresh().unwrap();
    let were_there = engine
        .delete(&[id("a.md"), id("b.md"), id("a.md")])
        .unwrap();
    assert_eq!(were_there, [true, false, false]);
    let view = engine.refresh().unwrap();
    assert_eq!(view.counts().chunks, 0);
    assert!(view.document(&id("a.md")).unwrap().is_none());
    assert!(view.lexical("words", None, 10).unwrap().hits.is_empty());
    assert!(
        view.dense(&embed("words"), None, 10)
            .unwrap()
            .hits
            .is_empty()
    );
    assert_clean(&engine);
}

#[test]
fn chunk_numbers_are_never_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = {
        let (_store, engine) = create(dir.path());
        put(&engine, vec![document("a.md", "One. Two.", &json!({}))]);
        let view = engine.refresh().unwrap();
        let numbers = view.document(&id("a.md")).unwrap().unwrap().chunks;
        engine.delete(&[id("a.md")]).unwrap();
        engine.checkpoint().unwrap();
        numbers.last().unwrap().number
    };
    let (_store, engine) = reopen(dir.path());
    put(&engine, vec![document("b.md", "Three.", &json!({}))]);
    let view = engine.refresh().unwrap();
    assert!(view.document(&id("b.md")).unwrap().unwrap().chunks[0].number > first);
}

#[test]
fn what_cannot_be_indexed_is_refused_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = create(dir.path());
    put(
        &engine,
        vec![document("typed.md", "Typed.", &json!({"year": 2024}))],
    );
    let mut no_chunks = document("empty.md", "Text.", &json!({}));
    no_chunks.chunks.clear();
    no_chunks.vectors.clear();
    let mut past_the_end = document("end.md", "Text.", &json!({}));
    past_the_end.chunks[0].span = ByteSpan { start: 0, end: 99 };
    let mut not_a_number = document("nan.md", "Text.", &json!({}));
    not_a_number.vectors[0][3] = f32::NAN;
    let mut too_short = document("short.md", "Text.", &json!({}));
    too_short.vectors[0].pop();
    let batch = vec![
        document("good.md", "Good.", &json!({})),
        no_chunks,
        past_the_end,
        not_a_number,
        too_short,
        document("type.md", "Text.", &json!({"year": "2024"})),
        document("good.md", "Twice.", &json!({})),
    ];
    let outcomes = engine.put(engine.view().generation(), batch).unwrap();
    assert!(matches!(outcomes[0], PutOutcome::Stored(_)));
    for refused in &outcomes[1..] {
        assert!(matches!(refused, PutOutcome::Refused(_)), "{refused:?}");
    }
    assert!(matches!(
        outcomes[5],
        PutOutcome::Refused(CoreError::FieldTypeConflict { .. })
    ));
    assert!(matches!(
        outcomes[6],
        PutOutcome::Refused(CoreError::DuplicateId { .. })
    ));
    assert_eq!(engine.refresh().unwrap().counts().documents, 2);
    assert_clean(&engine);
}

#[test]
fn documents_are_listed_in_pages_by_id() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = create(dir.path());
    let names = ["a", "a/b", "ab", "b", "c"];
    put(
        &engine,
        names
            .iter()
            .map(|name| document(name, "Text.", &json!({})))
            .collect(),
    );
    engine.delete(&[id("ab")]).unwrap();
    let view = engine.refresh().unwrap();
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = view.documents(after.as_ref(), 2).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        listed.extend(page.into_iter().map(|outline| outline.id.to_string()));
    }
    let mut expected: Vec<&str> = names.into_iter().filter(|name| *name != "ab").collect();
    expected.sort_unstable();
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected, "each once: {listed:?}");
}

#[test]
fn one_process_owns_a_directory_and_the_error_says_who() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let error = Store::open(dir.path()).err().unwrap();
    assert!(matches!(
        error,
        IndexError::DirectoryInUse { address: None, .. }
    ));
    assert!(
        error.to_string().contains(&std::process::id().to_string()),
        "{error}"
    );
    store.record_address("http://127.0.0.1:7878").unwrap();
    let error = Store::open(dir.path()).err().unwrap();
    assert!(matches!(
        error,
        IndexError::DirectoryInUse { address: Some(address), .. }
            if address == "http://127.0.0.1:7878"
    ));
    drop(store);
    assert!(Store::open(dir.path()).is_ok());
}

#[test]
fn a_declared_field_has_its_type_before_any_document_and_after_a_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut declared = settings();
    declared
        .fields
        .add("year".to_owned(), FieldType::Number)
        .unwrap();
    let engine = store.create(&name(), &declared).unwrap();
    let wrong = document("a.md", "Words.", &json!({"year": "2024"}));
    let outcomes = engine.put(engine.view().generation(), vec![wrong]).unwrap();
    assert!(matches!(
        outcomes[0],
        PutOutcome::Refused(CoreError::FieldTypeConflict { .. })
    ));
    let none = filter(&json!({"type": "gt", "key": "year", "value": 2000}));
    assert!(engine.view().matching(&none).unwrap().is_empty());
    drop(engine);
    let engine = store.rebuild(&name(), &Projection::ALL).unwrap();
    assert_eq!(engine.view().fields().get("year"), Some(FieldType::Number));
}

#[test]
fn unknown_names_say_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        Store::open_existing(&dir.path().join("nowhere")),
        Err(IndexError::NoDataDirectory { .. })
    ));
    let (store, engine) = create(dir.path());
    let other = cento_core::CollectionName::new("other").unwrap();
    let error = store.collection(&other).err().unwrap().to_string();
    assert!(error.contains("there is: docs"), "{error}");
    assert!(matches!(
        store.create(&name(), &settings()),
        Err(IndexError::CollectionExists { .. })
    ));
    drop(engine);
    store.delete(&name()).unwrap();
    assert!(store.collections().unwrap().is_empty());
    assert!(store.delete(&name()).is_err());
}
