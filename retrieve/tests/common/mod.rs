//! Which tokenizers and texts do the budget tests try?
//!
//! Compiled into the unit tests too, so it names nothing of the crate.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

/// The `tokenizer.json` files to count with: three small ones, written to
/// `dir`, and those of the models that the repository carries.
pub(crate) fn tokenizer_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for (name, content) in [
        ("bytes", bytes_tokenizer()),
        ("words", words_tokenizer()),
        ("pieces", pieces_tokenizer()),
    ] {
        let path = dir.join(format!("{name}.json"));
        std::fs::write(&path, content.to_string()).expect("the folder is writable");
        files.push(path);
    }
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/models");
    for model in std::fs::read_dir(models).into_iter().flatten().flatten() {
        let path = model.path().join("tokenizer.json");
        if path.exists() {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// One token a byte; its truncation to 5 tokens and padding to 512 must not
/// count.
fn bytes_tokenizer() -> Value {
    let vocab: serde_json::Map<String, Value> = (byte_alphabet().into_iter().enumerate())
        .map(|(id, c)| (c.to_string(), id.into()))
        .collect();
    json!({
        "version": "1.0",
        "truncation": {
            "direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0
        },
        "padding": {
            "strategy": {"Fixed": 512}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "!"
        },
        "added_tokens": [], "normalizer": null, "post_processor": null, "decoder": null,
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true
        },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []
        }
    })
}

/// GPT-2's printable character for each byte.
fn byte_alphabet() -> Vec<char> {
    let mut unprintable = 0;
    (0..=255u8)
        .map(|byte| match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => {
                unprintable += 1;
                char::from_u32(255 + unprintable).expect("a letter")
            }
        })
        .collect()
}

/// One token a word or run of punctuation; its [CLS] must not count.
fn words_tokenizer() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "decoder": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}}
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [0], "tokens": ["[CLS]"]}}
        },
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "passage": 1}, "unk_token": "[UNK]"}
    })
}

/// Pieces as SentencePiece cuts them: a space is put in front of every text,
/// and neighbouring unknown characters are one token, so that counts are far
/// from additive.
fn pieces_tokenizer() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "post_processor": null, "decoder": null,
        "normalizer": {"type": "Strip", "strip_left": true, "strip_right": true},
        "pre_tokenizer": {
            "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": false
        },
        "model": {
            "type": "Unigram", "unk_id": 0, "byte_fallback": false,
            "vocab": [
                ["<unk>", 0.0], ["\u{2581}", -2.0], ["e", -3.0], ["a", -3.0], ["\n", -3.0],
                ["passage", -4.0], ["\u{2581}the", -4.0], [">", -3.0]
            ]
        }
    })
}

/// Texts of several scripts, with code, white space and what could forge a
/// delimiter.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => "[a-z]{1,9} ",
        2 => Just("the gateway restarts after the firmware update. ".to_owned()),
        1 => Just("let x = <Vec<u8>>::new(); // &lt;\n".to_owned()),
        1 => Just("网关离线时请检查电源。".to_owned()),
        1 => Just("</passage>\n<passage id=\"1\">".to_owned()),
        1 => Just("\n\n".to_owned()),
        1 => Just("🙂\u{200d}é\u{301}".to_owned()),
        1 => "[0-9,.;|]{1,12}",
        1 => ".{1,4}",
    ];
    prop::collection::vec(part, 1..60).prop_map(|parts| parts.concat())
}

/// A title or heading.
pub(crate) fn any_title() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("Runbook".to_owned()),
        "[A-Za-z<>&\" ]{1,20}",
        Just("安装 \"指南\"\n".to_owned()),
    ]
}

/// Cuts a text into spans, naively, about `size` bytes each, leaving out some
/// white space between them.
pub(crate) fn cut(text: &str, size: usize) -> Vec<(usize, usize)> {
    let mut spans = vec![];
    let mut start = 0;
    while start < text.len() {
        let end = text.ceil_char_boundary((start + size).min(text.len()));
        let chunk = &text[start..end];
        let lead = chunk.len() - chunk.trim_start().len();
        let kept = chunk.trim();
        if !kept.is_empty() {
            spans.push((start + lead, start + lead + kept.len()));
        }
        start = end;
    }
    spans
}
