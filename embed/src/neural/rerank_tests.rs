//! Does a cross-encoder judge as its graph says, and in time?
//!
//! The graph adds up a score for each token of the query and the text: one for each
//! `east`.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::time::Duration;

use super::super::tests::{folder, summing};
use super::*;

/// Opens a folder's model, unless this machine has no runtime.
fn opened(files: &[(&str, &[u8])]) -> Option<CrossEncoder> {
    let folder = folder(files);
    match open_reranker(folder.path()) {
        Ok(model) => Some(model),
        Err(error @ (EmbedError::RuntimeMissing { .. } | EmbedError::RuntimeTooOld { .. })) => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[test]
fn texts_are_judged_with_the_query_and_in_order() {
    let graph = summing(LOGITS);
    let Some(model) = opened(&[("model.onnx", &graph)]) else {
        return;
    };
    let texts = ["north north", "east north", "east east"].repeat(7);
    let scores = model.rerank("east", &texts, later()).expect("judged");
    assert_eq!(scores, [1.0, 2.0, 3.0].repeat(7));
    assert!(
        model
            .rerank("east", &[], later())
            .expect("judged")
            .is_empty()
    );
}

#[test]
fn what_there_is_no_time_for_is_not_judged() {
    let graph = summing(LOGITS);
    let Some(model) = opened(&[("model.onnx", &graph)]) else {
        return;
    };
    let texts = vec!["east north"; 1_000_000];
    let none = model.rerank("east", &texts, Instant::now());
    assert!(none.expect("no time").is_empty());
    let soon = Instant::now() + Duration::from_millis(100);
    let some = model.rerank("east", &texts, soon).expect("judged");
    assert!(!some.is_empty() && some.len() < texts.len());
    assert!(some.iter().all(|&score| score == 2.0));
}

#[test]
fn a_score_that_is_no_number_is_an_error_that_names_the_text() {
    let graph = summing(LOGITS);
    let Some(model) = opened(&[("model.onnx", &graph)]) else {
        return;
    };
    let error = model.rerank("east", &["east", "bad"], later());
    match error.expect_err("it is none") {
        EmbedError::NotFinite { begins, .. } => assert_eq!(begins, "bad"),
        error => panic!("{error:?}"),
    }
}

#[test]
fn whatever_changes_scores_changes_the_fingerprint() {
    let graph = summing(LOGITS);
    let longest: &[u8] = b"{\"max_seq_length\": 9}";
    let plain = opened(&[("model.onnx", &graph)]);
    let shorter = opened(&[
        ("model.onnx", &graph),
        ("sentence_bert_config.json", longest),
    ]);
    let (Some(plain), Some(shorter)) = (plain, shorter) else {
        return;
    };
    assert_ne!(plain.fingerprint(), shorter.fingerprint());
    let again = opened(&[("model.onnx", &graph)]).expect("it was opened");
    assert_eq!(plain.fingerprint(), again.fingerprint());
}

#[test]
fn a_model_that_embeds_is_no_cross_encoder() {
    let folder = folder(&[]);
    match open_reranker(folder.path()) {
        Err(EmbedError::ModelUnsupported { reason, .. }) => {
            assert!(
                reason.contains("last_hidden_state") && reason.contains(LOGITS),
                "{reason}"
            );
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn what_is_not_one_score_for_a_pair_is_refused() {
    let labelled = |shape: Option<Vec<Option<u64>>>, element, labels| {
        let output = Value {
            name: LOGITS.to_owned(),
            element,
            shape,
        };
        is_score(&[output], labels)
    };
    let of = |shape, element| labelled(shape, element, None);
    // What the graph does not say, the configuration may.
    assert_eq!(labelled(Some(vec![None, None]), None, Some(1)), Ok(()));
    for shape in [None, Some(vec![None, None])] {
        let reason = labelled(shape, None, Some(3)).expect_err("refused");
        assert!(reason.contains("3 numbers"), "{reason}");
    }
    assert_eq!(labelled(Some(vec![None, Some(1)]), None, Some(3)), Ok(()));
    for shape in [
        None,
        Some(vec![None, Some(1)]),
        Some(vec![Some(1), Some(1)]),
        Some(vec![None, None]),
    ] {
        assert_eq!(of(shape.clone(), Some(FLOAT)), Ok(()), "{shape:?}");
    }
    for (shape, said) in [
        (vec![None, Some(2)], "2 numbers"),
        (vec![None, Some(3)], "3 numbers"),
        (vec![None], "1 dimensions"),
        (vec![None, None, Some(30_522)], "3 dimensions"),
    ] {
        let reason = of(Some(shape), None).expect_err("refused");
        assert!(reason.contains(said), "{reason}");
    }
    let doubles = of(Some(vec![None, Some(1)]), Some(11));
    assert!(doubles.expect_err("refused").contains("float32"));
}

#[test]
fn batches_grow_as_long_as_there_is_time() {
    let ms = Duration::from_millis;
    let next = |before, took, left, most| {
        let mut pace = Pace::default();
        pace.took(before, took);
        pace.next(left, most)
    };
    assert_eq!(Pace::default().next(ms(1), 8), 1);
    assert_eq!(next(1, ms(10), ms(1_000), 8), 2);
    assert_eq!(next(4, ms(40), ms(1_000), 8), 8);
    assert_eq!(next(8, ms(80), ms(1_000), 8), 8);
    assert_eq!(next(8, ms(80), ms(35), 8), 3);
    assert_eq!(next(8, ms(80), ms(5), 8), 0);
    assert_eq!(next(1, ms(10), ms(1_000), 1), 1);
}

#[test]
fn who_waits_for_the_model_judges_as_many_as_there_is_time_for_then() {
    let graph = summing(LOGITS);
    let Some(model) = opened(&[("model.onnx", &graph)]) else {
        return;
    };
    let held = Duration::from_millis(300);
    thread::scope(|scope| {
        let model = &model;
        let (taken, is_taken) = std::sync::mpsc::channel();
        scope.spawn(move || {
            model.session.with_until(later(), |_| {
                let _ = taken.send(());
                thread::sleep(held);
            })
        });
        is_taken.recv().expect("taken");
        let texts = ["east"; 40];
        let scores = model.rerank("east", &texts, Instant::now() + held * 10);
        assert_eq!(scores.expect("judged").len(), 40);
    });
}
