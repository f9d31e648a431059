//! What is said of queries?
//!
//! Their answers are the types of `cento_retrieve`.

use cento_core::{CollectionName, TokenBudget};
use cento_retrieve::{Fusion, Legs, Rerank};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A question whose best chunks are wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"query": "How long does a refund take?", "limit": 5}))]
pub struct SearchQuery {
    /// The question, as a person would ask it; at most 8,192 characters.
    #[schema(min_length = 1, max_length = 8192, pattern = r"\S")]
    pub query: String,
    /// Which documents may be found; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<cento_core::Filter>)]
    pub filter: Option<Value>,
    /// Which legs are asked.
    #[serde(default)]
    pub legs: Legs,
    /// How the legs' scores become one.
    #[serde(default)]
    pub fusion: Fusion,
    /// What share of the nearest vectors the dense leg is to find on average, above 0
    /// and up to 1: the more, the slower; 0.99 if none of `recall`, `ef` and `exact`
    /// is given. At 1 every vector is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0, maximum = 1)]
    pub recall: Option<f32>,
    /// How many of the best a walk through a graph keeps in sight, in the place of
    /// `recall`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::whole::optional"
    )]
    #[schema(minimum = 1, maximum = 10000)]
    pub ef: Option<usize>,
    /// Whether every vector is compared, in the place of `recall`.
    #[serde(default)]
    pub exact: bool,
    /// That the server's reranking model looks at the best candidates again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<RerankQuery>,
    /// The most answers. It only cuts: the ranking does not depend on it.
    #[serde(
        default = "SearchQuery::default_limit",
        deserialize_with = "super::whole::number"
    )]
    #[schema(minimum = 1, maximum = 200, default = 10)]
    pub limit: usize,
}

impl SearchQuery {
    /// The most answers of one query: what both legs can return together.
    pub const MAX_LIMIT: usize = 2 * cento_retrieve::LEG_DEPTH;

    /// A question with everything by default.
    pub fn new(query: impl Into<String>) -> Self {
        Self {
            query: query.into(),
            filter: None,
            legs: Legs::default(),
            fusion: Fusion::default(),
            recall: None,
            ef: None,
            exact: false,
            rerank: None,
            limit: Self::default_limit(),
        }
    }

    fn default_limit() -> usize {
        10
    }
}

/// How the server's reranking model looks at the best candidates again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RerankQuery {
    /// How many candidates it judges, the best with distinct texts.
    #[serde(
        default = "RerankQuery::default_head",
        deserialize_with = "super::whole::number"
    )]
    #[schema(minimum = 1, maximum = 200, default = 50)]
    pub head: usize,
    /// How many milliseconds it has. What it has not judged by then stays behind what
    /// it has, in the fused order; `rerank.judged` in the answer says how many it has.
    #[serde(
        default = "RerankQuery::default_deadline_ms",
        deserialize_with = "super::whole::number"
    )]
    #[schema(minimum = 1, maximum = 10000, default = 500)]
    pub deadline_ms: usize,
}

impl RerankQuery {
    fn default_head() -> usize {
        Rerank::HEAD
    }

    fn default_deadline_ms() -> usize {
        usize::try_from(Rerank::DEADLINE.as_millis()).unwrap_or(usize::MAX)
    }
}

impl Default for RerankQuery {
    fn default() -> Self {
        Self {
            head: Self::default_head(),
            deadline_ms: Self::default_deadline_ms(),
        }
    }
}

/// A question for which a context is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"collection": "handbook", "query": "How long does a refund take?", "max_tokens": 2000}))]
pub struct ContextQuery {
    /// Where to look.
    pub collection: CollectionName,
    /// The question, as a person would ask it; at most 8,192 characters.
    #[schema(min_length = 1, max_length = 8192, pattern = r"\S")]
    pub query: String,
    /// Which documents may be quoted; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<cento_core::Filter>)]
    pub filter: Option<Value>,
    /// Which legs are asked.
    #[serde(default)]
    pub legs: Legs,
    /// How the legs' scores become one.
    #[serde(default)]
    pub fusion: Fusion,
    /// What share of the nearest vectors the dense leg is to find on average, above 0
    /// and up to 1: the more, the slower; 0.99 if none of `recall`, `ef` and `exact`
    /// is given. At 1 every vector is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0, maximum = 1)]
    pub recall: Option<f32>,
    /// How many of the best a walk through a graph keeps in sight, in the place of
    /// `recall`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::whole::optional"
    )]
    #[schema(minimum = 1, maximum = 10000)]
    pub ef: Option<usize>,
    /// Whether every vector is compared, in the place of `recall`.
    #[serde(default)]
    pub exact: bool,
    /// That the server's reranking model looks at the best candidates again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<RerankQuery>,
    /// The most tokens of the whole rendered context.
    #[serde(deserialize_with = "super::whole::budget")]
    pub max_tokens: TokenBudget,
    /// What counts them: `o200k` (GPT-4o and later) unless `cl100k` (GPT-4,
    /// GPT-3.5) is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(o200k|cl100k)(_base)?$")]
    pub tokenizer: Option<String>,
}

impl ContextQuery {
    /// A question with everything by default.
    pub fn new(collection: CollectionName, query: impl Into<String>, budget: TokenBudget) -> Self {
        Self {
            collection,
            query: query.into(),
            filter: None,
            legs: Legs::default(),
            fusion: Fusion::default(),
            recall: None,
            ef: None,
            exact: false,
            rerank: None,
            max_tokens: budget,
            tokenizer: None,
        }
    }
}
