//! The index's answer to a filter is the filter's meaning, whatever the
//! filter, the names and the values.

use cento_core::{Filter, Metadata};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::corpus::*;

const FIELDS: [&str; 4] = ["flag", "size", "na.me", "odd \\ field"];

fn value_of(field: usize) -> BoxedStrategy<Value> {
    match field {
        0 => any::<bool>().prop_map(Value::from).boxed(),
        1 => prop_oneof![
            (-3_i64..4).prop_map(Value::from),
            (-4_i32..4).prop_map(|x| json!(f64::from(x) / 2.0)),
        ]
        .boxed(),
        _ => prop_oneof!["[ab]{0,2}", Just("2024-01-01T00:00:00Z".to_owned())]
            .prop_map(Value::from)
            .boxed(),
    }
}

fn metadata() -> impl Strategy<Value = Value> {
    let field = |i: usize| {
        prop_oneof![
            2 => Just(None),
            2 => value_of(i).prop_map(Some),
            1 => prop::collection::vec(value_of(i), 0..3).prop_map(|list| Some(Value::from(list))),
        ]
    };
    (field(0), field(1), field(2), field(3)).prop_map(|(a, b, c, d)| {
        let pairs = FIELDS.iter().zip([a, b, c, d]);
        Value::Object(
            pairs
                .filter_map(|(name, value)| Some(((*name).to_owned(), value?)))
                .collect::<Map<_, _>>(),
        )
    })
}

fn condition() -> impl Strategy<Value = Value> {
    let operators = prop::sample::select(vec!["eq", "ne", "gt", "gte", "lt", "lte"]);
    let on_field = (0..FIELDS.len()).prop_flat_map(move |i| {
        let key = format!("metadata.{}", FIELDS[i]);
        let (compared, member, exists) = (key.clone(), key.clone(), key);
        prop_oneof![
            (operators.clone(), value_of(i))
                .prop_map(move |(op, value)| json!({"type": op, "key": compared, "value": value})),
            (any::<bool>(), prop::collection::vec(value_of(i), 1..3)).prop_map(
                move |(is_in, values)| {
                    let kind = if is_in { "in" } else { "nin" };
                    json!({"type": kind, "key": member, "value": values})
                }
            ),
            Just(json!({"type": "exists", "key": exists})),
        ]
    });
    let on_id = prop_oneof![
        (0..14_u8).prop_map(|i| json!({"type": "eq", "key": "id", "value": format!("d{i}")})),
        (0..14_u8)
            .prop_map(|i| json!({"type": "nin", "key": "id", "value": [format!("d{i}"), "d1"]})),
        Just(json!({"type": "exists", "key": "id"})),
    ];
    prop_oneof![4 => on_field, 1 => on_id].prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|filters| json!({"type": "and", "filters": filters})),
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|filters| json!({"type": "or", "filters": filters})),
            inner.prop_map(|filter| json!({"type": "not", "filter": filter})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_index_answers_a_filter_by_its_meaning(
        documents in prop::collection::vec(metadata(), 12),
        conditions in prop::collection::vec(condition(), 8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (_store, engine) = create(dir.path());
        // Every field exists, so that every condition is a valid one.
        let all = json!({"flag": true, "size": 1, "na.me": "a", "odd \\ field": "b"});
        put(&engine, vec![document("typed", "First. Second.", &all)]);
        for (i, metadata) in documents.iter().enumerate() {
            put(&engine, vec![document(&format!("d{i}"), "One. Two.", metadata)]);
            if i == 6 {
                engine.refresh().unwrap();
            }
        }
        engine.delete(&[id("d2")]).unwrap();
        let view = engine.refresh().unwrap();
        for condition in &conditions {
            let filter = Filter::from_json(condition).unwrap();
            let allowed = view.allowed(&filter).unwrap();
            let dense = view.dense(&embed("one two"), Some(&allowed), 100).unwrap();
            prop_assert!(dense.exact);
            let mut found: Vec<String> = view
                .chunks(&dense.hits.iter().map(|hit| hit.0).collect::<Vec<_>>())
                .unwrap()
                .into_iter()
                .map(|chunk| chunk.document.id.to_string())
                .collect();
            found.sort();
            found.dedup();
            let mut expected: Vec<String> = documents
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != 2)
                .map(|(i, metadata)| (format!("d{i}"), metadata))
                .chain([("typed".to_owned(), &all)])
                .filter(|(name, metadata)| {
                    let metadata = Metadata::from_json(metadata.as_object().unwrap()).unwrap();
                    filter.matches(&id(name), &metadata)
                })
                .map(|(name, _)| name)
                .collect();
            expected.sort();
            prop_assert_eq!(&found, &expected, "{}", condition);
            let lexical = view.lexical("one first", Some(&allowed), 100).unwrap();
            prop_assert_eq!(lexical.hits.len(), expected.len(), "{}", condition);
        }
    }
}

#[test]
fn a_filter_that_does_not_fit_the_collection_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = create(dir.path());
    put(
        &engine,
        vec![document("a", "Text.", &json!({"year": 2024}))],
    );
    let view = engine.refresh().unwrap();
    for wrong in [
        json!({"type": "eq", "key": "yeer", "value": 1}),
        json!({"type": "eq", "key": "year", "value": "2024"}),
        json!({"type": "lt", "key": "id", "value": "a"}),
    ] {
        assert!(view.allowed(&filter(&wrong)).is_err(), "{wrong}");
    }
}
