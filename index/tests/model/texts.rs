//! Which documents are put, how are they cut, and what does each chunk point to?

use cento_core::{ByteSpan, Chunk, FieldType, FieldTypes};
use cento_index::{CollectionSettings, DerivedDocument, NewDocument, PendingDocument, Precision};
use serde_json::{Value, json};

use crate::corpus::{self, document, embed};
use crate::operation::Put;

/// Words that the analyzer keeps apart and as they are; no title and no heading
/// has one of them.
pub(crate) const VOCABULARY: [&str; 6] = ["pump", "hose", "motor", "belt", "fan", "lamp"];

const UNITS: [&str; 3] = ["ops", "desk", "lab"];

pub(crate) fn unit(number: u8) -> &'static str {
    UNITS[usize::from(number)]
}

pub(crate) fn name(document: u8) -> String {
    format!("d{document}")
}

pub(crate) fn text(put: &Put) -> String {
    let sentence = |words: &Vec<u8>| {
        let words = words.iter().map(|word| VOCABULARY[usize::from(*word)]);
        format!("{}.", words.collect::<Vec<_>>().join(" "))
    };
    let sentences: Vec<_> = put.sentences.iter().map(sentence).collect();
    sentences.join(" ")
}

pub(crate) fn metadata(put: &Put) -> Value {
    match put.unit {
        Some(number) => json!({"n": put.n, "unit": unit(number)}),
        None => json!({"n": put.n}),
    }
}

/// One of two configurations: a chunk a sentence, or one chunk a document.
pub(crate) fn settings(is_whole: bool) -> CollectionSettings {
    let mut fields = FieldTypes::default();
    for (name, kind) in [
        ("n", FieldType::Number),
        ("open", FieldType::Boolean),
        ("unit", FieldType::Text),
    ] {
        fields.add(name.to_owned(), kind).unwrap();
    }
    let settings = CollectionSettings {
        fields,
        ..corpus::settings()
    };
    if is_whole {
        CollectionSettings {
            chunking: "whole".to_owned(),
            precision: Precision::F32,
            ..settings
        }
    } else {
        settings
    }
}

/// The chunks of a text.
pub(crate) fn cut(text: &str, is_whole: bool) -> Vec<Chunk> {
    let new = document("x", text, &json!({}));
    if is_whole {
        let first = new.chunks.into_iter().next().unwrap();
        let span = ByteSpan::new(0, text.len() as u64).unwrap();
        vec![Chunk { span, ..first }]
    } else {
        new.chunks
    }
}

pub(crate) fn slice<'a>(text: &'a str, chunk: &Chunk) -> &'a str {
    &text[chunk.span.start as usize..chunk.span.end as usize]
}

/// A document as one of the two configurations has it.
pub(crate) fn new_document(
    name: &str,
    text: &str,
    metadata: &Value,
    is_whole: bool,
) -> NewDocument {
    let chunks = cut(text, is_whole);
    let vectors = chunks.iter().map(|chunk| embed(slice(text, chunk)));
    NewDocument {
        vectors: vectors.collect(),
        chunks,
        ..document(name, text, metadata)
    }
}

/// The cosine of a unit query with a text: with its vector as it was given, or
/// as one byte a dimension keeps it.
pub(crate) fn cosine(query: &[f32], text: &str, is_whole: bool) -> f64 {
    let vector = embed(text);
    if is_whole {
        let product = query.iter().zip(&vector).map(|(x, y)| f64::from(x * y));
        return product.sum();
    }
    let most = vector.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let codes: Vec<f64> = (vector.iter())
        .map(|x| f64::from((x * (127.0 / most)).round()))
        .collect();
    let length = codes.iter().map(|x| x * x).sum::<f64>().sqrt();
    let product = query.iter().zip(&codes).map(|(x, y)| f64::from(*x) * y);
    product.sum::<f64>() / length
}

/// What is derived from a document.
pub(crate) fn derived(pending: PendingDocument, is_whole: bool) -> DerivedDocument {
    let text = &pending.document.text;
    let chunks = cut(text, is_whole);
    let vectors = chunks.iter().map(|chunk| embed(slice(text, chunk)));
    DerivedDocument {
        vectors: vectors.collect(),
        chunks,
        pending,
    }
}
