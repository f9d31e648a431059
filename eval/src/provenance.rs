//! With what was a figure measured, and is another figure comparable?
//!
//! [`Settings`] hold all that decides a figure: the hashes of documents and
//! judgements, how documents were cut and embedded, how they were asked, what
//! was measured. Their hash is BLAKE3 of their canonical JSON: keys in order of
//! their bytes, no white space. Two runs with the same hash and the same
//! version of cento must give the same figures. [`Environment`] holds what
//! should not decide a figure and yet may explain one.

use cento_retrieve::{Fusion, Legs};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Dataset, Measure, Selection};

/// All that decides a figure. What does not apply is absent.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// The set.
    pub dataset: DatasetSettings,
    /// What was asked: cento itself, or the hash of another system's file.
    pub system: System,
    /// Which questions were asked.
    pub queries: Selection,
    /// What was measured of rankings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<Measure>,
    /// The budgets of contexts, in tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<usize>,
    /// What counted the tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
}

/// Which set was measured on.
#[derive(Debug, Clone, Serialize)]
pub struct DatasetSettings {
    /// Its folder's name.
    pub name: String,
    /// How it is laid out.
    pub layout: crate::Layout,
    /// Which of its judgements.
    pub split: Option<String>,
    /// The hash of its documents.
    pub corpus: String,
    /// The hash of its questions and judgements.
    pub judgements: String,
}

impl DatasetSettings {
    /// Of a set.
    pub fn of(dataset: &Dataset) -> Self {
        Self {
            name: dataset.name().to_owned(),
            layout: dataset.layout(),
            split: dataset.split().map(str::to_owned),
            corpus: dataset.corpus_digest(),
            judgements: dataset.judgements_digest(),
        }
    }
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum System {
    /// cento, with these settings.
    Cento {
        /// The fingerprint of the chunking.
        chunking: String,
        /// The fingerprint of the embedder.
        embedder: String,
        /// Which legs are asked.
        legs: Legs,
        /// How two legs become one; absent where one leg is asked.
        fusion: Option<Fusion>,
        /// How many chunks each leg returns.
        depth: usize,
        /// How hard the dense leg looks.
        effort: String,
        /// The field in which a document must agree with the query.
        filter_by: Option<String>,
        /// What looks at the best candidates again, if something does.
        #[serde(skip_serializing_if = "Option::is_none")]
        rerank: Option<RerankSettings>,
    },
    /// Another system's candidates, packed by cento.
    Candidates {
        /// The hash of their file.
        digest: String,
    },
}

/// What looks at the best candidates again.
#[derive(Debug, Clone, Serialize)]
pub struct RerankSettings {
    /// The model's fingerprint.
    pub model: String,
    /// How many candidates it judges.
    pub head: usize,
}

impl Settings {
    /// The hash of the canonical JSON, in hexadecimal.
    pub fn hash(&self) -> String {
        // Settings have no map with keys that are no texts, so this is always
        // JSON.
        let json = serde_json::to_value(self).unwrap_or_default();
        let canonical = sorted(json).to_string();
        blake3::hash(canonical.as_bytes()).to_hex().to_string()
    }
}

/// The same JSON with the keys of every object in order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            let fields = fields.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(values) => values.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// Where a figure was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// The version of cento.
    pub cento: &'static str,
    /// `release` or `debug`.
    pub build: &'static str,
    /// The operating system and its kernel.
    pub system: String,
    /// The processor's family, such as `x86_64`.
    pub architecture: &'static str,
    /// What the processor calls itself, where the system says it.
    pub processor: Option<String>,
    /// How many threads run at once.
    pub threads: usize,
    /// Which ONNX Runtime the environment names, for neural embedders.
    pub onnx_runtime: Option<String>,
}

impl Environment {
    /// Of this process.
    pub fn here() -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors
            .lines()
            .find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(':'));
        Self {
            cento: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
            system: format!("{} {}", std::env::consts::OS, kernel.trim())
                .trim()
                .to_owned(),
            architecture: std::env::consts::ARCH,
            processor: model.map(|(_, name)| name.trim().to_owned()),
            threads: rayon::current_num_threads(),
            onnx_runtime: std::env::var("ORT_DYLIB_PATH").ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            dataset: DatasetSettings {
                name: "set".to_owned(),
                layout: crate::Layout::Beir,
                split: Some("test".to_owned()),
                corpus: "00".to_owned(),
                judgements: "11".to_owned(),
            },
            system: System::Candidates {
                digest: "22".to_owned(),
            },
            queries: Selection::Odd,
            measures: vec![],
            budgets: vec![500],
            tokenizer: Some("o200k".to_owned()),
        }
    }

    #[test]
    fn the_hash_is_of_canonical_json() {
        let canonical = r#"{"budgets":[500],"dataset":{"corpus":"00","judgements":"11","layout":"beir","name":"set","split":"test"},"queries":"odd","system":{"digest":"22","kind":"candidates"},"tokenizer":"o200k"}"#;
        let expected = blake3::hash(canonical.as_bytes()).to_hex().to_string();
        assert_eq!(settings().hash(), expected);
        let other = Settings {
            budgets: vec![1000],
            ..settings()
        };
        assert_ne!(other.hash(), expected);
    }
}
