//! Is a `tokenizer.json` of the one recipe that is written here?

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::vocabulary::Vocabulary;

/// What a `tokenizer.json` says. What it may say besides, nobody knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Value,
    #[serde(rename = "truncation")]
    _truncation: IgnoredAny,
    #[serde(rename = "padding")]
    _padding: IgnoredAny,
    added_tokens: Vec<Added>,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    // Tokens become no text here.
    #[serde(rename = "decoder")]
    _decoder: IgnoredAny,
    model: Model,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Added {
    id: u32,
    content: String,
    // Says how tokens become text.
    #[serde(rename = "special")]
    _special: bool,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    r#type: String,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: HashMap<String, u32>,
}

/// Added tokens with their numbers.
type AddedTokens = Vec<(String, u32)>;

/// The vocabulary and the added tokens, or why it is another recipe.
pub(super) fn read(json: &[u8]) -> Result<(Vocabulary, AddedTokens), String> {
    let file: File = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    is_one_of("version", &file.version, &[json!("1.0")])?;
    let normalizer = |strip_accents: Value| {
        json!({
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": true,
            // Null means what `lowercase` says.
            "strip_accents": strip_accents,
            "lowercase": true,
        })
    };
    let normalizers = [normalizer(Value::Null), normalizer(Value::Bool(true))];
    is_one_of("normalizer", &file.normalizer, &normalizers)?;
    let pre_tokenizer = json!({"type": "BertPreTokenizer"});
    is_one_of("pre_tokenizer", &file.pre_tokenizer, &[pre_tokenizer])?;
    is_one_of("post_processor", &file.post_processor, &[Value::Null])?;
    let model = file.model;
    for (name, found, wanted) in [
        ("model", &model.r#type, "WordPiece"),
        ("unk_token", &model.unk_token, "[UNK]"),
        (
            "continuing_subword_prefix",
            &model.continuing_subword_prefix,
            "##",
        ),
    ] {
        is_one_of(name, &json!(found), &[json!(wanted)])?;
    }
    let longest_word = model.max_input_chars_per_word;
    if longest_word < Vocabulary::LEAST {
        return Err(format!("`max_input_chars_per_word` is {longest_word}"));
    }
    let Some(&unknown) = model.vocab.get(&model.unk_token) else {
        return Err("`vocab` has no [UNK]".to_owned());
    };
    let added = added(file.added_tokens, &model.vocab)?;
    let entries = model.vocab.iter().map(|(entry, &id)| (&**entry, id));
    Ok((Vocabulary::new(entries, unknown, longest_word), added))
}

fn is_one_of(name: &str, found: &Value, wanted: &[Value]) -> Result<(), String> {
    if wanted.contains(found) {
        return Ok(());
    }
    Err(format!("`{name}` is {found}"))
}

/// Tokens that are found in the text as it was given, wherever they stand.
fn added(tokens: Vec<Added>, vocab: &HashMap<String, u32>) -> Result<AddedTokens, String> {
    let mut numbers = HashSet::new();
    let mut added = Vec::new();
    for token in tokens {
        let Added { id, content, .. } = token;
        if token.single_word || token.lstrip || token.rstrip || token.normalized {
            return Err(format!("the added token {content} is not taken literally"));
        }
        if !content.starts_with(|first: char| first.is_ascii_punctuation()) {
            return Err(format!(
                "the added token {content} is no punctuation at first"
            ));
        }
        if vocab.get(&content) != Some(&id) || !numbers.insert(id) {
            return Err(format!("the added token {content} has a number of its own"));
        }
        added.push((content, id));
    }
    Ok(added)
}
