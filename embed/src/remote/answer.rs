//! What does a server's answer say?
//!
//! Nothing of it is believed: there must be one vector for each text, known by
//! its index, of the right length, of finite numbers, and not all zeros. A body
//! that is cut off or is no JSON at all may be another one next time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;

use super::key::Key;
use super::options::MAX_DIMENSIONS;

/// How much of what a server said is told.
const MAX_MESSAGE: usize = 300;

/// Why an answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) reason: String,
    /// Whether the same request may well be answered otherwise.
    pub(crate) is_passing: bool,
}

impl Flaw {
    fn lasting(reason: String) -> Self {
        Self {
            reason,
            is_passing: false,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    embedding: Embedding,
}

struct Embedding(Vec<f32>);

impl<'de> Deserialize<'de> for Embedding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AsNumbersOrBase64)
    }
}

/// Servers that were asked for numbers may send base64 all the same.
struct AsNumbersOrBase64;

impl<'de> Visitor<'de> for AsNumbersOrBase64 {
    type Value = Embedding;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers, or base64")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Embedding, A::Error> {
        let mut vector = Vec::new();
        while let Some(number) = numbers.next_element()? {
            vector.push(number);
        }
        Ok(Embedding(vector))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Embedding, E> {
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| E::custom(format_args!("a vector is no base64: {error}")))?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(E::custom("a vector in base64 is not of 4 bytes a number"));
        }
        let numbers = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes));
        Ok(Embedding(numbers.collect()))
    }
}

/// The vectors of so many texts, in the texts' order and of unit length.
pub(crate) fn vectors(
    body: &[u8],
    texts: usize,
    dimensions: Option<usize>,
    key: Option<&Key>,
) -> Result<Vec<Vec<f32>>, Flaw> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| not_the_form(body, &error, "OpenAI's", key))?;
    let items = answer.data.into_iter();
    let items = items.map(|item| (item.index, item.embedding.0)).collect();
    let vectors = in_order(items, texts, "vector")?;
    let vectors = vectors.into_iter().enumerate();
    vectors
        .map(|(index, vector)| unit(vector, index, dimensions))
        .collect()
}

#[derive(Deserialize)]
struct Judged {
    results: Vec<Judgement>,
}

#[derive(Deserialize)]
struct Judgement {
    /// Servers sort by score, so that without it nobody knows whose score it is.
    index: usize,
    relevance_score: Option<f32>,
    /// What some call it.
    score: Option<f32>,
}

/// How well each of so many texts answers, in the texts' order.
pub(crate) fn scores(body: &[u8], texts: usize, key: Option<&Key>) -> Result<Vec<f32>, Flaw> {
    let judged: Judged = serde_json::from_slice(body)
        .map_err(|error| not_the_form(body, &error, "Cohere's", key))?;
    let mut items = Vec::with_capacity(judged.results.len());
    for item in judged.results {
        let Some(score) = item.relevance_score.or(item.score) else {
            let reason = format!("text {} has no relevance_score", item.index);
            return Err(Flaw::lasting(reason));
        };
        items.push((Some(item.index), score));
    }
    let scores = in_order(items, texts, "score")?;
    match scores.iter().position(|score| !score.is_finite()) {
        Some(index) => Err(Flaw::lasting(format!("score {index} is not finite"))),
        None => Ok(scores),
    }
}

/// One item for each text, by the indices that are given or else as they came.
fn in_order<T>(items: Vec<(Option<usize>, T)>, texts: usize, what: &str) -> Result<Vec<T>, Flaw> {
    let found = items.len();
    if found != texts {
        return Err(Flaw::lasting(format!("{found} {what}s for {texts} texts")));
    }
    let has_index = items.iter().any(|(index, _)| index.is_some());
    let mut placed: Vec<Option<T>> = (0..texts).map(|_| None).collect();
    for (place, (index, item)) in items.into_iter().enumerate() {
        let index = if has_index { index } else { Some(place) };
        let index = index.ok_or_else(|| {
            Flaw::lasting(format!("some {what}s have an index and others have none"))
        })?;
        let Some(slot) = placed.get_mut(index) else {
            return Err(Flaw::lasting(format!(
                "a {what} has the index {index}, but there are {texts} texts"
            )));
        };
        if slot.is_some() {
            return Err(Flaw::lasting(format!("two {what}s have the index {index}")));
        }
        *slot = Some(item);
    }
    // As many as there are places, and no place twice.
    Ok(placed.into_iter().flatten().collect())
}

/// A vector, scaled to unit length.
fn unit(mut vector: Vec<f32>, index: usize, dimensions: Option<usize>) -> Result<Vec<f32>, Flaw> {
    let length = vector.len();
    match dimensions {
        Some(expected) if expected != length => {
            return Err(Flaw::lasting(format!(
                "vector {index} has {length} components, not {expected}"
            )));
        }
        None if length == 0 || length > MAX_DIMENSIONS => {
            return Err(Flaw::lasting(format!(
                "vector {index} has {length} components"
            )));
        }
        _ => {}
    }
    if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
        return Err(Flaw::lasting(format!(
            "component {at} of vector {index} is not finite"
        )));
    }
    let norm = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
    let norm = norm.sqrt();
    if norm == 0.0 {
        return Err(Flaw::lasting(format!("vector {index} is all zeros")));
    }
    for x in &mut vector {
        *x = (f64::from(*x) / norm) as f32;
    }
    Ok(vector)
}

/// Why a body does not hold what was asked for.
fn not_the_form(body: &[u8], error: &serde_json::Error, whose: &str, key: Option<&Key>) -> Flaw {
    let told = clean(&error.to_string(), MAX_MESSAGE, key);
    if body.trim_ascii().is_empty() {
        return Flaw {
            reason: "the answer is empty".to_owned(),
            is_passing: true,
        };
    }
    if is_html(body) {
        return Flaw {
            reason: format!(
                "the answer is a page for people, not JSON; is this the API's base, which mostly ends in /v1? It begins: {}",
                message(body, key)
            ),
            is_passing: true,
        };
    }
    match error.classify() {
        Category::Eof => Flaw {
            reason: format!("the answer ends too early: {told}"),
            is_passing: true,
        },
        Category::Syntax | Category::Io => Flaw {
            reason: format!(
                "the answer is no JSON: {told}; it begins: {}",
                clean(&String::from_utf8_lossy(body), MAX_MESSAGE / 3, key)
            ),
            is_passing: true,
        },
        Category::Data => Flaw::lasting(match said(body, key) {
            Some(said) => format!("it says: {said}"),
            None => format!("the answer has not the form of {whose}: {told}"),
        }),
    }
}

fn is_html(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'<')
}

/// What a body says to a person, shortened to one line.
pub(crate) fn message(body: &[u8], key: Option<&Key>) -> String {
    if let Some(said) = said(body, key) {
        return said;
    }
    let text = String::from_utf8_lossy(body);
    let text = if is_html(body) {
        without_tags(&text)
    } else {
        text.into_owned()
    };
    match clean(&text, MAX_MESSAGE, key) {
        text if text.is_empty() => "nothing more".to_owned(),
        text => text,
    }
}

/// The message in a body of JSON, wherever servers put it.
fn said(body: &[u8], key: Option<&Key>) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let error = &body["error"];
    let places = [&error["message"], error, &body["message"], &body["detail"]];
    let place = places.into_iter().find(|place| !place.is_null())?;
    let text = match place.as_str() {
        Some(text) => clean(text, MAX_MESSAGE, key),
        None => clean(&place.to_string(), MAX_MESSAGE, key),
    };
    Some(text).filter(|text| !text.is_empty())
}

/// A page's text, roughly.
fn without_tags(page: &str) -> String {
    let mut text = String::new();
    let mut is_tag = false;
    for c in page.chars() {
        match c {
            '<' => is_tag = true,
            '>' => {
                is_tag = false;
                text.push(' ');
            }
            c if !is_tag => text.push(c),
            _ => {}
        }
    }
    text
}

/// One line without control characters, without the key, and no longer than
/// this.
///
/// What is left out leaves a blank, so that no key comes together here; and the
/// line is cut at last, so that no half of one is left.
pub(crate) fn clean(text: &str, most: usize, key: Option<&Key>) -> String {
    let is_seen = |c: char| !c.is_control() && !is_unseen(c);
    let seen: String = text
        .chars()
        .map(|c| if is_seen(c) { c } else { ' ' })
        .collect();
    let line = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = key.map_or_else(|| line.clone(), |key| key.hidden_in(&line));
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Whether a character changes how others are read without being seen.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Whether a refusal means that what was sent is too much at once, or too long.
/// Servers say so with several statuses, some with one of a failure.
pub(crate) fn is_too_much(status: u16, message: &str) -> bool {
    const SIGNS: [&str; 9] = [
        "too long",
        "too large",
        "too many",
        "maximum context",
        "context length",
        "context size",
        "context_length",
        "maximum allowed",
        "tokens per request",
    ];
    let message = message.to_lowercase();
    let is_said = || SIGNS.into_iter().any(|sign| message.contains(sign));
    match status {
        413 => true,
        400 | 422 | 500 => is_said(),
        _ => false,
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
