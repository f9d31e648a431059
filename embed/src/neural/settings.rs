//! How does a model want its texts to be cut off, prefixed and pooled?
//!
//! For each setting the first source that says it counts:
//! 1. `cento.json`, written by whoever runs cento;
//! 2. sentence-transformers' files: `sentence_bert_config.json`, the pooling
//!    module's `config.json`, `config_sentence_transformers.json`;
//! 3. what is known of the model by the name it records (`known`);
//! 4. a rule: mean pooling, no prefixes, and as the length the least of what
//!    `config.json`, `tokenizer.json`, `tokenizer_config.json` and 512 allow.
//!
//! No setting can exceed the positions that the graph has.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::known::known;
use super::model_files::{TOKENIZER, read_json};
use crate::{EmbedError, Standout};

/// How the vectors of a text's tokens become the text's vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Their mean.
    Mean,
    /// The first token's.
    Cls,
    /// A way that cannot be served.
    Other(String),
}

/// What changes the vectors that a model gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// What the model calls itself, for people.
    pub(crate) name: String,
    /// How tokens are pooled, if the graph does not do it.
    pub(crate) pooling: Pooling,
    /// Steps after pooling that cento does not do, if the graph does not.
    pub(crate) further_steps: Vec<String>,
    /// The most tokens of a text, special ones included.
    pub(crate) max_tokens: usize,
    /// In front of a query.
    pub(crate) query_prefix: String,
    /// In front of a document.
    pub(crate) document_prefix: String,
    /// What a cosine is worth beside lexical coverage.
    pub(crate) cosine_weight: f32,
    /// How to tell whether the model knows what it is asked about.
    pub(crate) standout: Option<Standout>,
    /// What the model was made for, as its configuration says.
    pub(crate) architectures: Vec<String>,
    /// How many classes it tells apart, where its configuration names them.
    pub(crate) labels: Option<usize>,
    /// What fills a batch's shorter texts.
    pub(crate) pad: Pad,
    /// Special tokens beyond those of `tokenizer.json`.
    pub(crate) special_tokens: Value,
}

/// The token that fills a batch's shorter texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pad {
    /// As it is written.
    pub(crate) token: String,
    /// Its number, where a file says it.
    pub(crate) id: Option<u64>,
}

/// The length where nothing says one: what most encoders were trained on.
const USUAL_MAX_TOKENS: usize = 512;

/// Two special tokens and one of the text.
const LEAST_MAX_TOKENS: usize = 3;

/// Untuned: decision 0005 tunes the weight by model.
const COSINE_WEIGHT: f32 = 1.0;

/// What `cento.json` may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ours {
    pooling: Option<String>,
    max_tokens: Option<usize>,
    query_prefix: Option<String>,
    document_prefix: Option<String>,
    cosine_weight: Option<f32>,
    standout: Option<Standout>,
}

/// Reads the settings of the model in a folder.
pub(crate) fn read_settings(root: &Path) -> Result<Settings, EmbedError> {
    let json = |name: &str| read_json(&root.join(name));
    let optional = |name: &str| Ok::<_, EmbedError>(json(name)?.unwrap_or(Value::Null));
    let config = optional("config.json")?;
    let tokenizer = optional(TOKENIZER)?;
    let tokenizer_config = optional("tokenizer_config.json")?;
    let special_tokens = optional("special_tokens_map.json")?;
    let sentence_bert = optional("sentence_bert_config.json")?;
    let prompts = optional("config_sentence_transformers.json")?;
    let modules = Modules::read(root)?;
    let ours = read_ours(root)?;

    let recorded = [&config["_name_or_path"], &tokenizer_config["name_or_path"]]
        .into_iter()
        .find_map(|name| name.as_str().filter(|name| !name.is_empty()));
    let known = recorded.and_then(known);

    let positions = positions(&config);
    let said = ours
        .max_tokens
        .or_else(|| number(&sentence_bert["max_seq_length"]))
        .or_else(|| known.and_then(|known| known.max_tokens));
    let allowed = || {
        [
            number(&tokenizer["truncation"]["max_length"]),
            number(&tokenizer_config["model_max_length"]),
            Some(USUAL_MAX_TOKENS),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(USUAL_MAX_TOKENS)
    };
    let max_tokens = said
        .unwrap_or_else(allowed)
        .min(positions.unwrap_or(usize::MAX));
    if max_tokens < LEAST_MAX_TOKENS {
        return Err(EmbedError::ModelFile {
            path: root.to_path_buf(),
            reason: format!("its greatest length is {max_tokens} tokens, which holds no text"),
        });
    }

    let pooling = match (&ours.pooling, modules.pooling) {
        (Some(said), _) => match said.as_str() {
            "mean" => Pooling::Mean,
            "cls" => Pooling::Cls,
            other => Pooling::Other(other.to_owned()),
        },
        (None, Some(said)) => said,
        (None, None) if known.is_some_and(|known| known.cls) => Pooling::Cls,
        (None, None) => Pooling::Mean,
    };

    let published = Prompts::of(&prompts);
    let prefix = |ours: Option<String>, published: Option<String>, known: Option<&str>| {
        ours.or(published)
            .unwrap_or_else(|| known.unwrap_or_default().to_owned())
    };
    Ok(Settings {
        name: short_name(recorded, &config),
        pooling,
        further_steps: modules.further_steps,
        max_tokens,
        query_prefix: prefix(
            ours.query_prefix,
            published.query,
            known.map(|known| known.query_prefix),
        ),
        document_prefix: prefix(
            ours.document_prefix,
            published.document,
            known.map(|known| known.document_prefix),
        ),
        cosine_weight: ours.cosine_weight.unwrap_or(COSINE_WEIGHT),
        standout: ours
            .standout
            .or_else(|| known.and_then(|known| known.standout))
            // A weight that is said is meant.
            .filter(|_| ours.standout.is_some() || ours.cosine_weight.is_none()),
        architectures: strings(&config["architectures"]),
        labels: config["id2label"].as_object().map(serde_json::Map::len),
        pad: pad(&config, &tokenizer, &tokenizer_config, &special_tokens),
        special_tokens: match special_tokens {
            Value::Object(_) => special_tokens,
            _ => Value::Object(serde_json::Map::new()),
        },
    })
}

fn read_ours(root: &Path) -> Result<Ours, EmbedError> {
    let path = root.join("cento.json");
    let Some(value) = read_json(&path)? else {
        return Ok(Ours::default());
    };
    let wrong = |reason: String| EmbedError::ModelFile {
        path: path.clone(),
        reason,
    };
    let ours: Ours = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
    if ours
        .cosine_weight
        .is_some_and(|weight| !weight.is_finite() || weight < 0.0)
    {
        return Err(wrong("`cosine_weight` must be 0 or more".to_owned()));
    }
    if ours.standout.is_some_and(|Standout { at, weight }| {
        !(at > 0.0 && at <= 2.0 && (0.0..=100.0).contains(&weight))
    }) {
        let reason = "`standout` has `at`, a difference of cosines above 0 and at most 2, and `weight`, from 0 to 100";
        return Err(wrong(reason.to_owned()));
    }
    Ok(ours)
}

/// What `modules.json` and the pooling module's own file say.
struct Modules {
    pooling: Option<Pooling>,
    further_steps: Vec<String>,
}

impl Modules {
    fn read(root: &Path) -> Result<Self, EmbedError> {
        let mut pooling_folder = "1_Pooling".to_owned();
        let mut further_steps = Vec::new();
        let modules = read_json(&root.join("modules.json"))?.unwrap_or(Value::Null);
        for module in modules.as_array().into_iter().flatten() {
            let kind = module["type"].as_str().unwrap_or_default();
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" | "Normalize" => {}
                "Pooling" => {
                    if let Some(path) = module["path"].as_str() {
                        pooling_folder = path.to_owned();
                    }
                }
                other => further_steps.push(other.to_owned()),
            }
        }
        let file = root.join(pooling_folder).join("config.json");
        let pooling = read_json(&file)?.map(|config| pooling_of(&config));
        Ok(Self {
            pooling,
            further_steps,
        })
    }
}

/// The pooling that sentence-transformers' file names: one word in newer files,
/// a switch for each way in older ones.
fn pooling_of(config: &Value) -> Pooling {
    let ways: Vec<String> = match &config["pooling_mode"] {
        Value::String(way) => vec![way.clone()],
        Value::Array(_) => strings(&config["pooling_mode"]),
        _ => config
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, value)| key.starts_with("pooling_mode_") && **value == Value::Bool(true))
            .map(|(key, _)| key["pooling_mode_".len()..].to_owned())
            .collect(),
    };
    if config["include_prompt"] == Value::Bool(false) {
        return Pooling::Other(format!("{} without the prompt", ways.join(" + ")));
    }
    match &ways[..] {
        // Scaled to unit length, a sum over the root of the length is the mean.
        [way] if matches!(&way[..], "mean" | "mean_tokens" | "mean_sqrt_len_tokens") => {
            Pooling::Mean
        }
        [way] if matches!(&way[..], "cls" | "cls_token") => Pooling::Cls,
        [] => Pooling::Mean,
        ways => Pooling::Other(ways.join(" + ")),
    }
}

/// The prompts of `config_sentence_transformers.json`.
struct Prompts {
    query: Option<String>,
    document: Option<String>,
}

impl Prompts {
    fn of(config: &Value) -> Self {
        let prompts = &config["prompts"];
        let first = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| prompts[*name].as_str())
                .map(str::to_owned)
        };
        let default = config["default_prompt_name"]
            .as_str()
            .and_then(|name| prompts[name].as_str())
            .map(str::to_owned);
        // An empty prompt that is the default of newer files says nothing.
        let said = |prompt: Option<String>| prompt.filter(|prompt| !prompt.is_empty());
        Self {
            query: said(first(&["query", "search_query", "retrieval.query"]))
                .or_else(|| default.clone()),
            document: said(first(&[
                "document",
                "passage",
                "search_document",
                "corpus",
                "retrieval.passage",
            ]))
            .or(default),
        }
    }
}

/// How many tokens a graph has positions for.
fn positions(config: &Value) -> Option<usize> {
    let positions = [
        "max_position_embeddings",
        "n_positions",
        "max_trained_positions",
    ]
    .into_iter()
    .find_map(|key| number(&config[key]))?;
    // RoBERTa and its kin number positions from behind the padding token.
    let offset = match config["model_type"].as_str() {
        Some("roberta" | "xlm-roberta" | "camembert" | "mpnet") => 2,
        _ => 0,
    };
    Some(positions.saturating_sub(offset))
}

fn pad(config: &Value, tokenizer: &Value, tokenizer_config: &Value, map: &Value) -> Pad {
    let written = |value: &Value| {
        let token = value.as_str().or_else(|| value["content"].as_str());
        token.map(str::to_owned)
    };
    let token = [
        &tokenizer_config["pad_token"],
        &map["pad_token"],
        &tokenizer["padding"]["pad_token"],
    ]
    .into_iter()
    .find_map(written)
    .unwrap_or_else(|| "[PAD]".to_owned());
    let id = config["pad_token_id"]
        .as_u64()
        .or_else(|| tokenizer["padding"]["pad_id"].as_u64());
    Pad { token, id }
}

/// A number of tokens. Tokenizers write 10^30 for "no limit".
fn number(value: &Value) -> Option<usize> {
    let number = value.as_f64()?;
    (1.0..1e9).contains(&number).then_some(number as usize)
}

fn strings(value: &Value) -> Vec<String> {
    let values = value.as_array().into_iter().flatten();
    values
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

fn short_name(recorded: Option<&str>, config: &Value) -> String {
    let last = recorded.and_then(|name| {
        name.trim_end_matches(['/', '\\'])
            .rsplit(['/', '\\'])
            .next()
    });
    let name = last.filter(|name| !name.is_empty() && *name != ".");
    name.or_else(|| config["model_type"].as_str())
        .unwrap_or("onnx")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn settings_of(files: &[(&str, &str)]) -> Settings {
        let folder = tempfile::TempDir::new().expect("a folder");
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, content).expect("written");
        }
        read_settings(folder.path()).expect("settings")
    }

    #[test]
    fn the_greatest_length_comes_from_the_first_source_that_says_it() {
        let config = (
            "config.json",
            r#"{"max_position_embeddings": 512, "_name_or_path": "nreimers/MiniLM-L6-H384-uncased"}"#,
        );
        let unknown = ("config.json", r#"{"max_position_embeddings": 512}"#);
        let tokenizer = ("tokenizer.json", r#"{"truncation": {"max_length": 128}}"#);
        let sentence = ("sentence_bert_config.json", r#"{"max_seq_length": 200}"#);
        let ours = ("cento.json", r#"{"max_tokens": 300}"#);
        let too_long = ("cento.json", r#"{"max_tokens": 9000}"#);
        let roberta = (
            "config.json",
            r#"{"max_position_embeddings": 514, "model_type": "xlm-roberta"}"#,
        );
        let long = ("config.json", r#"{"max_position_embeddings": 8192}"#);
        let unlimited = (
            "tokenizer_config.json",
            r#"{"model_max_length": 1000000000000000019884624838656}"#,
        );
        let short = ("tokenizer_config.json", r#"{"model_max_length": 96}"#);
        for (files, expected) in [
            (&[][..], 512),
            (&[tokenizer], 128),
            (&[unknown, tokenizer], 128),
            (&[config, tokenizer], 256),
            (&[config, tokenizer, sentence], 200),
            (&[config, tokenizer, sentence, ours], 300),
            (&[config, too_long], 512),
            (&[long, too_long], 8192),
            (&[long, unlimited], 512),
            (&[roberta, too_long], 512),
            (&[unlimited], 512),
            (&[short, tokenizer], 96),
        ] {
            assert_eq!(settings_of(files).max_tokens, expected, "{files:?}");
        }
    }

    #[test]
    fn pooling_is_read_in_both_spellings() {
        let pooling = |config: &str| settings_of(&[("1_Pooling/config.json", config)]).pooling;
        let other = |way: &str| Pooling::Other(way.to_owned());
        for (config, expected) in [
            (
                r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}"#,
                Pooling::Mean,
            ),
            (
                r#"{"pooling_mode_mean_sqrt_len_tokens": true}"#,
                Pooling::Mean,
            ),
            (r#"{"pooling_mode_cls_token": true}"#, Pooling::Cls),
            (r#"{"pooling_mode": "cls"}"#, Pooling::Cls),
            (r#"{"pooling_mode": ["mean"]}"#, Pooling::Mean),
            (r#"{"pooling_mode_max_tokens": true}"#, other("max_tokens")),
            (
                r#"{"pooling_mode_weightedmean_tokens": true}"#,
                other("weightedmean_tokens"),
            ),
            (
                r#"{"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true}"#,
                other("cls_token + max_tokens"),
            ),
            (
                r#"{"pooling_mode_mean_tokens": true, "include_prompt": false}"#,
                other("mean_tokens without the prompt"),
            ),
        ] {
            assert_eq!(pooling(config), expected, "{config}");
        }
        let elsewhere = settings_of(&[
            (
                "modules.json",
                r#"[{"type": "x.Transformer"}, {"type": "x.Pooling", "path": "7_Pooling"}, {"type": "x.Normalize"}]"#,
            ),
            (
                "7_Pooling/config.json",
                r#"{"pooling_mode_cls_token": true}"#,
            ),
        ]);
        assert_eq!(elsewhere.pooling, Pooling::Cls);
        assert!(elsewhere.further_steps.is_empty());
    }

    #[test]
    fn a_name_known_by_its_configuration_brings_pooling_and_prefixes() {
        let e5 = (
            "config.json",
            r#"{"_name_or_path": "intfloat/multilingual-e5-small"}"#,
        );
        let bge = (
            "config.json",
            r#"{"_name_or_path": "/home/me/.cache/BAAI_bge-small-en/"}"#,
        );
        let settings = settings_of(&[e5]);
        assert_eq!(
            (&settings.query_prefix[..], &settings.document_prefix[..]),
            ("query: ", "passage: ")
        );
        assert_eq!(settings.name, "multilingual-e5-small");
        assert_eq!(settings_of(&[bge]).pooling, Pooling::Cls);
        let said = settings_of(&[
            bge,
            ("1_Pooling/config.json", r#"{"pooling_mode": "mean"}"#),
        ]);
        assert_eq!(said.pooling, Pooling::Mean);
        let ours = settings_of(&[e5, ("cento.json", r#"{"query_prefix": ""}"#)]);
        assert_eq!(ours.query_prefix, "");
    }

    #[test]
    fn prompts_of_sentence_transformers_become_prefixes() {
        let prompts = |text: &str| {
            let settings = settings_of(&[("config_sentence_transformers.json", text)]);
            (settings.query_prefix, settings.document_prefix)
        };
        let pair = |query: &str, document: &str| (query.to_owned(), document.to_owned());
        assert_eq!(
            prompts(r#"{"prompts": {"query": "Q: ", "passage": "P: "}}"#),
            pair("Q: ", "P: ")
        );
        assert_eq!(
            prompts(r#"{"prompts": {"query": "", "document": ""}}"#),
            pair("", "")
        );
        assert_eq!(
            prompts(
                r#"{"prompts": {"clustering": "C: ", "query": "Q: "}, "default_prompt_name": "clustering"}"#
            ),
            pair("Q: ", "C: ")
        );
        assert_eq!(prompts(r#"{"prompts": {}}"#), pair("", ""));
    }

    #[test]
    fn the_padding_token_is_found_wherever_it_is_written() {
        let pad = |files: &[(&str, &str)]| settings_of(files).pad;
        let expected = |token: &str, id| Pad {
            token: token.to_owned(),
            id,
        };
        assert_eq!(pad(&[]), expected("[PAD]", None));
        assert_eq!(
            pad(&[
                (
                    "tokenizer_config.json",
                    r#"{"pad_token": {"content": "<pad>"}}"#
                ),
                ("config.json", r#"{"pad_token_id": 1}"#)
            ]),
            expected("<pad>", Some(1))
        );
        assert_eq!(
            pad(&[(
                "tokenizer.json",
                r#"{"padding": {"pad_token": "<p>", "pad_id": 7}}"#
            )]),
            expected("<p>", Some(7))
        );
    }
}
