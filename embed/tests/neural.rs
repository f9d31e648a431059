//! Does a real model give the vectors that its runtime gives without us?
//!
//! The model is all-MiniLM-L6-v2 in `$CENTO_SHARED/models`, the runtime any
//! that the search finds. The golden values were made with the Python packages
//! onnxruntime 1.31 and tokenizers, one text at a time: truncation at 256, mean
//! of `last_hidden_state`, unit length.

#![cfg(feature = "fastembed")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::PathBuf;
use std::sync::OnceLock;

use cento_embed::{EmbedError, Embedder, open};
use rayon::prelude::*;

/// The last but one is as long as the model looks.
fn texts() -> Vec<String> {
    let long = "word ".repeat(254);
    let texts = [
        "how do I get my money back",
        "The refund is paid to the original account.",
        "Mount the antenna above the metal shelf.",
        "Wie geht es?",
        &long,
        "安装指南",
    ];
    texts.map(str::to_owned).to_vec()
}

fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("CENTO_SHARED").map(PathBuf::from);
    let folder = shared.map(|shared| shared.join("models/all-MiniLM-L6-v2"));
    let folder = folder.filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!(
            "SKIPPED: no model; CENTO_SHARED does not name a folder with models/all-MiniLM-L6-v2"
        );
    }
    folder
}

fn opened(file: &str) -> Option<Box<dyn Embedder>> {
    let path = folder()?.join(file);
    match open(path.to_str().unwrap()) {
        Ok(model) => Some(model),
        Err(error @ (EmbedError::RuntimeMissing { .. } | EmbedError::RuntimeTooOld { .. })) => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The model in fp32, opened once.
fn model() -> Option<&'static dyn Embedder> {
    static MODEL: OnceLock<Option<Box<dyn Embedder>>> = OnceLock::new();
    MODEL.get_or_init(|| opened("")).as_deref()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[test]
fn vectors_are_those_of_the_runtime_alone() {
    let Some(model) = model() else { return };
    assert_eq!(model.contract().dimensions, 384);
    assert_eq!(model.contract().max_tokens, Some(256));
    let golden: [[f32; 6]; 6] = [
        [
            -0.013034, 0.043025, -0.012715, -0.013119, -0.038918, -0.002245,
        ],
        [-0.088504, 0.015112, 0.035959, 0.023955, 0.023926, 0.019853],
        [
            -0.003962, 0.079579, -0.050082, -0.059045, -0.008513, -0.025838,
        ],
        [
            -0.054597, 0.086337, 0.084490, -0.029082, -0.013353, 0.021751,
        ],
        [
            -0.008124, -0.095586, -0.038673, 0.049662, -0.043794, 0.023720,
        ],
        [
            -0.032945, 0.056693, -0.055486, 0.040204, 0.013796, -0.023793,
        ],
    ];
    let cosines = [1.0, 0.547698, 0.090635, 0.036073, 0.142271, 0.026315];
    let vectors = model.embed_documents(&texts()).unwrap();
    for (i, (vector, golden)) in vectors.iter().zip(golden).enumerate() {
        for (component, expected) in vector.iter().zip(golden) {
            assert!(
                (component - expected).abs() < 1e-5,
                "{i}: {component} is not {expected}"
            );
        }
        let found = cosine(&vectors[0], vector);
        assert!((found - cosines[i]).abs() < 1e-5, "{i}: {found}");
    }
}

/// Sentences of one to sixty words, some equal.
fn many(count: usize) -> Vec<String> {
    let words = [
        "refund", "antenna", "policy", "metal", "paid", "the", "account", "of", "shelf",
    ];
    (0..count)
        .map(|i| {
            let words = (0..1 + i * 37 % 60).map(|j| words[(i % 40 * 5 + j * j) % words.len()]);
            words.collect::<Vec<_>>().join(" ")
        })
        .collect()
}

fn assert_equal(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance, "{a} is not {b}");
    }
}

#[test]
fn a_text_has_the_same_vector_alone_and_in_a_batch() {
    let Some(model) = model() else { return };
    let texts = many(150);
    let together = model.embed_documents(&texts).unwrap();
    for (text, vector) in texts.iter().zip(&together) {
        assert_equal(vector, &model.embed_query(text).unwrap(), 1e-4);
        let length = cosine(vector, vector).sqrt();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
}

#[test]
fn threads_share_a_model_and_get_their_own_vectors() {
    let Some(model) = model() else { return };
    let texts = many(60);
    let alone = model.embed_documents(&texts).unwrap();
    std::thread::scope(|scope| {
        for part in 0..6 {
            let (texts, alone) = (&texts, &alone);
            scope.spawn(move || {
                for i in (part..60).step_by(6) {
                    assert_equal(&model.embed_query(&texts[i]).unwrap(), &alone[i], 1e-4);
                }
                let own: Vec<String> = texts.iter().rev().skip(part).cloned().collect();
                for (i, vector) in model.embed_documents(&own).unwrap().iter().enumerate() {
                    assert_equal(vector, &alone[59 - part - i], 1e-4);
                }
            });
        }
    });
}

#[test]
fn workers_of_one_pool_never_wait_for_themselves() {
    let Some(model) = model() else { return };
    let texts = many(5);
    (0..48).into_par_iter().for_each(|i| {
        if i % 3 == 0 {
            model.embed_query(&texts[i % 5]).unwrap();
        } else {
            model.embed_documents(&texts).unwrap();
        }
    });
}

#[test]
fn all_of_a_text_counts_that_is_longer_than_the_model_looks() {
    let Some(model) = model() else { return };
    let begins = "The refund is paid to the account within ten days. ".repeat(30);
    let ends = "Mount the antenna above the metal shelf. ".repeat(30);
    let near = |text: &str| {
        let text = model.embed_query(text).unwrap();
        let about = |query: &str| {
            let query = model.embed_query(query).unwrap();
            query.iter().zip(&text).map(|(x, y)| x * y).sum::<f32>()
        };
        [
            about("when is my money refunded"),
            about("where does the antenna go"),
        ]
    };
    let [refund, antenna] = near(&begins);
    assert!(refund > antenna + 0.3, "{refund} {antenna}");
    let [_, both] = near(&format!("{begins}{ends}"));
    assert!(both > antenna + 0.2, "{both} {antenna}");
}

#[test]
fn related_texts_are_nearer_than_unrelated_ones() {
    let Some(model) = model() else { return };
    let vectors = model.embed_documents(&texts()).unwrap();
    assert!(cosine(&vectors[0], &vectors[1]) > cosine(&vectors[0], &vectors[2]) + 0.3);
}

#[test]
fn a_quantised_graph_is_named_by_its_file_and_is_another_model() {
    let Some(quantised) = opened("model_quantized.onnx") else {
        return;
    };
    let Some(model) = model() else { return };
    assert!(
        quantised
            .contract()
            .model
            .ends_with("/model_quantized.onnx")
    );
    assert_ne!(
        quantised.contract().fingerprint,
        model.contract().fingerprint
    );
    let texts = many(40);
    let full = model.embed_documents(&texts).unwrap();
    let together = quantised.embed_documents(&texts).unwrap();
    for ((text, full), vector) in texts.iter().zip(&full).zip(&together) {
        assert!(cosine(full, vector) > 0.95, "{text}");
        // It quantises by what is in a batch, so it is given one text at a time.
        assert_equal(vector, &quantised.embed_query(text).unwrap(), 1e-6);
    }
}

#[test]
fn a_folder_and_its_graph_named_itself_are_one_model() {
    let (Some(model), Some(named)) = (model(), opened("model.onnx")) else {
        return;
    };
    assert_eq!(model.contract().fingerprint, named.contract().fingerprint);
    let text = "The refund is paid to the original account.";
    assert_equal(
        &model.embed_query(text).unwrap(),
        &named.embed_query(text).unwrap(),
        1e-6,
    );
}
