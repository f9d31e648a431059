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

/// The last but one is longer than the model looks.
fn texts() -> Vec<String> {
    let long = "word ".repeat(1_000);
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
        Err(error @ EmbedError::RuntimeMissing { .. }) => {
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
