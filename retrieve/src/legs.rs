//! Which ways of finding candidates are asked?

use std::fmt;
use std::str::FromStr;

use cento_core::FusedScore;
use serde::{Deserialize, Serialize};

use crate::RetrieveError;
use crate::fusion::LegScores;

/// The legs of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Legs {
    /// BM25 alone; its score is the fused one.
    Lexical,
    /// Vectors alone; the cosine is the fused score. A query that the model
    /// knows no token of finds nothing.
    Dense,
    /// Both, fused.
    #[default]
    Hybrid,
}

impl Legs {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Lexical, Self::Dense, Self::Hybrid];

    /// Its name: `lexical`, `dense` or `hybrid`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lexical => "lexical",
            Self::Dense => "dense",
            Self::Hybrid => "hybrid",
        }
    }

    /// The score of each candidate where one leg decides alone.
    pub(crate) fn scores(self, candidates: &[LegScores]) -> Vec<FusedScore> {
        let score = |legs: &LegScores| match self {
            Self::Dense => legs.dense.map_or(0.0, |dense| dense.score.0),
            _ => legs.lexical.score.0,
        };
        candidates
            .iter()
            .map(|legs| FusedScore(score(legs)))
            .collect()
    }
}

impl fmt::Display for Legs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Legs {
    type Err = RetrieveError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|legs| legs.name() == name);
        found.ok_or_else(|| RetrieveError::UnknownLegs {
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}
