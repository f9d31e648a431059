//! Does a model of any sound folder embed as its files say, and is every other
//! folder refused by name?
//!
//! The models are made here: a graph that looks tokens up in a table of two
//! components, so that each vector can be worked out by hand.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::onnx_outline::tests::{bytes, value};
use super::*;

const WORDS: [&str; 8] = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "north",
    "east",
    "bad",
    "north-east",
    "far-north",
];
const TABLE: [[f32; 2]; 8] = [
    [100.0, -100.0],
    [1.0, 1.0],
    [0.0, 1.0],
    [0.0, 1.0],
    [1.0, 0.0],
    [f32::NAN, 1.0],
    [1.0, 1.0],
    [0.0, 3.0],
];

fn number(field: u8, number: u8) -> Vec<u8> {
    vec![field << 3, number]
}

fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs
        .iter()
        .flat_map(|name| bytes(1, name.as_bytes()))
        .collect();
    let parts = [
        inputs,
        bytes(2, output.as_bytes()),
        bytes(4, operator.as_bytes()),
    ];
    bytes(1, &parts.concat())
}

fn table_bytes() -> Vec<u8> {
    TABLE
        .iter()
        .flatten()
        .flat_map(|x| x.to_le_bytes())
        .collect()
}

/// The table, with its numbers inside or in a file.
fn table(file: Option<&str>) -> Vec<u8> {
    let numbers = match file {
        None => bytes(9, &table_bytes()),
        Some(file) => {
            let location = [bytes(1, b"location"), bytes(2, file.as_bytes())].concat();
            [bytes(13, &location), number(14, 1)].concat()
        }
    };
    let shape = [number(1, TABLE.len() as u8), number(1, 2)].concat();
    bytes(
        5,
        &[shape, number(2, 1), bytes(8, b"table"), numbers].concat(),
    )
}

fn model_of(parts: &[Vec<u8>]) -> Vec<u8> {
    let graph = [bytes(2, b"g"), parts.concat()].concat();
    [number(1, 8), bytes(8, &number(2, 17)), bytes(7, &graph)].concat()
}

fn inputs(shape: &[Option<u8>]) -> Vec<u8> {
    let names = ["input_ids", "attention_mask"];
    names
        .iter()
        .flat_map(|name| bytes(11, &value(name, 7, shape)))
        .collect()
}

fn tokens_output() -> Vec<u8> {
    bytes(12, &value("last_hidden_state", 1, &[None, None, Some(2)]))
}

/// The graph that gives a token its row.
fn lookup() -> Vec<u8> {
    model_of(&[
        node("Gather", &["table", "input_ids"], "last_hidden_state"),
        table(None),
        inputs(&[None, None]),
        tokens_output(),
    ])
}

fn tokenizer() -> String {
    let vocabulary: serde_json::Map<_, _> = WORDS
        .iter()
        .enumerate()
        .map(|(number, word)| ((*word).to_owned(), number.into()))
        .collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                { "SpecialToken": { "id": "[CLS]", "type_id": 0 } },
                { "Sequence": { "id": "A", "type_id": 0 } },
            ],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "[CLS]": { "id": "[CLS]", "ids": [2], "tokens": ["[CLS]"] } },
        },
        "decoder": null,
        "model": { "type": "WordLevel", "unk_token": "[UNK]", "vocab": vocabulary },
    })
    .to_string()
}

/// A model's folder with further files.
pub(super) fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let tokenizer = tokenizer();
    let usual: [(&str, &[u8]); 2] = [
        ("tokenizer.json", tokenizer.as_bytes()),
        ("model.onnx", &lookup()),
    ];
    for (name, content) in usual.iter().chain(files) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }
    folder
}

/// Opens a folder's model, unless this machine has no runtime.
fn opened(folder: &TempDir) -> Option<Neural> {
    match open_path(folder.path()) {
        Ok(model) => Some(model),
        Err(error @ (EmbedError::RuntimeMissing { .. } | EmbedError::RuntimeTooOld { .. })) => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn assert_near(found: &[f32], expected: [f32; 2]) {
    let length = (expected[0] * expected[0] + expected[1] * expected[1]).sqrt();
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected / length).abs() < 1e-6,
            "{found} is not {expected}/{length}"
        );
    }
}

#[test]
fn tokens_are_pooled_as_the_files_say() {
    let mean = folder(&[]);
    let cls = folder(&[(
        "1_Pooling/config.json",
        b"{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}",
    )]);
    let ours = folder(&[
        ("1_Pooling/config.json", b"{\"pooling_mode\": \"max\"}"),
        ("cento.json", b"{\"pooling\": \"mean\"}"),
    ]);
    let Some(model) = opened(&mean) else { return };
    assert_near(
        &model.embed_query("east east").expect("embedded"),
        [2.0, 1.0],
    );
    assert_eq!(model.contract().dimensions, 2);
    let model = opened(&cls).expect("opened");
    assert_near(
        &model.embed_query("east east").expect("embedded"),
        [0.0, 1.0],
    );
    let model = opened(&ours).expect("opened");
    assert_near(&model.embed_query("east").expect("embedded"), [1.0, 1.0]);
}

/// The graph that adds up the rows of a text's tokens, padding's, too.
pub(super) fn summing(output: &str) -> Vec<u8> {
    model_of(&[
        node("Gather", &["table", "input_ids"], "last_hidden_state"),
        node("ReduceSum", &["last_hidden_state", "axes"], "summed"),
        node("Squeeze", &["summed", "axes"], output),
        bytes(
            5,
            &[
                number(1, 1),
                number(2, 7),
                bytes(8, b"axes"),
                bytes(9, &1_i64.to_le_bytes()),
            ]
            .concat(),
        ),
        table(None),
        inputs(&[None, None]),
        tokens_output(),
        bytes(12, &value(output, 1, &[None, None])),
    ])
}

#[test]
fn a_graph_that_pools_itself_is_taken_at_its_word() {
    // Unscaled rows of the first token: [b, s, 2] × the sum over s.
    let pooled = summing("sentence_embedding");
    let folder = folder(&[
        ("model.onnx", &pooled),
        (
            "modules.json",
            b"[{\"type\": \"x.models.Transformer\"}, {\"type\": \"x.models.Dense\"}]",
        ),
        (
            "1_Pooling/config.json",
            b"{\"pooling_mode\": \"lasttoken\"}",
        ),
    ]);
    let Some(model) = opened(&folder) else { return };
    assert_near(
        &model.embed_query("east east east").expect("embedded"),
        [3.0, 1.0],
    );
    assert!(model.contract().fingerprint.contains("/graph/"));
}

#[test]
fn weights_may_stand_in_a_file_beside_the_graph() {
    let graph = model_of(&[
        node("Gather", &["table", "input_ids"], "last_hidden_state"),
        table(Some("table.bin")),
        inputs(&[None, None]),
        tokens_output(),
    ]);
    let folder = folder(&[("model.onnx", &graph), ("table.bin", &table_bytes())]);
    let Some(model) = opened(&folder) else { return };
    assert_near(&model.embed_query("east").expect("embedded"), [1.0, 1.0]);
}

#[test]
fn prefixes_stand_before_queries_and_documents_of_their_own() {
    let folder = folder(&[(
        "config_sentence_transformers.json",
        b"{\"prompts\": {\"query\": \"east \", \"passage\": \"north \"}}",
    )]);
    let Some(model) = opened(&folder) else { return };
    assert_eq!(model.contract().query_prefix, "east ");
    assert_near(&model.embed_query("east").expect("embedded"), [2.0, 1.0]);
    let texts = ["east".to_owned(), " ".to_owned()];
    let documents = model.embed_documents(&texts).expect("embedded");
    assert_near(&documents[0], [1.0, 2.0]);
    assert_eq!(documents[1], [0.0, 0.0], "a prefix alone is no text");
}

#[test]
fn texts_without_a_token_have_a_zero_vector() {
    let folder = folder(&[]);
    let Some(model) = opened(&folder) else { return };
    for nothing in ["", " ", "\n\t"] {
        assert_eq!(model.embed_query(nothing).expect("embedded"), [0.0, 0.0]);
    }
    assert!(model.embed_documents(&[]).expect("embedded").is_empty());
    let blank = vec![String::new(); 3];
    assert_eq!(
        model.embed_documents(&blank).expect("embedded"),
        vec![vec![0.0, 0.0]; 3]
    );
}

#[test]
fn a_text_longer_than_the_model_looks_is_the_mean_of_its_windows() {
    // Each with [CLS], which says north.
    let folder = folder(&[("sentence_bert_config.json", b"{\"max_seq_length\": 11}")]);
    let Some(model) = opened(&folder) else { return };
    assert_eq!(model.contract().max_tokens, Some(11));
    // Two windows of eight tokens.
    let text = "east ".repeat(8) + &"north ".repeat(8);
    let (east, north) = ([8.0, 1.0], [0.0, 1.0]);
    let length = f32::hypot(east[0], east[1]);
    let mean = [east[0] / length + north[0], east[1] / length + north[1]];
    assert_near(&model.embed_query(&text).expect("embedded"), mean);
    let short = "east".to_owned();
    let together = model.embed_documents(&[short.clone(), text, short]);
    let together = together.expect("embedded");
    assert_near(&together[0], [1.0, 1.0]);
    assert_near(&together[1], mean);
    assert_eq!(together[2], together[0]);
}

#[test]
fn results_are_in_order_whatever_batches_they_went_through() {
    let folder = folder(&[]);
    let Some(model) = opened(&folder) else { return };
    let texts: Vec<String> = (0..400)
        .map(|i| "east ".repeat(i * 7919 % 61) + &"north ".repeat(i * 31 % 17))
        .collect();
    let together = model.embed_documents(&texts).expect("embedded");
    for (text, vector) in texts.iter().zip(together) {
        let alone = model.embed_query(text).expect("embedded");
        for (a, b) in alone.iter().zip(vector) {
            assert!((a - b).abs() < 1e-6, "{text}");
        }
    }
}

#[test]
fn a_graph_of_one_shape_is_given_that_shape() {
    let graph = model_of(&[
        node("Gather", &["table", "input_ids"], "last_hidden_state"),
        table(None),
        inputs(&[Some(1), Some(6)]),
        bytes(
            12,
            &value("last_hidden_state", 1, &[Some(1), Some(6), Some(2)]),
        ),
    ]);
    let folder = folder(&[("model.onnx", &graph)]);
    let Some(model) = opened(&folder) else { return };
    assert_eq!(model.contract().max_tokens, Some(6));
    let texts = ["east", "east east", &"east ".repeat(40)].map(str::to_owned);
    let vectors = model.embed_documents(&texts).expect("embedded");
    assert_near(&vectors[0], [1.0, 1.0]);
    assert_near(&vectors[1], [2.0, 1.0]);
    assert_near(&vectors[2], [5.0, 1.0]);
    // A query goes through it one window at a time, too.
    let query = model.embed_query(&texts[2]).expect("embedded");
    assert_eq!(query, vectors[2]);
}

#[test]
fn a_vector_that_is_no_number_is_an_error_that_names_the_text() {
    let folder = folder(&[]);
    let Some(model) = opened(&folder) else { return };
    let error = model.embed_query("bad east").expect_err("refused");
    assert!(matches!(&error, EmbedError::NotFinite { begins, .. } if begins == "bad east"));
    let texts = ["east".to_owned(), "bad".to_owned()];
    assert!(model.embed_documents(&texts).is_err());
    model.embed_query("east").expect("it goes on");
}

#[test]
fn whatever_changes_vectors_changes_the_fingerprint_and_nothing_else_does() {
    let of = |files: &[(&str, &[u8])]| {
        let folder = folder(files);
        Some(opened(&folder)?.contract().fingerprint.clone())
    };
    let Some(plain) = of(&[]) else { return };
    assert_eq!(
        of(&[]).as_deref(),
        Some(&plain[..]),
        "another folder, the same files"
    );
    let weight = of(&[("cento.json", b"{\"cosine_weight\": 0.5}")]);
    assert_eq!(weight.as_deref(), Some(&plain[..]));
    let mut all = vec![plain];
    for ours in [
        &b"{\"pooling\": \"cls\"}"[..],
        b"{\"max_tokens\": 100}",
        b"{\"query_prefix\": \"q\"}",
        b"{\"document_prefix\": \"q\"}",
    ] {
        all.extend(of(&[("cento.json", ours)]));
    }
    let spaced = tokenizer().replace("far-north", "further");
    all.extend(of(&[("tokenizer.json", spaced.as_bytes())]));
    let mut graph = lookup();
    graph.extend(bytes(2, b"another producer"));
    all.extend(of(&[("model.onnx", &graph)]));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!((count, all.len()), (7, 7));
}

#[test]
fn a_model_is_found_again_by_its_contract_from_anywhere() {
    let folder = folder(&[("onnx/model_q.onnx", &lookup())]);
    let up: PathBuf = std::env::current_dir()
        .expect("a folder")
        .components()
        .skip(1)
        .map(|_| "..")
        .collect();
    let real = folder.path().canonicalize().expect("there");
    let relative = up.join(real.strip_prefix("/").expect("absolute"));
    for (path, expected) in [
        (relative.clone(), real.clone()),
        (
            relative.join("onnx/model_q.onnx"),
            real.join("onnx/model_q.onnx"),
        ),
    ] {
        let model = match open_path(&path) {
            Err(error @ (EmbedError::RuntimeMissing { .. } | EmbedError::RuntimeTooOld { .. })) => {
                eprintln!("SKIPPED: {error}");
                return;
            }
            other => other.expect("opened"),
        };
        let name = &model.contract().model;
        assert_eq!(Path::new(name), expected);
        let again = crate::open(name).expect("opened again");
        assert_eq!(again.contract(), model.contract());
    }
}

#[test]
fn a_graph_that_the_runtime_refuses_is_an_error_of_the_file() {
    let graph = model_of(&[
        node("NoSuchOperator", &["input_ids"], "last_hidden_state"),
        inputs(&[None, None]),
        tokens_output(),
    ]);
    match open_path(folder(&[("model.onnx", &graph)]).path()) {
        Err(error @ (EmbedError::RuntimeMissing { .. } | EmbedError::RuntimeTooOld { .. })) => {
            eprintln!("SKIPPED: {error}");
        }
        Err(error @ EmbedError::ModelFile { .. }) => {
            assert!(error.to_string().contains("NoSuchOperator"), "{error}");
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("opened"),
    }
}

/// The error of a folder that no runtime is needed to refuse.
fn refused(folder: &TempDir) -> EmbedError {
    match open_path(folder.path()) {
        Err(error) => error,
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn hostile_folders_are_refused_before_a_runtime_is_asked_for() {
    let output = |name: &str, shape: &[Option<u8>]| {
        let output = bytes(12, &value(name, 1, shape));
        model_of(&[inputs(&[None, None]), output])
    };
    let logits = output("logits", &[None, Some(2)]);
    let two = model_of(&[
        inputs(&[None, None]),
        bytes(12, &value("a", 1, &[None])),
        bytes(12, &value("b", 1, &[None])),
    ]);
    let half = model_of(&[
        inputs(&[None, None]),
        bytes(12, &value("last_hidden_state", 10, &[None, None, Some(2)])),
    ]);
    let image = model_of(&[
        bytes(11, &value("pixel_values", 1, &[None])),
        tokens_output(),
    ]);
    let outside = model_of(&[
        table(Some("../secret")),
        inputs(&[None, None]),
        tokens_output(),
    ]);
    let absent = model_of(&[
        table(Some("absent.bin")),
        inputs(&[None, None]),
        tokens_output(),
    ]);
    let unsupported: [(&str, &[u8], &str); 8] = [
        ("model.onnx", &logits, "scores, not vectors"),
        ("model.onnx", &two, "(a, b)"),
        ("model.onnx", &half, "float32"),
        ("model.onnx", &image, "pixel_values"),
        (
            "1_Pooling/config.json",
            b"{\"pooling_mode_max_tokens\": true}",
            "max_tokens",
        ),
        (
            "1_Pooling/config.json",
            b"{\"pooling_mode\": \"lasttoken\"}",
            "lasttoken",
        ),
        (
            "modules.json",
            b"[{\"type\": \"sentence_transformers.models.Dense\"}]",
            "Dense",
        ),
        ("cento.json", b"{\"pooling\": \"sum\"}", "sum"),
    ];
    for (name, content, expected) in unsupported {
        let error = refused(&folder(&[(name, content)]));
        assert!(
            matches!(error, EmbedError::ModelUnsupported { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
    let broken: [(&str, &[u8], &str); 10] = [
        ("tokenizer.json", b"{}", "tokenizer.json"),
        ("tokenizer.json", b"not JSON", "not JSON"),
        ("config.json", b"\xff\xfe", "not JSON"),
        ("tokenizer_config.json", b"{", "not JSON"),
        ("modules.json", b"", "not JSON"),
        ("cento.json", b"{\"poling\": \"mean\"}", "poling"),
        ("cento.json", b"{\"cosine_weight\": -1}", "cosine_weight"),
        ("model.onnx", b"<!DOCTYPE html>", "not an ONNX model"),
        (
            "model.onnx",
            b"version https://git-lfs.github.com/spec/v1\n",
            "git lfs pull",
        ),
        ("model.onnx", &outside, "../secret"),
    ];
    for (name, content, expected) in broken {
        let error = refused(&folder(&[(name, content)]));
        assert!(matches!(error, EmbedError::ModelFile { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = refused(&folder(&[("model.onnx", &absent)]));
    assert!(
        matches!(error, EmbedError::ModelFilesMissing { .. }),
        "{error:?}"
    );
    let error = refused(&folder(&[("cento.json", b"{\"max_tokens\": 1}")]));
    assert!(error.to_string().contains("1 tokens"), "{error}");
}

#[test]
fn what_a_folder_lacks_is_said() {
    let without = |names: &[&str], with: &[(&str, &[u8])]| {
        let folder = folder(with);
        for name in names {
            fs::remove_file(folder.path().join(name)).expect("removed");
        }
        let error = refused(&folder);
        assert!(
            matches!(error, EmbedError::ModelFilesMissing { .. }),
            "{error:?}"
        );
        error.to_string()
    };
    assert!(without(&["tokenizer.json"], &[]).contains("tokenizer.json is not there"));
    assert!(without(&["model.onnx"], &[]).contains("model.onnx is not there"));
    let torch = without(&["model.onnx"], &[("model.safetensors", b"")]);
    assert!(torch.contains("no ONNX export"), "{torch}");
    let several = without(&["model.onnx"], &[("a.onnx", b""), ("onnx/b.onnx", b"")]);
    assert!(several.contains("a.onnx, onnx/b.onnx"), "{several}");
    let alone = TempDir::new().expect("a folder");
    fs::write(alone.path().join("model.onnx"), lookup()).expect("written");
    match open_path(&alone.path().join("model.onnx")) {
        Err(error) => assert!(error.to_string().contains("tokenizer.json"), "{error}"),
        Ok(_) => panic!("opened"),
    }
}
