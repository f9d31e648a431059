//! Metadata that changes while text, chunks and vectors stay.

use cento_core::{CoreError, MetadataPatch};
use cento_index::{Condition, NewPatch, PatchOutcome, View};
use serde_json::{Value, json};

use crate::corpus::*;

fn change(name: &str, patch: &Value) -> NewPatch {
    NewPatch {
        id: id(name),
        patch: MetadataPatch::from_json(patch.as_object().unwrap()).unwrap(),
        condition: Condition::Always,
    }
}

fn metadata(view: &View, name: &str) -> Value {
    let stored = view.document(&id(name)).unwrap().unwrap();
    Value::Object(stored.document.metadata.to_json())
}

#[test]
fn a_patch_changes_filters_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = create(dir.path());
    let text = "Refunds take five days. Ask the desk.";
    let new = document("a.md", text, &json!({"team": "ops", "year": 2024}));
    put(&engine, vec![new]);
    let before = engine.refresh().unwrap();
    let outcomes = engine
        .patch_metadata(vec![
            change("a.md", &json!({"team": "billing", "year": null})),
            change("none.md", &json!({"team": "billing"})),
        ])
        .unwrap();
    assert!(matches!(outcomes[0], PatchOutcome::Stored(sequence) if sequence.0 == 2));
    assert_eq!(outcomes[1], PatchOutcome::Unknown);
    let after = engine.refresh().unwrap();
    assert_eq!(metadata(&after, "a.md"), json!({"team": "billing"}));
    assert_eq!(
        metadata(&before, "a.md"),
        json!({"team": "ops", "year": 2024})
    );
    let hash = |view: &View| {
        view.document(&id("a.md"))
            .unwrap()
            .unwrap()
            .document
            .content_hash
    };
    assert_eq!(hash(&before), hash(&after));
    assert_eq!(
        found_in(&before, "refund days", "a.md"),
        found_in(&after, "refund days", "a.md")
    );
    let billing = filter(&json!({"type": "eq", "key": "team", "value": "billing"}));
    assert_eq!(after.matching(&billing).unwrap(), [id("a.md")]);
    assert_eq!(after.counts(), before.counts());
    assert_clean(&engine);
    drop((before, after, engine, store));
    let (_store, engine) = reopen(dir.path());
    assert_eq!(metadata(&engine.view(), "a.md"), json!({"team": "billing"}));
}

#[test]
fn a_patch_that_changes_nothing_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = create(dir.path());
    put(&engine, vec![document("a.md", "Words.", &json!({"v": 1}))]);
    let same = vec![change("a.md", &json!({"v": 1, "w": null}))];
    let outcomes = engine.patch_metadata(same).unwrap();
    assert!(matches!(outcomes[0], PatchOutcome::Stored(sequence) if sequence.0 == 1));
    assert_eq!(engine.refresh().unwrap().sequence().0, 1);
}

#[test]
fn a_patch_of_another_type_or_of_one_document_twice_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = create(dir.path());
    put(&engine, vec![document("a.md", "Words.", &json!({"v": 1}))]);
    put(&engine, vec![document("b.md", "Words.", &json!({"v": 2}))]);
    let outcomes = engine
        .patch_metadata(vec![
            change("a.md", &json!({"v": "text"})),
            change("b.md", &json!({"v": 3})),
            change("b.md", &json!({"v": 4})),
        ])
        .unwrap();
    assert!(matches!(
        outcomes[0],
        PatchOutcome::Refused(CoreError::FieldTypeConflict { .. })
    ));
    assert!(matches!(outcomes[1], PatchOutcome::Stored(_)));
    assert!(matches!(
        outcomes[2],
        PatchOutcome::Refused(CoreError::DuplicateId { .. })
    ));
    let view = engine.refresh().unwrap();
    assert_eq!(metadata(&view, "a.md"), json!({"v": 1}));
    assert_eq!(metadata(&view, "b.md"), json!({"v": 3}));
    assert_clean(&engine);
}
